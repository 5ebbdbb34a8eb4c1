/*
 * Base64 as a stage.                                                              RFC 2045 6.8
 *
 * Encoder: lines of 76 characters ended by CRLF, the last line too. Decoder: skips line breaks and
 * white space; other characters outside the alphabet, wrong padding, data after it, and bits that
 * are lost at the end are counted as irregular (the caller decides). Padding ends the data. Both
 * hold at most one small block, whatever the message size.
 */
#ifndef MIME_BASE64_H
#define MIME_BASE64_H

#include <stdint.h>

#include "util/stage.h"

ERR_CHECKED enum err_code mime_base64_encode_new(struct stage *next, struct stage **out,
                                                 struct err *err);

/* `irregular` (may be NULL, borrowed until the stage is freed) counts characters and padding that
 * RFC 2045 does not allow. */
ERR_CHECKED enum err_code mime_base64_decode_new(uint64_t *irregular, struct stage *next,
                                                 struct stage **out, struct err *err);

/* Whole pieces, for small things. Appends to `out`; without line breaks. parse skips white space
 * and answers ERR_PERM to anything irregular; `out` then holds a part of the octets. */
ERR_CHECKED enum err_code mime_base64_format(struct span bytes, struct buf *out, struct err *err);
ERR_CHECKED enum err_code mime_base64_parse(struct span text, struct buf *out, struct err *err);

/* The same with line breaks as the encoder writes them. */
ERR_CHECKED enum err_code mime_base64_format_lines(struct span bytes, struct buf *out,
                                                   struct err *err);

#endif
