#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/text.h"

static void
parts_follow_each_other_until_the_line_is_full(void **state)
{
    char out[16];
    struct policy_text text;

    (void)state;
    policy_text_init(&text, out, sizeof out);
    assert_int_equal(policy_text_left(&text), 15);
    policy_text_write(&text, "abc");
    policy_text_write(&text, NULL);
    policy_text_write(&text, "");
    policy_text_write_count(&text, 42);
    assert_string_equal(out, "abc42");
    policy_text_write(&text, "0123456789");
    assert_string_equal(out, "abc420123456789");
    policy_text_write(&text, "more");
    assert_string_equal(out, "abc420123456789");
    assert_int_equal(policy_text_left(&text), 0);
}

static void
what_does_not_fit_ends_in_dots(void **state)
{
    char out[12];
    struct policy_text text;

    (void)state;
    policy_text_init(&text, out, sizeof out);
    policy_text_write_short(&text, "abcdefgh", 6);
    assert_string_equal(out, "abc...");
    policy_text_write(&text, "0123456789");
    assert_string_equal(out, "abc...01...");
}

static void
a_cut_never_splits_a_character(void **state)
{
    (void)state;
    for (size_t limit = 3; limit < 12; limit++) {
        char out[32];
        struct policy_text text;
        size_t n;

        policy_text_init(&text, out, sizeof out);
        policy_text_write_short(&text, "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z!", limit);
        n = strlen(out);
        assert_true(n <= limit);
        assert_string_equal(out + n - 3, "...");
        n -= 3;
        assert_true(n == 0 || n == 1 || n == 3 || n == 6 || n == 10);
    }
}

static void
control_characters_become_question_marks(void **state)
{
    char *out = malloc(8);
    struct policy_text text;

    (void)state;
    assert_non_null(out);
    policy_text_init(&text, out, 8);
    policy_text_write(&text, "a\r\nb\x7F\t\x01");
    assert_string_equal(out, "a??b???");
    free(out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_follow_each_other_until_the_line_is_full),
        cmocka_unit_test(what_does_not_fit_ends_in_dots),
        cmocka_unit_test(a_cut_never_splits_a_character),
        cmocka_unit_test(control_characters_become_question_marks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
