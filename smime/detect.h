/*
 * What an entity claims to be, and what it is.      RFC 8551 3.2, 3.10; RFC 1847; RFC 3156
 *
 * The media type says what to look for; the CMS content type decides (smime/structure reads it).
 * "Already signed" and "already encrypted" are never decided by a parameter, a file name or a
 * substring.
 */
#ifndef SMIME_DETECT_H
#define SMIME_DETECT_H

#include <stdint.h>

#include "mime/parameter.h"
#include "util/stage.h"

enum smime_claim {
    SMIME_CLAIM_NONE,
    SMIME_CLAIM_CLEAR_SIGNED, /* multipart/signed; protocol application/(x-)pkcs7-signature */
    SMIME_CLAIM_CMS,          /* application/(x-)pkcs7-mime; a file name claims nothing */
    SMIME_CLAIM_PGP_SIGNED,   /* multipart/signed; protocol application/pgp-signature */
    SMIME_CLAIM_PGP_ENCRYPTED /* multipart/encrypted; protocol application/pgp-encrypted */
};

/* From the Content-Type of an entity (NULL: none). */
enum smime_claim smime_detect_claim(const struct mime_parameters *content_type);

enum smime_content {
    SMIME_CONTENT_UNKNOWN,
    SMIME_CONTENT_SIGNED,     /* SignedData with content */
    SMIME_CONTENT_CERTS_ONLY, /* SignedData without signers */
    SMIME_CONTENT_ENVELOPED,
    SMIME_CONTENT_AUTHENVELOPED,
    SMIME_CONTENT_COMPRESSED,
    SMIME_CONTENT_OTHER /* a ContentInfo of another type */
};

/* A sink for decoded CMS octets (after base64) that walks the BER structure while it passes and
 * holds only a few hundred bytes: tells the root content type, and whether the whole object is
 * well-formed (EnvelopedData and AuthEnvelopedData: version, at least one RecipientInfo, encrypted
 * content that is there, nothing behind it). */
struct smime_detect;

struct smime_detect_result {
    enum smime_content content; /* enveloped: known as soon as the type has passed */
    /* The structure is well-formed to the end. Signed: there are content and a signer. Enveloped:
     * the content encryption is one that we take for encryption (AES, 3DES, Camellia, ChaCha20) and
     * the length of the content fits it. So "already encrypted" is: enveloped or authenveloped,
     * and complete. */
    bool complete;
    bool whole;          /* the structure alone is well-formed, whatever the algorithm */
    uint32_t recipients; /* RecipientInfos (enveloped) */
    uint32_t signers;    /* SignerInfos (signed) */
    char cipher[64];     /* OID, dotted, of the content encryption; "" otherwise */
    const char *why;     /* static text when not complete */
};

ERR_CHECKED enum err_code smime_detect_new(struct smime_detect **out, struct err *err);
/* Octets that do not fit are an answer (see why), not an error. */
ERR_CHECKED enum err_code smime_detect_write(struct smime_detect *detect, struct span octets,
                                             struct err *err);
ERR_CHECKED enum err_code smime_detect_finish(struct smime_detect *detect, struct err *err);
const struct smime_detect_result *smime_detect_get(const struct smime_detect *detect);
void smime_detect_free(struct smime_detect **detect);

#endif
