/*
 * Revocation of paths whose CRLs and OCSP answers are fetched from a real HTTP server: every rule
 * about what is asked, in which order, and how each way ends.
 */
#include "tests/unit/pki/path_world.h"

#include "pki/crypto.h"

static void
crls_are_fetched_once_and_then_nothing_is_asked(void **state)
{
    (void)state;
    struct pki_path_result result;

    usual_world();
    judge_how(alice.x509, (struct how){ .at = 0 }, &result);
    assert_string_equal(result.answer.reason, "ok");
    assert_int_equal(result.count, 3);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(result.steps[i].revocation, "good");
        assert_string_equal(result.steps[i].method, "crl");
        assert_string_equal(result.steps[i].origin, "network");
        assert_true(result.steps[i].fetched_at >= now);
        assert_true(result.steps[i].next_update > now);
        assert_false(result.steps[i].stale);
    }
    assert_string_equal(result.steps[2].revocation, "anchor");
    assert_string_equal(result.steps[2].source, "anchor");
    pki_path_result_free(&result);
    assert_int_equal(asked("/sub.crl"), 1);
    assert_int_equal(asked("/root.crl"), 1);
    expect_how(alice.x509, (struct how){ .offline = true }, "ok", PKI_STATUS_OK);
    expect_path("ok", PKI_STATUS_OK);
    assert_int_equal(exchanges(evidence), 2);
}

static void
offline_nothing_is_asked(void **state)
{
    (void)state;
    usual_world();
    expect_how(alice.x509, (struct how){ .offline = true }, "revocation-unknown", PKI_STATUS_TEMP);
    expect_how(alice.x509, (struct how){ .blind = true }, "revocation-unknown", PKI_STATUS_TEMP);
    assert_int_equal(exchanges(evidence), 0);
}

static void
a_revoked_leaf_and_a_revoked_issuer_are_refused(void **state)
{
    (void)state;
    usual_world();
    X509 *leaf_revoked[] = { alice.x509, NULL }, *sub_revoked[] = { sub.x509, NULL };

    serve_crl("/sub.crl", &sub, &(struct testca_crl_args){ .revoked = leaf_revoked });
    expect_path("revoked", PKI_STATUS_INVALID);
    evidence_renew();
    serve_crl("/sub.crl", &sub, NULL);
    serve_crl("/root.crl", &root, &(struct testca_crl_args){ .revoked = sub_revoked });
    expect_path("revoked", PKI_STATUS_INVALID);
}

static void
nothing_is_asked_about_a_path_that_cannot_hold(void **state)
{
    (void)state;
    struct testca stranger, impostor;
    struct testca_leaf mallory, forged;
    X509 *const with[] = { NULL, NULL };
    X509 *chain[] = { NULL, NULL };

    usual_world();
    testca_init(&stranger, "Stranger");
    leaf_of(&mallory, &stranger, "Mallory", (struct points){ .crl = "/sub.crl", .ocsp = "/ocsp" });
    chain[0] = stranger.x509;
    expect_how(mallory.x509, (struct how){ .untrusted = chain }, "untrusted", PKI_STATUS_INVALID);
    /* In the name of Sub, by another key. */
    impostor = sub;
    impostor.key = testca_key(TESTCA_P256, 2);
    leaf_of(&forged, &impostor, "Forged",
            (struct points){ .crl = "/sub.crl", .issuer = "/sub.cer" });
    expect_how(forged.x509, (struct how){ .at = 0 }, "path-invalid", PKI_STATUS_INVALID);
    /* An expired one. */
    expect_how(alice.x509, (struct how){ .at = now + 400 * DAY }, "cert-expired",
               PKI_STATUS_INVALID);
    /* A self-signed one, and one without anything above it. */
    expect_how(stranger.x509, (struct how){ .untrusted = with }, "untrusted", PKI_STATUS_INVALID);
    assert_int_equal(exchanges(evidence), 0);
    testca_leaf_free(&mallory);
    testca_leaf_free(&forged);
    testca_free(&stranger);
}

static void
with_revocation_off_nothing_is_asked(void **state)
{
    (void)state;
    struct pki_path_result result;

    usual_world();
    rules.mode = PKI_REVOCATION_OFF;
    judge_how(alice.x509, (struct how){ .at = 0 }, &result);
    assert_string_equal(result.answer.reason, "ok");
    assert_string_equal(result.steps[0].revocation, "off");
    pki_path_result_free(&result);
    assert_int_equal(exchanges(evidence), 0);
}

/* ---- what cannot be asked ----------------------------------------------------------------------
 */

static void
a_dead_server_is_temporary_until_it_is_given_up(void **state)
{
    (void)state;
    struct pki_path_result result;

    usual_world();
    serve_manner("/sub.crl", BROKEN);
    judge_how(alice.x509, (struct how){ .at = 0 }, &result);
    assert_string_equal(result.answer.reason, "revocation-unavailable");
    assert_int_equal(result.answer.status, PKI_STATUS_TEMP);
    assert_non_null(strstr(result.steps[0].text, "fetch-status"));
    assert_non_null(strstr(result.answer.text, "CN=Alice"));
    pki_path_result_free(&result);
    clock_set_s(time(NULL) + 4 * HOUR - 60);
    expect_path("revocation-unavailable", PKI_STATUS_TEMP);
    clock_set_s(time(NULL) + 4 * HOUR + 60);
    expect_path("revocation-unreachable", PKI_STATUS_INVALID);
    /* Never, where that is configured. */
    rules.giveup_s = 0;
    expect_path("revocation-unavailable", PKI_STATUS_TEMP);
    /* And not where the mode accepts what is not known. */
    rules.giveup_s = 4 * HOUR;
    rules.mode = PKI_REVOCATION_PREFER;
    expect_path("ok", PKI_STATUS_OK);
}

static void
a_server_that_comes_back_is_believed(void **state)
{
    (void)state;
    usual_world();
    serve_manner("/sub.crl", BROKEN);
    expect_path("revocation-unavailable", PKI_STATUS_TEMP);
    serve_crl("/sub.crl", &sub, NULL);
    clock_set_s(time(NULL) + 5 * HOUR);
    expect_path("ok", PKI_STATUS_OK);
}

static void
a_missing_crl_file_on_the_server_ends_the_same_way(void **state)
{
    (void)state;
    usual_world();
    serve_manner("/sub.crl", MISSING);
    expect_path("revocation-unavailable", PKI_STATUS_TEMP);
    clock_set_s(time(NULL) + 5 * HOUR);
    expect_path("revocation-unreachable", PKI_STATUS_INVALID);
}

static void
a_budget_that_is_spent_gives_nothing_up(void **state)
{
    (void)state;
    struct pki_fetch_budget nothing = budget_of(5000);

    usual_world();
    nothing.fetches = 0;
    expect_how(alice.x509, (struct how){ .budget = &nothing }, "revocation-unavailable",
               PKI_STATUS_TEMP);
    clock_set_s(time(NULL) + 100 * DAY);
    nothing.fetches = 0;
    expect_how(alice.x509, (struct how){ .budget = &nothing }, "revocation-unavailable",
               PKI_STATUS_TEMP);
}

static void
a_silent_server_costs_no_more_than_the_budget(void **state)
{
    (void)state;
    struct pki_fetch_budget budget = budget_of(500);
    int64_t start = clock_monotonic_ms();

    usual_world();
    serve_manner("/sub.crl", SILENT);
    serve_manner("/root.crl", DRIPPING);
    expect_how(alice.x509, (struct how){ .budget = &budget }, "revocation-unavailable",
               PKI_STATUS_TEMP);
    assert_in_range(clock_monotonic_ms() - start, 300, 2500);
}

static void
a_certificate_that_names_nothing_is_refused_for_good(void **state)
{
    (void)state;
    struct testca_leaf bob;

    usual_world();
    leaf_of(&bob, &sub, "Bob", (struct points){ .issuer = "/sub.cer" });
    expect_how(bob.x509, (struct how){ .at = 0 }, "revocation-none", PKI_STATUS_POLICY);
    /* Where the administrator keeps CRLs, one may still come. */
    expect_how(bob.x509, (struct how){ .with_crls = true }, "revocation-unknown", PKI_STATUS_TEMP);
    rules.mode = PKI_REVOCATION_PREFER;
    expect_how(bob.x509, (struct how){ .at = 0 }, "ok", PKI_STATUS_OK);
    testca_leaf_free(&bob);
}

/* ---- what has run out --------------------------------------------------------------------------
 */

static void
a_stale_crl_is_temporary_then_given_up_and_preferred_within_its_bound(void **state)
{
    (void)state;
    struct pki_path_result result;

    usual_world();
    serve_crl("/sub.crl", &sub, &(struct testca_crl_args){ .next_update = now + DAY });
    expect_path("ok", PKI_STATUS_OK);
    serve_manner("/sub.crl", BROKEN);
    clock_set_s(now + DAY + 60);
    judge_how(alice.x509, (struct how){ .at = 0 }, &result);
    assert_string_equal(result.answer.reason, "crl-expired");
    assert_int_equal(result.answer.status, PKI_STATUS_TEMP);
    assert_true(result.steps[0].stale);
    assert_string_equal(result.steps[0].origin, "network");
    assert_non_null(strstr(result.steps[0].text, "has run out"));
    pki_path_result_free(&result);
    clock_set_s(now + DAY + 5 * HOUR);
    expect_path("revocation-unreachable", PKI_STATUS_INVALID);
    rules.mode = PKI_REVOCATION_PREFER;
    rules.stale_s = 3 * DAY;
    judge_how(alice.x509, (struct how){ .at = 0 }, &result);
    assert_string_equal(result.answer.reason, "ok");
    assert_true(result.unfresh);
    assert_true(result.steps[0].stale);
    assert_non_null(strstr(result.answer.text, "crl-expired"));
    pki_path_result_free(&result);
    /* Beyond the bound it is as require. Root's CRL is good for 7 days. */
    clock_set_s(now + 4 * DAY + 60);
    expect_path("revocation-unreachable", PKI_STATUS_INVALID);
}

static void
revoked_stays_revoked_on_a_stale_crl_in_every_mode(void **state)
{
    (void)state;
    usual_world();
    X509 *revoked[] = { alice.x509, NULL };

    serve_crl("/sub.crl", &sub,
              &(struct testca_crl_args){ .next_update = now + DAY, .revoked = revoked });
    expect_path("revoked", PKI_STATUS_INVALID);
    serve_manner("/sub.crl", BROKEN);
    clock_set_s(now + 6 * DAY);
    expect_path("revoked", PKI_STATUS_INVALID);
    rules.mode = PKI_REVOCATION_PREFER;
    expect_path("revoked", PKI_STATUS_INVALID);
}

static void
a_crl_beyond_its_maximum_age_has_run_out(void **state)
{
    (void)state;
    usual_world();
    serve_crl("/sub.crl", &sub,
              &(struct testca_crl_args){ .this_update = now - 2 * DAY, .next_update = now + DAY });
    expect_path("ok", PKI_STATUS_OK);
    rules.crl_max_age_s = DAY;
    expect_path("crl-expired", PKI_STATUS_TEMP);
    rules.crl_max_age_s = 3 * DAY;
    expect_path("ok", PKI_STATUS_OK);
}

/* ---- OCSP --------------------------------------------------------------------------------------
 */

/* Alice names OCSP, and a CRL too if `crl`. Sub has its CRL. */
static void
ocsp_world(bool crl)
{
    usual_world();
    testca_leaf_free(&alice);
    leaf_of(&alice, &sub, "Alice",
            (struct points){ .crl = crl ? "/sub.crl" : NULL, .ocsp = "/ocsp" });
    serve_status("/ocsp", &sub, alice.x509, V_OCSP_CERTSTATUS_GOOD);
}

static void
a_fresh_good_of_ocsp_is_enough_where_there_is_no_crl(void **state)
{
    (void)state;
    struct pki_path_result result;

    ocsp_world(false);
    judge_how(alice.x509, (struct how){ .at = 0 }, &result);
    assert_string_equal(result.answer.reason, "ok");
    assert_string_equal(result.steps[0].method, "ocsp");
    assert_string_equal(result.steps[0].origin, "network");
    assert_string_equal(result.steps[1].method, "crl");
    pki_path_result_free(&result);
    expect_how(alice.x509, (struct how){ .offline = true }, "ok", PKI_STATUS_OK);
    assert_int_equal(asked("/ocsp"), 1);
}

static void
methods_are_asked_in_their_order_and_no_further_than_needed(void **state)
{
    (void)state;
    ocsp_world(true);
    rules.methods = PKI_REVOCATION_CRL_OCSP;
    expect_path("ok", PKI_STATUS_OK);
    assert_int_equal(asked("/sub.crl"), 1);
    assert_int_equal(asked("/ocsp"), 0);
    evidence_renew();
    rules.methods = PKI_REVOCATION_OCSP_CRL;
    expect_path("ok", PKI_STATUS_OK);
    assert_int_equal(asked("/sub.crl"), 1);
    assert_int_equal(asked("/ocsp"), 1);
    evidence_renew();
    rules.methods = PKI_REVOCATION_CRL;
    serve_manner("/sub.crl", BROKEN);
    expect_path("revocation-unavailable", PKI_STATUS_TEMP);
    assert_int_equal(asked("/ocsp"), 1);
    evidence_renew();
    rules.methods = PKI_REVOCATION_OCSP;
    /* Sub names a CRL alone. */
    expect_path("revocation-unknown", PKI_STATUS_TEMP);
    assert_int_equal(asked("/ocsp"), 2);
    assert_int_equal(asked("/sub.crl"), 2);
}

static void
the_second_method_answers_where_the_first_does_not(void **state)
{
    (void)state;
    ocsp_world(true);
    serve_manner("/sub.crl", BROKEN);
    expect_path("ok", PKI_STATUS_OK);
    assert_int_equal(asked("/ocsp"), 1);
    evidence_renew();
    rules.methods = PKI_REVOCATION_OCSP_CRL;
    serve_crl("/sub.crl", &sub, NULL);
    serve_manner("/ocsp", BROKEN);
    expect_path("ok", PKI_STATUS_OK);
}

static void
revoked_by_any_method_is_revoked(void **state)
{
    (void)state;
    struct pki_path_result result;

    ocsp_world(true);
    X509 *revoked[] = { alice.x509, NULL };
    serve_status("/ocsp", &sub, alice.x509, V_OCSP_CERTSTATUS_REVOKED);
    rules.methods = PKI_REVOCATION_OCSP_CRL;
    judge_how(alice.x509, (struct how){ .at = 0 }, &result);
    assert_string_equal(result.answer.reason, "revoked");
    assert_string_equal(result.steps[0].method, "ocsp");
    assert_string_equal(result.steps[0].revocation, "revoked");
    pki_path_result_free(&result);
    /* Held, it outweighs a CRL that is good, in whatever order. */
    rules.methods = PKI_REVOCATION_CRL_OCSP;
    expect_path("revoked", PKI_STATUS_INVALID);
    rules.mode = PKI_REVOCATION_PREFER;
    expect_path("revoked", PKI_STATUS_INVALID);
    /* And a CRL that revokes outweighs "good". */
    evidence_renew();
    rules.mode = PKI_REVOCATION_REQUIRE;
    serve_status("/ocsp", &sub, alice.x509, V_OCSP_CERTSTATUS_GOOD);
    serve_crl("/sub.crl", &sub, &(struct testca_crl_args){ .revoked = revoked });
    expect_path("revoked", PKI_STATUS_INVALID);
    rules.methods = PKI_REVOCATION_OCSP_CRL;
    expect_path("revoked", PKI_STATUS_INVALID);
}

static void
what_a_responder_does_not_know_is_not_good(void **state)
{
    (void)state;
    ocsp_world(false);
    serve_status("/ocsp", &sub, alice.x509, V_OCSP_CERTSTATUS_UNKNOWN);
    expect_path("ocsp-unknown", PKI_STATUS_TEMP);
    rules.mode = PKI_REVOCATION_PREFER;
    expect_path("ok", PKI_STATUS_OK);
}

static void
an_answer_beyond_its_maximum_age_is_none(void **state)
{
    (void)state;
    ocsp_world(false);
    rules.ocsp_max_age_s = HOUR / 2;
    expect_path("ocsp-expired", PKI_STATUS_TEMP);
    evidence_renew();
    rules.ocsp_max_age_s = 2 * HOUR;
    expect_path("ok", PKI_STATUS_OK);
}

static void
a_responder_without_nocheck_needs_a_crl_of_its_own(void **state)
{
    (void)state;
    struct testca_leaf responder;
    struct testca_args args = { .cn = "Responder",
                                .key_type = TESTCA_P256,
                                .key_index = 1,
                                .key_usage = "critical,digitalSignature",
                                .ext_key_usage = "OCSPSigning" };
    struct said said;

    ocsp_world(false);
    points_add(&args, &(struct points){ .crl = "/sub.crl" });
    testca_issue(&sub, &args, &responder);
    X509 *revoked[] = { responder.x509, NULL };
    said = (struct said){ .key = responder.key,
                          .signer = responder.x509,
                          .entries = { { .there = true,
                                         .of = alice.x509,
                                         .by = sub.x509,
                                         .status = V_OCSP_CERTSTATUS_GOOD,
                                         .this_update = -HOUR,
                                         .next_update = DAY } } };
    serve_ocsp("/ocsp", &said);
    expect_path("ok", PKI_STATUS_OK);
    assert_int_equal(asked("/sub.crl"), 1);
    evidence_renew();
    serve_manner("/sub.crl", BROKEN);
    expect_path("ocsp-responder", PKI_STATUS_TEMP);
    evidence_renew();
    serve_crl("/sub.crl", &sub, &(struct testca_crl_args){ .revoked = revoked });
    expect_path("ocsp-responder", PKI_STATUS_TEMP);
    /* Who is revoked says nothing, not even "revoked". */
    evidence_renew();
    said.entries[0].status = V_OCSP_CERTSTATUS_REVOKED;
    serve_ocsp("/ocsp", &said);
    expect_path("ocsp-responder", PKI_STATUS_TEMP);
    /* Whose status is not known may say that. */
    evidence_renew();
    serve_manner("/sub.crl", BROKEN);
    expect_path("revoked", PKI_STATUS_INVALID);
    testca_leaf_free(&responder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        PATH_TEST(crls_are_fetched_once_and_then_nothing_is_asked),
        PATH_TEST(offline_nothing_is_asked),
        PATH_TEST(a_revoked_leaf_and_a_revoked_issuer_are_refused),
        PATH_TEST(nothing_is_asked_about_a_path_that_cannot_hold),
        PATH_TEST(with_revocation_off_nothing_is_asked),
        PATH_TEST(a_dead_server_is_temporary_until_it_is_given_up),
        PATH_TEST(a_server_that_comes_back_is_believed),
        PATH_TEST(a_missing_crl_file_on_the_server_ends_the_same_way),
        PATH_TEST(a_budget_that_is_spent_gives_nothing_up),
        PATH_TEST(a_silent_server_costs_no_more_than_the_budget),
        PATH_TEST(a_certificate_that_names_nothing_is_refused_for_good),
        PATH_TEST(a_stale_crl_is_temporary_then_given_up_and_preferred_within_its_bound),
        PATH_TEST(revoked_stays_revoked_on_a_stale_crl_in_every_mode),
        PATH_TEST(a_crl_beyond_its_maximum_age_has_run_out),
        PATH_TEST(a_fresh_good_of_ocsp_is_enough_where_there_is_no_crl),
        PATH_TEST(methods_are_asked_in_their_order_and_no_further_than_needed),
        PATH_TEST(the_second_method_answers_where_the_first_does_not),
        PATH_TEST(revoked_by_any_method_is_revoked),
        PATH_TEST(what_a_responder_does_not_know_is_not_good),
        PATH_TEST(an_answer_beyond_its_maximum_age_is_none),
        PATH_TEST(a_responder_without_nocheck_needs_a_crl_of_its_own),
    };
    return cmocka_run_group_tests(tests, path_group_setup, path_group_teardown);
}
