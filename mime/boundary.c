/*
 * How a line becomes a delimiter.
 *
 * The text of a body runs through as it comes: memchr finds the next LF, two bytes behind it are
 * looked at, and unless they are "--" the search goes on in the same span. Only then, or where the
 * piece ends before that is known, are bytes held: the line break, and the line behind it up to its
 * own end. At its end the line is a delimiter (token), or text: then its own line break is held in
 * turn, since the next line may be the delimiter that it belongs to.
 *
 * The bugs this form has in mind, all of them seen in released software: a CR at the end of one
 * piece and the LF in the next; a piece that is one CR; a delimiter cut after any byte; a preamble
 * whose first piece has no "--"; a close delimiter without a line break at the end of input; white
 * space behind a delimiter; one boundary being the beginning of another; a line of dashes without
 * end.
 */
#include "mime/boundary.h"

#include <stdlib.h>

#include "util/wipe.h"

enum {
    /* The line break before, "--", boundary, "--", white space, line break. A line longer than that
     * is above 998 octets and no delimiter. */
    HOLD_BYTES = MIME_BOUNDARY_LIMIT_BYTES + 34,
};

struct open_boundary {
    unsigned char *text;
    size_t n;
    uint32_t level;
    bool closed;
};

struct mime_boundary {
    struct open_boundary open[MIME_BOUNDARY_LIMIT_OPEN];
    size_t count;
    bool at_line; /* hold[0..break_n) is the line break before the line that we are in */
    bool doubtful;
    size_t break_n; /* 0 at the beginning of a body */
    size_t hold_n;
    unsigned char hold[HOLD_BYTES];
    unsigned char out[HOLD_BYTES]; /* what a token shows when hold is needed again */
};

enum err_code
mime_boundary_new(struct mime_boundary **out, struct err *err)
{
    struct mime_boundary *boundary = calloc(1, sizeof(*boundary));

    if (!boundary)
        return err_set(err, ERR_NOMEM, "memory for the search of boundaries");
    boundary->at_line = true;
    *out = boundary;
    return ERR_OK;
}

void
mime_boundary_free(struct mime_boundary **boundary)
{
    if (!boundary || !*boundary)
        return;
    mime_boundary_drop(*boundary, 0);
    wipe_free_used(*boundary, sizeof(**boundary));
    *boundary = NULL;
}

bool
mime_boundary_is_usable(struct span text)
{
    size_t i;

    if (text.n == 0 || text.n > MIME_BOUNDARY_LIMIT_BYTES || text.p[text.n - 1] == ' ')
        return false;
    for (i = 0; i < text.n; i++) {
        if (text.p[i] < ' ' || text.p[i] > '~')
            return false;
    }
    return true;
}

enum err_code
mime_boundary_set(struct mime_boundary *boundary, struct span text, uint32_t level, struct err *err)
{
    struct open_boundary *open = &boundary->open[boundary->count];

    if (!mime_boundary_is_usable(text))
        return err_set(err, ERR_PERM, "a boundary must be 1 to %d printable octets",
                       MIME_BOUNDARY_LIMIT_BYTES);
    if (boundary->count == MIME_BOUNDARY_LIMIT_OPEN)
        return err_set(err, ERR_LIMIT, "more than %d multiparts inside each other",
                       MIME_BOUNDARY_LIMIT_OPEN);
    open->text = malloc(text.n);
    if (!open->text)
        return err_set(err, ERR_NOMEM, "memory for a boundary");
    memcpy(open->text, text.p, text.n);
    open->n = text.n;
    open->level = level;
    open->closed = false;
    boundary->count++;
    return ERR_OK;
}

void
mime_boundary_close(struct mime_boundary *boundary, uint32_t level)
{
    size_t i;

    for (i = 0; i < boundary->count; i++)
        boundary->open[i].closed |= boundary->open[i].level == level;
}

void
mime_boundary_drop(struct mime_boundary *boundary, uint32_t level)
{
    while (boundary->count > 0 && boundary->open[boundary->count - 1].level >= level)
        free(boundary->open[--boundary->count].text);
}

void
mime_boundary_reset(struct mime_boundary *boundary)
{
    boundary->at_line = true;
    boundary->break_n = 0;
    boundary->hold_n = 0;
}

bool
mime_boundary_is_doubtful(const struct mime_boundary *boundary)
{
    return boundary->doubtful;
}

static bool
is_blank_to_the_end(struct span text)
{
    size_t i;

    for (i = 0; i < text.n; i++) {
        if (text.p[i] != ' ' && text.p[i] != '\t')
            return false;
    }
    return true;
}

bool
mime_boundary_check(struct mime_boundary *boundary, struct span line,
                    struct mime_boundary_token *token)
{
    bool found = false, alike = false;
    size_t i;

    if (line.n < 2 || line.p[0] != '-' || line.p[1] != '-')
        return false;
    line = span_from(line, 2);
    for (i = 0; i < boundary->count; i++) {
        const struct open_boundary *open = &boundary->open[i];
        struct span rest;
        bool is_close;

        if (line.n < open->n || memcmp(line.p, open->text, open->n) != 0)
            continue;
        rest = span_from(line, open->n);
        is_close = rest.n >= 2 && rest.p[0] == '-' && rest.p[1] == '-';
        if (is_close)
            rest = span_from(rest, 2);
        if (found || open->closed) {
            boundary->doubtful = true;
        } else if (!is_blank_to_the_end(rest)) {
            alike = true; /* unless an inner one fits, of which this one is the beginning */
        } else {
            found = true;
            token->kind = MIME_BOUNDARY_DELIMITER;
            token->level = open->level;
            token->is_close = is_close;
        }
    }
    boundary->doubtful |= alike && !found;
    return found;
}

/* Shows `n` bytes of hold as text and keeps the rest of it. */
static void
give_held(struct mime_boundary *boundary, size_t n, struct mime_boundary_token *token)
{
    memcpy(boundary->out, boundary->hold, n);
    memmove(boundary->hold, boundary->hold + n, boundary->hold_n - n);
    boundary->hold_n -= n;
    token->kind = MIME_BOUNDARY_TEXT;
    token->bytes = span_of(boundary->out, n);
}

/* Length of the line break at the end of hold. */
static size_t
held_break(const struct mime_boundary *boundary)
{
    size_t n = boundary->hold_n;

    if (n == boundary->break_n || boundary->hold[n - 1] != '\n')
        return 0;
    return n - 1 > boundary->break_n && boundary->hold[n - 2] == '\r' ? 2 : 1;
}

/* The line in hold is complete. */
static void
judge_line(struct mime_boundary *boundary, struct mime_boundary_token *token)
{
    size_t break_n = held_break(boundary);
    struct span line =
        span_of(boundary->hold + boundary->break_n, boundary->hold_n - boundary->break_n - break_n);

    if (mime_boundary_check(boundary, line, token)) {
        memcpy(boundary->out, boundary->hold, boundary->hold_n);
        token->bytes = span_of(boundary->out, boundary->hold_n);
        mime_boundary_reset(boundary);
        return;
    }
    give_held(boundary, boundary->hold_n - break_n, token);
    boundary->break_n = break_n;
}

/* The line in hold is none that we wait for: what was held is text, and we are in mid-line. */
static bool
release_line(struct mime_boundary *boundary, struct mime_boundary_token *token)
{
    size_t n = boundary->hold_n;
    /* A CR at the very end may be the first half of a line break. */
    bool keep = n > boundary->break_n && boundary->hold[n - 1] == '\r';

    give_held(boundary, n - keep, token);
    boundary->at_line = false;
    boundary->break_n = 0;
    return token->bytes.n > 0;
}

static void
hold_bytes(struct mime_boundary *boundary, struct span *piece, size_t n)
{
    memcpy(boundary->hold + boundary->hold_n, piece->p, n);
    boundary->hold_n += n;
    *piece = span_from(*piece, n);
}

/* At the beginning of a line, or in one that begins with "--". */
static bool
take_line(struct mime_boundary *boundary, struct span *piece, struct mime_boundary_token *token)
{
    size_t n, room = HOLD_BYTES - boundary->hold_n;
    const unsigned char *lf;

    while (boundary->hold_n - boundary->break_n < 2) {
        if (piece->n == 0)
            return false;
        if (piece->p[0] != '-')
            return release_line(boundary, token);
        hold_bytes(boundary, piece, 1);
        room--;
    }
    if (piece->n == 0)
        return false;
    lf = memchr(piece->p, '\n', piece->n);
    n = lf ? (size_t)(lf - piece->p) + 1 : piece->n;
    if (n > room) {
        /* Too long: judged by as much of it as is always held, whatever the pieces were. */
        struct span line;

        hold_bytes(boundary, piece, room);
        line = span_of(boundary->hold + boundary->break_n, boundary->hold_n - boundary->break_n);
        boundary->doubtful |= mime_boundary_check(boundary, line, token);
        return release_line(boundary, token);
    }
    hold_bytes(boundary, piece, n);
    if (!lf)
        return false;
    judge_line(boundary, token);
    return token->bytes.n > 0;
}

/* In the middle of a line. */
static bool
take_text(struct mime_boundary *boundary, struct span *piece, struct mime_boundary_token *token)
{
    const unsigned char *p = piece->p;
    size_t at = 0, end = piece->n, n = piece->n;

    for (;;) {
        const unsigned char *lf = memchr(p + at, '\n', n - at);

        if (!lf) {
            end = p[n - 1] == '\r' ? n - 1 : n;
            at = n;
            break;
        }
        at = (size_t)(lf - p) + 1;
        if (at == n || (p[at] == '-' && (at + 1 == n || p[at + 1] == '-'))) {
            end = at - (at >= 2 && p[at - 2] == '\r' ? 2 : 1);
            boundary->at_line = true;
            break;
        }
    }
    boundary->hold_n = at - end;
    boundary->break_n = boundary->at_line ? boundary->hold_n : 0;
    memcpy(boundary->hold, p + end, at - end);
    token->kind = MIME_BOUNDARY_TEXT;
    token->bytes = span_of(p, end);
    *piece = span_from(*piece, at);
    return end > 0;
}

/* A CR was the last byte of the piece before. */
static bool
take_after_cr(struct mime_boundary *boundary, struct span *piece, struct mime_boundary_token *token)
{
    if (piece->p[0] != '\n') {
        give_held(boundary, 1, token);
        return true;
    }
    hold_bytes(boundary, piece, 1);
    boundary->break_n = 2;
    boundary->at_line = true;
    return false;
}

bool
mime_boundary_next(struct mime_boundary *boundary, struct span *piece,
                   struct mime_boundary_token *token)
{
    while (piece->n > 0) {
        bool found;

        if (boundary->count == 0 && boundary->hold_n == 0) {
            token->kind = MIME_BOUNDARY_TEXT;
            token->bytes = *piece;
            *piece = span_from(*piece, piece->n);
            return true;
        }
        if (boundary->at_line)
            found = take_line(boundary, piece, token);
        else if (boundary->hold_n > 0)
            found = take_after_cr(boundary, piece, token);
        else
            found = take_text(boundary, piece, token);
        if (found)
            return true;
    }
    return false;
}

bool
mime_boundary_finish(struct mime_boundary *boundary, struct mime_boundary_token *token)
{
    bool is_line = boundary->at_line && boundary->hold_n > boundary->break_n;

    if (boundary->hold_n == 0)
        return false;
    if (is_line) {
        judge_line(boundary, token);
        return true;
    }
    give_held(boundary, boundary->hold_n, token);
    boundary->at_line = false;
    boundary->break_n = 0;
    return true;
}
