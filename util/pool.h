/*
 * A bounded pool of threads for work that waits: directories, the network.
 *
 * Threads are made when work comes and none is idle, up to a number, and stay. Work that finds the
 * queue full is refused: a queue without an end is a wait without an end. Every task that was taken
 * is called exactly once; when the pool ends, those that did not begin are called with `run` false,
 * so that they give back what they hold.
 *
 * Threads: any may submit. The lock is held while pointers move, never while a task runs. Tasks run
 * with all signals blocked.
 */
#ifndef UTIL_POOL_H
#define UTIL_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

struct pool;

struct pool_args {
    unsigned threads; /* at most; at least 1 */
    size_t queue;     /* tasks that wait for a thread */
};

ERR_CHECKED enum err_code pool_new(const struct pool_args *args, struct pool **out,
                                   struct err *err);

/* Takes no more work, calls what waits with `run` false, and waits for what runs. Not from a task.
 */
void pool_free(struct pool **pool);

/* `run`: do it; else give back what `context` holds. */
typedef void pool_task_fn(void *context, bool run);

/* ERR_LIMIT (reason "busy"): the queue is full, or the pool is ending; the task was not taken.
 * ERR_NOMEM. */
ERR_CHECKED enum err_code pool_submit(struct pool *pool, pool_task_fn *task, void *context,
                                      struct err *err);

struct pool_facts {
    unsigned threads, idle;
    size_t waiting;
    size_t refused; /* since it began */
};
void pool_get(struct pool *pool, struct pool_facts *out);

#endif
