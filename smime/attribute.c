#include "smime/attribute.h"

#include <stdio.h>

#include "util/buf.h"
#include "pki/crypto.h"
#include "smime/der.h"
#include "smime/identifier.h"

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
/* ---- writing ---- */

/* SMIMECapabilities: AES-256-CBC, AES-128-CBC, without parameters, in order of preference (RFC 8551
 * 2.5.2). Whoever answers encrypts by this list, and what he writes is read by the programs of our
 * users: GCM is left out, since GnuPG 2.2 and NSS cannot read it. */
static const unsigned char capabilities[] = {
#define CAPABILITY(last) \
    0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, last
    CAPABILITY(0x2a),
    CAPABILITY(0x02),
#undef CAPABILITY
};
static const unsigned char oid_capabilities[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                  0x0d, 0x01, 0x09, 0x0f };
static const unsigned char oid_preference[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
                                                0x01, 0x09, 0x10, 0x02, 0x0b };
static const unsigned char oid_data[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01 };

enum {
    UTC_TIME = 0x17,
    GENERALIZED_TIME = 0x18,
    LIMIT_VALUE = 128 * 1024 /* a name, a serial number and a digest */
};

/* SEQUENCE { type, SET { value } } */
static enum err_code
append_attribute(struct buf *out, struct span type, unsigned char identifier, struct span value,
                 struct err *err)
{
    size_t at = smime_der_begin(out), set;
    enum err_code code = smime_der_append(out, SMIME_BER_OID, type, err);

    set = smime_der_begin(out);
    if (code == ERR_OK)
        code = smime_der_append(out, identifier, value, err);
    if (code == ERR_OK)
        code = smime_der_end(out, set, SMIME_BER_SET, err);
    return code == ERR_OK ? smime_der_end(out, at, SMIME_BER_SEQUENCE, err) : code;
}

/* RFC 5652 11.3: UTCTime from 1950 to 2049, GeneralizedTime beyond. */
static enum err_code
append_signing_time(struct buf *out, time_t signing_time, struct err *err)
{
    struct span type = span_of(oid_signing_time, sizeof(oid_signing_time));
    struct tm tm;
    char text[32];

    if (gmtime_r(&signing_time, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 8099)
        return err_set(err, ERR_PERM, "a signing time that is no date");
    bool is_utc = tm.tm_year >= 50 && tm.tm_year < 150;
    int n = snprintf(text, sizeof(text), "%0*d%02d%02d%02d%02d%02dZ", is_utc ? 2 : 4,
                     is_utc ? tm.tm_year % 100 : tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                     tm.tm_hour, tm.tm_min, tm.tm_sec);
    return append_attribute(out, type, is_utc ? UTC_TIME : GENERALIZED_TIME,
                            span_of(text, (size_t)n), err);
}

enum err_code
smime_attribute_format_issuer(const struct pki_certificate *certificate, struct buf *out,
                              struct err *err)
{
    X509 *x509 = pki_certificate_get0_x509(certificate);
    const unsigned char *name = NULL;
    unsigned char *serial = NULL;
    size_t name_n = 0;
    int n = i2d_ASN1_INTEGER(X509_get0_serialNumber(x509), &serial);
    enum err_code code;

    if (n <= 0 || !X509_NAME_get0_der(X509_get_issuer_name(x509), &name, &name_n))
        code = pki_crypto_fail(err, ERR_NOMEM, "a certificate could not be named");
    else
        code = buf_append(out, span_of(name, name_n), err);
    if (code == ERR_OK)
        code = buf_append(out, span_of(serial, (size_t)n), err);
    OPENSSL_free(serial);
    return code;
}

/* SMIMEEncryptionKeyPreference: issuerAndSerialNumber [0] IMPLICIT (RFC 8551 2.5.3). */
static enum err_code
append_preference(struct buf *out, const struct pki_certificate *encryption, struct err *err)
{
    struct buf value = BUF_INIT(LIMIT_VALUE);
    enum err_code code = smime_attribute_format_issuer(encryption, &value, err);

    if (code == ERR_OK)
        code = append_attribute(out, span_of(oid_preference, sizeof(oid_preference)),
                                SMIME_BER_CONTEXT_CONSTRUCTED, buf_span(&value), err);
    buf_free(&value);
    return code;
}

/* The octets of a fingerprint in lower-case hexadecimal; their number. */
static unsigned
parse_hex(const char *hex, unsigned char *out)
{
    unsigned n = 0;

    for (; hex[0] && hex[1] && n < EVP_MAX_MD_SIZE; hex += 2) {
        unsigned high = hex[0] <= '9' ? hex[0] - '0' : hex[0] - 'a' + 10;
        unsigned low = hex[1] <= '9' ? hex[1] - '0' : hex[1] - 'a' + 10;

        out[n++] = (unsigned char)(high << 4 | low);
    }
    return n;
}

/* ESSCertIDv2 (RFC 5035 4): hashAlgorithm where it is not SHA-256, certHash, issuerSerial. */
static enum err_code
format_cert_id(const struct smime_attribute_args *args, struct buf *out, struct err *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct span der = pki_certificate_der(args->signer);
    size_t id = smime_der_begin(out), names, name, serial;
    enum err_code code = ERR_OK;

    if (args->digest == SMIME_DIGEST_SHA256)
        n = parse_hex(pki_certificate_get(args->signer)->fingerprint, digest);
    else if (!EVP_Digest(der.p, der.n, digest, &n, smime_digest_get(args->digest), NULL))
        return pki_crypto_fail(err, ERR_BUG, "hashing failed");
    if (args->digest != SMIME_DIGEST_SHA256)
        code = buf_append(out, smime_digest_der(args->digest), err);
    if (code == ERR_OK)
        code = smime_der_append(out, SMIME_BER_OCTETS, span_of(digest, n), err);
    serial = names = name = smime_der_begin(out);
    if (code == ERR_OK)
        code = smime_attribute_format_issuer(args->signer, out, err);
    if (code != ERR_OK)
        return code;
    /* GeneralNames { directoryName [4] EXPLICIT } around the name alone, which comes first. */
    struct smime_ber_element element;
    struct buf rest = BUF_INIT(LIMIT_VALUE);
    struct span both = span_of(out->p + name, out->n - name);
    code = smime_ber_get(&both, &element, err);
    if (code == ERR_OK)
        code = buf_append(&rest, both, err);
    out->n = name + element.whole.n;
    if (code == ERR_OK)
        code = smime_der_end(out, name, SMIME_BER_CONTEXT_CONSTRUCTED + 4, err);
    if (code == ERR_OK)
        code = smime_der_end(out, names, SMIME_BER_SEQUENCE, err);
    if (code == ERR_OK)
        code = buf_append(out, buf_span(&rest), err);
    buf_free(&rest);
    if (code == ERR_OK)
        code = smime_der_end(out, serial, SMIME_BER_SEQUENCE, err);
    return code == ERR_OK ? smime_der_end(out, id, SMIME_BER_SEQUENCE, err) : code;
}

/* signingCertificateV2: SEQUENCE OF ESSCertIDv2 with the signer's alone. */
static enum err_code
append_certificate(struct buf *out, const struct smime_attribute_args *args, struct err *err)
{
    struct span type = span_of(oid_certificate_v2, sizeof(oid_certificate_v2));
    struct buf value = BUF_INIT(LIMIT_VALUE);
    enum err_code code = format_cert_id(args, &value, err);

    if (code == ERR_OK)
        code = smime_der_end(&value, 0, SMIME_BER_SEQUENCE, err);
    if (code == ERR_OK)
        code = append_attribute(out, type, SMIME_BER_SEQUENCE, buf_span(&value), err);
    buf_free(&value);
    return code;
}

enum err_code
smime_attribute_format(const struct smime_attribute_args *args, struct span message_digest,
                       struct buf *out, struct err *err)
{
    size_t at = smime_der_begin(out);
    enum err_code code = append_attribute(out, span_of(oid_content_type, sizeof(oid_content_type)),
                                          SMIME_BER_OID, span_of(oid_data, sizeof(oid_data)), err);

    if (code == ERR_OK)
        code = append_signing_time(out, args->signing_time, err);
    if (code == ERR_OK)
        code = append_attribute(out, span_of(oid_message_digest, sizeof(oid_message_digest)),
                                SMIME_BER_OCTETS, message_digest, err);
    if (code == ERR_OK)
        code =
            append_attribute(out, span_of(oid_capabilities, sizeof(oid_capabilities)),
                             SMIME_BER_SEQUENCE, span_of(capabilities, sizeof(capabilities)), err);
    if (code == ERR_OK)
        code = append_certificate(out, args, err);
    if (code == ERR_OK && args->encryption != NULL)
        code = append_preference(out, args->encryption, err);
    return code == ERR_OK ? smime_der_end_set(out, at, SMIME_BER_SET, err) : code;
}

/* ---- reading ---- */

enum { LIMIT_ATTRIBUTES = 64 };

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
    } else if (is_oid(oid, oid_capabilities, sizeof(oid_capabilities))) {
        if (value->identifier == SMIME_BER_SEQUENCE)
            out->capabilities = value->whole;
    } else if (is_oid(oid, oid_preference, sizeof(oid_preference))) {
        out->preference = value->whole;
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

/* The three forms of the preference are those of a SignerIdentifier and of a recipient, with other
 * tags: issuerAndSerialNumber [0], receipentKeyId [1], subjectAltKeyIdentifier [2]. */
bool
smime_attribute_prefers(const struct smime_attributes *attributes,
                        const struct pki_certificate *certificate)
{
    struct span element = attributes->preference;
    struct buf renamed = BUF_INIT(LIMIT_VALUE);
    struct smime_ber_element preference;
    unsigned char header[SMIME_BER_HEADER];
    struct err ignored = ERR_INIT;
    unsigned char identifier;
    bool same = false;

    if (element.p == NULL || smime_ber_get(&element, &preference, NULL) != ERR_OK)
        return false;
    switch (preference.identifier) {
    case SMIME_BER_CONTEXT_CONSTRUCTED:
        identifier = SMIME_BER_SEQUENCE;
        break;
    case SMIME_BER_CONTEXT_CONSTRUCTED + 1:
        identifier = SMIME_BER_CONTEXT_CONSTRUCTED;
        break;
    case SMIME_BER_CONTEXT + 2:
        identifier = SMIME_BER_CONTEXT;
        break;
    default:
        return false;
    }
    size_t n = smime_ber_format(identifier, preference.contents.n, header);
    if (buf_append(&renamed, span_of(header, n), &ignored) == ERR_OK &&
        buf_append(&renamed, preference.contents, &ignored) == ERR_OK)
        same = smime_identifier_is(buf_span(&renamed), certificate);
    buf_free(&renamed);
    return same;
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
