/*
 * Two questions of the library that are answered here: is a serial number in this CRL, and is this
 * CRL signed by that key. Everything else about CRLs stays the library's.
 *
 * Whoever sends a message chooses the certificates that are looked up, and with a forged issuer
 * also the key that is asked about, all before any signature was checked. So a look-up allocates
 * nothing, and a signature costs one operation with the key: what is signed was hashed when the CRL
 * was parsed.
 */
#include <openssl/x509v3.h>

#include "pki/crl.h"
#include "pki/crl_held.h"
#include "pki/crypto.h"

static pthread_mutex_t method_lock = PTHREAD_MUTEX_INITIALIZER;
static X509_CRL_METHOD *method; /* under method_lock; for the rest of the process */

/* ---- an X509_CRL that somebody else made: the entries are in the library's list ----------------
 */

static int
foreign_reason(const X509_REVOKED *entry)
{
    ASN1_ENUMERATED *given = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
    int reason = given ? (int)ASN1_ENUMERATED_get(given) : -1;

    ASN1_ENUMERATED_free(given);
    return reason;
}

static bool
foreign_find(const X509_CRL *crl, const ASN1_INTEGER *serial, const X509_NAME *issuer,
             struct pki_crl_found *found, X509_REVOKED **revoked)
{
    STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED((X509_CRL *)crl);
    const X509_NAME *own = X509_CRL_get_issuer(crl);
    GENERAL_NAMES *ruling = NULL;
    bool any = false;

    for (int i = 0; i < sk_X509_REVOKED_num(list); i++) {
        X509_REVOKED *entry = sk_X509_REVOKED_value(list, i);
        GENERAL_NAMES *names = X509_REVOKED_get_ext_d2i(entry, NID_certificate_issuer, NULL, NULL);
        if (names) {
            GENERAL_NAMES_free(ruling);
            ruling = names;
        }
        if (ASN1_INTEGER_cmp(X509_REVOKED_get0_serialNumber(entry), serial) != 0 ||
            (ruling ? !pki_crl_entries_is_named(ruling, issuer ? issuer : own)
                    : issuer && X509_NAME_cmp(issuer, own) != 0))
            continue;
        any = true;
        *revoked = entry;
        found->reason = foreign_reason(entry);
        if (found->reason != CRL_REASON_REMOVE_FROM_CRL)
            break;
    }
    GENERAL_NAMES_free(ruling);
    return any;
}

static bool
foreign_verify(X509_CRL *crl, EVP_PKEY *key)
{
    unsigned char *der = NULL;
    int n = i2d_X509_CRL(crl, &der);
    struct pki_crl_signed what;
    struct pki_crl_shape shape;
    bool good = n > 0 && pki_crl_shape_parse(span_of(der, (size_t)n), &shape, NULL) == ERR_OK &&
                pki_crl_signed_parse(&shape, &what, NULL) == ERR_OK &&
                pki_crl_signed_check(&shape, &what, key);

    OPENSSL_free(der);
    return good;
}

/* ---- ours -------------------------------------------------------------------------------------
 */

bool
pki_crl_method_find(const X509_CRL *crl, const ASN1_INTEGER *serial, const X509_NAME *issuer,
                    struct pki_crl_found *found, X509_REVOKED **revoked)
{
    const struct pki_crl_held *held = pki_crl_held_of(crl);

    *found = (struct pki_crl_found){ .reason = -1 };
    if (!held)
        return foreign_find(crl, serial, issuer, found, revoked);
    if (!pki_crl_entries_find(&held->entries, serial, issuer, X509_CRL_get_issuer(crl), found))
        return false;
    /* removeFromCRL stands in deltas alone (5.3.1). What a complete CRL lists is revoked, whatever
     * the word. */
    *revoked =
        held->delta && found->reason == CRL_REASON_REMOVE_FROM_CRL ? held->removed : held->ordinary;
    return true;
}

static int
on_lookup(X509_CRL *crl, X509_REVOKED **ret, const ASN1_INTEGER *serial, const X509_NAME *issuer)
{
    enum { ABSENT, REVOKED, REMOVED }; /* as the library's own method answers */
    struct pki_crl_found found;
    X509_REVOKED *revoked = NULL;
    bool removed;

    if (!pki_crl_method_find(crl, serial, issuer, &found, &revoked))
        return ABSENT;
    if (ret)
        *ret = revoked;
    removed = found.reason == CRL_REASON_REMOVE_FROM_CRL;
    if (removed && pki_crl_held_of(crl))
        removed = revoked == pki_crl_held_of(crl)->removed;
    return removed ? REMOVED : REVOKED;
}

/* The same object costs nothing; the same key in another object a comparison of numbers. */
static bool
key_is_known(struct pki_crl_held *held, EVP_PKEY *key)
{
    EVP_PKEY *others[PKI_CRL_HELD_KEYS];
    size_t count = 0;
    bool known = false;

    pthread_mutex_lock(&held->lock);
    for (size_t i = 0; i < PKI_CRL_HELD_KEYS && !known; i++)
        known = held->keys[i] == key;
    for (size_t i = 0; i < PKI_CRL_HELD_KEYS && !known; i++) {
        if (held->keys[i] && EVP_PKEY_up_ref(held->keys[i]))
            others[count++] = held->keys[i];
    }
    pthread_mutex_unlock(&held->lock);
    while (count-- > 0) {
        known = known || EVP_PKEY_eq(others[count], key) == 1;
        EVP_PKEY_free(others[count]);
    }
    return known;
}

static void
key_keep(struct pki_crl_held *held, EVP_PKEY *key)
{
    EVP_PKEY *old;

    if (!EVP_PKEY_up_ref(key))
        return;
    pthread_mutex_lock(&held->lock);
    old = held->keys[held->key_next];
    held->keys[held->key_next] = key;
    held->key_next = (held->key_next + 1) % PKI_CRL_HELD_KEYS;
    pthread_mutex_unlock(&held->lock);
    EVP_PKEY_free(old);
}

static int
on_verify(X509_CRL *crl, EVP_PKEY *key)
{
    struct pki_crl_held *held = pki_crl_held_of(crl);

    if (!held)
        return foreign_verify(crl, key);
    if (key_is_known(held, key))
        return 1;
    if (!pki_crl_signed_check(&held->shape, &held->what, key))
        return 0;
    key_keep(held, key);
    return 1;
}

static int
on_free(X509_CRL *crl)
{
    struct pki_crl_held *held = pki_crl_held_of(crl);

    X509_CRL_set_meth_data(crl, NULL);
    pki_crl_held_free(&held);
    return 1;
}

struct pki_crl_held *
pki_crl_held_of(const X509_CRL *crl)
{
    struct pki_crl_held *held = X509_CRL_get_meth_data((X509_CRL *)crl);

    return held && held->magic == PKI_CRL_HELD_MAGIC ? held : NULL;
}

enum err_code
pki_crl_init(struct err *err)
{
    enum err_code code = ERR_OK;

    pthread_mutex_lock(&method_lock);
    if (!method) {
        method = X509_CRL_METHOD_new(NULL, on_free, on_lookup, on_verify);
        if (method)
            X509_CRL_set_default_method(method);
        else
            code = pki_crypto_fail(err, ERR_NOMEM, "no memory for the method of CRLs");
    }
    pthread_mutex_unlock(&method_lock);
    return code;
}

const X509_CRL_METHOD *
pki_crl_method_get0(void)
{
    return method;
}
