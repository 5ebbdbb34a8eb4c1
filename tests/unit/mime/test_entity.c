#include "pieces.h"

#include <stdio.h>

#include "mime/entity.h"

/* What the parser said, as text: a letter and number per event ("H0", "B1", "P0", "F0" epilogue,
 * "D0", "E1"), bytes of neighbouring events of one kind joined, CR and LF as \r and \n. */
struct trace {
    struct buf text;
    struct buf bytes; /* of all events */
    int kind;
    uint32_t index;
    uint32_t fail_at; /* the handler's own error at this many events; 0 never */
    uint32_t events;
};

static void
show(struct buf *out, struct span bytes)
{
    struct err err = ERR_INIT;
    for (size_t i = 0; i < bytes.n; i++) {
        enum err_code code = bytes.p[i] == '\r'   ? buf_append_str(out, "\\r", &err)
                             : bytes.p[i] == '\n' ? buf_append_str(out, "\\n", &err)
                                                  : buf_append_byte(out, bytes.p[i], &err);
        assert_int_equal(code, ERR_OK);
    }
}

static enum err_code
note(void *context, const struct mime_entity_event *event, struct err *err)
{
    struct trace *trace = context;
    bool same = trace->kind == (int)event->kind && trace->index == event->part->index &&
                event->kind != MIME_ENTITY_DELIMITER;
    if (++trace->events == trace->fail_at)
        return err_set(err, ERR_TEMP, "the handler's own");
    if (!same)
        assert_int_equal(buf_appendf(&trace->text, err, "%s%c%u%s", trace->text.n ? " " : "",
                                     "HBPFDE"[event->kind], event -> part -> index,
                                     event -> kind == MIME_ENTITY_END ? "" : ":"),
                         ERR_OK);
    show(&trace->text, event->bytes);
    assert_int_equal(buf_append(&trace->bytes, event->bytes, err), ERR_OK);
    trace->kind = event->kind;
    trace->index = event->part->index;
    return ERR_OK;
}

static void
trace_free(struct trace *trace)
{
    buf_free(&trace->text);
    buf_free(&trace->bytes);
}

static enum err_code
run(struct span in, size_t piece, struct trace *trace, struct mime_entity_result *result,
    struct err *err)
{
    struct mime_entity *entity = NULL;
    enum err_code code = ERR_OK;

    buf_init(&trace->text, 1 << 24);
    buf_init(&trace->bytes, 1 << 24);
    trace->kind = -1;
    assert_int_equal(mime_entity_new(note, trace, &entity, err), ERR_OK);
    for (size_t i = 0; i < in.n && code == ERR_OK; i += piece) {
        struct span block = exact(span_of(in.p + i, in.n - i < piece ? in.n - i : piece));
        code = mime_entity_write(entity, block, err);
        exact_free(block);
    }
    if (code == ERR_OK)
        code = mime_entity_finish(entity, err);
    if (code != ERR_OK) { /* a stream that failed stays broken */
        struct err again = ERR_INIT;
        assert_int_equal(mime_entity_write(entity, span_str("x"), &again), code);
        assert_string_equal(again.text, err->text);
    }
    *result = *mime_entity_get(entity);
    mime_entity_free(&entity);
    assert_null(entity);
    return code;
}

/* The same events for every size of pieces, and every byte in them once and in order. */
static struct mime_entity_result
assert_trace(struct span in, const char *wanted)
{
    struct mime_entity_result first = { 0 };
    for (size_t i = 0; i < PIECES_N; i++) {
        struct mime_entity_result result;
        struct trace trace = { 0 };
        struct err err = ERR_INIT;
        assert_int_equal(run(in, PIECES[i], &trace, &result, &err), ERR_OK);
        if (wanted)
            assert_string_equal(buf_str(&trace.text), wanted);
        assert_span(buf_span(&trace.bytes), in);
        if (i > 0) {
            assert_ptr_equal(result.doubt, first.doubt);
            assert_ptr_equal(result.fragile, first.fragile);
            assert_int_equal(result.parts, first.parts);
        }
        first = result;
        trace_free(&trace);
    }
    return first;
}

static void
assert_clean(const char *in, const char *wanted)
{
    struct mime_entity_result result = assert_trace(span_str(in), wanted);
    assert_null(result.doubt);
    assert_null(result.fragile);
}

static void
assert_doubt(const char *in, const char *wanted, const char *word)
{
    struct mime_entity_result result = assert_trace(span_str(in), wanted);
    assert_non_null(result.doubt);
    if (!strstr(result.doubt, word))
        fail_msg("doubt is \"%s\", not about \"%s\"", result.doubt, word);
}

static void
assert_fragile(const char *in, const char *wanted, const char *word)
{
    struct mime_entity_result result = assert_trace(span_str(in), wanted);
    assert_non_null(result.fragile);
    if (!strstr(result.fragile, word))
        fail_msg("fragile is \"%s\", not about \"%s\"", result.fragile, word);
}

#define MULTI(boundary) "Content-Type: multipart/mixed; boundary=" boundary "\r\n\r\n"
#define SHOWN(boundary) "H0:Content-Type: multipart/mixed; boundary=" boundary "\\r\\n\\r\\n"

static void
a_plain_text_is_one_leaf(void **state)
{
    (void)state;
    assert_clean("Content-Type: text/plain\r\n\r\n--a\r\nb\r\n",
                 "H0:Content-Type: text/plain\\r\\n\\r\\n B0:--a\\r\\nb\\r\\n E0");
    assert_clean("\r\n", "H0:\\r\\n E0");
    assert_clean("\n\r\n", "H0:\\n B0:\\r\\n E0");
}

static void
the_line_break_before_a_delimiter_belongs_to_it(void **state)
{
    (void)state;
    assert_clean(MULTI("b") "--b\r\n\r\none\r\n\r\n--b\r\n\r\ntwo\r\n--b--\r\n",
                 SHOWN("b") " D0:--b\\r\\n H1:\\r\\n B1:one\\r\\n E1 D0:\\r\\n--b\\r\\n H2:\\r\\n "
                            "B2:two E2 D0:\\r\\n--b--\\r\\n E0");
    assert_clean(MULTI("b") "--b\n\none\n--b--\n",
                 SHOWN("b") " D0:--b\\n H1:\\n B1:one E1 D0:\\n--b--\\n E0");
}

static void
preamble_and_epilogue_are_told_apart_from_parts(void **state)
{
    (void)state;
    assert_clean(
        MULTI("b") "no dashes\r\nhere\r\n--b\r\nA: 1\r\n\r\nx\r\n--b--\r\nbehind\r\n",
        SHOWN("b") " P0:no dashes\\r\\nhere D0:\\r\\n--b\\r\\n H1:A: 1\\r\\n\\r\\n B1:x E1 "
                   "D0:\\r\\n--b--\\r\\n F0:behind\\r\\n E0");
}

static void
a_delimiter_may_have_white_space_behind_it_and_no_line_break(void **state)
{
    (void)state;
    assert_clean(MULTI("b") "--b \t \r\n\r\nx\r\n--b--  ",
                 SHOWN("b") " D0:--b \t \\r\\n H1:\\r\\n B1:x E1 D0:\\r\\n--b--   E0");
}

static void
an_outer_delimiter_ends_the_inner_parts(void **state)
{
    (void)state;
    assert_doubt(MULTI("o") "--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n"
                            "--i\r\n\r\nx\r\n--o\r\n\r\ny\r\n--o--\r\n",
                 SHOWN("o") " D0:--o\\r\\n H1:Content-Type: multipart/alternative; "
                            "boundary=i\\r\\n\\r\\n D1:--i\\r\\n H2:\\r\\n B2:x E2 E1 "
                            "D0:\\r\\n--o\\r\\n H3:\\r\\n B3:y E3 D0:\\r\\n--o--\\r\\n E0",
                 "close delimiter");
}

static void
the_close_of_an_inner_multipart_may_touch_the_outer_delimiter(void **state)
{
    (void)state;
    assert_clean(MULTI("o") "--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n"
                            "--i\r\n\r\nx\r\n--i--\r\n--o--",
                 SHOWN("o") " D0:--o\\r\\n H1:Content-Type: multipart/alternative; "
                            "boundary=i\\r\\n\\r\\n D1:--i\\r\\n H2:\\r\\n B2:x E2 "
                            "D1:\\r\\n--i--\\r\\n E1 D0:--o-- E0");
}

static void
a_boundary_that_begins_like_another_is_another(void **state)
{
    (void)state;
    /* Usual: the inner boundary is the outer one and a suffix. */
    assert_clean(MULTI("b") "--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n"
                            "--bb\r\n\r\nx\r\n--bb--\r\n\r\n--b--\r\n",
                 NULL);
    /* The other way round Postfix takes the outer delimiter for the inner one. */
    assert_fragile(MULTI("bb") "--bb\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
                               "--b\r\n\r\nx\r\n--b--\r\n\r\n--bb--\r\n",
                   NULL, "some readers take for a boundary");
    assert_fragile(MULTI("bb") "--bb\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
                               "--b\r\n\r\nx\r\n--bb--\r\n",
                   NULL, "some readers take for a boundary");
}

static void
a_line_that_begins_like_a_delimiter_is_text_and_noted(void **state)
{
    (void)state;
    assert_fragile(MULTI("b") "--b\r\n\r\n--bx\r\n--b--\r\n",
                   SHOWN("b") " D0:--b\\r\\n H1:\\r\\n B1:--bx E1 D0:\\r\\n--b--\\r\\n E0",
                   "some readers take for a boundary");
    assert_fragile(MULTI("b") "--b\r\n\r\nx\r\n--b--\r\n--b\r\nhidden\r\n",
                   SHOWN("b") " D0:--b\\r\\n H1:\\r\\n B1:x E1 D0:\\r\\n--b--\\r\\n "
                              "F0:--b\\r\\nhidden\\r\\n E0",
                   "some readers take for a boundary");
    assert_clean(MULTI("bcd") "--bcd\r\n\r\n--\r\n--b\r\n-- \r\n-bcd\r\n--bcd--\r\n", NULL);
}

static void
specials_and_spaces_in_a_boundary_mean_nothing(void **state)
{
    (void)state;
    assert_clean(
        MULTI("\"a.*+?[x]( y)\"") "--aXX\r\n--a.*+?[x]( y)\r\n\r\nx\r\n--a.*+?[x]( y)--\r\n",
        SHOWN("\"a.*+?[x]( y)\"") " P0:--aXX D0:\\r\\n--a.*+?[x]( y)\\r\\n H1:\\r\\n B1:x E1 "
                                  "D0:\\r\\n--a.*+?[x]( y)--\\r\\n E0");
}

static void
a_bare_cr_is_no_line_break(void **state)
{
    (void)state;
    assert_clean(MULTI("b") "--b\r\n\r\nx\r--b\r\r\n--b--\r\n",
                 SHOWN("b") " D0:--b\\r\\n H1:\\r\\n B1:x\\r--b\\r E1 D0:\\r\\n--b--\\r\\n E0");
}

static void
a_part_without_header_and_a_header_without_body_are_fragile(void **state)
{
    (void)state;
    assert_fragile(MULTI("b") "--b\r\nhello there\r\n--b--\r\n",
                   SHOWN("b") " D0:--b\\r\\n H1: B1:hello there E1 D0:\\r\\n--b--\\r\\n E0",
                   "empty line");
    assert_fragile(MULTI("b") "--b\r\nA: 1\r\n--b--\r\n",
                   SHOWN("b") " D0:--b\\r\\n H1:A: 1\\r\\n E1 D0:--b--\\r\\n E0", "empty line");
    assert_fragile(MULTI("b") "--b\r\n--b--\r\n",
                   SHOWN("b") " D0:--b\\r\\n H1: E1 D0:--b--\\r\\n E0", "empty line");
    assert_fragile("A: 1", "H0:A: 1 E0", "empty line");
    assert_fragile(MULTI("b") "--b", SHOWN("b") " D0:--b H1: E1 E0", "empty line");
    assert_fragile("A : 1\r\n\r\nx", "H0:A : 1\\r\\n\\r\\n B0:x E0", "before its colon");
    assert_fragile(" A: 1\r\n\r\nx", "H0: B0: A: 1\\r\\n\\r\\nx E0", "empty line");
}

static void
a_message_is_descended_into_with_its_own_header(void **state)
{
    (void)state;
    assert_clean(
        "Content-Type: message/rfc822\r\n\r\nFrom: a@b\r\n\r\nhi\r\n",
        "H0:Content-Type: message/rfc822\\r\\n\\r\\n H1:From: a@b\\r\\n\\r\\n B1:hi\\r\\n E1 "
        "E0");
    assert_clean("Content-Type: message/global\r\n\r\n\r\nhi",
                 "H0:Content-Type: message/global\\r\\n\\r\\n H1:\\r\\n B1:hi E1 E0");
    assert_clean(
        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\naGk=\r\n",
        "H0:Content-Type: message/rfc822\\r\\nContent-Transfer-Encoding: "
        "base64\\r\\n\\r\\n B0:aGk=\\r\\n E0");
    assert_fragile("Content-Type: message/rfc822\r\n\r\nFrom a@b Thu\r\nA: 1\r\n\r\nhi",
                   "H0:Content-Type: message/rfc822\\r\\n\\r\\n H1: B1:From a@b Thu\\r\\nA: "
                   "1\\r\\n\\r\\nhi E1 E0",
                   "empty line");
    assert_fragile("Content-Type: message/rfc822\r\n\r\n",
                   "H0:Content-Type: message/rfc822\\r\\n\\r\\n H1: E1 E0", "empty line");
}

static void
the_parts_of_a_digest_are_messages(void **state)
{
    (void)state;
    assert_clean("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: 1\r\n\r\nx\r\n"
                 "--b\r\nContent-Type: text/plain\r\n\r\ny\r\n--b--\r\n",
                 "H0:Content-Type: multipart/digest; boundary=b\\r\\n\\r\\n D0:--b\\r\\n H1:\\r\\n "
                 "H2:A: 1\\r\\n\\r\\n B2:x E2 E1 D0:\\r\\n--b\\r\\n H3:Content-Type: "
                 "text/plain\\r\\n\\r\\n B3:y E3 D0:\\r\\n--b--\\r\\n E0");
}

static void
an_outer_delimiter_ends_a_message_that_has_not_begun(void **state)
{
    (void)state;
    assert_fragile(MULTI("b") "--b\r\nContent-Type: message/rfc822\r\n\r\n--b--\r\n",
                   SHOWN("b") " D0:--b\\r\\n H1:Content-Type: message/rfc822\\r\\n\\r\\n H2: E2 E1 "
                              "D0:--b--\\r\\n E0",
                   "empty line");
    assert_fragile(MULTI("b") "--b\r\nContent-Type: message/rfc822\r\n--b--\r\n",
                   SHOWN("b") " D0:--b\\r\\n H1:Content-Type: message/rfc822\\r\\n H2: E2 E1 "
                              "D0:--b--\\r\\n E0",
                   "empty line");
}

static void
a_multipart_without_usable_boundary_is_a_leaf(void **state)
{
    (void)state;
    assert_doubt("Content-Type: multipart/mixed\r\n\r\n--b\r\n",
                 "H0:Content-Type: multipart/mixed\\r\\n\\r\\n B0:--b\\r\\n E0", "usable boundary");
    assert_doubt("Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n", NULL,
                 "usable boundary");
    assert_doubt(MULTI("b") "text only\r\n", SHOWN("b") " P0:text only\\r\\n E0",
                 "without a single part");
    assert_doubt(MULTI("b") "--b--\r\n", SHOWN("b") " D0:--b--\\r\\n E0", "without a single part");
}

static void
what_readers_read_differently_is_a_doubt(void **state)
{
    (void)state;
    assert_doubt("Content-Type: multipart/mixed; boundary=a; boundary=b\r\n\r\n"
                 "--a\r\n\r\nx\r\n--a--\r\n",
                 NULL, "readers differ");
    assert_doubt("Content-Type: text/plain\r\n" MULTI("b") "x", NULL, "more than one Content-Type");
    assert_doubt("Content-Transfer-Encoding: base64\r\n" MULTI("b") "--b\r\n\r\n\r\n--b--\r\n",
                 NULL, "transfer encoding");
    assert_doubt("Content-Type: multipart/mixed; boundary=a b\r\n\r\n--a b\r\n\r\n\r\n--a b--\r\n",
                 NULL, "quotes");
    assert_doubt("Content-Type: x multipart/mixed; boundary=a\r\n\r\nx", NULL, "composite");
    assert_doubt("A: 1\r\n \t\r\nB: 2\r\n\r\n", NULL, "white space in a header");
}

static void
a_long_line_in_place_of_a_field_is_body_whatever_the_pieces(void **state)
{
    (void)state;
    static char in[80000];
    const size_t lengths[] = {
        990, 998, 999, 1000, 1001, 1002, 1023, 1024, 1025, 4096, 4097, 70000
    };
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        int n = snprintf(in, sizeof in, "%s--b\r\n", MULTI("b"));
        memset(in + n, i % 2 ? ' ' : 'x', lengths[i]);
        in[n] = '!';
        strcpy(in + n + lengths[i], "\r\n--b--\r\n");
        assert_fragile(in, NULL, "empty line");
        /* A delimiter line with as much white space. */
        n = snprintf(in, sizeof in, "%s--b\r\n\r\nx\r\n--b", MULTI("b"));
        memset(in + n, ' ', lengths[i]);
        strcpy(in + n + lengths[i], "\r\n\r\n--b--\r\n");
        assert_trace(span_str(in), NULL);
        n = snprintf(in, sizeof in, "%s--b\r\nA: 1\r\n--b", MULTI("b"));
        memset(in + n, ' ', lengths[i]);
        strcpy(in + n + lengths[i], "\r\n\r\n--b--\r\n");
        assert_trace(span_str(in), NULL);
    }
}

static void
cutting_after_any_byte_changes_nothing(void **state)
{
    (void)state;
    const char *in =
        MULTI("bnd") "pre\r\n--bnd\r\nA: 1\r\n\r\n-\r\n--\r\r\n--bn\r\n--bnd \r\n\r\nx\r"
                     "\n--bnd--\r\nepi";
    struct span all = span_str(in);
    struct mime_entity_result result;
    struct trace whole = { 0 };
    struct err err = ERR_INIT;
    assert_int_equal(run(all, all.n, &whole, &result, &err), ERR_OK);
    for (size_t cut = 1; cut < all.n; cut++) {
        struct trace trace = { .kind = -1 };
        struct mime_entity *entity = NULL;
        buf_init(&trace.text, 1 << 16);
        buf_init(&trace.bytes, 1 << 16);
        struct span one = exact(span_of(all.p, cut)), two = exact(span_from(all, cut));
        assert_int_equal(mime_entity_new(note, &trace, &entity, &err), ERR_OK);
        assert_int_equal(mime_entity_write(entity, one, &err), ERR_OK);
        assert_int_equal(mime_entity_write(entity, span_of(NULL, 0), &err), ERR_OK);
        assert_int_equal(mime_entity_write(entity, two, &err), ERR_OK);
        assert_int_equal(mime_entity_finish(entity, &err), ERR_OK);
        assert_string_equal(buf_str(&trace.text), buf_str(&whole.text));
        mime_entity_free(&entity);
        exact_free(one);
        exact_free(two);
        trace_free(&trace);
    }
    trace_free(&whole);
}

static void
assert_limit(struct span in, const char *text)
{
    for (size_t i = 0; i < PIECES_N; i++) {
        struct mime_entity_result result;
        struct trace trace = { 0 };
        struct err err = ERR_INIT;
        assert_int_equal(run(in, PIECES[i], &trace, &result, &err), ERR_LIMIT);
        assert_non_null(strstr(err.text, text));
        trace_free(&trace);
    }
}

static void
bounds_are_errors_that_name_them(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct buf in = BUF_INIT(1 << 20);

    assert_int_equal(buf_append_str(&in, MULTI("b"), &err), ERR_OK);
    for (int i = 1; i < MIME_ENTITY_LIMIT_PARTS; i++)
        assert_int_equal(buf_append_str(&in, "--b\r\n\r\n\r\n", &err), ERR_OK);
    assert_trace(buf_span(&in), NULL);
    assert_int_equal(buf_append_str(&in, "--b\r\n\r\n\r\n", &err), ERR_OK);
    assert_limit(buf_span(&in), "more than 1000 parts");

    buf_reset(&in);
    for (int i = 1; i < MIME_ENTITY_LIMIT_DEPTH; i++)
        assert_int_equal(buf_append_str(&in, "Content-Type: message/rfc822\r\n\r\n", &err), ERR_OK);
    assert_int_equal(assert_trace(buf_span(&in), NULL).depth, MIME_ENTITY_LIMIT_DEPTH);
    assert_int_equal(buf_append_str(&in, "Content-Type: message/rfc822\r\n\r\n", &err), ERR_OK);
    assert_limit(buf_span(&in), "deeper than 50");

    buf_reset(&in);
    for (int i = 0; i < MIME_ENTITY_LIMIT_HEADER / 64; i++)
        assert_int_equal(buf_appendf(&in, &err, "A: %059d\r\n", i), ERR_OK);
    assert_int_equal(in.n, MIME_ENTITY_LIMIT_HEADER);
    assert_int_equal(buf_append_str(&in, "\r\n", &err), ERR_OK);
    assert_trace(buf_span(&in), NULL);
    in.n -= 2;
    assert_int_equal(buf_append_str(&in, "B:\r\n\r\n", &err), ERR_OK);
    assert_limit(buf_span(&in), "larger than 65536");
    buf_free(&in);
}

static void
an_error_of_the_handler_ends_it(void **state)
{
    (void)state;
    struct span in = span_str(MULTI("b") "p\r\n--b\r\n\r\nx\r\n--b--\r\ne");
    struct mime_entity_result result;
    for (uint32_t at = 1; at <= 9; at++) {
        struct trace trace = { .fail_at = at };
        struct err err = ERR_INIT;
        assert_int_equal(run(in, in.n, &trace, &result, &err), ERR_TEMP);
        assert_int_equal(trace.events, at);
        trace_free(&trace);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_text_is_one_leaf),
        cmocka_unit_test(the_line_break_before_a_delimiter_belongs_to_it),
        cmocka_unit_test(preamble_and_epilogue_are_told_apart_from_parts),
        cmocka_unit_test(a_delimiter_may_have_white_space_behind_it_and_no_line_break),
        cmocka_unit_test(an_outer_delimiter_ends_the_inner_parts),
        cmocka_unit_test(the_close_of_an_inner_multipart_may_touch_the_outer_delimiter),
        cmocka_unit_test(a_boundary_that_begins_like_another_is_another),
        cmocka_unit_test(a_line_that_begins_like_a_delimiter_is_text_and_noted),
        cmocka_unit_test(specials_and_spaces_in_a_boundary_mean_nothing),
        cmocka_unit_test(a_bare_cr_is_no_line_break),
        cmocka_unit_test(a_part_without_header_and_a_header_without_body_are_fragile),
        cmocka_unit_test(a_message_is_descended_into_with_its_own_header),
        cmocka_unit_test(the_parts_of_a_digest_are_messages),
        cmocka_unit_test(an_outer_delimiter_ends_a_message_that_has_not_begun),
        cmocka_unit_test(a_multipart_without_usable_boundary_is_a_leaf),
        cmocka_unit_test(what_readers_read_differently_is_a_doubt),
        cmocka_unit_test(a_long_line_in_place_of_a_field_is_body_whatever_the_pieces),
        cmocka_unit_test(cutting_after_any_byte_changes_nothing),
        cmocka_unit_test(bounds_are_errors_that_name_them),
        cmocka_unit_test(an_error_of_the_handler_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
