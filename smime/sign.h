/*
 * Signing as a stage.                                RFC 8551 3.5, RFC 5652 5, RFC 5035 (signingCertificateV2)
 *
 * Input: an entity in canonical form, header section included (mime/canonical). Output: the body of the
 * new entity; its header fields come from smime_sign_header and are known before the first byte. Clear-signed:
 * the input passes through unchanged inside multipart/signed while it is hashed. Opaque: CMS SignedData,
 * base64, streamed. Memory does not depend on the size.
 *
 * Signed attributes: contentType, messageDigest, signingTime, SMIMECapabilities, encryptionKeyPreference (when
 * an encryption certificate is given), signingCertificateV2. Certificates: the signer's, its chain without the root,
 * and the encryption certificate.
 */
#ifndef SMIME_SIGN_H
#define SMIME_SIGN_H

#include "pki/keyring.h"
#include "smime/algorithm.h"
#include "util/stage.h"

/* Header fields that describe an entity; fields that are "" are not there. Values are folded with CRLF SP, ready
 * behind "Name: ". */
struct smime_entity_header {
    char content_type[512];
    char transfer_encoding[32];
    char disposition[128];
    char description[64];
};

/* Appends "Content-Type: ...CRLF..." for the fields that are there, without the empty line. */
ERR_CHECKED enum err_code smime_entity_header_format(const struct smime_entity_header *header,
                                                     struct buf *out, struct err *err);

struct smime_sign_args {
    const struct pki_key *key;                        /* borrowed until finish */
    const struct pki_certificate *encryption;         /* the sender's own; may be NULL; borrowed */
    bool opaque;
    enum smime_digest digest;
    enum smime_signature signature;                   /* PKCS#1 v1.5 or PSS for RSA keys */
    time_t signing_time;
    const char *boundary;                             /* NULL: random; tests set it */
};

/* `next` is taken. The CMS and base64 stages behind are made here. */
ERR_CHECKED enum err_code smime_sign_new(const struct smime_sign_args *args, struct stage *next,
                                         struct stage **out, struct smime_entity_header *header,
                                         struct err *err);

#endif
