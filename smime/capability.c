#include "smime/capability.h"

#include "smime/ber.h"

enum { OID_BYTES = 11 };

/* What an OID says. `ciphers` 0 and no transport: content encryption that we do not use. */
struct capability {
    unsigned char n, oid[OID_BYTES];
    unsigned ciphers, transports;
};

#define AES(last)                                            \
    9,                                                       \
    {                                                        \
        0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, last \
    }
#define PKCS1(last)                                          \
    9,                                                       \
    {                                                        \
        0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last \
    }
#define RSADSI(last)                                   \
    8,                                                 \
    {                                                  \
        0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x03, last \
    }

static const struct capability capability_list[] = {
    { AES(0x02), 1u << SMIME_CIPHER_AES128_CBC, 0 },
    { AES(0x2a), 1u << SMIME_CIPHER_AES256_CBC, 0 },
    { AES(0x06), 1u << SMIME_CIPHER_AES128_GCM, 0 },
    { AES(0x2e), 1u << SMIME_CIPHER_AES256_GCM, 0 },
    { PKCS1(0x01), 0, 1u << SMIME_TRANSPORT_PKCS1 },
    { PKCS1(0x07), 0, 1u << SMIME_TRANSPORT_OAEP },
    { AES(0x16), 0, 0 }, /* AES-192-CBC */
    { AES(0x1a), 0, 0 }, /* AES-192-GCM */
    { AES(0x07), 0, 0 }, /* AES-CCM, three sizes */
    { AES(0x1b), 0, 0 },
    { AES(0x2f), 0, 0 },
    { RSADSI(0x02), 0, 0 },                                                /* RC2 */
    { RSADSI(0x04), 0, 0 },                                                /* RC4 */
    { RSADSI(0x07), 0, 0 },                                                /* triple DES */
    { 5, { 0x2b, 0x0e, 0x03, 0x02, 0x07 }, 0, 0 },                         /* DES */
    { 9, { 0x2a, 0x86, 0x48, 0x86, 0xf6, 0x7d, 0x07, 0x42, 0x0a }, 0, 0 }, /* CAST5 */
    { 8, { 0x2a, 0x83, 0x1a, 0x8c, 0x9a, 0x44, 0x01, 0x04 }, 0, 0 },       /* SEED */
    { 11,
      { 0x2a, 0x83, 0x08, 0x8c, 0x9a, 0x4b, 0x3d, 0x01, 0x01, 0x01, 0x02 },
      0,
      0 }, /* Camellia, three sizes */
    { 11, { 0x2a, 0x83, 0x08, 0x8c, 0x9a, 0x4b, 0x3d, 0x01, 0x01, 0x01, 0x03 }, 0, 0 },
    { 11, { 0x2a, 0x83, 0x08, 0x8c, 0x9a, 0x4b, 0x3d, 0x01, 0x01, 0x01, 0x04 }, 0, 0 },
    /* ChaCha20-Poly1305, RFC 8103 */
    { 11, { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x03, 0x12 }, 0, 0 },
};

static const unsigned char oid_sha256[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01 };
static const unsigned char oid_mgf1[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08 };

static const struct capability *
capability_find(struct span oid)
{
    for (size_t i = 0; i < sizeof(capability_list) / sizeof(capability_list[0]); i++) {
        if (span_equal(oid, span_of(capability_list[i].oid, capability_list[i].n)))
            return &capability_list[i];
    }
    return NULL;
}

/* An AlgorithmIdentifier off `rest`: its OID, and what is behind it. */
static bool
capability_get_algorithm(struct span *rest, struct span *oid, struct span *parameters)
{
    struct smime_ber_element element, name;

    if (smime_ber_get(rest, &element, NULL) != ERR_OK)
        return false;
    /* RFC 3560 prints the parameters without the tags that RFC 4055 gives them: both are met. */
    if ((element.identifier & 0xe0) == SMIME_BER_CONTEXT_CONSTRUCTED) {
        struct span inside = element.contents;

        if (smime_ber_get(&inside, &element, NULL) != ERR_OK)
            return false;
    }
    *parameters = element.contents;
    if (element.identifier != SMIME_BER_SEQUENCE ||
        smime_ber_get(parameters, &name, NULL) != ERR_OK || name.identifier != SMIME_BER_OID)
        return false;
    *oid = name.contents;
    return true;
}

/* RSAES-OAEP-params with SHA-256 for hash and MGF1. Without parameters it is SHA-1. */
static bool
capability_is_sha256(struct span parameters)
{
    struct smime_ber_element element;
    struct span hash, mask, mask_hash, inside, ignored;

    if (smime_ber_get(&parameters, &element, NULL) != ERR_OK ||
        element.identifier != SMIME_BER_SEQUENCE)
        return false;
    inside = element.contents;
    return capability_get_algorithm(&inside, &hash, &ignored) &&
           span_equal(hash, span_of(oid_sha256, sizeof(oid_sha256))) &&
           capability_get_algorithm(&inside, &mask, &ignored) &&
           span_equal(mask, span_of(oid_mgf1, sizeof(oid_mgf1))) &&
           capability_get_algorithm(&ignored, &mask_hash, &inside) &&
           span_equal(mask_hash, span_of(oid_sha256, sizeof(oid_sha256)));
}

static enum err_code
capability_refuse(struct smime_capabilities *out, struct err *err, const char *why)
{
    *out = (struct smime_capabilities){ .ciphers_known = false };
    return err_set_reason(err, ERR_PERM, "malformed-attributes", "SMIMECapabilities: %s", why);
}

enum err_code
smime_capability_parse(struct span der, struct smime_capabilities *out, struct err *err)
{
    struct smime_ber_element list;
    struct span rest;

    *out = (struct smime_capabilities){ .ciphers_known = false };
    if (smime_ber_get(&der, &list, NULL) != ERR_OK || list.identifier != SMIME_BER_SEQUENCE ||
        der.n != 0)
        return capability_refuse(out, err, "not a list");
    rest = list.contents;
    for (unsigned count = 0; rest.n > 0; count++) {
        const struct capability *known;
        struct span oid, parameters;

        if (count == SMIME_CAPABILITY_LIMIT)
            return capability_refuse(out, err, "too many");
        if (!capability_get_algorithm(&rest, &oid, &parameters))
            return capability_refuse(out, err, "not a capability");
        known = capability_find(oid);
        if (!known)
            continue;
        out->ciphers |= known->ciphers;
        out->ciphers_known |= known->transports == 0;
        if (known->transports != 1u << SMIME_TRANSPORT_OAEP || capability_is_sha256(parameters))
            out->transports |= known->transports;
    }
    return ERR_OK;
}
