/*
 * Quoted-printable as a stage.                                                   RFC 2045 6.7
 *
 * Encoder: for text (CRLF and LF are line breaks and become CRLF; a bare CR is =0D) or for binary
 * (every CR and LF is encoded). Always safe on any hop: lines of at most 76, trailing white space,
 * and at the beginning of a line "From ", a dot and "--" are encoded (a soft line break must not
 * make a boundary out of text). Text without a final line break gets none.
 *
 * Decoder: lenient. Line breaks stay as they came, white space at the end of a line is dropped, '='
 * that begins nothing is kept, both cases of hexadecimal digits are read. Each of these but line
 * breaks, bytes that should have been encoded, and a bare CR are counted as irregular. It holds at
 * most one line of white space.
 */
#ifndef MIME_QP_H
#define MIME_QP_H

#include <stdint.h>

#include "util/stage.h"

enum mime_qp_mode { MIME_QP_TEXT, MIME_QP_BINARY };

ERR_CHECKED enum err_code mime_qp_encode_new(enum mime_qp_mode mode, struct stage *next,
                                             struct stage **out, struct err *err);
/* `irregular` may be NULL; borrowed until the stage is freed. */
ERR_CHECKED enum err_code mime_qp_decode_new(uint64_t *irregular, struct stage *next,
                                             struct stage **out, struct err *err);

#endif
