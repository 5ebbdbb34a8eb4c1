/*
 * Decryption of the content of EnvelopedData and AuthEnvelopedData, streamed.
 *                                                 RFC 3565, RFC 5084, RFC 8103, RFC 9709
 *
 * AES-CBC, AES-GCM and ChaCha20-Poly1305; 3DES because archives and old mail programs are full of
 * it, and it is called weak. Not RC2, whose key may have 40 bits. What is written before `finish`
 * said ERR_OK is worth nothing: with CBC it never was authentic, with AEAD the tag is checked at
 * the end. The padding of CBC is looked at in constant time, and what came before it has been
 * written either way. Holds one piece. Belongs to one thread.
 */
#ifndef SMIME_CONTENT_H
#define SMIME_CONTENT_H

#include <stdbool.h>

#include "util/stage.h"

enum { SMIME_CONTENT_KEY = 32 };

struct smime_cipher_facts {
    const char *name; /* "aes256-gcm"; static */
    size_t key_bytes;
    bool aead;
    bool weak; /* 64-bit blocks */
};

/* `algorithm`: the element AlgorithmIdentifier. ERR_PERM "unsupported-algorithm" for what we do not
 * do or parameters that do not fit. */
ERR_CHECKED enum err_code smime_content_find(struct span algorithm, struct smime_cipher_facts *out,
                                             struct err *err);

struct smime_content_args {
    struct span algorithm;
    struct span key;             /* of key_bytes octets, copied */
    struct span auth_attributes; /* AEAD: element [1] as it came, or p NULL */
    struct span mac;     /* AEAD: the tag; p NULL: it stands behind the content, as some write
                            it inside EnvelopedData */
    struct stage *plain; /* borrowed; not finished */
};

struct smime_content_stream;

ERR_CHECKED enum err_code smime_content_new(const struct smime_content_args *args,
                                            struct smime_content_stream **out, struct err *err);
/* Errors of the cryptography are ERR_PERM "decrypt-failed", always with the same text; others are
 * those of `plain`. */
ERR_CHECKED enum err_code smime_content_write(struct smime_content_stream *stream,
                                              struct span piece, struct err *err);
ERR_CHECKED enum err_code smime_content_finish(struct smime_content_stream *stream,
                                               struct err *err);
void smime_content_free(struct smime_content_stream **stream);

/* The one text for every failure. */
enum err_code smime_content_fail(struct err *err);

#endif
