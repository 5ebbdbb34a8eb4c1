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

/* Appends one field; both copied. */
ERR_CHECKED enum err_code mime_header_set(struct mime_header *header, struct span name,
                                          struct span value, struct err *err);

/* Parses a whole section (up to, not including, the empty line; LF or CRLF line ends). Lines that
 * are no field and no continuation are kept as a field with an empty name and counted as malformed;
 * the count is mime_header_malformed. */
ERR_CHECKED enum err_code mime_header_parse(struct mime_header *header, struct span section,
                                            struct err *err);

size_t mime_header_count(const struct mime_header *header);
size_t mime_header_malformed(const struct mime_header *header);

/* Field `index` (0-based), borrowed until the header is freed. */
struct mime_header_field mime_header_get(const struct mime_header *header, size_t index);

/* The `nth` (0-based) field of that name, ASCII case folded. False: not there. */
bool mime_header_find(const struct mime_header *header, const char *name, size_t nth,
                      struct mime_header_field *out);
size_t mime_header_find_count(const struct mime_header *header, const char *name);

/* The value unfolded and trimmed: line breaks removed, as RFC 5322 2.2.3 has it. Appends to `out`. */
ERR_CHECKED enum err_code mime_header_unfold(struct span value, struct buf *out, struct err *err);

/* Appends "Name:value CRLF" for every field, inner line breaks as CRLF. */
ERR_CHECKED enum err_code mime_header_format(const struct mime_header *header, struct buf *out,
                                             struct err *err);

#endif
