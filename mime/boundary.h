/*
 * The search for boundary delimiter lines in a stream.                              RFC 2046 5.1.1
 *
 * Holds the boundaries of all multiparts that are open at this point, outermost first, since the
 * delimiter of an outer one ends the inner ones. Text is handed back as spans of the caller's
 * piece; copied are only lines that begin with "--" and the line break before them, because that
 * belongs to the delimiter if it is one. Every byte that goes in comes out, once and in order, and
 * how the input was cut changes nothing but where the spans are cut.
 *
 * A delimiter is a whole line: "--", boundary, perhaps "--", perhaps white space. Some readers (and
 * Postfix) are content with a line that begins so, as RFC 2046 allows: such a look-alike stays text
 * and is noted, for the caller must not build on a structure that others see differently.
 */
#ifndef MIME_BOUNDARY_H
#define MIME_BOUNDARY_H

#include <stdint.h>

#include "util/err.h"
#include "util/span.h"

/* A longer boundary could not stand on a line of 998 octets (RFC 5322 2.1.1). */
enum { MIME_BOUNDARY_LIMIT_BYTES = 990, MIME_BOUNDARY_LIMIT_OPEN = 64 };

struct mime_boundary;

enum mime_boundary_kind { MIME_BOUNDARY_TEXT, MIME_BOUNDARY_DELIMITER };

struct mime_boundary_token {
    enum mime_boundary_kind kind;
    struct span bytes; /* borrowed until the next call; of a delimiter: with both line breaks */
    uint32_t level;    /* of a delimiter: as given to mime_boundary_set */
    bool is_close;
};

ERR_CHECKED enum err_code mime_boundary_new(struct mime_boundary **out, struct err *err);
void mime_boundary_free(struct mime_boundary **boundary);

/* 1 to MIME_BOUNDARY_LIMIT_BYTES octets of printable ASCII, the last one no space? */
bool mime_boundary_is_usable(struct span text);

/* Opens one more, inside those that are open; `text` is copied. ERR_PERM: not usable; ERR_LIMIT. */
ERR_CHECKED enum err_code mime_boundary_set(struct mime_boundary *boundary, struct span text,
                                            uint32_t level, struct err *err);

/* Its close delimiter was seen: from now on it ends nothing, but its return is a look-alike. */
void mime_boundary_close(struct mime_boundary *boundary, uint32_t level);

/* Forgets those of `level` and deeper. */
void mime_boundary_drop(struct mime_boundary *boundary, uint32_t level);

/* The next byte begins a line. Only when nothing is held: behind a delimiter, or after finish. */
void mime_boundary_reset(struct mime_boundary *boundary);

/* Is this line (without its line break) a delimiter? For a caller that reads whole lines. */
bool mime_boundary_check(struct mime_boundary *boundary, struct span line,
                         struct mime_boundary_token *token);

/* Takes from the front of *piece. True: a token; call again. False: *piece is used up. */
bool mime_boundary_next(struct mime_boundary *boundary, struct span *piece,
                        struct mime_boundary_token *token);

/* The end of input: what was held. Call until false. */
bool mime_boundary_finish(struct mime_boundary *boundary, struct mime_boundary_token *token);

/* A line was met that another reader could take for a delimiter, or for another one than we did. */
bool mime_boundary_is_doubtful(const struct mime_boundary *boundary);

#endif
