#include "cache/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "cache/sentinel.h"
#include "util/clock.h"
#include "util/log.h"

struct cache_pool {
    struct cache_redis_server server; /* strings owned, here and in sentinels */
    struct cache_redis_server *sentinels;
    size_t sentinel_count;
    char *master;
    unsigned connections;
    int64_t first_backoff_ms;

    bool lock_made, wake_made;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wake;
    unsigned used; /* taken */
    unsigned idle_count;
    struct cache_redis *idle[CACHE_POOL_CONNECTIONS_MAX];
    unsigned failures; /* in a row */
    bool probing;      /* the circuit is open, and one question tries */
    int64_t closed_until_ms;
    int64_t backoff_ms;
};

static void
cache_pool_server_free(struct cache_redis_server *server)
{
    if (server->password)
        explicit_bzero((char *)(uintptr_t)server->password, strlen(server->password));
    free((char *)(uintptr_t)server->socket);
    free((char *)(uintptr_t)server->host);
    free((char *)(uintptr_t)server->user);
    free((char *)(uintptr_t)server->password);
    *server = (struct cache_redis_server){ .port = 0 };
}

/* False: out of memory; what was copied is freed by cache_pool_free. */
static bool
cache_pool_server_copy(struct cache_redis_server *to, const struct cache_redis_server *from)
{
    to->port = from->port;
    to->database = from->database;
    to->socket = from->socket ? strdup(from->socket) : NULL;
    to->host = from->host ? strdup(from->host) : NULL;
    to->user = from->user ? strdup(from->user) : NULL;
    to->password = from->password ? strdup(from->password) : NULL;
    return !(from->socket && !to->socket) && !(from->host && !to->host) &&
           !(from->user && !to->user) && !(from->password && !to->password);
}

void
cache_pool_free(struct cache_pool **pool)
{
    struct cache_pool *p = pool ? *pool : NULL;

    if (!p)
        return;
    for (unsigned i = 0; i < p->idle_count; i++)
        cache_redis_free(&p->idle[i]);
    cache_pool_server_free(&p->server);
    for (size_t i = 0; p->sentinels && i < p->sentinel_count; i++)
        cache_pool_server_free(&p->sentinels[i]);
    free(p->sentinels);
    free(p->master);
    if (p->wake_made)
        pthread_cond_destroy(&p->wake);
    if (p->lock_made)
        pthread_mutex_destroy(&p->lock);
    free(p);
    *pool = NULL;
}

static enum err_code
cache_pool_check(const struct cache_pool_args *args, struct err *err)
{
    bool direct = args->server.socket || args->server.host;
    bool watched = args->sentinel_count > 0 && args->master;

    if (args->connections == 0 || args->connections > CACHE_POOL_CONNECTIONS_MAX)
        return err_set(err, ERR_PERM, "%u connections; 1 to %d", args->connections,
                       CACHE_POOL_CONNECTIONS_MAX);
    if (direct == watched || args->sentinel_count > CACHE_SENTINEL_COUNT)
        return err_set(err, ERR_PERM, "either a Redis or at most %d Sentinels and a master's name",
                       CACHE_SENTINEL_COUNT);
    return ERR_OK;
}

/* Waits are by the monotonic clock: a step of the wall clock must not hold or hurry a message. */
static bool
cache_pool_locks(struct cache_pool *pool)
{
    pthread_condattr_t attr;

    pool->lock_made = pthread_mutex_init(&pool->lock, NULL) == 0;
    if (!pool->lock_made || pthread_condattr_init(&attr) != 0)
        return false;
    pool->wake_made = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
                      pthread_cond_init(&pool->wake, &attr) == 0;
    pthread_condattr_destroy(&attr);
    return pool->wake_made;
}

enum err_code
cache_pool_new(const struct cache_pool_args *args, struct cache_pool **out, struct err *err)
{
    struct cache_pool *pool = NULL;
    enum err_code rc = cache_pool_check(args, err);
    bool good;

    if (rc != ERR_OK)
        return rc;
    pool = calloc(1, sizeof *pool);
    if (!pool)
        return err_set(err, ERR_NOMEM, "out of memory");
    pool->connections = args->connections;
    pool->first_backoff_ms = args->backoff_ms > 0 ? args->backoff_ms : CACHE_POOL_BACKOFF_MS;
    good = cache_pool_locks(pool) && cache_pool_server_copy(&pool->server, &args->server);
    if (good && args->sentinel_count) {
        pool->sentinels = calloc(args->sentinel_count, sizeof *pool->sentinels);
        pool->master = strdup(args->master);
        good = pool->sentinels && pool->master;
    }
    for (size_t i = 0; good && i < args->sentinel_count; i++) {
        pool->sentinel_count++;
        good = cache_pool_server_copy(&pool->sentinels[i], &args->sentinels[i]);
    }
    if (!good) {
        cache_pool_free(&pool);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    *out = pool;
    return ERR_OK;
}

static enum err_code
cache_pool_connect(struct cache_pool *pool, int64_t deadline_ms, struct cache_redis **out,
                   struct err *err)
{
    const struct cache_sentinel sentinel = {
        .master = pool->master,
        .sentinels = pool->sentinels,
        .count = pool->sentinel_count,
    };
    struct cache_redis_server server = pool->server;
    struct cache_sentinel_answer master;
    enum err_code rc;

    if (pool->sentinel_count == 0)
        return cache_redis_new(&server, deadline_ms, out, err);
    rc = cache_sentinel_find(&sentinel, deadline_ms, &master, err);
    if (rc != ERR_OK)
        return rc;
    server.host = master.host;
    server.port = master.port;
    rc = cache_redis_new(&server, deadline_ms, out, err);
    if (rc == ERR_OK)
        rc = cache_sentinel_check(*out, deadline_ms, err);
    if (rc != ERR_OK)
        cache_redis_free(out);
    return rc;
}

/* Under the lock. */
static enum err_code
cache_pool_admit(struct cache_pool *pool, int64_t deadline_ms, struct err *err)
{
    const struct timespec until = { .tv_sec = deadline_ms / 1000,
                                    .tv_nsec = deadline_ms % 1000 * 1000000 };
    bool probe = false;

    for (;;) {
        if (pool->failures >= CACHE_POOL_FAILURES && !probe) {
            if (pool->probing || clock_monotonic_ms() < pool->closed_until_ms)
                return err_set(err, ERR_TEMP, "Redis is not asked after %u failures",
                               pool->failures);
            pool->probing = probe = true;
        }
        if (pool->used < pool->connections) {
            pool->used++;
            return ERR_OK;
        }
        if (pthread_cond_timedwait(&pool->wake, &pool->lock, &until) == ETIMEDOUT) {
            if (probe)
                pool->probing = false;
            return err_set(err, ERR_TEMP, "all %u connections to Redis are in use",
                           pool->connections);
        }
    }
}

enum err_code
cache_pool_take(struct cache_pool *pool, int64_t deadline_ms, struct cache_redis **out,
                struct err *err)
{
    struct err why = ERR_INIT;
    enum err_code rc;

    *out = NULL;
    pthread_mutex_lock(&pool->lock);
    rc = cache_pool_admit(pool, deadline_ms, err);
    while (rc == ERR_OK && !*out && pool->idle_count > 0) {
        *out = pool->idle[--pool->idle_count];
        if (!cache_redis_is_usable(*out))
            cache_redis_free(out);
    }
    pthread_mutex_unlock(&pool->lock);
    if (rc != ERR_OK || *out)
        return rc;
    rc = cache_pool_connect(pool, deadline_ms, out, &why);
    if (rc != ERR_OK) {
        cache_pool_give(pool, out, &why);
        return err_set(err, rc, "%s", why.text);
    }
    return ERR_OK;
}

/* Under the lock. Of many that were under way when Redis died, only the probe doubles the pause. */
static void
cache_pool_failed(struct cache_pool *pool)
{
    int64_t now_ms = clock_monotonic_ms();

    pool->failures++;
    if (pool->failures < CACHE_POOL_FAILURES)
        return;
    if (pool->failures == CACHE_POOL_FAILURES)
        pool->backoff_ms = pool->first_backoff_ms;
    else if (pool->probing)
        pool->backoff_ms *= 2;
    else
        return;
    if (pool->backoff_ms > CACHE_POOL_BACKOFF_MAX_MS)
        pool->backoff_ms = CACHE_POOL_BACKOFF_MAX_MS;
    pool->closed_until_ms = now_ms + pool->backoff_ms;
    pool->probing = false;
}

void
cache_pool_give(struct cache_pool *pool, struct cache_redis **redis, const struct err *failure)
{
    unsigned failures = 0;

    if (failure || !*redis || !cache_redis_is_usable(*redis))
        cache_redis_free(redis);
    pthread_mutex_lock(&pool->lock);
    pool->used--;
    if (failure) {
        cache_pool_failed(pool);
    } else {
        failures = pool->failures;
        pool->failures = 0;
        pool->probing = false;
    }
    if (*redis && pool->idle_count < pool->connections) {
        pool->idle[pool->idle_count++] = *redis;
        *redis = NULL;
    }
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    cache_redis_free(redis);
    if (failure)
        log_warn("cache-redis", NULL, "the shared cache is not used: %s", failure->text);
    else if (failures >= CACHE_POOL_FAILURES)
        log_info(NULL, "the shared cache is used again after %u failures", failures);
}
