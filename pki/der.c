#include "pki/der.h"

enum { TAG_CONSTRUCTED = 0x20, TAG_HIGH = 0x1f, LENGTH_INDEFINITE = 0x80, LENGTH_OCTETS_MAX = 4 };

struct header {
    unsigned tag;
    size_t header_bytes;
    size_t length;
    bool indefinite;
    bool shortest; /* the length is written as DER wants it */
};

static bool
header_parse(struct span s, struct header *out)
{
    size_t count;

    *out = (struct header){ .shortest = true };
    if (s.n < 2)
        return false;
    out->tag = s.p[0];
    if ((out->tag & TAG_HIGH) == TAG_HIGH)
        return false;
    out->header_bytes = 2;
    if (s.p[1] < 0x80) {
        out->length = s.p[1];
    } else if (s.p[1] == LENGTH_INDEFINITE) {
        out->indefinite = true;
        out->shortest = false;
        return (out->tag & TAG_CONSTRUCTED) != 0;
    } else {
        count = s.p[1] & 0x7fU;
        if (count > LENGTH_OCTETS_MAX || s.n < 2 + count)
            return false;
        for (size_t i = 0; i < count; i++)
            out->length = out->length << 8 | s.p[2 + i];
        out->header_bytes += count;
        out->shortest = s.p[2] != 0 && out->length >= 0x80;
    }
    return out->length <= s.n - out->header_bytes;
}

/* How many octets the elements of an indefinite length take, without their end-of-contents. */
static bool
indefinite_find(struct span s, unsigned depth, size_t *out)
{
    size_t at = 0;
    struct header header;

    if (depth >= PKI_DER_DEPTH)
        return false;
    for (;;) {
        struct span rest = span_from(s, at);
        if (rest.n >= 2 && rest.p[0] == 0 && rest.p[1] == 0) {
            *out = at;
            return true;
        }
        if (!header_parse(rest, &header))
            return false;
        at += header.header_bytes;
        if (header.indefinite) {
            size_t inner;
            if (!indefinite_find(span_from(s, at), depth + 1, &inner))
                return false;
            at += inner + 2;
        } else {
            at += header.length;
        }
    }
}

enum err_code
pki_der_get(struct span *rest, struct pki_der *out, struct err *err)
{
    struct header header;
    size_t whole;

    *out = (struct pki_der){ .tag = 0 };
    if (rest->n == 0)
        return err_set(err, ERR_NOTFOUND, "ASN.1: nothing is left");
    if (!header_parse(*rest, &header))
        return err_set(err, ERR_PERM, "ASN.1: malformed tag or length");
    if (header.indefinite &&
        !indefinite_find(span_from(*rest, header.header_bytes), 0, &header.length))
        return err_set(err, ERR_PERM, "ASN.1: an indefinite length has no end");
    whole = header.header_bytes + header.length + (header.indefinite ? 2 : 0);
    out->tag = header.tag;
    out->content = span_of(rest->p + header.header_bytes, header.length);
    out->whole = span_of(rest->p, whole);
    *rest = span_from(*rest, whole);
    return ERR_OK;
}

enum err_code
pki_der_find(struct span *rest, unsigned tag, struct pki_der *out, struct err *err)
{
    enum err_code code = pki_der_get(rest, out, err);

    if (code != ERR_OK)
        return code;
    if (out->tag != tag)
        return err_set(err, ERR_PERM, "ASN.1: tag %02x instead of %02x", out->tag, tag);
    return ERR_OK;
}

bool
pki_der_next(struct span *rest, struct pki_der *out)
{
    struct header header;

    /* Nearly all elements of a CRL are short. */
    if (rest->n >= 2 && (rest->p[0] & TAG_HIGH) != TAG_HIGH && rest->p[1] < 0x80 &&
        rest->p[1] <= rest->n - 2) {
        header.tag = rest->p[0];
        header.header_bytes = 2;
        header.length = rest->p[1];
    } else if (!header_parse(*rest, &header) || !header.shortest) {
        return false;
    }
    out->tag = header.tag;
    out->content = span_of(rest->p + header.header_bytes, header.length);
    out->whole = span_of(rest->p, header.header_bytes + header.length);
    rest->p += out->whole.n;
    rest->n -= out->whole.n;
    return true;
}

static bool
elements_are_der(struct span s, unsigned depth)
{
    struct header header;

    while (s.n > 0) {
        if (!header_parse(s, &header) || !header.shortest)
            return false;
        if (header.tag & TAG_CONSTRUCTED) {
            if (depth + 1 >= PKI_DER_DEPTH ||
                !elements_are_der(span_of(s.p + header.header_bytes, header.length), depth + 1))
                return false;
        }
        s = span_from(s, header.header_bytes + header.length);
    }
    return true;
}

enum err_code
pki_der_check(struct span der, struct err *err)
{
    struct header header;

    if (!header_parse(der, &header))
        return err_set(err, ERR_PERM, "not DER: malformed tag or length");
    if (header.indefinite || !elements_are_der(der, 0))
        return err_set(err, ERR_PERM, "not DER: a length is not in its shortest form");
    if (header.header_bytes + header.length != der.n)
        return err_set(err, ERR_PERM, "not DER: %zu octets follow the certificate",
                       der.n - header.header_bytes - header.length);
    return ERR_OK;
}
