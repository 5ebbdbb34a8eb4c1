/*
 * Bytes by key with a lifetime: what a gateway fetched for trust (CRLs, OCSP responses,
 * certificates of CAs) and need not fetch again.
 *
 * A cache holds hints. Losing it, emptying it or finding it dead costs a fetch, never a verdict:
 * whoever takes a value out of it verifies the value again by its own signature. So there are three
 * answers inside (found, not there, could not ask), and the caller sees two: what could not be
 * asked is a miss, counted as an error.
 *
 * Each value knows when it was fetched. A value never replaces one that was fetched later: of two
 * nodes that race, the one with the newer CRL wins whoever comes last.
 *
 * Backends (the vtable exists for these two): cache/memory.h, in the process; cache/store.h, in
 * Redis, shared by a fleet. Keys are names of our own making (a kind and a digest), never text from
 * a certificate.
 *
 * Threads: any, at once. cache_free: when nobody uses it any more.
 */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"
#include "util/span.h"

enum {
    CACHE_KEY_BYTES = 256,            /* longest key */
    CACHE_VALUE_BYTES = 64 << 20,     /* longest value: a CRL of 1,000,000 entries and a reserve */
    CACHE_TTL_S = 366 * 24 * 60 * 60, /* longest lifetime */
    CACHE_TOKEN_SIZE = 33,            /* a claim: 32 hexadecimal digits and a NUL */
};

struct cache;

/* What cache_set keeps. `bytes` is borrowed for the call. */
struct cache_value {
    struct span bytes;
    int64_t fetched_s; /* when the source was asked, seconds since 1970 */
    int64_t ttl_s;     /* 1 to CACHE_TTL_S */
};

/* The mark of one who fetches. Empty: not claimed. */
struct cache_claim {
    char token[CACHE_TOKEN_SIZE];
};

/* Counters since the start; `entries` and `held_bytes` as of now, 0 where the backend is not ours
 * to count (Redis). */
struct cache_stats {
    uint64_t hits;
    uint64_t misses;  /* not there, refused ones included; errors not */
    uint64_t errors;  /* could not ask, could not store */
    uint64_t refused; /* there, but not what we had stored: garbage, wrong type, too long, forged */
    uint64_t stored;
    uint64_t kept; /* not stored since a newer one is there */
    uint64_t evicted;
    uint64_t read_bytes;
    uint64_t written_bytes;
    uint64_t entries;
    uint64_t held_bytes;
};

/* Appends the value to `out`, whose limit bounds what is read, and says when it was fetched.
 * ERR_NOTFOUND: not there or could not ask (err tells them apart in its text; reason
 * "cache-unavailable"). ERR_NOMEM. ERR_BUG: not a key. On failure `out` is as it was. */
ERR_CHECKED enum err_code cache_get(struct cache *cache, struct span key, struct buf *out,
                                    int64_t *fetched_s, struct err *err);

/* Keeps the value unless a newer one is there; both are ERR_OK. ERR_LIMIT: too long for this cache.
 * ERR_TEMP: could not ask. ERR_BUG: not a key, or no lifetime. The result may be ignored: what is
 * not kept is fetched again. */
enum err_code cache_set(struct cache *cache, struct span key, const struct cache_value *value,
                        struct err *err);

/* Takes a value out. ERR_NOTFOUND: it was not there. ERR_TEMP: could not ask. */
enum err_code cache_remove(struct cache *cache, struct span key, struct err *err);

/* "I fetch this": ERR_OK and a token for the first, ERR_NOTFOUND while another has claimed the key,
 * ERR_TEMP when it could not be asked (then fetch). A hint: it ends by itself after `ttl_ms` (at
 * most an hour), may be lost or forged, and whoever has waited long enough fetches without it. */
ERR_CHECKED enum err_code cache_claim(struct cache *cache, struct span key, int64_t ttl_ms,
                                      struct cache_claim *claim, struct err *err);

/* Ends our own claim, never that of another, and empties the token. */
void cache_release(struct cache *cache, struct span key, struct cache_claim *claim);

void cache_get_stats(struct cache *cache, struct cache_stats *out);
void cache_free(struct cache **cache);

/* ---- for the backends --------------------------------------------------------------------------
 */

enum cache_count {
    CACHE_COUNT_HITS,
    CACHE_COUNT_MISSES,
    CACHE_COUNT_ERRORS,
    CACHE_COUNT_REFUSED,
    CACHE_COUNT_STORED,
    CACHE_COUNT_KEPT,
    CACHE_COUNT_EVICTED,
    CACHE_COUNT_READ_BYTES,
    CACHE_COUNT_WRITTEN_BYTES,
    CACHE_COUNTS
};

/* Arguments have been checked. Results as above, but get gives ERR_TEMP for "could not ask", and
 * what was refused is ERR_NOTFOUND after counting it. set tells in *kept that a newer one is
 * there. */
struct cache_ops {
    const char *name;
    enum err_code (*get)(struct cache *cache, struct span key, struct buf *out, int64_t *fetched_s,
                         struct err *err);
    enum err_code (*set)(struct cache *cache, struct span key, const struct cache_value *value,
                         bool *kept, struct err *err);
    enum err_code (*remove)(struct cache *cache, struct span key, struct err *err);
    enum err_code (*claim)(struct cache *cache, struct span key, int64_t ttl_ms,
                           const struct cache_claim *claim, struct err *err);
    void (*release)(struct cache *cache, struct span key, const struct cache_claim *claim);
    void (*held)(struct cache *cache, uint64_t *entries, uint64_t *bytes);
    void (*free)(struct cache *cache);
};

/* The head of every backend's own struct (first member). */
struct cache {
    const struct cache_ops *ops;
    _Atomic uint64_t counts[CACHE_COUNTS];
};

void cache_init(struct cache *cache, const struct cache_ops *ops);
void cache_count(struct cache *cache, enum cache_count which, uint64_t more);

#endif
