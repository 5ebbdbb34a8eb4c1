#include "util/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/wipe.h"

enum { BUF_FIRST_CAP = 64 };

void
buf_init(struct buf *b, size_t limit_bytes)
{
    *b = (struct buf){ .limit_bytes = limit_bytes };
}

void
buf_reset(struct buf *b)
{
    if (!b->p)
        return;
    /* Only what was used can hold anything: capacity beyond n was never written or was wiped. */
    explicit_bzero(b->p, b->n);
    b->n = 0;
}

void
buf_free(struct buf *b)
{
    wipe_free_used(b->p, b->n);
    buf_init(b, b->limit_bytes);
}

/* A new block with room for `more`, holding the old bytes; the old block is left to the caller,
 * because what is to be appended may lie in it. */
static enum err_code
buf_grow(struct buf *b, size_t more, unsigned char **old, size_t *old_n, struct err *err)
{
    unsigned char *p;
    size_t need, cap;

    *old = NULL;
    *old_n = 0;
    if (more > b->limit_bytes || b->n > b->limit_bytes - more)
        return err_set(err, ERR_LIMIT, "buffer limit of %zu octets reached", b->limit_bytes);
    if (b->n > SIZE_MAX - 1 - more)
        return err_set(err, ERR_NOMEM, "out of memory");
    need = b->n + more + 1;
    if (b->p && need <= b->cap)
        return ERR_OK;
    cap = b->cap ? b->cap : BUF_FIRST_CAP;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    /* Not beyond the limit, unless that is what is asked for. */
    if (b->limit_bytes < SIZE_MAX && cap > b->limit_bytes + 1)
        cap = b->limit_bytes + 1;
    p = malloc(cap);
    if (!p)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (b->n)
        memcpy(p, b->p, b->n);
    p[b->n] = '\0';
    *old = b->p;
    *old_n = b->n;
    b->p = p;
    b->cap = cap;
    return ERR_OK;
}

enum err_code
buf_reserve(struct buf *b, size_t more, struct err *err)
{
    unsigned char *old;
    size_t old_n;
    enum err_code rc = buf_grow(b, more, &old, &old_n, err);

    wipe_free_used(old, old_n);
    return rc;
}

enum err_code
buf_append(struct buf *b, struct span piece, struct err *err)
{
    unsigned char *old;
    size_t old_n;
    enum err_code rc = buf_grow(b, piece.n, &old, &old_n, err);

    if (rc != ERR_OK)
        return rc;
    if (piece.n)
        memmove(b->p + b->n, piece.p, piece.n);
    b->n += piece.n;
    b->p[b->n] = '\0';
    wipe_free_used(old, old_n);
    return ERR_OK;
}

enum err_code
buf_append_str(struct buf *b, const char *text, struct err *err)
{
    return buf_append(b, span_str(text), err);
}

enum err_code
buf_append_byte(struct buf *b, unsigned char byte, struct err *err)
{
    return buf_append(b, span_of(&byte, 1), err);
}

enum err_code
buf_appendf(struct buf *b, struct err *err, const char *format, ...)
{
    unsigned char *old = NULL;
    size_t old_n = 0;
    enum err_code rc;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        return err_set(err, ERR_BUG, "format \"%s\" cannot be written", format);
    rc = buf_grow(b, (size_t)n, &old, &old_n, err);
    if (rc != ERR_OK)
        return rc;
    va_start(args, format);
    vsnprintf((char *)b->p + b->n, (size_t)n + 1, format, args);
    va_end(args);
    b->n += (size_t)n;
    wipe_free_used(old, old_n);
    return ERR_OK;
}

void
buf_consume(struct buf *b, size_t count)
{
    if (!b->p)
        return;
    if (count > b->n)
        count = b->n;
    memmove(b->p, b->p + count, b->n - count);
    explicit_bzero(b->p + b->n - count, count);
    b->n -= count;
    b->p[b->n] = '\0';
}

struct span
buf_span(const struct buf *b)
{
    return span_of(b->p, b->n);
}

const char *
buf_str(const struct buf *b)
{
    return b->p ? (const char *)b->p : "";
}
