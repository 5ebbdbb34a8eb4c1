#include "pki/intern.h"

#include <pthread.h>
#include <stdint.h>

#include "util/random.h"

enum { WAYS = 4, SETS = PKI_INTERN_PLACES / WAYS };

struct set {
    pthread_mutex_t lock;
    struct pki_certificate *ways[WAYS]; /* the most recently used first */
};

static struct set sets[SETS] = { [0 ... SETS - 1] = { .lock = PTHREAD_MUTEX_INITIALIZER } };
static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t seed;

/* Nobody outside knows which certificates share a set. Without random numbers the table still
 * works. */
static void
make_seed(void)
{
    struct err ignored = ERR_INIT;

    if (random_get(&seed, sizeof seed, &ignored) != ERR_OK)
        seed = (uintptr_t)sets;
}

static struct set *
find_set(struct span der)
{
    uint64_t hash = seed ^ der.n;
    size_t i;

    for (i = 0; i + 8 <= der.n; i += 8) {
        uint64_t word;

        memcpy(&word, der.p + i, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    for (; i < der.n; i++)
        hash = (hash ^ der.p[i]) * 0x9e3779b97f4a7c15u;
    return &sets[(hash >> 32) % SETS];
}

/* Puts `one` before the first `n` of the set. */
static void
move_to_front(struct set *set, size_t n, struct pki_certificate *one)
{
    memmove(set->ways + 1, set->ways, n * sizeof *set->ways);
    set->ways[0] = one;
}

/* A reference, or NULL. The caller holds the lock. */
static struct pki_certificate *
find(struct set *set, struct span der)
{
    for (size_t i = 0; i < WAYS && set->ways[i]; i++) {
        struct pki_certificate *one = set->ways[i];

        if (!span_equal(pki_certificate_der(one), der))
            continue;
        move_to_front(set, i, one);
        return pki_certificate_add1(one);
    }
    return NULL;
}

enum err_code
pki_intern_get(struct span der, struct pki_certificate **out, struct err *err)
{
    struct pki_certificate *last = NULL, *other;
    enum err_code code;

    if (der.n > PKI_INTERN_BYTES)
        return pki_certificate_parse(der, out, err);
    pthread_once(&once, make_seed);
    struct set *set = find_set(der);
    pthread_mutex_lock(&set->lock);
    *out = find(set, der);
    pthread_mutex_unlock(&set->lock);
    if (*out)
        return ERR_OK;
    code = pki_certificate_parse(der, out, err);
    if (code != ERR_OK)
        return code;
    pthread_mutex_lock(&set->lock);
    other = find(set, der); /* of a thread that was faster */
    if (!other) {
        last = set->ways[WAYS - 1];
        move_to_front(set, WAYS - 1, pki_certificate_add1(*out));
    }
    pthread_mutex_unlock(&set->lock);
    if (other) {
        pki_certificate_free(out);
        *out = other;
    }
    pki_certificate_free(&last);
    return ERR_OK;
}

void
pki_intern_reset(void)
{
    for (size_t i = 0; i < SETS; i++) {
        struct set *set = &sets[i];

        pthread_mutex_lock(&set->lock);
        for (size_t j = 0; j < WAYS; j++)
            pki_certificate_free(&set->ways[j]);
        pthread_mutex_unlock(&set->lock);
    }
}
