#include "smime/signed_data.h"

#include <openssl/rsa.h>

#include "pki/crypto.h"
#include "smime/der.h"

enum { SIGNATURE_MAX = 2048 /* octets: RSA of 16384 bits */ };

static const unsigned char version_1[] = { SMIME_BER_INTEGER, 1, 1 };
static const unsigned char oid_data[] = { SMIME_BER_OID, 9,    0x2a, 0x86, 0x48, 0x86,
                                          0xf7,          0x0d, 0x01, 0x07, 0x01 };
static const unsigned char oid_signed_data[] = { SMIME_BER_OID, 9,    0x2a, 0x86, 0x48, 0x86,
                                                 0xf7,          0x0d, 0x01, 0x07, 0x02 };
/* AlgorithmIdentifiers of signatures (RFC 3370 3.2, RFC 5758 3.2). */
static const unsigned char rsa_encryption[] = { 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                                0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00 };
static const unsigned char ecdsa_with[] = { 0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                            0x48, 0xce, 0x3d, 0x04, 0x03 };
static const unsigned char oid_pss[] = { SMIME_BER_OID, 9,    0x2a, 0x86, 0x48, 0x86,
                                         0xf7,          0x0d, 0x01, 0x01, 0x0a };
static const unsigned char oid_mgf1[] = { SMIME_BER_OID, 9,    0x2a, 0x86, 0x48, 0x86,
                                          0xf7,          0x0d, 0x01, 0x01, 0x08 };

#define LITERAL_SPAN(bytes) span_of((bytes), sizeof(bytes))

/* ---- algorithms ---- */

/* RSASSA-PSS-params: hash [0], MGF1 with the same hash [1], salt as long as the digest [2] (RFC
 * 4055 3.1). GnuPG 2.2 reads no other salt length. */
static enum err_code
append_pss(const struct smime_signed_data *args, struct buf *out, struct err *err)
{
    struct span digest = smime_digest_der(args->attributes.digest);
    unsigned char salt = (unsigned char)EVP_MD_get_size(smime_digest_get(args->attributes.digest));
    size_t whole = smime_der_begin(out), parameters, field, mask;
    enum err_code code = buf_append(out, LITERAL_SPAN(oid_pss), err);

    parameters = smime_der_begin(out);
    if (code == ERR_OK)
        code = smime_der_append(out, SMIME_BER_CONTEXT_CONSTRUCTED, digest, err);
    mask = smime_der_begin(out);
    if (code == ERR_OK)
        code = buf_append(out, LITERAL_SPAN(oid_mgf1), err);
    if (code == ERR_OK)
        code = buf_append(out, digest, err);
    if (code == ERR_OK)
        code = smime_der_end(out, mask, SMIME_BER_SEQUENCE, err);
    if (code == ERR_OK)
        code = smime_der_end(out, mask, SMIME_BER_CONTEXT_CONSTRUCTED + 1, err);
    field = smime_der_begin(out);
    if (code == ERR_OK)
        code = smime_der_append(out, SMIME_BER_INTEGER, span_of(&salt, 1), err);
    if (code == ERR_OK)
        code = smime_der_end(out, field, SMIME_BER_CONTEXT_CONSTRUCTED + 2, err);
    if (code == ERR_OK)
        code = smime_der_end(out, parameters, SMIME_BER_SEQUENCE, err);
    return code == ERR_OK ? smime_der_end(out, whole, SMIME_BER_SEQUENCE, err) : code;
}

static enum err_code
append_signature_algorithm(const struct smime_signed_data *args, struct buf *out, struct err *err)
{
    /* ecdsa-with-SHA256, 384, 512: the last octet of the OID is 2, 3, 4. */
    unsigned char last = (unsigned char)(args->attributes.digest + 2);

    if (args->pss)
        return append_pss(args, out, err);
    if (EVP_PKEY_get_base_id(args->key->pkey) != EVP_PKEY_EC)
        return buf_append(out, LITERAL_SPAN(rsa_encryption), err);
    enum err_code code = buf_append(out, LITERAL_SPAN(ecdsa_with), err);
    return code == ERR_OK ? buf_append_byte(out, last, err) : code;
}

/* ---- the signature ---- */

static EVP_PKEY_CTX *
signing_context(const struct smime_signed_data *args)
{
    struct pki_context_args wanted = { .use = PKI_CONTEXT_SIGN,
                                       .md = smime_digest_get(args->attributes.digest) };

    if (args->pss) {
        wanted.padding = RSA_PKCS1_PSS_PADDING;
        wanted.mgf_md = wanted.md;
        wanted.salt_bytes = RSA_PSS_SALTLEN_DIGEST;
    } else if (EVP_PKEY_get_base_id(args->key->pkey) != EVP_PKEY_EC) {
        wanted.padding = RSA_PKCS1_PADDING;
    }
    return pki_context_new(args->key->contexts, args->key->pkey, &wanted);
}

/* Appends the OCTET STRING of the signature over `attributes`, the SET as it is hashed. */
static enum err_code
append_signature(const struct smime_signed_data *args, struct span attributes, struct buf *out,
                 struct err *err)
{
    const EVP_MD *md = smime_digest_get(args->attributes.digest);
    unsigned char digest[EVP_MAX_MD_SIZE], signature[SIGNATURE_MAX];
    EVP_PKEY_CTX *context = signing_context(args);
    size_t n = sizeof(signature);
    unsigned digest_n = 0;
    enum err_code code;

    if (context == NULL)
        code = pki_crypto_fail(err, ERR_PERM, "this key cannot sign so: %s", args->key->file);
    else if (!EVP_Digest(attributes.p, attributes.n, digest, &digest_n, md, NULL))
        code = pki_crypto_fail(err, ERR_NOMEM, "no memory to sign");
    else if (EVP_PKEY_sign(context, signature, &n, digest, digest_n) <= 0)
        code = pki_crypto_fail(err, ERR_TEMP, "the signature could not be made");
    else
        code = smime_der_append(out, SMIME_BER_OCTETS, span_of(signature, n), err);
    EVP_PKEY_CTX_free(context);
    return code;
}

/* SignerInfo, version 1 */
static enum err_code
append_signer(const struct smime_signed_data *args, struct span message_digest, struct buf *out,
              struct err *err)
{
    struct buf set = BUF_INIT(out->limit_bytes);
    size_t at = smime_der_begin(out), identifier;
    enum err_code code = smime_attribute_format(&args->attributes, message_digest, &set, err);

    if (code == ERR_OK)
        code = buf_append(out, LITERAL_SPAN(version_1), err);
    identifier = smime_der_begin(out);
    if (code == ERR_OK)
        code = smime_attribute_format_issuer(args->key->certificate, out, err);
    if (code == ERR_OK)
        code = smime_der_end(out, identifier, SMIME_BER_SEQUENCE, err);
    if (code == ERR_OK)
        code = buf_append(out, smime_digest_der(args->attributes.digest), err);
    /* In place the tag of the attributes is [0], hashed it is that of a SET (RFC 5652 5.4). */
    if (code == ERR_OK)
        code = buf_append_byte(out, SMIME_BER_CONTEXT_CONSTRUCTED, err);
    if (code == ERR_OK)
        code = buf_append(out, span_from(buf_span(&set), 1), err);
    if (code == ERR_OK)
        code = append_signature_algorithm(args, out, err);
    if (code == ERR_OK)
        code = append_signature(args, buf_span(&set), out, err);
    buf_free(&set);
    return code == ERR_OK ? smime_der_end(out, at, SMIME_BER_SEQUENCE, err) : code;
}

/* ---- certificates ---- */

static bool
has_certificate(const struct smime_signed_data *args, size_t chain_n,
                const struct pki_certificate *certificate)
{
    if (pki_certificate_is(args->key->certificate, certificate))
        return true;
    for (size_t i = 0; i < chain_n; i++)
        if (pki_certificate_is(args->key->chain.list[i], certificate))
            return true;
    return false;
}

/* The chain without the root: whoever trusts the root has it, whoever does not gains nothing. Each
 * certificate once: one pair may do both. */
static enum err_code
append_certificates(const struct smime_signed_data *args, struct buf *out, struct err *err)
{
    const struct pki_certificates *chain = &args->key->chain;
    const struct pki_certificate *encryption = args->attributes.encryption;
    size_t at = smime_der_begin(out);
    enum err_code code = buf_append(out, pki_certificate_der(args->key->certificate), err);

    for (size_t i = 0; i < chain->count && code == ERR_OK; i++) {
        if (!pki_certificate_get(chain->list[i])->self_issued &&
            !has_certificate(args, i, chain->list[i]))
            code = buf_append(out, pki_certificate_der(chain->list[i]), err);
    }
    if (code == ERR_OK && encryption != NULL && !has_certificate(args, chain->count, encryption))
        code = buf_append(out, pki_certificate_der(encryption), err);
    return code == ERR_OK ? smime_der_end_set(out, at, SMIME_BER_CONTEXT_CONSTRUCTED, err) : code;
}

/* ---- the object ---- */

enum err_code
smime_signed_data_format_head(const struct smime_signed_data *args, struct buf *out,
                              struct err *err)
{
    enum err_code code = buf_append(out, LITERAL_SPAN(version_1), err);

    return code == ERR_OK ? smime_der_append(out, SMIME_BER_SET,
                                             smime_digest_der(args->attributes.digest), err)
                          : code;
}

enum err_code
smime_signed_data_format_tail(const struct smime_signed_data *args, struct span message_digest,
                              struct buf *out, struct err *err)
{
    enum err_code code = append_certificates(args, out, err);
    size_t at = smime_der_begin(out);

    if (code == ERR_OK)
        code = append_signer(args, message_digest, out, err);
    return code == ERR_OK ? smime_der_end(out, at, SMIME_BER_SET, err) : code;
}

enum err_code
smime_signed_data_format(const struct smime_signed_data *args, struct span message_digest,
                         struct buf *out, struct err *err)
{
    size_t whole = smime_der_begin(out), content;
    enum err_code code = buf_append(out, LITERAL_SPAN(oid_signed_data), err);

    content = smime_der_begin(out);
    if (code == ERR_OK)
        code = smime_signed_data_format_head(args, out, err);
    if (code == ERR_OK)
        code = smime_der_append(out, SMIME_BER_SEQUENCE, LITERAL_SPAN(oid_data), err);
    if (code == ERR_OK)
        code = smime_signed_data_format_tail(args, message_digest, out, err);
    if (code == ERR_OK)
        code = smime_der_end(out, content, SMIME_BER_SEQUENCE, err);
    if (code == ERR_OK)
        code = smime_der_end(out, content, SMIME_BER_CONTEXT_CONSTRUCTED, err);
    return code == ERR_OK ? smime_der_end(out, whole, SMIME_BER_SEQUENCE, err) : code;
}

/* Begins an element of indefinite length. */
static enum err_code
open_element(struct buf *out, unsigned char identifier, struct err *err)
{
    const unsigned char header[] = { identifier, 0x80 };

    return buf_append(out, LITERAL_SPAN(header), err);
}

enum err_code
smime_signed_data_format_begin(const struct smime_signed_data *args, struct buf *out,
                               struct err *err)
{
    enum err_code code = open_element(out, SMIME_BER_SEQUENCE, err);

    if (code == ERR_OK)
        code = buf_append(out, LITERAL_SPAN(oid_signed_data), err);
    if (code == ERR_OK)
        code = open_element(out, SMIME_BER_CONTEXT_CONSTRUCTED, err);
    if (code == ERR_OK)
        code = open_element(out, SMIME_BER_SEQUENCE, err);
    if (code == ERR_OK)
        code = smime_signed_data_format_head(args, out, err);
    if (code == ERR_OK)
        code = open_element(out, SMIME_BER_SEQUENCE, err);
    if (code == ERR_OK)
        code = buf_append(out, LITERAL_SPAN(oid_data), err);
    if (code == ERR_OK)
        code = open_element(out, SMIME_BER_CONTEXT_CONSTRUCTED, err);
    return code == ERR_OK ? open_element(out, SMIME_BER_OCTETS_CONSTRUCTED, err) : code;
}

enum err_code
smime_signed_data_format_end(const struct smime_signed_data *args, struct span message_digest,
                             struct buf *out, struct err *err)
{
    /* End-of-contents of: octet string, [0], encapContentInfo; then SignedData, [0], ContentInfo.
     */
    static const unsigned char ends[6] = { 0 };
    enum err_code code = buf_append(out, LITERAL_SPAN(ends), err);

    if (code == ERR_OK)
        code = smime_signed_data_format_tail(args, message_digest, out, err);
    return code == ERR_OK ? buf_append(out, LITERAL_SPAN(ends), err) : code;
}
