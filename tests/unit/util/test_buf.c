#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "util/buf.h"
#include "util/span.h"

static void
buf_grows_to_its_limit_and_not_beyond(void **state)
{
    struct buf b = BUF_INIT(1000);
    struct err err = ERR_INIT;

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_append_byte(&b, (unsigned char)('a' + i % 26), &err), ERR_OK);
    assert_int_equal(buf_append_byte(&b, 'x', &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "1000"));
    assert_int_equal(b.n, 1000);
    assert_int_equal(b.p[999], 'a' + 999 % 26);
    assert_int_equal(b.p[1000], '\0');
    buf_free(&b);
    assert_null(b.p);
    assert_int_equal(b.limit_bytes, 1000);
    err_reset(&err);
    assert_int_equal(buf_append_str(&b, "again", &err), ERR_OK);
    assert_string_equal(buf_str(&b), "again");
    buf_free(&b);
}

static void
buf_limit_is_never_a_truncation(void **state)
{
    struct buf b = BUF_INIT(8);
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(buf_append_str(&b, "12345", NULL), ERR_OK);
    assert_int_equal(buf_append_str(&b, "6789", &err), ERR_LIMIT);
    assert_string_equal(buf_str(&b), "12345");
    assert_int_equal(buf_appendf(&b, &err, "%d", 6789), ERR_LIMIT);
    assert_string_equal(buf_str(&b), "12345");
    assert_int_equal(buf_reserve(&b, SIZE_MAX, &err), ERR_LIMIT);
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 4, &err), ERR_LIMIT);
    assert_int_equal(buf_append_str(&b, "678", NULL), ERR_OK);
    assert_string_equal(buf_str(&b), "12345678");
    buf_free(&b);
}

static void
buf_without_limit_refuses_sizes_that_overflow(void **state)
{
    struct buf b = BUF_INIT(SIZE_MAX);
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(buf_append_str(&b, "abc", &err), ERR_OK);
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 3, &err), ERR_NOMEM);
    assert_string_equal(buf_str(&b), "abc");
    buf_free(&b);
}

static void
buf_append_takes_a_piece_of_itself(void **state)
{
    struct buf b = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    size_t n = 5;

    (void)state;
    assert_int_equal(buf_append_str(&b, "hello", &err), ERR_OK);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(buf_append(&b, buf_span(&b), &err), ERR_OK);
        n *= 2;
    }
    assert_int_equal(b.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(b.p[i], "hello"[i % 5]);
    buf_free(&b);
}

static void
buf_reset_and_consume_leave_nothing_readable(void **state)
{
    struct buf b = BUF_INIT(100);

    (void)state;
    assert_int_equal(buf_append_str(&b, "secret-part-and-rest", NULL), ERR_OK);
    buf_consume(&b, 12);
    assert_string_equal(buf_str(&b), "and-rest");
    for (size_t i = b.n; i < 20; i++)
        assert_int_equal(b.p[i], 0);
    buf_consume(&b, 1000);
    assert_int_equal(b.n, 0);
    assert_int_equal(buf_append_str(&b, "secret", NULL), ERR_OK);
    buf_reset(&b);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(b.p[i], 0);
    buf_free(&b);
    buf_consume(&b, 3);
    buf_reset(&b);
    assert_string_equal(buf_str(&b), "");
}

static void
buf_appendf_writes_formatted_text(void **state)
{
    struct buf b = BUF_INIT(4096);
    struct err err = ERR_INIT;

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_appendf(&b, &err, "%d,", i), ERR_OK);
    assert_memory_equal(buf_str(&b), "0,1,2,3,", 8);
    assert_string_equal(buf_str(&b) + b.n - 6, "98,99,");
    buf_free(&b);
}

static void
buf_reserve_makes_the_next_appends_safe(void **state)
{
    struct buf b = BUF_INIT(100);
    unsigned char *before;

    (void)state;
    assert_int_equal(buf_reserve(&b, 100, NULL), ERR_OK);
    before = b.p;
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_append_byte(&b, 'x', NULL), ERR_OK);
    assert_ptr_equal(b.p, before);
    buf_free(&b);
}

static void
span_helpers_bear_empty_and_null(void **state)
{
    struct span none = { .p = NULL };

    (void)state;
    assert_true(span_equal(none, span_str("")));
    assert_true(span_equal(none, span_str(NULL)));
    assert_int_equal(span_find(none, 'a'), 0);
    assert_int_equal(span_trim(none).n, 0);
    assert_int_equal(span_from(none, 5).n, 0);
    assert_true(span_starts_nocase(none, ""));
    assert_false(span_starts_nocase(none, "a"));
}

static void
span_compares_without_case_in_ascii_only(void **state)
{
    (void)state;
    assert_true(span_equal_nocase(span_str("Content-TYPE"), "content-type"));
    assert_false(span_equal_nocase(span_str("content-type "), "content-type"));
    /* U+212A KELVIN SIGN is no k, and 0xC4 is no 0xE4. */
    assert_false(span_equal_nocase(span_str("\xe2\x84\xaa"), "k"));
    assert_false(span_equal_nocase(span_str("\xc4"), "\xe4"));
    assert_false(span_equal_nocase(span_str("@"), "`"));
    assert_false(span_equal_nocase(span_str("["), "{"));
    assert_true(span_starts_nocase(span_str("MULTIPART/signed"), "multipart/"));
}

static void
span_dup_refuses_nul(void **state)
{
    char *copy = span_dup(span_of("ab\0c", 2));

    (void)state;
    assert_string_equal(copy, "ab");
    free(copy);
    assert_null(span_dup(span_of("ab\0c", 4)));
    copy = span_dup(span_of(NULL, 0));
    assert_string_equal(copy, "");
    free(copy);
}

static void
span_trim_takes_blanks_off_both_ends(void **state)
{
    (void)state;
    assert_true(span_equal(span_trim(span_str(" \t\r\n a b \r\n")), span_str("a b")));
    assert_int_equal(span_trim(span_str(" \t\r\n")).n, 0);
    /* A NUL is no blank: it must be seen, not trimmed. */
    assert_int_equal(span_trim(span_of("\0a ", 3)).n, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_grows_to_its_limit_and_not_beyond),
        cmocka_unit_test(buf_limit_is_never_a_truncation),
        cmocka_unit_test(buf_without_limit_refuses_sizes_that_overflow),
        cmocka_unit_test(buf_append_takes_a_piece_of_itself),
        cmocka_unit_test(buf_reset_and_consume_leave_nothing_readable),
        cmocka_unit_test(buf_appendf_writes_formatted_text),
        cmocka_unit_test(buf_reserve_makes_the_next_appends_safe),
        cmocka_unit_test(span_helpers_bear_empty_and_null),
        cmocka_unit_test(span_compares_without_case_in_ascii_only),
        cmocka_unit_test(span_dup_refuses_nul),
        cmocka_unit_test(span_trim_takes_blanks_off_both_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
