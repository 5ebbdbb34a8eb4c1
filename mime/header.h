/*
 * A header section: the fields of a message or a part in order, kept as they came.   RFC 5322 2.2
 *
 * Holds a copy of every field within two bounds (bytes, fields); never interprets one. A field's
 * value is everything after the colon, with its folding and leading space, without the final line
 * break. Line breaks inside a value are kept as they came (libmilter hands LF, the wire has CRLF);
 * mime_header_format writes CRLF.
 */
#ifndef MIME_HEADER_H
#define MIME_HEADER_H

#include "util/buf.h"

struct mime_header;

struct mime_header_field {
    struct span name;  /* as written, without trailing white space before the colon */
    struct span value; /* raw: leading space and folding kept */
};

/* Defaults and bounds: facts of docs/architecture.md. */
enum { MIME_HEADER_LIMIT_BYTES = 1 << 20, MIME_HEADER_LIMIT_FIELDS = 2000 };

ERR_CHECKED enum err_code mime_header_new(size_t limit_bytes, size_t limit_fields,
                                          struct mime_header **out, struct err *err);
void mime_header_free(struct mime_header **header);

/* Appends one field; both copied. ERR_PERM: a name with ':', CR, LF or NUL, a value with a line
 * break that no white space follows (it would be another field); ERR_LIMIT beyond a bound. An empty
 * name is a malformed line. */
ERR_CHECKED enum err_code mime_header_set(struct mime_header *header, struct span name,
                                          struct span value, struct err *err);

/* Parses a whole section (LF or CRLF line ends) and ends at the first empty line: what follows it
 * is no part of the section. A line that is no field and no continuation ("From " of a mailbox
 * file, a name with bytes outside 33-126, no colon, a continuation of nothing) is kept whole as the
 * value of a field with an empty name and counted; the count is mime_header_malformed. ERR_LIMIT,
 * ERR_NOMEM. */
ERR_CHECKED enum err_code mime_header_parse(struct mime_header *header, struct span section,
                                            struct err *err);

size_t mime_header_count(const struct mime_header *header);
size_t mime_header_malformed(const struct mime_header *header);

/* Fields that some readers take for the end of the section, or for two: white space before the
 * colon, a name with bytes outside of 33-126, a bare CR in the value. Malformed lines count, too,
 * but for the "From " line that a mailbox file begins with. */
size_t mime_header_irregular(const struct mime_header *header);

/* Field `index` (0-based), borrowed until the header is freed; empty spans beyond the last. */
struct mime_header_field mime_header_get(const struct mime_header *header, size_t index);

/* The `nth` (0-based) field of that name, ASCII case folded. False: not there. Malformed lines are
 * never found. */
bool mime_header_find(const struct mime_header *header, const char *name, size_t nth,
                      struct mime_header_field *out);
size_t mime_header_find_count(const struct mime_header *header, const char *name);

/* The value unfolded and trimmed: line breaks removed, as RFC 5322 2.2.3 has it; a bare CR inside
 * stays. Appends to `out`. */
ERR_CHECKED enum err_code mime_header_unfold(struct span value, struct buf *out, struct err *err);

/* Appends "Name:value CRLF" for every field (malformed lines as they were), inner line breaks as
 * CRLF, a bare CR as a space (in a malformed line as '?'), since no hop lets one through. */
ERR_CHECKED enum err_code mime_header_format(const struct mime_header *header, struct buf *out,
                                             struct err *err);

#endif
