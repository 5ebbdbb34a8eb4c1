#include "flow/rate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

#include "util/clock.h"

enum { RATE_SETS = 1024, RATE_WAYS = 8, RATE_LIMIT_NAMES = 64, RATE_WINDOW_MS = 60000 };

struct rate_bucket {
    uint64_t hash; /* 0: nobody's */
    double spent;  /* of the bound; flows off in a minute */
    int64_t at_ms;
};

struct flow_rate {
    atomic_uint references;
    pthread_mutex_t lock;
    uint64_t seed;
    struct rate_bucket total;
    struct rate_bucket buckets[RATE_SETS][RATE_WAYS];
};

enum err_code
flow_rate_new(struct flow_rate **out, struct err *err)
{
    struct flow_rate *rate = calloc(1, sizeof(*rate));

    if (!rate)
        return err_set(err, ERR_NOMEM, "memory for counting attempts");
    if (getrandom(&rate->seed, sizeof(rate->seed), 0) != sizeof(rate->seed)) {
        free(rate);
        return err_set(err, ERR_TEMP, "no random numbers");
    }
    pthread_mutex_init(&rate->lock, NULL);
    atomic_init(&rate->references, 1);
    *out = rate;
    return ERR_OK;
}

struct flow_rate *
flow_rate_add1(struct flow_rate *rate)
{
    atomic_fetch_add_explicit(&rate->references, 1, memory_order_relaxed);
    return rate;
}

void
flow_rate_free(struct flow_rate **rate)
{
    struct flow_rate *old = rate ? *rate : NULL;

    if (!old)
        return;
    *rate = NULL;
    if (atomic_fetch_sub_explicit(&old->references, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&old->lock);
    free(old);
}

/* FNV-1a from a secret start; never 0. */
static uint64_t
rate_hash(const struct flow_rate *rate, const char *name)
{
    uint64_t hash = rate->seed ^ 0xcbf29ce484222325u;

    for (; *name; name++) {
        hash ^= (unsigned char)*name;
        hash *= 0x100000001b3u;
    }
    hash ^= hash >> 29;
    return hash ? hash : 1;
}

/* What has flowed off since the bucket was looked at. */
static void
rate_flow_off(struct rate_bucket *bucket, uint64_t bound, int64_t now_ms)
{
    double gone = (double)bound * (double)(now_ms - bucket->at_ms) / RATE_WINDOW_MS;

    bucket->spent = bucket->spent > gone ? bucket->spent - gone : 0;
    bucket->at_ms = now_ms;
}

/* The bucket of a name; it takes the place of the one that has spent least. */
static struct rate_bucket *
rate_find(struct flow_rate *rate, const char *name, uint64_t bound, int64_t now_ms)
{
    uint64_t hash = rate_hash(rate, name);
    struct rate_bucket *set = rate->buckets[hash % RATE_SETS], *least = &set[0];

    for (size_t i = 0; i < RATE_WAYS; i++) {
        rate_flow_off(&set[i], bound, now_ms);
        if (set[i].hash == hash)
            return &set[i];
        if (set[i].spent < least->spent)
            least = &set[i];
    }
    *least = (struct rate_bucket){ .hash = hash, .at_ms = now_ms };
    return least;
}

/* Adds `one` to all of them; the lock is held. */
static void
rate_add(struct flow_rate *rate, struct rate_bucket *const *found, size_t count, double one)
{
    rate->total.spent = rate->total.spent + one > 0 ? rate->total.spent + one : 0;
    for (size_t i = 0; i < count; i++)
        found[i]->spent = found[i]->spent + one > 0 ? found[i]->spent + one : 0;
}

/* The buckets of the names as they are now; the lock is held. Returns how many. */
static size_t
rate_find_all(struct flow_rate *rate, const struct flow_rate_args *args,
              struct rate_bucket *found[RATE_LIMIT_NAMES])
{
    int64_t now_ms = clock_monotonic_ms();
    size_t count = args->count < RATE_LIMIT_NAMES ? args->count : RATE_LIMIT_NAMES;

    rate_flow_off(&rate->total, args->total, now_ms);
    for (size_t i = 0; i < count; i++)
        found[i] = rate_find(rate, args->names[i], args->each, now_ms);
    return count;
}

bool
flow_rate_check(struct flow_rate *rate, const struct flow_rate_args *args)
{
    struct rate_bucket *found[RATE_LIMIT_NAMES];
    bool is_free;
    size_t count;

    pthread_mutex_lock(&rate->lock);
    count = rate_find_all(rate, args, found);
    is_free = rate->total.spent + 1 <= (double)args->total;
    for (size_t i = 0; i < count; i++)
        is_free &= found[i]->spent + 1 <= (double)args->each;
    rate_add(rate, found, count, is_free ? 1 : 0);
    pthread_mutex_unlock(&rate->lock);
    return is_free;
}

void
flow_rate_reset(struct flow_rate *rate, const struct flow_rate_args *args, bool give)
{
    struct rate_bucket *found[RATE_LIMIT_NAMES];
    size_t count;

    pthread_mutex_lock(&rate->lock);
    count = rate_find_all(rate, args, found);
    rate_add(rate, found, count, give ? -1 : 0);
    pthread_mutex_unlock(&rate->lock);
}
