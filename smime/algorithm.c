#include "smime/algorithm.h"

#include <stdatomic.h>
#include <string.h>

#include <openssl/objects.h>

#include "pki/crypto.h"
#include "pki/reason.h"

enum { DIGEST_DER = 13, CIPHER_DER = 11 };

static const struct {
    const char *name, *micalg, *fetch;
    const EVP_MD *(*get)(void);
    unsigned char der[DIGEST_DER];
} digests[] = {
#define DIGEST_OID(last)                                                             \
    {                                                                                \
        0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last \
    }
    [SMIME_DIGEST_SHA256] = { "sha256", "sha-256", "SHA2-256", EVP_sha256, DIGEST_OID(1) },
    [SMIME_DIGEST_SHA384] = { "sha384", "sha-384", "SHA2-384", EVP_sha384, DIGEST_OID(2) },
    [SMIME_DIGEST_SHA512] = { "sha512", "sha-512", "SHA2-512", EVP_sha512, DIGEST_OID(3) },
#undef DIGEST_OID
};

/* A digest, or a cipher, that is named is looked up at every use, behind a lock that all threads
 * share; one that was fetched is not. Never freed: the threads that use them outlive everything
 * else. */
static _Atomic(EVP_MD *) fetched[sizeof digests / sizeof digests[0]];

static const struct {
    const char *name, *fetch;
    const EVP_CIPHER *(*get)(void);
    bool aead;
    unsigned char der[CIPHER_DER];
} ciphers[] = {
#define CIPHER_OID(last)                                                 \
    {                                                                    \
        0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, last \
    }
    [SMIME_CIPHER_AES128_CBC] = { "aes128-cbc", "AES-128-CBC", EVP_aes_128_cbc, false,
                                  CIPHER_OID(2) },
    [SMIME_CIPHER_AES256_CBC] = { "aes256-cbc", "AES-256-CBC", EVP_aes_256_cbc, false,
                                  CIPHER_OID(42) },
    [SMIME_CIPHER_AES128_GCM] = { "aes128-gcm", "AES-128-GCM", EVP_aes_128_gcm, true,
                                  CIPHER_OID(6) },
    [SMIME_CIPHER_AES256_GCM] = { "aes256-gcm", "AES-256-GCM", EVP_aes_256_gcm, true,
                                  CIPHER_OID(46) },
#undef CIPHER_OID
};

static _Atomic(EVP_CIPHER *) fetched_ciphers[sizeof ciphers / sizeof ciphers[0]];

const char *
smime_digest_name(enum smime_digest digest)
{
    return digests[digest].name;
}

const char *
smime_micalg(enum smime_digest digest)
{
    return digests[digest].micalg;
}

const EVP_MD *
smime_digest_get(enum smime_digest digest)
{
    EVP_MD *md = atomic_load_explicit(&fetched[digest], memory_order_acquire), *none = NULL;

    if (md != NULL)
        return md;
    md = EVP_MD_fetch(NULL, digests[digest].fetch, NULL);
    if (md == NULL) {
        pki_crypto_reset();
        return digests[digest].get();
    }
    if (atomic_compare_exchange_strong(&fetched[digest], &none, md))
        return md;
    EVP_MD_free(md); /* another thread was first */
    return none;
}

struct span
smime_digest_der(enum smime_digest digest)
{
    return span_of(digests[digest].der, DIGEST_DER);
}

const char *
smime_cipher_name(enum smime_cipher cipher)
{
    return ciphers[cipher].name;
}

const EVP_CIPHER *
smime_cipher_get(enum smime_cipher cipher)
{
    EVP_CIPHER *found = atomic_load_explicit(&fetched_ciphers[cipher], memory_order_acquire);
    EVP_CIPHER *none = NULL;

    if (found != NULL)
        return found;
    found = EVP_CIPHER_fetch(NULL, ciphers[cipher].fetch, NULL);
    if (found == NULL) {
        pki_crypto_reset();
        return ciphers[cipher].get();
    }
    if (atomic_compare_exchange_strong(&fetched_ciphers[cipher], &none, found))
        return found;
    EVP_CIPHER_free(found); /* another thread was first */
    return none;
}

struct span
smime_cipher_der(enum smime_cipher cipher)
{
    return span_of(ciphers[cipher].der, CIPHER_DER);
}

bool
smime_cipher_is_aead(enum smime_cipher cipher)
{
    return ciphers[cipher].aead;
}

enum smime_digest
smime_digest_find(EVP_PKEY *key, enum smime_digest wanted)
{
    enum { BITS_P384 = 384, BITS_P521 = 512 };
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC)
        return wanted;
    int bits = EVP_PKEY_get_bits(key);
    enum smime_digest least = bits >= BITS_P521   ? SMIME_DIGEST_SHA512
                              : bits >= BITS_P384 ? SMIME_DIGEST_SHA384
                                                  : SMIME_DIGEST_SHA256;
    return wanted > least ? wanted : least;
}

enum rating { RATING_UNSUPPORTED, RATING_WEAK, RATING_GOOD };

struct rated {
    int nid;
    enum rating rating;
};

/* SHA-224 is not broken, but no S/MIME document names it: nobody sends it for a good reason. */
static const struct rated rated_digests[] = {
    { NID_sha256, RATING_GOOD }, { NID_sha384, RATING_GOOD }, { NID_sha512, RATING_GOOD },
    { NID_sha224, RATING_WEAK }, { NID_sha1, RATING_WEAK },   { NID_md5, RATING_WEAK },
    { NID_md4, RATING_WEAK },    { NID_md2, RATING_WEAK },    { NID_ripemd160, RATING_WEAK },
};

static const struct rated rated_signatures[] = {
    { NID_rsaEncryption, RATING_GOOD },
    { NID_rsassaPss, RATING_GOOD },
    { NID_sha256WithRSAEncryption, RATING_GOOD },
    { NID_sha384WithRSAEncryption, RATING_GOOD },
    { NID_sha512WithRSAEncryption, RATING_GOOD },
    { NID_X9_62_id_ecPublicKey, RATING_GOOD },
    { NID_ecdsa_with_SHA256, RATING_GOOD },
    { NID_ecdsa_with_SHA384, RATING_GOOD },
    { NID_ecdsa_with_SHA512, RATING_GOOD },
    { NID_ED25519, RATING_GOOD },
    { NID_md5WithRSAEncryption, RATING_WEAK },
    { NID_sha1WithRSAEncryption, RATING_WEAK },
    { NID_sha1WithRSA, RATING_WEAK },
    { NID_sha224WithRSAEncryption, RATING_WEAK },
    { NID_ecdsa_with_SHA1, RATING_WEAK },
    { NID_ecdsa_with_SHA224, RATING_WEAK },
    { NID_dsa, RATING_WEAK },
    { NID_dsaWithSHA1, RATING_WEAK },
    { NID_dsaWithSHA1_2, RATING_WEAK },
    { NID_dsa_with_SHA224, RATING_WEAK },
    { NID_dsa_with_SHA256, RATING_WEAK },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static enum rating
find_rating(const struct rated *list, size_t count, int nid)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].nid == nid)
            return list[i].rating;
    return RATING_UNSUPPORTED;
}

/* True when nothing is wrong with `nid`; else `out` says what. */
static bool
check_rating(enum rating rating, int nid, const char *what, struct pki_answer *out)
{
    const char *name = nid == NID_undef ? NULL : OBJ_nid2ln(nid);
    name = name != NULL ? name : "unknown";
    if (rating == RATING_UNSUPPORTED)
        pki_reason_set(out, PKI_REASON_UNSUPPORTED_ALGORITHM, "the %s %s is not supported", what,
                       name);
    else if (rating == RATING_WEAK)
        pki_reason_set(out, PKI_REASON_WEAK_ALGORITHM, "the %s %s is too weak", what, name);
    return rating == RATING_GOOD;
}

void
smime_algorithm_check(int digest_nid, int signature_nid, const struct pki_certificate *signer,
                      struct pki_answer *out)
{
    enum { EC_BITS_MIN = 224 }; /* P-224 is weak, P-256 is not */
    enum rating digest = find_rating(rated_digests, COUNT(rated_digests), digest_nid);
    enum rating signature = find_rating(rated_signatures, COUNT(rated_signatures), signature_nid);
    /* What cannot be judged is named before what is merely weak. */
    if (digest == RATING_UNSUPPORTED || signature != RATING_UNSUPPORTED) {
        if (!check_rating(digest, digest_nid, "digest", out))
            return;
    }
    if (!check_rating(signature, signature_nid, "signature algorithm", out))
        return;
    const struct pki_certificate_facts *facts = signer != NULL ? pki_certificate_get(signer) : NULL;
    if (facts != NULL &&
        ((strcmp(facts->key_algorithm, "rsa") == 0 && facts->key_bits < SMIME_ALGORITHM_RSA_BITS) ||
         (strcmp(facts->key_algorithm, "ec") == 0 && facts->key_bits <= EC_BITS_MIN) ||
         strcmp(facts->key_algorithm, "dsa") == 0)) {
        pki_reason_set(out, PKI_REASON_WEAK_ALGORITHM, "the signer's %s key of %u bits is too weak",
                       facts->key_algorithm, facts->key_bits);
        return;
    }
    pki_reason_set(out, PKI_REASON_OK, "%s", "");
}
