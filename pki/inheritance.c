#include "pki/inheritance.h"

#include <string.h>

#include <openssl/x509v3.h>

#include "pki/crypto.h"

enum { ROUNDS = 10 }; /* an heir of an heir of ... */

static bool
has_dsa_key(const struct pki_certificate *certificate)
{
    return strcmp(pki_certificate_get(certificate)->key_algorithm, "dsa") == 0;
}

bool
pki_inheritance_is_open(const struct pki_certificate *certificate)
{
    X509_ALGOR *algorithm = NULL;
    int type = V_ASN1_UNDEF;

    if (pki_certificate_get(certificate)->key_bits > 0 || !has_dsa_key(certificate))
        return false;
    X509_PUBKEY_get0_param(NULL, NULL, NULL, &algorithm,
                           X509_get_X509_PUBKEY(pki_certificate_get0_x509(certificate)));
    X509_ALGOR_get0(NULL, &type, NULL, algorithm);
    return type == V_ASN1_UNDEF;
}

/* The number of the heir with the parameters of the issuer; NULL: they do not fit, or no memory. */
static EVP_PKEY *
key_new(X509 *heir, X509 *issuer)
{
    X509_PUBKEY *whole = X509_PUBKEY_new();
    X509_ALGOR *algorithm = NULL;
    const unsigned char *number = NULL, *p;
    const void *parameters = NULL;
    int number_bytes = 0, type = V_ASN1_UNDEF, n = 0;
    ASN1_STRING *copy = NULL;
    unsigned char *der = NULL, *bits = NULL;
    EVP_PKEY *key = NULL;

    X509_PUBKEY_get0_param(NULL, NULL, NULL, &algorithm, X509_get_X509_PUBKEY(issuer));
    X509_ALGOR_get0(NULL, &type, &parameters, algorithm);
    X509_PUBKEY_get0_param(NULL, &number, &number_bytes, NULL, X509_get_X509_PUBKEY(heir));
    if (!whole || type != V_ASN1_SEQUENCE || number_bytes <= 0)
        goto out;
    copy = ASN1_STRING_dup(parameters);
    bits = OPENSSL_memdup(number, (size_t)number_bytes);
    if (!copy || !bits ||
        !X509_PUBKEY_set0_param(whole, OBJ_nid2obj(NID_dsa), type, copy, bits, number_bytes))
        goto out;
    copy = NULL; /* both are taken */
    bits = NULL;
    if ((n = i2d_X509_PUBKEY(whole, &der)) > 0) {
        p = der;
        key = d2i_PUBKEY(NULL, &p, n);
    }
out:
    OPENSSL_free(der);
    OPENSSL_free(bits);
    ASN1_STRING_free(copy);
    X509_PUBKEY_free(whole);
    return key;
}

struct estate {
    struct pki_certificates *list;
    const struct pki_certificates *const *more;
    unsigned signatures;
};

static bool
is_issuer(struct estate *estate, struct pki_certificate *candidate, X509 *heir)
{
    X509 *issuer = pki_certificate_get0_x509(candidate);
    unsigned bits = pki_certificate_get(candidate)->key_bits;

    if (!has_dsa_key(candidate) || bits == 0 || bits > PKI_INHERITANCE_BITS ||
        X509_check_issued(issuer, heir) != X509_V_OK ||
        estate->signatures >= PKI_INHERITANCE_SIGNATURES)
        return false;
    estate->signatures++;
    return X509_verify(heir, X509_get0_pubkey(issuer)) == 1;
}

static X509 *
issuer_find(struct estate *estate, X509 *heir)
{
    const struct pki_certificates *list = estate->list;
    const struct pki_certificates *const *next = estate->more;

    while (list) {
        for (size_t i = 0; i < list->count; i++) {
            if (is_issuer(estate, list->list[i], heir))
                return pki_certificate_get0_x509(list->list[i]);
        }
        list = next ? *next : NULL;
        next = list ? next + 1 : NULL;
    }
    return NULL;
}

/* *gained: there is one open certificate less. */
static enum err_code
one_set(struct estate *estate, size_t i, bool *gained, struct err *err)
{
    struct pki_certificate **place = &estate->list->list[i], *whole = NULL;
    X509 *heir = pki_certificate_get0_x509(*place), *issuer = issuer_find(estate, heir);
    EVP_PKEY *key = issuer ? key_new(heir, issuer) : NULL;
    struct err ignored = ERR_INIT;
    enum err_code code = ERR_OK;
    bool is_short = !key && issuer && pki_crypto_is_short();

    if (key)
        is_short = pki_certificate_parse_with(pki_certificate_der(*place), key, &whole, &ignored) ==
                   ERR_NOMEM;
    if (is_short)
        code = err_set(err, ERR_NOMEM, "no memory for the key of a certificate");
    EVP_PKEY_free(key);
    if (whole) {
        pki_certificate_free(place);
        *place = whole;
        *gained = true;
    }
    return code;
}

enum err_code
pki_inheritance_set(struct pki_certificates *list, const struct pki_certificates *const *more,
                    struct err *err)
{
    struct estate estate = { .list = list, .more = more };
    bool gained = true;
    enum err_code code = ERR_OK;

    for (int round = 0; round < ROUNDS && gained && code == ERR_OK; round++) {
        gained = false;
        for (size_t i = 0; i < list->count && code == ERR_OK; i++) {
            if (pki_inheritance_is_open(list->list[i]))
                code = one_set(&estate, i, &gained, err);
        }
    }
    pki_crypto_reset();
    return code;
}
