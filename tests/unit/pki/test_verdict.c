#include "path_fixture.h"

#include <pthread.h>

#include "pki/verdict.h"
#include "util/clock.h"

static struct pki_certificate *alice;

static struct pki_path_args
question(struct pki_trust *trust)
{
    return (struct pki_path_args){ .trust = trust, .leaf = alice };
}

/* Asks, compares with what the path itself says, and returns how often the answer was there. */
static uint64_t
ask(struct pki_path_args args, const char *reason)
{
    struct pki_path_result result, plain;
    struct pki_verdict_counts before, after;
    struct err err = ERR_INIT;

    pki_verdicts_get(pki_trust_get0_verdicts(args.trust), &before);
    if (pki_verdict_check(&args, &result, &err) != ERR_OK)
        fail_msg("%s", err.text);
    pki_verdicts_get(pki_trust_get0_verdicts(args.trust), &after);
    if (strcmp(result.answer.reason, reason) != 0)
        fail_msg("expected %s, got %s: %s", reason, result.answer.reason, result.answer.text);
    assert_int_equal(pki_path_check(&args, &plain, &err), ERR_OK);
    assert_int_equal(result.answer.status, plain.answer.status);
    assert_string_equal(result.answer.reason, plain.answer.reason);
    assert_int_equal(result.count, plain.count);
    assert_int_equal(result.unfresh, plain.unfresh);
    for (size_t i = 0; i < result.count; i++) {
        assert_true(pki_certificate_is(result.steps[i].certificate, plain.steps[i].certificate));
        assert_string_equal(result.steps[i].source, plain.steps[i].source);
        assert_string_equal(result.steps[i].revocation, plain.steps[i].revocation);
        assert_int_equal(result.steps[i].next_update, plain.steps[i].next_update);
    }
    pki_path_result_free(&result);
    pki_path_result_free(&plain);
    return after.hits - before.hits;
}

static void
a_good_verdict_is_reached_once(void **state)
{
    (void)state;
    good_crls_store();
    struct pki_trust *trust = trust_load();
    assert_int_equal(ask(question(trust), "ok"), 0);
    assert_int_equal(ask(question(trust), "ok"), 1);
    assert_int_equal(ask(question(trust), "ok"), 1);
    pki_trust_free(&trust);
}

static void
other_rules_and_other_questions_are_asked_anew(void **state)
{
    (void)state;
    good_crls_store();
    struct pki_trust *trust = trust_load();
    struct pki_path_args args = question(trust);
    assert_int_equal(ask(args, "ok"), 0);
    args.revocation.mode = PKI_REVOCATION_OFF;
    assert_int_equal(ask(args, "ok"), 0);
    assert_int_equal(ask(args, "ok"), 1);
    args = question(trust);
    args.revocation.crl_max_age_s = 365 * 24 * 3600;
    assert_int_equal(ask(args, "ok"), 0);
    args = question(trust);
    args.source = "directory";
    assert_int_equal(ask(args, "ok"), 0);
    /* What is not compared is never answered from here. */
    args = question(trust);
    args.allow_weak = true;
    assert_int_equal(ask(args, "ok"), 0);
    assert_int_equal(ask(args, "ok"), 0);
    args = question(trust);
    args.explicit_policy = true;
    assert_int_equal(ask(args, "policy"), 0);
    assert_int_equal(ask(args, "policy"), 0);
    pki_trust_free(&trust);
}

static void
a_verdict_ends_with_its_life_and_with_what_it_rests_on(void **state)
{
    (void)state;
    time_t now = time(NULL);
    crl_store("root.crl", &root, NULL);
    crl_store("ca.crl", &ca,
              &(struct testca_crl_args){ .this_update = now - 60, .next_update = now + 120 });
    struct pki_trust *trust = trust_load();
    struct pki_path_args args = question(trust);
    args.at = now;
    assert_int_equal(ask(args, "ok"), 0);
    args.at = now + 119;
    assert_int_equal(ask(args, "ok"), 1);
    args.at = now + 121;
    assert_int_equal(ask(args, "crl-expired"), 0);
    pki_trust_free(&trust);

    good_crls_store();
    trust = trust_load();
    args = question(trust);
    args.at = now;
    assert_int_equal(ask(args, "ok"), 0);
    args.at = now + PKI_VERDICT_LIFE_S - 1;
    assert_int_equal(ask(args, "ok"), 1);
    args.at = now + PKI_VERDICT_LIFE_S;
    assert_int_equal(ask(args, "ok"), 0);
    pki_trust_free(&trust);
}

static void
crls_remove(void)
{
    static const char *const names[] = { "root.crl", "ca.crl" };
    char path[300];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/crls/%s", folder, names[i]);
        assert_int_equal(unlink(path), 0);
    }
}

static void
what_is_not_good_is_never_kept(void **state)
{
    (void)state;
    crls_remove();
    struct pki_trust *trust = trust_load();
    struct pki_path_args args = question(trust);
    assert_int_equal(ask(args, "revocation-unknown"), 0);
    assert_int_equal(ask(args, "revocation-unknown"), 0);
    /* Forgiven is not good. */
    args.revocation.mode = PKI_REVOCATION_PREFER;
    assert_int_equal(ask(args, "ok"), 0);
    assert_int_equal(ask(args, "ok"), 0);
    pki_trust_free(&trust);
}

static void
a_new_trust_set_knows_nothing_of_the_old_one(void **state)
{
    (void)state;
    good_crls_store();
    struct pki_trust *trust = trust_load();
    assert_int_equal(ask(question(trust), "ok"), 0);
    assert_int_equal(ask(question(trust), "ok"), 1);
    pki_trust_free(&trust);
    X509 *revoked[] = { leaf.x509, NULL };
    crl_store("ca.crl", &ca, &(struct testca_crl_args){ .revoked = revoked, .number = 2 });
    trust = trust_load();
    assert_int_equal(ask(question(trust), "revoked"), 0);
    assert_int_equal(ask(question(trust), "revoked"), 0);
    pki_trust_free(&trust);
}

enum { THREADS = 4, ROUNDS = 200 };

static void *
run_thread(void *context)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct pki_path_args args = question(context);
        struct pki_path_result result;
        struct err err = ERR_INIT;

        args.at = time(NULL) + i % 7 * 60;
        if (pki_verdict_check(&args, &result, &err) != ERR_OK ||
            result.answer.status != PKI_STATUS_OK)
            return (void *)1;
        pki_path_result_free(&result);
    }
    return NULL;
}

static void
threads_share_without_harm(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    good_crls_store();
    struct pki_trust *trust = trust_load();
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_thread, trust), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    pki_trust_free(&trust);
}

static int
setup_alice(void **state)
{
    int result = setup(state);

    alice = testca_certificate(leaf.x509);
    return result;
}

static int
teardown_alice(void **state)
{
    pki_certificate_free(&alice);
    return teardown(state);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_verdict_is_reached_once),
        cmocka_unit_test(other_rules_and_other_questions_are_asked_anew),
        cmocka_unit_test(a_verdict_ends_with_its_life_and_with_what_it_rests_on),
        cmocka_unit_test(what_is_not_good_is_never_kept),
        cmocka_unit_test(a_new_trust_set_knows_nothing_of_the_old_one),
        cmocka_unit_test(threads_share_without_harm),
    };
    return cmocka_run_group_tests(tests, setup_alice, teardown_alice);
}
