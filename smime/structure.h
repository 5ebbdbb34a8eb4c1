/*
 * The grammar of CMS over the BER walker.  RFC 5652 3, 5.1, 6.1, 6.2; RFC 5083 2.1; RFC 8551 3.2
 *
 * One object goes through, in pieces of any size. Every element of ContentInfo, SignedData,
 * EnvelopedData and AuthEnvelopedData is held against tables: what may come where, how often, at
 * least how long. The fields that a caller asks for are cut out and handed over one by one
 * (definite length whatever they came in, one RecipientInfo or certificate at a time); the octets
 * of the content are handed on as they pass. So detection, verification and decryption share one
 * reading of the structure, and none of them holds more than the largest field.
 *
 * Why so strict: what this accepts as EnvelopedData leaves the house as "already encrypted". A body
 * that is merely dressed as one (no recipients, no encrypted content, text behind the object) must
 * fall through.
 *
 * Belongs to one thread. What does not fit is ERR_PERM "malformed-cms" and sticks.
 */
#ifndef SMIME_STRUCTURE_H
#define SMIME_STRUCTURE_H

#include "smime/ber.h"
#include "smime/detect.h"

/* Fields, in the order in which they can come. */
enum smime_field {
    SMIME_FIELD_NONE,
    SMIME_FIELD_TYPE,              /* OID of the ContentInfo */
    SMIME_FIELD_VERSION,           /* of the body */
    SMIME_FIELD_DIGEST_ALGORITHMS, /* SignedData: the SET */
    SMIME_FIELD_RECIPIENT,         /* one RecipientInfo */
    SMIME_FIELD_CONTENT_TYPE,      /* OID inside Encap- or EncryptedContentInfo */
    SMIME_FIELD_CONTENT_ALGORITHM, /* AlgorithmIdentifier of the content encryption */
    SMIME_FIELD_AUTH_ATTRIBUTES,   /* AuthEnvelopedData: [1] */
    SMIME_FIELD_MAC,               /* AuthEnvelopedData: OCTET STRING */
    SMIME_FIELD_CERTIFICATE,       /* one Certificate; other choices are counted only */
    SMIME_FIELD_CRL,               /* one CertificateList */
    SMIME_FIELD_SIGNER             /* one SignerInfo */
};

struct smime_structure_result {
    enum smime_content
        content;      /* known as soon as the type and, for SignedData, the end was seen */
    bool complete;    /* finished, and everything fitted */
    bool has_content; /* the (encrypted) content element is there */
    uint64_t content_bytes;
    uint32_t recipients, signers, certificates, crls;
    const char *why; /* static text when something did not fit */
};

struct smime_structure_args {
    unsigned wanted;          /* bits 1 << enum smime_field */
    size_t field_limit_bytes; /* a wanted field above it is ERR_LIMIT "too-large" */
    /* A wanted field, its whole element; borrowed for the call. An error sticks. NULL: none wanted.
     */
    enum err_code (*field)(void *context, enum smime_field field, struct span element,
                           struct err *err);
    /* Content octets; NULL: not wanted. */
    enum err_code (*content)(void *context, struct span piece, struct err *err);
    void *context; /* borrowed until free */
};

struct smime_structure;

ERR_CHECKED enum err_code smime_structure_new(const struct smime_structure_args *args,
                                              struct smime_structure **out, struct err *err);
ERR_CHECKED enum err_code smime_structure_write(struct smime_structure *structure,
                                                struct span piece, struct err *err);
ERR_CHECKED enum err_code smime_structure_finish(struct smime_structure *structure,
                                                 struct err *err);
void smime_structure_free(struct smime_structure **structure);

/* Borrowed until free. */
const struct smime_structure_result *smime_structure_get(const struct smime_structure *structure);

#endif
