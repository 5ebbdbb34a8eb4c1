#include "pki/crl.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "pki/crl_held.h"
#include "pki/crypto.h"

enum { EXTENSIONS_MAX = 64 };

/* What the library keeps of the short form, in multiples of its octets. */
enum { LIBRARY_FACTOR = 6 };

static time_t
time_get(const ASN1_TIME *time)
{
    struct tm tm;

    return time && ASN1_TIME_to_tm(time, &tm) ? timegm(&tm) : 0;
}

void
pki_crl_held_free(struct pki_crl_held **held)
{
    struct pki_crl_held *h = *held;

    *held = NULL;
    if (!h)
        return;
    for (size_t i = 0; i < PKI_CRL_HELD_KEYS; i++)
        EVP_PKEY_free(h->keys[i]);
    pki_crl_entries_free(&h->entries);
    pthread_mutex_destroy(&h->lock);
    free(h->der);
    h->magic = 0;
    free(h);
}

/* A wrong or repeated value that the library passes over as if it were not there: without its scope
 * a CRL speaks of everybody, without its indicator a delta is complete. */
static const char *
extension_fault(const X509_CRL *crl, int nid)
{
    enum { ABSENT = -1, TWICE = -2 };
    const X509V3_EXT_METHOD *method = X509V3_EXT_get_nid(nid);
    int critical = ABSENT;
    void *value = X509_CRL_get_ext_d2i(crl, nid, &critical, NULL);

    if (value && method && method->it)
        ASN1_item_free(value, ASN1_ITEM_ptr(method->it));
    return value || critical == ABSENT ? NULL : "an extension is malformed or there twice";
}

static const char *
extensions_fault(const X509_CRL *crl)
{
    static const int nids[] = { NID_issuing_distribution_point, NID_authority_key_identifier,
                                NID_crl_number, NID_delta_crl };
    int count = X509_CRL_get_ext_count(crl);

    if (count > EXTENSIONS_MAX)
        return "there are more extensions than anybody needs";
    for (int i = 0; i < count; i++) {
        ASN1_OBJECT *oid = X509_EXTENSION_get_object(X509_CRL_get_ext(crl, i));
        if (X509_CRL_get_ext_by_OBJ(crl, oid, i) >= 0)
            return "an extension is malformed or there twice";
    }
    for (size_t i = 0; i < sizeof nids / sizeof *nids; i++) {
        const char *fault = extension_fault(crl, nids[i]);
        if (fault)
            return fault;
    }
    if (X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0 &&
        X509_CRL_get_ext_by_NID(crl, NID_crl_number, -1) < 0)
        return "a delta CRL has no number";
    return NULL;
}

/* RFC 5280 5.1.2.1. What is older than extensions has no reasons, no scope and no indicator that
 * anybody could mean. */
static const char *
version_fault(const struct pki_crl_held *held)
{
    if (held->shape.version_unknown)
        return "its version is not known";
    if (!held->shape.version2 && (held->shape.after.n > 0 || held->entries.extended))
        return "version 1 with extensions";
    return NULL;
}

static enum err_code
short_parse(const struct pki_crl_held *held, X509_CRL **out, size_t *bytes, struct err *err)
{
    struct buf der = BUF_INIT(2 * PKI_CRL_SHAPE_BYTES);
    enum err_code code = pki_crl_shape_format(&held->shape, held->fault != NULL, &der, err);
    const unsigned char *p = der.p;

    *out = NULL;
    *bytes = der.n;
    if (code == ERR_OK) {
        *out = d2i_X509_CRL(NULL, &p, (long)der.n);
        /* Without memory for an extension the library makes a CRL that lacks it. */
        if (pki_crypto_is_short())
            code = err_set(err, ERR_NOMEM, "no memory for a CRL");
        else if (!*out)
            code = err_set(err, ERR_PERM, "not a CRL");
    }
    buf_free(&der);
    return code;
}

static enum err_code
library_parse(struct pki_crl_held *held, X509_CRL **out, struct err *err)
{
    const char *more;
    size_t bytes;
    enum err_code code;

    held->fault = held->entries.fault ? held->entries.fault : version_fault(held);
    if ((code = short_parse(held, out, &bytes, err)) != ERR_OK)
        return code;
    more = held->fault ? NULL : extensions_fault(*out);
    if (pki_crypto_is_short())
        code = err_set(err, ERR_NOMEM, "no memory for a CRL");
    if (code == ERR_OK && more) {
        X509_CRL_free(*out);
        held->fault = more;
        code = short_parse(held, out, &bytes, err);
    }
    held->library_bytes = LIBRARY_FACTOR * bytes;
    return code;
}

/* Takes what the library made of the short form into one object with what we hold. */
static void
join(X509_CRL *crl, struct pki_crl_held *held)
{
    STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(crl);

    held->ordinary = sk_X509_REVOKED_value(list, PKI_CRL_SHAPE_ORDINARY);
    held->removed = sk_X509_REVOKED_value(list, PKI_CRL_SHAPE_REMOVED);
    held->delta = X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0;
    held->this_update = time_get(X509_CRL_get0_lastUpdate(crl));
    held->next_update = time_get(X509_CRL_get0_nextUpdate(crl));
    X509_CRL_set_meth_data(crl, held);
}

/* `der` is taken on success. */
static enum err_code
block_parse(unsigned char *der, size_t n, X509_CRL **out, struct err *err)
{
    struct pki_crl_held *held = calloc(1, sizeof *held);
    X509_CRL *crl = NULL;
    enum err_code code;

    if (!held)
        return err_set(err, ERR_NOMEM, "no memory for a CRL");
    held->magic = PKI_CRL_HELD_MAGIC;
    pthread_mutex_init(&held->lock, NULL);
    if ((code = pki_crl_init(err)) ||
        (code = pki_crl_shape_parse(span_of(der, n), &held->shape, err)) ||
        (code = pki_crl_entries_parse(&held->entries, held->shape.entries, err)) ||
        (code = library_parse(held, &crl, err)) ||
        (code = pki_crl_signed_parse(&held->shape, &held->what, err)))
        goto out;
    held->der = der;
    held->der_bytes = n;
    join(crl, held);
    *out = crl;
    crl = NULL;
    held = NULL;
out:
    X509_CRL_free(crl);
    pki_crl_held_free(&held);
    pki_crypto_reset();
    return code;
}

static enum err_code
size_check(size_t n, struct err *err)
{
    pki_crypto_reset();
    if (n == 0)
        return err_set(err, ERR_PERM, "no CRL: nothing there");
    return n <= PKI_CRL_BYTES
               ? ERR_OK
               : err_set(err, ERR_LIMIT, "a CRL of more than %d octets", PKI_CRL_BYTES);
}

enum err_code
pki_crl_parse(struct span der, X509_CRL **out, struct err *err)
{
    unsigned char *copy;
    enum err_code code = size_check(der.n, err);

    *out = NULL;
    if (code != ERR_OK)
        return code;
    if (!(copy = malloc(der.n)))
        return err_set(err, ERR_NOMEM, "no memory for a CRL");
    memcpy(copy, der.p, der.n);
    if ((code = block_parse(copy, der.n, out, err)) != ERR_OK)
        free(copy);
    return code;
}

enum err_code
pki_crl_parse_take(struct buf *der, X509_CRL **out, struct err *err)
{
    enum err_code code = size_check(der->n, err);
    unsigned char *fit;

    *out = NULL;
    if (code != ERR_OK)
        return code;
    /* With the NUL that ends every buffer. The allocator cuts a large block where it is. */
    if (der->cap > der->n + 1 && (fit = realloc(der->p, der->n + 1))) {
        der->p = fit;
        der->cap = der->n + 1;
    }
    if ((code = block_parse(der->p, der->n, out, err)) == ERR_OK)
        buf_init(der, der->limit_bytes);
    return code;
}

struct span
pki_crl_der(const X509_CRL *crl)
{
    const struct pki_crl_held *held = pki_crl_held_of(crl);

    return held ? span_of(held->der, held->der_bytes) : span_of(NULL, 0);
}

size_t
pki_crl_entries(const X509_CRL *crl)
{
    const struct pki_crl_held *held = pki_crl_held_of(crl);

    return held ? held->entries.total : 0;
}

size_t
pki_crl_bytes(const X509_CRL *crl)
{
    const struct pki_crl_held *held = pki_crl_held_of(crl);

    return held ? sizeof *held + held->der_bytes + pki_crl_entries_bytes(&held->entries) +
                      held->library_bytes
                : 0;
}

time_t
pki_crl_this_update(const X509_CRL *crl)
{
    const struct pki_crl_held *held = pki_crl_held_of(crl);

    return held ? held->this_update : time_get(X509_CRL_get0_lastUpdate(crl));
}

time_t
pki_crl_next_update(const X509_CRL *crl)
{
    const struct pki_crl_held *held = pki_crl_held_of(crl);

    return held ? held->next_update : time_get(X509_CRL_get0_nextUpdate(crl));
}

const char *
pki_crl_fault(const X509_CRL *crl)
{
    const struct pki_crl_held *held = pki_crl_held_of(crl);

    return held ? held->fault : NULL;
}

bool
pki_crl_is_delta(const X509_CRL *crl)
{
    const struct pki_crl_held *held = pki_crl_held_of(crl);

    return held ? held->delta : X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) >= 0;
}

bool
pki_crl_is_signed_by(X509_CRL *crl, X509 *issuer)
{
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    bool good = key && X509_CRL_verify(crl, key) == 1;

    pki_crypto_reset();
    return good;
}

bool
pki_crl_is(const X509_CRL *a, const X509_CRL *b)
{
    if (a == b)
        return true;
    if (!pki_crl_held_of(a) != !pki_crl_held_of(b))
        return false;
    return pki_crl_held_of(a) ? span_equal(pki_crl_der(a), pki_crl_der(b))
                              : X509_CRL_match(a, b) == 0;
}

/* Of an element of DER. */
static time_t
date_get(struct span der)
{
    const unsigned char *p = der.p;
    ASN1_TIME *time = der.n > 0 ? d2i_ASN1_TIME(NULL, &p, (long)der.n) : NULL;
    time_t result = time_get(time);

    ASN1_TIME_free(time);
    return result;
}

enum err_code
pki_crl_find(const X509_CRL *crl, const X509 *certificate, struct pki_crl_entry *out,
             struct err *err)
{
    struct pki_crl_found found;
    X509_REVOKED *revoked = NULL;

    *out = (struct pki_crl_entry){ .reason = -1 };
    if (!pki_crl_method_find(crl, X509_get0_serialNumber(certificate),
                             X509_get_issuer_name(certificate), &found, &revoked))
        return err_set(err, ERR_NOTFOUND, "the CRL does not list the certificate");
    out->reason = found.reason;
    out->revoked_at =
        found.date.p ? date_get(found.date) : time_get(X509_REVOKED_get0_revocationDate(revoked));
    pki_crypto_reset();
    return ERR_OK;
}
