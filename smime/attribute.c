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

/* ---- reading ---- */

enum { LIMIT_ATTRIBUTES = 64 };

/* Contents octets of the OIDs (RFC 5652 11, RFC 2634 5.4, RFC 5035 3). */
static const unsigned char oid_content_type[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                  0x0d, 0x01, 0x09, 0x03 };
static const unsigned char oid_message_digest[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                    0x0d, 0x01, 0x09, 0x04 };
static const unsigned char oid_signing_time[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                  0x0d, 0x01, 0x09, 0x05 };
static const unsigned char oid_certificate_v1[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
                                                    0x01, 0x09, 0x10, 0x02, 0x0c };
static const unsigned char oid_certificate_v2[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
                                                    0x01, 0x09, 0x10, 0x02, 0x2f };

static bool
is_oid(struct span oid, const unsigned char *bytes, size_t n)
{
    return span_equal(oid, span_of(bytes, n));
}

static enum err_code
refuse(struct err *err, const char *why)
{
    return err_set_reason(err, ERR_PERM, "malformed-attributes", "signed attributes: %s", why);
}

static time_t
parse_time(struct span element)
{
    const unsigned char *p = element.p;
    ASN1_TIME *time = d2i_ASN1_TIME(NULL, &p, (long)element.n);
    struct tm tm = { .tm_year = 0 };
    time_t found = 0;
    if (time != NULL && ASN1_TIME_to_tm(time, &tm))
        found = timegm(&tm);
    ASN1_TIME_free(time);
    pki_crypto_reset();
    return found;
}

/* One attribute into its place. `value` is its only value. */
static enum err_code
parse_one(struct span oid, const struct smime_ber_element *value, struct smime_attributes *out,
          struct err *err)
{
    if (is_oid(oid, oid_content_type, sizeof(oid_content_type))) {
        if (value->identifier != SMIME_BER_OID)
            return refuse(err, "contentType is no OID");
        out->content_type = value->contents;
    } else if (is_oid(oid, oid_message_digest, sizeof(oid_message_digest))) {
        if (value->identifier != SMIME_BER_OCTETS)
            return refuse(err, "messageDigest is no octet string");
        out->message_digest = value->contents;
    } else if (is_oid(oid, oid_signing_time, sizeof(oid_signing_time))) {
        out->signing_time = parse_time(value->whole);
    } else if (is_oid(oid, oid_certificate_v1, sizeof(oid_certificate_v1))) {
        out->certificate_v1 = value->contents;
    } else if (is_oid(oid, oid_certificate_v2, sizeof(oid_certificate_v2))) {
        out->certificate_v2 = value->contents;
    }
    return ERR_OK;
}

/* Takes one Attribute off `rest`: SEQUENCE { OID, SET { one value } }. */
static enum err_code
get_attribute(struct span *rest, struct span *oid, struct smime_ber_element *value, struct err *err)
{
    struct smime_ber_element attribute, type, values, another;
    if (smime_ber_get(rest, &attribute, NULL) != ERR_OK ||
        attribute.identifier != SMIME_BER_SEQUENCE)
        return refuse(err, "not an attribute");
    struct span inside = attribute.contents;
    if (smime_ber_get(&inside, &type, NULL) != ERR_OK || type.identifier != SMIME_BER_OID ||
        smime_ber_get(&inside, &values, NULL) != ERR_OK || values.identifier != SMIME_BER_SET ||
        inside.n != 0)
        return refuse(err, "not an attribute");
    inside = values.contents;
    if (smime_ber_get(&inside, value, NULL) != ERR_OK)
        return refuse(err, "an attribute without a value");
    if (smime_ber_get(&inside, &another, NULL) != ERR_NOTFOUND)
        return refuse(err, "an attribute with several values");
    *oid = type.contents;
    return ERR_OK;
}

enum err_code
smime_attribute_parse(struct span attributes, struct smime_attributes *out, struct err *err)
{
    struct span seen[LIMIT_ATTRIBUTES];
    size_t count = 0;
    *out = (struct smime_attributes){ .signing_time = 0 };
    while (attributes.n > 0) {
        struct smime_ber_element value;
        struct span oid;
        enum err_code code = get_attribute(&attributes, &oid, &value, err);
        if (code != ERR_OK)
            return code;
        for (size_t i = 0; i < count; i++)
            if (span_equal(seen[i], oid))
                return refuse(err, "an attribute stands there twice");
        if (count == LIMIT_ATTRIBUTES)
            return refuse(err, "too many");
        seen[count++] = oid;
        code = parse_one(oid, &value, out, err);
        if (code != ERR_OK)
            return code;
    }
    if (out->content_type.p == NULL || out->message_digest.p == NULL)
        return refuse(err, "contentType or messageDigest is missing");
    return ERR_OK;
}

/* The digest of an ESSCertIDv2: its AlgorithmIdentifier is SHA-256 when it is not there. */
static const EVP_MD *
find_digest(const struct smime_ber_element *algorithm)
{
    const unsigned char *p = algorithm->whole.p;
    X509_ALGOR *parsed = d2i_X509_ALGOR(NULL, &p, (long)algorithm->whole.n);
    const EVP_MD *md = parsed != NULL ? EVP_get_digestbyobj(parsed->algorithm) : NULL;
    X509_ALGOR_free(parsed);
    pki_crypto_reset();
    return md;
}

/* `list`: contents of SigningCertificate(V2): SEQUENCE OF ESSCertID, and policies, which say
 * nothing to us. */
static bool
is_first(struct span list, const EVP_MD *md, const struct pki_certificate *certificate)
{
    struct smime_ber_element ids, id, field;
    if (smime_ber_get(&list, &ids, NULL) != ERR_OK)
        return false;
    struct span inside = ids.contents;
    if (smime_ber_get(&inside, &id, NULL) != ERR_OK)
        return false;
    inside = id.contents;
    if (smime_ber_get(&inside, &field, NULL) != ERR_OK)
        return false;
    if (field.identifier == SMIME_BER_SEQUENCE) {
        md = find_digest(&field);
        if (smime_ber_get(&inside, &field, NULL) != ERR_OK)
            return false;
    }
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct span der = pki_certificate_der(certificate);
    if (md == NULL || field.identifier != SMIME_BER_OCTETS ||
        !EVP_Digest(der.p, der.n, digest, &n, md, NULL)) {
        pki_crypto_reset();
        return false;
    }
    return span_equal(field.contents, span_of(digest, n));
}

bool
smime_attribute_check(const struct smime_attributes *attributes,
                      const struct pki_certificate *certificate)
{
    if (attributes->certificate_v2.p != NULL &&
        !is_first(attributes->certificate_v2, EVP_sha256(), certificate))
        return false;
    return attributes->certificate_v1.p == NULL ||
           is_first(attributes->certificate_v1, EVP_sha1(), certificate);
}
