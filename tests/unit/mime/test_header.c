#include "pieces.h"

#include "mime/header.h"

static struct mime_header *
parsed(struct span section)
{
    struct err err = ERR_INIT;
    struct mime_header *header = NULL;
    struct span copy = exact(section);
    assert_int_equal(mime_header_new(1 << 16, 100, &header, &err), ERR_OK);
    assert_int_equal(mime_header_parse(header, copy, &err), ERR_OK);
    exact_free(copy);
    return header;
}

static void
assert_field(const struct mime_header *header, size_t index, const char *name, struct span value)
{
    struct mime_header_field field = mime_header_get(header, index);
    assert_span(field.name, span_str(name));
    assert_span(field.value, value);
}

static void
assert_formatted(const struct mime_header *header, struct span wanted)
{
    struct err err = ERR_INIT;
    struct buf out = BUF_INIT(1 << 16);
    assert_int_equal(mime_header_format(header, &out, &err), ERR_OK);
    assert_span(buf_span(&out), wanted);
    buf_free(&out);
}

static void
fields_are_kept_as_they_came_with_lf_and_crlf(void **state)
{
    (void)state;
    struct mime_header *h = parsed(LITERAL("A: 1\nB:2\r\nC :  3 \r\n x\r\n\ty\nD:\n"));
    assert_int_equal(mime_header_count(h), 4);
    assert_int_equal(mime_header_malformed(h), 0);
    assert_field(h, 0, "A", LITERAL(" 1"));
    assert_field(h, 1, "B", LITERAL("2"));
    assert_field(h, 2, "C", LITERAL("  3 \r\n x\r\n\ty"));
    assert_field(h, 3, "D", LITERAL(""));
    assert_formatted(h, LITERAL("A: 1\r\nB:2\r\nC:  3 \r\n x\r\n\ty\r\nD:\r\n"));
    mime_header_free(&h);
    assert_null(h);
}

static void
a_field_without_final_line_break_counts(void **state)
{
    (void)state;
    struct mime_header *h = parsed(LITERAL("A: 1\n folded"));
    assert_int_equal(mime_header_count(h), 1);
    assert_field(h, 0, "A", LITERAL(" 1\n folded"));
    mime_header_free(&h);
    h = parsed(LITERAL("A:"));
    assert_field(h, 0, "A", LITERAL(""));
    mime_header_free(&h);
}

static void
an_empty_line_ends_the_section(void **state)
{
    (void)state;
    struct mime_header *h = parsed(LITERAL("A: 1\r\n\r\nB: 2\r\n"));
    assert_int_equal(mime_header_count(h), 1);
    mime_header_free(&h);
    h = parsed(LITERAL("\nB: 2\n"));
    assert_int_equal(mime_header_count(h), 0);
    mime_header_free(&h);
    h = parsed(LITERAL(""));
    assert_int_equal(mime_header_count(h), 0);
    mime_header_free(&h);
}

static void
a_line_of_white_space_is_folding_not_the_end(void **state)
{
    (void)state;
    struct mime_header *h = parsed(LITERAL("A: 1\r\n \r\nB: 2\r\n"));
    assert_int_equal(mime_header_count(h), 2);
    assert_field(h, 0, "A", LITERAL(" 1\r\n "));
    mime_header_free(&h);
}

static void
lines_that_are_no_field_are_kept_and_counted(void **state)
{
    (void)state;
    const struct {
        struct span line;
    } cases[] = {
        { LITERAL("From a@b Mon Jan  1 00:00:00 2026") },
        { LITERAL(">From a@b Mon Jan  1 00:00:00 2026") },
        { LITERAL(" continuation of nothing: x") },
        { LITERAL("no colon here") },
        { LITERAL(": no name") },
        { LITERAL("two words: x") },
        { LITERAL("N\0L: x") },
        { LITERAL("G\xc3\xbc: x") },
        { LITERAL("T\x7f: x") },
        { LITERAL("\r") },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = ERR_INIT;
        struct buf section = BUF_INIT(1000);
        assert_int_equal(buf_append(&section, cases[i].line, &err), ERR_OK);
        assert_int_equal(buf_append_str(&section, "\r\nA: 1\r\n", &err), ERR_OK);
        struct mime_header *h = parsed(buf_span(&section));
        assert_int_equal(mime_header_count(h), 2);
        assert_int_equal(mime_header_malformed(h), 1);
        assert_field(h, 0, "", cases[i].line);
        assert_field(h, 1, "A", LITERAL(" 1"));
        mime_header_free(&h);
        buf_free(&section);
    }
}

static void
a_continuation_of_a_malformed_line_belongs_to_it(void **state)
{
    (void)state;
    struct mime_header *h = parsed(LITERAL("junk\n more: x\nA: 1\n"));
    assert_int_equal(mime_header_count(h), 2);
    assert_field(h, 0, "", LITERAL("junk\n more: x"));
    assert_formatted(h, LITERAL("junk\r\n more: x\r\nA: 1\r\n"));
    mime_header_free(&h);
}

static void
nul_and_bare_cr_in_a_value_are_data(void **state)
{
    (void)state;
    struct mime_header *h = parsed(LITERAL("A: x\0y\rz\r\r\nB: 1\r\n"));
    assert_int_equal(mime_header_count(h), 2);
    assert_field(h, 0, "A", LITERAL(" x\0y\rz\r"));
    /* What leaves has no bare CR. */
    assert_formatted(h, LITERAL("A: x\0y z \r\nB: 1\r\n"));
    mime_header_free(&h);
}

static void
a_malformed_line_does_not_become_a_field_by_its_bare_cr(void **state)
{
    (void)state;
    struct mime_header *h = parsed(LITERAL("A: 1\nBcc\r: x\n\rBcc: y\n\r\r\n"));
    assert_int_equal(mime_header_malformed(h), 3);
    assert_formatted(h, LITERAL("A: 1\r\nBcc?: x\r\n?Bcc: y\r\n?\r\n"));
    mime_header_free(&h);
}

static void
names_are_found_without_regard_to_case(void **state)
{
    (void)state;
    struct mime_header *h = parsed(LITERAL("To: a\nX: 0\nTO : b\nto: c\nTo-x: d\nT: e\njunk\n"));
    struct mime_header_field field;
    assert_int_equal(mime_header_find_count(h, "to"), 3);
    assert_true(mime_header_find(h, "tO", 0, &field));
    assert_span(field.value, LITERAL(" a"));
    assert_true(mime_header_find(h, "To", 2, &field));
    assert_span(field.value, LITERAL(" c"));
    assert_span(field.name, LITERAL("to"));
    assert_false(mime_header_find(h, "To", 3, &field));
    assert_false(mime_header_find(h, "Cc", 0, &field));
    assert_false(mime_header_find(h, "", 0, &field));
    assert_int_equal(mime_header_find_count(h, ""), 0);
    assert_int_equal(mime_header_get(h, 99).value.n, 0);
    mime_header_free(&h);
}

static void
a_field_stays_where_it_is_while_others_are_set(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct mime_header *h = NULL;
    assert_int_equal(mime_header_new(1 << 16, 1000, &h, &err), ERR_OK);
    assert_int_equal(mime_header_set(h, LITERAL("First "), LITERAL(" v"), &err), ERR_OK);
    struct mime_header_field first = mime_header_get(h, 0);
    for (int i = 0; i < 999; i++)
        assert_int_equal(mime_header_set(h, LITERAL("X"), LITERAL(" 1"), &err), ERR_OK);
    assert_span(first.name, LITERAL("First"));
    assert_span(first.value, LITERAL(" v"));
    mime_header_free(&h);
}

static void
a_set_field_cannot_smuggle_in_another(void **state)
{
    (void)state;
    const struct {
        struct span name, value;
        enum err_code code;
    } cases[] = {
        { LITERAL("A"), LITERAL(" x\nBcc: y"), ERR_PERM },
        { LITERAL("A"), LITERAL(" x\r\nBcc: y"), ERR_PERM },
        { LITERAL("A"), LITERAL(" x\n\n y"), ERR_PERM },
        { LITERAL("A"), LITERAL(" x\n"), ERR_PERM },
        { LITERAL("A"), LITERAL(" x\n y"), ERR_OK },
        { LITERAL("A"), LITERAL(" x\r\n\ty"), ERR_OK },
        { LITERAL("A:"), LITERAL(" x"), ERR_PERM },
        { LITERAL("A\nB"), LITERAL(" x"), ERR_PERM },
        { LITERAL("A\r"), LITERAL(" x"), ERR_PERM },
        { LITERAL("A\0"), LITERAL(" x"), ERR_PERM },
        { LITERAL("A\t "), LITERAL(" x"), ERR_OK },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = ERR_INIT;
        struct mime_header *h = NULL;
        struct span value = exact(cases[i].value);
        assert_int_equal(mime_header_new(1000, 10, &h, &err), ERR_OK);
        assert_int_equal(mime_header_set(h, cases[i].name, value, &err), cases[i].code);
        assert_int_equal(mime_header_count(h), cases[i].code == ERR_OK);
        exact_free(value);
        mime_header_free(&h);
    }
}

static void
both_bounds_are_errors_not_truncations(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct mime_header *h = NULL;
    assert_int_equal(mime_header_new(10, 3, &h, &err), ERR_OK);
    assert_int_equal(mime_header_set(h, LITERAL("ABCD"), LITERAL("123456"), &err), ERR_OK);
    assert_int_equal(mime_header_set(h, LITERAL("A"), LITERAL(""), &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "10 bytes"));
    mime_header_free(&h);

    err_reset(&err);
    assert_int_equal(mime_header_new(1000, 3, &h, &err), ERR_OK);
    assert_int_equal(mime_header_parse(h, LITERAL("A:1\nB:2\nC:3\n"), &err), ERR_OK);
    assert_int_equal(mime_header_parse(h, LITERAL("D:4\n"), &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "3 fields"));
    assert_int_equal(mime_header_count(h), 3);
    mime_header_free(&h);
    mime_header_free(&h);
    mime_header_free(NULL);
}

static void
unfolding_takes_line_breaks_out_and_trims(void **state)
{
    (void)state;
    const struct {
        struct span value, wanted;
    } cases[] = {
        { LITERAL(""), LITERAL("") },
        { LITERAL("  x "), LITERAL("x") },
        { LITERAL(" a\r\n b\n\tc\r\n"), LITERAL("a b\tc") },
        { LITERAL("\r\n a"), LITERAL("a") },
        { LITERAL(" a\r b"), LITERAL("a\r b") },
        { LITERAL(" a\r\r\n b"), LITERAL("a\r b") },
        { LITERAL(" a\0b"), LITERAL("a\0b") },
        { LITERAL(" \r\n \r\n "), LITERAL("") },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = ERR_INIT;
        struct buf out = BUF_INIT(100);
        struct span value = exact(cases[i].value);
        assert_int_equal(mime_header_unfold(value, &out, &err), ERR_OK);
        assert_span(buf_span(&out), cases[i].wanted);
        buf_free(&out);
        exact_free(value);
    }
}

static void
a_header_of_very_many_lines_is_refused_quickly(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct mime_header *h = NULL;
    struct buf section = BUF_INIT(1 << 21);
    while (section.n < 1 << 20)
        assert_int_equal(buf_append_str(&section, "A:\n", &err), ERR_OK);
    assert_int_equal(mime_header_new(MIME_HEADER_LIMIT_BYTES, MIME_HEADER_LIMIT_FIELDS, &h, &err),
                     ERR_OK);
    assert_int_equal(mime_header_parse(h, buf_span(&section), &err), ERR_LIMIT);
    mime_header_free(&h);
    buf_free(&section);
}

/* What some readers take for the end of the section, or for two fields. */
static void
fields_that_readers_take_apart_are_counted(void **state)
{
    (void)state;
    static const struct {
        const char *section;
        size_t irregular;
    } cases[] = {
        { "A: 1\r\nB: 2\r\n 3\r\n", 0 },
        { "A : 1\r\nB: 2\r\n", 1 },
        { "A\t: 1\r\n", 1 },
        { "A: 1\rB: 2\r\n", 1 },
        { "G\xc3\xbc: 1\r\nA: 2\r\n", 1 },
        { "no field\r\nA: 1\r\n", 1 },
        { "From x@y Thu\r\nA: 1\r\n", 0 },
        { "A: 1\r\nFrom x@y Thu\r\n", 1 },
        { "A:\r\n", 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mime_header *h = parsed(span_str(cases[i].section));
        if (mime_header_irregular(h) != cases[i].irregular)
            fail_msg("%s: %zu", cases[i].section, mime_header_irregular(h));
        mime_header_free(&h);
    }
    struct mime_header *h = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(mime_header_new(1000, 10, &h, &err), ERR_OK);
    assert_int_equal(mime_header_set(h, span_str("A"), span_str(" 1\n 2"), &err), ERR_OK);
    assert_int_equal(mime_header_irregular(h), 0);
    assert_int_equal(mime_header_set(h, span_str("A "), span_str(" 1"), &err), ERR_OK);
    assert_int_equal(mime_header_set(h, span_str("B"), span_str(" 1\r2"), &err), ERR_OK);
    assert_int_equal(mime_header_set(h, span_str("C\x01"), span_str(" 1"), &err), ERR_OK);
    assert_int_equal(mime_header_irregular(h), 3);
    mime_header_free(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_kept_as_they_came_with_lf_and_crlf),
        cmocka_unit_test(a_field_without_final_line_break_counts),
        cmocka_unit_test(an_empty_line_ends_the_section),
        cmocka_unit_test(a_line_of_white_space_is_folding_not_the_end),
        cmocka_unit_test(lines_that_are_no_field_are_kept_and_counted),
        cmocka_unit_test(a_continuation_of_a_malformed_line_belongs_to_it),
        cmocka_unit_test(nul_and_bare_cr_in_a_value_are_data),
        cmocka_unit_test(a_malformed_line_does_not_become_a_field_by_its_bare_cr),
        cmocka_unit_test(names_are_found_without_regard_to_case),
        cmocka_unit_test(a_field_stays_where_it_is_while_others_are_set),
        cmocka_unit_test(a_set_field_cannot_smuggle_in_another),
        cmocka_unit_test(both_bounds_are_errors_not_truncations),
        cmocka_unit_test(unfolding_takes_line_breaks_out_and_trims),
        cmocka_unit_test(fields_that_readers_take_apart_are_counted),
        cmocka_unit_test(a_header_of_very_many_lines_is_refused_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
