#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "policy/choice.h"
#include "policy/outbound.h"

static void
words_are_read_in_any_case_and_others_are_unclear(void **state)
{
    static const struct {
        const char *value;
        bool sign, encrypt, plain, unclear;
    } rows[] = {
        { "", false, false, false, false },
        { " , ;\r\n\t", false, false, false, false },
        { "sign", true, false, false, false },
        { " SIGN, Encrypt", true, true, false, false },
        { "encrypt;sign", true, true, false, false },
        { "plain", false, false, true, false },
        { "plain, sign", true, false, true, false },
        { "plain encrypt", false, true, true, true },
        { "encript", false, false, false, true },
        { "sign, foo", true, false, false, true },
        { "encrypt\xc2\xa0", false, false, false, true },
        { "signed", false, false, false, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct policy_choice choice = { .sign = false };

        policy_choice_parse(span_str(rows[i].value), &choice);
        assert_int_equal(choice.sign, rows[i].sign);
        assert_int_equal(choice.encrypt, rows[i].encrypt);
        assert_int_equal(choice.plain, rows[i].plain);
        assert_int_equal(choice.unclear, rows[i].unclear);
        assert_int_equal(policy_choice_is_made(&choice),
                         choice.sign || choice.encrypt || choice.plain || choice.unclear);
    }
}

struct space {
    struct conf conf;
    struct conf_rule rules[2];
    struct policy_recipient recipients[2];
    struct policy_outbound_facts facts;
    struct policy_outbound_needs needs;
    struct policy_outbound_decision out;
    size_t order[2];
};

static char *const nothing[] = { NULL };

static void
decide(struct space *space, size_t count)
{
    space->facts.conf = &space->conf;
    space->facts.recipients = space->recipients;
    space->facts.count = count;
    space->facts.from = space->facts.envelope_sender = "me@our.example";
    space->facts.signing_reason = "no-certificate";
    for (size_t i = 0; i < count; i++) {
        space->rules[i].name = (char *)(i ? "second" : "first");
        space->rules[i].sign_as = (char *)"";
        space->rules[i].encrypt_also = (conf_list)nothing;
        space->recipients[i].address = i ? "b@partner.example" : "a@partner.example";
        space->recipients[i].rule = &space->rules[i];
        space->recipients[i].in_header = true;
        space->recipients[i].domain_signing = POLICY_NO;
        space->recipients[i].reason = "no-certificate";
        space->recipients[i].text = "there is none";
    }
    policy_outbound_needs(&space->facts, &space->needs);
    policy_outbound_decide(&space->facts, space->order, &space->out);
}

static bool
leaves(const struct space *space)
{
    return space->out.action == POLICY_PASS || space->out.action == POLICY_PROTECT;
}

/* One recipient: every rule, every choice, every state of the certificates. */
static void
rules_hold_and_choices_are_followed_or_answered(void **state)
{
    size_t total = 0, sent = 0, refused = 0;

    (void)state;
    for (unsigned n = 0; n < 4 * 5 * 2 * 2 * 2 * 16 * 3 * 3; n++) {
        struct space with = { .conf = { .rule_count = 0 } }, without;
        struct conf_rule *rule = &with.rules[0];
        unsigned rest = n;
        struct policy_choice choice = { .sign = false };

        rule->sign = (int)(rest % 4);
        rule->encrypt = (int)((rest /= 4) % 5);
        rule->smime = (rest /= 5) % 2;
        rule->sender_may_change = (rest /= 2) % 2;
        rule->forbidden_choice = (int)((rest /= 2) % 2);
        rest /= 2;
        choice.unclear = rest & 8;
        policy_choice_add(&choice, rest & 1, rest & 2, rest & 4);
        with.recipients[0].certificate = (enum policy_known)((rest /= 16) % 3);
        with.facts.signing = (enum policy_known)((rest /= 3) % 3);
        without = with;
        with.facts.choice = choice;
        decide(&with, 1);
        decide(&without, 1);
        total++;
        sent += leaves(&with);
        refused += with.out.action == POLICY_REFUSE;

        /* What the rule says for good, whatever is chosen. */
        if (leaves(&with) && rule->smime && rule->encrypt == CONF_ENCRYPT_ALWAYS)
            assert_true(with.out.plan.copies[0].encrypt);
        if (leaves(&with) && rule->smime && rule->sign == CONF_SIGN_ALWAYS)
            assert_true(with.out.plan.copies[0].sign);
        if (!rule->smime || rule->encrypt == CONF_ENCRYPT_NEVER)
            assert_false(with.out.plan.copies[0].encrypt);
        if (!rule->smime || rule->sign == CONF_SIGN_NEVER)
            assert_false(with.out.plan.copies[0].sign);
        /* Who chose gets it or an answer, unless the rule ignores choices. */
        if (leaves(&with) && rule->forbidden_choice == CONF_FORBIDDEN_REFUSE) {
            assert_false(choice.unclear);
            assert_true(!choice.encrypt || with.out.plan.copies[0].encrypt);
            assert_true(!choice.sign || with.out.plan.copies[0].sign);
            assert_true(!choice.plain || !with.out.plan.copies[0].encrypt);
        }
        /* What is left open changes by choice alone. */
        if (!policy_choice_is_made(&choice) ||
            (leaves(&with) && (!rule->sender_may_change || choice.unclear))) {
            assert_int_equal(with.out.action, without.out.action);
            assert_int_equal(with.out.plan.copies[0].sign, without.out.plan.copies[0].sign);
            assert_int_equal(with.out.plan.copies[0].encrypt, without.out.plan.copies[0].encrypt);
        }
        /* Nothing leaves encrypted for nobody, and nothing is asked in vain. */
        if (with.out.plan.copies[0].encrypt) {
            assert_int_equal(with.recipients[0].certificate, POLICY_YES);
            assert_true(with.needs.certificates);
        }
        if (with.out.plan.copies[0].sign)
            assert_true(with.needs.signing);
        if (with.out.action == POLICY_REFUSE || with.out.action == POLICY_DEFER) {
            assert_true(with.out.text[0] != '\0');
            assert_int_equal(with.out.code, with.out.action == POLICY_REFUSE ? 550 : 451);
        }
    }
    print_message("%zu combinations: %zu leave, %zu are refused\n", total, sent, refused);
    assert_true(sent > total / 5 && refused > total / 5);
}

/* Two recipients with rules of their own: "must be encrypted" of one outranks the choice. */
static void
a_recipient_who_must_get_it_encrypted_outranks_the_choice(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 4 * 5 * 2 * 2 * 8; n++) {
        struct space space = { .conf = { .rule_count = 0 } };
        unsigned rest = n;

        space.rules[0] = (struct conf_rule){ .smime = true,
                                             .sign = CONF_SIGN_NEVER,
                                             .encrypt = CONF_ENCRYPT_ALWAYS,
                                             .sender_may_change = true,
                                             .forbidden_choice = CONF_FORBIDDEN_IGNORE };
        space.rules[1].sign = (int)(rest % 4);
        space.rules[1].encrypt = (int)((rest /= 4) % 5);
        space.rules[1].smime = (rest /= 5) % 2;
        space.rules[1].forbidden_choice = (int)((rest /= 2) % 2);
        space.rules[1].sender_may_change = true;
        rest /= 2;
        policy_choice_add(&space.facts.choice, rest & 1, rest & 2, rest & 4);
        decide(&space, 2);
        if (leaves(&space))
            assert_true(space.out.plan.copies[0].encrypt);
    }
}

static void
replies_say_what_was_chosen_and_for_whom(void **state)
{
    struct space space = { .conf = { .rule_count = 0 } };

    (void)state;
    space.rules[0] = (struct conf_rule){ .smime = true, .sign = CONF_SIGN_NEVER };
    space.facts.choice.encrypt = true;
    decide(&space, 1);
    assert_string_equal(space.out.reason, "choice-forbidden");
    assert_string_equal(
        space.out.text,
        "you chose that the message be encrypted, and mail to a@partner.example may "
        "not be; take the choice back and send again");
    space.facts.already_encrypted = true; /* he did it himself */
    decide(&space, 1);
    assert_int_equal(space.out.action, POLICY_PASS);
    space.facts.already_encrypted = false;
    space.facts.choice = (struct policy_choice){ .unclear = true };
    decide(&space, 1);
    assert_string_equal(space.out.reason, "choice-unclear");
    space.facts.choice = (struct policy_choice){ .sign = true };
    space.facts.already_signed = true;
    decide(&space, 1);
    assert_int_equal(space.out.action, POLICY_PASS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_read_in_any_case_and_others_are_unclear),
        cmocka_unit_test(rules_hold_and_choices_are_followed_or_answered),
        cmocka_unit_test(a_recipient_who_must_get_it_encrypted_outranks_the_choice),
        cmocka_unit_test(replies_say_what_was_chosen_and_for_whom),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
