/*
 * Base64 with the vector instructions of this processor, chosen at run time. Private to
 * mime/base64, and to its tests, which run every one of them against the same vectors.
 *
 * What is done here is only what is regular: whole lines to encode, whole groups of the alphabet to
 * decode. Each function stops where it cannot go on and says how far it came; the plain code of
 * mime/base64 does the rest, and everything where there are no such instructions. No table is
 * indexed by a character here, so the time does not depend on what is encoded.
 *
 * Threads: any; the choice is one atomic pointer.
 */
#ifndef MIME_BASE64_VECTOR_H
#define MIME_BASE64_VECTOR_H

#include <stdbool.h>
#include <stddef.h>

enum { MIME_BASE64_LINE_OCTETS = 57, MIME_BASE64_LINE_TEXT = 78 /* 76 characters and CRLF */ };

/* What may be written behind the last octet of a result, and will be overwritten. */
enum { MIME_BASE64_VECTOR_SLACK = 16 };

struct mime_base64_vector {
    const char *name; /* "portable", "ssse3", "avx2" */
    /* Encodes whole lines out of `n` octets; their number. */
    size_t (*encode_lines)(const unsigned char *in, size_t n, unsigned char *out);
    /* Decodes out of `n` characters into at most `room` octets: whole lines of 76 characters and
     * CRLF first, then groups, up to the first piece with a character outside the alphabet. The
     * characters used; *out_n octets are added. `in` begins a group, and so does what is left. */
    size_t (*decode)(const unsigned char *in, size_t n, unsigned char *out, size_t room,
                     size_t *out_n);
};

/* The best that this processor has. */
const struct mime_base64_vector *mime_base64_vector_get(void);

/* For tests: the one of that name from now on, NULL the best again. False: there is none here. */
bool mime_base64_vector_set(const char *name);

#endif
