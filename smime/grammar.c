#include "smime/grammar.h"

enum {
    /* RFC 5084 3: a GCM or CCM tag; a truncated one of less than 4 octets is no tag at all. */
    MIN_MAC = 4,
    MAX_MAC = 64,
    MAX_SERIAL = 64, /* RFC 5280 says 20 octets; there are longer ones */
    /* Wrapped keys: RSA gives at least 64, a password or KEK wrap at least 24. Signatures: DSA
       about 46. */
    MIN_WRAPPED = 16,
    MAX_KEY = 64 * 1024
};

#define CONTEXT(n) (SMIME_BER_CONTEXT + (n))
#define CONTEXT_CONSTRUCTED(n) (SMIME_BER_CONTEXT_CONSTRUCTED + (n))

#define INTEGER_ROW(f)                                                    \
    {                                                                     \
        .identifier = SMIME_BER_INTEGER, .min = 1, .max = 1, .field = (f) \
    }
#define OID_ROW(f)                                                                    \
    {                                                                                 \
        .identifier = SMIME_BER_OID, .min = 1, .max = SMIME_GRAMMAR_OID, .field = (f) \
    }
#define ALGORITHM_ROW(f)                                                             \
    {                                                                                \
        .identifier = SMIME_BER_SEQUENCE, .role = SMIME_ROLE_ALGORITHM, .field = (f) \
    }
#define OPTIONAL_ROW(id)                                \
    {                                                   \
        .identifier = (id), .flags = SMIME_ROW_OPTIONAL \
    }
#define WRAPPED_KEY_ROW                                                          \
    {                                                                            \
        .identifier = SMIME_BER_OCTETS, .or_else = SMIME_BER_OCTETS_CONSTRUCTED, \
        .role = SMIME_ROLE_PIECES, .min = MIN_WRAPPED, .max = MAX_KEY            \
    }

static const struct smime_grammar grammars[SMIME_ROLE_COUNT] = {
    [SMIME_ROLE_ANY] = { .choice = true,
                         .rows = { { .identifier = SMIME_GRAMMAR_ANY, .role = SMIME_ROLE_ANY } } },
    [SMIME_ROLE_ROOT] = { "not a ContentInfo", "no object",
                          .rows = { { .identifier = SMIME_BER_SEQUENCE,
                                      .role = SMIME_ROLE_CONTENT_INFO } } },
    [SMIME_ROLE_CONTENT_INFO] = { "not a ContentInfo", "a ContentInfo without content",
                                  .rows = { OID_ROW(SMIME_FIELD_TYPE),
                                            { .identifier = CONTEXT_CONSTRUCTED(0),
                                              .role = SMIME_ROLE_WRAPPER } } },
    /* What is inside depends on the type of the ContentInfo. */
    [SMIME_ROLE_WRAPPER] = { "a ContentInfo with two contents", "a ContentInfo without content",
                             .rows = { { .identifier = SMIME_GRAMMAR_ANY } } },
    [SMIME_ROLE_SIGNED] = { "SignedData: an element that does not belong there",
                            "SignedData: an element is missing",
                            .rows = { INTEGER_ROW(SMIME_FIELD_VERSION),
                                      { .identifier = SMIME_BER_SET,
                                        .field = SMIME_FIELD_DIGEST_ALGORITHMS },
                                      { .identifier = SMIME_BER_SEQUENCE,
                                        .role = SMIME_ROLE_ENCAPSULATED },
                                      { .identifier = CONTEXT_CONSTRUCTED(0),
                                        .flags = SMIME_ROW_OPTIONAL,
                                        .role = SMIME_ROLE_CERTIFICATES },
                                      { .identifier = CONTEXT_CONSTRUCTED(1),
                                        .flags = SMIME_ROW_OPTIONAL,
                                        .role = SMIME_ROLE_CRLS },
                                      { .identifier = SMIME_BER_SET,
                                        .role = SMIME_ROLE_SIGNERS } } },
    [SMIME_ROLE_ENCAPSULATED] = { "EncapsulatedContentInfo: an element that does not belong there",
                                  "EncapsulatedContentInfo without a content type",
                                  .rows = { OID_ROW(SMIME_FIELD_CONTENT_TYPE),
                                            { .identifier = CONTEXT_CONSTRUCTED(0),
                                              .flags = SMIME_ROW_OPTIONAL,
                                              .role = SMIME_ROLE_ENCAPSULATED_WRAPPER } } },
    /* PKCS#7 1.5 allowed any type here; what is no octet string is no content that we hash. */
    [SMIME_ROLE_ENCAPSULATED_WRAPPER] = { "EncapsulatedContentInfo with two contents",
                                          "EncapsulatedContentInfo with an empty content",
                                          .rows = { { .identifier = SMIME_GRAMMAR_ANY,
                                                      .flags = SMIME_ROW_CONTENT,
                                                      .role = SMIME_ROLE_OCTETS } } },
    [SMIME_ROLE_OCTETS] = { "an octet string made of something else", "", .choice = true,
                            .rows = { { .identifier = SMIME_BER_OCTETS,
                                        .or_else = SMIME_BER_OCTETS_CONSTRUCTED,
                                        .flags = SMIME_ROW_CONTENT,
                                        .role = SMIME_ROLE_OCTETS } } },
    [SMIME_ROLE_PIECES] = { "an octet string made of something else", "an empty octet string",
                            .choice = true, .min = 1,
                            .rows = { { .identifier = SMIME_BER_OCTETS,
                                        .or_else = SMIME_BER_OCTETS_CONSTRUCTED,
                                        .role = SMIME_ROLE_PIECES } } },
    [SMIME_ROLE_CERTIFICATES] = { "certificates: an element that does not belong there", "",
                                  .choice = true,
                                  .rows = { { .identifier = SMIME_BER_SEQUENCE,
                                              .flags = SMIME_ROW_WHOLE,
                                              .field = SMIME_FIELD_CERTIFICATE },
                                            { .identifier = CONTEXT_CONSTRUCTED(0),
                                              .or_else = CONTEXT_CONSTRUCTED(1),
                                              .flags = SMIME_ROW_WHOLE },
                                            { .identifier = CONTEXT_CONSTRUCTED(2),
                                              .or_else = CONTEXT_CONSTRUCTED(3),
                                              .flags = SMIME_ROW_WHOLE } } },
    [SMIME_ROLE_CRLS] = { "CRLs: an element that does not belong there", "", .choice = true,
                          .rows = { { .identifier = SMIME_BER_SEQUENCE,
                                      .flags = SMIME_ROW_WHOLE,
                                      .field = SMIME_FIELD_CRL },
                                    { .identifier = CONTEXT_CONSTRUCTED(1),
                                      .flags = SMIME_ROW_WHOLE } } },
    [SMIME_ROLE_SIGNERS] = { "signerInfos: an element that does not belong there", "",
                             .choice = true,
                             .rows = { { .identifier = SMIME_BER_SEQUENCE,
                                         .role = SMIME_ROLE_SIGNER,
                                         .field = SMIME_FIELD_SIGNER } } },
    [SMIME_ROLE_SIGNER] = { "SignerInfo: an element that does not belong there",
                            "SignerInfo: an element is missing",
                            .rows = { INTEGER_ROW(0),
                                      { .identifier = SMIME_BER_SEQUENCE,
                                        .or_else = CONTEXT(0),
                                        .role = SMIME_ROLE_ISSUER_AND_SERIAL },
                                      ALGORITHM_ROW(0),
                                      OPTIONAL_ROW(CONTEXT_CONSTRUCTED(0)),
                                      ALGORITHM_ROW(0),
                                      { .identifier = SMIME_BER_OCTETS,
                                        .or_else = SMIME_BER_OCTETS_CONSTRUCTED,
                                        .role = SMIME_ROLE_PIECES,
                                        .min = MIN_WRAPPED,
                                        .max = MAX_KEY },
                                      OPTIONAL_ROW(CONTEXT_CONSTRUCTED(1)) } },
    [SMIME_ROLE_ENVELOPED] = { "EnvelopedData: an element that does not belong there",
                               "EnvelopedData: an element is missing",
                               .rows = { INTEGER_ROW(SMIME_FIELD_VERSION),
                                         OPTIONAL_ROW(CONTEXT_CONSTRUCTED(0)),
                                         { .identifier = SMIME_BER_SET,
                                           .role = SMIME_ROLE_RECIPIENTS },
                                         { .identifier = SMIME_BER_SEQUENCE,
                                           .role = SMIME_ROLE_ENCRYPTED },
                                         OPTIONAL_ROW(CONTEXT_CONSTRUCTED(1)) } },
    [SMIME_ROLE_AUTHENVELOPED] = { "AuthEnvelopedData: an element that does not belong there",
                                   "AuthEnvelopedData: an element is missing",
                                   .rows = { INTEGER_ROW(SMIME_FIELD_VERSION),
                                             OPTIONAL_ROW(CONTEXT_CONSTRUCTED(0)),
                                             { .identifier = SMIME_BER_SET,
                                               .role = SMIME_ROLE_RECIPIENTS },
                                             { .identifier = SMIME_BER_SEQUENCE,
                                               .role = SMIME_ROLE_ENCRYPTED },
                                             { .identifier = CONTEXT_CONSTRUCTED(1),
                                               .flags = SMIME_ROW_OPTIONAL,
                                               .field = SMIME_FIELD_AUTH_ATTRIBUTES },
                                             { .identifier = SMIME_BER_OCTETS,
                                               .or_else = SMIME_BER_OCTETS_CONSTRUCTED,
                                               .role = SMIME_ROLE_PIECES,
                                               .min = MIN_MAC,
                                               .max = MAX_MAC,
                                               .field = SMIME_FIELD_MAC },
                                             OPTIONAL_ROW(CONTEXT_CONSTRUCTED(2)) } },
    [SMIME_ROLE_RECIPIENTS] = { "recipientInfos: an element that does not belong there",
                                "no RecipientInfo", .choice = true, .min = 1,
                                .rows = { { .identifier = SMIME_BER_SEQUENCE,
                                            .role = SMIME_ROLE_KEY_TRANSPORT,
                                            .field = SMIME_FIELD_RECIPIENT },
                                          { .identifier = CONTEXT_CONSTRUCTED(1),
                                            .role = SMIME_ROLE_KEY_AGREEMENT,
                                            .field = SMIME_FIELD_RECIPIENT },
                                          { .identifier = CONTEXT_CONSTRUCTED(2),
                                            .role = SMIME_ROLE_KEK,
                                            .field = SMIME_FIELD_RECIPIENT },
                                          { .identifier = CONTEXT_CONSTRUCTED(3),
                                            .role = SMIME_ROLE_PASSWORD,
                                            .field = SMIME_FIELD_RECIPIENT },
                                          { .identifier = CONTEXT_CONSTRUCTED(4),
                                            .role = SMIME_ROLE_OTHER_RECIPIENT,
                                            .field = SMIME_FIELD_RECIPIENT } } },
    [SMIME_ROLE_KEY_TRANSPORT] = { "KeyTransRecipientInfo: an element that does not belong there",
                                   "KeyTransRecipientInfo: an element is missing",
                                   .rows = { INTEGER_ROW(0),
                                             { .identifier = SMIME_BER_SEQUENCE,
                                               .or_else = CONTEXT(0),
                                               .role = SMIME_ROLE_ISSUER_AND_SERIAL },
                                             ALGORITHM_ROW(0),
                                             WRAPPED_KEY_ROW } },
    [SMIME_ROLE_ISSUER_AND_SERIAL] = { "IssuerAndSerialNumber: an element that does not belong "
                                       "there",
                                       "IssuerAndSerialNumber: an element is missing",
                                       .rows = { { .identifier = SMIME_BER_SEQUENCE },
                                                 { .identifier = SMIME_BER_INTEGER,
                                                   .min = 1,
                                                   .max = MAX_SERIAL } } },
    [SMIME_ROLE_KEY_AGREEMENT] = { "KeyAgreeRecipientInfo: an element that does not belong there",
                                   "KeyAgreeRecipientInfo: an element is missing",
                                   .rows = { INTEGER_ROW(0),
                                             { .identifier = CONTEXT_CONSTRUCTED(0) },
                                             OPTIONAL_ROW(CONTEXT_CONSTRUCTED(1)),
                                             ALGORITHM_ROW(0),
                                             { .identifier = SMIME_BER_SEQUENCE,
                                               .role = SMIME_ROLE_AGREED_KEYS } } },
    [SMIME_ROLE_AGREED_KEYS] = { "recipientEncryptedKeys: an element that does not belong there",
                                 "no RecipientEncryptedKey", .choice = true, .min = 1,
                                 .rows = { { .identifier = SMIME_BER_SEQUENCE } } },
    [SMIME_ROLE_KEK] = { "KEKRecipientInfo: an element that does not belong there",
                         "KEKRecipientInfo: an element is missing",
                         .rows = { INTEGER_ROW(0),
                                   { .identifier = SMIME_BER_SEQUENCE },
                                   ALGORITHM_ROW(0),
                                   WRAPPED_KEY_ROW } },
    [SMIME_ROLE_PASSWORD] = { "PasswordRecipientInfo: an element that does not belong there",
                              "PasswordRecipientInfo: an element is missing",
                              .rows = { INTEGER_ROW(0), OPTIONAL_ROW(CONTEXT_CONSTRUCTED(0)),
                                        ALGORITHM_ROW(0), WRAPPED_KEY_ROW } },
    [SMIME_ROLE_OTHER_RECIPIENT] = { "OtherRecipientInfo: an element that does not belong there",
                                     "OtherRecipientInfo: an element is missing",
                                     .rows = { OID_ROW(0), { .identifier = SMIME_GRAMMAR_ANY } } },
    [SMIME_ROLE_ENCRYPTED] = { "EncryptedContentInfo: an element that does not belong there",
                               "EncryptedContentInfo: an element is missing",
                               .rows = { OID_ROW(SMIME_FIELD_CONTENT_TYPE),
                                         ALGORITHM_ROW(SMIME_FIELD_CONTENT_ALGORITHM),
                                         { .identifier = CONTEXT(0),
                                           .or_else = CONTEXT_CONSTRUCTED(0),
                                           .flags = SMIME_ROW_CONTENT,
                                           .role = SMIME_ROLE_OCTETS } } },
    [SMIME_ROLE_ALGORITHM] = { "AlgorithmIdentifier with two parameters",
                               "AlgorithmIdentifier without algorithm",
                               .rows = { OID_ROW(0),
                                         { .identifier = SMIME_GRAMMAR_ANY,
                                           .flags = SMIME_ROW_OPTIONAL } } },
};

/* Contents of the OIDs that decide what the body is (RFC 5652 4 to 6, RFC 5083 2, RFC 3274 1). */
static const struct {
    unsigned char n;
    unsigned char oid[11];
    unsigned char role;
    unsigned char content;
} types[] = {
    { 9,
      { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02 },
      SMIME_ROLE_SIGNED,
      SMIME_CONTENT_SIGNED },
    { 9,
      { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03 },
      SMIME_ROLE_ENVELOPED,
      SMIME_CONTENT_ENVELOPED },
    { 11,
      { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17 },
      SMIME_ROLE_AUTHENVELOPED,
      SMIME_CONTENT_AUTHENVELOPED },
    { 11,
      { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x09 },
      SMIME_ROLE_ANY,
      SMIME_CONTENT_COMPRESSED },
};

const struct smime_grammar *
smime_grammar_get(enum smime_role role)
{
    return &grammars[role];
}

enum smime_role
smime_grammar_find(struct span oid, enum smime_content *content)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (span_equal(oid, span_of(types[i].oid, types[i].n))) {
            *content = (enum smime_content)types[i].content;
            return (enum smime_role)types[i].role;
        }
    }
    *content = SMIME_CONTENT_OTHER;
    return SMIME_ROLE_ANY;
}
