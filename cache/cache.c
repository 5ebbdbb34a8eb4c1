#include "cache/cache.h"

#include <stdatomic.h>

#include "util/random.h"

enum { CACHE_CLAIM_MS = 60 * 60 * 1000 };

void
cache_init(struct cache *cache, const struct cache_ops *ops)
{
    cache->ops = ops;
    for (size_t i = 0; i < CACHE_COUNTS; i++)
        atomic_init(&cache->counts[i], 0);
}

void
cache_count(struct cache *cache, enum cache_count which, uint64_t more)
{
    atomic_fetch_add_explicit(&cache->counts[which], more, memory_order_relaxed);
}

static enum err_code
cache_check_key(struct span key, struct err *err)
{
    if (key.n == 0 || key.n > CACHE_KEY_BYTES)
        return err_set(err, ERR_BUG, "a cache key of %zu octets", key.n);
    return ERR_OK;
}

enum err_code
cache_get(struct cache *cache, struct span key, struct buf *out, int64_t *fetched_s,
          struct err *err)
{
    struct err why = ERR_INIT;
    size_t before = out->n;
    enum err_code rc = cache_check_key(key, err);

    if (rc != ERR_OK)
        return rc;
    rc = cache->ops->get(cache, key, out, fetched_s, &why);
    if (rc == ERR_OK) {
        cache_count(cache, CACHE_COUNT_HITS, 1);
        cache_count(cache, CACHE_COUNT_READ_BYTES, out->n - before);
        return ERR_OK;
    }
    if (rc == ERR_NOTFOUND) {
        cache_count(cache, CACHE_COUNT_MISSES, 1);
        return err_set(err, ERR_NOTFOUND, "%.400s", why.text);
    }
    cache_count(cache, CACHE_COUNT_ERRORS, 1);
    if (rc == ERR_TEMP)
        return err_set_reason(err, ERR_NOTFOUND, "cache-unavailable", "%.400s", why.text);
    return err_set(err, rc, "%.400s", why.text);
}

enum err_code
cache_set(struct cache *cache, struct span key, const struct cache_value *value, struct err *err)
{
    bool kept = false;
    enum err_code rc = cache_check_key(key, err);

    if (rc != ERR_OK)
        return rc;
    if (value->ttl_s < 1 || value->ttl_s > CACHE_TTL_S || value->fetched_s < 0)
        return err_set(err, ERR_BUG, "a cache value with a lifetime of %lld s",
                       (long long)value->ttl_s);
    if (value->bytes.n > CACHE_VALUE_BYTES)
        return err_set_reason(err, ERR_LIMIT, "too-large", "a value of %zu octets, at most %d",
                              value->bytes.n, CACHE_VALUE_BYTES);
    rc = cache->ops->set(cache, key, value, &kept, err);
    if (rc != ERR_OK) {
        cache_count(cache, CACHE_COUNT_ERRORS, 1);
        return rc;
    }
    cache_count(cache, kept ? CACHE_COUNT_KEPT : CACHE_COUNT_STORED, 1);
    if (!kept)
        cache_count(cache, CACHE_COUNT_WRITTEN_BYTES, value->bytes.n);
    return ERR_OK;
}

enum err_code
cache_remove(struct cache *cache, struct span key, struct err *err)
{
    enum err_code rc = cache_check_key(key, err);

    if (rc == ERR_OK)
        rc = cache->ops->remove(cache, key, err);
    if (rc == ERR_TEMP)
        cache_count(cache, CACHE_COUNT_ERRORS, 1);
    return rc;
}

enum err_code
cache_claim(struct cache *cache, struct span key, int64_t ttl_ms, struct cache_claim *claim,
            struct err *err)
{
    struct cache_claim ours = { { 0 } };
    enum err_code rc = cache_check_key(key, err);

    claim->token[0] = '\0';
    if (rc == ERR_OK && (ttl_ms < 1 || ttl_ms > CACHE_CLAIM_MS))
        rc = err_set(err, ERR_BUG, "a claim for %lld ms", (long long)ttl_ms);
    if (rc == ERR_OK)
        rc = random_get_hex(ours.token, (CACHE_TOKEN_SIZE - 1) / 2, err);
    if (rc == ERR_OK)
        rc = cache->ops->claim(cache, key, ttl_ms, &ours, err);
    if (rc == ERR_OK)
        *claim = ours;
    else if (rc == ERR_TEMP)
        cache_count(cache, CACHE_COUNT_ERRORS, 1);
    return rc;
}

void
cache_release(struct cache *cache, struct span key, struct cache_claim *claim)
{
    if (claim->token[0] && key.n > 0 && key.n <= CACHE_KEY_BYTES)
        cache->ops->release(cache, key, claim);
    claim->token[0] = '\0';
}

static uint64_t
cache_counted(struct cache *cache, enum cache_count which)
{
    return atomic_load_explicit(&cache->counts[which], memory_order_relaxed);
}

void
cache_get_stats(struct cache *cache, struct cache_stats *out)
{
    *out = (struct cache_stats){
        .hits = cache_counted(cache, CACHE_COUNT_HITS),
        .misses = cache_counted(cache, CACHE_COUNT_MISSES),
        .errors = cache_counted(cache, CACHE_COUNT_ERRORS),
        .refused = cache_counted(cache, CACHE_COUNT_REFUSED),
        .stored = cache_counted(cache, CACHE_COUNT_STORED),
        .kept = cache_counted(cache, CACHE_COUNT_KEPT),
        .evicted = cache_counted(cache, CACHE_COUNT_EVICTED),
        .read_bytes = cache_counted(cache, CACHE_COUNT_READ_BYTES),
        .written_bytes = cache_counted(cache, CACHE_COUNT_WRITTEN_BYTES),
    };
    cache->ops->held(cache, &out->entries, &out->held_bytes);
}

void
cache_free(struct cache **cache)
{
    if (!cache || !*cache)
        return;
    (*cache)->ops->free(*cache);
    *cache = NULL;
}
