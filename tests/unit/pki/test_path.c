#include "tests/unit/pki/path_fixture.h"

#include <pthread.h>

#include "util/clock.h"

static void
a_good_path_is_told_step_by_step(void **state)
{
    (void)state;
    struct pki_path_result result;

    good_crls_store();
    check(leaf.x509, (struct pki_path_args){ .at = 0 }, &result);
    assert_string_equal(result.answer.reason, "ok");
    assert_int_equal(result.count, 3);
    assert_string_equal(result.steps[0].source, "message");
    assert_string_equal(result.steps[1].source, "intermediate");
    assert_string_equal(result.steps[2].source, "anchor");
    assert_string_equal(result.steps[0].revocation, "good");
    assert_string_equal(result.steps[1].revocation, "good");
    assert_string_equal(result.steps[2].revocation, "anchor");
    assert_true(result.steps[0].this_update > 0);
    assert_true(result.steps[0].next_update > result.steps[0].this_update);
    assert_string_equal(pki_certificate_get(result.steps[1].certificate)->subject,
                        "CN=Path CA,O=Testca");
    pki_path_result_free(&result);
}

static void
without_its_intermediate_a_leaf_is_untrusted(void **state)
{
    (void)state;
    struct testca other;

    good_crls_store();
    testca_init(&other, "Another");
    testca_pem(folder, "intermediates.pem", 0644, NULL, other.x509, NULL, NULL);
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "untrusted", PKI_STATUS_INVALID);
    /* and an intermediate is no anchor: that of another root does not help */
    testca_pem(folder, "anchors.pem", 0644, NULL, other.x509, NULL, NULL);
    testca_pem(folder, "intermediates.pem", 0644, NULL, ca.x509, NULL, NULL);
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "untrusted", PKI_STATUS_INVALID);
    testca_free(&other);
}

static void
the_intermediate_may_come_with_the_message(void **state)
{
    (void)state;
    struct testca other;
    struct pki_certificates extra = { .list = NULL };
    struct pki_certificate *issuer = testca_certificate(ca.x509);
    struct pki_path_result result;
    struct err err = ERR_INIT;

    good_crls_store();
    testca_init(&other, "Another");
    testca_pem(folder, "intermediates.pem", 0644, NULL, other.x509, NULL, NULL);
    assert_int_equal(pki_certificates_add1(&extra, issuer, &err), ERR_OK);
    check(leaf.x509, (struct pki_path_args){ .untrusted = &extra }, &result);
    assert_string_equal(result.answer.reason, "ok");
    assert_string_equal(result.steps[1].source, "message");
    assert_ptr_equal(result.steps[1].certificate, issuer);
    pki_path_result_free(&result);
    pki_certificates_free(&extra);
    pki_certificate_free(&issuer);
    testca_free(&other);
}

static void
self_signed_is_untrusted_unless_it_is_an_anchor(void **state)
{
    (void)state;
    struct testca_leaf self;

    testca_issue(NULL, &(struct testca_args){ .cn = "Self", .san = "email:s@example.org" }, &self);
    expect(self.x509, (struct pki_path_args){ .at = 0 }, "untrusted", PKI_STATUS_INVALID);
    testca_pem(folder, "anchors.pem", 0644, NULL, self.x509, NULL, NULL);
    expect(self.x509, (struct pki_path_args){ .at = 0 }, "ok", PKI_STATUS_OK);
    testca_leaf_free(&self);
}

static void
an_intermediate_may_be_the_anchor(void **state)
{
    (void)state;
    struct pki_path_result result;

    crl_store("ca.crl", &ca, NULL);
    testca_pem(folder, "anchors.pem", 0644, NULL, ca.x509, NULL, NULL);
    check(leaf.x509, (struct pki_path_args){ .at = 0 }, &result);
    assert_string_equal(result.answer.reason, "ok");
    assert_int_equal(result.count, 2);
    pki_path_result_free(&result);
}

static void
an_expired_issuer_is_named(void **state)
{
    (void)state;
    time_t now = time(NULL);
    struct testca old;
    struct testca_leaf bob;
    struct pki_path_result result;

    testca_init_below(&old, &root, "Old CA",
                      &(struct testca_args){ .not_before = now - 9000, .not_after = now - 1000 });
    testca_issue(&old, &(struct testca_args){ .cn = "Bob" }, &bob);
    testca_pem(folder, "intermediates.pem", 0644, NULL, old.x509, NULL, NULL);
    check(bob.x509, (struct pki_path_args){ .at = 0 }, &result);
    assert_string_equal(result.answer.reason, "issuer-expired");
    assert_non_null(strstr(result.answer.text, "CN=Old CA"));
    pki_path_result_free(&result);
    testca_leaf_free(&bob);
    testca_free(&old);
}

/* A leaf below an authority made with `args`, judged without revocation. */
static void
expect_below(const struct testca_args *args, const struct testca_args *leaf_args,
             struct pki_path_args path, const char *reason, enum pki_status status)
{
    struct testca special;
    struct testca_leaf bob;
    struct testca_args usual = { .cn = "Bob", .san = "email:bob@example.org" };

    testca_init_below(&special, &root, "Special CA", args);
    testca_issue(&special, leaf_args ? leaf_args : &usual, &bob);
    testca_pem(folder, "intermediates.pem", 0644, NULL, special.x509, NULL, NULL);
    path.revocation.mode = PKI_REVOCATION_OFF;
    expect(bob.x509, path, reason, status);
    testca_leaf_free(&bob);
    testca_free(&special);
}

static void
an_issuer_must_be_allowed_to_issue(void **state)
{
    (void)state;
    struct pki_path_args path = { .at = 0 };
    struct testca_args args = { .basic = "critical,CA:FALSE" };
    expect_below(&args, NULL, path, "path-invalid", PKI_STATUS_INVALID);
    args = (struct testca_args){ .key_usage = "critical,digitalSignature" };
    expect_below(&args, NULL, path, "path-invalid", PKI_STATUS_INVALID);
    args = (struct testca_args){ .ext_key_usage = "serverAuth" };
    expect_below(&args, NULL, path, "path-invalid", PKI_STATUS_INVALID);
    args = (struct testca_args){ .ext_key_usage = "emailProtection" };
    expect_below(&args, NULL, path, "ok", PKI_STATUS_OK);
    args = (struct testca_args){ .ext_key_usage = "anyExtendedKeyUsage" };
    expect_below(&args, NULL, path, "ok", PKI_STATUS_OK);
}

static void
unknown_critical_extensions_are_refused(void **state)
{
    (void)state;
    struct testca_args bob = { .cn = "Bob" };
    bob.extra[0].name = "1.3.6.1.4.1.99999.1";
    bob.extra[0].value = "critical,DER:0500";
    expect_below(NULL, &bob, (struct pki_path_args){ .at = 0 }, "path-invalid", PKI_STATUS_INVALID);
}

static void
name_constraints_bind_addresses(void **state)
{
    (void)state;
    struct pki_path_args path = { .at = 0 };
    struct testca_args args = { .cn = NULL };
    args.extra[0].name = "nameConstraints";
    args.extra[0].value = "critical,permitted;email:example.org";
    expect_below(&args, NULL, path, "ok", PKI_STATUS_OK);
    args.extra[0].value = "critical,permitted;email:example.com";
    expect_below(&args, NULL, path, "name-constraints", PKI_STATUS_INVALID);
    args.extra[0].value = "critical,excluded;email:example.org";
    expect_below(&args, NULL, path, "name-constraints", PKI_STATUS_INVALID);
    /* A common name that looks like a host is not one. */
    struct testca_args bob = { .cn = "bob.example", .san = "email:bob@example.org" };
    args.extra[0].value = "critical,permitted;DNS:example.org";
    expect_below(&args, &bob, path, "ok", PKI_STATUS_OK);
}

/* RFC 9598 6: rfc822Name constraints bind SmtpUTF8Mailbox by its domain. */
static void
name_constraints_bind_internationalised_addresses(void **state)
{
    (void)state;
    struct pki_path_args path = { .at = 0 };
    struct testca_args args = { .cn = NULL };
    struct testca_args bob = { .cn = "Bob",
                               .san = "otherName:1.3.6.1.5.5.7.8.9;UTF8:b\xc3\xbc@example.org" };
    args.extra[0].name = "nameConstraints";
    args.extra[0].value = "critical,permitted;email:example.org";
    expect_below(&args, &bob, path, "ok", PKI_STATUS_OK);
    bob.san = "otherName:1.3.6.1.5.5.7.8.9;UTF8:b\xc3\xbc@example.com";
    expect_below(&args, &bob, path, "name-constraints", PKI_STATUS_INVALID);
    args.extra[0].value = "critical,excluded;email:example.com";
    expect_below(&args, &bob, path, "name-constraints", PKI_STATUS_INVALID);
    bob.san = "otherName:1.3.6.1.5.5.7.8.9;UTF8:b\xc3\xbc@sub.example.com";
    expect_below(&args, &bob, path, "ok", PKI_STATUS_OK);
    args.extra[0].value = "critical,excluded;email:.example.com";
    expect_below(&args, &bob, path, "name-constraints", PKI_STATUS_INVALID);
}

static void
policies_are_required_where_asked(void **state)
{
    (void)state;
    static const char *const wanted[] = { "1.2.3.4", NULL }, *const broken[] = { "1.x", NULL };
    struct pki_path_args path = { .policies = wanted, .explicit_policy = true };
    struct testca_args args = { .cn = NULL }, bob = { .cn = "Bob" };
    struct pki_path_result result;
    struct err err = ERR_INIT;

    expect_below(&args, NULL, path, "policy", PKI_STATUS_INVALID);
    args.extra[0].name = bob.extra[0].name = "certificatePolicies";
    args.extra[0].value = bob.extra[0].value = "1.2.3.4";
    expect_below(&args, &bob, path, "ok", PKI_STATUS_OK);
    bob.extra[0].value = "1.2.3.5";
    expect_below(&args, &bob, path, "policy", PKI_STATUS_INVALID);
    struct pki_trust *trust = trust_load();
    path = (struct pki_path_args){ .policies = broken, .trust = trust };
    struct pki_certificate *certificate = testca_certificate(leaf.x509);
    path.leaf = certificate;
    assert_int_equal(pki_path_check(&path, &result, &err), ERR_PERM);
    pki_certificate_free(&certificate);
    pki_trust_free(&trust);
}

static void
weak_algorithms_are_policy(void **state)
{
    (void)state;
    struct pki_path_args path = { .at = 0 }, lenient = { .allow_weak = true };
    struct testca_args args = { .cn = NULL }, bob = { .cn = "Bob", .digest = "SHA1" };

    expect_below(&args, &bob, path, "weak-algorithm", PKI_STATUS_POLICY);
    expect_below(&args, &bob, lenient, "ok", PKI_STATUS_OK);
    bob.digest = "SHA512";
    expect_below(&args, &bob, path, "ok", PKI_STATUS_OK);
    args = (struct testca_args){ .key_type = TESTCA_RSA1024 };
    expect_below(&args, NULL, path, "weak-algorithm", PKI_STATUS_POLICY);
    expect_below(&args, NULL, lenient, "ok", PKI_STATUS_OK);
    args = (struct testca_args){ .digest = "SHA1" };
    expect_below(&args, NULL, path, "weak-algorithm", PKI_STATUS_POLICY);
    /* The leaf's own key is judged by the leaf rules, which have their own floor. */
    bob = (struct testca_args){ .cn = "Bob", .key_type = TESTCA_RSA1024 };
    expect_below(NULL, &bob, path, "ok", PKI_STATUS_OK);
}

static void
an_anchor_may_be_signed_as_it_likes(void **state)
{
    (void)state;
    struct testca old;
    struct testca_leaf bob;

    testca_init_below(&old, NULL, "Old Root", &(struct testca_args){ .digest = "SHA1" });
    testca_issue(&old, &(struct testca_args){ .cn = "Bob" }, &bob);
    testca_pem(folder, "anchors.pem", 0644, NULL, old.x509, NULL, NULL);
    expect(bob.x509, (struct pki_path_args){ .revocation = { .mode = PKI_REVOCATION_OFF } }, "ok",
           PKI_STATUS_OK);
    testca_leaf_free(&bob);
    testca_free(&old);
}

static void
a_path_has_ten_intermediates_at_most(void **state)
{
    (void)state;
    struct testca chain[12];
    struct pki_certificates extra = { .list = NULL };
    struct pki_certificate *c;
    struct pki_path_result result;
    struct err err = ERR_INIT;
    char name[32];

    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "Level %d", i);
        testca_init_below(&chain[i], i ? &chain[i - 1] : &root, name, NULL);
        c = testca_certificate(chain[i].x509);
        assert_int_equal(pki_certificates_add1(&extra, c, &err), ERR_OK);
        pki_certificate_free(&c);
    }
    for (int i = 9; i < 12; i++) {
        struct testca_leaf bob;
        testca_issue(&chain[i], &(struct testca_args){ .cn = "Bob" }, &bob);
        check(bob.x509,
              (struct pki_path_args){ .untrusted = &extra,
                                      .revocation = { .mode = PKI_REVOCATION_OFF } },
              &result);
        assert_string_equal(result.answer.reason, i == 9 ? "ok" : "path-too-long");
        assert_true(result.count <= PKI_PATH_DEPTH + 2);
        pki_path_result_free(&result);
        testca_leaf_free(&bob);
    }
    for (int i = 0; i < 12; i++)
        testca_free(&chain[i]);
    pki_certificates_free(&extra);
}

/* CVE-2023-0464: policies that double with every certificate. */
static void
a_policy_tree_that_explodes_is_the_senders_fault(void **state)
{
    (void)state;
    static const char two[] = "1.2.3.1,1.2.3.2";
    struct testca chain[10];
    struct pki_certificates extra = { .list = NULL };
    struct testca_args args = { .cn = NULL };
    struct testca_leaf bob;
    struct err err = ERR_INIT;
    char name[32];

    args.extra[0].name = "certificatePolicies";
    args.extra[0].value = two;
    args.extra[1].name = "policyMappings";
    args.extra[1].value = "1.2.3.1:1.2.3.1,1.2.3.1:1.2.3.2,1.2.3.2:1.2.3.1,1.2.3.2:1.2.3.2";
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "Level %d", i);
        testca_init_below(&chain[i], i ? &chain[i - 1] : &root, name, &args);
        struct pki_certificate *c = testca_certificate(chain[i].x509);
        assert_int_equal(pki_certificates_add1(&extra, c, &err), ERR_OK);
        pki_certificate_free(&c);
    }
    struct testca_args bob_args = { .cn = "Bob" };
    bob_args.extra[0] = args.extra[0];
    testca_issue(&chain[9], &bob_args, &bob);
    expect(bob.x509,
           (struct pki_path_args){ .untrusted = &extra,
                                   .explicit_policy = true,
                                   .revocation = { .mode = PKI_REVOCATION_OFF } },
           "policy", PKI_STATUS_INVALID);
    testca_leaf_free(&bob);
    for (int i = 0; i < 10; i++)
        testca_free(&chain[i]);
    pki_certificates_free(&extra);
}

static void
a_path_length_constraint_holds(void **state)
{
    (void)state;
    struct testca upper, lower;
    struct testca_leaf bob;

    testca_init_below(&upper, &root, "Upper",
                      &(struct testca_args){ .basic = "critical,CA:TRUE,pathlen:0" });
    testca_init_below(&lower, &upper, "Lower", NULL);
    testca_issue(&lower, &(struct testca_args){ .cn = "Bob" }, &bob);
    testca_pem(folder, "intermediates.pem", 0644, NULL, upper.x509, lower.x509, NULL);
    expect(bob.x509, (struct pki_path_args){ .revocation = { .mode = PKI_REVOCATION_OFF } },
           "path-too-long", PKI_STATUS_INVALID);
    testca_leaf_free(&bob);
    testca_free(&lower);
    testca_free(&upper);
}

static void
authorities_that_certify_each_other_come_to_an_end(void **state)
{
    (void)state;
    struct testca one, two, one_by_two, two_by_one;
    struct testca_leaf bob;

    testca_init(&one, "One");
    testca_init(&two, "Two");
    testca_init_below(&one_by_two, &two, "One", &(struct testca_args){ .key = one.key });
    testca_init_below(&two_by_one, &one, "Two", &(struct testca_args){ .key = two.key });
    testca_issue(&one, &(struct testca_args){ .cn = "Bob" }, &bob);
    testca_pem(folder, "intermediates.pem", 0644, NULL, one_by_two.x509, two_by_one.x509, NULL);
    expect(bob.x509, (struct pki_path_args){ .revocation = { .mode = PKI_REVOCATION_OFF } },
           "untrusted", PKI_STATUS_INVALID);
    testca_leaf_free(&bob);
    testca_free(&one);
    testca_free(&two);
    testca_free(&one_by_two);
    testca_free(&two_by_one);
}

static void
the_clock_decides_where_no_time_is_given(void **state)
{
    (void)state;
    good_crls_store();
    clock_set_s(time(NULL) + 20 * 86400);
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "crl-expired", PKI_STATUS_TEMP);
    clock_set_s(time(NULL) + 4000 * 86400L);
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "issuer-expired", PKI_STATUS_INVALID);
    clock_set_s(0);
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "ok", PKI_STATUS_OK);
}

struct shared {
    struct pki_trust *trust;
    struct pki_certificate *certificate;
    int wrong;
};

static void *
many_checks(void *context)
{
    struct shared *shared = context;

    for (int i = 0; i < 50; i++) {
        struct pki_path_result result;
        struct err err = ERR_INIT;
        struct pki_path_args args = { .trust = shared->trust, .leaf = shared->certificate };
        if (pki_path_check(&args, &result, &err) != ERR_OK || result.answer.status != PKI_STATUS_OK)
            __atomic_fetch_add(&shared->wrong, 1, __ATOMIC_RELAXED);
        pki_path_result_free(&result);
    }
    return NULL;
}

static void
a_trust_set_is_shared_by_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct shared shared = { .wrong = 0 };

    good_crls_store();
    shared.trust = trust_load();
    shared.certificate = testca_certificate(leaf.x509);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many_checks, &shared), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(shared.wrong, 0);
    pki_certificate_free(&shared.certificate);
    pki_trust_free(&shared.trust);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_good_path_is_told_step_by_step),
        TEST(without_its_intermediate_a_leaf_is_untrusted),
        TEST(the_intermediate_may_come_with_the_message),
        TEST(self_signed_is_untrusted_unless_it_is_an_anchor),
        TEST(an_intermediate_may_be_the_anchor),
        TEST(an_expired_issuer_is_named),
        TEST(an_issuer_must_be_allowed_to_issue),
        TEST(unknown_critical_extensions_are_refused),
        TEST(name_constraints_bind_addresses),
        TEST(name_constraints_bind_internationalised_addresses),
        TEST(policies_are_required_where_asked),
        TEST(weak_algorithms_are_policy),
        TEST(an_anchor_may_be_signed_as_it_likes),
        TEST(a_path_has_ten_intermediates_at_most),
        TEST(a_policy_tree_that_explodes_is_the_senders_fault),
        TEST(a_path_length_constraint_holds),
        TEST(authorities_that_certify_each_other_come_to_an_end),
        TEST(the_clock_decides_where_no_time_is_given),
        TEST(a_trust_set_is_shared_by_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
