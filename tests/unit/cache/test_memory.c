#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cache/memory.h"
#include "util/clock.h"

static struct cache *
made(size_t limit)
{
    struct err err = ERR_INIT;
    struct cache *cache = NULL;
    if (cache_memory_new(limit, &cache, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return cache;
}

/* The value in an exact-size heap copy. */
static enum err_code
put(struct cache *cache, const char *key, struct span bytes, int64_t fetched_s, int64_t ttl_s)
{
    unsigned char *copy = malloc(bytes.n ? bytes.n : 1);
    if (bytes.n)
        memcpy(copy, bytes.p, bytes.n);
    const struct cache_value value = { .bytes = span_of(copy, bytes.n),
                                       .fetched_s = fetched_s,
                                       .ttl_s = ttl_s };
    enum err_code rc = cache_set(cache, span_str(key), &value, NULL);
    free(copy);
    return rc;
}

static enum err_code
look(struct cache *cache, const char *key, const char *wanted, int64_t wanted_s)
{
    struct buf out = BUF_INIT(1 << 20);
    int64_t fetched_s = -1;
    enum err_code rc = cache_get(cache, span_str(key), &out, &fetched_s, NULL);
    if (rc == ERR_OK && wanted) {
        assert_string_equal(buf_str(&out), wanted);
        assert_int_equal(fetched_s, wanted_s);
    }
    if (rc != ERR_OK)
        assert_int_equal(out.n, 0);
    buf_free(&out);
    return rc;
}

static void
what_was_set_is_found_until_it_is_removed(void **state)
{
    (void)state;
    struct cache *cache = made(65536);
    struct cache_stats stats;
    assert_int_equal(look(cache, "a", NULL, 0), ERR_NOTFOUND);
    assert_int_equal(put(cache, "a", span_str("one"), 100, 60), ERR_OK);
    assert_int_equal(put(cache, "empty", span_of(NULL, 0), 7, 60), ERR_OK);
    assert_int_equal(look(cache, "a", "one", 100), ERR_OK);
    assert_int_equal(look(cache, "empty", "", 7), ERR_OK);
    assert_int_equal(look(cache, "b", NULL, 0), ERR_NOTFOUND);
    assert_int_equal(cache_remove(cache, span_str("a"), NULL), ERR_OK);
    assert_int_equal(cache_remove(cache, span_str("a"), NULL), ERR_NOTFOUND);
    assert_int_equal(look(cache, "a", NULL, 0), ERR_NOTFOUND);
    cache_get_stats(cache, &stats);
    assert_int_equal(stats.hits, 2);
    assert_int_equal(stats.misses, 3);
    assert_int_equal(stats.stored, 2);
    assert_int_equal(stats.read_bytes, 3);
    assert_int_equal(stats.written_bytes, 3);
    assert_int_equal(stats.entries, 1);
    assert_int_equal(stats.errors, 0);
    assert_int_equal(cache_remove(cache, span_str("empty"), NULL), ERR_OK);
    cache_get_stats(cache, &stats);
    assert_int_equal(stats.held_bytes, 0);
    cache_free(&cache);
    assert_null(cache);
    cache_free(&cache);
}

static void
a_value_is_gone_when_its_lifetime_is_over(void **state)
{
    (void)state;
    struct cache *cache = made(65536);
    clock_set_s(1000000);
    assert_int_equal(put(cache, "a", span_str("one"), 1000000, 60), ERR_OK);
    clock_set_s(1000059);
    assert_int_equal(look(cache, "a", "one", 1000000), ERR_OK);
    clock_set_s(1000060);
    assert_int_equal(look(cache, "a", NULL, 0), ERR_NOTFOUND);
    /* Nor does it stand in the way of one that was fetched earlier. */
    assert_int_equal(put(cache, "b", span_str("new"), 1000060, 10), ERR_OK);
    clock_set_s(1000080);
    assert_int_equal(put(cache, "b", span_str("old"), 1000050, 60), ERR_OK);
    assert_int_equal(look(cache, "b", "old", 1000050), ERR_OK);
    clock_set_s(0);
    cache_free(&cache);
}

static void
an_older_value_never_replaces_a_newer_one(void **state)
{
    (void)state;
    struct cache *cache = made(65536);
    struct cache_stats stats;
    assert_int_equal(put(cache, "a", span_str("new"), 200, 60), ERR_OK);
    assert_int_equal(put(cache, "a", span_str("old"), 199, 60), ERR_OK);
    assert_int_equal(look(cache, "a", "new", 200), ERR_OK);
    cache_get_stats(cache, &stats);
    assert_int_equal(stats.kept, 1);
    size_t held = stats.held_bytes;
    assert_int_equal(put(cache, "a", span_str("now"), 200, 60), ERR_OK);
    assert_int_equal(look(cache, "a", "now", 200), ERR_OK);
    cache_get_stats(cache, &stats);
    assert_int_equal(stats.held_bytes, held);
    cache_free(&cache);
}

static void
the_least_recently_used_goes_first_and_the_bound_holds(void **state)
{
    (void)state;
    struct cache *cache = made(16384);
    unsigned char *bytes = calloc(1, 4000);
    struct cache_stats stats;
    assert_int_equal(put(cache, "a", span_of(bytes, 3000), 1, 60), ERR_OK);
    assert_int_equal(put(cache, "b", span_of(bytes, 3000), 1, 60), ERR_OK);
    assert_int_equal(put(cache, "c", span_of(bytes, 3000), 1, 60), ERR_OK);
    assert_int_equal(put(cache, "d", span_of(bytes, 3000), 1, 60), ERR_OK);
    assert_int_equal(look(cache, "a", NULL, 0), ERR_OK);
    assert_int_equal(put(cache, "e", span_of(bytes, 4000), 1, 60), ERR_OK);
    assert_int_equal(look(cache, "b", NULL, 0), ERR_NOTFOUND);
    assert_int_equal(look(cache, "a", NULL, 0), ERR_OK);
    assert_int_equal(look(cache, "c", NULL, 0), ERR_OK);
    assert_int_equal(look(cache, "d", NULL, 0), ERR_OK);
    assert_int_equal(look(cache, "e", NULL, 0), ERR_OK);
    for (unsigned i = 0; i < 500; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(put(cache, key, span_of(bytes, i * 7), 1, 60), ERR_OK);
        cache_get_stats(cache, &stats);
        assert_true(stats.held_bytes <= 16384);
    }
    assert_true(stats.evicted > 400);
    cache_free(&cache);
    free(bytes);
}

static void
a_value_larger_than_the_cache_is_refused_and_evicts_nothing(void **state)
{
    (void)state;
    struct cache *cache = made(8192);
    unsigned char *bytes = calloc(1, 9000);
    assert_int_equal(put(cache, "a", span_str("one"), 1, 60), ERR_OK);
    assert_int_equal(put(cache, "b", span_of(bytes, 9000), 1, 60), ERR_LIMIT);
    assert_int_equal(put(cache, "b", span_of(bytes, 8192), 1, 60), ERR_LIMIT);
    assert_int_equal(look(cache, "a", "one", 1), ERR_OK);
    /* One value may have nearly all of it. */
    assert_int_equal(put(cache, "c", span_of(bytes, 7900), 1, 60), ERR_OK);
    cache_free(&cache);
    free(bytes);
}

static void
a_value_longer_than_what_the_caller_can_use_is_a_miss(void **state)
{
    (void)state;
    struct cache *cache = made(65536);
    struct buf out = BUF_INIT(8);
    struct cache_stats stats;
    int64_t fetched_s;
    assert_int_equal(put(cache, "a", span_str("nine octe"), 1, 60), ERR_OK);
    assert_int_equal(cache_get(cache, span_str("a"), &out, &fetched_s, NULL), ERR_NOTFOUND);
    assert_int_equal(out.n, 0);
    cache_get_stats(cache, &stats);
    assert_int_equal(stats.refused, 1);
    buf_free(&out);
    cache_free(&cache);
}

static void
keys_and_lifetimes_that_are_none_are_bugs(void **state)
{
    (void)state;
    struct cache *cache = made(65536);
    unsigned char *key = malloc(CACHE_KEY_BYTES + 1);
    struct buf out = BUF_INIT(8);
    struct cache_value value = { .bytes = span_str("x"), .fetched_s = 1, .ttl_s = 1 };
    struct cache_claim claim;
    int64_t at;
    memset(key, 'k', CACHE_KEY_BYTES + 1);
    assert_int_equal(cache_set(cache, span_of(key, CACHE_KEY_BYTES), &value, NULL), ERR_OK);
    assert_int_equal(cache_set(cache, span_of(key, CACHE_KEY_BYTES + 1), &value, NULL), ERR_BUG);
    assert_int_equal(cache_get(cache, span_of(key, 0), &out, &at, NULL), ERR_BUG);
    assert_int_equal(cache_claim(cache, span_str("a"), 0, &claim, NULL), ERR_BUG);
    value.ttl_s = 0;
    assert_int_equal(cache_set(cache, span_str("a"), &value, NULL), ERR_BUG);
    value.ttl_s = CACHE_TTL_S + 1;
    assert_int_equal(cache_set(cache, span_str("a"), &value, NULL), ERR_BUG);
    assert_int_equal(cache_memory_new(10, &cache, NULL), ERR_PERM);
    cache_free(&cache);
    free(key);
}

static void
one_claims_the_others_wait_and_only_the_owner_releases(void **state)
{
    (void)state;
    struct cache *cache = made(65536);
    struct cache_claim first, second, forged = { "0123456789abcdef0123456789abcdef" };
    assert_int_equal(cache_claim(cache, span_str("a"), 60000, &first, NULL), ERR_OK);
    assert_int_equal(strlen(first.token), CACHE_TOKEN_SIZE - 1);
    assert_int_equal(cache_claim(cache, span_str("a"), 60000, &second, NULL), ERR_NOTFOUND);
    assert_string_equal(second.token, "");
    cache_release(cache, span_str("a"), &second);
    cache_release(cache, span_str("a"), &forged);
    assert_int_equal(cache_claim(cache, span_str("a"), 60000, &second, NULL), ERR_NOTFOUND);
    assert_int_equal(cache_claim(cache, span_str("b"), 60000, &second, NULL), ERR_OK);
    cache_release(cache, span_str("a"), &first);
    assert_string_equal(first.token, "");
    assert_int_equal(cache_claim(cache, span_str("a"), 1, &first, NULL), ERR_OK);
    /* It ends by itself; the wait is for the clock that only moves forward. */
    for (int64_t end = clock_monotonic_ms() + 2; clock_monotonic_ms() < end;)
        continue;
    assert_int_equal(cache_claim(cache, span_str("a"), 60000, &second, NULL), ERR_OK);
    cache_free(&cache);
}

static void
claims_are_bounded(void **state)
{
    (void)state;
    struct cache *cache = made(65536);
    struct cache_claim claim;
    unsigned refused = 0;
    for (unsigned i = 0; i < 20000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        enum err_code rc = cache_claim(cache, span_str(key), 60000, &claim, NULL);
        assert_true(rc == ERR_OK || rc == ERR_TEMP);
        refused += rc == ERR_TEMP;
    }
    assert_int_equal(refused, 20000 - 16 * 1024);
    cache_free(&cache);
}

enum { THREADS = 8, ROUNDS = 4000 };

static void *
hammer(void *context)
{
    struct cache *cache = context;
    unsigned char bytes[600];
    unsigned seed = (unsigned)(uintptr_t)&seed;
    for (unsigned i = 0; i < ROUNDS; i++) {
        char key[16];
        unsigned n = (unsigned)rand_r(&seed) % 40;
        struct buf out = BUF_INIT(1000);
        int64_t fetched_s = 0;
        struct cache_claim claim;
        snprintf(key, sizeof key, "k%u", n);
        memset(bytes, (int)n, sizeof bytes);
        const struct cache_value value = { .bytes = span_of(bytes, 100 + n * 10),
                                           .fetched_s = (int64_t)i,
                                           .ttl_s = 60 };
        switch (rand_r(&seed) % 8) {
        case 0:
        case 1:
            (void)cache_set(cache, span_str(key), &value, NULL);
            break;
        case 2:
            (void)cache_remove(cache, span_str(key), NULL);
            break;
        case 3:
            if (cache_claim(cache, span_str(key), 1000, &claim, NULL) == ERR_OK)
                cache_release(cache, span_str(key), &claim);
            break;
        default:
            if (cache_get(cache, span_str(key), &out, &fetched_s, NULL) == ERR_OK) {
                /* Whole, and of this key. */
                if (out.n != 100 + n * 10)
                    return (void *)"length";
                for (size_t j = 0; j < out.n; j++)
                    if (out.p[j] != n)
                        return (void *)"octet";
            }
        }
        buf_free(&out);
    }
    return NULL;
}

static void
many_threads_see_whole_values_only(void **state)
{
    (void)state;
    struct cache *cache = made(8192); /* so that it evicts all the time */
    pthread_t threads[THREADS];
    struct cache_stats stats;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, cache), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        if (wrong)
            fail_msg("%s", (char *)wrong);
    }
    cache_get_stats(cache, &stats);
    assert_true(stats.held_bytes <= 8192);
    assert_true(stats.hits > 0 && stats.evicted > 0);
    for (unsigned n = 0; n < 40; n++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", n);
        (void)cache_remove(cache, span_str(key), NULL);
    }
    cache_get_stats(cache, &stats);
    assert_int_equal(stats.held_bytes, 0);
    assert_int_equal(stats.entries, 0);
    cache_free(&cache);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_set_is_found_until_it_is_removed),
        cmocka_unit_test(a_value_is_gone_when_its_lifetime_is_over),
        cmocka_unit_test(an_older_value_never_replaces_a_newer_one),
        cmocka_unit_test(the_least_recently_used_goes_first_and_the_bound_holds),
        cmocka_unit_test(a_value_larger_than_the_cache_is_refused_and_evicts_nothing),
        cmocka_unit_test(a_value_longer_than_what_the_caller_can_use_is_a_miss),
        cmocka_unit_test(keys_and_lifetimes_that_are_none_are_bugs),
        cmocka_unit_test(one_claims_the_others_wait_and_only_the_owner_releases),
        cmocka_unit_test(claims_are_bounded),
        cmocka_unit_test(many_threads_see_whole_values_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
