/*
 * The connections to Redis: a bounded number, made when needed, and a circuit breaker.
 *
 * How one question passes: take a connection (an idle one that is still whole, else a new one, else
 * wait for one until the deadline), ask, give it back with what came of it. After
 * CACHE_POOL_FAILURES failures in a row the circuit opens: for a while nobody asks at all, so that
 * a dead Redis costs a message nothing, then one single question tries; the while doubles up to
 * CACHE_POOL_BACKOFF_MAX_MS. What goes wrong is logged once with a count (util/log.h), and once
 * when Redis is back.
 *
 * Nothing is connected when the pool is made: Redis may be absent at start.
 *
 * With Sentinels each new connection first asks them for the master (cache/sentinel.h).
 *
 * Threads: any; one lock, held while a list changes, never during input or output.
 */
#ifndef CACHE_POOL_H
#define CACHE_POOL_H

#include "cache/redis.h"

enum {
    CACHE_POOL_CONNECTIONS_MAX = 64,
    CACHE_POOL_FAILURES = 3,
    CACHE_POOL_BACKOFF_MS = 1000,
    CACHE_POOL_BACKOFF_MAX_MS = 30000,
};

/* All strings are copied, passwords are wiped when freed. Either `server` says where, or
 * `sentinels` and `master` do; then `server` says as whom and which database. */
struct cache_pool_args {
    struct cache_redis_server server;
    const struct cache_redis_server *sentinels;
    size_t sentinel_count;
    const char *master;
    unsigned connections; /* 1 to CACHE_POOL_CONNECTIONS_MAX */
    int64_t backoff_ms;   /* the first one; 0 is CACHE_POOL_BACKOFF_MS */
};

struct cache_pool;

ERR_CHECKED enum err_code cache_pool_new(const struct cache_pool_args *args,
                                         struct cache_pool **out, struct err *err);

/* When all connections were given back. */
void cache_pool_free(struct cache_pool **pool);

/* ERR_TEMP: the circuit is open, all are in use until the deadline, or it cannot be connected (then
 * this has been counted). */
ERR_CHECKED enum err_code cache_pool_take(struct cache_pool *pool, int64_t deadline_ms,
                                          struct cache_redis **out, struct err *err);

/* Gives it back and sets the pointer to NULL. `failure` NULL: it answered. Else the connection is
 * dropped, the failure is logged and counts for the circuit. */
void cache_pool_give(struct cache_pool *pool, struct cache_redis **redis,
                     const struct err *failure);

#endif
