/*
 * Which letters about certificates have been written, so that nobody gets one twice: a small
 * private file, written whole and synced after each letter.
 *
 * A line for each kind and certificate, with the time. Certificates that are no longer there are
 * forgotten when it is written. A file that is not there is told apart: then nothing is known, and
 * no certificate of today has just arrived. One that cannot be read is an error, and no letters are
 * written: rather none than all of them again.
 *
 * Threads: one.
 */
#ifndef FLOW_TOLD_H
#define FLOW_TOLD_H

#include <stdbool.h>
#include <time.h>

#include "flow/notice.h"
#include "util/err.h"

enum { FLOW_TOLD_BYTES = 16 << 20 };

struct flow_told;

/* `path` is copied. ERR_PERM: unsafe, or not a file of ours. ERR_TEMP, ERR_LIMIT, ERR_NOMEM. */
ERR_CHECKED enum err_code flow_told_load(const char *path, struct flow_told **out, struct err *err);
void flow_told_free(struct flow_told **told);

/* There was no file. */
bool flow_told_is_new(const struct flow_told *told);

/* When; 0: never. */
time_t flow_told_get(const struct flow_told *told, enum flow_notice_kind kind,
                     const char *fingerprint);
/* Of EXPIRES and ARRIVED alone. */
ERR_CHECKED enum err_code flow_told_set(struct flow_told *told, enum flow_notice_kind kind,
                                        const char *fingerprint, time_t at, struct err *err);

/* If something changed. `is_there` says whether a certificate is still one of ours. */
typedef bool flow_told_is_there_fn(const void *context, const char *fingerprint);
ERR_CHECKED enum err_code flow_told_write(struct flow_told *told, flow_told_is_there_fn *is_there,
                                          const void *context, struct err *err);

#endif
