/*
 * The header fields of the entities that we write.                         RFC 8551 3.2, 3.5; RFC
 * 2183
 *
 * Every line stays below 78 characters and every parameter begins a line of its own: Outlook and
 * Apple Mail misread a Content-Type that is folded elsewhere. Plain values; no thread rule.
 */
#ifndef SMIME_ENTITY_H
#define SMIME_ENTITY_H

#include "smime/algorithm.h"
#include "util/buf.h"

/* Fields that are "" are not there. Values are folded with CRLF SP, ready behind "Name: ". */
struct smime_entity_header {
    char content_type[512];
    char transfer_encoding[32];
    char disposition[128];
    char description[64];
};

/* Appends "Content-Type: ...CRLF..." for the fields that are there, without the empty line. */
ERR_CHECKED enum err_code smime_entity_header_format(const struct smime_entity_header *header,
                                                     struct buf *out, struct err *err);

/* multipart/signed; `boundary` needs no escaping (RFC 2046 5.1.1 characters, at most 70). */
void smime_entity_set_clear(struct smime_entity_header *header, enum smime_digest digest,
                            const char *boundary);
/* application/pkcs7-mime, smime.p7m, base64. `smime_type`: "signed-data", "enveloped-data",
 * "authEnveloped-data". */
void smime_entity_set_cms(struct smime_entity_header *header, const char *smime_type,
                          const char *description);
/* The signature part of multipart/signed: smime.p7s, base64. */
void smime_entity_set_signature(struct smime_entity_header *header);

#endif
