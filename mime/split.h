/*
 * Splits the body of a multipart/signed while it passes.                   RFC 1847 2.1, RFC
 * 2046 5.1
 *
 * Part one goes byte for byte (the CRLF before the boundary belongs to the boundary) into
 * `content`; part two, the signature, is kept up to a bound. Everything that could let another
 * reader see another part one is noted: text before the first boundary or after the last, more or
 * fewer than two parts, no closing boundary, boundary look-alikes (trailing characters, prefixes).
 */
#ifndef MIME_SPLIT_H
#define MIME_SPLIT_H

#include <stdint.h>

#include "mime/header.h"
#include "mime/parameter.h"
#include "util/stage.h"

struct mime_split;

struct mime_split_args {
    struct span boundary;         /* copied; 1 to 70 characters or ERR_PERM */
    struct stage *content;        /* gets part one; borrowed; finished by the caller */
    size_t signature_limit_bytes; /* header and body of part two, encoded */
};

struct mime_split_result {
    uint32_t parts;          /* body parts seen */
    bool preamble;           /* non-white text before the first boundary */
    bool preamble_usual;     /* and it is, word for word, what mail programs write there */
    bool epilogue;           /* non-white text after the closing boundary */
    bool closed;             /* the closing boundary was there */
    bool ambiguous;          /* readers may differ; `why` says how */
    bool bare_line_end;      /* a bare LF ended a boundary line or sits in part one */
    const char *why;         /* static text or NULL */
    uint64_t content_offset; /* in what was written: where part one begins */
    uint64_t content_bytes;
    struct span signature_header; /* of part two; borrowed until free */
    struct span signature_body;   /* as it came, still encoded; borrowed until free */
};

ERR_CHECKED enum err_code mime_split_new(const struct mime_split_args *args,
                                         struct mime_split **out, struct err *err);
ERR_CHECKED enum err_code mime_split_write(struct mime_split *split, struct span piece,
                                           struct err *err);
ERR_CHECKED enum err_code mime_split_finish(struct mime_split *split, struct err *err);
const struct mime_split_result *mime_split_get(const struct mime_split *split);
void mime_split_free(struct mime_split **split);

#endif
