#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/err.h"

static void
err_keeps_the_first_text_and_code(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(err_set_reason(&err, ERR_TEMP, "dead", "no answer from %s", "ldap"), ERR_TEMP);
    assert_int_equal(err_set(&err, ERR_PERM, "second"), ERR_TEMP);
    assert_int_equal(err_set_errno(&err, EIO, "third"), ERR_TEMP);
    assert_int_equal(err.code, ERR_TEMP);
    assert_string_equal(err.text, "no answer from ldap");
    assert_string_equal(err.reason, "dead");
    err_reset(&err);
    assert_int_equal(err.code, ERR_OK);
    assert_null(err.reason);
    assert_string_equal(err.text, "");
}

static void
err_of_nobody_still_gives_the_code(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_LIMIT, "x"), ERR_LIMIT);
    assert_int_equal(err_set_reason(NULL, ERR_PERM, "r", "x"), ERR_PERM);
    assert_int_equal(err_set_errno(NULL, ENOMEM, "x"), ERR_NOMEM);
    err_reset(NULL);
}

static void
err_prefix_stands_before_the_text(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    (void)err_set_reason(&err, ERR_PERM, "why", "inner");
    assert_int_equal(err_prefix(&err, "part %d", 2), ERR_PERM);
    assert_int_equal(err_prefix(&err, "outer"), ERR_PERM);
    assert_string_equal(err.text, "outer: part 2: inner");
    assert_string_equal(err.reason, "why");
}

static void
err_prefix_never_pushes_the_reason_out(void **state)
{
    struct err err = ERR_INIT;
    char *whole = malloc(ERR_TEXT_SIZE + 100);

    (void)state;
    memset(whole, 'x', ERR_TEXT_SIZE + 99);
    whole[ERR_TEXT_SIZE + 99] = '\0';
    (void)err_set(&err, ERR_PERM, "inner");
    (void)err_prefix(&err, "%s", whole);
    assert_string_equal(err.text, "inner");
    /* And a long text is cut at its end, where it is least missed. */
    err_reset(&err);
    (void)err_set(&err, ERR_PERM, "%s", whole);
    assert_int_equal(strlen(err.text), ERR_TEXT_SIZE - 1);
    (void)err_prefix(&err, "ab");
    assert_int_equal(strlen(err.text), ERR_TEXT_SIZE - 1);
    assert_memory_equal(err.text, "ab: xxx", 7);
    free(whole);
}

static void
err_set_errno_says_what_and_why(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(err_set_errno(&err, ENOENT, "open %s", "/x"), ERR_TEMP);
    assert_string_equal(err.text, "open /x: No such file or directory");
    err_reset(&err);
    assert_int_equal(err_set_errno(&err, ENOSPC, "write"), ERR_NOMEM);
    assert_string_equal(err.text, "write: No space left on device");
    err_reset(&err);
    assert_int_equal(err_set_errno(&err, EDQUOT, "write"), ERR_NOMEM);
}

static void
err_codes_have_names(void **state)
{
    static const char *const names[] = {
        "ok", "notfound", "temp", "perm", "limit", "nomem", "bug"
    };

    (void)state;
    for (int code = ERR_OK; code <= ERR_BUG; code++)
        assert_string_equal(err_code_name((enum err_code)code), names[code]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_keeps_the_first_text_and_code),
        cmocka_unit_test(err_of_nobody_still_gives_the_code),
        cmocka_unit_test(err_prefix_stands_before_the_text),
        cmocka_unit_test(err_prefix_never_pushes_the_reason_out),
        cmocka_unit_test(err_set_errno_says_what_and_why),
        cmocka_unit_test(err_codes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
