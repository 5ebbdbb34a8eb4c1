#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/rule.h"

static void
print_complaint(void *context, const char *file, unsigned line, unsigned column, const char *text)
{
    (void)context;
    print_message("%s:%u:%u: %s\n", file, line, column, text);
}

static struct conf *
conf_of(const char *text)
{
    struct err err = ERR_INIT;
    struct conf *conf = NULL;
    char whole[4096];

    snprintf(whole, sizeof whole, "%strust \"default\" {\n anchors = /anchors\n}\n", text);
    assert_int_equal(conf_parse("test", whole, print_complaint, NULL, &conf, &err), ERR_OK);
    return conf;
}

static const char three_rules[] =
    "rule \"bounces\" {\n sender = <>\n sign = never\n}\n"
    "rule \"inbound\" {\n direction = in\n recipient = @our.example\n}\n"
    "rule \"partners\" {\n direction = out\n"
    " sender = me@our.example, \"*@*.our.example\"\n"
    " recipient = @partner.example\n encrypt = always\n}\n"
    "rule \"rest\" {\n sender = @our.example\n}\n";

static void
first_matching_rule_in_the_order_of_the_file_decides(void **state)
{
    static const struct {
        enum conf_direction direction;
        const char *sender, *recipient, *rule;
    } rows[] = {
        { CONF_DIRECTION_OUT, "me@our.example", "a@partner.example", "partners" },
        { CONF_DIRECTION_OUT, "x@sub.our.example", "a@partner.example", "partners" },
        { CONF_DIRECTION_OUT, "you@our.example", "a@partner.example", "rest" },
        { CONF_DIRECTION_OUT, "me@our.example", "a@sub.partner.example", "rest" },
        { CONF_DIRECTION_OUT, "me@else.example", "a@partner.example", "built-in" },
        { CONF_DIRECTION_OUT, "", "a@partner.example", "bounces" },
        { CONF_DIRECTION_IN, "", "me@our.example", "bounces" },
        { CONF_DIRECTION_IN, "a@partner.example", "me@our.example", "inbound" },
        { CONF_DIRECTION_IN, "a@partner.example", "me@else.example", "built-in" },
        { CONF_DIRECTION_IN, "me@our.example", "a@partner.example", "rest" },
        { CONF_DIRECTION_OUT, "me@OUR.example", "a@PARTNER.example", "partners" },
    };
    struct conf *conf = conf_of(three_rules);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct conf_rule *rule =
            policy_rule_find(conf, rows[i].direction, rows[i].sender, rows[i].recipient);

        assert_string_equal(rule->name, rows[i].rule);
    }
    conf_free(&conf);
}

static void
mismatch_names_what_did_not_match(void **state)
{
    struct conf *conf = conf_of(three_rules);
    const struct conf_rule *partners = &conf->rules[2];

    (void)state;
    assert_string_equal(
        policy_rule_mismatch(partners, CONF_DIRECTION_IN, "me@our.example", "a@partner.example"),
        "direction");
    assert_string_equal(
        policy_rule_mismatch(partners, CONF_DIRECTION_OUT, "a@our.example", "a@partner.example"),
        "sender");
    assert_string_equal(
        policy_rule_mismatch(partners, CONF_DIRECTION_OUT, "me@our.example", "a@else.example"),
        "recipient");
    assert_null(
        policy_rule_mismatch(partners, CONF_DIRECTION_OUT, "me@our.example", "a@partner.example"));
    conf_free(&conf);
}

static void
null_sender_matches_only_a_star_or_the_null_path(void **state)
{
    struct conf *conf =
        conf_of("rule \"domain\" {\n sender = *@*, @our.example, \"*@*.example\"\n}\n"
                "rule \"star\" {\n sender = *\n}\n");

    (void)state;
    assert_string_equal(policy_rule_find(conf, CONF_DIRECTION_OUT, "", "a@b.example")->name,
                        "star");
    assert_string_equal(policy_rule_find(conf, CONF_DIRECTION_OUT, NULL, "a@b.example")->name,
                        "star");
    conf_free(&conf);
}

/* The table declares a parameter once; this is what keeps the one rule that is written by hand in
 * step with it. */
#define SAME_CONF(f) assert_int_equal(one->f, other->f);
#define SAME_TEXT(f) assert_string_equal(one->f, other->f);
#define SAME_LIST(f)                                                    \
    for (size_t i = 0; one->f[i] != NULL || other->f[i] != NULL; i++) { \
        assert_non_null(one->f[i]);                                     \
        assert_non_null(other->f[i]);                                   \
        assert_string_equal(one->f[i], other->f[i]);                    \
    }
#define SAME_BOOL(f) SAME_CONF(f)
#define SAME_COUNT(f) SAME_CONF(f)
#define SAME_DURATION(f) SAME_CONF(f)
#define SAME_SIZE(f) SAME_CONF(f)
#define SAME_MODE(f) SAME_CONF(f)
#define SAME_ENUM(f) SAME_CONF(f)
#define SAME_STRING(f) SAME_TEXT(f)
#define SAME_PATH(f) SAME_TEXT(f)
#define SAME_ADDRESS(f) SAME_TEXT(f)
#define SAME_PATHS(f) SAME_LIST(f)
#define SAME_PATTERNS(f) SAME_LIST(f)
#define SAME_ADDRESSES(f) SAME_LIST(f)
#define SAME_DOMAINS(f) SAME_LIST(f)
#define SAME_WORD(f) SAME_TEXT(f)

static void
built_in_rule_has_the_defaults_of_the_table_but_signs_nothing(void **state)
{
    struct conf *conf = conf_of("rule \"empty\" {\n sign = never\n}\n");
    const struct conf_rule *one = &conf->rules[0];
    const struct conf_rule *other = policy_rule_builtin();

    (void)state;
#define CONF_RULE(field, type, ...) SAME_##type(field)
#include "conf/params.def"
    conf_free(&conf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_matching_rule_in_the_order_of_the_file_decides),
        cmocka_unit_test(mismatch_names_what_did_not_match),
        cmocka_unit_test(null_sender_matches_only_a_star_or_the_null_path),
        cmocka_unit_test(built_in_rule_has_the_defaults_of_the_table_but_signs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
