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
find_rule(const struct conf *conf, const struct policy_rule_question *question)
{
    struct policy_rule_answer answer;

    assert_int_equal(policy_rule_find(conf, question, &answer), ERR_OK);
    return answer.rule;
}

static const struct conf_rule *
find(const struct conf *conf, enum conf_direction direction, const char *sender,
     const char *recipient)
{
    return find_rule(conf, &(struct policy_rule_question){
                               .direction = direction, .sender = sender, .recipient = recipient });
}

static const char *
mismatch(const struct conf *conf, size_t index, enum conf_direction direction, const char *sender,
         const char *recipient)
{
    return policy_rule_mismatch(conf, index,
                                &(struct policy_rule_question){ .direction = direction,
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
    const size_t partners = 2;

    (void)state;
    assert_string_equal(
        mismatch(conf, partners, CONF_DIRECTION_IN, "me@our.example", "a@partner.example"),
        "direction");
    assert_string_equal(
        mismatch(conf, partners, CONF_DIRECTION_OUT, "a@our.example", "a@partner.example"),
        "sender");
    assert_string_equal(
        mismatch(conf, partners, CONF_DIRECTION_OUT, "me@our.example", "a@else.example"),
        "recipient");
    assert_null(
        mismatch(conf, partners, CONF_DIRECTION_OUT, "me@our.example", "a@partner.example"));
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
#define SAME_WORDS(f) SAME_LIST(f)
#define SAME_HEADERS(f) SAME_LIST(f)

static void
built_in_rule_has_the_defaults_of_the_table_but_signs_nothing(void **state)
{
    struct conf *conf = conf_of("rule \"empty\" {\n sign = never\n}\n");
    const struct conf_rule *one = &conf->rules[0];
    const struct conf_rule *other = policy_rule_builtin();

    (void)state;
#define CONF_MATCH(field, type, ...) SAME_##type(field)
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

        assert_string_equal(find_rule(conf, &question)->name, rows[i].vouched);
        question.unvouched = true;
        assert_string_equal(find_rule(conf, &question)->name, rows[i].unvouched);
        conf_free(&conf);
    }
}

/* ---- conditions about the message --------------------------------------------------------------
 */

static struct policy_rule_answer
answer_of(const struct conf *conf, const struct policy_rule_message *message, bool unvouched)
{
    struct policy_rule_answer answer;

    assert_int_equal(
        policy_rule_find(conf,
                         &(struct policy_rule_question){ .direction = CONF_DIRECTION_OUT,
                                                         .sender = "me@our.example",
                                                         .recipient = "a@partner.example",
                                                         .message = message,
                                                         .unvouched = unvouched },
                         &answer),
        ERR_OK);
    return answer;
}

static void
condition_that_is_not_known_leaves_the_strictest_rule_and_no_certainty(void **state)
{
    struct conf *conf =
        conf_of("rule \"big\" {\n size_over = 1MiB\n encrypt = never\n}\n"
                "rule \"secret\" {\n header = \"X-Class: secret*\"\n encrypt = always\n}\n"
                "rule \"cal\" {\n content = calendar tnef\n sign = never\n}\n"
                "rule \"staff\" {\n sender_group = staff@our.example\n encrypt = if-possible\n}\n"
                "rule \"rest\" {\n sign = never\n}\n");
    enum policy_known header[] = { POLICY_NO, POLICY_YES, POLICY_NO, POLICY_NO, POLICY_NO };
    enum policy_known groups[] = { POLICY_NO, POLICY_NO, POLICY_NO, POLICY_YES, POLICY_NO };
    struct policy_rule_message message = { .header = NULL };

    (void)state;
    /* Nothing is known. */
    assert_string_equal(answer_of(conf, NULL, false).rule->name, "secret");
    assert_false(answer_of(conf, NULL, false).certain);
    /* The header says no: the strictest of the others. */
    header[1] = POLICY_NO;
    message.header = header;
    assert_string_equal(answer_of(conf, &message, false).rule->name, "staff");
    assert_false(answer_of(conf, &message, false).certain);
    /* Size and content. */
    message.has_size = true;
    message.size = 1 << 20;
    message.has_content = true;
    message.content = POLICY_CONTENT_TNEF;
    assert_string_equal(answer_of(conf, &message, false).rule->name, "cal");
    assert_true(answer_of(conf, &message, false).certain);
    message.size++;
    assert_string_equal(answer_of(conf, &message, false).rule->name, "big");
    message.size = 10;
    message.content = POLICY_CONTENT_SIGNED;
    assert_false(answer_of(conf, &message, false).certain);
    message.groups = groups;
    assert_string_equal(answer_of(conf, &message, false).rule->name, "staff");
    assert_true(answer_of(conf, &message, false).certain);
    /* A group that could not be asked is never the next rule. */
    groups[3] = POLICY_UNKNOWN;
    assert_false(answer_of(conf, &message, false).certain);
    groups[3] = POLICY_NO;
    assert_string_equal(answer_of(conf, &message, false).rule->name, "rest");
    assert_true(answer_of(conf, &message, false).certain);
    header[1] = POLICY_YES;
    assert_string_equal(answer_of(conf, &message, false).rule->name, "secret");
    conf_free(&conf);
}

static void
what_an_unvouched_message_says_of_itself_takes_it_out_of_no_rule_that_encrypts(void **state)
{
    static const char *const ways_out[] = {
        "header = \"X-News: yes\"",         "size_under = 1MiB",       "content = calendar",
        "sender_group = staff@our.example", "sender = me@our.example",
    };
    enum policy_known all[] = { POLICY_YES, POLICY_YES };
    const struct policy_rule_message message = { .header = all,
                                                 .groups = all,
                                                 .has_size = true,
                                                 .size = 10,
                                                 .has_content = true,
                                                 .content = POLICY_CONTENT_CALENDAR };

    (void)state;
    for (size_t i = 0; i < sizeof ways_out / sizeof ways_out[0]; i++) {
        char text[500];
        struct conf *conf;

        snprintf(text, sizeof text,
                 "rule \"out\" {\n %s\n smime = no\n}\n"
                 "rule \"must\" {\n encrypt = always\n}\n",
                 ways_out[i]);
        conf = conf_of(text);
        assert_string_equal(answer_of(conf, &message, false).rule->name, "out");
        assert_string_equal(answer_of(conf, &message, true).rule->name, "must");
        conf_free(&conf);
    }
    /* The order says so where the rule is for nobody's mail itself. */
    struct conf *conf =
        conf_of("rule \"out\" {\n sender = <>\n content = calendar\n smime = no\n}\n"
                "rule \"must\" {\n encrypt = always\n}\n");
    assert_string_equal(answer_of(conf, &message, true).rule->name, "out");
    conf_free(&conf);
    /* What triggers encryption stays a trigger. */
    conf = conf_of("rule \"must\" {\n header = \"X-Class: secret\"\n encrypt = always\n}\n"
                   "rule \"rest\" {\n sign = never\n}\n");
    all[0] = POLICY_NO;
    assert_string_equal(answer_of(conf, &message, true).rule->name, "rest");
    conf_free(&conf);
}

static void
field_patterns_match_the_whole_text(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } rows[] = {
        { "X-Class: secret", "secret", true },
        { "X-Class: SECRET", "secret", true },
        { "X-Class: secret", "secret stuff", false },
        { "X-Class: secret*", "secret stuff", true },
        { "X-Class: *stuff", "secret stuff", true },
        { "X-Class: *cr*tu*", "secret stuff", true },
        { "X-Class: *tu*cr*", "secret stuff", false },
        { "X-Class: s*s*f", "secret stuff", true },
        { "X-Class: *", "", true },
        { "X-Class: **", "x", true },
        { "X-Class: a*a", "a", false },
        { "X-Other: *", "secret", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char pattern[50];
        char *list[] = { pattern, NULL };

        snprintf(pattern, sizeof pattern, "%s", rows[i].pattern);
        assert_int_equal(policy_rule_lists_field(list, "x-class", span_str(rows[i].text)),
                         rows[i].matches);
    }
}

/* ---- settings ----------------------------------------------------------------------------------
 */

static const char scoped[] =
    "rule \"out\" {\n direction = out\n digest = sha384\n}\n"
    "user \"boss@our.example\" {\n encrypt = if-possible\n digest = sha512\n}\n"
    "domain \"our.example\" {\n encrypt = always\n cipher = aes128-cbc\n}\n"
    "domain \"*.our.example\" {\n encrypt = default-on\n}\n"
    "domain \"partner.example\" {\n must_encrypt = yes\n}\n"
    "user \"info@partner.example\" {\n must_encrypt = no\n}\n"
    "defaults {\n sign = default-off\n cipher = aes256-gcm\n key_transport = oaep\n}\n";

static void
what_a_rule_leaves_open_comes_from_user_domain_defaults_table_in_this_order(void **state)
{
    static const struct {
        const char *sender;
        int sign, encrypt, digest, cipher, key_transport;
    } rows[] = {
        { "boss@our.example", CONF_SIGN_DEFAULT_OFF, CONF_ENCRYPT_IF_POSSIBLE, 1, 0, 1 },
        { "BOSS@our.example", CONF_SIGN_DEFAULT_OFF, CONF_ENCRYPT_IF_POSSIBLE, 1, 0, 1 },
        { "me@our.example", CONF_SIGN_DEFAULT_OFF, CONF_ENCRYPT_ALWAYS, 1, 0, 1 },
        { "me@a.b.our.example", CONF_SIGN_DEFAULT_OFF, CONF_ENCRYPT_DEFAULT_ON, 1, 3, 1 },
        { "me@else.example", CONF_SIGN_DEFAULT_OFF, CONF_ENCRYPT_NEVER, 1, 3, 1 },
        { "", CONF_SIGN_DEFAULT_OFF, CONF_ENCRYPT_NEVER, 1, 3, 1 },
    };
    struct conf *conf = conf_of(scoped);
    struct conf_rule out;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(policy_rule_merge(
            conf,
            &(struct policy_rule_settings){ .rule = &conf->rules[0], .sender = rows[i].sender },
            &out));
        assert_int_equal(out.sign, rows[i].sign);
        assert_int_equal(out.encrypt, rows[i].encrypt);
        assert_int_equal(out.digest, rows[i].digest);
        assert_int_equal(out.cipher, rows[i].cipher);
        assert_int_equal(out.key_transport, rows[i].key_transport);
    }
    /* Nobody's claim to be the boss makes him less strict; to be of the domain, stricter. */
    assert_true(policy_rule_merge(conf,
                                  &(struct policy_rule_settings){ .rule = &conf->rules[0],
                                                                  .sender = "boss@our.example",
                                                                  .unvouched = true },
                                  &out));
    assert_int_equal(out.encrypt, CONF_ENCRYPT_NEVER);
    assert_true(policy_rule_asks_sender(conf));
    conf_free(&conf);
}

/* The built-in rule leaves everything open, and a rule without sections is the rule itself. */
static void
settings_hold_where_no_rule_matches(void **state)
{
    struct conf *conf = conf_of("defaults {\n sign = always\n}\n");
    struct conf_rule out;
    struct policy_rule_settings settings = { .rule = policy_rule_builtin(),
                                             .sender = "a@b.example" };

    (void)state;
    assert_true(policy_rule_merge(conf, &settings, &out));
    assert_int_equal(out.sign, CONF_SIGN_ALWAYS);
    conf_free(&conf);
    conf = conf_of("rule \"x\" {\n}\n");
    settings.rule = &conf->rules[0];
    assert_false(policy_rule_merge(conf, &settings, &out));
    assert_false(policy_rule_asks_sender(conf));
    conf_free(&conf);
}

static void
recipient_that_must_be_encrypted_outranks_rule_kind_and_bypass(void **state)
{
    struct conf *conf =
        conf_of("rule \"off\" {\n smime = no\n}\n"
                "rule \"cal\" {\n sign = never\n calendar = pass\n no_certificate = plain\n}\n"
                "domain \"partner.example\" {\n must_encrypt = yes\n}\n"
                "user \"info@partner.example\" {\n must_encrypt = no\n}\n"
                "domain \"*.partner.example\" {\n must_encrypt = yes\n}\n");
    struct conf_rule out;

    (void)state;
    assert_true(policy_rule_must_encrypt(conf, "a@partner.example"));
    assert_true(policy_rule_must_encrypt(conf, "a@PARTNER.example"));
    assert_true(policy_rule_must_encrypt(conf, "a@x.y.partner.example"));
    assert_false(policy_rule_must_encrypt(conf, "Info@partner.example"));
    assert_false(policy_rule_must_encrypt(conf, "a@notpartner.example"));
    assert_false(policy_rule_must_encrypt(conf, "not an address"));
    assert_false(policy_rule_asks_sender(conf));
    for (size_t i = 0; i < 2; i++) {
        for (int bypass = 0; bypass < 2; bypass++) {
            struct policy_rule_settings settings = { .rule = &conf->rules[i],
                                                     .sender = "me@our.example",
                                                     .content = POLICY_CONTENT_CALENDAR,
                                                     .bypass = bypass != 0,
                                                     .must_encrypt = true };

            assert_true(policy_rule_merge(conf, &settings, &out));
            assert_true(out.smime);
            assert_int_equal(out.encrypt, CONF_ENCRYPT_ALWAYS);
            assert_int_equal(out.sign, CONF_SIGN_NEVER);
            assert_int_equal(out.no_certificate, CONF_NO_CERTIFICATE_REFUSE);
        }
    }
    conf_free(&conf);
}

/* Over all settings: bypass signs nothing and takes no encryption away but the opportunistic one.
 */
static void
bypass_ends_signing_and_lifts_no_encryption(void **state)
{
    struct conf *conf = conf_of("rule \"x\" {\n}\n");

    (void)state;
    for (int sign = 0; sign < 4; sign++) {
        for (int encrypt = 0; encrypt < 5; encrypt++) {
            for (int wish = 0; wish < 4; wish++) {
                const struct policy_choice choice = { .encrypt = wish == 1, .plain = wish == 2 };
                struct conf_rule rule = conf->rules[0], out;
                struct policy_rule_settings settings = { .rule = &rule,
                                                         .bypass = true,
                                                         .choice = wish == 3 ? NULL : &choice };
                enum conf_encrypt before;

                rule.sign = sign;
                rule.encrypt = encrypt;
                before = policy_choice_encrypt(&rule, &choice);
                (void)policy_rule_merge(conf, &settings, &out);
                assert_int_equal(policy_choice_sign(&out, &choice), CONF_SIGN_NEVER);
                assert_int_equal(policy_choice_encrypt(&out, &choice) == CONF_ENCRYPT_ALWAYS,
                                 before == CONF_ENCRYPT_ALWAYS);
                if (before == CONF_ENCRYPT_IF_POSSIBLE)
                    assert_int_equal(out.encrypt, CONF_ENCRYPT_NEVER);
                settings.inbound = true;
                (void)policy_rule_merge(conf, &settings, &out);
                assert_false(out.smime);
            }
        }
    }
    conf_free(&conf);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_vouches_for_takes_no_message_out_of_encryption),
        cmocka_unit_test(condition_that_is_not_known_leaves_the_strictest_rule_and_no_certainty),
        cmocka_unit_test(
            what_an_unvouched_message_says_of_itself_takes_it_out_of_no_rule_that_encrypts),
        cmocka_unit_test(field_patterns_match_the_whole_text),
        cmocka_unit_test(
            what_a_rule_leaves_open_comes_from_user_domain_defaults_table_in_this_order),
        cmocka_unit_test(settings_hold_where_no_rule_matches),
        cmocka_unit_test(recipient_that_must_be_encrypted_outranks_rule_kind_and_bypass),
        cmocka_unit_test(bypass_ends_signing_and_lifts_no_encryption),
        cmocka_unit_test(first_matching_rule_in_the_order_of_the_file_decides),
        cmocka_unit_test(mismatch_names_what_did_not_match),
        cmocka_unit_test(null_sender_matches_only_a_star_or_the_null_path),
        cmocka_unit_test(built_in_rule_has_the_defaults_of_the_table_but_signs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
