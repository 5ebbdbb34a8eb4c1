/* What somebody puts into the shared Redis, with the key of the seals or without, changes no
 * answer. */
#include "tests/unit/pki/evidence_nodes.h"

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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_poisoned_redis_changes_no_answer),
        TEST(an_older_crl_that_is_put_back_is_not_believed),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
