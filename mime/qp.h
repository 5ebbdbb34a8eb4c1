/*
 * Quoted-printable as a stage.                                                   RFC 2045 6.7
 *
 * Encoder: for text (CRLF and LF are line breaks and become CRLF; a bare CR is =0D) or for binary (every
 * CR and LF is encoded). Always safe on any hop: lines of at most 76, trailing white space, a leading
 * "From " and a lone dot are encoded. Decoder: lenient, counts what is irregular.
 */
#ifndef MIME_QP_H
#define MIME_QP_H

#include <stdint.h>

#include "util/stage.h"

enum mime_qp_mode { MIME_QP_TEXT, MIME_QP_BINARY };

ERR_CHECKED enum err_code mime_qp_encode_new(enum mime_qp_mode mode, struct stage *next,
                                             struct stage **out, struct err *err);
ERR_CHECKED enum err_code mime_qp_decode_new(uint64_t *irregular, struct stage *next,
                                             struct stage **out, struct err *err);

#endif
