/*
 * Search filters: escaping what goes into one, and judging one against attributes that we hold
 * ourselves.                                                                     RFC 4515, RFC 4511
 *
 * The evaluator serves memberURL and send_as_filter over a directory file: and, or, not, equality,
 * presence, substrings. Values compare without regard to ASCII case. An attribute that an entry
 * lacks is no match, and its negation is a match. Other kinds (>=, <=, ~=, extensible) are refused:
 * an answer that would be guessed is none.
 *
 * Threads: a filter is immutable.
 */
#ifndef DIRECTORY_FILTER_H
#define DIRECTORY_FILTER_H

#include "directory/record.h"
#include "util/buf.h"

enum { DIRECTORY_FILTER_LIMIT = 65536, DIRECTORY_FILTER_LIMIT_DEPTH = 20 };

/* Appends `value` so that nothing in it means anything to a filter: NUL ( ) * \ and all that is not
 * printable ASCII as \XX (RFC 4515 3). The one place that does it. */
ERR_CHECKED enum err_code directory_filter_escape(struct span value, struct buf *out,
                                                  struct err *err);

struct directory_filter;

/* ERR_PERM: bad syntax or a kind that is not evaluated; ERR_LIMIT, ERR_NOMEM. */
ERR_CHECKED enum err_code directory_filter_new(struct span text, struct directory_filter **out,
                                               struct err *err);
void directory_filter_free(struct directory_filter **filter);

bool directory_filter_match(const struct directory_filter *filter,
                            const struct directory_attribute *list, size_t count);

#endif
