#include "pieces.h"

#include "mime/qp.h"

static struct buf
encoded(enum mime_qp_mode mode, struct span octets, size_t piece)
{
    struct err err = ERR_INIT;
    struct buf out = BUF_INIT(1 << 22);
    struct stage *sink = NULL, *stage = NULL;
    assert_int_equal(stage_buf_new(&out, &sink, &err), ERR_OK);
    assert_int_equal(mime_qp_encode_new(mode, sink, &stage, &err), ERR_OK);
    assert_int_equal(feed(stage, octets, piece), ERR_OK);
    stage_free(&stage);
    return out;
}

static void
assert_encoded(enum mime_qp_mode mode, struct span octets, struct span wanted)
{
    for (size_t i = 0; i < PIECES_N; i++) {
        struct buf out = encoded(mode, octets, PIECES[i]);
        assert_span(buf_span(&out), wanted);
        buf_free(&out);
    }
}

static void
assert_decoded(struct span text, struct span wanted, uint64_t wanted_irregular)
{
    for (size_t i = 0; i < PIECES_N; i++) {
        struct err err = ERR_INIT;
        struct buf out = BUF_INIT(1 << 22);
        struct stage *sink = NULL, *stage = NULL;
        uint64_t irregular = 99;
        assert_int_equal(stage_buf_new(&out, &sink, &err), ERR_OK);
        assert_int_equal(mime_qp_decode_new(&irregular, sink, &stage, &err), ERR_OK);
        assert_int_equal(feed(stage, text, PIECES[i]), ERR_OK);
        assert_span(buf_span(&out), wanted);
        assert_int_equal(irregular, wanted_irregular);
        stage_free(&stage);
        buf_free(&out);
    }
}

#define X10 "xxxxxxxxxx"
#define X70 X10 X10 X10 X10 X10 X10 X10

static void
text_is_encoded_where_a_hop_could_touch_it(void **state)
{
    (void)state;
    const struct {
        struct span octets, text;
    } cases[] = {
        { LITERAL(""), LITERAL("") },
        { LITERAL("plain\r\n"), LITERAL("plain\r\n") },
        { LITERAL("lf\nlf\n"), LITERAL("lf\r\nlf\r\n") },
        { LITERAL("no end"), LITERAL("no end") },
        { LITERAL("\r\n\n\r\n"), LITERAL("\r\n\r\n\r\n") },
        { LITERAL("a\rb\r\r\nc\r"), LITERAL("a=0Db=0D\r\nc=0D") },
        { LITERAL("a=b \xc3\xbc\0\x7f\x1f~"), LITERAL("a=3Db =C3=BC=00=7F=1F~") },
        { LITERAL("a \r\nb\t\nc  \nd \t"), LITERAL("a=20\r\nb=09\r\nc =20\r\nd =09") },
        { LITERAL(" \n \r\r\n"), LITERAL("=20\r\n =0D\r\n") },
        { LITERAL("\t\tx\n"), LITERAL("\t\tx\r\n") },
        { LITERAL("From me\nFrom\nFro From \nfrom x\n>From \n"),
          LITERAL("=46rom me\r\nFrom\r\nFro From=20\r\nfrom x\r\n>From=20\r\n") },
        { LITERAL("From \nFrom\tx\n"), LITERAL("From=20\r\nFrom\tx\r\n") },
        { LITERAL(".\n..\n.x\nx.\n"), LITERAL("=2E\r\n=2E.\r\n=2Ex\r\nx.\r\n") },
        { LITERAL("--b\n-\n---\n- --\n"), LITERAL("=2D-b\r\n-\r\n=2D--\r\n- --\r\n") },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_encoded(MIME_QP_TEXT, cases[i].octets, cases[i].text);
}

static void
binary_keeps_every_cr_and_lf_as_an_octet(void **state)
{
    (void)state;
    assert_encoded(MIME_QP_BINARY, LITERAL("a\r\nb\nc\r \n"), LITERAL("a=0D=0Ab=0Ac=0D =0A"));
    assert_encoded(MIME_QP_BINARY, LITERAL("From x \n."), LITERAL("=46rom x =0A."));
    assert_encoded(MIME_QP_BINARY, LITERAL(" "), LITERAL("=20"));
}

static void
long_lines_get_soft_line_breaks_at_76(void **state)
{
    (void)state;
    assert_encoded(MIME_QP_TEXT, LITERAL(X70 "12345\n"), LITERAL(X70 "12345\r\n"));
    assert_encoded(MIME_QP_TEXT, LITERAL(X70 "123456\n"), LITERAL(X70 "12345=\r\n6\r\n"));
    assert_encoded(MIME_QP_TEXT, LITERAL(X70 "123\xff"), LITERAL(X70 "123=\r\n=FF"));
    assert_encoded(MIME_QP_TEXT, LITERAL(X70 "12\xff"), LITERAL(X70 "12=FF"));
    assert_encoded(MIME_QP_TEXT, LITERAL(X70 "1234 \n"), LITERAL(X70 "1234=\r\n=20\r\n"));
    assert_encoded(MIME_QP_TEXT, LITERAL(X70 "1234 x\n"), LITERAL(X70 "1234 =\r\nx\r\n"));
}

static void
a_soft_line_break_makes_no_dot_from_or_boundary(void **state)
{
    (void)state;
    assert_encoded(MIME_QP_TEXT, LITERAL(X70 "12345.\n"), LITERAL(X70 "12345=\r\n=2E\r\n"));
    assert_encoded(MIME_QP_TEXT, LITERAL(X70 "12345From y\n"),
                   LITERAL(X70 "12345=\r\n=46rom y\r\n"));
    assert_encoded(MIME_QP_TEXT, LITERAL(X70 "12345--b--\n"), LITERAL(X70 "12345=\r\n=2D-b--\r\n"));
}

static void
assert_safe(struct span text)
{
    while (text.n > 0) {
        size_t n = span_find(text, '\n');
        bool has_end = n < text.n;
        struct span line = span_of(text.p, n);
        text = span_from(text, n + has_end);
        if (has_end) {
            assert_true(line.n > 0 && line.p[line.n - 1] == '\r');
            line.n--;
        }
        assert_true(line.n <= 76);
        assert_false(span_equal(line, span_str(".")));
        assert_false(line.n >= 5 && memcmp(line.p, "From ", 5) == 0);
        assert_false(line.n >= 2 && memcmp(line.p, "--", 2) == 0);
        if (line.n > 0)
            assert_false(line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t');
        for (size_t i = 0; i < line.n; i++)
            assert_true(line.p[i] == '\t' || (line.p[i] >= ' ' && line.p[i] <= '~'));
    }
}

static void
put_text(void *context, struct span piece)
{
    struct err err = ERR_INIT;
    assert_int_equal(buf_append(context, piece, &err), ERR_OK);
}

static void
anything_is_safe_and_comes_back(void **state)
{
    (void)state;
    const char *const words[] = { "From ", ".", "--", " ",    "\t",    "=",   "\r\n", "\n", "\r",
                                  "\xff",  X10, "x",  "\r\r", "=\r\n", "=20", "From", X70,  "\0" };
    uint32_t seed = 7;
    for (int round = 0; round < 300; round++) {
        struct buf in = BUF_INIT(1 << 20);
        size_t count = noise(&seed) % 64u + (round % 50 == 0 ? 3000 : 0);
        for (size_t i = 0; i < count; i++) {
            const char *word = words[noise(&seed) % (sizeof words / sizeof words[0])];
            put_text(&in, span_of(word, *word ? strlen(word) : 1));
        }
        for (int mode = MIME_QP_TEXT; mode <= MIME_QP_BINARY; mode++) {
            struct buf first = encoded(mode, buf_span(&in), 1);
            assert_safe(buf_span(&first));
            /* What is lost in text: a bare LF is a line break like CRLF. */
            struct buf wanted = BUF_INIT(1 << 21);
            for (size_t i = 0; i < in.n; i++) {
                bool bare = in.p[i] == '\n' && (i == 0 || in.p[i - 1] != '\r');
                put_text(&wanted,
                         bare && mode == MIME_QP_TEXT ? LITERAL("\r\n") : span_of(in.p + i, 1));
            }
            assert_encoded(mode, buf_span(&in), buf_span(&first));
            assert_decoded(buf_span(&first), buf_span(&wanted), 0);
            buf_free(&wanted);
            buf_free(&first);
        }
        buf_free(&in);
    }
}

static void
every_octet_comes_back_from_binary(void **state)
{
    (void)state;
    unsigned char octets[256 * 3];
    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = (unsigned char)(i * 7);
    struct buf text = encoded(MIME_QP_BINARY, span_of(octets, sizeof octets), 7);
    assert_safe(buf_span(&text));
    assert_decoded(buf_span(&text), span_of(octets, sizeof octets), 0);
    buf_free(&text);
}

static void
irregular_text_is_read_and_counted(void **state)
{
    (void)state;
    const struct {
        struct span text, octets;
        uint64_t irregular;
    } cases[] = {
        { LITERAL("a=3Db"), LITERAL("a=b"), 0 },
        { LITERAL("a=\r\nb=\nc"), LITERAL("abc"), 0 },
        { LITERAL("a= \t\r\nb= \nc"), LITERAL("abc"), 0 },
        { LITERAL("a\nb\r\n"), LITERAL("a\nb\r\n"), 0 },
        { LITERAL("a b\tc"), LITERAL("a b\tc"), 0 },
        { LITERAL("=3d=c3"), LITERAL("=\xc3"), 2 },
        { LITERAL("a \t\r\nb \n"), LITERAL("a\r\nb\n"), 2 },
        { LITERAL("a "), LITERAL("a"), 1 },
        { LITERAL("a \r"), LITERAL("a \r"), 1 },
        { LITERAL("a \rb"), LITERAL("a \rb"), 1 },
        { LITERAL("a\r\r\n"), LITERAL("a\r\r\n"), 1 },
        { LITERAL("a=XYb"), LITERAL("a=XYb"), 1 },
        { LITERAL("a=4Xb"), LITERAL("a=4Xb"), 1 },
        { LITERAL("a==3D"), LITERAL("a=="), 1 },
        { LITERAL("a=4=3D"), LITERAL("a=4="), 1 },
        { LITERAL("a= b"), LITERAL("a= b"), 1 },
        { LITERAL("a= =\r\nb"), LITERAL("a= b"), 1 },
        { LITERAL("a=\rb"), LITERAL("a=\rb"), 1 },
        { LITERAL("a= \r\rb"), LITERAL("a= \r\rb"), 2 },
        { LITERAL("a="), LITERAL("a"), 1 },
        { LITERAL("a= "), LITERAL("a"), 1 },
        { LITERAL("a=\r"), LITERAL("a"), 1 },
        { LITERAL("a=4"), LITERAL("a=4"), 1 },
        { LITERAL("\xc3\xbc\0\x7f"), LITERAL("\xc3\xbc\0\x7f"), 4 },
        { LITERAL("=00=0A"), LITERAL("\0\n"), 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_decoded(cases[i].text, cases[i].octets, cases[i].irregular);
}

static void
endless_white_space_is_held_within_a_bound(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct buf text = BUF_INIT(1 << 20);
    for (size_t i = 0; i < N; i++)
        put_text(&text, LITERAL(" "));
    put_text(&text, LITERAL("x"));
    assert_decoded(buf_span(&text), buf_span(&text), N / 998);
    text.p[0] = '=';
    /* The first 998 blanks are held as a soft line break's, then given up as text. */
    assert_decoded(buf_span(&text), buf_span(&text), 1 + (N - 1 - 998 - 1) / 998);
    buf_free(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_encoded_where_a_hop_could_touch_it),
        cmocka_unit_test(binary_keeps_every_cr_and_lf_as_an_octet),
        cmocka_unit_test(long_lines_get_soft_line_breaks_at_76),
        cmocka_unit_test(a_soft_line_break_makes_no_dot_from_or_boundary),
        cmocka_unit_test(anything_is_safe_and_comes_back),
        cmocka_unit_test(every_octet_comes_back_from_binary),
        cmocka_unit_test(irregular_text_is_read_and_counted),
        cmocka_unit_test(endless_white_space_is_held_within_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
