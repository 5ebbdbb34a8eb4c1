#include "pki/crl_shape.h"

#include "pki/der.h"

enum {
    TAG_INTEGER = 0x02,
    TAG_BIT_STRING = 0x03,
    TAG_UTC_TIME = 0x17,
    TAG_GENERALIZED_TIME = 0x18
};
enum { VERSION_2 = 1, UNUSED_BITS_MAX = 7 };

/* Serial number 0, 1 January 1970; then the same with reasonCode removeFromCRL, and with a critical
 * extension 2.25.0, which is nobody's. */
static const unsigned char ordinary[] = { 0x30, 0x12, 0x02, 0x01, 0x00, 0x17, 0x0d, '7', '0', '0',
                                          '1',  '0',  '1',  '0',  '0',  '0',  '0',  '0', '0', 'Z' };
static const unsigned char removed[] = { 0x30, 0x20, 0x02, 0x01, 0x00, 0x17, 0x0d, '7',  '0',
                                         '0',  '1',  '0',  '1',  '0',  '0',  '0',  '0',  '0',
                                         '0',  'Z',  0x30, 0x0c, 0x30, 0x0a, 0x06, 0x03, 0x55,
                                         0x1d, 0x15, 0x04, 0x03, 0x0a, 0x01, 0x08 };
static const unsigned char faulty[] = { 0x30, 0x1f, 0x02, 0x01, 0x00, 0x17, 0x0d, '7',  '0',
                                        '0',  '1',  '0',  '1',  '0',  '0',  '0',  '0',  '0',
                                        '0',  'Z',  0x30, 0x0b, 0x30, 0x09, 0x06, 0x02, 0x69,
                                        0x00, 0x01, 0x01, 0xff, 0x04, 0x00 };

static bool
is_time(unsigned tag)
{
    return tag == TAG_UTC_TIME || tag == TAG_GENERALIZED_TIME;
}

/* Takes the next element off `rest` if it has that tag. */
static bool
take(struct span *rest, unsigned tag, struct pki_der *out)
{
    struct span after = *rest;

    if (!pki_der_next(&after, out) || out->tag != tag)
        return false;
    *rest = after;
    return true;
}

static bool
tbs_parse(struct span content, struct pki_crl_shape *out)
{
    struct span rest = content;
    struct pki_der part;

    if (take(&rest, TAG_INTEGER, &part)) {
        out->version2 = part.content.n == 1 && part.content.p[0] == VERSION_2;
        out->version_unknown = !out->version2;
    }
    if (!take(&rest, PKI_DER_SEQUENCE, &part))
        return false;
    out->inner_algorithm = part.whole;
    if (!take(&rest, PKI_DER_SEQUENCE, &part)) /* issuer */
        return false;
    if (!pki_der_next(&rest, &part) || !is_time(part.tag)) /* thisUpdate */
        return false;
    if (!take(&rest, TAG_UTC_TIME, &part)) /* nextUpdate */
        (void)!take(&rest, TAG_GENERALIZED_TIME, &part);
    out->before = span_of(content.p, (size_t)(rest.p - content.p));
    if (take(&rest, PKI_DER_SEQUENCE, &part))
        out->entries = part.content;
    out->after = rest;
    return rest.n == 0 || (take(&rest, PKI_DER_CONTEXT_0, &part) && rest.n == 0);
}

static bool
crl_parse(struct span der, struct pki_crl_shape *out)
{
    struct pki_der crl, part;

    if (!take(&der, PKI_DER_SEQUENCE, &crl) || der.n > 0 ||
        !take(&crl.content, PKI_DER_SEQUENCE, &part))
        return false;
    out->tbs = part.whole;
    if (!tbs_parse(part.content, out) || !take(&crl.content, PKI_DER_SEQUENCE, &part))
        return false;
    out->algorithm = part.whole;
    if (!take(&crl.content, TAG_BIT_STRING, &part) || part.content.n == 0 ||
        part.content.p[0] > UNUSED_BITS_MAX || crl.content.n > 0)
        return false;
    out->unused_bits = part.content.p[0] != 0;
    out->signature = span_from(part.content, 1);
    return true;
}

enum err_code
pki_crl_shape_parse(struct span der, struct pki_crl_shape *out, struct err *err)
{
    *out = (struct pki_crl_shape){ .version2 = false };
    return crl_parse(der, out) ? ERR_OK : err_set(err, ERR_PERM, "not a CRL in DER");
}

static enum err_code
header_format(struct buf *out, unsigned char tag, size_t length, struct err *err)
{
    unsigned char octets[2 + sizeof length] = { tag };
    size_t count = 0, n = 1;

    if (length < 0x80) {
        octets[n++] = (unsigned char)length;
    } else {
        for (size_t left = length; left > 0; left >>= 8)
            count++;
        octets[n++] = (unsigned char)(0x80 | count);
        while (count-- > 0)
            octets[n++] = (unsigned char)(length >> (8 * count));
    }
    return buf_append(out, span_of(octets, n), err);
}

static enum err_code
tbs_format(const struct pki_crl_shape *shape, bool fault, struct buf *out, struct err *err)
{
    size_t list = sizeof ordinary + sizeof removed + (fault ? sizeof faulty : 0);
    enum err_code code;

    if ((code = buf_append(out, shape->before, err)) ||
        (code = header_format(out, PKI_DER_SEQUENCE, list, err)) ||
        (code = buf_append(out, span_of(ordinary, sizeof ordinary), err)) ||
        (code = buf_append(out, span_of(removed, sizeof removed), err)))
        return code;
    if (fault && (code = buf_append(out, span_of(faulty, sizeof faulty), err)))
        return code;
    return buf_append(out, shape->after, err);
}

enum err_code
pki_crl_shape_format(const struct pki_crl_shape *shape, bool fault, struct buf *out,
                     struct err *err)
{
    struct buf tbs = BUF_INIT(PKI_CRL_SHAPE_BYTES), rest = BUF_INIT(PKI_CRL_SHAPE_BYTES);
    enum err_code code;

    if ((code = tbs_format(shape, fault, &tbs, err)) ||
        (code = header_format(&rest, PKI_DER_SEQUENCE, tbs.n, err)) ||
        (code = buf_append(&rest, buf_span(&tbs), err)) ||
        (code = buf_append(&rest, shape->algorithm, err)) ||
        (code = header_format(&rest, TAG_BIT_STRING, shape->signature.n + 1, err)) ||
        (code = buf_append_byte(&rest, 0, err)) ||
        (code = buf_append(&rest, shape->signature, err)))
        goto out;
    if ((code = header_format(out, PKI_DER_SEQUENCE, rest.n, err)) == ERR_OK)
        code = buf_append(out, buf_span(&rest), err);
out:
    buf_free(&tbs);
    buf_free(&rest);
    return code == ERR_LIMIT ? err_prefix(err, "what a CRL holds besides its entries") : code;
}
