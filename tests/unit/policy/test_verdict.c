#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/rule.h"
#include "policy/verdict.h"

static const struct policy_signer_facts good_signer = {
    .signature = POLICY_SIGNATURE_OK,
    .signature_reason = "signature",
    .algorithm_reason = "algorithm",
    .leaf_reason = "leaf",
    .path_reason = "path",
    .identity = true,
};

static struct policy_verdict_facts
signed_by(const struct policy_signer_facts *signers, size_t count)
{
    return (struct policy_verdict_facts){
        .claimed = true,
        .structure_ok = true,
        .structure_reason = "structure",
        .from_fields = 1,
        .from_mailboxes = 1,
        .signers = signers,
        .count = count,
    };
}

/* Every state of one signer: signature, algorithm, leaf, path, identity. */
enum { SIGNER_STATES = 5 * 4 * 4 * 4 * 2 };

static struct policy_signer_facts
signer_of(int n)
{
    struct policy_signer_facts signer = good_signer;

    signer.signature = (enum policy_signature)(n % 5);
    n /= 5;
    signer.algorithm = (enum policy_trust)(n % 4);
    n /= 4;
    signer.leaf = (enum policy_trust)(n % 4);
    n /= 4;
    signer.path = (enum policy_trust)(n % 4);
    n /= 4;
    signer.identity = n % 2;
    return signer;
}

static bool
signer_holds(const struct policy_signer_facts *signer)
{
    return signer->signature == POLICY_SIGNATURE_OK && signer->algorithm == POLICY_TRUST_OK &&
           signer->leaf == POLICY_TRUST_OK && signer->path == POLICY_TRUST_OK && signer->identity;
}

static void
one_signer_passes_only_when_everything_about_him_holds(void **state)
{
    (void)state;
    for (int n = 0; n < SIGNER_STATES; n++) {
        struct policy_signer_facts signer = signer_of(n);
        struct policy_verdict_facts facts = signed_by(&signer, 1);
        struct policy_verdict out;

        policy_verdict_decide(&facts, &out);
        assert_int_equal(out.result == POLICY_RESULT_PASS, signer_holds(&signer));
        assert_non_null(out.reason);
        assert_int_equal(strcmp(out.reason, "ok") == 0, out.result == POLICY_RESULT_PASS);
        if (signer.signature == POLICY_SIGNATURE_BAD)
            assert_int_equal(out.result, POLICY_RESULT_FAIL);
        /* What the library cannot do is never called forged. */
        if (signer.signature == POLICY_SIGNATURE_UNSUPPORTED)
            assert_int_equal(out.result, POLICY_RESULT_NEUTRAL);
        if (signer.signature != POLICY_SIGNATURE_OK)
            continue;
        if (signer.leaf == POLICY_TRUST_INVALID || signer.path == POLICY_TRUST_INVALID ||
            signer.algorithm == POLICY_TRUST_INVALID || !signer.identity)
            assert_int_equal(out.result, POLICY_RESULT_FAIL);
        else if (signer.leaf == POLICY_TRUST_POLICY || signer.path == POLICY_TRUST_POLICY ||
                 signer.algorithm == POLICY_TRUST_POLICY)
            assert_int_equal(out.result, POLICY_RESULT_POLICY);
        else if (signer.leaf == POLICY_TRUST_TEMP || signer.path == POLICY_TRUST_TEMP ||
                 signer.algorithm == POLICY_TRUST_TEMP)
            assert_int_equal(out.result, POLICY_RESULT_TEMPERROR);
    }
}

static void
two_signers_pass_only_when_both_verify_and_one_holds_in_everything(void **state)
{
    (void)state;
    for (int n = 0; n < SIGNER_STATES; n++) {
        for (int k = 0; k < SIGNER_STATES; k++) {
            struct policy_signer_facts signers[2] = { signer_of(n), signer_of(k) };
            struct policy_verdict_facts facts = signed_by(signers, 2);
            struct policy_verdict out, first;
            bool verify = signers[0].signature == POLICY_SIGNATURE_OK &&
                          signers[1].signature == POLICY_SIGNATURE_OK;

            policy_verdict_decide(&facts, &out);
            assert_int_equal(out.result == POLICY_RESULT_PASS,
                             verify && (signer_holds(&signers[0]) || signer_holds(&signers[1])));
            if (signers[0].signature == POLICY_SIGNATURE_BAD ||
                signers[1].signature == POLICY_SIGNATURE_BAD)
                assert_int_equal(out.result, POLICY_RESULT_FAIL);
            /* A second signer that cannot even be checked never makes fail milder. */
            facts.count = 1;
            policy_verdict_decide(&facts, &first);
            if (first.result == POLICY_RESULT_FAIL && signers[1].signature != POLICY_SIGNATURE_OK)
                assert_int_equal(out.result, POLICY_RESULT_FAIL);
        }
    }
}

static void
doubtful_messages_never_pass_and_never_hide_a_failure(void **state)
{
    (void)state;
    for (int n = 0; n < SIGNER_STATES; n++) {
        for (int k = 0; k < 2 * 2 * 3 * 3 * 2; k++) {
            struct policy_signer_facts signer = signer_of(n);
            struct policy_verdict_facts facts = signed_by(&signer, 1);
            struct policy_verdict out;
            bool clean;

            facts.structure_ambiguous = k % 2;
            facts.micalg_mismatch = k / 2 % 2;
            facts.from_fields = (size_t)(k / 4 % 3);
            facts.from_mailboxes = (size_t)(k / 12 % 3);
            facts.from_irregular = k / 36 % 2;
            clean = !facts.structure_ambiguous && !facts.micalg_mismatch &&
                    facts.from_fields == 1 && facts.from_mailboxes == 1 && !facts.from_irregular;
            policy_verdict_decide(&facts, &out);
            assert_int_equal(out.result == POLICY_RESULT_PASS, clean && signer_holds(&signer));
            if (signer.signature == POLICY_SIGNATURE_BAD || signer.path == POLICY_TRUST_INVALID)
                assert_int_not_equal(out.result, POLICY_RESULT_PASS);
            if (signer.signature == POLICY_SIGNATURE_BAD)
                assert_int_equal(out.result, POLICY_RESULT_FAIL);
        }
    }
}

static void
each_cause_has_its_word_and_reason(void **state)
{
    struct policy_signer_facts signer = good_signer, nobody = good_signer;
    struct policy_verdict out;
    const struct {
        struct policy_verdict_facts facts;
        enum policy_result result;
        const char *reason;
    } rows[] = {
        { { .claimed = false }, POLICY_RESULT_NONE, "not-signed" },
        { { .envelope = "encrypted", .claimed = true }, POLICY_RESULT_NONE, "encrypted" },
        { { .claimed = true, .structure_reason = "malformed-cms" },
          POLICY_RESULT_PERMERROR,
          "malformed-cms" },
        { { .claimed = true, .structure_ok = true }, POLICY_RESULT_PERMERROR, "no-signer" },
        { { .claimed = true,
            .structure_ok = true,
            .structure_ambiguous = true,
            .structure_reason = "preamble",
            .from_fields = 1,
            .from_mailboxes = 1,
            .signers = &signer,
            .count = 1 },
          POLICY_RESULT_NEUTRAL,
          "preamble" },
        { { .claimed = true,
            .structure_ok = true,
            .micalg_mismatch = true,
            .from_fields = 1,
            .from_mailboxes = 1,
            .signers = &signer,
            .count = 1 },
          POLICY_RESULT_NEUTRAL,
          "micalg-mismatch" },
        { { .claimed = true, .structure_ok = true, .signers = &nobody, .count = 1 },
          POLICY_RESULT_PERMERROR,
          "from-missing" },
        { { .claimed = true,
            .structure_ok = true,
            .from_fields = 2,
            .from_mailboxes = 1,
            .signers = &nobody,
            .count = 1 },
          POLICY_RESULT_PERMERROR,
          "from-several" },
        { { .claimed = true,
            .structure_ok = true,
            .from_fields = 1,
            .from_mailboxes = 2,
            .signers = &nobody,
            .count = 1 },
          POLICY_RESULT_NEUTRAL,
          "from-several" },
        { { .claimed = true,
            .structure_ok = true,
            .from_fields = 1,
            .from_irregular = true,
            .signers = &nobody,
            .count = 1 },
          POLICY_RESULT_NEUTRAL,
          "from-syntax" },
    };

    (void)state;
    nobody.identity = false; /* nobody can say whose address to look for */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        policy_verdict_decide(&rows[i].facts, &out);
        assert_int_equal(out.result, rows[i].result);
        assert_string_equal(out.reason, rows[i].reason);
    }
}

static void
weak_signature_of_an_untrusted_signer_is_fail_not_policy(void **state)
{
    struct policy_signer_facts signer = good_signer;
    struct policy_verdict_facts facts = signed_by(&signer, 1);
    struct policy_verdict out;

    (void)state;
    signer.algorithm = POLICY_TRUST_POLICY;
    signer.path = POLICY_TRUST_INVALID;
    policy_verdict_decide(&facts, &out);
    assert_int_equal(out.result, POLICY_RESULT_FAIL);
    assert_string_equal(out.reason, "path");
    /* Of several reasons of one kind, the nearest to the signature is told. */
    signer.path = signer.leaf = POLICY_TRUST_POLICY;
    policy_verdict_decide(&facts, &out);
    assert_int_equal(out.result, POLICY_RESULT_POLICY);
    assert_string_equal(out.reason, "algorithm");
}

static void
the_signer_that_decided_is_named(void **state)
{
    struct policy_signer_facts signers[3] = { good_signer, good_signer, good_signer };
    struct policy_verdict_facts facts = signed_by(signers, 3);
    struct policy_verdict out;

    (void)state;
    signers[0].identity = false;
    signers[1].path = POLICY_TRUST_TEMP;
    policy_verdict_decide(&facts, &out);
    assert_int_equal(out.result, POLICY_RESULT_PASS);
    assert_int_equal(out.signer, 2);
    facts.count = 2;
    policy_verdict_decide(&facts, &out);
    assert_int_equal(out.result, POLICY_RESULT_TEMPERROR);
    assert_int_equal(out.signer, 1);
    signers[0] = signers[1];
    policy_verdict_decide(&facts, &out);
    assert_int_equal(out.signer, 0);
}

static void
disposition_follows_the_rule_for_each_word(void **state)
{
    struct conf_rule rule = *policy_rule_builtin();
    const struct {
        enum policy_result result;
        int *on;
    } rows[] = {
        { POLICY_RESULT_NONE, &rule.on_none },
        { POLICY_RESULT_FAIL, &rule.on_fail },
        { POLICY_RESULT_POLICY, &rule.on_policy },
        { POLICY_RESULT_NEUTRAL, &rule.on_neutral },
        { POLICY_RESULT_PERMERROR, &rule.on_permerror },
    };
    struct policy_verdict verdict = { .result = POLICY_RESULT_PASS, .reason = "ok" };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        verdict.result = rows[i].result;
        assert_int_equal(policy_verdict_disposition(&verdict, &rule), POLICY_MARK);
        *rows[i].on = CONF_ON_QUARANTINE;
        assert_int_equal(policy_verdict_disposition(&verdict, &rule), POLICY_QUARANTINE);
        *rows[i].on = CONF_ON_REJECT;
        assert_int_equal(policy_verdict_disposition(&verdict, &rule), POLICY_REJECT);
    }
    verdict.result = POLICY_RESULT_PASS;
    assert_int_equal(policy_verdict_disposition(&verdict, &rule), POLICY_MARK);
    verdict.result = POLICY_RESULT_TEMPERROR;
    assert_int_equal(policy_verdict_disposition(&verdict, &rule), POLICY_MARK);
    rule.on_temperror = CONF_ON_TEMPERROR_DEFER;
    assert_int_equal(policy_verdict_disposition(&verdict, &rule), POLICY_HOLD_BACK);
    verdict.result = POLICY_RESULT_FAIL;
    rule.smime = false;
    assert_int_equal(policy_verdict_disposition(&verdict, &rule), POLICY_MARK);
}

static void
result_words_are_those_of_rfc_7281(void **state)
{
    static const char *const words[] = { "none",    "pass",      "fail",     "policy",
                                         "neutral", "temperror", "permerror" };

    (void)state;
    for (int i = 0; i < 7; i++)
        assert_string_equal(policy_result_name((enum policy_result)i), words[i]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_signer_passes_only_when_everything_about_him_holds),
        cmocka_unit_test(two_signers_pass_only_when_both_verify_and_one_holds_in_everything),
        cmocka_unit_test(doubtful_messages_never_pass_and_never_hide_a_failure),
        cmocka_unit_test(each_cause_has_its_word_and_reason),
        cmocka_unit_test(weak_signature_of_an_untrusted_signer_is_fail_not_policy),
        cmocka_unit_test(the_signer_that_decided_is_named),
        cmocka_unit_test(disposition_follows_the_rule_for_each_word),
        cmocka_unit_test(result_words_are_those_of_rfc_7281),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
