/*
 * Encryption as a stage.     RFC 8551 3.3, 3.4; RFC 5652 6; RFC 5083, 5084; RFC 3560; RFC 5753
 *
 * Input: an entity in canonical form or what smime/sign wrote behind its header fields. Output: the
 * body (base64) of an application/pkcs7-mime entity: EnvelopedData with CBC, AuthEnvelopedData with
 * GCM, streamed. One RecipientInfo per certificate (duplicates merged), and the count is compared
 * before anything leaves. Never AEAD inside EnvelopedData. CMS_encrypt checks nothing about
 * certificates: the caller judged them (pki/certificate), and this stage refuses again what cannot
 * be encrypted to.
 *
 * Memory grows with the number of recipients, never with the message. Belongs to one thread at a
 * time.
 */
#ifndef SMIME_ENCRYPT_H
#define SMIME_ENCRYPT_H

#include "smime/algorithm.h"
#include "smime/entity.h"
#include "util/stage.h"

enum { SMIME_ENCRYPT_RECIPIENTS = 20000 };

struct smime_encrypt_args {
    struct pki_certificate *const *recipients; /* borrowed until finish */
    size_t count;                              /* 1 to 20000, or ERR_PERM / ERR_LIMIT */
    enum smime_cipher cipher;
    enum smime_transport transport; /* for RSA recipients */
};

/* `next` is taken. A certificate that cannot be encrypted to is ERR_PERM with its reason
 * (cert-wrong-usage, cert-weak-key, unsupported-algorithm), and the text names it. An empty entity
 * is ERR_PERM at the end. */
ERR_CHECKED enum err_code smime_encrypt_new(const struct smime_encrypt_args *args,
                                            struct stage *next, struct stage **out,
                                            struct smime_entity_header *header, struct err *err);

#endif
