#include "tests/unit/pki/evidence_fixture.h"

#include "pki/pointer.h"

/* A leaf of `ca` whose AIA names these responders, in order. */
static struct pki_certificate *
leaf_of(const char *first, const char *second)
{
    struct testca_leaf made;
    struct pki_certificate *certificate;
    char aia[1400];

    snprintf(aia, sizeof aia, "OCSP;URI:%s%s%s", url_of(first), second ? ",OCSP;URI:" : "",
             second ? url_of(second) : "");
    testca_issue(&ca,
                 &(struct testca_args){ .cn = "Bob",
                                        .key_type = TESTCA_P256,
                                        .extra = { { "authorityInfoAccess", aia } } },
                 &made);
    certificate = testca_certificate(made.x509);
    assert_int_equal(pki_certificate_get0_pointers(certificate)->ocsp.count, second ? 2 : 1);
    testca_leaf_free(&made);
    return certificate;
}

/* The page answers about `of`, whoever asks. */
static void
serve_ocsp(const char *path, struct pki_certificate *of, struct said said)
{
    unsigned char *der;
    size_t n;

    for (size_t i = 0; i < ENTRIES; i++)
        said.entries[i].of = pki_certificate_get0_x509(of);
    der = respond(&said, &n);
    serve(path, WELL, der, n);
    OPENSSL_free(der);
}

#define SAID(...) ((struct said){ .entries = { ENTRY(__VA_ARGS__) } })

struct asked_ocsp {
    enum err_code code;
    enum pki_ocsp_status status;
    struct pki_evidence_origin origin;
    struct err err;
};

static struct asked_ocsp
get_ocsp(struct pki_evidence *evidence, struct pki_certificate *of, bool may_ask)
{
    struct pki_certificate *issuer = testca_certificate(ca.x509);
    struct pki_fetch_budget budget = budget_of(5000);
    struct pki_evidence_ocsp_question question = { .certificate = of,
                                                   .issuer = issuer,
                                                   .budget = may_ask ? &budget : NULL };
    struct asked_ocsp out = { .err = ERR_INIT };
    struct pki_ocsp_result result;

    out.code = pki_evidence_get_ocsp(evidence, &question, &result, &out.origin, &out.err);
    out.status = result.status;
    assert_true((out.code == ERR_OK) == (out.status != PKI_OCSP_NONE));
    assert_int_equal(ERR_peek_error(), 0);
    pki_ocsp_result_free(&result);
    pki_certificate_free(&issuer);
    return out;
}

static unsigned
posted(const char *path)
{
    unsigned n;

    pthread_mutex_lock(&site.lock);
    n = page_of(path)->posted;
    pthread_mutex_unlock(&site.lock);
    return n;
}

static void
an_answer_is_fetched_once_and_held(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct pki_certificate *bob = leaf_of("/ocsp", NULL);
    struct asked_ocsp got;

    (void)state;
    clock_set_s(now);
    serve_ocsp("/ocsp", bob, SAID(.status = V_OCSP_CERTSTATUS_GOOD));
    assert_int_equal(get_ocsp(evidence, bob, false).code, ERR_NOTFOUND);
    got = get_ocsp(evidence, bob, true);
    assert_int_equal(got.code, ERR_OK);
    assert_int_equal(got.status, PKI_OCSP_GOOD);
    assert_string_equal(got.origin.source, "network");
    for (int i = 0; i < 4; i++)
        assert_int_equal(get_ocsp(evidence, bob, i % 2).status, PKI_OCSP_GOOD);
    assert_int_equal(asked("/ocsp"), 1);
    assert_int_equal(posted("/ocsp"), 0); /* it fits into a GET */
    pki_certificate_free(&bob);
    pki_evidence_free(&evidence);
}

static void
what_does_not_fit_into_a_get_is_posted_and_so_is_what_takes_no_get(void **state)
{
    static const char path[] = "/ocsp-with-a-long-path-that-leaves-no-room-for-a-request";
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct pki_certificate *bob, *carol = leaf_of("/post", NULL);
    char lengthy[200];

    (void)state;
    snprintf(lengthy, sizeof lengthy, "%s/%0120d", path, 7);
    bob = leaf_of(lengthy, NULL);
    serve_ocsp(path, bob, SAID(.status = V_OCSP_CERTSTATUS_GOOD));
    assert_int_equal(get_ocsp(evidence, bob, true).status, PKI_OCSP_GOOD);
    assert_int_equal(asked(path), 1);
    assert_int_equal(posted(path), 1);
    serve_ocsp("/post", carol, SAID(.status = V_OCSP_CERTSTATUS_GOOD));
    serve_manner("/post", POST_ONLY);
    assert_int_equal(get_ocsp(evidence, carol, true).status, PKI_OCSP_GOOD);
    assert_int_equal(asked("/post"), 2);
    assert_int_equal(posted("/post"), 1);
    pki_certificate_free(&bob);
    pki_certificate_free(&carol);
    pki_evidence_free(&evidence);
}

static void
responders_are_asked_in_order_until_one_can_be_used(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct pki_certificate *bob = leaf_of("/one", "/two");

    (void)state;
    /* The first one answers about somebody else. */
    serve_ocsp("/one", bob, SAID(.status = V_OCSP_CERTSTATUS_GOOD, .by = root.x509));
    serve_ocsp("/two", bob, SAID(.status = V_OCSP_CERTSTATUS_REVOKED));
    assert_int_equal(get_ocsp(evidence, bob, true).status, PKI_OCSP_REVOKED);
    assert_int_equal(asked("/one"), 1);
    assert_int_equal(asked("/two"), 1);
    /* Unknown is an answer: the next one is not asked. */
    assert_int_equal(pki_evidence_flush(evidence, span_of(NULL, 0), false, &(size_t){ 0 },
                                        &(struct err)ERR_INIT),
                     ERR_OK);
    serve_ocsp("/one", bob, SAID(.status = V_OCSP_CERTSTATUS_UNKNOWN));
    assert_int_equal(get_ocsp(evidence, bob, true).status, PKI_OCSP_UNKNOWN);
    assert_int_equal(asked("/two"), 1);
    pki_certificate_free(&bob);
    pki_evidence_free(&evidence);
}

/* With each new certificate of a dead responder another message would wait. */
static void
a_dead_responder_is_waited_for_once_not_once_per_certificate(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct pki_certificate *bob = leaf_of("/ocsp", NULL), *carol = leaf_of("/ocsp", NULL);
    struct pki_evidence_stats stats;
    struct asked_ocsp got;

    (void)state;
    clock_set_s(now);
    serve("/ocsp", SILENT, "", 0);
    got = get_ocsp(evidence, bob, true);
    assert_int_equal(got.code, ERR_TEMP);
    assert_string_equal(got.err.reason, "fetch-timeout");
    clock_set_s(now + 10);
    got = get_ocsp(evidence, carol, true);
    assert_int_equal(got.code, ERR_TEMP);
    assert_string_equal(got.err.reason, "fetch-timeout");
    assert_int_equal(got.origin.unknown_since, now); /* dead before she was asked about */
    assert_int_equal(asked("/ocsp"), 1);

    /* One attempt of the refresher is enough for both, while it is dead and when it is back. */
    clock_set_s(now + 50);
    assert_int_equal(pki_refresh_run(evidence), 2);
    assert_int_equal(asked("/ocsp"), 2);
    serve_ocsp("/ocsp", bob, SAID(.status = V_OCSP_CERTSTATUS_GOOD));
    clock_set_s(now + 500);
    assert_int_equal(pki_refresh_run(evidence), 2);
    assert_int_equal(get_ocsp(evidence, bob, false).status, PKI_OCSP_GOOD);
    got = get_ocsp(evidence, carol, false); /* that answer is not about her */
    assert_string_equal(got.origin.reason, "ocsp-wrong-certificate");
    pki_evidence_get_stats(evidence, &stats);
    assert_int_equal(stats.entries, 2); /* the responder is no more among what fails */
    assert_int_equal(stats.failing, 1);
    pki_certificate_free(&bob);
    pki_certificate_free(&carol);
    pki_evidence_free(&evidence);
}

static void
revoked_stays_and_good_runs_out_when_the_responder_dies(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct pki_certificate *bob = leaf_of("/bob", NULL), *carol = leaf_of("/carol", NULL);
    struct asked_ocsp got;

    (void)state;
    clock_set_s(now);
    serve_ocsp("/bob", bob, SAID(.status = V_OCSP_CERTSTATUS_REVOKED));
    serve_ocsp("/carol", carol, SAID(.status = V_OCSP_CERTSTATUS_GOOD));
    assert_int_equal(get_ocsp(evidence, bob, true).status, PKI_OCSP_REVOKED);
    assert_int_equal(get_ocsp(evidence, carol, true).status, PKI_OCSP_GOOD);
    serve_manner("/bob", BROKEN);
    serve_manner("/carol", BROKEN);
    clock_set_s(now + 2 * HOUR);
    assert_int_equal(get_ocsp(evidence, bob, true).status, PKI_OCSP_REVOKED);
    got = get_ocsp(evidence, carol, true);
    assert_int_equal(got.code, ERR_TEMP);
    assert_string_equal(got.err.reason, "fetch-status");
    assert_int_equal(got.origin.unknown_since, now + 2 * HOUR);
    pki_certificate_free(&bob);
    pki_certificate_free(&carol);
    pki_evidence_free(&evidence);
}

static void
an_older_answer_takes_a_newer_one_not_away(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct pki_certificate *bob = leaf_of("/ocsp", NULL);
    struct asked_ocsp got;

    (void)state;
    clock_set_s(now);
    serve_ocsp("/ocsp", bob, SAID(.status = V_OCSP_CERTSTATUS_REVOKED));
    assert_int_equal(get_ocsp(evidence, bob, true).status, PKI_OCSP_REVOKED);
    serve_ocsp(
        "/ocsp", bob,
        (struct said){ .entries = { TIMED(-3 * HOUR, DAY, .status = V_OCSP_CERTSTATUS_GOOD) },
                       .produced_at = -3 * HOUR });
    clock_set_s(now + HOUR - 1);
    assert_int_equal(pki_refresh_run(evidence), 1);
    got = get_ocsp(evidence, bob, false);
    assert_int_equal(got.status, PKI_OCSP_REVOKED);
    assert_string_equal(got.origin.reason, "ocsp-older");
    pki_certificate_free(&bob);
    pki_evidence_free(&evidence);
}

static void
without_a_responder_there_is_nobody_to_ask(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct pki_certificate *alice = testca_certificate(leaf.x509);
    struct asked_ocsp got = get_ocsp(evidence, alice, true);

    (void)state;
    assert_int_equal(got.code, ERR_NOTFOUND);
    assert_string_equal(got.err.reason, "ocsp-unavailable");
    assert_int_equal(got.origin.unknown_since, 0);
    pki_certificate_free(&alice);
    pki_evidence_free(&evidence);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int
main(void)
{
    struct err err = ERR_INIT;
    int failed;
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_fetched_once_and_held),
        TEST(what_does_not_fit_into_a_get_is_posted_and_so_is_what_takes_no_get),
        TEST(responders_are_asked_in_order_until_one_can_be_used),
        TEST(a_dead_responder_is_waited_for_once_not_once_per_certificate),
        TEST(revoked_stays_and_good_runs_out_when_the_responder_dies),
        TEST(an_older_answer_takes_a_newer_one_not_away),
        TEST(without_a_responder_there_is_nobody_to_ask),
    };

    if (pki_fetch_init(&err) != ERR_OK)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    pki_fetch_deinit();
    return failed;
}
