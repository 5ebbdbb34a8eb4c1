/*
 * Encoded words: what a reader sees in a field like From or Subject.                     RFC 2047
 *
 * For looking into what people see, not for writing it again. Readers decode encoded words in
 * places where the RFC allows none (inside quotes, without white space around them), so they are
 * decoded wherever they stand. One walk, linear in the length. Pure; holds nothing.
 */
#ifndef MIME_WORD_H
#define MIME_WORD_H

#include "util/buf.h"

enum mime_word_flag {
    MIME_WORD_ENCODED = 1 << 0,    /* there was an encoded word */
    MIME_WORD_UNREADABLE = 1 << 1, /* one of a character set whose ASCII we cannot see: it stayed as
                                      it is (UTF-7, UTF-16, unknown names) */
};

/* Appends `text` to `out`: line breaks removed, encoded words decoded, white space between two of
 * them dropped. ASCII is ASCII then; characters of East Asian sets, whose second octet can look
 * like ASCII, are a space each; other octets stay as they are (most of the time UTF-8). What is no
 * encoded word to the letter stays as it stands. ERR_LIMIT, ERR_NOMEM. */
ERR_CHECKED enum err_code mime_word_decode(struct span text, struct buf *out, unsigned *flags,
                                           struct err *err);

/* Appends `text` without `word` (in any ASCII case), wherever that stands in one piece, and without
 * the white space behind it; in encoded words of character sets that hold ASCII too, which stay in
 * their encoding and never grow. Everything else stays octet for octet. *removed: it was there.
 * `word` is printable ASCII. ERR_LIMIT, ERR_NOMEM. */
ERR_CHECKED enum err_code mime_word_remove(struct span text, const char *word, struct buf *out,
                                           bool *removed, struct err *err);

#endif
