#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "flow/reply.h"

static struct flow_answer
reply_of(enum err_code code, enum flow_phase phase, const char *text)
{
    struct flow_answer answer;
    struct err err = ERR_INIT;

    (void)err_set(&err, code, "%s", text);
    flow_reply_error(&err, phase, &answer);
    return answer;
}

static void
only_what_the_message_is_to_blame_for_is_permanent(void **state)
{
    static const enum err_code codes[] = { ERR_NOTFOUND, ERR_TEMP, ERR_PERM,         ERR_LIMIT,
                                           ERR_NOMEM,    ERR_BUG,  (enum err_code)77 };
    unsigned phase, i, permanent = 0;

    (void)state;
    for (phase = FLOW_PHASE_ENVELOPE; phase <= FLOW_PHASE_BUDGET + 1; phase++) {
        for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
            struct flow_answer answer = reply_of(codes[i], (enum flow_phase)phase, "why");

            assert_true(answer.kind == FLOW_REFUSE || answer.kind == FLOW_DEFER);
            assert_int_equal(answer.kind == FLOW_REFUSE, answer.code >= 500);
            assert_int_equal(answer.enhanced[0], '0' + answer.code / 100);
            if (answer.kind == FLOW_REFUSE) {
                permanent++;
                assert_true(codes[i] == ERR_LIMIT || codes[i] == ERR_PERM);
                assert_true(phase == FLOW_PHASE_HEADER || phase == FLOW_PHASE_BODY ||
                            phase == FLOW_PHASE_STRUCTURE ||
                            ((phase == FLOW_PHASE_ENVELOPE || phase == FLOW_PHASE_MARK ||
                              phase == FLOW_PHASE_COPIES) &&
                             codes[i] == ERR_PERM));
            }
        }
    }
    assert_int_equal(permanent, 7);
}

static void
a_message_beyond_its_bound_is_552(void **state)
{
    struct flow_answer answer = reply_of(ERR_LIMIT, FLOW_PHASE_BODY, "larger than 100 octets");

    (void)state;
    assert_int_equal(answer.code, 552);
    assert_string_equal(answer.enhanced, "5.3.4");
    assert_string_equal(answer.text, "larger than 100 octets");
}

static void
too_many_recipients_are_to_be_sent_again(void **state)
{
    struct flow_answer answer = reply_of(ERR_LIMIT, FLOW_PHASE_ENVELOPE, "more than 5 recipients");

    (void)state;
    assert_int_equal(answer.code, 452);
    assert_string_equal(answer.enhanced, "4.5.3");
}

static void
our_own_failure_does_not_tell_its_inside(void **state)
{
    struct flow_answer answer = reply_of(ERR_BUG, FLOW_PHASE_BUILD, "secret path /var/lib/keys");

    (void)state;
    assert_int_equal(answer.code, 451);
    assert_null(strstr(answer.text, "secret"));
}

static void
an_insane_code_of_policy_defers(void **state)
{
    static const int codes[] = { 1, 250, 399, 600, -5, 550 };
    struct flow_answer answer;
    unsigned i;

    (void)state;
    for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        flow_reply_set(&answer, codes[i], "4.7.1", "text");
        assert_int_equal(answer.kind, FLOW_DEFER);
        assert_int_equal(answer.code, 451);
        assert_string_equal(answer.enhanced, "4.3.0");
    }
    flow_reply_set(&answer, 550, NULL, "text");
    assert_int_equal(answer.code, 451);
    flow_reply_set(&answer, 0, NULL, NULL);
    assert_int_equal(answer.kind, FLOW_CONTINUE);
    flow_reply_set(&answer, 550, "5.7.1", "no");
    assert_int_equal(answer.code, 550);
    assert_int_equal(answer.kind, FLOW_REFUSE);
}

static void
a_line_break_cannot_end_the_reply(void **state)
{
    struct flow_answer answer;
    char out[16];

    (void)state;
    flow_reply_set(&answer, 550, "5.7.1", "one\r\n250 two\x01\xc3\xa4%s");
    assert_string_equal(answer.text, "one  250 two???%s");
    flow_reply_text("0123456789abcdefgh", out, sizeof(out));
    assert_string_equal(out, "0123456789ab...");
    flow_reply_text("0123456789abcde", out, sizeof(out));
    assert_string_equal(out, "0123456789abcde");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_the_message_is_to_blame_for_is_permanent),
        cmocka_unit_test(a_message_beyond_its_bound_is_552),
        cmocka_unit_test(too_many_recipients_are_to_be_sent_again),
        cmocka_unit_test(our_own_failure_does_not_tell_its_inside),
        cmocka_unit_test(an_insane_code_of_policy_defers),
        cmocka_unit_test(a_line_break_cannot_end_the_reply),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
