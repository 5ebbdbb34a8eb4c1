/*
 * Whole files: read with a bound and refused when they are not safe, written wholly or not at all.
 * What is checked is the opened file, not the name: between a stat and an open the name may change.
 */
#ifndef UTIL_FILE_H
#define UTIL_FILE_H

#include <sys/types.h>

#include "util/buf.h"
#include "util/err.h"
#include "util/span.h"

struct file_read_args {
    size_t limit_bytes;
    mode_t forbidden_mode; /* permission bits that make it unsafe: 0077 for a key, 0002 for others'
                              writing */
    bool check_owner;      /* it must belong to root or to who we are */
};

/* Appends the file's bytes to `out`, whose own limit counts too. ERR_NOTFOUND: no such file.
 * ERR_PERM: not a plain file, or unsafe; the text says why. ERR_LIMIT: longer than the bound.
 * ERR_TEMP: cannot be read. */
ERR_CHECKED enum err_code file_read(const char *path, const struct file_read_args *args,
                                    struct buf *out, struct err *err);

/* Writes `bytes` as `path` with exactly `mode`: into a temporary file beside it, synced, then
 * renamed, and the folder synced. On failure the old file is as it was and no temporary file is
 * left. */
ERR_CHECKED enum err_code file_write(const char *path, struct span bytes, mode_t mode,
                                     struct err *err);

#endif
