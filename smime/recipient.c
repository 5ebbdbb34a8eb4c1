#include "smime/recipient.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "pki/crypto.h"
#include "smime/agreement.h"
#include "smime/ber.h"
#include "smime/content.h"
#include "smime/identifier.h"

enum {
    KEY_TRANSPORT = SMIME_BER_SEQUENCE,
    KEY_AGREEMENT = SMIME_BER_CONTEXT_CONSTRUCTED + 1,
    LIMIT_RSA_BYTES = 2048, /* RSA of 16384 bits */
    LIMIT_SECRET = 256,
    PKCS1_PADDING_MIN = 8 /* RFC 8017 7.2.1 */
};

static bool
get_as(struct span *rest, unsigned char identifier, struct smime_ber_element *out)
{
    return smime_ber_get(rest, out, NULL) == ERR_OK && out->identifier == identifier;
}

bool
smime_recipient_is_known(struct span element)
{
    return element.n > 0 && (element.p[0] == KEY_TRANSPORT || element.p[0] == KEY_AGREEMENT);
}

/* SEQUENCE { version, rid, keyEncryptionAlgorithm, encryptedKey } */
static bool
find_transport(struct span inside, const struct pki_certificate *certificate,
               struct smime_recipient *out)
{
    struct smime_ber_element version, rid, algorithm, wrapped;
    if (!get_as(&inside, SMIME_BER_INTEGER, &version) ||
        smime_ber_get(&inside, &rid, NULL) != ERR_OK ||
        !get_as(&inside, SMIME_BER_SEQUENCE, &algorithm) ||
        !get_as(&inside, SMIME_BER_OCTETS, &wrapped))
        return false;
    if (!smime_identifier_is(rid.whole, certificate))
        return false;
    out->algorithm = algorithm.whole;
    out->wrapped = wrapped.contents;
    return true;
}

/* SEQUENCE OF SEQUENCE { rid, encryptedKey } */
static bool
find_agreed_key(struct span list, const struct pki_certificate *certificate,
                struct smime_recipient *out)
{
    struct smime_ber_element one, rid, wrapped;
    while (get_as(&list, SMIME_BER_SEQUENCE, &one)) {
        struct span inside = one.contents;
        if (smime_ber_get(&inside, &rid, NULL) == ERR_OK &&
            get_as(&inside, SMIME_BER_OCTETS, &wrapped) &&
            smime_identifier_is(rid.whole, certificate)) {
            out->wrapped = wrapped.contents;
            return true;
        }
    }
    return false;
}

/* [1] { version, [0] originator, [1] ukm OPTIONAL, keyEncryptionAlgorithm, recipientEncryptedKeys }
 */
static bool
find_agreement(struct span inside, const struct pki_certificate *certificate,
               struct smime_recipient *out)
{
    struct smime_ber_element version, originator, next, octets, keys;
    if (!get_as(&inside, SMIME_BER_INTEGER, &version) ||
        !get_as(&inside, SMIME_BER_CONTEXT_CONSTRUCTED, &originator) ||
        smime_ber_get(&inside, &next, NULL) != ERR_OK)
        return false;
    if (next.identifier == SMIME_BER_CONTEXT_CONSTRUCTED + 1) {
        struct span explicit = next.contents;
        if (!get_as(&explicit, SMIME_BER_OCTETS, &octets) ||
            smime_ber_get(&inside, &next, NULL) != ERR_OK)
            return false;
        out->ukm = octets.contents;
    }
    if (next.identifier != SMIME_BER_SEQUENCE || !get_as(&inside, SMIME_BER_SEQUENCE, &keys))
        return false;
    out->originator = originator.contents;
    out->algorithm = next.whole;
    return find_agreed_key(keys.contents, certificate, out);
}

bool
smime_recipient_find(struct span element, const struct pki_certificate *certificate,
                     struct smime_recipient *out)
{
    struct smime_ber_element whole;
    *out = (struct smime_recipient){ .kind = 0 };
    if (smime_ber_get(&element, &whole, NULL) != ERR_OK)
        return false;
    out->kind = whole.identifier;
    if (whole.identifier == KEY_TRANSPORT)
        return find_transport(whole.contents, certificate, out);
    return whole.identifier == KEY_AGREEMENT && find_agreement(whole.contents, certificate, out);
}

static enum err_code
unsupported(struct err *err)
{
    pki_crypto_reset();
    return err_set_reason(err, ERR_PERM, "unsupported-algorithm",
                          "the content key is encrypted with an algorithm that is not supported");
}

/* ---- PKCS#1 v1.5 ---- */

/* 0xff if `byte` is 0, else 0; without a branch. */
static unsigned char
mask_zero(unsigned char byte)
{
    return (unsigned char)(((unsigned)byte - 1) >> 8);
}

/*
 * 00 02 PS 00 KEY, where the length of KEY is known beforehand, so that the place of every octet is
 * known too and nothing is searched. `fallback` is what comes out of a block that does not fit: a
 * digest of the block itself, which needs the private key to know. The same message always gives
 * the same answer, and time and memory accesses do not depend on the block.
 */
static void
take_key(const unsigned char *block, size_t block_n, const unsigned char *fallback,
         unsigned char *cek, size_t key_bytes)
{
    size_t separator = block_n - key_bytes - 1;
    unsigned char good = mask_zero(block[0]);
    good &= mask_zero(block[1] ^ 2);
    for (size_t i = 2; i < separator; i++)
        good &= (unsigned char)~mask_zero(block[i]);
    good &= mask_zero(block[separator]);
    for (size_t i = 0; i < key_bytes; i++)
        cek[i] = (unsigned char)((block[separator + 1 + i] & good) |
                                 (fallback[i] & (unsigned char)~good));
}

static enum err_code
get_pkcs1(const struct smime_recipient *recipient, EVP_PKEY *key, unsigned char *cek,
          size_t key_bytes, struct err *err)
{
    unsigned char block[LIMIT_RSA_BYTES], fallback[EVP_MAX_MD_SIZE];
    unsigned fallback_n = 0;
    size_t n = sizeof(block);
    size_t size = (size_t)EVP_PKEY_get_size(key);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    bool ready = context != NULL && size <= sizeof(block) &&
                 size >= key_bytes + PKCS1_PADDING_MIN + 3 && EVP_PKEY_decrypt_init(context) > 0 &&
                 EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING) > 0;
    /* A number as large as the modulus is refused here; everybody can see that it is. The message
     * has failed then, and its key is a digest of what everybody can see: the same each time too.
     */
    bool opened = ready && EVP_PKEY_decrypt(context, block, &n, recipient->wrapped.p,
                                            recipient->wrapped.n) > 0;
    EVP_PKEY_CTX_free(context);
    enum err_code code = ERR_OK;
    if (!opened || n != size) {
        if (EVP_Digest(recipient->wrapped.p, recipient->wrapped.n, fallback, &fallback_n,
                       EVP_sha512(), NULL))
            memcpy(cek, fallback, key_bytes);
        code = smime_content_fail(err);
    } else if (!EVP_Digest(block, n, fallback, &fallback_n, EVP_sha512(), NULL)) {
        code = smime_content_fail(err);
    } else {
        take_key(block, n, fallback, cek, key_bytes);
    }
    OPENSSL_cleanse(block, sizeof(block));
    OPENSSL_cleanse(fallback, sizeof(fallback));
    pki_crypto_reset();
    return code;
}

/* ---- OAEP ---- */

struct oaep {
    const EVP_MD *md, *mgf_md;
};

/* RSAES-OAEP-params with their defaults (RFC 4055 4.1). A label is nothing that CMS uses. */
static bool
parse_oaep(const X509_ALGOR *algorithm, struct oaep *out)
{
    RSA_OAEP_PARAMS *parameters = NULL;
    X509_ALGOR *mgf_hash = NULL;
    bool good = false;
    if (algorithm->parameter != NULL)
        parameters =
            ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_OAEP_PARAMS), algorithm->parameter);
    if (parameters == NULL)
        return false;
    *out = (struct oaep){ .md = EVP_sha1(), .mgf_md = EVP_sha1() };
    if (parameters->hashFunc != NULL)
        out->md = EVP_get_digestbyobj(parameters->hashFunc->algorithm);
    if (parameters->maskGenFunc != NULL) {
        if (OBJ_obj2nid(parameters->maskGenFunc->algorithm) == NID_mgf1)
            mgf_hash = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(X509_ALGOR),
                                                 parameters->maskGenFunc->parameter);
        if (mgf_hash == NULL)
            goto out;
        out->mgf_md = EVP_get_digestbyobj(mgf_hash->algorithm);
    }
    if (parameters->pSourceFunc != NULL) {
        const ASN1_TYPE *label = parameters->pSourceFunc->parameter;
        if (OBJ_obj2nid(parameters->pSourceFunc->algorithm) != NID_pSpecified || label == NULL ||
            label->type != V_ASN1_OCTET_STRING ||
            ASN1_STRING_length(label->value.octet_string) != 0)
            goto out;
    }
    good = out->md != NULL && out->mgf_md != NULL;
out:
    X509_ALGOR_free(mgf_hash);
    RSA_OAEP_PARAMS_free(parameters);
    return good;
}

static enum err_code
get_oaep(const struct smime_recipient *recipient, const struct oaep *oaep, EVP_PKEY *key,
         unsigned char *cek, size_t key_bytes, struct err *err)
{
    unsigned char out[LIMIT_RSA_BYTES];
    size_t n = sizeof(out);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    if (context == NULL || EVP_PKEY_get_size(key) > LIMIT_RSA_BYTES ||
        EVP_PKEY_decrypt_init(context) <= 0 ||
        EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(context, oaep->md) <= 0 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md(context, oaep->mgf_md) <= 0) {
        EVP_PKEY_CTX_free(context);
        return unsupported(err);
    }
    bool opened =
        EVP_PKEY_decrypt(context, out, &n, recipient->wrapped.p, recipient->wrapped.n) > 0 &&
        n == key_bytes;
    EVP_PKEY_CTX_free(context);
    if (opened)
        memcpy(cek, out, key_bytes);
    OPENSSL_cleanse(out, sizeof(out));
    pki_crypto_reset();
    return opened ? ERR_OK : smime_content_fail(err);
}

static enum err_code
get_transport(const struct smime_recipient *recipient, EVP_PKEY *key, unsigned char *cek,
              size_t key_bytes, struct err *err)
{
    const unsigned char *p = recipient->algorithm.p;
    X509_ALGOR *algorithm = d2i_X509_ALGOR(NULL, &p, (long)recipient->algorithm.n);
    struct oaep oaep;
    enum err_code code;
    int nid = algorithm != NULL ? OBJ_obj2nid(algorithm->algorithm) : NID_undef;
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        code = unsupported(err);
    else if (nid == NID_rsaEncryption)
        code = get_pkcs1(recipient, key, cek, key_bytes, err);
    else if (nid == NID_rsaesOaep && parse_oaep(algorithm, &oaep))
        code = get_oaep(recipient, &oaep, key, cek, key_bytes, err);
    else
        code = unsupported(err); /* never PKCS#1 v1.5 instead */
    X509_ALGOR_free(algorithm);
    return code;
}

enum err_code
smime_recipient_get(const struct smime_recipient *recipient, EVP_PKEY *key, unsigned char *cek,
                    size_t key_bytes, struct err *err)
{
    if (RAND_priv_bytes(cek, (int)key_bytes) != 1)
        return pki_crypto_fail(err, ERR_TEMP, "no random numbers");
    if (recipient->kind == KEY_TRANSPORT)
        return get_transport(recipient, key, cek, key_bytes, err);
    return smime_agreement_get(recipient, key, cek, key_bytes, err);
}

/* The result is not looked at: it took its time, and that was all. */
static void
work_agreement(EVP_PKEY *key)
{
    unsigned char secret[LIMIT_SECRET];
    size_t n = sizeof(secret);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    if (context != NULL && EVP_PKEY_derive_init(context) > 0 &&
        EVP_PKEY_derive_set_peer(context, key) > 0)
        (void)EVP_PKEY_derive(context, secret, &n);
    EVP_PKEY_CTX_free(context);
    OPENSSL_cleanse(secret, sizeof(secret));
}

bool
smime_recipient_get_stand_in(EVP_PKEY *key, struct smime_recipient *out)
{
    /* rsaEncryption, NULL */
    static const unsigned char algorithm[] = { 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                               0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00 };
    /* Below every modulus, and not small. */
    static const unsigned char octets[LIMIT_RSA_BYTES] = { 0, [1 ... LIMIT_RSA_BYTES - 1] = 0x5a };
    int size = EVP_PKEY_get_size(key);

    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || size <= 0 || size > LIMIT_RSA_BYTES)
        return false;
    *out = (struct smime_recipient){ .kind = KEY_TRANSPORT,
                                     .algorithm = span_of(algorithm, sizeof(algorithm)),
                                     .wrapped = span_of(octets, (size_t)size) };
    return true;
}

enum err_code
smime_recipient_get_random(EVP_PKEY *key, unsigned char *cek, size_t key_bytes, struct err *err)
{
    unsigned char nobody[SMIME_CONTENT_KEY];
    struct smime_recipient stand_in;
    struct err ignored = ERR_INIT;

    if (smime_recipient_get_stand_in(key, &stand_in))
        (void)!get_transport(&stand_in, key, nobody, key_bytes, &ignored);
    else if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
        work_agreement(key);
    OPENSSL_cleanse(nobody, sizeof(nobody));
    pki_crypto_reset();
    if (RAND_priv_bytes(cek, (int)key_bytes) != 1)
        return pki_crypto_fail(err, ERR_TEMP, "no random numbers");
    return ERR_OK;
}
