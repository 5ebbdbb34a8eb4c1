#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/kind.h"
#include "policy/rule.h"

static void
the_first_kind_that_a_message_is_decides(void **state)
{
    static const struct {
        unsigned content;
        const char *name;
    } rows[] = {
        { 0, NULL },
        { POLICY_CONTENT_SIGNED | POLICY_CONTENT_ENCRYPTED | POLICY_CONTENT_PGP, NULL },
        { POLICY_CONTENT_CALENDAR | POLICY_CONTENT_TNEF | POLICY_CONTENT_AUTOMATIC, "calendar" },
        { POLICY_CONTENT_TNEF | POLICY_CONTENT_LIST, "tnef" },
        { POLICY_CONTENT_REPORT | POLICY_CONTENT_AUTOMATIC, "report" },
        { POLICY_CONTENT_LIST | POLICY_CONTENT_AUTOMATIC, "list" },
        { POLICY_CONTENT_AUTOMATIC | POLICY_CONTENT_SIGNED, "automatic" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *name = policy_kind_name(rows[i].content);

        if (rows[i].name == NULL)
            assert_null(name);
        else
            assert_string_equal(name, rows[i].name);
        if (name)
            assert_true(policy_kind_content(name) & rows[i].content);
    }
    assert_int_equal(policy_kind_content("nothing"), 0);
}

/* The whole space of kinds, settings, rules and choices. */
static void
kind_lifts_nothing_that_must_be_encrypted(void **state)
{
    unsigned rows = 0;

    (void)state;
    for (unsigned content = 0; content < 256; content++) {
        for (unsigned space = 0; space < 4 * 4 * 5 * 2 * 16; space++) {
            unsigned left = space;
            struct conf_rule rule = *policy_rule_builtin(), out;
            int setting = (int)(left % 4), treat;
            struct policy_choice choice = { .sign = false };
            bool must, signs;

            left /= 4;
            rule.sign = (int)(left % 4);
            left /= 4;
            rule.encrypt = (int)(left % 5);
            left /= 5;
            rule.smime = left % 2 == 0;
            left /= 2;
            policy_choice_add(&choice, left & 1, left & 2, left & 4);
            rule.sender_may_change = (left & 8) == 0;
            treat = setting == CONF_KIND_UNSIGNED ? CONF_KIND_PROTECT : setting;
            rule.calendar = rule.tnef = treat;
            rule.report = rule.list = rule.automatic = setting;
            out = rule;
            (void)policy_kind_apply(content, &choice, &out);
            rows++;

            must = policy_choice_encrypt(&rule, &choice) == CONF_ENCRYPT_ALWAYS;
            signs = policy_choice_sign(&rule, &choice) == CONF_SIGN_ALWAYS;
            assert_int_equal(out.smime, rule.smime);
            if (must) {
                assert_int_equal(out.encrypt, rule.encrypt);
                assert_int_equal(out.sign, rule.sign);
            }
            if (choice.sign && signs)
                assert_int_equal(policy_choice_sign(&out, &choice), CONF_SIGN_ALWAYS);
            if (policy_kind_name(content) == NULL || !rule.smime)
                assert_memory_equal(&out, &rule, sizeof out);
            if (rule.smime && !must && policy_kind_name(content) != NULL &&
                (setting == CONF_KIND_SIGN || setting == CONF_KIND_PASS))
                assert_int_equal(out.encrypt, CONF_ENCRYPT_NEVER);
            if (rule.smime && !must && policy_kind_name(content) != NULL &&
                setting == CONF_KIND_PASS && !(choice.sign && signs))
                assert_int_equal(out.sign, CONF_SIGN_NEVER);
        }
    }
    print_message("%u rows\n", rows);
}

/* Only a bounce, which has the null sender, is not refused for want of a key. */
static void
report_goes_unsigned_only_with_the_null_sender(void **state)
{
    struct conf_rule rule = *policy_rule_builtin();

    (void)state;
    rule.sign = CONF_SIGN_ALWAYS;
    assert_false(policy_kind_apply(POLICY_CONTENT_REPORT, NULL, &rule));
    assert_int_equal(rule.no_signing_certificate, CONF_NO_SIGNING_REFUSE);
    assert_true(policy_kind_apply(POLICY_CONTENT_REPORT | POLICY_CONTENT_NULL, NULL, &rule));
    assert_int_equal(rule.no_signing_certificate, CONF_NO_SIGNING_UNSIGNED);
    assert_int_equal(rule.sign, CONF_SIGN_ALWAYS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_kind_that_a_message_is_decides),
        cmocka_unit_test(report_goes_unsigned_only_with_the_null_sender),
        cmocka_unit_test(kind_lifts_nothing_that_must_be_encrypted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
