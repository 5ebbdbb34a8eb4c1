#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>

#include "pki/crypto.h"
#include "pki/path.h"
#include "tests/unit/testca.h"
#include "util/clock.h"

static struct testca root, ca;
static struct testca_leaf leaf;
static char *folder;

static int
setup(void **state)
{
    (void)state;
    folder = testca_folder();
    testca_init(&root, "Path Root");
    testca_init_below(&ca, &root, "Path CA", NULL);
    testca_issue(&ca, &(struct testca_args){ .cn = "Alice", .san = "email:a@example.org" }, &leaf);
    testca_pem(folder, "anchors.pem", 0644, NULL, root.x509, NULL, NULL);
    testca_pem(folder, "intermediates.pem", 0644, NULL, ca.x509, NULL, NULL);
    char crls[300];
    snprintf(crls, sizeof crls, "%s/crls", folder);
    assert_int_equal(mkdir(crls, 0755), 0);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    testca_leaf_free(&leaf);
    testca_free(&ca);
    testca_free(&root);
    testca_folder_free(&folder);
    return 0;
}

/* Writes a CRL of `by` into the folder of CRLs. */
static void
crl_store(const char *name, const struct testca *by, const struct testca_crl_args *args)
{
    X509_CRL *crl = testca_crl(by, args);
    char path[64];

    snprintf(path, sizeof path, "crls/%s", name);
    testca_crl_file(folder, path, crl);
    X509_CRL_free(crl);
}

static void
good_crls_store(void)
{
    crl_store("root.crl", &root, NULL);
    crl_store("ca.crl", &ca, NULL);
}

static struct pki_trust *
trust_load(void)
{
    char anchors[300], intermediates[300], crls[300];
    const char *a[] = { anchors, NULL }, *i[] = { intermediates, NULL }, *c[] = { crls, NULL };
    struct pki_trust *trust = NULL;
    struct err err = ERR_INIT;

    snprintf(anchors, sizeof anchors, "%s/anchors.pem", folder);
    snprintf(intermediates, sizeof intermediates, "%s/intermediates.pem", folder);
    snprintf(crls, sizeof crls, "%s/crls", folder);
    if (pki_trust_load(
            &(struct pki_trust_args){ .name = "unit", .anchors = a, .intermediates = i, .crls = c },
            &trust, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return trust;
}

/* Checks `x509` with `args`; trust and leaf are filled in here. The answer is left in *out. */
static void
check(X509 *x509, struct pki_path_args args, struct pki_path_result *out)
{
    struct pki_trust *trust = trust_load();
    struct pki_certificate *certificate = testca_certificate(x509);
    struct err err = ERR_INIT;

    args.trust = trust;
    args.leaf = certificate;
    if (pki_path_check(&args, out, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(ERR_peek_error(), 0);
    assert_true(out->answer.text[0] != '\0');
    pki_certificate_free(&certificate);
    pki_trust_free(&trust);
}

static void
expect(X509 *x509, struct pki_path_args args, const char *reason, enum pki_status status)
{
    struct pki_path_result result;

    check(x509, args, &result);
    if (strcmp(result.answer.reason, reason) != 0)
        fail_msg("expected %s, got %s: %s", reason, result.answer.reason, result.answer.text);
    assert_int_equal(result.answer.status, status);
    pki_path_result_free(&result);
}

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
    assert_true(result.steps[0].crl_this_update > 0);
    assert_true(result.steps[0].crl_next_update > result.steps[0].crl_this_update);
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
a_missing_crl_is_temporary_preferred_or_off(void **state)
{
    (void)state;
    struct pki_path_result result;

    crl_store("root.crl", &root, NULL);
    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, "revocation-unknown", PKI_STATUS_TEMP);
    check(leaf.x509, (struct pki_path_args){ .revocation = PKI_REVOCATION_PREFER }, &result);
    assert_string_equal(result.answer.reason, "ok");
    assert_string_equal(result.steps[0].revocation, "unknown");
    assert_string_equal(result.steps[1].revocation, "good");
    pki_path_result_free(&result);
    check(leaf.x509, (struct pki_path_args){ .revocation = PKI_REVOCATION_OFF }, &result);
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
    expect(leaf.x509, (struct pki_path_args){ .revocation = PKI_REVOCATION_PREFER }, "revoked",
           PKI_STATUS_INVALID);
    expect(leaf.x509, (struct pki_path_args){ .revocation = PKI_REVOCATION_OFF }, "ok",
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
    expect(leaf.x509, (struct pki_path_args){ .revocation = PKI_REVOCATION_PREFER }, "ok",
           PKI_STATUS_OK);
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
    path.revocation = PKI_REVOCATION_OFF;
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

static void
an_anchor_may_be_signed_as_it_likes(void **state)
{
    (void)state;
    struct testca old;
    struct testca_leaf bob;

    testca_init_below(&old, NULL, "Old Root", &(struct testca_args){ .digest = "SHA1" });
    testca_issue(&old, &(struct testca_args){ .cn = "Bob" }, &bob);
    testca_pem(folder, "anchors.pem", 0644, NULL, old.x509, NULL, NULL);
    expect(bob.x509, (struct pki_path_args){ .revocation = PKI_REVOCATION_OFF }, "ok",
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
              (struct pki_path_args){ .untrusted = &extra, .revocation = PKI_REVOCATION_OFF },
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
    expect(bob.x509, (struct pki_path_args){ .revocation = PKI_REVOCATION_OFF }, "path-too-long",
           PKI_STATUS_INVALID);
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
    expect(bob.x509, (struct pki_path_args){ .revocation = PKI_REVOCATION_OFF }, "untrusted",
           PKI_STATUS_INVALID);
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
        TEST(an_expired_issuer_is_named),
        TEST(an_issuer_must_be_allowed_to_issue),
        TEST(unknown_critical_extensions_are_refused),
        TEST(name_constraints_bind_addresses),
        TEST(policies_are_required_where_asked),
        TEST(weak_algorithms_are_policy),
        TEST(revoked_goes_before_weak),
        TEST(an_anchor_may_be_signed_as_it_likes),
        TEST(a_path_has_ten_intermediates_at_most),
        TEST(a_path_length_constraint_holds),
        TEST(authorities_that_certify_each_other_come_to_an_end),
        TEST(the_clock_decides_where_no_time_is_given),
        TEST(a_trust_set_is_shared_by_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
