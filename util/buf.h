/*
 * A growing piece of memory with a maximum: it cannot be made without its limit, and reaching it is
 * ERR_LIMIT, never a truncation. Bytes are wiped when they are freed or moved, since a buffer may
 * hold plaintext or keys. Belongs to one thread.
 */
#ifndef UTIL_BUF_H
#define UTIL_BUF_H

#include "util/err.h"
#include "util/span.h"

struct buf {
    unsigned char *p; /* always NUL-terminated when not NULL; the NUL is not counted */
    size_t n;
    size_t cap;
    size_t limit_bytes;
};

#define BUF_INIT(limit)        \
    {                          \
        .limit_bytes = (limit) \
    }

void buf_init(struct buf *b, size_t limit_bytes);

/* Empty again; the memory is wiped and kept. */
void buf_reset(struct buf *b);

/* Wiped and given back; the limit stays, so the buffer can be used again. */
void buf_free(struct buf *b);

ERR_CHECKED enum err_code buf_append(struct buf *b, struct span piece, struct err *err);
ERR_CHECKED enum err_code buf_append_str(struct buf *b, const char *text, struct err *err);
ERR_CHECKED enum err_code buf_append_byte(struct buf *b, unsigned char byte, struct err *err);
ERR_CHECKED enum err_code buf_appendf(struct buf *b, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Room for `more` bytes, so that the next appends of that many cannot fail for memory. */
ERR_CHECKED enum err_code buf_reserve(struct buf *b, size_t more, struct err *err);

/* Drops the first `count` bytes (at most n). */
void buf_consume(struct buf *b, size_t count);

/* Borrowed until the next change of the buffer. */
struct span buf_span(const struct buf *b);

/* The content as a C string ("" when empty); borrowed like buf_span. */
const char *buf_str(const struct buf *b);

#endif
