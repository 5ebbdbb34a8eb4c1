/*
 * Who is the master? Sentinels watch a Redis and its replicas and choose a new master when the old
 * one is gone; a client asks them each time it connects, which makes fail-over a matter of
 * connecting again (redis.io, "Guidelines for Redis clients with support for Redis Sentinel").
 *
 * What a Sentinel says is checked where it matters: the server must itself say that it is a master.
 *
 * Threads: no state; any.
 */
#ifndef CACHE_SENTINEL_H
#define CACHE_SENTINEL_H

#include "cache/redis.h"

enum {
    CACHE_SENTINEL_HOST_SIZE = 256,
    CACHE_SENTINEL_COUNT = 16, /* Sentinels that are asked at most */
};

struct cache_sentinel {
    const char *master; /* the name under which they watch it */
    const struct cache_redis_server *sentinels;
    size_t count;
};

struct cache_sentinel_answer {
    char host[CACHE_SENTINEL_HOST_SIZE];
    unsigned port;
};

/* Asks one after the other, each with its share of the time, until one knows. ERR_TEMP: none does;
 * the text is of the last one. */
ERR_CHECKED enum err_code cache_sentinel_find(const struct cache_sentinel *sentinel,
                                              int64_t deadline_ms,
                                              struct cache_sentinel_answer *answer,
                                              struct err *err);

/* ERR_OK when the server says that it is a master; else ERR_TEMP, and the connection is of no
 * use. */
ERR_CHECKED enum err_code cache_sentinel_check(struct cache_redis *redis, int64_t deadline_ms,
                                               struct err *err);

#endif
