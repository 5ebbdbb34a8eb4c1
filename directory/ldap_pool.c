#include "directory/ldap_pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/clock.h"
#include "util/log.h"

struct server {
    struct directory_server place;
    unsigned failures; /* in a row */
    bool is_probing;   /* the circuit is open, and one question tries */
    int64_t closed_until_ms, backoff_ms;
};

struct directory_ldap_pool {
    char *name; /* of the directory */
    struct directory_ldap_account account;
    struct directory_guard *guard;
    int64_t connect_ms;
    unsigned limit;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wake;
    bool lock_made;
    struct server *servers;
    size_t server_count;
    unsigned used; /* taken */
    unsigned idle_count;
    struct directory_ldap_connection *idle[DIRECTORY_LDAP_POOL_CONNECTIONS];
};

/* ---- the object ------------------------------------------------------------------------------ */

static enum err_code
load_servers(struct directory_ldap_pool *pool, const struct conf_directory *conf, struct err *err)
{
    size_t count = 0;
    while (conf->servers[count])
        count++;
    if (count == 0 || count > DIRECTORY_LDAP_POOL_SERVERS)
        return err_set(err, ERR_PERM, "servers: between 1 and %d of them",
                       DIRECTORY_LDAP_POOL_SERVERS);
    pool->servers = calloc(count, sizeof *pool->servers);
    if (!pool->servers)
        return err_set(err, ERR_NOMEM, "no memory for directory servers");
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        code = directory_server_parse(conf->servers[i], &pool->servers[i].place, err);
        pool->server_count = i + 1;
    }
    return code;
}

enum err_code
directory_ldap_pool_new(const struct conf_directory *conf, struct directory_ldap_pool **out,
                        struct err *err)
{
    struct directory_ldap_pool *pool = calloc(1, sizeof *pool);
    pthread_condattr_t attributes;
    *out = NULL;
    if (!pool)
        return err_set(err, ERR_NOMEM, "no memory for directory servers");
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pool->connect_ms = conf->connect_timeout;
    pool->limit = (unsigned)conf->connections;
    pool->name = strdup(conf->name);
    enum err_code code = pool->name ? directory_guard_new(&pool->guard, err)
                                    : err_set(err, ERR_NOMEM, "no memory for directory servers");
    if (code == ERR_OK)
        code = load_servers(pool, conf, err);
    if (code == ERR_OK)
        code = directory_ldap_account_init(&pool->account, conf, err);
    if (code != ERR_OK)
        directory_ldap_pool_free(&pool);
    *out = pool;
    return code;
}

void
directory_ldap_pool_free(struct directory_ldap_pool **pool)
{
    if (!pool || !*pool)
        return;
    struct directory_ldap_pool *p = *pool;
    *pool = NULL;
    for (unsigned i = 0; i < p->idle_count; i++)
        directory_ldap_connection_free(&p->idle[i]);
    directory_guard_free(&p->guard);
    for (size_t i = 0; i < p->server_count; i++)
        directory_server_free(&p->servers[i].place);
    free(p->servers);
    directory_ldap_account_deinit(&p->account);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->name);
    free(p);
}

size_t
directory_ldap_pool_count(const struct directory_ldap_pool *pool)
{
    return pool->server_count;
}

const struct directory_server *
directory_ldap_pool_get(const struct directory_ldap_pool *pool, size_t server)
{
    return &pool->servers[server].place;
}

/* ---- the circuit (under the lock) ------------------------------------------------------------ */

static bool
is_open_for_us(const struct server *server)
{
    return server->closed_until_ms == 0 ||
           (!server->is_probing && clock_monotonic_ms() >= server->closed_until_ms);
}

static void
note_success(struct directory_ldap_pool *pool, struct server *server)
{
    if (server->closed_until_ms != 0)
        log_info(NULL, "directory=%s server=%s result=back", pool->name, server->place.name);
    server->failures = 0;
    server->is_probing = false;
    server->closed_until_ms = server->backoff_ms = 0;
}

static void
note_failure(struct directory_ldap_pool *pool, struct server *server, const struct err *failure)
{
    unsigned bound = pool->server_count > 1 ? 1 : DIRECTORY_LDAP_POOL_FAILURES;
    server->is_probing = false;
    if (++server->failures < bound)
        return;
    server->backoff_ms =
        server->backoff_ms ? 2 * server->backoff_ms : DIRECTORY_LDAP_POOL_BACKOFF_MS;
    if (server->backoff_ms > DIRECTORY_LDAP_POOL_BACKOFF_MAX_MS)
        server->backoff_ms = DIRECTORY_LDAP_POOL_BACKOFF_MAX_MS;
    server->closed_until_ms = clock_monotonic_ms() + server->backoff_ms;
    log_warn("directory-server", NULL, "directory=%s server=%s is not asked for %lld ms: %s",
             pool->name, server->place.name, (long long)server->backoff_ms,
             failure ? failure->text : "");
}

/* ---- taking and giving ----------------------------------------------------------------------- */

/* Takes idle connections out of the list: those of `server`, or (SIZE_MAX) those that are too old.
 * They are closed by the caller, without the lock. */
static unsigned
drop_idle(struct directory_ldap_pool *pool, size_t server,
          struct directory_ldap_connection *dropped[DIRECTORY_LDAP_POOL_CONNECTIONS])
{
    int64_t oldest_ms = clock_monotonic_ms() - DIRECTORY_LDAP_POOL_IDLE_MS;
    unsigned kept = 0, count = 0;
    for (unsigned i = 0; i < pool->idle_count; i++) {
        struct directory_ldap_connection *one = pool->idle[i];
        if (server == SIZE_MAX ? one->since_ms < oldest_ms : one->server == server)
            dropped[count++] = one;
        else
            pool->idle[kept++] = one;
    }
    pool->idle_count = kept;
    return count;
}

/* The newest idle connection of `server`, or of any. */
static struct directory_ldap_connection *
take_idle(struct directory_ldap_pool *pool, size_t server)
{
    for (unsigned i = pool->idle_count; i-- > 0;) {
        struct directory_ldap_connection *one = pool->idle[i];
        if (server != SIZE_MAX && one->server != server)
            continue;
        memmove(&pool->idle[i], &pool->idle[i + 1],
                (--pool->idle_count - i) * sizeof(struct directory_ldap_connection *));
        return one;
    }
    return NULL;
}

struct choice {
    size_t server;
    struct directory_ldap_connection *kept;   /* to be used */
    struct directory_ldap_connection *in_way; /* to be closed */
};

/* Waits for a place, then chooses. Under the lock. */
static enum err_code
choose(struct directory_ldap_pool *pool, int64_t deadline_ms, unsigned tried, struct choice *choice,
       struct err *err)
{
    const struct timespec until = { .tv_sec = deadline_ms / 1000,
                                    .tv_nsec = deadline_ms % 1000 * 1000000 };
    *choice = (struct choice){ .server = 0 };
    while (pool->used >= pool->limit) {
        if (pthread_cond_timedwait(&pool->wake, &pool->lock, &until) == ETIMEDOUT)
            return err_set(err, ERR_TEMP, "all %u connections are in use", pool->limit);
    }
    while (choice->server < pool->server_count &&
           ((tried & 1u << choice->server) || !is_open_for_us(&pool->servers[choice->server])))
        choice->server++;
    if (choice->server == pool->server_count)
        return err_set(err, ERR_NOTFOUND, "no server is left to ask: each one failed lately");
    struct server *server = &pool->servers[choice->server];
    server->is_probing = server->closed_until_ms != 0;
    choice->kept = take_idle(pool, choice->server);
    if (!choice->kept && pool->used + pool->idle_count >= pool->limit)
        choice->in_way = take_idle(pool, SIZE_MAX);
    pool->used++;
    return ERR_OK;
}

static enum err_code
connect_to(struct directory_ldap_pool *pool, size_t server, int64_t deadline_ms,
           struct directory_ldap_connection **out, enum directory_ldap_step *step, struct err *err)
{
    int64_t connect_ms = clock_monotonic_ms() + pool->connect_ms;
    const struct directory_ldap_connection_args args = {
        .server = &pool->servers[server].place,
        .account = &pool->account,
        .guard = pool->guard,
        .deadline_ms = connect_ms < deadline_ms ? connect_ms : deadline_ms,
    };
    enum err_code code = directory_ldap_connection_new(&args, out, step, err);
    if (code != ERR_OK)
        return code;
    (*out)->server = server;
    code = directory_guard_set(pool->guard, &(*out)->watch, deadline_ms, err);
    if (code != ERR_OK)
        directory_ldap_connection_free(out);
    return code;
}

static void
close_old(struct directory_ldap_pool *pool)
{
    struct directory_ldap_connection *dropped[DIRECTORY_LDAP_POOL_CONNECTIONS];
    pthread_mutex_lock(&pool->lock);
    unsigned count = drop_idle(pool, SIZE_MAX, dropped);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < count; i++)
        directory_ldap_connection_free(&dropped[i]);
}

enum err_code
directory_ldap_pool_take(struct directory_ldap_pool *pool, int64_t deadline_ms, unsigned *tried,
                         struct directory_ldap_connection **out, struct err *err)
{
    struct choice choice;
    struct err mine = ERR_INIT;
    *out = NULL;
    close_old(pool);
    pthread_mutex_lock(&pool->lock);
    enum err_code code = choose(pool, deadline_ms, *tried, &choice, err);
    pthread_mutex_unlock(&pool->lock);
    if (code != ERR_OK)
        return code;
    if (choice.in_way)
        directory_ldap_connection_free(&choice.in_way);
    if (choice.kept &&
        directory_ldap_connection_resume(choice.kept, deadline_ms, &mine) != ERR_OK) {
        directory_ldap_connection_free(&choice.kept);
        err_reset(&mine);
    }
    if (!choice.kept)
        code = connect_to(pool, choice.server, deadline_ms, &choice.kept, NULL, &mine);
    if (code == ERR_OK) {
        *out = choice.kept;
        return ERR_OK;
    }
    *tried |= 1u << choice.server;
    pthread_mutex_lock(&pool->lock);
    pool->used--;
    note_failure(pool, &pool->servers[choice.server], &mine);
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    return err_set(err, code, "%s", mine.text);
}

void
directory_ldap_pool_give(struct directory_ldap_pool *pool,
                         struct directory_ldap_connection **connection,
                         enum directory_ldap_verdict verdict, const struct err *failure)
{
    struct directory_ldap_connection *dropped[DIRECTORY_LDAP_POOL_CONNECTIONS];
    struct directory_ldap_connection *one = *connection;
    unsigned count = 0;
    struct server *server = &pool->servers[one->server];
    bool is_whole = directory_ldap_connection_suspend(one);
    *connection = NULL;
    one->since_ms = clock_monotonic_ms();
    one->was_used = true;
    pthread_mutex_lock(&pool->lock);
    pool->used--;
    if (verdict == DIRECTORY_LDAP_VERDICT_FAILED)
        note_failure(pool, server, failure);
    else if (verdict == DIRECTORY_LDAP_VERDICT_AGED)
        count = drop_idle(pool, one->server, dropped);
    else
        note_success(pool, server);
    if (verdict == DIRECTORY_LDAP_VERDICT_AGED)
        server->is_probing = false;
    if (verdict == DIRECTORY_LDAP_VERDICT_GOOD && is_whole) {
        pool->idle[pool->idle_count++] = one;
        one = NULL;
    }
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    directory_ldap_connection_free(&one);
    for (unsigned i = 0; i < count; i++)
        directory_ldap_connection_free(&dropped[i]);
}

enum err_code
directory_ldap_pool_try(struct directory_ldap_pool *pool, size_t server, int64_t deadline_ms,
                        struct directory_ldap_connection **out, enum directory_ldap_step *step,
                        struct err *err)
{
    return connect_to(pool, server, deadline_ms, out, step, err);
}
