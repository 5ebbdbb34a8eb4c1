/*
 * Ways to an anchor: issuers that are fetched from a real HTTP server, cross-signed and re-keyed
 * authorities, and CRLs that a signer chose himself.
 */
#include "tests/unit/pki/path_world.h"

#include "pki/crypto.h"

static X509 *const nothing[] = { NULL };

/* ---- issuers that are missing ------------------------------------------------------------------
 */

static void
two_missing_intermediates_are_fetched(void **state)
{
    (void)state;
    struct testca low;
    struct testca_leaf bob;
    struct pki_path_result result;

    usual_world();
    authority_of(&low, &sub, "Low", (struct points){ .crl = "/sub.crl", .issuer = "/sub.cer" });
    leaf_of(&bob, &low, "Bob", (struct points){ .crl = "/low.crl", .issuer = "/low.cer" });
    serve_certificate("/sub.cer", sub.x509);
    serve_certificate("/low.cer", low.x509);
    serve_crl("/low.crl", &low, NULL);
    judge_how(bob.x509, (struct how){ .untrusted = nothing }, &result);
    assert_string_equal(result.answer.reason, "ok");
    assert_int_equal(result.count, 4);
    assert_string_equal(result.steps[0].source, "message");
    assert_string_equal(result.steps[1].source, "network");
    assert_string_equal(result.steps[2].source, "network");
    assert_string_equal(result.steps[3].source, "anchor");
    pki_path_result_free(&result);
    expect_how(bob.x509, (struct how){ .untrusted = nothing, .offline = true }, "ok",
               PKI_STATUS_OK);
    assert_int_equal(exchanges(evidence), 5);
    testca_leaf_free(&bob);
    testca_free(&low);
}

static void
more_missing_issuers_than_rounds_are_not_fetched(void **state)
{
    (void)state;
    struct testca chain[5];
    struct testca_leaf bob;
    char name[5][16];

    usual_world();
    for (int i = 0; i < 5; i++) {
        char above[16];
        snprintf(above, sizeof above, "/%d.cer", i - 1);
        snprintf(name[i], sizeof name[i], "/%d.cer", i);
        authority_of(&chain[i], i ? &chain[i - 1] : &root, name[i],
                     (struct points){ .issuer = i ? above : NULL });
        serve_certificate(name[i], chain[i].x509);
    }
    rules.mode = PKI_REVOCATION_OFF;
    leaf_of(&bob, &chain[4], "Bob", (struct points){ .issuer = name[4] });
    expect_how(bob.x509, (struct how){ .untrusted = nothing }, "untrusted", PKI_STATUS_INVALID);
    assert_int_equal(exchanges(evidence), 3);
    testca_leaf_free(&bob);
    leaf_of(&bob, &chain[2], "Bob", (struct points){ .issuer = name[2] });
    expect_how(bob.x509, (struct how){ .untrusted = nothing }, "ok", PKI_STATUS_OK);
    testca_leaf_free(&bob);
    for (int i = 0; i < 5; i++)
        testca_free(&chain[i]);
}

static void
an_issuer_that_cannot_be_asked_for_is_temporary_until_it_is_given_up(void **state)
{
    (void)state;
    usual_world();
    serve_manner("/sub.cer", BROKEN);
    expect_how(alice.x509, (struct how){ .untrusted = nothing }, "issuer-unavailable",
               PKI_STATUS_TEMP);
    clock_set_s(time(NULL) + 5 * HOUR);
    expect_how(alice.x509, (struct how){ .untrusted = nothing }, "issuer-unreachable",
               PKI_STATUS_INVALID);
    /* Where the server says that there is none, that is an answer. */
    evidence_renew();
    serve_manner("/sub.cer", MISSING);
    expect_how(alice.x509, (struct how){ .untrusted = nothing }, "untrusted", PKI_STATUS_INVALID);
    expect_how(alice.x509, (struct how){ .untrusted = nothing, .blind = true }, "untrusted",
               PKI_STATUS_INVALID);
}

static void
what_comes_back_is_no_anchor(void **state)
{
    (void)state;
    struct testca stranger;
    struct testca_leaf mallory;

    usual_world();
    testca_init(&stranger, "Stranger");
    leaf_of(&mallory, &stranger, "Mallory", (struct points){ .issuer = "/stranger.cer" });
    serve_certificate("/stranger.cer", stranger.x509);
    expect_how(mallory.x509, (struct how){ .untrusted = nothing }, "untrusted", PKI_STATUS_INVALID);
    assert_int_equal(exchanges(evidence), 1);
    testca_leaf_free(&mallory);
    testca_free(&stranger);
}

static void
nothing_is_fetched_for_what_cannot_chain(void **state)
{
    (void)state;
    struct testca_leaf old;
    struct testca false_sub = { .key = NULL };
    struct testca_args args = { .cn = "Old",
                                .not_before = now - 9 * HOUR,
                                .not_after = now - HOUR };
    X509 *chain[] = { NULL, NULL };

    usual_world();
    points_add(&args, &(struct points){ .issuer = "/sub.cer" });
    testca_issue(&sub, &args, &old);
    expect_how(old.x509, (struct how){ .untrusted = nothing }, "untrusted", PKI_STATUS_INVALID);
    /* The certificate above carries the name, but did not sign; nor would it be an authority. */
    authority_of(&false_sub, &root, "Sub", (struct points){ .issuer = "/up.cer" });
    X509_set_issuer_name(false_sub.x509, X509_get_subject_name(false_sub.x509));
    X509_NAME *elsewhere = X509_NAME_new();
    testca_subject(elsewhere, "Elsewhere", NULL);
    X509_set_issuer_name(false_sub.x509, elsewhere);
    testca_sign(false_sub.x509, false_sub.key, NULL);
    X509_NAME_free(elsewhere);
    chain[0] = false_sub.x509;
    args = (struct testca_args){ .cn = "Nokid", .key_type = TESTCA_P256 };
    expect_how(alice.x509, (struct how){ .untrusted = chain, .offline = true }, "untrusted",
               PKI_STATUS_INVALID);
    assert_int_equal(asked("/up.cer"), 0);
    assert_int_equal(exchanges(evidence), 0);
    testca_leaf_free(&old);
    testca_free(&false_sub);
}

/* ---- several certificates of one authority -----------------------------------------------------
 */

/* A certificate for the key and name of `of`, by `by`, without key identifiers; returned. */
static X509 *
cross_sign(const struct testca *of, const struct testca *by, EVP_PKEY *signer, time_t not_after)
{
    X509 *x509 = X509_new();

    TESTCA_MUST(x509 && X509_set_version(x509, X509_VERSION_3));
    TESTCA_MUST(ASN1_INTEGER_set(X509_get_serialNumber(x509), 4711));
    TESTCA_MUST(X509_set_subject_name(x509, X509_get_subject_name(of->x509)));
    TESTCA_MUST(X509_set_issuer_name(x509, X509_get_subject_name(by->x509)));
    TESTCA_MUST(ASN1_TIME_set(X509_getm_notBefore(x509), now - 20 * DAY));
    TESTCA_MUST(ASN1_TIME_set(X509_getm_notAfter(x509), not_after));
    TESTCA_MUST(X509_set_pubkey(x509, of->key));
    testca_extension(x509, x509, "basicConstraints", "critical,CA:TRUE");
    testca_extension(x509, x509, "keyUsage", "critical,keyCertSign,cRLSign");
    testca_sign(x509, signer, NULL);
    return x509;
}

static void
the_cross_certificate_that_leads_to_an_anchor_is_found(void **state)
{
    (void)state;
    struct testca stranger;
    X509 *later;

    usual_world();
    rules.mode = PKI_REVOCATION_OFF;
    testca_init(&stranger, "Stranger");
    /* The library prefers the one that is valid longer, whichever stands first. */
    later = cross_sign(&sub, &stranger, stranger.key, now + 9000 * DAY);
    X509 *first[] = { later, sub.x509, NULL }, *last[] = { sub.x509, later, NULL };
    expect_how(alice.x509, (struct how){ .untrusted = first }, "ok", PKI_STATUS_OK);
    expect_how(alice.x509, (struct how){ .untrusted = last }, "ok", PKI_STATUS_OK);
    X509 *with_root[] = { later, stranger.x509, sub.x509, NULL };
    expect_how(alice.x509, (struct how){ .untrusted = with_root }, "ok", PKI_STATUS_OK);
    X509 *alone[] = { later, stranger.x509, NULL };
    expect_how(alice.x509, (struct how){ .untrusted = alone }, "untrusted", PKI_STATUS_INVALID);
    assert_int_equal(exchanges(evidence), 0);
    X509_free(later);
    testca_free(&stranger);
}

static void
the_key_that_signed_is_found_without_key_identifiers(void **state)
{
    (void)state;
    struct testca renewed = { .key = NULL };
    X509 *old, *new, *leaf_x509 = X509_new();

    usual_world();
    rules.mode = PKI_REVOCATION_OFF;
    renewed.key = testca_key(TESTCA_P256, 3);
    renewed.x509 = sub.x509;
    old = cross_sign(&sub, &root, root.key, now + 300 * DAY);
    new = cross_sign(&renewed, &root, root.key, now + 900 * DAY);
    TESTCA_MUST(X509_set_version(leaf_x509, X509_VERSION_3));
    ASN1_INTEGER_set(X509_get_serialNumber(leaf_x509), 7);
    testca_subject(X509_get_subject_name(leaf_x509), "Bob", NULL);
    X509_set_issuer_name(leaf_x509, X509_get_subject_name(sub.x509));
    ASN1_TIME_set(X509_getm_notBefore(leaf_x509), now - HOUR);
    ASN1_TIME_set(X509_getm_notAfter(leaf_x509), now + DAY);
    X509_set_pubkey(leaf_x509, alice.key);
    testca_sign(leaf_x509, sub.key, NULL);
    X509 *both[] = { new, old, NULL }, *wrong[] = { new, NULL };
    expect_how(leaf_x509, (struct how){ .untrusted = both }, "ok", PKI_STATUS_OK);
    expect_how(leaf_x509, (struct how){ .untrusted = wrong }, "path-invalid", PKI_STATUS_INVALID);
    X509_free(old);
    X509_free(new);
    X509_free(leaf_x509);
}

static void
a_hundred_false_issuers_of_one_name_are_bounded(void **state)
{
    (void)state;
    X509 *chain[102];
    struct testca fake;
    int64_t start = clock_monotonic_ms();

    usual_world();
    rules.mode = PKI_REVOCATION_OFF;
    fake = sub;
    for (int i = 0; i < 100; i++) {
        fake.key = testca_key(TESTCA_P256, (unsigned)i % 3);
        chain[i] = cross_sign(&fake, &root, testca_key(TESTCA_P256, 3), now + (900 + i) * DAY);
    }
    chain[100] = NULL;
    expect_how(alice.x509, (struct how){ .untrusted = chain }, "path-invalid", PKI_STATUS_INVALID);
    assert_true(clock_monotonic_ms() - start < 10000);
    for (int i = 0; i < 100; i++)
        X509_free(chain[i]);
}

/* ---- what several points and deltas add --------------------------------------------------------
 */

static void
of_one_points_urls_any_will_do(void **state)
{
    (void)state;
    struct testca_leaf bob;
    struct testca_args args = { .cn = "Bob", .key_type = TESTCA_P256 };
    char both[400];
    unsigned char der[400];
    size_t n = 0;

    /* One point with two URLs, which openssl.cnf's short form cannot say. */
    usual_world();
    const char *urls[] = { url_of("/dead.crl"), url_of("/sub.crl") };
    size_t names = 0, u[2];
    for (int i = 0; i < 2; i++)
        names += 2 + (u[i] = strlen(urls[i]));
    assert_true(names + 10 < 128);
    der[n++] = 0x30, der[n++] = (unsigned char)(names + 6);
    der[n++] = 0x30, der[n++] = (unsigned char)(names + 4);
    der[n++] = 0xa0, der[n++] = (unsigned char)(names + 2);
    der[n++] = 0xa0, der[n++] = (unsigned char)names;
    for (int i = 0; i < 2; i++) {
        der[n++] = 0x86, der[n++] = (unsigned char)u[i];
        memcpy(der + n, urls[i], u[i]);
        n += u[i];
    }
    strcpy(both, "DER:");
    for (size_t i = 0; i < n; i++)
        snprintf(both + 4 + 2 * i, 3, "%02x", der[i]);
    args.extra[0].name = "2.5.29.31";
    args.extra[0].value = both;
    testca_issue(&sub, &args, &bob);
    serve_manner("/dead.crl", MISSING);
    expect_how(bob.x509, (struct how){ .at = 0 }, "ok", PKI_STATUS_OK);
    assert_int_equal(asked("/dead.crl"), 1);
    assert_int_equal(asked("/sub.crl"), 1);
    testca_leaf_free(&bob);
}

static void
a_delta_is_fetched_with_its_base_and_may_be_missing(void **state)
{
    (void)state;
    struct testca_leaf bob;

    usual_world();
    leaf_of(&bob, &sub, "Bob", (struct points){ .crl = "/sub.crl", .freshest = "/delta.crl" });
    X509 *revoked[] = { bob.x509, NULL };
    serve_crl("/sub.crl", &sub, &(struct testca_crl_args){ .number = 5 });
    serve_manner("/delta.crl", BROKEN);
    expect_how(bob.x509, (struct how){ .at = 0 }, "ok", PKI_STATUS_OK);
    assert_int_equal(asked("/delta.crl"), 1);
    evidence_renew();
    serve_crl("/delta.crl", &sub,
              &(struct testca_crl_args){
                  .number = 6, .delta_base = 5, .this_update = now - 60, .revoked = revoked });
    expect_how(bob.x509, (struct how){ .at = 0 }, "revoked", PKI_STATUS_INVALID);
    expect_how(bob.x509, (struct how){ .offline = true }, "revoked", PKI_STATUS_INVALID);
    testca_leaf_free(&bob);
}

/* ---- CRLs that the signer chose ----------------------------------------------------------------
 */

static void
expect_with(X509 *x509, X509_CRL *crl, struct how how, const char *reason, enum pki_status status)
{
    how.message_crls = sk_X509_CRL_new_null();
    assert_true(sk_X509_CRL_push(how.message_crls, crl) > 0);
    expect_how(x509, how, reason, status);
    sk_X509_CRL_pop_free(how.message_crls, X509_CRL_free);
}

static X509_CRL *
old_crl(void)
{
    return testca_crl(&sub, &(struct testca_crl_args){ .this_update = now - 3 * DAY,
                                                       .next_update = now + 3 * DAY });
}

static void
a_signer_who_embeds_an_old_crl_is_refused(void **state)
{
    (void)state;
    usual_world();
    X509 *revoked[] = { alice.x509, NULL };

    /* Nothing is held: the new one is fetched all the same. */
    serve_crl("/sub.crl", &sub, &(struct testca_crl_args){ .revoked = revoked });
    expect_with(alice.x509, old_crl(), (struct how){ .at = 0 }, "revoked", PKI_STATUS_INVALID);
    expect_with(alice.x509, old_crl(), (struct how){ .offline = true }, "revoked",
                PKI_STATUS_INVALID);
    /* It cannot be had: the embedded one is no answer. */
    evidence_renew();
    serve_manner("/sub.crl", BROKEN);
    expect_with(alice.x509, old_crl(), (struct how){ .at = 0 }, "revocation-unavailable",
                PKI_STATUS_TEMP);
    /* Nor where an older one is held that has run out. */
    evidence_renew();
    serve_crl("/sub.crl", &sub,
              &(struct testca_crl_args){ .this_update = now - 5 * DAY, .next_update = now - DAY });
    expect_with(alice.x509, old_crl(), (struct how){ .at = 0 }, "crl-expired", PKI_STATUS_TEMP);
}

static void
a_crl_of_the_message_counts_beside_one_of_ours_or_where_it_revokes(void **state)
{
    (void)state;
    X509 *revoked[] = { NULL, NULL };

    usual_world();
    revoked[0] = alice.x509;
    struct testca_crl_args newer = { .this_update = now - 60, .revoked = revoked };
    expect_path("ok", PKI_STATUS_OK);
    expect_with(alice.x509, testca_crl(&sub, &newer), (struct how){ .offline = true }, "revoked",
                PKI_STATUS_INVALID);
    evidence_renew();
    serve_manner("/sub.crl", BROKEN);
    serve_manner("/root.crl", BROKEN);
    expect_with(alice.x509, testca_crl(&sub, &newer), (struct how){ .at = 0 }, "revoked",
                PKI_STATUS_INVALID);
}

static void
a_crl_of_the_message_counts_alone_where_nothing_else_is_named(void **state)
{
    (void)state;
    struct testca_leaf bob;
    struct pki_path_result result;
    struct how how = { .message_crls = sk_X509_CRL_new_null() };

    usual_world();
    leaf_of(&bob, &sub, "Bob", (struct points){ .issuer = "/sub.cer" });
    assert_true(sk_X509_CRL_push(how.message_crls, old_crl()) > 0);
    judge_how(bob.x509, how, &result);
    assert_string_equal(result.answer.reason, "ok");
    assert_string_equal(result.steps[0].origin, "message");
    pki_path_result_free(&result);
    sk_X509_CRL_pop_free(how.message_crls, X509_CRL_free);
    testca_leaf_free(&bob);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        PATH_TEST(two_missing_intermediates_are_fetched),
        PATH_TEST(more_missing_issuers_than_rounds_are_not_fetched),
        PATH_TEST(an_issuer_that_cannot_be_asked_for_is_temporary_until_it_is_given_up),
        PATH_TEST(what_comes_back_is_no_anchor),
        PATH_TEST(nothing_is_fetched_for_what_cannot_chain),
        PATH_TEST(the_cross_certificate_that_leads_to_an_anchor_is_found),
        PATH_TEST(the_key_that_signed_is_found_without_key_identifiers),
        PATH_TEST(a_hundred_false_issuers_of_one_name_are_bounded),
        PATH_TEST(of_one_points_urls_any_will_do),
        PATH_TEST(a_delta_is_fetched_with_its_base_and_may_be_missing),
        PATH_TEST(a_signer_who_embeds_an_old_crl_is_refused),
        PATH_TEST(a_crl_of_the_message_counts_beside_one_of_ours_or_where_it_revokes),
        PATH_TEST(a_crl_of_the_message_counts_alone_where_nothing_else_is_named),
    };
    return cmocka_run_group_tests(tests, path_group_setup, path_group_teardown);
}
