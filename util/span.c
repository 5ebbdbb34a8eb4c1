#include "util/span.h"

#include <stdlib.h>

/* Locale must not decide what a letter is: the "C" rules of RFC 5322, whatever LANG says. */
static unsigned char
span_fold(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

static bool
span_folds_to(const unsigned char *p, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (span_fold(p[i]) != span_fold((unsigned char)text[i]))
            return false;
    return true;
}

bool
span_equal(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
span_equal_nocase(struct span a, const char *b)
{
    return a.n == strlen(b) && span_folds_to(a.p, b, a.n);
}

bool
span_starts_nocase(struct span s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && span_folds_to(s.p, prefix, n);
}

static bool
span_is_blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span
span_trim(struct span s)
{
    while (s.n > 0 && span_is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && span_is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

size_t
span_find(struct span s, unsigned char c)
{
    const unsigned char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

char *
span_dup(struct span s)
{
    char *copy;
    if (span_find(s, '\0') != s.n)
        return NULL;
    copy = malloc(s.n + 1);
    if (!copy)
        return NULL;
    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}
