#include "mime/line.h"

enum { BLOCK = 64 };

/* Blocks of a fixed size and counters of one octet: the form that compilers turn into vector code.
 */
static void
count_octets(struct mime_line *line, struct span piece)
{
    size_t i, j;

    for (i = 0; i + BLOCK <= piece.n; i += BLOCK) {
        const unsigned char *p = piece.p + i;
        unsigned char high = 0, nul = 0, cr = 0;

        for (j = 0; j < BLOCK; j++) {
            high = (unsigned char)(high + (p[j] >> 7));
            nul = (unsigned char)(nul + (p[j] == 0));
            cr = (unsigned char)(cr + (p[j] == '\r'));
        }
        line->eightbit += high;
        line->nul += nul;
        line->cr += cr;
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

        add_to_line(line, p, (size_t)(lf - p));
        has_cr = line->n > 0 && line->last[1] == '\r';
        line->lf++;
        line->crlf += has_cr;
        end_line(line, has_cr);
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
