/*
 * Answers of a directory kept for a while: what was asked a moment ago is not asked again.
 *                                                                       RFC 2308 (the idea)
 *
 * A wrapper around any backend. "Not there" is kept too, for a shorter time. "Could not ask" is not
 * an answer and is never kept; while it lasts, answers beyond their life may be used if the
 * configuration says for how long (stale), all or none of a batch, and each use is logged.
 *
 * Bounded by octets; the answer that was not used for longest goes first. A reload begins with
 * nothing. Threads: any; one lock, never held while the backend is asked. Entries are shared and
 * counted, never copied.
 */
#ifndef DIRECTORY_REMEMBERED_H
#define DIRECTORY_REMEMBERED_H

#include "directory/directory.h"

struct directory_remembered_args {
    int64_t life_ms, negative_life_ms, stale_ms;
    size_t limit_bytes;
};

/* `directory` is taken on success; the new one has its name. */
ERR_CHECKED enum err_code directory_remembered_new(struct directory *directory,
                                                   const struct directory_remembered_args *args,
                                                   struct directory **out, struct err *err);

#endif
