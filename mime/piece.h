/*
 * The raw pieces of a field with parameters: the first of mime/parameter's two steps.
 *                                                             RFC 2045 5.1, RFC 2231 3, RFC
 * 5322 3.2 One walk over the field from left to right notes name, number and value (without quotes)
 * of each piece; mime/parameter then makes parameters of them. No byte is looked at twice but for
 * the joining there, which is bounded by the number of pieces: a hostile field costs linear time.
 */
#ifndef MIME_PIECE_H
#define MIME_PIECE_H

#include "mime/parameter.h"

enum { MIME_PIECE_NO_NUMBER = -1 };

struct mime_piece {
    struct span name; /* lower case, without '*' and number */
    struct span value;
    int number;    /* of a continuation, or MIME_PIECE_NO_NUMBER */
    bool extended; /* percent-encoded; the first one has charset'language' before it */
    bool used;     /* for the second step */
};

struct mime_pieces {
    struct span value;       /* what stands before the first ';', a C string */
    struct mime_piece *list; /* room for one piece of every '=' of the field, at most
                                MIME_PARAMETER_LIMIT */
    size_t count;
    unsigned flags; /* enum mime_parameter_flag */
    unsigned char
        *arena; /* every string, each with a NUL behind; as large as all of them can become */
    size_t arena_n;
    size_t arena_cap;
};

/* `to` is empty but for its list and its arena; strings are borrowed from that. */
ERR_CHECKED enum err_code mime_piece_parse(struct span field_value, struct mime_pieces *to,
                                           struct err *err);

/* Puts one byte into the arena. The arena suffices, so this cannot fail; the bound is checked all
 * the same, because what is parsed is hostile. */
static inline void
mime_piece_put(struct mime_pieces *to, unsigned char c)
{
    if (to->arena_n < to->arena_cap)
        to->arena[to->arena_n++] = c;
}

/* Ends the string that began at `from`. */
static inline struct span
mime_piece_end(struct mime_pieces *to, size_t from)
{
    size_t n = to->arena_n - from;
    mime_piece_put(to, '\0');
    return span_of(to->arena + from, n);
}

static inline unsigned char
mime_piece_lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

#endif
