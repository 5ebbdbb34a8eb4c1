/*
 * What the hops behind us could do to lines.                    RFC 5321 4.5.2, RFC 5322 2.1.1,
 * facts
 *
 * Counts, in pieces of any size, the octets and line forms that do not survive transport unchanged.
 * Lines end in LF or CRLF; a CR alone is no line end but is counted.
 */
#ifndef MIME_LINE_H
#define MIME_LINE_H

#include <stdint.h>

#include "util/span.h"

enum { MIME_LINE_LIMIT_BYTES = 998 };

struct mime_line {
    uint64_t size;
    uint64_t eightbit;
    uint64_t nul;
    uint64_t cr;
    uint64_t lf;
    uint64_t crlf;
    bool long_line; /* above 998 octets without its line break */
    bool trailing;  /* a line that ends in white space */
    bool from;      /* a line that begins with "From " */
    bool dot;       /* a line that is one dot */
    bool cr_dashes; /* a bare CR before "--": some readers see the beginning of a line there */

    /* The line that is not finished. */
    uint64_t n;
    unsigned char head[5];
    unsigned char last[2]; /* its last two octets, the very last in [1] */
    unsigned char after_cr;
};

/* Adds a piece. All zero is the beginning. */
void mime_line_write(struct mime_line *line, struct span piece);

/* The end of the text is the end of its last line. */
void mime_line_finish(struct mime_line *line);

static inline bool
mime_line_has_bare_cr(const struct mime_line *line)
{
    return line->cr != line->crlf;
}

static inline bool
mime_line_has_bare_lf(const struct mime_line *line)
{
    return line->lf != line->crlf;
}

#endif
