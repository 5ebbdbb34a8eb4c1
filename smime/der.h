/*
 * Writing DER: elements whose length is known when they end.                       X.690 8.1, 11.6
 *
 *     size_t at = smime_der_begin(out);
 *     ... the contents ...
 *     smime_der_end(out, at, SMIME_BER_SEQUENCE, err);
 *
 * The contents move up by the two to five octets of their header, which is cheap for what this is
 * for: the small structures around the content of a message.
 *
 * No state; any thread.
 */
#ifndef SMIME_DER_H
#define SMIME_DER_H

#include "smime/ber.h"
#include "util/buf.h"

static inline size_t
smime_der_begin(const struct buf *out)
{
    return out->n;
}

/* Puts identifier and length before what was appended since `at`. */
ERR_CHECKED enum err_code smime_der_end(struct buf *out, size_t at, unsigned char identifier,
                                        struct err *err);

/* The same for a SET OF: its elements are put in the order of their octets first (X.690 11.6). More
 * than SMIME_DER_SET elements are ERR_LIMIT. */
enum { SMIME_DER_SET = 128 };
ERR_CHECKED enum err_code smime_der_end_set(struct buf *out, size_t at, unsigned char identifier,
                                            struct err *err);

/* A whole element around these contents. */
ERR_CHECKED enum err_code smime_der_append(struct buf *out, unsigned char identifier,
                                           struct span contents, struct err *err);

#endif
