/*
 * Signing as a stage.                         RFC 8551 3.5, RFC 5652 5, RFC 5035
 * (signingCertificateV2)
 *
 * Input: an entity in canonical form, header section included (mime/canonical). Output: the body of
 * the new entity; its header fields are known before the first byte. Clear-signed: the input passes
 * through unchanged inside multipart/signed while it is hashed. Opaque: CMS SignedData, base64,
 * streamed. Memory does not depend on the size.
 *
 * Signed attributes (smime/attribute): contentType, messageDigest, signingTime, SMIMECapabilities,
 * encryptionKeyPreference (when an encryption certificate is given), signingCertificateV2.
 * Certificates: the signer's, its chain without the root, and the encryption certificate.
 *
 * Belongs to one thread at a time.
 */
#ifndef SMIME_SIGN_H
#define SMIME_SIGN_H

#include "pki/keyring.h"
#include "smime/algorithm.h"
#include "smime/entity.h"
#include "util/stage.h"

struct smime_sign_args {
    const struct pki_key *key;                /* borrowed until finish */
    const struct pki_certificate *encryption; /* the sender's own; may be NULL; borrowed likewise */
    bool opaque;
    enum smime_digest digest;       /* more is used where an EC key asks for it */
    enum smime_signature signature; /* PKCS#1 v1.5 or PSS for RSA keys */
    time_t signing_time;
    const char *boundary; /* NULL: random; tests set it */
};

/* `next` is taken. The CMS and base64 stages behind are made here. A key that the library cannot
 * sign with in CMS (Ed25519 in OpenSSL 3.0) is ERR_PERM "unsupported-algorithm". An empty entity
 * (not even the empty line behind its header section) is ERR_PERM at the end where it is opaque. */
ERR_CHECKED enum err_code smime_sign_new(const struct smime_sign_args *args, struct stage *next,
                                         struct stage **out, struct smime_entity_header *header,
                                         struct err *err);

#endif
