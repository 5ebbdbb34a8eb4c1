/*
 * For the tests of this folder: inputs in heap blocks of their exact size, so that sanitizers see
 * every byte read too far, and streams fed in pieces of the sizes that have hurt others.
 */
#ifndef TESTS_UNIT_MIME_PIECES_H
#define TESTS_UNIT_MIME_PIECES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/buf.h"
#include "util/stage.h"

/* Bytes of a literal that may hold NULs. */
#define LITERAL(text) ((struct span){ (const unsigned char *)(text), sizeof(text) - 1 })

static const size_t PIECES[] = { 1, 2, 3, 7, 64, 4096, 65535 };
enum { PIECES_N = sizeof PIECES / sizeof PIECES[0] };

/* A copy in a block of exactly its size: free((void *)span.p). */
static inline struct span
exact(struct span s)
{
    unsigned char *p = malloc(s.n);
    assert_true(p != NULL || s.n == 0);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return span_of(p, s.n);
}

static inline void
exact_free(struct span s)
{
    free((void *)s.p);
}

/* Pushes `in` through `stage` in pieces, each an exact block, and finishes it. */
static inline enum err_code
feed(struct stage *stage, struct span in, size_t piece)
{
    struct err err = ERR_INIT;
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < in.n && code == ERR_OK; i += piece) {
        size_t n = in.n - i < piece ? in.n - i : piece;
        struct span block = exact(span_of(in.p + i, n));
        code = stage_write(stage, block, &err);
        exact_free(block);
    }
    return code == ERR_OK ? stage_finish(stage, &err) : code;
}

static inline void
assert_span(struct span found, struct span wanted)
{
    if (found.n != wanted.n || (wanted.n > 0 && memcmp(found.p, wanted.p, wanted.n) != 0)) {
        print_message("found  \"%.*s\" (%zu)\nwanted \"%.*s\" (%zu)\n", SPAN_ARG(found), found.n,
                      SPAN_ARG(wanted), wanted.n);
        fail();
    }
}

/* The same bytes on every run: a small generator, no entropy. */
static inline unsigned char
noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (unsigned char)(*state >> 24);
}

#endif
