#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/requirement.h"

static const enum policy_result results[] = { POLICY_RESULT_NONE,     POLICY_RESULT_PASS,
                                              POLICY_RESULT_FAIL,     POLICY_RESULT_POLICY,
                                              POLICY_RESULT_NEUTRAL,  POLICY_RESULT_TEMPERROR,
                                              POLICY_RESULT_PERMERROR };

/* The whole space: what is met, what waits, and that nothing but pass is signed. */
static void
only_pass_is_signed_and_what_could_not_be_asked_waits(void **state)
{
    (void)state;
    for (int require = CONF_REQUIRE_NONE; require <= CONF_REQUIRE_BOTH; require++) {
        for (int on = CONF_ON_MARK; on <= CONF_ON_REJECT; on++) {
            for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
                for (int encrypted = 0; encrypted < 2; encrypted++) {
                    const struct conf_rule rule = { .smime = true,
                                                    .require = require,
                                                    .on_require = on };
                    const struct policy_verdict verdict = { .result = results[i], .reason = "x" };
                    bool wants_signature =
                        require == CONF_REQUIRE_SIGNED || require == CONF_REQUIRE_BOTH;
                    bool wants_encryption =
                        require == CONF_REQUIRE_ENCRYPTED || require == CONF_REQUIRE_BOTH;
                    bool lacks_encryption = wants_encryption && !encrypted;
                    bool lacks_signature = wants_signature && results[i] != POLICY_RESULT_PASS;
                    struct policy_requirement out;

                    policy_requirement_check(&rule, &verdict, encrypted != 0, &out);
                    if (!lacks_encryption && !lacks_signature) {
                        assert_null(out.reason);
                        assert_int_equal(out.disposition, POLICY_MARK);
                        continue;
                    }
                    assert_string_equal(out.reason, lacks_encryption ? "encryption-required"
                                                                     : "signature-required");
                    if (!lacks_encryption && results[i] == POLICY_RESULT_TEMPERROR)
                        assert_int_equal(out.disposition, POLICY_HOLD_BACK);
                    else
                        assert_int_equal(out.disposition, on == CONF_ON_REJECT ? POLICY_REJECT
                                                          : on == CONF_ON_QUARANTINE
                                                              ? POLICY_QUARANTINE
                                                              : POLICY_MARK);
                }
            }
        }
    }
}

static void
a_rule_without_smime_requires_nothing(void **state)
{
    const struct conf_rule rule = { .require = CONF_REQUIRE_BOTH, .on_require = CONF_ON_REJECT };
    const struct policy_verdict verdict = { .result = POLICY_RESULT_NONE, .reason = "x" };
    struct policy_requirement out;

    (void)state;
    policy_requirement_check(&rule, &verdict, false, &out);
    assert_null(out.reason);
}

static void
a_from_that_nobody_can_compare_concerns_the_rules_whose_domain_it_shows(void **state)
{
    static const struct {
        const char *pattern, *from;
        bool concerns;
    } cases[] = {
        { "*@partner.example", "a@x.test, bob@partner.example", true },
        { "*@partner.example", "bob@PARTNER.Example <x@y.test>", true },
        { "*@partner.example", "bob@partner.exampl", false },
        { "*@*.partner.example", "bob@mail.partner.example", true },
        { "bob@partner.example", "ceo@partner.example", true },
        { "partner.example", "x partner.example", true },
        { "*", "anything", true },
        { "*@*", "anything", true },
        { "*@partner.example", "", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *list[] = { (char *)cases[i].pattern, NULL };
        struct conf_rule rule = { .smime = true, .require = CONF_REQUIRE_SIGNED, .sender = list };
        size_t n = strlen(cases[i].from);
        unsigned char *from = malloc(n + 1);

        memcpy(from, cases[i].from, n);
        if (policy_requirement_concerns(&rule, span_of(from, n)) != cases[i].concerns)
            fail_msg("%s, %s", cases[i].pattern, cases[i].from);
        rule.require = CONF_REQUIRE_NONE;
        assert_false(policy_requirement_concerns(&rule, span_of(from, n)));
        rule.require = CONF_REQUIRE_SIGNED;
        rule.direction = CONF_DIRECTION_OUT;
        assert_false(policy_requirement_concerns(&rule, span_of(from, n)));
        free(from);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_pass_is_signed_and_what_could_not_be_asked_waits),
        cmocka_unit_test(a_rule_without_smime_requires_nothing),
        cmocka_unit_test(a_from_that_nobody_can_compare_concerns_the_rules_whose_domain_it_shows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
