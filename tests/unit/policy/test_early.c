#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/early.h"

#define TRUST "trust \"default\" { anchors = / }\n"
#define RULE "rule \"seal\" { encrypt = always\n no_certificate_at_rcpt = yes }\n"

/* About the last rule of a configuration. */
static bool
decides(const char *text, bool certain)
{
    struct conf *conf = NULL;
    struct err err = ERR_INIT;
    bool found;

    if (conf_parse("test", text, NULL, NULL, &conf, &err) != ERR_OK)
        fail_msg("%s", err.text);
    found = policy_early_decides(conf, &conf->rules[conf->rule_count - 1], certain);
    conf_free(&conf);
    return found;
}

static void
it_is_decided_where_nothing_can_change_it(void **state)
{
    (void)state;
    assert_true(decides(TRUST RULE, true));
    assert_true(
        decides(TRUST "rule \"in\" { direction = in\n sender = a@x.example }\n" RULE, true));
    assert_true(decides(TRUST "rule \"to\" { recipient = *@x.example\n smime = no }\n" RULE, true));
    assert_true(decides(TRUST "rule \"any\" { sender = a@x.example * }\n" RULE, true));
    /* must_encrypt is of recipients. */
    assert_true(decides(TRUST "domain \"x.example\" { must_encrypt = yes }\n" RULE, true));
}

static void
what_can_change_is_left_to_the_end(void **state)
{
    static const char *const texts[] = {
        TRUST "rule \"who\" { sender = a@x.example\n smime = no }\n" RULE,
        TRUST "rule \"who\" { sender = <> }\n" RULE,
        TRUST "rule \"group\" { sender_group = staff@x.example }\n" RULE,
        TRUST RULE "rule \"later\" { sender = a@x.example\n encrypt = always\n"
                   " no_certificate_at_rcpt = yes }\n",
        TRUST "user \"a@x.example\" { encrypt = never }\n" RULE,
        TRUST "domain \"x.example\" { no_certificate = plain }\n" RULE,
        TRUST "rule \"seal\" { encrypt = always }\n",
        TRUST "rule \"seal\" { encrypt = default-on\n no_certificate_at_rcpt = yes }\n",
        TRUST "rule \"seal\" { encrypt = if-possible\n no_certificate_at_rcpt = yes }\n",
        TRUST "rule \"seal\" { smime = no\n encrypt = always\n no_certificate_at_rcpt = yes }\n",
        TRUST "rule \"seal\" { encrypt = always\n no_certificate = return\n"
              " no_certificate_at_rcpt = yes }\n",
        TRUST "rule \"seal\" { encrypt = always\n no_certificate = plain\n"
              " no_certificate_at_rcpt = yes }\n",
    };

    (void)state;
    assert_false(decides(TRUST RULE, false));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (decides(texts[i], true))
            fail_msg("decided: %s", texts[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_decided_where_nothing_can_change_it),
        cmocka_unit_test(what_can_change_is_left_to_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
