#include "flow/evidence.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cache/memory.h"
#include "cache/sentinel.h"
#include "cache/store.h"

enum {
    BACKGROUND_FACTOR = 6,
    RETRY_S = 1,
    FORMAT_BYTES = 1 << 20,
    SENTINELS = CACHE_SENTINEL_COUNT
};

/* ---- where Redis is ----------------------------------------------------------------------------
 */

struct evidence_pool {
    struct cache_pool_args args;
    char *password;
    char host[NETWORK_HOST_SIZE];
    char sentinel_hosts[SENTINELS][NETWORK_HOST_SIZE];
    struct cache_redis_server sentinels[SENTINELS];
};

static const char *
text_or_null(const char *text)
{
    return text[0] ? text : NULL;
}

static enum err_code
pool_set_places(struct evidence_pool *pool, const struct conf_global *global, struct err *err)
{
    struct cache_pool_args *args = &pool->args;
    enum err_code code = ERR_OK;

    if (strncmp(global->redis_server, "unix:", 5) == 0)
        args->server.socket = global->redis_server + 5;
    else if (global->redis_server[0])
        code = network_parse_server(global->redis_server, pool->host, &args->server.port, err);
    if (code == ERR_OK && pool->host[0])
        args->server.host = pool->host;
    for (size_t i = 0; code == ERR_OK && global->redis_sentinels[i] && i < SENTINELS; i++) {
        struct cache_redis_server *sentinel = &pool->sentinels[i];
        code = network_parse_server(global->redis_sentinels[i], pool->sentinel_hosts[i],
                                    &sentinel->port, err);
        sentinel->host = pool->sentinel_hosts[i];
        args->sentinel_count = i + 1;
    }
    if (args->sentinel_count > 0)
        args->sentinels = pool->sentinels;
    return code;
}

static void
pool_free(struct evidence_pool **pool)
{
    if (!*pool)
        return;
    if ((*pool)->password)
        explicit_bzero((*pool)->password, strlen((*pool)->password));
    free((*pool)->password);
    free(*pool);
    *pool = NULL;
}

static enum err_code
pool_new(const struct conf_global *global, struct evidence_pool **out, struct err *err)
{
    struct evidence_pool *pool = calloc(1, sizeof *pool);
    enum err_code code = ERR_OK;

    *out = NULL;
    if (!pool)
        return err_set(err, ERR_NOMEM, "no memory for the shared cache");
    if (global->redis_password_file[0])
        code = cache_store_load_password(global->redis_password_file, &pool->password, err);
    if (code == ERR_OK)
        code = pool_set_places(pool, global, err);
    pool->args.server.user = text_or_null(global->redis_user);
    pool->args.server.password = pool->password;
    pool->args.server.database = (unsigned)global->redis_database;
    pool->args.master = text_or_null(global->redis_master);
    pool->args.connections = (unsigned)global->redis_connections;
    if (code == ERR_OK)
        *out = pool;
    else
        pool_free(&pool);
    return code;
}

/* ---- the directories ---------------------------------------------------------------------------
 */

/* Not the snapshot itself, which holds the evidence: who gave back the last reference to one in a
 * thread of the refresher would wait for himself. */
static pthread_mutex_t lookup_lock = PTHREAD_MUTEX_INITIALIZER;
static struct directory_lookup *lookup_asked; /* behind lookup_lock */

static void
lookup_swap(struct directory_lookup *lookup, bool only_first, const struct directory_lookup *only)
{
    struct directory_lookup *old = NULL;

    pthread_mutex_lock(&lookup_lock);
    if (only_first ? !lookup_asked : !only || lookup_asked == only) {
        old = lookup_asked;
        lookup_asked = lookup ? directory_lookup_add1(lookup) : NULL;
    }
    pthread_mutex_unlock(&lookup_lock);
    directory_lookup_free(&old);
}

void
flow_evidence_set_lookup(struct directory_lookup *lookup)
{
    lookup_swap(lookup, false, NULL);
}

void
flow_evidence_set_first_lookup(struct directory_lookup *lookup)
{
    lookup_swap(lookup, true, NULL);
}

void
flow_evidence_reset_lookup(const struct directory_lookup *lookup)
{
    if (lookup)
        lookup_swap(NULL, false, lookup);
}

static enum err_code
ask_directories(void *context, struct span url, int64_t deadline_ms, struct buf *out,
                struct err *err)
{
    struct directory_lookup *lookup = NULL;
    enum err_code code;

    (void)context;
    pthread_mutex_lock(&lookup_lock);
    if (lookup_asked)
        lookup = directory_lookup_add1(lookup_asked);
    pthread_mutex_unlock(&lookup_lock);
    if (!lookup)
        return err_set(err, ERR_TEMP, "there are no directories to ask");
    code = directory_lookup_get_url(lookup, url, deadline_ms, out, err);
    directory_lookup_free(&lookup);
    return code;
}

/* ---- its parts ---------------------------------------------------------------------------------
 */

static enum err_code
redis_new(const struct conf_global *global, struct cache **out, struct err *err)
{
    struct evidence_pool *pool = NULL;
    struct cache_store_args args = { .prefix = global->redis_prefix,
                                     .timeout_ms = global->redis_timeout };
    enum err_code code = pool_new(global, &pool, err);

    if (code == ERR_OK)
        code = cache_seal_load(global->cache_key_file, &args.seal, err);
    if (code == ERR_OK) {
        args.pool = pool->args;
        code = cache_store_new(&args, out, err);
    }
    if (code != ERR_OK)
        cache_seal_free(&args.seal);
    pool_free(&pool);
    return code;
}

enum err_code
flow_evidence_cache_new(const struct conf_global *global, struct cache **out, struct err *err)
{
    switch ((enum conf_cache)global->cache) {
    case CONF_CACHE_MEMORY:
        return cache_memory_new(global->cache_shared_memory, out, err);
    case CONF_CACHE_REDIS:
        return redis_new(global, out, err);
    case CONF_CACHE_NONE:
        break;
    }
    return ERR_OK;
}

static enum err_code
fetch_new(const struct conf_global *global, struct pki_fetch **out, struct err *err)
{
    size_t allowed = global->fetch_allow_networks.count;
    struct pki_fetch_exception *exceptions = calloc(allowed + 1, sizeof *exceptions);
    struct pki_fetch_args args = {
        .exceptions = exceptions,
        .exception_count = allowed,
        .only = global->fetch_only_networks.list,
        .only_count = global->fetch_only_networks.count,
        .ports = global->fetch_any_port ? PKI_FETCH_PORTS_ANY : PKI_FETCH_PORTS_WEB,
        .proxy = text_or_null(global->fetch_proxy),
        .proxy_resolves = global->fetch_proxy_resolves,
        .connect_ms = (unsigned)global->fetch_connect_timeout,
        .total_ms = (unsigned)global->fetch_timeout,
        .limit_bytes = { [PKI_FETCH_AIA] = global->fetch_max_issuer,
                         [PKI_FETCH_OCSP] = global->fetch_max_ocsp,
                         [PKI_FETCH_CRL] = global->fetch_max_crl },
        .transfers = (unsigned)global->fetch_max_parallel,
        /* The evidence knows what fails and when it is asked again. */
        .backoff_first_s = RETRY_S,
        .backoff_most_s = RETRY_S,
    };
    enum err_code code;

    if (!exceptions)
        return err_set(err, ERR_NOMEM, "no memory for fetching");
    for (size_t i = 0; i < allowed; i++)
        exceptions[i].network = global->fetch_allow_networks.list[i];
    code = pki_fetch_new(&args, out, err);
    free(exceptions);
    return code;
}

static unsigned
seconds(int64_t ms)
{
    return (unsigned)(ms / 1000);
}

enum err_code
flow_evidence_new(const struct conf_global *global, struct pki_evidence **out, struct err *err)
{
    struct pki_evidence_args args = {
        .ldap = ask_directories,
        .shared_is_local = global->cache == CONF_CACHE_MEMORY,
        .limit_bytes = global->cache_memory,
        .crl_life_s = seconds(global->crl_life),
        .ocsp_life_s = seconds(global->ocsp_life),
        .issuer_life_s = seconds(global->issuer_life),
        .refresh_s = seconds(global->refresh_interval),
        .fetch_ms = (unsigned)(BACKGROUND_FACTOR * global->fetch_timeout),
    };
    enum err_code code = ERR_OK;

    *out = NULL;
    if (global->fetch)
        code = fetch_new(global, &args.fetch, err);
    if (code == ERR_OK)
        code = flow_evidence_cache_new(global, &args.shared, err);
    if (code == ERR_OK)
        code = pki_evidence_new(&args, out, err);
    if (code != ERR_OK) {
        pki_fetch_free(&args.fetch);
        cache_free(&args.shared);
        err_prefix(err, "fetching and its cache");
    }
    return code;
}

/* ---- is it the same? ---------------------------------------------------------------------------
 */

struct format {
    struct buf text;
    enum err_code code;
};

/* Of the message, not of the evidence. */
static bool
is_part(const char *name)
{
    static const char *const prefixes[] = { "fetch",           "cache",     "redis_",
                                            "crl_life",        "ocsp_life", "issuer_life",
                                            "refresh_interval" };
    static const char *const others[] = { "fetch_per_message", "fetch_bytes_per_message" };

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i]) == 0)
            return false;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static void
format_one(void *context, const char *section, const char *name, const char *value,
           const char *from)
{
    struct format *format = context;

    (void)from;
    if (format->code == ERR_OK && section[0] == '\0' && is_part(name))
        format->code = buf_appendf(&format->text, NULL, "%s = %s\n", name, value);
}

static void
format_file(struct format *format, const char *path)
{
    struct stat st;

    if (format->code == ERR_OK && path[0] && stat(path, &st) == 0)
        format->code = buf_appendf(&format->text, NULL, "%s: %llu %lld %lld.%09ld\n", path,
                                   (unsigned long long)st.st_ino, (long long)st.st_size,
                                   (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

char *
flow_evidence_format(const struct conf *conf)
{
    struct format format = { .text = BUF_INIT(FORMAT_BYTES), .code = ERR_OK };
    char *out = NULL;

    conf_each(conf, format_one, &format);
    format_file(&format, conf->global.cache_key_file);
    format_file(&format, conf->global.redis_password_file);
    if (format.code == ERR_OK)
        out = strdup(buf_str(&format.text));
    buf_free(&format.text);
    return out;
}
