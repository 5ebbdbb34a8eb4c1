#include "tests/unit/pki/evidence_nodes.h"

/* ---- a fleet -----------------------------------------------------------------------------------
 */

enum { THREADS = 64 };

static void *
ask_one(void *context)
{
    struct got got = get_crl(context, "/a.crl");

    return got.code == ERR_OK && got.number == 1 ? context : NULL;
}

static void
sixty_four_messages_on_two_nodes_cause_one_request(void **state)
{
    struct pki_evidence *nodes[2];
    pthread_t threads[THREADS];
    void *result;
    pid_t pid;

    (void)state;
    if (!there)
        skip();
    pid = server_start("s");
    for (int round = 0; round < 4; round++) {
        RAW("s", span_str("FLUSHALL"));
        nodes[0] = node();
        nodes[1] = node();
        serve_crl("/a.crl", &ca, &(struct testca_crl_args){ .number = 1 });
        serve_manner("/a.crl", round % 2 ? WELL : LATE);
        unsigned before = asked("/a.crl");
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, ask_one, nodes[i % 2]), 0);
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], &result);
            assert_non_null(result);
        }
        assert_int_equal(asked("/a.crl"), before + 1);
        pki_evidence_free(&nodes[0]);
        pki_evidence_free(&nodes[1]);
    }
    server_stop(pid);
}

static void
a_claim_of_a_node_that_died_costs_a_bounded_wait(void **state)
{
    struct pki_evidence *evidence;
    struct cache *other;
    struct cache_claim claim;
    struct buf name = BUF_INIT(256);
    struct err err = ERR_INIT;
    const char *source;
    int64_t began;
    pid_t pid;

    (void)state;
    if (!there)
        skip();
    pid = server_start("s");
    publish(A_CRL);
    evidence = node();
    assert_true(ask(evidence, A_CRL, &source));
    pki_evidence_free(&evidence);
    name_get(&name);
    RAW("s", span_str("FLUSHALL"));
    other = store(key_text);
    assert_int_equal(
        cache_claim(other, span_from(buf_span(&name), strlen("smimed:v:")), 600000, &claim, &err),
        ERR_OK);
    began = clock_monotonic_ms();
    evidence = node();
    assert_true(ask(evidence, A_CRL, &source)); /* with 5 s: half of it is waited */
    assert_string_equal(source, "network");
    assert_true(clock_monotonic_ms() - began > 2000 && clock_monotonic_ms() - began < 4000);
    pki_evidence_free(&evidence);
    cache_free(&other);
    buf_free(&name);
    server_stop(pid);
}

static void
a_node_takes_what_another_one_has_renewed(void **state)
{
    struct pki_evidence *first, *second;
    struct testca_crl_args crl = { .number = 1, .next_update = now + 2 * DAY };
    pid_t pid;

    (void)state;
    if (!there)
        skip();
    pid = server_start("s");
    clock_set_s(now);
    serve_crl("/a.crl", &ca, &crl);
    first = node();
    second = node();
    assert_int_equal(get_crl(first, "/a.crl").number, 1);
    assert_string_equal(get_crl(second, "/a.crl").origin.source, "shared-cache");
    crl.number = 2;
    crl.this_update = now;
    crl.next_update = now + 4 * DAY;
    serve_crl("/a.crl", &ca, &crl);
    clock_set_s(now + DAY + 60);
    assert_int_equal(pki_refresh_run(first), 1);
    assert_int_equal(pki_refresh_run(second), 1);
    assert_int_equal(get_held(first, "/a.crl").number, 2);
    assert_int_equal(get_held(second, "/a.crl").number, 2);
    assert_int_equal(asked("/a.crl"), 2); /* two for both nodes */
    pki_evidence_free(&first);
    pki_evidence_free(&second);
    server_stop(pid);
}

/* ---- a Redis that does not do what it should ---------------------------------------------------
 */

/* The right answer, from the network, within a bound; twice, for two pages. */
static void
answers_all_the_same(struct pki_evidence *evidence, const char *label)
{
    static unsigned long page;
    char path[32];

    for (int i = 0; i < 4; i++) {
        int64_t began = clock_monotonic_ms();
        snprintf(path, sizeof path, "/p%lu.crl", page % 8);
        page++;
        serve_crl(path, &ca, &(struct testca_crl_args){ .number = 1 });
        struct got got = get_crl(evidence, path);
        if (got.code != ERR_OK || got.number != 1)
            fail_msg("%s: %s", label, got.err.text);
        assert_true(clock_monotonic_ms() - began < 3000);
        size_t count;
        struct err err = ERR_INIT;
        assert_int_equal(pki_evidence_flush(evidence, span_str(url_of(path)), false, &count, &err),
                         ERR_OK);
    }
}

static void
whatever_redis_does_questions_are_answered(void **state)
{
    static const struct {
        const char *label;
        struct liar liar;
    } rows[] = {
        { "loading", { .say = { NULL, 0 } } }, { "resets", { .resets = true } },
        { "silent", { .silent = true } },      { "drips", { .drips = true } },
        { "garbage", { .say = { NULL, 0 } } },
    };
    static const char *const says[] = { "-LOADING Redis is loading the dataset in memory\r\n", "",
                                        "", "$100000\r\nxxxxxxxxxxxxxxxxxxxx", "<html>\r\n\r\n" };
    struct pki_evidence *evidence;
    pid_t pid;

    (void)state;
    evidence = node(); /* nothing listens there */
    answers_all_the_same(evidence, "absent");
    pki_evidence_free(&evidence);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct liar liar = rows[i].liar;
        liar.say = span_str(says[i]);
        unsigned port = liar_start(&liar);
        evidence = node_of(store_of(
            (struct cache_store_args){ .pool.server = { .host = "127.0.0.1", .port = port },
                                       .timeout_ms = 150 },
            key_text));
        answers_all_the_same(evidence, rows[i].label);
        pki_evidence_free(&evidence);
        liar_stop(&liar);
    }
    if (!there)
        return;
    pid = server_start("s");
    evidence = node();
    answers_all_the_same(evidence, "there");
    RAW("s", span_str("CONFIG"), span_str("SET"), span_str("maxmemory"), span_str("1"));
    answers_all_the_same(evidence, "full");
    server_stop(pid);
    answers_all_the_same(evidence, "gone");
    pid = server_start("s");
    answers_all_the_same(evidence, "back");
    pki_evidence_free(&evidence);
    server_stop(pid);
}

struct traffic {
    struct pki_evidence *evidence;
    atomic_bool stop;
    atomic_uint answered, failed;
};

static void *
make_traffic(void *context)
{
    struct traffic *traffic = context;
    struct err err = ERR_INIT;
    size_t count;

    while (!traffic->stop) {
        struct got got = get_crl(traffic->evidence, "/a.crl");
        atomic_fetch_add(got.number == 1 ? &traffic->answered : &traffic->failed, 1);
        (void)!pki_evidence_flush(traffic->evidence, span_of(NULL, 0), false, &count, &err);
        pause_ms(5);
    }
    return NULL;
}

static void
a_fail_over_by_sentinel_in_the_middle_of_traffic_fails_nobody(void **state)
{
    struct traffic traffic = { .evidence = NULL };
    struct fleet fleet;
    struct pki_evidence_stats before, after;
    pthread_t threads[2];
    int64_t began;

    (void)state;
    if (!there)
        skip();
    memset(&fleet, 0, sizeof fleet);
    fleet_start(&fleet);
    fleet_wait(&fleet);
    serve_crl("/a.crl", &ca, &(struct testca_crl_args){ .number = 1 });
    traffic.evidence =
        node_of(store_of((struct cache_store_args){ .pool = { .sentinels = fleet.sentinels,
                                                              .sentinel_count = SENTINELS,
                                                              .master = "mymaster" },
                                                    .timeout_ms = 500 },
                         key_text));
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_traffic, &traffic), 0);
    while (traffic.answered < 50)
        pause_ms(20);
    server_stop(fleet.pid[0]);
    fleet.pid[0] = 0;
    /* Until the heir answers: it has the value from its master, so hits are what shows it. */
    began = clock_monotonic_ms();
    pki_evidence_get_stats(traffic.evidence, &before);
    do {
        pause_ms(50);
        pki_evidence_get_stats(traffic.evidence, &after);
        if (clock_monotonic_ms() - began > FAILOVER_MS)
            fail_msg("no fail-over");
    } while (after.shared.hits < before.shared.hits + 20);
    traffic.stop = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    print_message("%u answers, %u failed\n", traffic.answered, traffic.failed);
    assert_int_equal(traffic.failed, 0);
    assert_true(after.shared.errors > 0);
    pki_evidence_free(&traffic.evidence);
    fleet_stop(&fleet);
}

/* ---- the memory of the process -----------------------------------------------------------------
 */

static void
in_the_memory_of_the_process_no_crl_is_held_twice(void **state)
{
    struct pki_evidence_stats stats;
    struct pki_evidence *evidence;
    struct cache *cache = NULL;
    struct err err = ERR_INIT;
    const char *source;

    (void)state;
    setup_bob();
    assert_int_equal(cache_memory_new(1 << 20, &cache, &err), ERR_OK);
    evidence = evidence_of((struct pki_evidence_args){ .shared = cache, .shared_is_local = true });
    publish(A_CRL);
    assert_true(ask(evidence, A_CRL, &source));
    pki_evidence_get_stats(evidence, &stats);
    assert_int_equal(stats.shared.entries, 0);
    publish(AN_ANSWER);
    assert_true(ask(evidence, AN_ANSWER, &source));
    pki_evidence_get_stats(evidence, &stats);
    assert_int_equal(stats.shared.entries, 1);
    pki_evidence_free(&evidence);
    pki_certificate_free(&bob);
    pki_certificate_free(&issuer_of_bob);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sixty_four_messages_on_two_nodes_cause_one_request),
        TEST(a_claim_of_a_node_that_died_costs_a_bounded_wait),
        TEST(a_node_takes_what_another_one_has_renewed),
        TEST(whatever_redis_does_questions_are_answered),
        TEST(a_fail_over_by_sentinel_in_the_middle_of_traffic_fails_nobody),
        TEST(in_the_memory_of_the_process_no_crl_is_held_twice),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
