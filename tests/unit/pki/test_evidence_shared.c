#include "tests/unit/cache/fleet.h"
#include "tests/unit/pki/evidence_fixture.h"

#include "cache/memory.h"

static const char key_text[] = "0123456789abcdef0123456789abcdef";
static bool there; /* is there a redis-server on this machine? */

/* ---- nodes -------------------------------------------------------------------------------------
 */

static struct cache *
store_of(struct cache_store_args args, const char *key)
{
    struct err err = ERR_INIT;
    struct cache *cache = NULL;

    if (args.pool.connections == 0)
        args.pool.connections = 4;
    if (args.pool.backoff_ms == 0)
        args.pool.backoff_ms = 50;
    if (args.timeout_ms == 0)
        args.timeout_ms = 2000;
    assert_int_equal(cache_seal_new(span_str(key), &args.seal, &err), ERR_OK);
    if (cache_store_new(&args, &cache, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return cache;
}

static struct cache *
store(const char *key)
{
    return store_of((struct cache_store_args){ .pool.server.socket = server_path("s") }, key);
}

static struct pki_evidence *
node_of(struct cache *cache)
{
    return evidence_of((struct pki_evidence_args){ .shared = cache, .idle_s = 30 * DAY });
}

static struct pki_evidence *
node(void)
{
    return node_of(store(key_text));
}

/* The whole name of the one value in Redis. */
static void
name_get(struct buf *out)
{
    const struct span words[] = { span_str("EVAL"),
                                  span_str("return redis.call('KEYS', 'smimed:v:*')[1]"),
                                  span_str("0") };

    buf_reset(out);
    assert_int_equal(raw("s", words, 3, out), CACHE_REDIS_KIND_STRING);
    assert_true(out->n > 10);
}

/* ---- one value, of each kind -------------------------------------------------------------------
 */

enum what { A_CRL, AN_ANSWER, ISSUERS, WHATS };

static struct pki_certificate *bob, *issuer_of_bob;

static void
publish(enum what what)
{
    unsigned char *der = NULL;
    size_t n;

    if (what == A_CRL) {
        serve_crl("/it", &ca, &(struct testca_crl_args){ .number = 5, .next_update = now + DAY });
    } else if (what == AN_ANSWER) {
        der = respond(
            &(struct said){ .entries = { TIMED(-HOUR, DAY, .of = pki_certificate_get0_x509(bob),
                                               .status = V_OCSP_CERTSTATUS_REVOKED) } },
            &n);
        serve("/it", WELL, der, n);
    } else {
        n = (size_t)i2d_X509(ca.x509, &der);
        serve("/it", WELL, der, n);
    }
    OPENSSL_free(der);
}

/* True: the right answer; `source` is where it came from. */
static bool
ask(struct pki_evidence *evidence, enum what what, const char **source)
{
    struct pki_fetch_budget budget = budget_of(5000);
    struct pki_certificates found = { .list = NULL };
    struct pki_evidence_origin origin;
    struct pki_ocsp_result result;
    struct err err = ERR_INIT;
    bool right;

    if (what == A_CRL) {
        struct got got = get_crl(evidence, "/it");
        *source = got.origin.source;
        return got.code == ERR_OK && got.number == 5;
    }
    if (what == AN_ANSWER) {
        right = pki_evidence_get_ocsp(evidence,
                                      &(struct pki_evidence_ocsp_question){ .certificate = bob,
                                                                            .issuer = issuer_of_bob,
                                                                            .budget = &budget },
                                      &result, &origin, &err) == ERR_OK &&
                result.status == PKI_OCSP_REVOKED;
        pki_ocsp_result_free(&result);
    } else {
        right = pki_evidence_get_issuers(evidence, span_str(url_of("/it")), &budget, &found,
                                         &origin, &err) == ERR_OK &&
                found.count == 1 &&
                X509_cmp(pki_certificate_get0_x509(found.list[0]), ca.x509) == 0;
        pki_certificates_free(&found);
    }
    *source = origin.source;
    return right;
}

/* ---- poisons -----------------------------------------------------------------------------------
 */

struct poison {
    struct span name; /* in Redis */
    struct span key;  /* of the cache */
    enum what what;
};

static void
put_sealed(const struct poison *p, const char *seal_key, struct span bytes)
{
    struct cache *cache = store(seal_key);
    struct cache_value value = { .bytes = bytes, .fetched_s = now, .ttl_s = DAY };
    struct err err = ERR_INIT;

    RAW("s", span_str("DEL"), p->name);
    if (cache_set(cache, p->key, &value, &err) != ERR_OK)
        fail_msg("%s", err.text);
    cache_free(&cache);
}

static void
garbage(const struct poison *p)
{
    RAW("s", span_str("SET"), p->name, span_str("garbage"));
}

static void
nothing(const struct poison *p)
{
    RAW("s", span_str("SET"), p->name, span_str(""));
}

static void
a_list(const struct poison *p)
{
    RAW("s", span_str("DEL"), p->name);
    RAW("s", span_str("RPUSH"), p->name, span_str("a"), span_str("b"));
}

static void
cut_off(const struct poison *p)
{
    RAW("s", span_str("EVAL"),
        span_str("redis.call('SET', KEYS[1], redis.call('GETRANGE', KEYS[1], 0, 99))"),
        span_str("1"), p->name);
}

static void
one_octet_changed(const struct poison *p)
{
    RAW("s", span_str("SETRANGE"), p->name, span_str("120"), span_str("~"));
}

static void
seventy_megabytes(const struct poison *p)
{
    RAW("s", span_str("SETRANGE"), p->name, span_str("70000000"), span_str("x"));
}

static void
younger_than_it_is(const struct poison *p)
{
    RAW("s", span_str("SETRANGE"), p->name, span_str("8"), span_str("00000000009999999999"));
}

static void
of_another_key(const struct poison *p)
{
    put_sealed(p, "another key, of as many octets..", span_str("anything"));
}

/* What a node that was broken into could put there: sealed, and wrong. */
static void
sealed_garbage(const struct poison *p)
{
    put_sealed(p, key_text, span_str("anything"));
}

static void
sealed_of_another_authority(const struct poison *p)
{
    X509_CRL *crl = testca_crl(&root, NULL);
    unsigned char *der = NULL;
    size_t n;

    if (p->what == A_CRL)
        n = (size_t)i2d_X509_CRL(crl, &der);
    else
        der = respond(
            &(struct said){ .entries = { TIMED(-HOUR, DAY, .of = pki_certificate_get0_x509(bob),
                                               .status = V_OCSP_CERTSTATUS_GOOD) },
                            .signer = root.x509,
                            .key = root.key },
            &n);
    put_sealed(p, key_text, span_of(der, n));
    X509_CRL_free(crl);
    OPENSSL_free(der);
}

/* Sealed by us, of the issuer's name, signed by a key that is not the issuer's. */
static void
sealed_of_a_false_key(const struct poison *p)
{
    struct testca false_ca;
    X509_CRL *crl;
    unsigned char *der = NULL;
    size_t n;

    testca_init_below(&false_ca, &root, "OCSP CA", NULL);
    crl =
        testca_crl(&false_ca, &(struct testca_crl_args){ .number = 99, .next_update = now + DAY });
    n = (size_t)i2d_X509_CRL(crl, &der);
    put_sealed(p, key_text, span_of(der, n));
    X509_CRL_free(crl);
    testca_free(&false_ca);
    OPENSSL_free(der);
}

static const struct {
    const char *label;
    void (*put)(const struct poison *);
} poisons[] = {
    { "garbage", garbage },
    { "nothing", nothing },
    { "a list", a_list },
    { "cut off", cut_off },
    { "one octet changed", one_octet_changed },
    { "70 MB", seventy_megabytes },
    { "younger than it is", younger_than_it_is },
    { "sealed with another key", of_another_key },
    { "sealed garbage", sealed_garbage },
    { "sealed, of another authority", sealed_of_another_authority },
    { "sealed, of a false key", sealed_of_a_false_key },
};

static void
setup_bob(void)
{
    struct testca_leaf made;
    char aia[400];

    snprintf(aia, sizeof aia, "OCSP;URI:%s", url_of("/it"));
    testca_issue(&ca,
                 &(struct testca_args){ .cn = "Bob",
                                        .key_type = TESTCA_P256,
                                        .extra = { { "authorityInfoAccess", aia } } },
                 &made);
    bob = testca_certificate(made.x509);
    issuer_of_bob = testca_certificate(ca.x509);
    testca_leaf_free(&made);
}

static void
a_poisoned_redis_changes_no_answer(void **state)
{
    struct buf name = BUF_INIT(256);
    pid_t pid;

    (void)state;
    if (!there)
        skip();
    pid = server_start("s");
    setup_bob();
    clock_set_s(now);
    for (int what = 0; what < WHATS; what++) {
        for (size_t i = 0; i < sizeof poisons / sizeof *poisons; i++) {
            struct pki_evidence *evidence, *cold;
            struct poison p = { .what = (enum what)what };
            const char *source;
            unsigned before;

            if (what == ISSUERS && poisons[i].put == sealed_of_a_false_key)
                continue; /* issuers are candidates: nothing says whose they are */
            RAW("s", span_str("FLUSHALL"));
            evidence = node();
            publish(p.what);
            assert_true(ask(evidence, p.what, &source));
            assert_string_equal(source, "network");
            name_get(&name);
            p.name = buf_span(&name);
            p.key = span_from(p.name, strlen("smimed:v:"));
            poisons[i].put(&p);

            /* A node that holds it does not look, and a cold one is not taken in. */
            before = asked("/it");
            assert_true(ask(evidence, p.what, &source));
            cold = node();
            if (!ask(cold, p.what, &source))
                fail_msg("kind %d, %s: another answer", what, poisons[i].label);
            assert_string_equal(source, "network");
            assert_int_equal(asked("/it"), before + 1);
            pki_evidence_free(&cold);
            /* It has put the right one in its place. */
            cold = node();
            assert_true(ask(cold, p.what, &source));
            if (strcmp(source, "shared-cache") != 0)
                fail_msg("kind %d, %s: the poison stays", what, poisons[i].label);
            assert_int_equal(asked("/it"), before + 1);
            pki_evidence_free(&cold);
            pki_evidence_free(&evidence);
        }
    }
    pki_certificate_free(&bob);
    pki_certificate_free(&issuer_of_bob);
    buf_free(&name);
    server_stop(pid);
}

/* A sealed value of the past is put back: its age cannot be hidden. */
static void
an_older_crl_that_is_put_back_is_not_believed(void **state)
{
    struct buf name = BUF_INIT(256), old = BUF_INIT(65536);
    struct pki_evidence *evidence, *cold;
    const char *source;
    pid_t pid;

    (void)state;
    if (!there)
        skip();
    pid = server_start("s");
    clock_set_s(now - 4 * DAY);
    serve_crl("/it", &ca,
              &(struct testca_crl_args){
                  .number = 4, .this_update = now - 5 * DAY, .next_update = now + DAY });
    evidence = node();
    assert_int_equal(get_crl(evidence, "/it").number, 4);
    name_get(&name);
    assert_int_equal(raw("s", (const struct span[]){ span_str("GET"), buf_span(&name) }, 2, &old),
                     CACHE_REDIS_KIND_STRING);

    clock_set_s(now);
    publish(A_CRL);
    assert_int_equal(pki_refresh_run(evidence), 1);
    assert_true(ask(evidence, A_CRL, &source));
    RAW("s", span_str("SET"), buf_span(&name), buf_span(&old));
    assert_int_equal(get_held(evidence, "/it").number, 5);
    cold = node();
    assert_true(ask(cold, A_CRL, &source)); /* 5: asked again, since it is past half of its life */
    assert_string_equal(source, "network");
    pki_evidence_free(&cold);

    /* If nothing else can be had, it is what there is. */
    RAW("s", span_str("SET"), buf_span(&name), buf_span(&old));
    serve_manner("/it", BROKEN);
    cold = node();
    struct got got = get_crl(cold, "/it");
    assert_int_equal(got.number, 4);
    assert_string_equal(got.origin.source, "shared-cache");
    assert_string_equal(got.origin.reason, "fetch-status");
    /* The one that holds a newer one keeps it, whatever comes. */
    clock_set_s(now + 12 * HOUR);
    (void)pki_refresh_run(evidence);
    assert_int_equal(get_held(evidence, "/it").number, 5);
    pki_evidence_free(&cold);
    pki_evidence_free(&evidence);
    buf_free(&name);
    buf_free(&old);
    server_stop(pid);
}

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

static int
begin(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    there = system("command -v redis-server >/dev/null 2>&1") == 0;
    if (!there)
        print_message("there is no redis-server: its tests are skipped\n");
    return mkdtemp(scratch) && pki_fetch_init(&err) == ERR_OK ? 0 : -1;
}

static int
end(void **state)
{
    char command[100];

    (void)state;
    pki_fetch_deinit();
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    return system(command);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_poisoned_redis_changes_no_answer),
        TEST(an_older_crl_that_is_put_back_is_not_believed),
        TEST(sixty_four_messages_on_two_nodes_cause_one_request),
        TEST(a_claim_of_a_node_that_died_costs_a_bounded_wait),
        TEST(a_node_takes_what_another_one_has_renewed),
        TEST(whatever_redis_does_questions_are_answered),
        TEST(a_fail_over_by_sentinel_in_the_middle_of_traffic_fails_nobody),
        TEST(in_the_memory_of_the_process_no_crl_is_held_twice),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
