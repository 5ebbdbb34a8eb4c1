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

static const struct conf_rule *
find(const struct conf *conf, enum conf_direction direction, const char *sender,
     const char *recipient)
{
    return policy_rule_find(conf, &(struct policy_rule_question){ .direction = direction,
                                                                  .sender = sender,
                                                                  .recipient = recipient });
}

static const char *
mismatch(const struct conf_rule *rule, enum conf_direction direction, const char *sender,
         const char *recipient)
{
    return policy_rule_mismatch(rule, &(struct policy_rule_question){ .direction = direction,
                                                                      .sender = sender,
                                                                      .recipient = recipient });
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
            find(conf, rows[i].direction, rows[i].sender, rows[i].recipient);

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
        mismatch(partners, CONF_DIRECTION_IN, "me@our.example", "a@partner.example"), "direction");
    assert_string_equal(
        mismatch(partners, CONF_DIRECTION_OUT, "a@our.example", "a@partner.example"), "sender");
    assert_string_equal(mismatch(partners, CONF_DIRECTION_OUT, "me@our.example", "a@else.example"),
                        "recipient");
    assert_null(mismatch(partners, CONF_DIRECTION_OUT, "me@our.example", "a@partner.example"));
    conf_free(&conf);
}

static void
null_sender_matches_only_a_star_or_the_null_path(void **state)
{
    struct conf *conf =
        conf_of("rule \"domain\" {\n sender = *@*, @our.example, \"*@*.example\"\n}\n"
                "rule \"star\" {\n sender = *\n}\n");

    (void)state;
    assert_string_equal(find(conf, CONF_DIRECTION_OUT, "", "a@b.example")->name, "star");
    assert_string_equal(find(conf, CONF_DIRECTION_OUT, NULL, "a@b.example")->name, "star");
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

/* A From that nobody stands for chooses no way out of a rule that encrypts, wherever that stands.
 */
static void
what_nobody_vouches_for_takes_no_message_out_of_encryption(void **state)
{
#define OURS                                                                               \
    "rule \"ours\" {\n sender = *@our.example\n recipient = @partner.example\n encrypt = " \
    "always\n}\n"
#define REST "rule \"rest\" {\n smime = no\n}\n"
#define DAEMON "rule \"daemon\" {\n sender = mailer-daemon@*\n smime = no\n}\n"
#define NEWS "rule \"news\" {\n sender = news@our.example\n sign = always\n}\n"
#define BOUNCES "rule \"bounces\" {\n sender = <>\n smime = no\n}\n"
    static const struct {
        const char *text, *sender, *recipient, *vouched, *unvouched;
    } rows[] = {
        { OURS REST, "me@our.example", "a@partner.example", "ours", "ours" },
        { OURS REST, "x@evil.example", "a@partner.example", "rest", "ours" },
        { OURS REST, "", "a@partner.example", "rest", "ours" },
        { OURS REST, "x@evil.example", "a@else.example", "rest", "rest" },
        { OURS REST, "me@our.example", "a@else.example", "rest", "rest" },
        /* an exemption by a name that anybody can take */
        { DAEMON OURS REST, "mailer-daemon@our.example", "a@partner.example", "daemon", "ours" },
        { DAEMON OURS REST, "mailer-daemon@our.example", "a@else.example", "daemon", "daemon" },
        { NEWS OURS, "news@our.example", "a@partner.example", "news", "ours" },
        { NEWS OURS, "news@our.example", "a@else.example", "news", "news" },
        /* an exemption that the administrator gave to the null sender itself */
        { BOUNCES OURS REST, "x@evil.example", "a@partner.example", "rest", "bounces" },
        { OURS BOUNCES REST, "x@evil.example", "a@partner.example", "rest", "ours" },
        { NEWS BOUNCES OURS, "news@our.example", "a@partner.example", "news", "news" },
        /* what stands before a catch-all for everybody holds for everybody */
        { REST OURS, "x@evil.example", "a@partner.example", "rest", "rest" },
        { "", "x@evil.example", "a@partner.example", "built-in", "built-in" },
        { OURS, "x@evil.example", "a@else.example", "built-in", "built-in" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct conf *conf = conf_of(rows[i].text);
        struct policy_rule_question question = { .direction = CONF_DIRECTION_OUT,
                                                 .sender = rows[i].sender,
                                                 .recipient = rows[i].recipient };

        assert_string_equal(policy_rule_find(conf, &question)->name, rows[i].vouched);
        question.unvouched = true;
        assert_string_equal(policy_rule_find(conf, &question)->name, rows[i].unvouched);
        conf_free(&conf);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_vouches_for_takes_no_message_out_of_encryption),
        cmocka_unit_test(first_matching_rule_in_the_order_of_the_file_decides),
        cmocka_unit_test(mismatch_names_what_did_not_match),
        cmocka_unit_test(null_sender_matches_only_a_star_or_the_null_path),
        cmocka_unit_test(built_in_rule_has_the_defaults_of_the_table_but_signs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
