/*
 * Local parts of addresses: what the two halves of mime/address share.      RFC 5322 3.4.1, RFC
 * 6532
 *
 * One spelling for one local part: in NFC (RFC 6532 3.1, RFC 9598 3), without quotes where it is a
 * dot-atom, else quoted with as few escapes as the grammar allows. libunistring has its home here.
 */
#ifndef MIME_LOCAL_H
#define MIME_LOCAL_H

#include "util/span.h"

/* A character of an atom; bytes above 127 are (RFC 6532 3.2), their encoding is judged apart. */
bool mime_local_is_atext(unsigned char c);

bool mime_local_is_ascii(struct span text);

/* Well-formed UTF-8: no overlong form, no surrogate, nothing above U+10FFFF. */
bool mime_local_is_utf8(struct span text);

/* Writes `text` in NFC into `out` of `size` bytes, without a NUL. Returns its length; 0: empty, not
 * UTF-8, more than 30 combining marks in a row, or it does not fit. That many marks are no writing
 * of anybody (UAX #15 calls the rest stream-safe), and within that bound the library needs no
 * memory of its own, so that there is no third answer here. */
size_t mime_local_normalise(struct span text, char *out, size_t size);

/* Writes `content` (what stands between the quotes, escapes resolved) into `out` of `size` bytes,
 * with a NUL. Returns its length; 0: empty, with a control character, not UTF-8, or it does not
 * fit, or mime_local_normalise refuses it. */
size_t mime_local_format(struct span content, char *out, size_t size);

#endif
