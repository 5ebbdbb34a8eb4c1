#include "tests/unit/cache/server.h"

static const char key_text[] = "0123456789abcdef0123456789abcdef";
static bool there; /* is there a redis-server on this machine? */

static struct cache *
made_of(struct cache_store_args args, const char *key)
{
    struct err err = ERR_INIT;
    struct cache *cache = NULL;
    if (args.pool.connections == 0)
        args.pool.connections = 4;
    if (args.pool.backoff_ms == 0)
        args.pool.backoff_ms = 50;
    assert_int_equal(cache_seal_new(span_str(key), &args.seal, &err), ERR_OK);
    if (cache_store_new(&args, &cache, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return cache;
}

static struct cache *
made(const char *name)
{
    return made_of(
        (struct cache_store_args){ .pool.server.socket = server_path(name), .timeout_ms = 5000 },
        key_text);
}

static enum err_code
put(struct cache *cache, const char *key, const char *text, int64_t fetched_s)
{
    const struct cache_value value = { .bytes = span_str(text),
                                       .fetched_s = fetched_s,
                                       .ttl_s = 60 };
    return cache_set(cache, span_str(key), &value, NULL);
}

static bool
finds(struct cache *cache, const char *key, const char *text, int64_t wanted_s)
{
    struct buf out = BUF_INIT(1 << 20);
    int64_t fetched_s = -1;
    enum err_code rc = cache_get(cache, span_str(key), &out, &fetched_s, NULL);
    bool same = rc == ERR_OK && fetched_s == wanted_s && strcmp(buf_str(&out), text) == 0;
    assert_true(rc == ERR_OK || rc == ERR_NOTFOUND);
    assert_true(rc == ERR_OK || out.n == 0);
    buf_free(&out);
    return same;
}

static struct cache_stats
stats_of(struct cache *cache)
{
    struct cache_stats stats;
    cache_get_stats(cache, &stats);
    return stats;
}

static void
two_nodes_share_values_and_the_newer_one_stays(void **state)
{
    (void)state;
    if (!there)
        skip();
    pid_t pid = server_start("s");
    struct cache *a = made("s"), *b = made("s");
    struct buf ttl = BUF_INIT(100);
    assert_false(finds(b, "crl", "one", 100));
    assert_int_equal(put(a, "crl", "one", 100), ERR_OK);
    assert_true(finds(b, "crl", "one", 100));
    assert_int_equal(put(b, "crl", "two", 200), ERR_OK);
    assert_int_equal(put(a, "crl", "old", 199), ERR_OK);
    assert_true(finds(a, "crl", "two", 200));
    assert_int_equal(stats_of(a).kept, 1);
    assert_int_equal(put(a, "crl", "now", 200), ERR_OK);
    assert_true(finds(b, "crl", "now", 200));
    raw("s", (const struct span[]){ span_str("PTTL"), span_str("smimed:v:crl") }, 2, &ttl);
    assert_true(atoi(buf_str(&ttl)) > 50000 && atoi(buf_str(&ttl)) <= 60000);
    assert_int_equal(cache_remove(a, span_str("crl"), NULL), ERR_OK);
    assert_int_equal(cache_remove(a, span_str("crl"), NULL), ERR_NOTFOUND);
    assert_false(finds(b, "crl", "now", 200));
    assert_int_equal(stats_of(a).errors + stats_of(b).errors, 0);
    buf_free(&ttl);
    cache_free(&a);
    cache_free(&b);
    server_stop(pid);
}

static void
of_two_nodes_one_claims_and_only_it_releases(void **state)
{
    (void)state;
    if (!there)
        skip();
    pid_t pid = server_start("s");
    struct cache *a = made("s"), *b = made("s");
    struct cache_claim first, second, forged = { "0123456789abcdef0123456789abcdef" };
    assert_int_equal(cache_claim(a, span_str("k"), 60000, &first, NULL), ERR_OK);
    assert_int_equal(cache_claim(b, span_str("k"), 60000, &second, NULL), ERR_NOTFOUND);
    cache_release(b, span_str("k"), &forged);
    assert_int_equal(cache_claim(b, span_str("k"), 60000, &second, NULL), ERR_NOTFOUND);
    cache_release(a, span_str("k"), &first);
    assert_int_equal(cache_claim(b, span_str("k"), 100, &second, NULL), ERR_OK);
    pause_ms(150);
    assert_int_equal(cache_claim(a, span_str("k"), 60000, &first, NULL), ERR_OK);
    /* A claim of the wrong type is a claim of somebody: it is a hint. */
    RAW("s", span_str("LPUSH"), span_str("smimed:c:l"), span_str("x"));
    assert_int_equal(cache_claim(a, span_str("l"), 60000, &first, NULL), ERR_NOTFOUND);
    cache_free(&a);
    cache_free(&b);
    server_stop(pid);
}

static void
redis_may_be_absent_at_start_and_restart(void **state)
{
    (void)state;
    if (!there)
        skip();
    struct cache *cache = made("s2");
    struct cache_claim claim;
    for (unsigned i = 0; i < 10; i++)
        assert_false(finds(cache, "a", "x", 1));
    assert_int_equal(put(cache, "a", "x", 1), ERR_TEMP);
    assert_int_equal(cache_claim(cache, span_str("a"), 1000, &claim, NULL), ERR_TEMP);
    assert_int_equal(stats_of(cache).errors, 12);
    assert_int_equal(stats_of(cache).misses, 0);
    for (unsigned round = 0; round < 3; round++) {
        pid_t pid = server_start("s2");
        enum err_code rc = ERR_TEMP;
        for (unsigned i = 0; i < 100 && rc != ERR_OK; i++) {
            rc = put(cache, "a", "x", 1);
            if (rc != ERR_OK)
                pause_ms(50);
        }
        assert_int_equal(rc, ERR_OK);
        assert_true(finds(cache, "a", "x", 1));
        server_stop(pid);
        assert_false(finds(cache, "a", "x", 1));
    }
    cache_free(&cache);
}

static void
a_restart_between_two_questions_costs_no_error(void **state)
{
    (void)state;
    if (!there)
        skip();
    pid_t pid = server_start("s");
    struct cache *cache = made("s");
    assert_int_equal(put(cache, "a", "x", 1), ERR_OK);
    server_stop(pid);
    pid = server_start("s");
    assert_int_equal(put(cache, "a", "y", 2), ERR_OK);
    assert_true(finds(cache, "a", "y", 2));
    assert_int_equal(stats_of(cache).errors, 0);
    cache_free(&cache);
    server_stop(pid);
}

static void
a_wrong_type_under_our_key_is_a_miss_and_is_replaced(void **state)
{
    (void)state;
    if (!there)
        skip();
    pid_t pid = server_start("s");
    struct cache *cache = made("s");
    const struct span k = span_str("smimed:v:k"), x = span_str("x"), one = span_str("1");
    for (unsigned i = 0; i < 5; i++) {
        RAW("s", span_str("DEL"), k);
        if (i == 0)
            RAW("s", span_str("LPUSH"), k, x);
        else if (i == 1)
            RAW("s", span_str("HSET"), k, x, x);
        else if (i == 2)
            RAW("s", span_str("SADD"), k, x);
        else if (i == 3)
            RAW("s", span_str("ZADD"), k, one, x);
        else
            RAW("s", span_str("XADD"), k, span_str("*"), x, x);
        assert_false(finds(cache, "k", "mine", 5));
        assert_int_equal(stats_of(cache).refused, i + 1);
        assert_int_equal(put(cache, "k", "mine", 5), ERR_OK);
        assert_true(finds(cache, "k", "mine", 5));
    }
    assert_int_equal(stats_of(cache).errors, 0);
    cache_free(&cache);
    server_stop(pid);
}

/* One poison after the other in place of the true value: each is a miss, and none keeps us from
 * putting the true value back. */
static void
values_that_were_not_sealed_by_us_are_misses(void **state)
{
    (void)state;
    if (!there)
        skip();
    pid_t pid = server_start("s");
    struct cache *cache = made("s");
    struct cache *foreign = made_of(
        (struct cache_store_args){ .pool.server.socket = server_path("s"), .timeout_ms = 5000 },
        "another key, of thirty-two octets");
    const struct span k = span_str("smimed:v:k"), set = span_str("SET");
    struct buf mine = BUF_INIT(4096), other = BUF_INIT(4096), poison = BUF_INIT(4096);
    assert_int_equal(put(cache, "k", "mine", 5), ERR_OK);
    assert_int_equal(put(cache, "other", "other", 9), ERR_OK);
    raw("s", (const struct span[]){ span_str("GET"), k }, 2, &mine);
    raw("s", (const struct span[]){ span_str("GET"), span_str("smimed:v:other") }, 2, &other);
    for (unsigned i = 0; i < 8; i++) {
        buf_reset(&poison);
        assert_int_equal(buf_append(&poison, buf_span(i == 4 ? &other : &mine), NULL), ERR_OK);
        switch (i) {
        case 0: /* nothing */
            buf_reset(&poison);
            break;
        case 1: /* garbage */
            memset(poison.p, 0xa5, poison.n);
            break;
        case 2: /* cut off */
            poison.n--;
            break;
        case 3: /* longer */
            assert_int_equal(buf_append_byte(&poison, '!', NULL), ERR_OK);
            break;
        case 5: /* other bytes under our seal */
            poison.p[poison.n - 1] ^= 1;
            break;
        case 6: /* made to look younger, so that nothing would ever replace it */
            memset(poison.p + 8, '9', 20);
            break;
        case 7: /* sealed with another key */
            RAW("s", span_str("DEL"), k);
            assert_int_equal(put(foreign, "k", "theirs", 99), ERR_OK);
            break;
        }
        if (i != 7)
            RAW("s", set, k, buf_span(&poison));
        assert_false(finds(cache, "k", "mine", 5));
        assert_int_equal(stats_of(cache).hits, i);
        assert_int_equal(put(cache, "k", "mine", 5), ERR_OK);
        assert_true(finds(cache, "k", "mine", 5));
    }
    assert_int_equal(stats_of(cache).kept, 0);
    /* An older value of the same name opens, and says how old it is. */
    assert_int_equal(put(cache, "k", "newer", 6), ERR_OK);
    RAW("s", set, k, buf_span(&mine));
    assert_true(finds(cache, "k", "mine", 5));
    buf_free(&mine);
    buf_free(&other);
    buf_free(&poison);
    cache_free(&cache);
    cache_free(&foreign);
    server_stop(pid);
}

static void
the_largest_value_passes_and_a_larger_one_is_a_miss(void **state)
{
    (void)state;
    if (!there)
        skip();
    pid_t pid = server_start("s");
    struct cache *cache = made("s");
    unsigned char *big = malloc(100 << 20);
    struct buf out = BUF_INIT(CACHE_VALUE_BYTES);
    struct cache_value value = { .bytes = span_of(big, CACHE_VALUE_BYTES),
                                 .fetched_s = 7,
                                 .ttl_s = 60 };
    int64_t fetched_s;
    for (size_t i = 0; i < 100 << 20; i++)
        big[i] = (unsigned char)(i * 31 >> 3);
    assert_int_equal(cache_set(cache, span_str("big"), &value, NULL), ERR_OK);
    assert_int_equal(cache_get(cache, span_str("big"), &out, &fetched_s, NULL), ERR_OK);
    assert_int_equal(out.n, CACHE_VALUE_BYTES);
    assert_memory_equal(out.p, big, CACHE_VALUE_BYTES);
    buf_free(&out);
    /* The caller's own bound. */
    assert_false(finds(cache, "big", "", 7));
    value.bytes.n++;
    assert_int_equal(cache_set(cache, span_str("big"), &value, NULL), ERR_LIMIT);
    RAW("s", span_str("SET"), span_str("smimed:v:big"), span_of(big, 100 << 20));
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(cache_get(cache, span_str("big"), &out, &fetched_s, NULL), ERR_NOTFOUND);
    assert_int_equal(stats_of(cache).refused, 11);
    assert_int_equal(stats_of(cache).errors, 0);
    assert_int_equal(put(cache, "big", "small", 8), ERR_OK);
    assert_true(finds(cache, "big", "small", 8));
    buf_free(&out);
    free(big);
    cache_free(&cache);
    server_stop(pid);
}

static void
a_full_redis_stores_nothing_and_is_still_read(void **state)
{
    (void)state;
    if (!there)
        skip();
    pid_t pid = server_start("s");
    struct cache *cache = made("s");
    assert_int_equal(put(cache, "a", "x", 1), ERR_OK);
    RAW("s", span_str("CONFIG"), span_str("SET"), span_str("maxmemory"), span_str("1"));
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(put(cache, "b", "x", 1), ERR_TEMP);
    assert_true(finds(cache, "a", "x", 1));
    assert_int_equal(stats_of(cache).errors, 5);
    RAW("s", span_str("CONFIG"), span_str("SET"), span_str("maxmemory"), span_str("0"));
    assert_int_equal(put(cache, "b", "x", 1), ERR_OK);
    cache_free(&cache);
    server_stop(pid);
}

static enum err_code
put_as(const char *user, const char *password, unsigned database)
{
    struct cache *cache =
        made_of((struct cache_store_args){ .pool.server = { .socket = server_path("s"),
                                                            .user = user,
                                                            .password = password,
                                                            .database = database },
                                           .timeout_ms = 5000 },
                key_text);
    struct cache_claim claim = { "" };
    enum err_code rc = put(cache, "a", "x", 1);
    if (rc == ERR_OK) {
        assert_true(finds(cache, "a", "x", 1));
        assert_int_equal(cache_claim(cache, span_str("a"), 1000, &claim, NULL), ERR_OK);
        cache_release(cache, span_str("a"), &claim);
        assert_int_equal(cache_remove(cache, span_str("a"), NULL), ERR_OK);
        assert_int_equal(stats_of(cache).errors, 0);
    }
    cache_free(&cache);
    return rc;
}

static void
passwords_users_and_databases_are_what_redis_knows(void **state)
{
    (void)state;
    if (!there)
        skip();
    pid_t pid = server_start("s");
    RAW("s", span_str("ACL"), span_str("SETUSER"), span_str("gate"), span_str("on"),
        span_str(">right horse"), span_str("~smimed:*"), span_str("+get"), span_str("+set"),
        span_str("+del"), span_str("+eval"));
    RAW("s", span_str("ACL"), span_str("SETUSER"), span_str("gate"), span_str("+getrange"),
        span_str("+select"));
    RAW("s", span_str("ACL"), span_str("SETUSER"), span_str("narrow"), span_str("on"),
        span_str(">right horse"), span_str("~elsewhere:*"), span_str("+@all"));
    assert_int_equal(put_as(NULL, NULL, 0), ERR_OK);
    assert_int_equal(put_as(NULL, NULL, 3), ERR_OK);
    assert_int_equal(put_as(NULL, NULL, 99), ERR_TEMP);
    assert_int_equal(put_as("gate", "right horse", 0), ERR_OK);
    assert_int_equal(put_as("gate", "right horse", 2), ERR_OK);
    assert_int_equal(put_as("gate", "wrong", 0), ERR_TEMP);
    assert_int_equal(put_as("nobody", "right horse", 0), ERR_TEMP);
    assert_int_equal(put_as("narrow", "right horse", 0), ERR_TEMP);
    RAW("s", span_str("CONFIG"), span_str("SET"), span_str("requirepass"), span_str("secret"));
    assert_int_equal(put_as(NULL, NULL, 0), ERR_TEMP);
    assert_int_equal(put_as(NULL, "secret", 0), ERR_OK);
    assert_int_equal(put_as(NULL, "Secret", 0), ERR_TEMP);
    server_stop(pid);
}

static void
a_password_file_is_private_and_its_first_line_counts(void **state)
{
    (void)state;
    const char *path = server_path("password");
    char *password = NULL;
    assert_int_equal(file_write(path, span_str("secret word\r\nmore\n"), 0600, NULL), ERR_OK);
    assert_int_equal(cache_store_load_password(path, &password, NULL), ERR_OK);
    assert_string_equal(password, "secret word");
    free(password);
    assert_int_equal(file_write(path, span_str("\nmore\n"), 0600, NULL), ERR_OK);
    assert_int_equal(cache_store_load_password(path, &password, NULL), ERR_PERM);
    assert_int_equal(file_write(path, span_of("a\0b", 3), 0600, NULL), ERR_OK);
    assert_int_equal(cache_store_load_password(path, &password, NULL), ERR_PERM);
    assert_int_equal(file_write(path, span_str("secret"), 0640, NULL), ERR_OK);
    assert_int_equal(cache_store_load_password(path, &password, NULL), ERR_PERM);
    unlink(path);
    assert_int_equal(cache_store_load_password(path, &password, NULL), ERR_NOTFOUND);
}

/* Each false server: every question is a miss within its time, and soon nobody asks any more. */
static void
servers_that_misbehave_cost_time_once(void **state)
{
    (void)state;
    static const char many[] = "*9\r\n$1\r\na\r\n";
    static const struct {
        const char *name, *say;
        bool drips, resets, silent, refused;
    } lies[] = {
        { .name = "silent", .say = "", .silent = true },
        { .name = "drips",
          .say = "$90\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          .drips = true },
        { .name = "resets", .say = "", .resets = true },
        { .name = "garbage", .say = "HTTP/1.1 400 Bad Request\r\n\r\n" },
        { .name = "loading", .say = "-LOADING Redis is loading the dataset in memory\r\n" },
        { .name = "readonly", .say = "-READONLY You can't write against a read only replica.\r\n" },
        { .name = "busy", .say = "-BUSY Redis is busy running a script.\r\n" },
        { .name = "many", .say = many },
        { .name = "bomb", .say = "*2147483647\r\n" },
        { .name = "nested", .say = "*1\r\n*1\r\n*1\r\n$1\r\na\r\n" },
        { .name = "negative", .say = "$-7\r\n" },
        { .name = "twice", .say = "$-1\r\n$-1\r\n" },
        { .name = "half", .say = "$10\r\nabc" },
        { .name = "huge", .say = "$536870912\r\nabc", .refused = true },
        { .name = "integer", .say = ":5\r\n", .refused = true },
        { .name = "array", .say = "*2\r\n$1\r\na\r\n:1\r\n", .refused = true },
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct liar liar = { .say = span_str(lies[i].say),
                             .drips = lies[i].drips,
                             .resets = lies[i].resets,
                             .silent = lies[i].silent };
        unsigned port = liar_start(&liar);
        struct cache *cache = made_of(
            (struct cache_store_args){ .pool = { .server = { .host = "127.0.0.1", .port = port },
                                                 .connections = 1,
                                                 .backoff_ms = 60000 },
                                       .timeout_ms = 200 },
            key_text);
        int64_t begin_ms = clock_monotonic_ms(), spent_ms;
        print_message("# %s\n", lies[i].name);
        for (unsigned j = 0; j < 50; j++)
            assert_false(finds(cache, "k", "x", 1));
        spent_ms = clock_monotonic_ms() - begin_ms;
        assert_true(spent_ms < 3000);
        assert_int_equal(stats_of(cache).refused, lies[i].refused ? 50 : 0);
        assert_int_equal(stats_of(cache).errors, lies[i].refused ? 0 : 50);
        assert_true(lies[i].refused || liar.asked == CACHE_POOL_FAILURES);
        cache_free(&cache);
        liar_stop(&liar);
    }
}

static void
a_pool_that_is_used_up_is_waited_for_until_the_deadline(void **state)
{
    (void)state;
    struct liar liar = { .silent = true };
    struct err err = ERR_INIT, failure = ERR_INIT;
    struct cache_pool *pool = NULL;
    struct cache_redis *one = NULL, *two = NULL;
    const struct cache_pool_args args = {
        .server = { .host = "127.0.0.1", .port = liar_start(&liar) }, .connections = 1
    };
    assert_int_equal(cache_pool_new(&args, &pool, &err), ERR_OK);
    assert_int_equal(cache_pool_take(pool, clock_monotonic_ms() + 1000, &one, &err), ERR_OK);
    int64_t begin_ms = clock_monotonic_ms();
    assert_int_equal(cache_pool_take(pool, begin_ms + 100, &two, &err), ERR_TEMP);
    assert_true(clock_monotonic_ms() - begin_ms >= 100);
    cache_pool_give(pool, &one, NULL);
    assert_null(one);
    assert_int_equal(cache_pool_take(pool, clock_monotonic_ms() + 1000, &two, &err), ERR_OK);
    (void)err_set(&failure, ERR_TEMP, "for the test");
    cache_pool_give(pool, &two, &failure);
    cache_pool_free(&pool);
    liar_stop(&liar);
    assert_int_equal(cache_pool_new(&(struct cache_pool_args){ .connections = 1 }, &pool, NULL),
                     ERR_PERM);
    assert_int_equal(cache_pool_new(&(struct cache_pool_args){ .server.host = "h" }, &pool, NULL),
                     ERR_PERM);
}

enum { THREADS = 8, ROUNDS = 200 };

static void *
hammer(void *context)
{
    struct cache *cache = context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        char key[16], text[32];
        struct buf out = BUF_INIT(100);
        int64_t fetched_s;
        snprintf(key, sizeof key, "k%u", i % 10);
        snprintf(text, sizeof text, "%s at %u", key, i);
        (void)put(cache, key, text, i);
        if (cache_get(cache, span_str(key), &out, &fetched_s, NULL) == ERR_OK &&
            (strncmp(buf_str(&out), key, strlen(key)) != 0 || fetched_s < i))
            return (void *)"wrong";
        buf_free(&out);
    }
    return NULL;
}

static void
many_threads_share_few_connections_while_redis_restarts(void **state)
{
    (void)state;
    if (!there)
        skip();
    pid_t pid = server_start("s");
    struct cache *cache = made("s");
    pthread_t threads[THREADS];
    /* First without a restart: what was set is never older afterwards. */
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, hammer, cache), 0);
        for (size_t i = 0; i < THREADS; i++) {
            void *wrong;
            pthread_join(threads[i], &wrong);
            assert_null(wrong);
        }
        assert_int_equal(stats_of(cache).errors, 0);
        RAW("s", span_str("FLUSHALL"));
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, cache), 0);
    server_stop(pid);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(stats_of(cache).errors > 0);
    cache_free(&cache);
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
    (void)state;
    unlink(server_path("s"));
    unlink(server_path("s2"));
    return rmdir(scratch);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_share_values_and_the_newer_one_stays),
        cmocka_unit_test(of_two_nodes_one_claims_and_only_it_releases),
        cmocka_unit_test(redis_may_be_absent_at_start_and_restart),
        cmocka_unit_test(a_restart_between_two_questions_costs_no_error),
        cmocka_unit_test(a_wrong_type_under_our_key_is_a_miss_and_is_replaced),
        cmocka_unit_test(values_that_were_not_sealed_by_us_are_misses),
        cmocka_unit_test(the_largest_value_passes_and_a_larger_one_is_a_miss),
        cmocka_unit_test(a_full_redis_stores_nothing_and_is_still_read),
        cmocka_unit_test(passwords_users_and_databases_are_what_redis_knows),
        cmocka_unit_test(a_password_file_is_private_and_its_first_line_counts),
        cmocka_unit_test(servers_that_misbehave_cost_time_once),
        cmocka_unit_test(a_pool_that_is_used_up_is_waited_for_until_the_deadline),
        cmocka_unit_test(many_threads_share_few_connections_while_redis_restarts),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
