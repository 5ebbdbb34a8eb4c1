#include "smime/attribute.h"

#include "util/buf.h"
#include "pki/crypto.h"
#include "smime/ber.h"

enum { LIMIT_NAME = 64 * 1024 };

/* RFC 5652 11.3: UTCTime up to 2049, GeneralizedTime after, which is what ASN1_TIME_set does. */
static enum err_code
set_signing_time(CMS_SignerInfo *signer, time_t signing_time, struct err *err)
{
    ASN1_TIME *time = ASN1_TIME_set(NULL, signing_time);
    enum err_code code = ERR_OK;
    if (time == NULL ||
        !CMS_signed_add1_attr_by_NID(signer, NID_pkcs9_signingTime, time->type, time, -1))
        code = pki_crypto_fail(err, ERR_NOMEM, "signingTime could not be set");
    ASN1_TIME_free(time);
    return code;
}

/* RFC 8551 2.5.2: in order of preference. Whoever answers encrypts to us by this list. */
static enum err_code
set_capabilities(CMS_SignerInfo *signer, struct err *err)
{
    static const int nids[] = { NID_aes_256_gcm, NID_aes_128_gcm, NID_aes_256_cbc,
                                NID_aes_128_cbc };
    STACK_OF(X509_ALGOR) *list = NULL;
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < sizeof(nids) / sizeof(nids[0]) && code == ERR_OK; i++)
        if (!CMS_add_simple_smimecap(&list, nids[i], -1))
            code = pki_crypto_fail(err, ERR_NOMEM, "SMIMECapabilities could not be made");
    if (code == ERR_OK && !CMS_add_smimecap(signer, list))
        code = pki_crypto_fail(err, ERR_NOMEM, "SMIMECapabilities could not be set");
    sk_X509_ALGOR_pop_free(list, X509_ALGOR_free);
    return code;
}

/* SMIMEEncryptionKeyPreference: issuerAndSerialNumber [0] IMPLICIT (RFC 8551 2.5.3). */
static enum err_code
format_preference(const struct pki_certificate *encryption, struct buf *out, struct err *err)
{
    X509 *x509 = pki_certificate_get0_x509(encryption);
    unsigned char *name = NULL, *serial = NULL;
    unsigned char header[SMIME_BER_HEADER];
    int name_n = i2d_X509_NAME(X509_get_issuer_name(x509), &name);
    int serial_n = i2d_ASN1_INTEGER(X509_get0_serialNumber(x509), &serial);
    enum err_code code = ERR_OK;
    if (name_n <= 0 || serial_n <= 0) {
        code = pki_crypto_fail(err, ERR_NOMEM, "the encryption certificate could not be named");
        goto out;
    }
    size_t n =
        smime_ber_format(SMIME_BER_CONTEXT_CONSTRUCTED, (uint64_t)(name_n + serial_n), header);
    code = buf_append(out, span_of(header, n), err);
    if (code == ERR_OK)
        code = buf_append(out, span_of(name, (size_t)name_n), err);
    if (code == ERR_OK)
        code = buf_append(out, span_of(serial, (size_t)serial_n), err);
out:
    OPENSSL_free(name);
    OPENSSL_free(serial);
    return code;
}

/* The library has no call for an attribute whose value is not universal: it is made as "other". */
static enum err_code
set_preference(CMS_SignerInfo *signer, const struct pki_certificate *encryption, struct err *err)
{
    struct buf der = BUF_INIT(LIMIT_NAME);
    ASN1_STRING *value = NULL;
    X509_ATTRIBUTE *attribute = NULL;
    enum err_code code = format_preference(encryption, &der, err);
    if (code != ERR_OK)
        goto out;
    value = ASN1_STRING_type_new(V_ASN1_OTHER);
    if (value == NULL || !ASN1_STRING_set(value, der.p, (int)der.n) ||
        (attribute = X509_ATTRIBUTE_create(NID_id_smime_aa_encrypKeyPref, V_ASN1_OTHER, value)) ==
            NULL) {
        code = pki_crypto_fail(err, ERR_NOMEM, "encryptionKeyPreference could not be made");
        goto out;
    }
    value = NULL; /* taken */
    if (!CMS_signed_add1_attr(signer, attribute))
        code = pki_crypto_fail(err, ERR_NOMEM, "encryptionKeyPreference could not be set");
out:
    X509_ATTRIBUTE_free(attribute);
    ASN1_STRING_free(value);
    buf_free(&der);
    return code;
}

enum err_code
smime_attribute_set(CMS_SignerInfo *signer, time_t signing_time,
                    const struct pki_certificate *encryption, struct err *err)
{
    enum err_code code = set_signing_time(signer, signing_time, err);
    if (code == ERR_OK)
        code = set_capabilities(signer, err);
    if (code == ERR_OK && encryption != NULL)
        code = set_preference(signer, encryption, err);
    return code;
}
