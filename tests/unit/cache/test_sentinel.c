#include "tests/unit/cache/fleet.h"

static bool there;

static struct cache *
made(const struct cache_redis_server *sentinels, size_t count)
{
    struct err err = ERR_INIT;
    struct cache *cache = NULL;
    struct cache_store_args args = { .pool = { .sentinels = sentinels,
                                               .sentinel_count = count,
                                               .master = "mymaster",
                                               .connections = 2,
                                               .backoff_ms = 100 },
                                     .timeout_ms = 2000 };
    assert_int_equal(cache_seal_new(span_str("0123456789abcdef0123456789abcdef"), &args.seal, &err),
                     ERR_OK);
    if (cache_store_new(&args, &cache, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return cache;
}

static enum err_code
put(struct cache *cache, int64_t fetched_s)
{
    const struct cache_value value = { .bytes = span_str("bytes"),
                                       .fetched_s = fetched_s,
                                       .ttl_s = 60 };
    return cache_set(cache, span_str("k"), &value, NULL);
}

static bool
finds(struct cache *cache)
{
    struct buf out = BUF_INIT(100);
    int64_t fetched_s;
    enum err_code rc = cache_get(cache, span_str("k"), &out, &fetched_s, NULL);
    assert_true(rc == ERR_OK || rc == ERR_NOTFOUND);
    buf_free(&out);
    return rc == ERR_OK;
}

static uint64_t
stats_errors(struct cache *cache)
{
    struct cache_stats stats;
    cache_get_stats(cache, &stats);
    return stats.errors;
}

static void
when_the_master_dies_its_heir_is_used(void **state)
{
    (void)state;
    if (!there)
        skip();
    struct fleet fleet;
    struct err err = ERR_INIT;
    memset(&fleet, 0, sizeof fleet);
    fleet_start(&fleet);
    fleet_wait(&fleet);
    struct cache *cache = made(fleet.sentinels, SENTINELS);
    assert_int_equal(put(cache, 1), ERR_OK);
    assert_true(finds(cache));
    server_stop(fleet.pid[0]);
    fleet.pid[0] = 0;
    int64_t begin_ms = clock_monotonic_ms();
    enum err_code rc = ERR_TEMP;
    for (int64_t fetched_s = 2; rc != ERR_OK; fetched_s++) {
        rc = put(cache, fetched_s);
        if (clock_monotonic_ms() - begin_ms > FAILOVER_MS)
            fail_msg("no fail-over");
        pause_ms(20);
    }
    assert_true(finds(cache));
    struct cache_sentinel_answer master;
    assert_int_equal(cache_sentinel_find(&(struct cache_sentinel){ .master = "mymaster",
                                                                   .sentinels = fleet.sentinels,
                                                                   .count = SENTINELS },
                                         clock_monotonic_ms() + 2000, &master, &err),
                     ERR_OK);
    assert_string_equal(master.host, "127.0.0.1");
    assert_int_equal(master.port, fleet.port[1]);
    /* A Sentinel that is gone is passed over. */
    server_stop(fleet.sentinel_pid[0]);
    fleet.sentinel_pid[0] = 0;
    struct cache *second = made(fleet.sentinels, SENTINELS);
    assert_true(finds(second));
    assert_int_equal(stats_errors(second), 0);
    cache_free(&second);
    cache_free(&cache);
    fleet_stop(&fleet);
}

static void
a_sentinel_that_lies_or_knows_nothing_gives_misses(void **state)
{
    (void)state;
    static const char *const lies[] = {
        "*-1\r\n",
        "$-1\r\n",
        "*2\r\n$9\r\n127.0.0.1\r\n$1\r\n0\r\n",
        "*2\r\n$9\r\n127.0.0.1\r\n$6\r\n100000\r\n",
        "*2\r\n$9\r\n127.0.0.1\r\n$3\r\n1 2\r\n",
        "*2\r\n$9\r\n127.0\0000.1\r\n$2\r\n80\r\n",
        "*1\r\n$9\r\n127.0.0.1\r\n",
        "*2\r\n$0\r\n\r\n$2\r\n80\r\n",
        "*2\r\n:5\r\n:80\r\n",
        "-IDONTKNOW\r\n",
        "+OK\r\n",
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct liar liar = { .say = i == 5 ? span_of(lies[i], 27) : span_str(lies[i]) };
        struct cache_redis_server server = { .host = "127.0.0.1", .port = liar_start(&liar) };
        struct cache *cache = made(&server, 1);
        assert_false(finds(cache));
        assert_int_equal(liar.asked, 1);
        cache_free(&cache);
        liar_stop(&liar);
    }
}

static void
a_server_that_is_no_master_is_not_used(void **state)
{
    (void)state;
    struct liar replica = { .say = span_str("$12\r\nrole:slave\r\n\r\n") };
    char says[16];
    snprintf(says, sizeof says, "%u", liar_start(&replica));
    char text[128];
    snprintf(text, sizeof text, "*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n", strlen(says), says);
    struct liar liar = { .say = span_str(text) };
    struct cache_redis_server server = { .host = "127.0.0.1", .port = liar_start(&liar) };
    struct cache *cache = made(&server, 1);
    assert_int_equal(put(cache, 1), ERR_TEMP);
    assert_int_equal(replica.asked, 1); /* INFO, and no value */
    cache_free(&cache);
    liar_stop(&liar);
    liar_stop(&replica);
}

static int
begin(void **state)
{
    (void)state;
    there = system("command -v redis-server >/dev/null 2>&1") == 0;
    if (!there)
        print_message("there is no redis-server: its tests are skipped\n");
    log_init(&(struct log_args){ .sink = LOG_SINK_NONE, .level = LOG_LEVEL_WARN });
    return mkdtemp(scratch) ? 0 : -1;
}

static int
end(void **state)
{
    static const char *const names[] = { "r0", "r1", "s0", "s1", "s2" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(server_path(names[i]));
    return rmdir(scratch);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(when_the_master_dies_its_heir_is_used),
        cmocka_unit_test(a_sentinel_that_lies_or_knows_nothing_gives_misses),
        cmocka_unit_test(a_server_that_is_no_master_is_not_used),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
