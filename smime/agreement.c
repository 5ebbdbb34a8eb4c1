#include "smime/agreement.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "util/buf.h"
#include "pki/crypto.h"
#include "smime/attribute.h"
#include "smime/ber.h"
#include "smime/content.h"
#include "smime/der.h"
#include "smime/kdf.h"

enum {
    LIMIT_SECRET = 256,
    LIMIT_KEK = 32,
    LIMIT_INFO = 8192,
    BIT_STRING = 0x03,
    WRAP_OVERHEAD = 8 /* RFC 3394 2.2.1 */
};

/* Key agreement schemes by the contents octets of their OIDs. */
static const struct scheme {
    unsigned char n, oid[11];
    bool hkdf;
    const char *digest;
} schemes[] = {
    /* dhSinglePass-stdDH-*kdf-scheme, RFC 5753 7.1.4; SHA-1 is what the oldest senders write */
    { 9, { 0x2b, 0x81, 0x05, 0x10, 0x86, 0x48, 0x3f, 0x00, 0x02 }, false, "SHA1" },
    { 6, { 0x2b, 0x81, 0x04, 0x01, 0x0b, 0x00 }, false, "SHA224" },
    { 6, { 0x2b, 0x81, 0x04, 0x01, 0x0b, 0x01 }, false, "SHA256" },
    { 6, { 0x2b, 0x81, 0x04, 0x01, 0x0b, 0x02 }, false, "SHA384" },
    { 6, { 0x2b, 0x81, 0x04, 0x01, 0x0b, 0x03 }, false, "SHA512" },
    /* dhSinglePass-cofactorDH-*kdf-scheme: the cofactor of the curves we have is 1 */
    { 9, { 0x2b, 0x81, 0x05, 0x10, 0x86, 0x48, 0x3f, 0x00, 0x03 }, false, "SHA1" },
    { 6, { 0x2b, 0x81, 0x04, 0x01, 0x0e, 0x00 }, false, "SHA224" },
    { 6, { 0x2b, 0x81, 0x04, 0x01, 0x0e, 0x01 }, false, "SHA256" },
    { 6, { 0x2b, 0x81, 0x04, 0x01, 0x0e, 0x02 }, false, "SHA384" },
    { 6, { 0x2b, 0x81, 0x04, 0x01, 0x0e, 0x03 }, false, "SHA512" },
    /* dhSinglePass-stdDH-hkdf-*-scheme, RFC 8418 2.2 */
    { 11, { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x03, 0x13 }, true, "SHA256" },
    { 11, { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x03, 0x14 }, true, "SHA384" },
    { 11, { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x03, 0x15 }, true, "SHA512" },
};

/* id-aes128-wrap, id-aes192-wrap, id-aes256-wrap: they differ in the last octet (RFC 3565 2.3.2).
 */
static const unsigned char oid_aes[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01 };
static const struct wrap {
    unsigned char last, key_bytes;
    const EVP_CIPHER *(*get)(void);
} wraps[] = { { 0x05, 16, EVP_aes_128_wrap },
              { 0x19, 24, EVP_aes_192_wrap },
              { 0x2d, 32, EVP_aes_256_wrap } };

struct agreement {
    const struct scheme *scheme;
    const struct wrap *wrap;
    struct span wrap_algorithm; /* element */
    struct span public_key;     /* octets of the originator's point */
};

static bool
get_as(struct span *rest, unsigned char identifier, struct smime_ber_element *out)
{
    return smime_ber_get(rest, out, NULL) == ERR_OK && out->identifier == identifier;
}

static bool
parse_wrap(struct span algorithm, struct agreement *out)
{
    struct smime_ber_element whole, oid;
    out->wrap_algorithm = algorithm;
    if (!get_as(&algorithm, SMIME_BER_SEQUENCE, &whole))
        return false;
    struct span inside = whole.contents;
    if (!get_as(&inside, SMIME_BER_OID, &oid) || oid.contents.n != sizeof(oid_aes) + 1 ||
        memcmp(oid.contents.p, oid_aes, sizeof(oid_aes)) != 0)
        return false;
    for (size_t i = 0; i < sizeof(wraps) / sizeof(wraps[0]); i++)
        if (wraps[i].last == oid.contents.p[sizeof(oid_aes)])
            out->wrap = &wraps[i];
    return out->wrap != NULL;
}

/* keyEncryptionAlgorithm: SEQUENCE { scheme, KeyWrapAlgorithm } (RFC 5753 7.2). */
static bool
parse_algorithm(struct span algorithm, struct agreement *out)
{
    struct smime_ber_element whole, oid, wrap;
    if (!get_as(&algorithm, SMIME_BER_SEQUENCE, &whole))
        return false;
    struct span inside = whole.contents;
    if (!get_as(&inside, SMIME_BER_OID, &oid) || !get_as(&inside, SMIME_BER_SEQUENCE, &wrap))
        return false;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (span_equal(oid.contents, span_of(schemes[i].oid, schemes[i].n)))
            out->scheme = &schemes[i];
    return out->scheme != NULL && parse_wrap(wrap.whole, out);
}

/* [1] OriginatorPublicKey { algorithm, BIT STRING }. A certificate of the originator instead
 * (static-static Diffie-Hellman) is nothing that mail uses. */
static bool
parse_originator(struct span originator, struct agreement *out)
{
    struct smime_ber_element key, algorithm, bits;
    if (!get_as(&originator, SMIME_BER_CONTEXT_CONSTRUCTED + 1, &key))
        return false;
    struct span inside = key.contents;
    if (!get_as(&inside, SMIME_BER_SEQUENCE, &algorithm) || !get_as(&inside, BIT_STRING, &bits) ||
        bits.contents.n < 2 || bits.contents.p[0] != 0)
        return false;
    out->public_key = span_from(bits.contents, 1);
    return true;
}

/* The originator's point must be one of our key's curve; the library checks that it is on it. */
static EVP_PKEY *
make_peer(EVP_PKEY *key, struct span point)
{
    int kind = EVP_PKEY_get_base_id(key);
    if (kind == EVP_PKEY_X25519 || kind == EVP_PKEY_X448)
        return EVP_PKEY_new_raw_public_key(kind, NULL, point.p, point.n);
    EVP_PKEY *peer = EVP_PKEY_new();
    if (peer == NULL || EVP_PKEY_copy_parameters(peer, key) <= 0 ||
        EVP_PKEY_set1_encoded_public_key(peer, point.p, point.n) <= 0) {
        EVP_PKEY_free(peer);
        return NULL;
    }
    return peer;
}

static bool
derive(EVP_PKEY *key, EVP_PKEY *peer, unsigned char *secret, size_t *n)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    bool good = context != NULL && EVP_PKEY_derive_init(context) > 0 &&
                EVP_PKEY_derive_set_peer(context, peer) > 0 &&
                EVP_PKEY_derive(context, NULL, n) > 0 && *n <= LIMIT_SECRET &&
                EVP_PKEY_derive(context, secret, n) > 0;
    EVP_PKEY_CTX_free(context);
    return good;
}

static bool
get_secret(EVP_PKEY *key, struct span point, unsigned char *secret, size_t *n)
{
    EVP_PKEY *peer = make_peer(key, point);
    bool good = peer != NULL && derive(key, peer, secret, n);

    EVP_PKEY_free(peer);
    return good;
}

static enum err_code
append(struct buf *out, unsigned char identifier, struct span contents, struct err *err)
{
    unsigned char header[SMIME_BER_HEADER];
    size_t n = smime_ber_format(identifier, contents.n, header);
    enum err_code code = buf_append(out, span_of(header, n), err);
    return code != ERR_OK ? code : buf_append(out, contents, err);
}

/* An octet string inside an explicit tag. */
static enum err_code
append_explicit(struct buf *out, unsigned number, struct span octets, struct err *err)
{
    struct buf inner = BUF_INIT(LIMIT_INFO);
    enum err_code code = append(&inner, SMIME_BER_OCTETS, octets, err);
    if (code == ERR_OK)
        code = append(out, (unsigned char)(SMIME_BER_CONTEXT_CONSTRUCTED + number),
                      buf_span(&inner), err);
    buf_free(&inner);
    return code;
}

/* ECC-CMS-SharedInfo ::= SEQUENCE { keyInfo, [0] entityUInfo OPTIONAL, [2] suppPubInfo } (RFC
 * 5753 7.2). */
static enum err_code
format_info(const struct agreement *agreement, struct span ukm, struct buf *out, struct err *err)
{
    unsigned bits = agreement->wrap->key_bytes * 8u;
    const unsigned char supplied[] = { 0, 0, (unsigned char)(bits >> 8), (unsigned char)bits };
    struct buf inner = BUF_INIT(LIMIT_INFO);
    enum err_code code = buf_append(&inner, agreement->wrap_algorithm, err);
    if (code == ERR_OK && ukm.p != NULL)
        code = append_explicit(&inner, 0, ukm, err);
    if (code == ERR_OK)
        code = append_explicit(&inner, 2, span_of(supplied, sizeof(supplied)), err);
    if (code == ERR_OK)
        code = append(out, SMIME_BER_SEQUENCE, buf_span(&inner), err);
    buf_free(&inner);
    return code;
}

/* AES key wrap is its own integrity check. */
static bool
unwrap(const struct agreement *agreement, const unsigned char *kek, struct span wrapped,
       unsigned char *cek, size_t key_bytes)
{
    unsigned char out[SMIME_CONTENT_KEY + WRAP_OVERHEAD];
    int n = 0, last = 0;
    if (wrapped.n != key_bytes + WRAP_OVERHEAD || wrapped.n > sizeof(out))
        return false;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context == NULL)
        return false;
    EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    bool good = EVP_DecryptInit_ex(context, agreement->wrap->get(), NULL, kek, NULL) > 0 &&
                EVP_DecryptUpdate(context, out, &n, wrapped.p, (int)wrapped.n) > 0 &&
                EVP_DecryptFinal_ex(context, out + n, &last) > 0 && (size_t)(n + last) == key_bytes;
    EVP_CIPHER_CTX_free(context);
    if (good)
        memcpy(cek, out, key_bytes);
    OPENSSL_cleanse(out, sizeof(out));
    return good;
}

enum err_code
smime_agreement_get(const struct smime_recipient *recipient, EVP_PKEY *key, unsigned char *cek,
                    size_t key_bytes, struct err *err)
{
    struct agreement agreement = { .scheme = NULL };
    unsigned char secret[LIMIT_SECRET], kek[LIMIT_KEK];
    size_t secret_n = sizeof(secret);
    struct buf info = BUF_INIT(LIMIT_INFO);
    int kind = EVP_PKEY_get_base_id(key);
    if ((kind != EVP_PKEY_EC && kind != EVP_PKEY_X25519 && kind != EVP_PKEY_X448) ||
        !parse_algorithm(recipient->algorithm, &agreement) ||
        !parse_originator(recipient->originator, &agreement))
        return err_set_reason(err, ERR_PERM, "unsupported-algorithm",
                              "the key agreement is not supported");
    enum err_code code = format_info(&agreement, recipient->ukm, &info, err);
    if (code == ERR_LIMIT || code == ERR_PERM)
        code = smime_content_fail(err);
    if (code != ERR_OK)
        goto out;
    bool good = get_secret(key, agreement.public_key, secret, &secret_n);
    const struct smime_kdf_args args = { .hkdf = agreement.scheme->hkdf,
                                         .digest = agreement.scheme->digest,
                                         .secret = span_of(secret, secret_n),
                                         .info = buf_span(&info) };
    good = good && smime_kdf_get(&args, kek, agreement.wrap->key_bytes) &&
           unwrap(&agreement, kek, recipient->wrapped, cek, key_bytes);
    if (!good)
        code = smime_content_fail(err);
out:
    OPENSSL_cleanse(secret, sizeof(secret));
    OPENSSL_cleanse(kek, sizeof(kek));
    buf_free(&info);
    pki_crypto_reset();
    return code;
}

/* ---- writing ---- */

static const unsigned char version_3[] = { SMIME_BER_INTEGER, 1, 3 };
/* id-ecPublicKey without parameters: the curve is that of the recipient's key (RFC 5753 3.1.1). */
static const unsigned char ec_public_key[] = { 0x30, 0x09, 0x06, 0x07, 0x2a, 0x86,
                                               0x48, 0xce, 0x3d, 0x02, 0x01 };

enum { SCHEME_SHA256 = 2 /* in schemes[]: dhSinglePass-stdDH-sha256kdf */ };

/* The AES key wrap for a key of that size. */
static const struct wrap *
find_wrap(size_t key_bytes)
{
    for (size_t i = 0; i < sizeof(wraps) / sizeof(wraps[0]); i++)
        if (wraps[i].key_bytes >= key_bytes)
            return &wraps[i];
    return NULL;
}

static EVP_PKEY *
make_ephemeral(EVP_PKEY *like)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(like, NULL);
    EVP_PKEY *made = NULL;

    if (context == NULL || EVP_PKEY_keygen_init(context) <= 0 ||
        EVP_PKEY_keygen(context, &made) <= 0)
        made = NULL;
    EVP_PKEY_CTX_free(context);
    return made;
}

static bool
wrap_key(const struct wrap *wrap, const unsigned char *kek, struct span cek, unsigned char *out,
         size_t *out_n)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int n = 0, last = 0;

    if (context == NULL)
        return false;
    EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    bool good = EVP_EncryptInit_ex(context, wrap->get(), NULL, kek, NULL) > 0 &&
                EVP_EncryptUpdate(context, out, &n, cek.p, (int)cek.n) > 0 &&
                EVP_EncryptFinal_ex(context, out + n, &last) > 0;
    EVP_CIPHER_CTX_free(context);
    *out_n = (size_t)(n + last);
    return good && *out_n == cek.n + WRAP_OVERHEAD;
}

/* Version, originator [0] { [1] OriginatorPublicKey }, keyEncryptionAlgorithm. */
static enum err_code
append_terms(const struct agreement *agreement, struct buf *out, struct err *err)
{
    static const unsigned char no_unused_bits = 0;
    struct span scheme = span_of(agreement->scheme->oid, agreement->scheme->n);
    size_t originator, bits, algorithm;
    enum err_code code = buf_append(out, span_of(version_3, sizeof(version_3)), err);

    originator = smime_der_begin(out);
    if (code == ERR_OK)
        code = buf_append(out, span_of(ec_public_key, sizeof(ec_public_key)), err);
    bits = smime_der_begin(out);
    if (code == ERR_OK)
        code = buf_append_byte(out, no_unused_bits, err);
    if (code == ERR_OK)
        code = buf_append(out, agreement->public_key, err);
    if (code == ERR_OK)
        code = smime_der_end(out, bits, BIT_STRING, err);
    if (code == ERR_OK)
        code = smime_der_end(out, originator, SMIME_BER_CONTEXT_CONSTRUCTED + 1, err);
    if (code == ERR_OK)
        code = smime_der_end(out, originator, SMIME_BER_CONTEXT_CONSTRUCTED, err);
    algorithm = smime_der_begin(out);
    if (code == ERR_OK)
        code = smime_der_append(out, SMIME_BER_OID, scheme, err);
    if (code == ERR_OK)
        code = buf_append(out, agreement->wrap_algorithm, err);
    return code == ERR_OK ? smime_der_end(out, algorithm, SMIME_BER_SEQUENCE, err) : code;
}

/* recipientEncryptedKeys: one, for issuer and serial number. */
static enum err_code
append_encrypted(const struct pki_certificate *certificate, struct span wrapped, struct buf *out,
                 struct err *err)
{
    size_t list = smime_der_begin(out);
    enum err_code code = smime_attribute_format_issuer(certificate, out, err);

    if (code == ERR_OK)
        code = smime_der_end(out, list, SMIME_BER_SEQUENCE, err);
    if (code == ERR_OK)
        code = smime_der_append(out, SMIME_BER_OCTETS, wrapped, err);
    if (code == ERR_OK)
        code = smime_der_end(out, list, SMIME_BER_SEQUENCE, err);
    return code == ERR_OK ? smime_der_end(out, list, SMIME_BER_SEQUENCE, err) : code;
}

/* The wrapped key of one recipient into `wrapped`: its octets are WRAP_OVERHEAD more than `cek`. */
static enum err_code
agree(const struct agreement *agreement, EVP_PKEY *ephemeral, EVP_PKEY *key, struct span cek,
      unsigned char *wrapped, struct err *err)
{
    unsigned char secret[LIMIT_SECRET], kek[LIMIT_KEK];
    size_t secret_n = sizeof(secret), wrapped_n = 0;
    struct buf info = BUF_INIT(LIMIT_INFO);
    enum err_code code = format_info(agreement, span_of(NULL, 0), &info, err);

    if (code == ERR_OK && !derive(ephemeral, key, secret, &secret_n))
        code = pki_crypto_fail(err, ERR_PERM, "no key can be agreed upon");
    const struct smime_kdf_args args = { .digest = agreement->scheme->digest,
                                         .secret = span_of(secret, secret_n),
                                         .info = buf_span(&info) };
    if (code == ERR_OK && (!smime_kdf_get(&args, kek, agreement->wrap->key_bytes) ||
                           !wrap_key(agreement->wrap, kek, cek, wrapped, &wrapped_n)))
        code = pki_crypto_fail(err, ERR_PERM, "the key cannot be wrapped");
    OPENSSL_cleanse(secret, sizeof(secret));
    OPENSSL_cleanse(kek, sizeof(kek));
    buf_free(&info);
    return code;
}

enum err_code
smime_agreement_format(const struct pki_certificate *certificate, struct span cek, struct buf *out,
                       struct err *err)
{
    EVP_PKEY *key = X509_get0_pubkey(pki_certificate_get0_x509(certificate));
    EVP_PKEY *ephemeral = make_ephemeral(key);
    struct agreement agreement = { .scheme = &schemes[SCHEME_SHA256], .wrap = find_wrap(cek.n) };
    unsigned char wrap_algorithm[] = { 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48,
                                       0x01, 0x65, 0x03, 0x04, 0x01, 0 };
    unsigned char wrapped[SMIME_CONTENT_KEY + WRAP_OVERHEAD], *point = NULL;
    size_t at = smime_der_begin(out), point_n = 0;
    enum err_code code;

    if (agreement.wrap == NULL || cek.n > SMIME_CONTENT_KEY) {
        code = err_set(err, ERR_BUG, "a key of %zu octets", cek.n);
        goto out;
    }
    wrap_algorithm[sizeof(wrap_algorithm) - 1] = agreement.wrap->last;
    agreement.wrap_algorithm = span_of(wrap_algorithm, sizeof(wrap_algorithm));
    if (ephemeral != NULL)
        point_n = EVP_PKEY_get1_encoded_public_key(ephemeral, &point);
    if (point_n == 0) {
        code = pki_crypto_fail(err, ERR_PERM, "no ephemeral key on this curve");
        goto out;
    }
    agreement.public_key = span_of(point, point_n);
    code = agree(&agreement, ephemeral, key, cek, wrapped, err);
    if (code == ERR_OK)
        code = append_terms(&agreement, out, err);
    if (code == ERR_OK)
        code = append_encrypted(certificate, span_of(wrapped, cek.n + WRAP_OVERHEAD), out, err);
    if (code == ERR_OK)
        code = smime_der_end(out, at, SMIME_BER_CONTEXT_CONSTRUCTED + 1, err);
out:
    OPENSSL_free(point);
    EVP_PKEY_free(ephemeral);
    return code;
}
