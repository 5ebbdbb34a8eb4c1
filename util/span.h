/*
 * A borrowed piece of bytes: pointer and length, never a C string. Everything that comes from the
 * wire is a span until NUL was refused. A span owns nothing; the function that hands one out says
 * until when it is valid. `p` may be NULL only if `n` is 0 or where a header says that NULL means
 * absent.
 */
#ifndef UTIL_SPAN_H
#define UTIL_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
    const unsigned char *p;
    size_t n;
};

/* For printf's "%.*s". */
#define SPAN_ARG(s) (int)(s).n, (const char *)(s).p

static inline struct span
span_of(const void *p, size_t n)
{
    return (struct span){ .p = p, .n = n };
}

/* A C string without its NUL; NULL gives an empty span. */
static inline struct span
span_str(const char *text)
{
    return (struct span){ .p = (const unsigned char *)text, .n = text ? strlen(text) : 0 };
}

/* Bytes from `from` (at most n) to the end. */
static inline struct span
span_from(struct span s, size_t from)
{
    if (s.n == 0) /* p may be NULL, and NULL + 0 is undefined in C */
        return s;
    return from >= s.n ? span_of(s.p + s.n, 0) : span_of(s.p + from, s.n - from);
}

bool span_equal(struct span a, struct span b);

/* ASCII letters only are folded. */
bool span_equal_nocase(struct span a, const char *b);
bool span_starts_nocase(struct span s, const char *prefix);

/* Without space, tab, CR and LF at both ends. */
struct span span_trim(struct span s);

/* Position of `c`, or s.n when it is not there. */
size_t span_find(struct span s, unsigned char c);

/* A NUL-terminated copy, returned: free(). NULL if memory is exhausted or the span holds a NUL. */
char *span_dup(struct span s);

#endif
