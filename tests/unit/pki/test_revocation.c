#include "tests/unit/pki/path_fixture.h"

#include "pki/revocation.h"

static void
a_missing_crl_is_temporary_preferred_or_off(void **state)
{
    (void)state;
    struct pki_path_result result;

    crl_store("root.crl", &root, NULL);
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "revocation-unknown", PKI_STATUS_TEMP);
    check(leaf.x509, (struct pki_path_args){ .revocation = { .mode = PKI_REVOCATION_PREFER } },
          &result);
    assert_string_equal(result.answer.reason, "ok");
    assert_string_equal(result.steps[0].revocation, "unknown");
    assert_string_equal(result.steps[1].revocation, "good");
    pki_path_result_free(&result);
    check(leaf.x509, (struct pki_path_args){ .revocation = { .mode = PKI_REVOCATION_OFF } },
          &result);
    assert_string_equal(result.answer.reason, "ok");
    assert_string_equal(result.steps[0].revocation, "off");
    pki_path_result_free(&result);
}

static void
a_missing_crl_of_an_issuer_is_temporary_too(void **state)
{
    (void)state;
    crl_store("ca.crl", &ca, NULL);
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "revocation-unknown", PKI_STATUS_TEMP);
}

static void
revoked_is_final_also_where_crls_are_only_preferred(void **state)
{
    (void)state;
    X509 *revoked[] = { leaf.x509, NULL };
    struct pki_path_result result;

    crl_store("ca.crl", &ca, &(struct testca_crl_args){ .revoked = revoked });
    expect(leaf.x509, (struct pki_path_args){ .revocation = { .mode = PKI_REVOCATION_PREFER } },
           "revoked", PKI_STATUS_INVALID);
    expect(leaf.x509, (struct pki_path_args){ .revocation = { .mode = PKI_REVOCATION_OFF } }, "ok",
           PKI_STATUS_OK);
    /* The root's CRL is missing, and still: revoked, not "ask again". */
    check(leaf.x509, (struct pki_path_args){ .at = 0 }, &result);
    assert_string_equal(result.answer.reason, "revoked");
    assert_string_equal(result.steps[0].revocation, "revoked");
    pki_path_result_free(&result);
}

static void
a_revoked_issuer_revokes(void **state)
{
    (void)state;
    X509 *revoked[] = { ca.x509, NULL };

    crl_store("root.crl", &root, &(struct testca_crl_args){ .revoked = revoked });
    crl_store("ca.crl", &ca, NULL);
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "revoked", PKI_STATUS_INVALID);
}

static void
an_expired_crl_is_temporary_but_what_it_revokes_stays_revoked(void **state)
{
    (void)state;
    time_t now = time(NULL);
    X509 *revoked[] = { leaf.x509, NULL };

    crl_store("root.crl", &root, NULL);
    crl_store("ca.crl", &ca,
              &(struct testca_crl_args){ .this_update = now - 9000, .next_update = now - 100 });
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "crl-expired", PKI_STATUS_TEMP);
    expect(leaf.x509, (struct pki_path_args){ .at = now - 200 }, "ok", PKI_STATUS_OK);
    expect(
        leaf.x509,
        (struct pki_path_args){ .revocation = { .mode = PKI_REVOCATION_PREFER, .stale_s = 200 } },
        "ok", PKI_STATUS_OK);
    expect(leaf.x509,
           (struct pki_path_args){ .revocation = { .mode = PKI_REVOCATION_PREFER, .stale_s = 50 } },
           "crl-expired", PKI_STATUS_TEMP);
    crl_store("ca.crl", &ca,
              &(struct testca_crl_args){
                  .this_update = now - 9000, .next_update = now - 100, .revoked = revoked });
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "revoked", PKI_STATUS_INVALID);
}

static void
an_expired_newest_crl_does_not_revive_an_older_one(void **state)
{
    (void)state;
    time_t now = time(NULL);

    crl_store("root.crl", &root, NULL);
    crl_store("old.crl", &ca,
              &(struct testca_crl_args){ .this_update = now - 9000, .next_update = now + 90000 });
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "ok", PKI_STATUS_OK);
    crl_store("new.crl", &ca,
              &(struct testca_crl_args){ .this_update = now - 1000, .next_update = now - 100 });
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "crl-expired", PKI_STATUS_TEMP);
}

static void
a_crl_of_the_future_is_not_looked_at(void **state)
{
    (void)state;
    time_t now = time(NULL);

    good_crls_store();
    crl_store("future.crl", &ca,
              &(struct testca_crl_args){ .this_update = now + 9000, .next_update = now + 90000 });
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "ok", PKI_STATUS_OK);
}

/* Checks with one more CRL, as a message brings it. */
static void
expect_with(X509_CRL *crl, const char *reason, enum pki_status status)
{
    STACK_OF(X509_CRL) *more = sk_X509_CRL_new_null();

    assert_true(sk_X509_CRL_push(more, crl) > 0);
    expect(leaf.x509, (struct pki_path_args){ .crls = more }, reason, status);
    sk_X509_CRL_pop_free(more, X509_CRL_free);
}

static void
an_older_crl_of_the_message_does_not_hide_the_newer_one(void **state)
{
    (void)state;
    X509 *revoked[] = { leaf.x509, NULL };
    time_t now = time(NULL);

    crl_store("root.crl", &root, NULL);
    crl_store("ca.crl", &ca,
              &(struct testca_crl_args){ .this_update = now - 100, .revoked = revoked });
    expect_with(testca_crl(&ca, &(struct testca_crl_args){ .this_update = now - 9000 }), "revoked",
                PKI_STATUS_INVALID);
}

static void
a_newer_crl_of_the_message_counts(void **state)
{
    (void)state;
    X509 *revoked[] = { leaf.x509, NULL };
    time_t now = time(NULL);

    good_crls_store();
    expect_with(
        testca_crl(&ca, &(struct testca_crl_args){ .this_update = now - 10, .revoked = revoked }),
        "revoked", PKI_STATUS_INVALID);
}

static void
a_forged_crl_neither_revokes_nor_hides(void **state)
{
    (void)state;
    X509 *revoked[] = { leaf.x509, NULL };
    time_t now = time(NULL);
    EVP_PKEY *foreign = testca_key(TESTCA_P256, 3);

    good_crls_store();
    expect_with(testca_crl(&ca, &(struct testca_crl_args){ .this_update = now - 10,
                                                           .revoked = revoked,
                                                           .key = foreign }),
                "ok", PKI_STATUS_OK);
    crl_store("ca.crl", &ca, &(struct testca_crl_args){ .revoked = revoked });
    expect_with(
        testca_crl(&ca, &(struct testca_crl_args){ .this_update = now - 10, .key = foreign }),
        "revoked", PKI_STATUS_INVALID);
}

static void
a_forged_crl_alone_is_temporary(void **state)
{
    (void)state;
    X509 *revoked[] = { leaf.x509, NULL };

    crl_store("root.crl", &root, NULL);
    crl_store("ca.crl", &ca,
              &(struct testca_crl_args){ .revoked = revoked, .key = testca_key(TESTCA_P256, 3) });
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "crl-invalid", PKI_STATUS_TEMP);
}

static void
a_crl_of_an_issuer_without_crl_sign_is_invalid(void **state)
{
    (void)state;
    struct testca silent;
    struct testca_leaf bob;

    testca_init_below(&silent, &root, "Silent CA",
                      &(struct testca_args){ .key_usage = "critical,keyCertSign" });
    testca_issue(&silent, &(struct testca_args){ .cn = "Bob" }, &bob);
    testca_pem(folder, "intermediates.pem", 0644, NULL, silent.x509, NULL, NULL);
    crl_store("root.crl", &root, NULL);
    crl_store("silent.crl", &silent, NULL);
    expect(bob.x509, (struct pki_path_args){ .at = 0 }, "crl-invalid", PKI_STATUS_TEMP);
    testca_leaf_free(&bob);
    testca_free(&silent);
}

static void
a_delta_crl_revokes(void **state)
{
    (void)state;
    X509 *revoked[] = { NULL, NULL };
    time_t now = time(NULL);
    struct testca_leaf bob;
    struct testca_args args = { .cn = "Bob" };

    args.extra[0].name = "freshestCRL";
    args.extra[0].value = "URI:http://crl.example.org/delta.crl";
    testca_issue(&ca, &args, &bob);
    revoked[0] = bob.x509;
    crl_store("root.crl", &root, NULL);
    crl_store("base.crl", &ca, &(struct testca_crl_args){ .number = 5 });
    expect(bob.x509, (struct pki_path_args){ .at = 0 }, "ok", PKI_STATUS_OK);
    crl_store("1.crl", &ca,
              &(struct testca_crl_args){ .number = 6, .delta_base = 5, .this_update = now - 900 });
    expect(bob.x509, (struct pki_path_args){ .at = 0 }, "ok", PKI_STATUS_OK);
    crl_store("2.crl", &ca,
              &(struct testca_crl_args){
                  .number = 7, .delta_base = 5, .this_update = now - 100, .revoked = revoked });
    expect(bob.x509, (struct pki_path_args){ .at = 0 }, "revoked", PKI_STATUS_INVALID);
    testca_leaf_free(&bob);
}

static void
expired_and_forged_are_final_where_the_crl_is_missing(void **state)
{
    (void)state;
    time_t now = time(NULL);
    struct testca_leaf old;
    struct testca impostor = ca;

    testca_issue(
        &ca,
        &(struct testca_args){ .cn = "Old", .not_before = now - 9000, .not_after = now - 1000 },
        &old);
    expect(old.x509, (struct pki_path_args){ .at = 0 }, "cert-expired", PKI_STATUS_INVALID);
    expect(old.x509, (struct pki_path_args){ .at = now - 10000 }, "issuer-expired",
           PKI_STATUS_INVALID);
    testca_leaf_free(&old);
    impostor.key = testca_key(TESTCA_P256, 2);
    testca_issue(&impostor, &(struct testca_args){ .cn = "Forged" }, &old);
    expect(old.x509, (struct pki_path_args){ .at = 0 }, "path-invalid", PKI_STATUS_INVALID);
    testca_leaf_free(&old);
    testca_issue(
        &ca,
        &(struct testca_args){ .cn = "Young", .not_before = now + 1000, .not_after = now + 9000 },
        &old);
    expect(old.x509, (struct pki_path_args){ .at = 0 }, "cert-not-yet-valid", PKI_STATUS_INVALID);
    testca_leaf_free(&old);
}

static void
revoked_goes_before_weak(void **state)
{
    (void)state;
    struct testca_leaf bob;

    testca_issue(&ca, &(struct testca_args){ .cn = "Bob", .digest = "SHA1" }, &bob);
    X509 *revoked[] = { bob.x509, NULL };
    crl_store("root.crl", &root, NULL);
    crl_store("ca.crl", &ca, &(struct testca_crl_args){ .revoked = revoked });
    expect(bob.x509, (struct pki_path_args){ .at = 0 }, "revoked", PKI_STATUS_INVALID);
    testca_leaf_free(&bob);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_missing_crl_is_temporary_preferred_or_off),
        TEST(a_missing_crl_of_an_issuer_is_temporary_too),
        TEST(revoked_is_final_also_where_crls_are_only_preferred),
        TEST(a_revoked_issuer_revokes),
        TEST(an_expired_crl_is_temporary_but_what_it_revokes_stays_revoked),
        TEST(an_expired_newest_crl_does_not_revive_an_older_one),
        TEST(a_crl_of_the_future_is_not_looked_at),
        TEST(an_older_crl_of_the_message_does_not_hide_the_newer_one),
        TEST(a_newer_crl_of_the_message_counts),
        TEST(a_forged_crl_neither_revokes_nor_hides),
        TEST(a_forged_crl_alone_is_temporary),
        TEST(a_crl_of_an_issuer_without_crl_sign_is_invalid),
        TEST(a_delta_crl_revokes),
        TEST(expired_and_forged_are_final_where_the_crl_is_missing),
        TEST(revoked_goes_before_weak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
