#include "smime/recipient_info.h"

#include <openssl/rsa.h>

#include "pki/context.h"
#include "pki/crypto.h"
#include "smime/agreement.h"
#include "smime/attribute.h"
#include "smime/der.h"

enum { WRAPPED_MAX = 2048 /* octets: RSA of 16384 bits */ };

static const unsigned char version_0[] = { SMIME_BER_INTEGER, 1, 0 };

/* rsaEncryption with its NULL (RFC 3370 4.2.1). */
static const unsigned char rsa_encryption[] = { 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                                0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00 };

/* id-RSAES-OAEP with SHA-256 for hash and MGF1, no label (RFC 4055 4.1). */
#define SHA256 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01
#define PKCS1(last) 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last
static const unsigned char rsa_oaep[] = {
    0x30,   0x38, PKCS1(0x07), 0x30, 0x2b, 0xa0,        0x0d,
    SHA256, 0xa1, 0x1a,        0x30, 0x18, PKCS1(0x08), SHA256
};
#undef SHA256
#undef PKCS1

static EVP_PKEY *
key_of(const struct pki_certificate *certificate)
{
    return X509_get0_pubkey(pki_certificate_get0_x509(certificate));
}

bool
smime_recipient_info_is_agreement(const struct pki_certificate *certificate)
{
    EVP_PKEY *key = key_of(certificate);

    return key != NULL && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA;
}

/* Appends the OCTET STRING of the encrypted key. */
static enum err_code
append_transported(const struct pki_certificate *certificate, enum smime_transport transport,
                   struct span key, struct buf *out, struct err *err)
{
    struct pki_context_args wanted = { .use = PKI_CONTEXT_ENCRYPT, .padding = RSA_PKCS1_PADDING };
    unsigned char wrapped[WRAPPED_MAX];
    size_t n = sizeof(wrapped);
    enum err_code code;

    if (transport == SMIME_TRANSPORT_OAEP) {
        wanted.padding = RSA_PKCS1_OAEP_PADDING;
        wanted.md = wanted.mgf_md = smime_digest_get(SMIME_DIGEST_SHA256);
    }
    EVP_PKEY_CTX *context =
        pki_context_new(pki_certificate_get0_contexts(certificate), key_of(certificate), &wanted);
    if (context == NULL || EVP_PKEY_encrypt(context, wrapped, &n, key.p, key.n) <= 0)
        code = pki_crypto_fail(err, ERR_PERM, "the key cannot be encrypted with RSA");
    else
        code = smime_der_append(out, SMIME_BER_OCTETS, span_of(wrapped, n), err);
    EVP_PKEY_CTX_free(context);
    return code;
}

/* KeyTransRecipientInfo, version 0 */
static enum err_code
append_transport(const struct pki_certificate *certificate, enum smime_transport transport,
                 struct span key, struct buf *out, struct err *err)
{
    struct span algorithm = transport == SMIME_TRANSPORT_OAEP
                                ? span_of(rsa_oaep, sizeof(rsa_oaep))
                                : span_of(rsa_encryption, sizeof(rsa_encryption));
    size_t whole = smime_der_begin(out), identifier;
    enum err_code code = buf_append(out, span_of(version_0, sizeof(version_0)), err);

    identifier = smime_der_begin(out);
    if (code == ERR_OK)
        code = smime_attribute_format_issuer(certificate, out, err);
    if (code == ERR_OK)
        code = smime_der_end(out, identifier, SMIME_BER_SEQUENCE, err);
    if (code == ERR_OK)
        code = buf_append(out, algorithm, err);
    if (code == ERR_OK)
        code = append_transported(certificate, transport, key, out, err);
    return code == ERR_OK ? smime_der_end(out, whole, SMIME_BER_SEQUENCE, err) : code;
}

enum err_code
smime_recipient_info_format(const struct pki_certificate *certificate,
                            enum smime_transport transport, struct span key, struct buf *out,
                            struct err *err)
{
    EVP_PKEY *public_key = key_of(certificate);

    switch (public_key != NULL ? EVP_PKEY_get_base_id(public_key) : EVP_PKEY_NONE) {
    case EVP_PKEY_RSA:
        return append_transport(certificate, transport, key, out, err);
    case EVP_PKEY_EC:
        return smime_agreement_format(certificate, key, out, err);
    default:
        return err_set_reason(err, ERR_PERM, "unsupported-algorithm",
                              "nothing can be encrypted to a key of this kind");
    }
}
