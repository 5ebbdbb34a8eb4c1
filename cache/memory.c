#include "cache/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* uthash ends the process when it has no memory unless told otherwise: here the element is marked,
 * and the caller sees that it was not added. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->lost = true)
#include <uthash.h>

#include "util/clock.h"

enum {
    CACHE_MEMORY_SHARDS = 16,
    CACHE_MEMORY_CLAIMS = 1024, /* per shard */
    CACHE_MEMORY_LEAST = 4096,
};

/* The bytes of a value, counted, so that they can be copied out without the lock. */
struct cache_memory_bytes {
    _Atomic unsigned users;
    size_t n;
    unsigned char p[];
};

/* Order in the table is order of use: a hit moves the entry to the end (deleted, added again). */
struct cache_memory_entry {
    UT_hash_handle hh;
    struct cache_memory_bytes *bytes;
    int64_t fetched_s;
    int64_t until_s;
    uint64_t used; /* the clock of uses, common to all shards */
    size_t cost;
    bool lost;
    size_t key_n;
    unsigned char key[];
};

struct cache_memory_claim {
    UT_hash_handle hh;
    int64_t until_ms;
    struct cache_claim claim;
    bool lost;
    size_t key_n;
    unsigned char key[];
};

struct cache_memory_shard {
    pthread_mutex_t lock;
    struct cache_memory_entry *entries;
    struct cache_memory_claim *claims;
};

struct cache_memory {
    struct cache head;
    size_t limit_bytes;
    _Atomic size_t held_bytes;
    _Atomic uint64_t uses;
    unsigned shards_made;
    struct cache_memory_shard shards[CACHE_MEMORY_SHARDS];
};

static struct cache_memory_shard *
cache_memory_shard(struct cache_memory *memory, struct span key)
{
    uint32_t hash = 2166136261u; /* FNV-1a: keys are ours, nobody outside can choose them */

    for (size_t i = 0; i < key.n; i++)
        hash = (hash ^ key.p[i]) * 16777619u;
    return &memory->shards[(hash ^ hash >> 16) % CACHE_MEMORY_SHARDS];
}

static void
cache_memory_drop(struct cache_memory_bytes *bytes)
{
    if (bytes && atomic_fetch_sub_explicit(&bytes->users, 1, memory_order_acq_rel) == 1)
        free(bytes);
}

/* Under the lock of the shard. */
static void
cache_memory_delete(struct cache_memory *memory, struct cache_memory_shard *shard,
                    struct cache_memory_entry *entry)
{
    HASH_DELETE(hh, shard->entries, entry);
    atomic_fetch_sub_explicit(&memory->held_bytes, entry->cost, memory_order_relaxed);
    cache_memory_drop(entry->bytes);
    free(entry);
}

/* Under the lock of the shard. What is past its lifetime is not there. */
static struct cache_memory_entry *
cache_memory_find(struct cache_memory *memory, struct cache_memory_shard *shard, struct span key)
{
    struct cache_memory_entry *entry = NULL;

    HASH_FIND(hh, shard->entries, key.p, key.n, entry);
    if (entry && entry->until_s <= clock_now_s()) {
        cache_memory_delete(memory, shard, entry);
        entry = NULL;
    }
    return entry;
}

/* Adds at the end of the order. False: no memory, and the entry is in no table. */
static bool
cache_memory_add(struct cache_memory *memory, struct cache_memory_shard *shard,
                 struct cache_memory_entry *entry)
{
    entry->lost = false;
    entry->used = atomic_fetch_add_explicit(&memory->uses, 1, memory_order_relaxed);
    HASH_ADD_KEYPTR(hh, shard->entries, entry->key, entry->key_n, entry);
    return !entry->lost;
}

static enum err_code
cache_memory_get(struct cache *cache, struct span key, struct buf *out, int64_t *fetched_s,
                 struct err *err)
{
    struct cache_memory *memory = (struct cache_memory *)cache;
    struct cache_memory_shard *shard = cache_memory_shard(memory, key);
    struct cache_memory_bytes *bytes = NULL;
    struct cache_memory_entry *entry;
    enum err_code rc;

    pthread_mutex_lock(&shard->lock);
    entry = cache_memory_find(memory, shard, key);
    if (entry) {
        bytes = entry->bytes;
        atomic_fetch_add_explicit(&bytes->users, 1, memory_order_relaxed);
        *fetched_s = entry->fetched_s;
        HASH_DELETE(hh, shard->entries, entry);
        if (!cache_memory_add(memory, shard, entry)) {
            atomic_fetch_sub_explicit(&memory->held_bytes, entry->cost, memory_order_relaxed);
            cache_memory_drop(entry->bytes);
            free(entry);
        }
    }
    pthread_mutex_unlock(&shard->lock);
    if (!bytes)
        return err_set(err, ERR_NOTFOUND, "not in memory");
    rc = buf_append(out, span_of(bytes->p, bytes->n), err);
    cache_memory_drop(bytes);
    if (rc == ERR_LIMIT) {
        cache_count(cache, CACHE_COUNT_REFUSED, 1);
        return ERR_NOTFOUND; /* longer than what the caller can use */
    }
    return rc;
}

/* Takes out the entry that was not used for the longest time, of all shards. The heads are looked
 * at one after the other; between the look and the deletion another one may have used it, and then
 * its neighbour goes: near enough. False: nothing is there. */
static bool
cache_memory_evict(struct cache_memory *memory)
{
    uint64_t oldest = UINT64_MAX;
    struct cache_memory_shard *from = NULL;
    bool gone = false;

    for (size_t i = 0; i < CACHE_MEMORY_SHARDS; i++) {
        struct cache_memory_shard *shard = &memory->shards[i];

        pthread_mutex_lock(&shard->lock);
        if (shard->entries && shard->entries->used < oldest) {
            oldest = shard->entries->used;
            from = shard;
        }
        pthread_mutex_unlock(&shard->lock);
    }
    if (!from)
        return false;
    pthread_mutex_lock(&from->lock);
    if (from->entries) {
        cache_memory_delete(memory, from, from->entries);
        gone = true;
    }
    pthread_mutex_unlock(&from->lock);
    if (gone)
        cache_count(&memory->head, CACHE_COUNT_EVICTED, 1);
    return true;
}

/* Room for `cost`, counted as held from here on. */
static enum err_code
cache_memory_reserve(struct cache_memory *memory, size_t cost, struct err *err)
{
    size_t held = atomic_load_explicit(&memory->held_bytes, memory_order_relaxed);

    if (cost > memory->limit_bytes)
        return err_set_reason(err, ERR_LIMIT, "too-large", "%zu octets are more than the cache",
                              cost);
    for (;;) {
        if (held > memory->limit_bytes - cost) {
            /* All of the room may be reserved by others who have not added yet. */
            if (!cache_memory_evict(memory))
                return err_set(err, ERR_TEMP, "the cache is being filled by others");
            held = atomic_load_explicit(&memory->held_bytes, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(&memory->held_bytes, &held, held + cost,
                                                         memory_order_relaxed,
                                                         memory_order_relaxed)) {
            return ERR_OK;
        }
    }
}

static struct cache_memory_entry *
cache_memory_entry_new(struct span key, const struct cache_value *value, size_t cost)
{
    struct cache_memory_entry *entry = calloc(1, sizeof *entry + key.n);
    struct cache_memory_bytes *bytes = malloc(sizeof *bytes + value->bytes.n);

    if (!entry || !bytes) {
        free(entry);
        free(bytes);
        return NULL;
    }
    atomic_init(&bytes->users, 1);
    bytes->n = value->bytes.n;
    if (value->bytes.n)
        memcpy(bytes->p, value->bytes.p, value->bytes.n);
    memcpy(entry->key, key.p, key.n);
    entry->key_n = key.n;
    entry->bytes = bytes;
    entry->fetched_s = value->fetched_s;
    entry->until_s = (int64_t)clock_now_s() + value->ttl_s;
    entry->cost = cost;
    return entry;
}

static enum err_code
cache_memory_set(struct cache *cache, struct span key, const struct cache_value *value, bool *kept,
                 struct err *err)
{
    struct cache_memory *memory = (struct cache_memory *)cache;
    struct cache_memory_shard *shard = cache_memory_shard(memory, key);
    size_t cost = sizeof(struct cache_memory_entry) + sizeof(struct cache_memory_bytes) + key.n +
                  value->bytes.n;
    struct cache_memory_entry *entry, *old;
    bool added = false;
    enum err_code rc = cache_memory_reserve(memory, cost, err);

    if (rc != ERR_OK)
        return rc;
    entry = cache_memory_entry_new(key, value, cost);
    if (entry) {
        pthread_mutex_lock(&shard->lock);
        old = cache_memory_find(memory, shard, key);
        *kept = old && old->fetched_s > value->fetched_s;
        if (old && !*kept)
            cache_memory_delete(memory, shard, old);
        if (!*kept)
            added = cache_memory_add(memory, shard, entry);
        pthread_mutex_unlock(&shard->lock);
    }
    if (added)
        return ERR_OK;
    atomic_fetch_sub_explicit(&memory->held_bytes, cost, memory_order_relaxed);
    if (entry)
        cache_memory_drop(entry->bytes);
    free(entry);
    return *kept ? ERR_OK : err_set(err, ERR_NOMEM, "out of memory");
}

static enum err_code
cache_memory_remove(struct cache *cache, struct span key, struct err *err)
{
    struct cache_memory *memory = (struct cache_memory *)cache;
    struct cache_memory_shard *shard = cache_memory_shard(memory, key);
    struct cache_memory_entry *entry;

    pthread_mutex_lock(&shard->lock);
    entry = cache_memory_find(memory, shard, key);
    if (entry)
        cache_memory_delete(memory, shard, entry);
    pthread_mutex_unlock(&shard->lock);
    return entry ? ERR_OK : err_set(err, ERR_NOTFOUND, "not in memory");
}

static void
cache_memory_claim_delete(struct cache_memory_shard *shard, struct cache_memory_claim *claim)
{
    HASH_DELETE(hh, shard->claims, claim);
    free(claim);
}

/* Under the lock. Claims that ended are looked for when the table is full only. */
static void
cache_memory_claims_purge(struct cache_memory_shard *shard, int64_t now_ms)
{
    struct cache_memory_claim *claim, *next;

    if (HASH_COUNT(shard->claims) < CACHE_MEMORY_CLAIMS)
        return;
    HASH_ITER(hh, shard->claims, claim, next)
    {
        if (claim->until_ms <= now_ms)
            cache_memory_claim_delete(shard, claim);
    }
}

static enum err_code
cache_memory_claim(struct cache *cache, struct span key, int64_t ttl_ms,
                   const struct cache_claim *claim, struct err *err)
{
    struct cache_memory *memory = (struct cache_memory *)cache;
    struct cache_memory_shard *shard = cache_memory_shard(memory, key);
    struct cache_memory_claim *fresh = calloc(1, sizeof *fresh + key.n), *old = NULL;
    int64_t now_ms = clock_monotonic_ms();
    enum err_code rc = ERR_OK;

    if (!fresh)
        return err_set(err, ERR_NOMEM, "out of memory");
    memcpy(fresh->key, key.p, key.n);
    fresh->key_n = key.n;
    fresh->claim = *claim;
    fresh->until_ms = now_ms + ttl_ms;
    pthread_mutex_lock(&shard->lock);
    cache_memory_claims_purge(shard, now_ms);
    HASH_FIND(hh, shard->claims, key.p, key.n, old);
    if (old && old->until_ms <= now_ms) {
        cache_memory_claim_delete(shard, old);
        old = NULL;
    }
    if (old) {
        rc = err_set(err, ERR_NOTFOUND, "claimed by another");
    } else if (HASH_COUNT(shard->claims) >= CACHE_MEMORY_CLAIMS) {
        rc = err_set(err, ERR_TEMP, "too many claims");
    } else {
        HASH_ADD_KEYPTR(hh, shard->claims, fresh->key, fresh->key_n, fresh);
        if (fresh->lost)
            rc = err_set(err, ERR_NOMEM, "out of memory");
    }
    pthread_mutex_unlock(&shard->lock);
    if (rc != ERR_OK)
        free(fresh);
    return rc;
}

static void
cache_memory_release(struct cache *cache, struct span key, const struct cache_claim *claim)
{
    struct cache_memory_shard *shard = cache_memory_shard((struct cache_memory *)cache, key);
    struct cache_memory_claim *found = NULL;

    pthread_mutex_lock(&shard->lock);
    HASH_FIND(hh, shard->claims, key.p, key.n, found);
    if (found && strcmp(found->claim.token, claim->token) == 0)
        cache_memory_claim_delete(shard, found);
    pthread_mutex_unlock(&shard->lock);
}

static void
cache_memory_held(struct cache *cache, uint64_t *entries, uint64_t *bytes)
{
    struct cache_memory *memory = (struct cache_memory *)cache;

    *entries = 0;
    for (size_t i = 0; i < CACHE_MEMORY_SHARDS; i++) {
        pthread_mutex_lock(&memory->shards[i].lock);
        *entries += HASH_COUNT(memory->shards[i].entries);
        pthread_mutex_unlock(&memory->shards[i].lock);
    }
    *bytes = atomic_load_explicit(&memory->held_bytes, memory_order_relaxed);
}

static void
cache_memory_free(struct cache *cache)
{
    struct cache_memory *memory = (struct cache_memory *)cache;

    for (unsigned i = 0; i < memory->shards_made; i++) {
        struct cache_memory_shard *shard = &memory->shards[i];

        while (shard->entries)
            cache_memory_delete(memory, shard, shard->entries);
        while (shard->claims)
            cache_memory_claim_delete(shard, shard->claims);
        pthread_mutex_destroy(&shard->lock);
    }
    free(memory);
}

static const struct cache_ops cache_memory_ops = {
    .name = "memory",
    .get = cache_memory_get,
    .set = cache_memory_set,
    .remove = cache_memory_remove,
    .claim = cache_memory_claim,
    .release = cache_memory_release,
    .held = cache_memory_held,
    .free = cache_memory_free,
};

enum err_code
cache_memory_new(size_t limit_bytes, struct cache **out, struct err *err)
{
    struct cache_memory *memory;

    if (limit_bytes < CACHE_MEMORY_LEAST)
        return err_set(err, ERR_PERM, "a cache of %zu octets is too small", limit_bytes);
    memory = calloc(1, sizeof *memory);
    if (!memory)
        return err_set(err, ERR_NOMEM, "out of memory");
    cache_init(&memory->head, &cache_memory_ops);
    memory->limit_bytes = limit_bytes;
    while (memory->shards_made < CACHE_MEMORY_SHARDS) {
        if (pthread_mutex_init(&memory->shards[memory->shards_made].lock, NULL) != 0) {
            cache_memory_free(&memory->head);
            return err_set(err, ERR_NOMEM, "no lock");
        }
        memory->shards_made++;
    }
    *out = &memory->head;
    return ERR_OK;
}
