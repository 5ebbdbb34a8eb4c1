#include "pieces.h"

#include "mime/boundary.h"

/* Text as it is, delimiters as <level bytes> or </level bytes>. */
static void
run(struct span in, size_t piece, const char *const *open, struct buf *out, bool *doubtful)
{
    struct err err = ERR_INIT;
    struct mime_boundary *boundary = NULL;
    struct mime_boundary_token token;

    assert_int_equal(mime_boundary_new(&boundary, &err), ERR_OK);
    for (uint32_t level = 0; open[level]; level++)
        assert_int_equal(mime_boundary_set(boundary, span_str(open[level]), level, &err), ERR_OK);
    for (size_t i = 0; i <= in.n; i += piece) {
        struct span block = exact(span_of(in.p + i, in.n - i < piece ? in.n - i : piece));
        struct span rest = block;
        bool is_end = in.n - i < piece;

        while (mime_boundary_next(boundary, &rest, &token) ||
               (is_end && rest.n == 0 && mime_boundary_finish(boundary, &token))) {
            bool found = token.kind == MIME_BOUNDARY_DELIMITER;
            if (found)
                assert_int_equal(
                    buf_appendf(out, &err, "<%s%u", token.is_close ? "/" : "", token.level),
                    ERR_OK);
            assert_int_equal(buf_append(out, token.bytes, &err), ERR_OK);
            if (found)
                assert_int_equal(buf_append_str(out, ">", &err), ERR_OK);
        }
        assert_int_equal(rest.n, 0);
        exact_free(block);
    }
    *doubtful = mime_boundary_is_doubtful(boundary);
    mime_boundary_free(&boundary);
    assert_null(boundary);
}

static void
assert_found(struct span in, const char *const *open, struct span wanted, bool doubtful)
{
    for (size_t i = 0; i < PIECES_N; i++) {
        struct buf out = BUF_INIT(1 << 20);
        bool found;
        run(in, PIECES[i], open, &out, &found);
        assert_span(buf_span(&out), wanted);
        assert_int_equal(found, doubtful);
        buf_free(&out);
    }
}

static const char *const B[] = { "b", NULL };

static void
delimiters_are_found_with_their_line_breaks(void **state)
{
    (void)state;
    assert_found(LITERAL("--b\r\nx\r\n--b\ny\n--b--"), B,
                 LITERAL("<0--b\r\n>x<0\r\n--b\n>y</0\n--b-->"), false);
    assert_found(LITERAL("\r\n--b \t\r\n"), B, LITERAL("<0\r\n--b \t\r\n>"), false);
    assert_found(LITERAL("x\r\n\r\n\n--b--\t\n"), B, LITERAL("x\r\n\r\n</0\n--b--\t\n>"), false);
}

static void
text_that_looks_like_the_beginning_of_one_is_text(void **state)
{
    (void)state;
    assert_found(LITERAL("a--b\r\n -- b\r\n-b\r\n--\r\n--a\r\n-\r\r\n-"), B,
                 LITERAL("a--b\r\n -- b\r\n-b\r\n--\r\n--a\r\n-\r\r\n-"), false);
    assert_found(LITERAL("\r"), B, LITERAL("\r"), false);
    assert_found(LITERAL("x\r"), B, LITERAL("x\r"), false);
    assert_found(LITERAL("\r\r\n--b\r\n"), B, LITERAL("\r<0\r\n--b\r\n>"), false);
    assert_found(LITERAL("\r--b\r\n"), B, LITERAL("\r--b\r\n"), false);
    assert_found(LITERAL("a\0\r\n\0--b\r\n"), B, LITERAL("a\0\r\n\0--b\r\n"), false);
}

static void
the_outermost_that_fits_is_taken(void **state)
{
    (void)state;
    static const char *const open[] = { "one", "two", "one", NULL };
    assert_found(LITERAL("--two\n--one\n"), open, LITERAL("<1--two\n><0--one\n>"), true);
}

static void
look_alikes_are_text_and_noted(void **state)
{
    (void)state;
    assert_found(LITERAL("--bb\r\n"), B, LITERAL("--bb\r\n"), true);
    assert_found(LITERAL("--b--x"), B, LITERAL("--b--x"), true);
    assert_found(LITERAL("--b- -"), B, LITERAL("--b- -"), true);
    assert_found(LITERAL("--b\r"), B, LITERAL("--b\r"), true);
}

static void
an_endless_line_of_dashes_is_held_up_to_a_bound(void **state)
{
    (void)state;
    static const char *const breaks[] = { "\r\n", "\n", "\r\r\n" };
    for (size_t n = 1010; n < 1030; n++) {
        for (size_t i = 0; i < 3; i++) {
            struct buf in = BUF_INIT(1 << 16), wanted = BUF_INIT(1 << 16);
            struct err err = ERR_INIT;
            assert_int_equal(buf_append_str(&in, "x\r\n", &err), ERR_OK);
            while (in.n < n)
                assert_int_equal(buf_append_byte(&in, '-', &err), ERR_OK);
            if (i == 2) /* a CR of the line itself */
                assert_int_equal(buf_append_byte(&in, '\r', &err), ERR_OK);
            assert_int_equal(
                buf_appendf(&wanted, &err, "%s<0%s--b\r\n>", buf_str(&in), breaks[i] + (i == 2)),
                ERR_OK);
            assert_int_equal(buf_appendf(&in, &err, "%s--b\r\n", breaks[i] + (i == 2)), ERR_OK);
            assert_found(buf_span(&in), B, buf_span(&wanted), false);
            buf_free(&in);
            buf_free(&wanted);
        }
    }
}

static void
unusable_boundaries_are_refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct mime_boundary *boundary = NULL;
    char text[MIME_BOUNDARY_LIMIT_BYTES + 2];
    memset(text, 'x', sizeof text);
    assert_true(mime_boundary_is_usable(LITERAL("a b")));
    assert_false(mime_boundary_is_usable(LITERAL("")));
    assert_false(mime_boundary_is_usable(LITERAL("a ")));
    assert_false(mime_boundary_is_usable(LITERAL("a\rb")));
    assert_false(mime_boundary_is_usable(LITERAL("a\0b")));
    assert_false(mime_boundary_is_usable(LITERAL("\xc3\xa4")));
    assert_true(mime_boundary_is_usable(span_of(text, MIME_BOUNDARY_LIMIT_BYTES)));
    assert_false(mime_boundary_is_usable(span_of(text, MIME_BOUNDARY_LIMIT_BYTES + 1)));
    assert_int_equal(mime_boundary_new(&boundary, &err), ERR_OK);
    assert_int_equal(mime_boundary_set(boundary, LITERAL("a "), 0, &err), ERR_PERM);
    err_reset(&err);
    for (uint32_t i = 0; i < MIME_BOUNDARY_LIMIT_OPEN; i++)
        assert_int_equal(mime_boundary_set(boundary, LITERAL("a"), i, &err), ERR_OK);
    assert_int_equal(mime_boundary_set(boundary, LITERAL("a"), 99, &err), ERR_LIMIT);
    mime_boundary_free(&boundary);
    mime_boundary_free(&boundary);
    mime_boundary_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delimiters_are_found_with_their_line_breaks),
        cmocka_unit_test(text_that_looks_like_the_beginning_of_one_is_text),
        cmocka_unit_test(the_outermost_that_fits_is_taken),
        cmocka_unit_test(look_alikes_are_text_and_noted),
        cmocka_unit_test(an_endless_line_of_dashes_is_held_up_to_a_bound),
        cmocka_unit_test(unusable_boundaries_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
