/*
 * The bytes of one message at rest: memory up to a bound, then one unlinked file in a private
 * folder. Written once from start to end, then read as often as wanted. Limits: the memory bound
 * moves bytes to the file, the total bound is ERR_LIMIT. Memory is wiped when freed; the file is
 * unlinked while open, so a crash leaves nothing behind.
 *
 * Belongs to one message. A spool that failed is broken (sticky error).
 */
#ifndef UTIL_SPOOL_H
#define UTIL_SPOOL_H

#include <stdint.h>

#include "util/err.h"
#include "util/span.h"
#include "util/stage.h"

struct spool;

struct spool_args {
    const char *folder;   /* private folder for the file; copied */
    size_t memory_bytes;  /* beyond this the file is used */
    uint64_t limit_bytes; /* beyond this ERR_LIMIT */
};

ERR_CHECKED enum err_code spool_new(const struct spool_args *args, struct spool **out,
                                    struct err *err);
ERR_CHECKED enum err_code spool_write(struct spool *spool, struct span piece, struct err *err);

/* No more writing; reading may begin. */
ERR_CHECKED enum err_code spool_finish(struct spool *spool, struct err *err);
void spool_free(struct spool **spool);

/* Bytes written so far. */
uint64_t spool_size(const struct spool *spool);

/* Bytes of heap held at present. */
size_t spool_memory(const struct spool *spool);

/* Reads at `offset` up to `size` bytes into `into`; *got is 0 at the end. */
ERR_CHECKED enum err_code spool_read(const struct spool *spool, uint64_t offset, void *into,
                                     size_t size, size_t *got, struct err *err);

/* Pushes all bytes into `stage` in large pieces; does not finish the stage. */
ERR_CHECKED enum err_code spool_copy(const struct spool *spool, struct stage *stage,
                                     struct err *err);

/* A sink stage that writes into the spool and finishes it; `spool` is borrowed. */
ERR_CHECKED enum err_code spool_stage_new(struct spool *spool, struct stage **out, struct err *err);

#endif
