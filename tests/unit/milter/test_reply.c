#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "milter/reply.h"

static void
fill(struct flow_answer *answer, const char *text)
{
    memset(answer, 0, sizeof *answer);
    answer->kind = FLOW_REFUSE;
    answer->code = 550;
    memcpy(answer->enhanced, "5.7.1", 6);
    memcpy(answer->text, text, strnlen(text, sizeof answer->text - 1));
}

static void
reply_of_a_short_text_is_one_line(void **state)
{
    struct flow_answer answer;
    struct milter_reply reply;

    (void)state;
    fill(&answer, "no certificate for <a@example.com>");
    milter_reply_format(&answer, &reply);
    assert_string_equal(reply.code, "550");
    assert_string_equal(reply.enhanced, "5.7.1");
    assert_int_equal(reply.count, 1);
    assert_string_equal(reply.lines[0], "no certificate for <a@example.com>");
}

static void
reply_doubles_percent_signs_because_libmilter_formats(void **state)
{
    struct flow_answer answer;
    struct milter_reply reply;

    (void)state;
    fill(&answer, "100% of a%sb");
    milter_reply_format(&answer, &reply);
    assert_string_equal(reply.lines[0], "100%% of a%%sb");
}

static void
reply_has_no_line_end_and_no_octet_beyond_ascii(void **state)
{
    struct flow_answer answer;
    struct milter_reply reply;

    (void)state;
    fill(&answer, "a\r\n250 ok\x7f\xc3\xa4\t");
    milter_reply_format(&answer, &reply);
    assert_int_equal(reply.count, 1);
    assert_string_equal(reply.lines[0], "a??250 ok????");
}

static void
reply_folds_a_long_text_at_spaces(void **state)
{
    char text[1000];
    struct flow_answer answer;
    struct milter_reply reply;
    size_t total = 0;

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 10 == 9 ? ' ' : 'a';
    text[sizeof text - 2] = 'a';
    text[sizeof text - 1] = '\0';
    fill(&answer, text);
    milter_reply_format(&answer, &reply);
    assert_true(reply.count >= 3);
    for (size_t i = 0; i < reply.count; i++) {
        assert_true(strlen(reply.lines[i]) <= MILTER_REPLY_LINE);
        assert_true(reply.lines[i][0] != ' ');
        total += strlen(reply.lines[i]) + (i + 1 < reply.count);
    }
    assert_int_equal(total, strlen(text));
}

static void
reply_folds_a_text_without_spaces_and_full_of_percent_signs(void **state)
{
    char text[1000];
    struct flow_answer answer;
    struct milter_reply reply;

    (void)state;
    memset(text, '%', sizeof text);
    text[sizeof text - 1] = '\0';
    fill(&answer, text);
    milter_reply_format(&answer, &reply);
    assert_int_equal(reply.count, 3);
    assert_int_equal(strlen(reply.lines[0]), 2 * MILTER_REPLY_LINE);
    assert_int_equal(strlen(reply.lines[2]), 2 * (999 - 2 * MILTER_REPLY_LINE));
}

static void
reply_without_text_still_has_a_line(void **state)
{
    struct flow_answer answer;
    struct milter_reply reply;

    (void)state;
    fill(&answer, "");
    milter_reply_format(&answer, &reply);
    assert_int_equal(reply.count, 1);
    assert_string_equal(reply.lines[0], "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reply_of_a_short_text_is_one_line),
        cmocka_unit_test(reply_doubles_percent_signs_because_libmilter_formats),
        cmocka_unit_test(reply_has_no_line_end_and_no_octet_beyond_ascii),
        cmocka_unit_test(reply_folds_a_long_text_at_spaces),
        cmocka_unit_test(reply_folds_a_text_without_spaces_and_full_of_percent_signs),
        cmocka_unit_test(reply_without_text_still_has_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
