#include "cache/store.h"

#include <stdio.h>
#include <stdlib.h>

#include "util/clock.h"
#include "util/file.h"
#include "util/log.h"

enum {
    CACHE_STORE_NAME_BYTES = CACHE_STORE_PREFIX_BYTES + 2 + CACHE_KEY_BYTES,
    CACHE_STORE_PASSWORD_BYTES = 1024,
};

struct cache_store {
    struct cache head;
    struct cache_pool *pool;
    struct cache_seal *seal;
    int64_t timeout_ms;
    char prefix[CACHE_STORE_PREFIX_BYTES + 1];
};

struct cache_store_name {
    size_t n;
    unsigned char p[CACHE_STORE_NAME_BYTES];
};

/* Replaces unless a newer one is there: 28 octets of head are magic and time (cache/seal.h), and
 * twenty digits compare alike as text in every locale of the server. A wrong type is overwritten.
 */
static const char cache_store_set_script[] =
    "local o = redis.pcall('GETRANGE', KEYS[1], 0, 27)\n"
    "local n = string.sub(ARGV[1], 1, 28)\n"
    "if type(o) == 'string' and #o == 28 and string.sub(o, 1, 8) == string.sub(n, 1, 8)\n"
    "   and string.sub(o, 9) > string.sub(n, 9) then return 0 end\n"
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"
    "return 1\n";

static const char cache_store_release_script[] =
    "if redis.pcall('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end\n"
    "return 0\n";

static struct span
cache_store_name(const struct cache_store *store, const char *kind, struct span key,
                 struct cache_store_name *name)
{
    struct span parts[] = { span_str(store->prefix), span_str(kind), key };

    name->n = 0;
    for (size_t i = 0; i < 3 && parts[i].n <= sizeof name->p - name->n; i++) {
        memcpy(name->p + name->n, parts[i].p, parts[i].n);
        name->n += parts[i].n;
    }
    return span_of(name->p, name->n);
}

static bool
cache_store_says(const struct cache_redis_answer *answer, const char *word)
{
    return answer->kind == CACHE_REDIS_KIND_ERROR && span_starts_nocase(answer->text, word);
}

/* One question on one connection. On ERR_OK the connection is handed out for as long as the answer
 * is read, then given back; on anything else it has been given back already. */
static enum err_code
cache_store_ask(struct cache_store *store, struct cache_redis_question *question,
                struct cache_redis **redis, struct cache_redis_answer *answer, struct err *err)
{
    struct err why = ERR_INIT;
    enum err_code rc;

    question->deadline_ms = clock_monotonic_ms() + store->timeout_ms;
    rc = cache_pool_take(store->pool, question->deadline_ms, redis, err);
    if (rc != ERR_OK)
        return rc;
    rc = cache_redis_ask(*redis, question, answer, &why);
    if (rc == ERR_LIMIT) { /* Redis is well, the value is not */
        cache_pool_give(store->pool, redis, NULL);
        return err_set(err, ERR_LIMIT, "%s", why.text);
    }
    if (rc == ERR_OK && answer->kind == CACHE_REDIS_KIND_ERROR &&
        !cache_store_says(answer, "WRONGTYPE") && !cache_store_says(answer, "OOM"))
        /* LOADING, READONLY, BUSY, NOAUTH, NOPERM, MASTERDOWN: this server is of no use now. */
        rc = err_set(&why, ERR_TEMP, "Redis says: %.*s",
                     (int)(answer->text.n < 300 ? answer->text.n : 300),
                     (const char *)answer->text.p);
    if (rc != ERR_OK) {
        cache_pool_give(store->pool, redis, &why);
        return err_set(err, rc, "%s", why.text);
    }
    return ERR_OK;
}

/* What is there and is not ours. */
static enum err_code
cache_store_refuse(struct cache_store *store, struct span name, const char *why, struct err *err)
{
    cache_count(&store->head, CACHE_COUNT_REFUSED, 1);
    log_warn("cache-refused", NULL, "the value %.*s in the shared cache is ignored: %s",
             SPAN_ARG(name), why);
    return err_set_reason(err, ERR_NOTFOUND, "cache-forged", "%s", why);
}

static enum err_code
cache_store_open(struct cache_store *store, const struct cache_redis_answer *answer,
                 struct cache_seal_value *value, struct err *err)
{
    struct err why = ERR_INIT;
    enum err_code rc;

    if (answer->kind == CACHE_REDIS_KIND_NIL)
        return err_set(err, ERR_NOTFOUND, "not in Redis");
    if (answer->kind != CACHE_REDIS_KIND_STRING)
        return cache_store_refuse(store, value->name, "it is not a string", err);
    rc = cache_seal_check(store->seal, answer->text, value, &why);
    if (rc == ERR_NOTFOUND)
        return cache_store_refuse(store, value->name, why.text, err);
    return rc == ERR_OK ? ERR_OK : err_set(err, rc, "%s", why.text);
}

static enum err_code
cache_store_get(struct cache *cache, struct span key, struct buf *out, int64_t *fetched_s,
                struct err *err)
{
    struct cache_store *store = (struct cache_store *)cache;
    struct cache_store_name name;
    struct cache_seal_value value = { .name = cache_store_name(store, "v:", key, &name) };
    const struct span arguments[] = { span_str("GET"), value.name };
    size_t room = out->limit_bytes > out->n ? out->limit_bytes - out->n : 0;
    struct cache_redis_question question = {
        .arguments = arguments,
        .count = 2,
        .limit_bytes =
            (room < CACHE_VALUE_BYTES ? room : CACHE_VALUE_BYTES) + CACHE_SEAL_HEADER_BYTES,
    };
    struct cache_redis_answer answer;
    struct cache_redis *redis = NULL;
    enum err_code rc = cache_store_ask(store, &question, &redis, &answer, err);

    if (rc == ERR_LIMIT) {
        err_reset(err);
        return cache_store_refuse(store, value.name, "it is too long", err);
    }
    if (rc != ERR_OK)
        return rc;
    rc = cache_store_open(store, &answer, &value, err);
    if (rc == ERR_OK)
        rc = buf_append(out, value.bytes, err);
    if (rc == ERR_OK)
        *fetched_s = value.fetched_s;
    cache_pool_give(store->pool, &redis, NULL);
    return rc;
}

/* A command that is answered by an integer or a status; which, is the caller's to know. */
static enum err_code
cache_store_do(struct cache_store *store, const struct span *arguments, size_t count,
               int64_t *number, struct err *err)
{
    struct cache_redis_question question = { .arguments = arguments, .count = count };
    struct cache_redis_answer answer;
    struct cache_redis *redis = NULL;
    enum err_code rc = cache_store_ask(store, &question, &redis, &answer, err);

    if (rc != ERR_OK)
        return rc == ERR_LIMIT ? ERR_TEMP : rc;
    *number = answer.kind == CACHE_REDIS_KIND_STATUS ? 1 : answer.integer;
    if (answer.kind == CACHE_REDIS_KIND_ERROR) {
        log_warn("cache-full", NULL, "the shared cache does not store: %.*s",
                 (int)(answer.text.n < 300 ? answer.text.n : 300), (const char *)answer.text.p);
        rc = err_set(err, ERR_TEMP, "Redis says: %.*s",
                     (int)(answer.text.n < 300 ? answer.text.n : 300), (const char *)answer.text.p);
    }
    cache_pool_give(store->pool, &redis, NULL);
    return rc;
}

/* Redis keeps what it holds, since that says it is newer. True when it is truly one of ours. */
static bool
cache_store_is_ours(struct cache_store *store, struct span key)
{
    struct buf bytes = BUF_INIT(CACHE_VALUE_BYTES);
    int64_t fetched_s;
    bool ours = cache_store_get(&store->head, key, &bytes, &fetched_s, NULL) == ERR_OK;

    buf_free(&bytes);
    return ours;
}

static enum err_code
cache_store_set(struct cache *cache, struct span key, const struct cache_value *value, bool *kept,
                struct err *err)
{
    struct cache_store *store = (struct cache_store *)cache;
    struct cache_store_name name;
    struct cache_seal_value sealing = {
        .name = cache_store_name(store, "v:", key, &name),
        .bytes = value->bytes,
        .fetched_s = value->fetched_s,
    };
    struct buf sealed = BUF_INIT(CACHE_SEAL_HEADER_BYTES + value->bytes.n);
    char ttl_ms[24];
    int64_t stored = 0;
    enum err_code rc = cache_seal_write(store->seal, &sealing, &sealed, err);

    snprintf(ttl_ms, sizeof ttl_ms, "%lld", (long long)value->ttl_s * 1000);
    if (rc == ERR_OK) {
        const struct span unless_newer[] = {
            span_str("EVAL"),  span_str(cache_store_set_script),
            span_str("1"),     sealing.name,
            buf_span(&sealed), span_str(ttl_ms),
        };
        rc = cache_store_do(store, unless_newer, 6, &stored, err);
    }
    if (rc == ERR_OK && !stored) {
        *kept = cache_store_is_ours(store, key);
        if (!*kept) {
            const struct span always[] = { span_str("SET"), sealing.name, buf_span(&sealed),
                                           span_str("PX"), span_str(ttl_ms) };
            rc = cache_store_do(store, always, 5, &stored, err);
        }
    }
    buf_free(&sealed);
    return rc;
}

static enum err_code
cache_store_remove(struct cache *cache, struct span key, struct err *err)
{
    struct cache_store *store = (struct cache_store *)cache;
    struct cache_store_name name;
    const struct span arguments[] = { span_str("DEL"), cache_store_name(store, "v:", key, &name) };
    int64_t removed = 0;
    enum err_code rc = cache_store_do(store, arguments, 2, &removed, err);

    return rc == ERR_OK && !removed ? err_set(err, ERR_NOTFOUND, "not in Redis") : rc;
}

static enum err_code
cache_store_claim(struct cache *cache, struct span key, int64_t ttl_ms,
                  const struct cache_claim *claim, struct err *err)
{
    struct cache_store *store = (struct cache_store *)cache;
    struct cache_store_name name;
    char ttl[24];
    struct span arguments[6] = { span_str("SET"), cache_store_name(store, "c:", key, &name),
                                 span_str(claim->token), span_str("NX"), span_str("PX") };
    int64_t ours = 0;
    enum err_code rc;

    snprintf(ttl, sizeof ttl, "%lld", (long long)ttl_ms);
    arguments[5] = span_str(ttl);
    rc = cache_store_do(store, arguments, 6, &ours, err);
    return rc == ERR_OK && !ours ? err_set(err, ERR_NOTFOUND, "claimed by another") : rc;
}

static void
cache_store_release(struct cache *cache, struct span key, const struct cache_claim *claim)
{
    struct cache_store *store = (struct cache_store *)cache;
    struct cache_store_name name;
    const struct span arguments[] = {
        span_str("EVAL"),       span_str(cache_store_release_script),
        span_str("1"),          cache_store_name(store, "c:", key, &name),
        span_str(claim->token),
    };
    int64_t removed;

    /* What cannot be released ends by itself. */
    if (cache_store_do(store, arguments, 5, &removed, NULL) != ERR_OK)
        cache_count(cache, CACHE_COUNT_ERRORS, 1);
}

static void
cache_store_held(struct cache *cache, uint64_t *entries, uint64_t *bytes)
{
    (void)cache;
    *entries = 0;
    *bytes = 0;
}

static void
cache_store_free(struct cache *cache)
{
    struct cache_store *store = (struct cache_store *)cache;

    cache_pool_free(&store->pool);
    cache_seal_free(&store->seal);
    free(store);
}

static const struct cache_ops cache_store_ops = {
    .name = "redis",
    .get = cache_store_get,
    .set = cache_store_set,
    .remove = cache_store_remove,
    .claim = cache_store_claim,
    .release = cache_store_release,
    .held = cache_store_held,
    .free = cache_store_free,
};

enum err_code
cache_store_new(const struct cache_store_args *args, struct cache **out, struct err *err)
{
    const char *prefix = args->prefix ? args->prefix : "smimed:";
    struct cache_store *store;
    enum err_code rc;

    if (!args->seal || strlen(prefix) > CACHE_STORE_PREFIX_BYTES || args->timeout_ms < 0)
        return err_set(err, ERR_PERM, "a shared cache needs a key file and a prefix of at most %d",
                       CACHE_STORE_PREFIX_BYTES);
    store = calloc(1, sizeof *store);
    if (!store)
        return err_set(err, ERR_NOMEM, "out of memory");
    cache_init(&store->head, &cache_store_ops);
    memcpy(store->prefix, prefix, strlen(prefix) + 1);
    store->timeout_ms = args->timeout_ms ? args->timeout_ms : CACHE_STORE_TIMEOUT_MS;
    rc = cache_pool_new(&args->pool, &store->pool, err);
    if (rc != ERR_OK) {
        cache_store_free(&store->head);
        return rc;
    }
    store->seal = args->seal;
    *out = &store->head;
    return ERR_OK;
}

enum err_code
cache_store_load_password(const char *path, char **out, struct err *err)
{
    const struct file_read_args args = {
        .limit_bytes = CACHE_STORE_PASSWORD_BYTES,
        .forbidden_mode = 0077,
        .check_owner = true,
    };
    struct buf text = BUF_INIT(CACHE_STORE_PASSWORD_BYTES);
    enum err_code rc = file_read(path, &args, &text, err);

    if (rc == ERR_OK) {
        struct span line = buf_span(&text);

        line.n = span_find(line, '\n');
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        *out = line.n > 0 ? span_dup(line) : NULL;
        if (!*out)
            rc = err_set(err, ERR_PERM, "%.300s: its first line is no password", path);
    }
    buf_free(&text);
    return rc;
}
