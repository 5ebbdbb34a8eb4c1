#include "pieces.h"

#include <stdio.h>

#include "mime/split.h"

struct found {
    struct buf content;
    struct buf header;
    struct buf body;
    struct mime_split_result result;
};

static enum err_code
split(struct span in, const char *boundary, size_t limit, size_t piece, struct found *found,
      struct err *err)
{
    struct mime_split_args args = { .boundary = span_str(boundary),
                                    .signature_limit_bytes = limit };
    struct mime_split *object = NULL;
    enum err_code code = ERR_OK;

    *found = (struct found){ .content = BUF_INIT(1 << 20),
                             .header = BUF_INIT(1 << 20),
                             .body = BUF_INIT(1 << 20) };
    assert_int_equal(stage_buf_new(&found->content, &args.content, err), ERR_OK);
    assert_int_equal(mime_split_new(&args, &object, err), ERR_OK);
    for (size_t i = 0; i < in.n && code == ERR_OK; i += piece) {
        struct span block = exact(span_of(in.p + i, in.n - i < piece ? in.n - i : piece));
        code = mime_split_write(object, block, err);
        exact_free(block);
    }
    if (code == ERR_OK)
        code = mime_split_finish(object, err);
    if (code == ERR_OK) {
        found->result = *mime_split_get(object);
        assert_int_equal(buf_append(&found->header, found->result.signature_header, err), ERR_OK);
        assert_int_equal(buf_append(&found->body, found->result.signature_body, err), ERR_OK);
    } else {
        struct err again = ERR_INIT;
        assert_int_equal(mime_split_write(object, span_str("x"), &again), code);
    }
    mime_split_free(&object);
    assert_null(object);
    stage_free(&args.content);
    return code;
}

static void
found_free(struct found *found)
{
    buf_free(&found->content);
    buf_free(&found->header);
    buf_free(&found->body);
}

struct wanted {
    const char *content, *header, *body;
    uint32_t parts;
    bool preamble, epilogue, closed, ambiguous, bare;
};

static void
assert_split(const char *in, struct wanted wanted)
{
    for (size_t i = 0; i < PIECES_N; i++) {
        struct err err = ERR_INIT;
        struct found found;
        assert_int_equal(split(span_str(in), "b", 1 << 16, PIECES[i], &found, &err), ERR_OK);
        assert_span(buf_span(&found.content), span_str(wanted.content));
        assert_span(buf_span(&found.header), span_str(wanted.header));
        assert_span(buf_span(&found.body), span_str(wanted.body));
        assert_int_equal(found.result.content_bytes, strlen(wanted.content));
        assert_int_equal(found.result.parts, wanted.parts);
        assert_int_equal(found.result.preamble, wanted.preamble);
        assert_int_equal(found.result.epilogue, wanted.epilogue);
        assert_int_equal(found.result.closed, wanted.closed);
        assert_int_equal(found.result.ambiguous, wanted.ambiguous);
        assert_int_equal(found.result.why != NULL, wanted.ambiguous);
        assert_int_equal(found.result.bare_line_end, wanted.bare);
        found_free(&found);
    }
}

static void
part_one_is_exact_and_the_line_break_before_the_boundary_is_not_in_it(void **state)
{
    (void)state;
    assert_split("--b\r\nA: 1\r\n\r\nx \r\n\r\n--b\r\nC: 2\r\n\r\nMII=\r\n--b--\r\n",
                 (struct wanted){ .content = "A: 1\r\n\r\nx \r\n",
                                  .header = "C: 2\r\n\r\n",
                                  .body = "MII=",
                                  .parts = 2,
                                  .closed = true });
    assert_split("--b\r\n--b\r\n\r\nMII=\r\n--b--",
                 (struct wanted){
                     .content = "", .header = "\r\n", .body = "MII=", .parts = 2, .closed = true });
}

static void
nested_multiparts_are_content(void **state)
{
    (void)state;
    assert_split(
        "--b\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\nx\r\n--i--\r\n--b"
        "\r\n\r\n\r\n--b--\r\n",
        (struct wanted){ .content = "Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r"
                                    "\n\r\nx\r\n--i--",
                         .header = "\r\n",
                         .body = "",
                         .parts = 2,
                         .closed = true });
}

static void
text_before_and_behind_is_noted_and_white_space_is_not(void **state)
{
    (void)state;
    assert_split("\r\n \r\n--b\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\n\r\n \t\r\n",
                 (struct wanted){
                     .content = "x", .header = "\r\n", .body = "y", .parts = 2, .closed = true });
    assert_split("This is MIME\r\n--b\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\nmore",
                 (struct wanted){ .content = "x",
                                  .header = "\r\n",
                                  .body = "y",
                                  .parts = 2,
                                  .preamble = true,
                                  .epilogue = true,
                                  .closed = true });
}

/* Piece by piece: which preambles are the usual ones, and where part one begins. */
static void
the_sentences_of_mail_programs_are_known_word_for_word(void **state)
{
    static const struct {
        const char *before;
        bool preamble, usual;
    } cases[] = {
        { "", false, false },
        { "\r\n\t \r\n", false, false },
        { "This is an S/MIME signed message\r\n\r\n", true, true },
        { "\r\n This is a multi-part message in MIME format. \r\n", true, true },
        { "This is an S/MIME signed message.\r\n", true, false },
        { "This is an S/MIME signed message\r\nPay mallory.\r\n", true, false },
        { "this is an s/mime signed message\r\n", true, false },
        { "Pay\r\n", true, false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t k = 0; k < PIECES_N; k++) {
            struct err err = ERR_INIT;
            struct found found;
            char in[300];
            snprintf(in, sizeof in, "%s--b\r\nA: 1\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\n",
                     cases[i].before);
            assert_int_equal(split(span_str(in), "b", 1 << 16, PIECES[k], &found, &err), ERR_OK);
            assert_int_equal(found.result.preamble, cases[i].preamble);
            assert_int_equal(found.result.preamble_usual, cases[i].usual);
            assert_int_equal(found.result.content_offset, strlen(cases[i].before) + 5);
            assert_int_equal(found.result.content_bytes, strlen("A: 1\r\n\r\nx"));
            found_free(&found);
        }
    }
}

/* Readers that look for the inner delimiter first see no second part. */
static void
a_multipart_inside_with_the_same_boundary_is_ambiguous(void **state)
{
    static const struct {
        const char *head;
        bool ambiguous;
    } cases[] = {
        { "Content-Type: multipart/mixed; boundary=bb", true },
        { "Content-Type: multipart/mixed;\r\n boundary=\"b\"", true },
        { "A: 1\r\ncontent-type: multipart/mixed; BOUNDARY=b", true },
        { "Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=bb", true },
        { "Content-Type: multipart/mixed; boundary=bbb", false },
        { "Content-Type: multipart/mixed; boundary=c", false },
        { "X: multipart/mixed; boundary=bb", false },
        { "A: 1\r\n\r\nContent-Type: multipart/mixed; boundary=bb", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t k = 0; k < PIECES_N; k++) {
            struct err err = ERR_INIT;
            struct found found;
            char in[400];
            snprintf(in, sizeof in, "--bb\r\n%s\r\n\r\nx\r\n--bb\r\n\r\ny\r\n--bb--\r\n",
                     cases[i].head);
            assert_int_equal(split(span_str(in), "bb", 1 << 16, PIECES[k], &found, &err), ERR_OK);
            if (found.result.ambiguous != cases[i].ambiguous)
                fail_msg("%s, pieces of %zu", cases[i].head, (size_t)PIECES[k]);
            found_free(&found);
        }
    }
}

static void
wrong_numbers_of_parts_are_ambiguous(void **state)
{
    (void)state;
    assert_split("--b\r\nx\r\n--b--\r\n", (struct wanted){ .content = "x",
                                                           .header = "",
                                                           .body = "",
                                                           .parts = 1,
                                                           .closed = true,
                                                           .ambiguous = true });
    assert_split("--b\r\nx\r\n--b\r\n\r\ny\r\n--b\r\nz\r\n--b--\r\n",
                 (struct wanted){ .content = "x",
                                  .header = "\r\n",
                                  .body = "y",
                                  .parts = 3,
                                  .closed = true,
                                  .ambiguous = true });
    assert_split(
        "nothing",
        (struct wanted){
            .content = "", .header = "", .body = "", .preamble = true, .ambiguous = true });
    assert_split("", (struct wanted){ .content = "", .header = "", .body = "", .ambiguous = true });
    assert_split("--b--\r\n--b\r\nx\r\n--b\r\ny", (struct wanted){ .content = "",
                                                                   .header = "",
                                                                   .body = "",
                                                                   .closed = true,
                                                                   .epilogue = true,
                                                                   .ambiguous = true });
}

static void
what_is_not_closed_is_ambiguous(void **state)
{
    (void)state;
    assert_split(
        "--b\r\nx\r\n--b\r\n\r\ny\r\n",
        (struct wanted){
            .content = "x", .header = "\r\n", .body = "y\r\n", .parts = 2, .ambiguous = true });
    assert_split("--b\r\nx\r\n--b\r\nA: 1",
                 (struct wanted){
                     .content = "x", .header = "A: 1", .body = "", .parts = 2, .ambiguous = true });
}

static void
look_alikes_of_the_boundary_are_ambiguous(void **state)
{
    (void)state;
    assert_split("--b\r\nx\r\n--bx\r\n--b\r\n\r\ny\r\n--b--\r\n",
                 (struct wanted){ .content = "x\r\n--bx",
                                  .header = "\r\n",
                                  .body = "y",
                                  .parts = 2,
                                  .closed = true,
                                  .ambiguous = true });
    assert_split("--b\r\nx\r--b\r\n--b\r\n\r\ny\r\n--b--\r\n",
                 (struct wanted){ .content = "x\r--b",
                                  .header = "\r\n",
                                  .body = "y",
                                  .parts = 2,
                                  .closed = true,
                                  .ambiguous = true });
}

static void
bare_line_ends_are_noted_where_they_are_signed_or_divide(void **state)
{
    (void)state;
    assert_split("--b\r\nx\ny\r\n--b\r\n\r\ny\r\n--b--\r\n", (struct wanted){ .content = "x\ny",
                                                                              .header = "\r\n",
                                                                              .body = "y",
                                                                              .parts = 2,
                                                                              .closed = true,
                                                                              .bare = true });
    assert_split("--b\nx\n--b\n\ny\n--b--\n", (struct wanted){ .content = "x",
                                                               .header = "\n",
                                                               .body = "y",
                                                               .parts = 2,
                                                               .closed = true,
                                                               .bare = true });
    assert_split("--b\r\nx\r\n--b\r\n\ny\nz\r\n--b--\r\n",
                 (struct wanted){
                     .content = "x", .header = "\n", .body = "y\nz", .parts = 2, .closed = true });
}

static void
a_signature_beyond_its_bound_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < PIECES_N; i++) {
        struct err err = ERR_INIT;
        struct found found;
        struct span in = span_str("--b\r\nx\r\n--b\r\n\r\n0123456789\r\n--b--\r\n");
        assert_int_equal(split(in, "b", 12, PIECES[i], &found, &err), ERR_OK);
        found_free(&found);
        assert_int_equal(split(in, "b", 11, PIECES[i], &found, &err), ERR_LIMIT);
        assert_non_null(strstr(err.text, "11 octets"));
        found_free(&found);
    }
}

static void
boundaries_that_no_rfc_allows_are_refused(void **state)
{
    (void)state;
    static const char long_one[] =
        "12345678901234567890123456789012345678901234567890123456789012345678901";
    const struct span wrong[] = { LITERAL(""), LITERAL("a "), LITERAL("a\n"), LITERAL("a\0b"),
                                  LITERAL(long_one) };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct mime_split_args args = { .boundary = wrong[i], .signature_limit_bytes = 9 };
        struct mime_split *object = NULL;
        struct err err = ERR_INIT;
        assert_int_equal(mime_split_new(&args, &object, &err), ERR_PERM);
        assert_null(object);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(part_one_is_exact_and_the_line_break_before_the_boundary_is_not_in_it),
        cmocka_unit_test(nested_multiparts_are_content),
        cmocka_unit_test(text_before_and_behind_is_noted_and_white_space_is_not),
        cmocka_unit_test(the_sentences_of_mail_programs_are_known_word_for_word),
        cmocka_unit_test(a_multipart_inside_with_the_same_boundary_is_ambiguous),
        cmocka_unit_test(wrong_numbers_of_parts_are_ambiguous),
        cmocka_unit_test(what_is_not_closed_is_ambiguous),
        cmocka_unit_test(look_alikes_of_the_boundary_are_ambiguous),
        cmocka_unit_test(bare_line_ends_are_noted_where_they_are_signed_or_divide),
        cmocka_unit_test(a_signature_beyond_its_bound_is_refused),
        cmocka_unit_test(boundaries_that_no_rfc_allows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
