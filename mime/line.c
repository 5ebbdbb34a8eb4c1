#include "mime/line.h"

/* Sixteen octets at once, in the form that gcc and clang both know; and as many of those as a
 * counter of one octet can count. */
typedef unsigned char octets __attribute__((vector_size(16)));

enum { BLOCK_MAX = 255 * sizeof(octets) };

static uint64_t
sum(octets counters)
{
    uint64_t all = 0;
    size_t i;

    for (i = 0; i < sizeof(counters); i++)
        all += counters[i];
    return all;
}

/* `n` is a multiple of sixteen. A comparison gives all ones where it is true, which is -1. */
static void
count_block(struct mime_line *line, const unsigned char *p, size_t n)
{
    typedef signed char numbers __attribute__((vector_size(16)));
    octets high = { 0 }, nul = { 0 }, cr = { 0 }, in;
    size_t i;

    for (i = 0; i < n; i += sizeof(in)) {
        memcpy(&in, p + i, sizeof(in));
        high -= (octets)((numbers)in < 0);
        nul -= (octets)(in == 0);
        cr -= (octets)(in == '\r');
    }
    line->eightbit += sum(high);
    line->nul += sum(nul);
    line->cr += sum(cr);
}

static void
count_octets(struct mime_line *line, struct span piece)
{
    size_t whole = piece.n / sizeof(octets) * sizeof(octets), i, n;

    for (i = 0; i < whole; i += n) {
        n = whole - i < BLOCK_MAX ? whole - i : BLOCK_MAX;
        count_block(line, piece.p + i, n);
    }
    for (; i < piece.n; i++) {
        line->eightbit += piece.p[i] >> 7;
        line->nul += piece.p[i] == 0;
        line->cr += piece.p[i] == '\r';
    }
}

/* Part of a line, without its LF. */
static void
add_to_line(struct mime_line *line, const unsigned char *p, size_t n)
{
    size_t i;

    if (n == 0)
        return;
    for (i = 0; line->n + i < sizeof(line->head) && i < n; i++)
        line->head[line->n + i] = p[i];
    line->last[0] = n > 1 ? p[n - 2] : line->last[1];
    line->last[1] = p[n - 1];
    line->n += n;
}

static void
end_line(struct mime_line *line, bool has_cr)
{
    uint64_t n = line->n - has_cr;
    unsigned char last = line->last[has_cr ? 0 : 1];

    line->long_line |= n > MIME_LINE_LIMIT_BYTES;
    line->trailing |= n > 0 && (last == ' ' || last == '\t');
    line->from |= n >= sizeof(line->head) && memcmp(line->head, "From ", sizeof(line->head)) == 0;
    line->dot |= n == 1 && line->head[0] == '.';
    line->n = 0;
}

/* A line that lies in one piece, as nearly all do: `n` octets, without its LF. */
static bool
whole_line(struct mime_line *line, const unsigned char *p, size_t n)
{
    bool has_cr = n > 0 && p[n - 1] == '\r';

    n -= has_cr;
    if (n > 0) {
        line->long_line |= n > MIME_LINE_LIMIT_BYTES;
        line->trailing |= p[n - 1] == ' ' || p[n - 1] == '\t';
        line->from |= n >= 5 && memcmp(p, "From ", 5) == 0;
        line->dot |= n == 1 && p[0] == '.';
    }
    return has_cr;
}

/* Only where a CR stands alone: looks for "--" behind it. */
static void
search_dashes(struct mime_line *line, struct span piece)
{
    size_t i;

    for (i = 0; i < piece.n; i++) {
        unsigned char c = piece.p[i];

        if (c == '-' && line->after_cr == 2)
            line->cr_dashes = true;
        line->after_cr = c == '\r' ? 1 : c == '-' && line->after_cr == 1 ? 2 : 0;
    }
}

void
mime_line_write(struct mime_line *line, struct span piece)
{
    const unsigned char *p = piece.p, *end, *lf;
    uint64_t cr = line->cr, crlf = line->crlf;

    if (piece.n == 0)
        return;
    end = piece.p + piece.n;
    line->size += piece.n;
    count_octets(line, piece);
    while ((lf = memchr(p, '\n', (size_t)(end - p)))) {
        bool has_cr;

        if (line->n == 0) {
            has_cr = whole_line(line, p, (size_t)(lf - p));
        } else {
            add_to_line(line, p, (size_t)(lf - p));
            has_cr = line->last[1] == '\r';
            end_line(line, has_cr);
        }
        line->lf++;
        line->crlf += has_cr;
        p = lf + 1;
    }
    add_to_line(line, p, (size_t)(end - p));
    if (line->after_cr != 0 || line->cr - cr != line->crlf - crlf)
        search_dashes(line, piece);
    else
        line->after_cr = 0;
    if (end[-1] == '\r')
        line->after_cr = 1;
}

void
mime_line_finish(struct mime_line *line)
{
    if (line->n > 0)
        end_line(line, false);
}
