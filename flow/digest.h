/*
 * SHA-256 over a list of parts, each behind its length, so that no two lists give the same octets.
 *
 * The one home of this in flow/: names of notes in the journal, what a mark seals.
 * Threads: any.
 */
#ifndef FLOW_DIGEST_H
#define FLOW_DIGEST_H

#include "util/err.h"
#include "util/span.h"

enum { FLOW_DIGEST_BYTES = 32 };

/* `out` has FLOW_DIGEST_BYTES octets. ERR_NOMEM only. */
ERR_CHECKED enum err_code flow_digest_get(const struct span *parts, size_t count,
                                          unsigned char *out, struct err *err);

/* Sorts C strings and drops repetitions; how many are left. */
size_t flow_digest_sort(const char **texts, size_t count);

#endif
