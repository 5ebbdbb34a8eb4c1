/*
 * Keeps the MTA patient while an end-of-message takes long.
 *
 * flow_message_finish blocks its callback; meanwhile one thread of ours sends smfi_progress for it
 * every few seconds. That is safe because libmilter writes to a connection only from the callback's
 * own thread, which is inside finish and writes nothing: begin is called before it, and end waits
 * for a write that is under way, so the two never write at once. smfi_progress itself reads only
 * fields of its context that do not change during a callback. Its packet has five octets and at
 * most 32 of them are sent (flow/patience.h), so the write never fills a socket and the lock
 * is never held for long.
 *
 * Threads: any; one lock.
 */
#ifndef MILTER_PROGRESS_H
#define MILTER_PROGRESS_H

#include <libmilter/mfapi.h>

#include "util/err.h"

enum { MILTER_PROGRESS_INTERVAL_MS = 8000 };

/* One waiting callback; lives on its stack between begin and end. */
struct milter_progress {
    SMFICTX *ctx;
    struct milter_progress *next;
};

ERR_CHECKED enum err_code milter_progress_init(struct err *err);
void milter_progress_deinit(void);

void milter_progress_begin(struct milter_progress *progress, SMFICTX *ctx);
void milter_progress_end(struct milter_progress *progress);

#endif
