#include "pki/certificate.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "pki/context.h"
#include "pki/crypto.h"
#include "pki/der.h"
#include "pki/pointer.h"
#include "pki/san.h"

enum { DER_LIMIT_BYTES = 64 * 1024, DIGEST_BYTES = 32 };

struct pki_certificate {
    atomic_uint references;
    X509 *x509;
    unsigned char *der;
    size_t der_bytes;
    struct pki_san san;
    struct pki_san subject_san;
    char *subject, *issuer, *serial;
    char fingerprint[2 * DIGEST_BYTES + 1];
    struct pki_certificate_facts facts;
    struct pki_pointers *pointers;
    struct pki_contexts contexts;
};

/* Where an X509 keeps whose it is. */
static CRYPTO_ONCE owner_once = CRYPTO_ONCE_STATIC_INIT;
static int owner_index = -1;

/* A duplicate is not ours. */
static int
owner_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **data, int index, long argl,
          void *argp)
{
    (void)to;
    (void)from;
    (void)index;
    (void)argl;
    (void)argp;
    *data = NULL;
    return 1;
}

static void
owner_init(void)
{
    owner_index = X509_get_ex_new_index(0, NULL, NULL, owner_dup, NULL);
}

static enum err_code
owner_set(struct pki_certificate *certificate, struct err *err)
{
    if (!CRYPTO_THREAD_run_once(&owner_once, owner_init) || owner_index < 0 ||
        !X509_set_ex_data(certificate->x509, owner_index, certificate))
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for a certificate");
    return ERR_OK;
}

static const char *const no_addresses[] = { NULL };

/* RFC 4514, with everything beyond printable ASCII escaped, so that it fits one line of a log, a
 * header or an LDAP filter's argument alike. */
static enum err_code
name_format(const X509_NAME *name, char **out, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    long n;
    enum err_code code = ERR_OK;

    if (!bio) {
        code = pki_crypto_fail(err, ERR_NOMEM, "no memory for a name");
        goto out;
    }
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0) {
        code = pki_crypto_fail(err, ERR_PERM, "a name of the certificate cannot be printed");
        goto out;
    }
    n = BIO_get_mem_data(bio, &text);
    *out = span_dup(span_of(text, n > 0 ? (size_t)n : 0));
    if (!*out)
        code = err_set(err, ERR_NOMEM, "no memory for a name");
out:
    BIO_free(bio);
    return code;
}

static enum err_code
serial_format(const X509 *x509, char **out, struct err *err)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x509), NULL);
    char *hex = number ? BN_bn2hex(number) : NULL;
    enum err_code code = ERR_OK;

    if (hex)
        *out = strdup(hex);
    if (!hex)
        code = pki_crypto_fail(err, ERR_NOMEM, "no memory for a serial number");
    else if (!*out)
        code = err_set(err, ERR_NOMEM, "no memory for a serial number");
    OPENSSL_free(hex);
    BN_free(number);
    return code;
}

static enum err_code
time_parse(const ASN1_TIME *time, time_t *out, struct err *err)
{
    struct tm tm;

    /* NULL would mean "now" to the library. */
    if (!time || !ASN1_TIME_to_tm(time, &tm))
        return pki_crypto_fail(err, ERR_PERM, "a time of the certificate cannot be read");
    *out = timegm(&tm);
    return ERR_OK;
}

/* The library decodes the key while it reads the certificate, and keeps no reason when it cannot:
 * an algorithm that it does not know, or no memory (then the key can also be there without its
 * size). Read once more by itself, a key that is whole now was not for memory. */
static enum err_code
missing_key_check(const X509 *x509, struct err *err)
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &der);
    const unsigned char *p = der;
    EVP_PKEY *key = n > 0 ? d2i_PUBKEY(NULL, &p, n) : NULL;
    bool is_short = n <= 0 || (key && EVP_PKEY_get_bits(key) > 0);

    is_short = pki_crypto_is_short() || is_short;
    EVP_PKEY_free(key);
    OPENSSL_free(der);
    return is_short ? err_set(err, ERR_NOMEM, "no memory for the key of a certificate") : ERR_OK;
}

static enum err_code
key_get(const X509 *x509, struct pki_certificate_facts *facts, struct err *err)
{
    EVP_PKEY *key = X509_get0_pubkey(x509);
    ASN1_OBJECT *oid = NULL;

    /* By OID, since a DSA key that inherits its parameters, or a key of an unknown curve, gives no
     * key. */
    X509_PUBKEY_get0_param(&oid, NULL, NULL, NULL, X509_get_X509_PUBKEY(x509));
    switch (OBJ_obj2nid(oid)) {
    case NID_rsaEncryption:
    case NID_rsassaPss:
        facts->key_algorithm = "rsa";
        break;
    case NID_X9_62_id_ecPublicKey:
        facts->key_algorithm = "ec";
        break;
    case NID_ED25519:
        facts->key_algorithm = "ed25519";
        break;
    case NID_X25519:
        facts->key_algorithm = "x25519";
        break;
    case NID_dsa:
        facts->key_algorithm = "dsa";
        break;
    default:
        facts->key_algorithm = "other";
    }
    facts->key_bits = key && EVP_PKEY_get_bits(key) > 0 ? (unsigned)EVP_PKEY_get_bits(key) : 0;
    pki_crypto_reset();
    return facts->key_bits > 0 ? ERR_OK : missing_key_check(x509, err);
}

static enum err_code
fingerprint_format(struct pki_certificate *certificate, struct err *err)
{
    unsigned char digest[DIGEST_BYTES];

    if (!EVP_Digest(certificate->der, certificate->der_bytes, digest, NULL, EVP_sha256(), NULL))
        return pki_crypto_fail(err, ERR_NOMEM, "SHA-256 failed");
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(certificate->fingerprint + 2 * i, 3, "%02x", digest[i]);
    return ERR_OK;
}

/* RFC 5280 4.2.1.9 and, for what claims no basicConstraints, what it may do: sign certificates. A
 * self-signed version 1 certificate cannot say what it is; the old roots of public authorities have
 * that shape and an emailAddress in the subject, so it counts as a CA, never as a person. */
static bool
is_ca(X509 *x509)
{
    return X509_check_ca(x509) != 0;
}

static enum err_code
facts_parse(struct pki_certificate *certificate, struct err *err)
{
    X509 *x509 = certificate->x509;
    struct pki_certificate_facts *facts = &certificate->facts;
    enum err_code code;

    if ((code = name_format(X509_get_subject_name(x509), &certificate->subject, err)) ||
        (code = name_format(X509_get_issuer_name(x509), &certificate->issuer, err)) ||
        (code = serial_format(x509, &certificate->serial, err)) ||
        (code = time_parse(X509_get0_notBefore(x509), &facts->not_before, err)) ||
        (code = time_parse(X509_get0_notAfter(x509), &facts->not_after, err)) ||
        (code = fingerprint_format(certificate, err)) ||
        (code = pki_san_parse(x509, &certificate->san, err)) ||
        (code = pki_san_parse_subject(x509, &certificate->subject_san, err)))
        return code;
    facts->subject = certificate->subject;
    facts->issuer = certificate->issuer;
    facts->serial = certificate->serial;
    facts->fingerprint = certificate->fingerprint;
    facts->addresses =
        certificate->san.list ? (const char *const *)certificate->san.list : no_addresses;
    facts->subject_addresses = certificate->subject_san.list
                                   ? (const char *const *)certificate->subject_san.list
                                   : no_addresses;
    facts->bad_address = certificate->san.bad || certificate->subject_san.bad;
    facts->ca = is_ca(x509);
    facts->self_issued = (X509_get_extension_flags(x509) & EXFLAG_SI) != 0;
    return key_get(x509, facts, err);
}

/* The library keeps the octets that were signed while the key is replaced; this makes sure of it.
 */
static enum err_code
key_set(struct pki_certificate *certificate, EVP_PKEY *key, struct err *err)
{
    unsigned char *der = NULL;
    int n;
    bool same;

    if (!X509_set_pubkey(certificate->x509, key))
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for the key of a certificate");
    n = i2d_X509(certificate->x509, &der);
    same = n > 0 &&
           span_equal(span_of(der, (size_t)n), span_of(certificate->der, certificate->der_bytes));
    OPENSSL_free(der);
    return same ? ERR_OK
                : pki_crypto_fail(err, ERR_PERM, "the key of a certificate cannot be replaced");
}

static enum err_code
certificate_parse(struct span der, EVP_PKEY *key, struct pki_certificate **out, struct err *err)
{
    struct pki_certificate *certificate = NULL;
    const unsigned char *p;
    enum err_code code;

    *out = NULL;
    pki_crypto_reset();
    if (der.n > DER_LIMIT_BYTES)
        return err_set(err, ERR_LIMIT, "a certificate of more than %d octets", DER_LIMIT_BYTES);
    /* The library reads BER too, but then names, digests and comparisons depend on the reader. */
    if ((code = pki_der_check(der, err)) != ERR_OK)
        return code;
    certificate = calloc(1, sizeof *certificate);
    if (!certificate || !(certificate->der = malloc(der.n))) {
        code = err_set(err, ERR_NOMEM, "no memory for a certificate");
        goto out;
    }
    atomic_init(&certificate->references, 1);
    memcpy(certificate->der, der.p, der.n);
    certificate->der_bytes = der.n;
    p = certificate->der;
    certificate->x509 = d2i_X509(NULL, &p, (long)der.n);
    if (!certificate->x509 || p != certificate->der + der.n) {
        code = pki_crypto_fail(err, ERR_PERM, "not a certificate");
        goto out;
    }
    if ((key && (code = key_set(certificate, key, err))) ||
        (code = facts_parse(certificate, err)) ||
        (code = pki_pointers_parse(certificate->x509, &certificate->pointers, err)) ||
        (code = owner_set(certificate, err)))
        goto out;
    *out = certificate;
    certificate = NULL;
out:
    pki_certificate_free(&certificate);
    pki_crypto_reset();
    return code;
}

enum err_code
pki_certificate_parse(struct span der, struct pki_certificate **out, struct err *err)
{
    return certificate_parse(der, NULL, out, err);
}

enum err_code
pki_certificate_parse_with(struct span der, EVP_PKEY *key, struct pki_certificate **out,
                           struct err *err)
{
    return certificate_parse(der, key, out, err);
}

struct pki_certificate *
pki_certificate_add1(struct pki_certificate *certificate)
{
    if (certificate)
        atomic_fetch_add_explicit(&certificate->references, 1, memory_order_relaxed);
    return certificate;
}

void
pki_certificate_free(struct pki_certificate **certificate)
{
    struct pki_certificate *c = *certificate;

    *certificate = NULL;
    if (!c || atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) != 1)
        return;
    pki_context_free(&c->contexts);
    pki_san_free(&c->san);
    pki_san_free(&c->subject_san);
    pki_pointers_free(&c->pointers);
    /* The library may hold a reference of its own (a store, a chain). */
    if (c->x509 && pki_certificate_of(c->x509) == c)
        X509_set_ex_data(c->x509, owner_index, NULL);
    X509_free(c->x509);
    free(c->subject);
    free(c->issuer);
    free(c->serial);
    free(c->der);
    free(c);
}

const struct pki_certificate_facts *
pki_certificate_get(const struct pki_certificate *certificate)
{
    return &certificate->facts;
}

X509 *
pki_certificate_get0_x509(const struct pki_certificate *certificate)
{
    return certificate->x509;
}

/* What can be known of a certificate does not change; what is prepared for its key may grow. */
struct pki_contexts *
pki_certificate_get0_contexts(const struct pki_certificate *certificate)
{
    return (struct pki_contexts *)&certificate->contexts;
}

struct pki_certificate *
pki_certificate_of(const X509 *x509)
{
    if (!CRYPTO_THREAD_run_once(&owner_once, owner_init) || owner_index < 0)
        return NULL;
    return X509_get_ex_data(x509, owner_index);
}

const struct pki_pointers *
pki_certificate_get0_pointers(const struct pki_certificate *certificate)
{
    return certificate->pointers;
}

struct span
pki_certificate_der(const struct pki_certificate *certificate)
{
    return span_of(certificate->der, certificate->der_bytes);
}

bool
pki_certificate_is(const struct pki_certificate *a, const struct pki_certificate *b)
{
    return a == b || (a->der_bytes == b->der_bytes && memcmp(a->der, b->der, a->der_bytes) == 0);
}
