#include "pieces.h"

#include "mime/base64.h"
#include "mime/base64_vector.h"

static void
assert_encoded(struct span octets, size_t piece, struct span wanted)
{
    struct err err = ERR_INIT;
    struct buf out = BUF_INIT(1 << 22);
    struct stage *sink = NULL, *stage = NULL;
    assert_int_equal(stage_buf_new(&out, &sink, &err), ERR_OK);
    assert_int_equal(mime_base64_encode_new(sink, &stage, &err), ERR_OK);
    assert_int_equal(feed(stage, octets, piece), ERR_OK);
    assert_span(buf_span(&out), wanted);
    stage_free(&stage);
    buf_free(&out);
}

static void
assert_decoded(struct span text, size_t piece, struct span wanted, uint64_t wanted_irregular)
{
    struct err err = ERR_INIT;
    struct buf out = BUF_INIT(1 << 22);
    struct stage *sink = NULL, *stage = NULL;
    uint64_t irregular = 99;
    assert_int_equal(stage_buf_new(&out, &sink, &err), ERR_OK);
    assert_int_equal(mime_base64_decode_new(&irregular, sink, &stage, &err), ERR_OK);
    assert_int_equal(feed(stage, text, piece), ERR_OK);
    assert_span(buf_span(&out), wanted);
    assert_int_equal(irregular, wanted_irregular);
    stage_free(&stage);
    buf_free(&out);
}

static void
decode_all(struct span text, size_t piece, struct buf *out, uint64_t *irregular)
{
    struct err err = ERR_INIT;
    struct stage *sink = NULL, *stage = NULL;
    assert_int_equal(stage_buf_new(out, &sink, &err), ERR_OK);
    assert_int_equal(mime_base64_decode_new(irregular, sink, &stage, &err), ERR_OK);
    assert_int_equal(feed(stage, text, piece), ERR_OK);
    stage_free(&stage);
}

static void
the_vectors_of_rfc_4648_hold_in_both_directions(void **state)
{
    (void)state;
    const char *const vectors[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct err err = ERR_INIT;
        struct buf out = BUF_INIT(100);
        struct span octets = exact(span_str(vectors[i][0]));
        struct span text = exact(span_str(vectors[i][1]));
        assert_int_equal(mime_base64_format(octets, &out, &err), ERR_OK);
        assert_span(buf_span(&out), text);
        buf_reset(&out);
        assert_int_equal(mime_base64_parse(text, &out, &err), ERR_OK);
        assert_span(buf_span(&out), octets);
        buf_free(&out);
        exact_free(octets);
        exact_free(text);
    }
}

static void
lines_have_76_characters_and_the_last_one_ends_too(void **state)
{
    (void)state;
    unsigned char octets[58];
    char line[] = "////////////////////////////////////////////////////////////////////////////\r\n"
                  "/w==\r\n";
    memset(octets, 0xff, sizeof octets);
    assert_encoded(span_of(octets, 0), 1, LITERAL(""));
    assert_encoded(span_of(octets, 57), 3, span_of(line, 78));
    assert_encoded(span_of(octets, 58), 57, span_str(line));
    assert_encoded(LITERAL("\0\0\0"), 2, LITERAL("AAAA\r\n"));
}

/* The plainest encoder there is, to compare with. */
static struct buf
slow_encoding(struct span octets)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct err err = ERR_INIT;
    struct buf out = BUF_INIT(1 << 22);
    size_t bits = octets.n * 8, column = 0;
    for (size_t bit = 0; bit < (bits + 23) / 24 * 24; bit += 6) {
        unsigned v = 0;
        for (size_t b = bit; b < bit + 6; b++)
            v = v << 1 | (b < bits ? octets.p[b / 8] >> (7 - b % 8) & 1u : 0);
        char c = bit < bits ? alphabet[v] : '=';
        assert_int_equal(buf_append_byte(&out, (unsigned char)c, &err), ERR_OK);
        if (++column == 76)
            assert_int_equal(buf_append_str(&out, "\r\n", &err), ERR_OK);
        column %= 76;
    }
    if (column > 0)
        assert_int_equal(buf_append_str(&out, "\r\n", &err), ERR_OK);
    return out;
}

static void
every_length_and_piece_gives_the_same_text_and_comes_back(void **state)
{
    (void)state;
    uint32_t seed = 1;
    unsigned char octets[200000];
    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = noise(&seed);
    for (size_t n = 0; n <= sizeof octets; n = n < 240 ? n + 1 : n * 3 + 1) {
        struct buf wanted = slow_encoding(span_of(octets, n));
        for (size_t i = 0; i < PIECES_N; i++) {
            assert_encoded(span_of(octets, n), PIECES[i], buf_span(&wanted));
            assert_decoded(buf_span(&wanted), PIECES[i], span_of(octets, n), 0);
        }
        buf_free(&wanted);
    }
}

static void
irregular_text_is_read_and_counted(void **state)
{
    (void)state;
    const struct {
        const char *text;
        const char *octets;
        uint64_t irregular;
    } cases[] = {
        { "Zm9v\nYmFy\n", "foobar", 0 },
        { " Z\tm 9\r\nv\r\n\r\n", "foo", 0 },
        { "Zm9v!YmFy", "foobar", 1 },
        { "Zm-_9v\x80YmFy\x01", "foobar", 4 },
        { "Zg==\r\n", "f", 0 },
        { "Zg=\r\n=\r\n", "f", 0 },
        { "Zg=", "f", 1 },
        { "Zg", "f", 1 },
        { "Zm8", "fo", 1 },
        { "Zm9vY", "foo", 1 },
        { "Zm9v=", "foo", 1 },
        { "Zm9v====", "foo", 4 },
        { "====", "", 4 },
        { "Z===", "", 4 },
        { "Zg==Zg==", "f", 4 },
        { "Zg==\r\nZ g!\r\n", "f", 3 },
        { "Zm8==", "fo", 1 },
        { "Zm=8", "fo", 2 },
        { "Zm=9v", "foo", 1 },
        { "Zh==", "f", 1 },
        { "Zm9=", "fo", 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = ERR_INIT;
        struct buf out = BUF_INIT(100);
        for (size_t k = 0; k < PIECES_N; k++)
            assert_decoded(span_str(cases[i].text), PIECES[k], span_str(cases[i].octets),
                           cases[i].irregular);
        assert_int_equal(mime_base64_parse(span_str(cases[i].text), &out, &err),
                         cases[i].irregular ? ERR_PERM : ERR_OK);
        buf_free(&out);
    }
}

static void
nul_is_a_character_outside_the_alphabet(void **state)
{
    (void)state;
    assert_decoded(LITERAL("Zm\0"
                           "9v"),
                   1, LITERAL("foo"), 1);
}

static void
every_character_is_judged_as_rfc_2045_has_it(void **state)
{
    (void)state;
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int c = 0; c < 256; c++) {
        struct err err = ERR_INIT;
        struct buf out = BUF_INIT(100);
        const char text[] = { 'A', 'A', 'A', (char)c };
        const char *found = memchr(good, c, 64);
        bool white = c == ' ' || c == '\t' || c == '\r' || c == '\n';
        enum err_code code = mime_base64_parse(span_of(text, 4), &out, &err);
        assert_int_equal(code, found || c == '=' ? ERR_OK : ERR_PERM);
        if (found)
            assert_int_equal(out.p[2], found - good);
        buf_reset(&out);
        err_reset(&err);
        const char around[] = { 'A', 'A', (char)c, 'A', 'A' };
        code = mime_base64_parse(span_of(around, 5), &out, &err);
        assert_int_equal(code, white ? ERR_OK : ERR_PERM);
        buf_free(&out);
    }
}

static void
the_caller_need_not_ask_for_the_count(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct buf out = BUF_INIT(100);
    struct stage *sink = NULL, *stage = NULL;
    assert_int_equal(stage_buf_new(&out, &sink, &err), ERR_OK);
    assert_int_equal(mime_base64_decode_new(NULL, sink, &stage, &err), ERR_OK);
    assert_int_equal(feed(stage, LITERAL("Z!g"), 1), ERR_OK);
    assert_span(buf_span(&out), LITERAL("f"));
    stage_free(&stage);
    buf_free(&out);
}

static void
a_failing_next_stage_breaks_the_chain(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct buf out = BUF_INIT(100);
    struct stage *sink = NULL, *stage = NULL;
    unsigned char octets[1000] = { 0 };
    assert_int_equal(stage_buf_new(&out, &sink, &err), ERR_OK);
    assert_int_equal(mime_base64_encode_new(sink, &stage, &err), ERR_OK);
    assert_int_equal(stage_write(stage, span_of(octets, sizeof octets), &err), ERR_LIMIT);
    err_reset(&err);
    assert_int_equal(stage_write(stage, span_of(octets, 1), &err), ERR_LIMIT);
    stage_free(&stage);
    buf_free(&out);
}

static void
a_buffer_too_small_is_a_limit(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct buf out = BUF_INIT(4);
    assert_int_equal(mime_base64_format(LITERAL("four"), &out, &err), ERR_LIMIT);
    buf_free(&out);
    err_reset(&err);
    assert_int_equal(mime_base64_parse(LITERAL("Zm9vYmFy"), &out, &err), ERR_LIMIT);
    buf_free(&out);
}

/* Text long enough for every vector step, with one octet changed at every place: the plain code is
 * the judge of the others. */
static void
one_odd_character_anywhere_is_seen_by_every_code(void **state)
{
    (void)state;
    static const unsigned char odd[] = { '=', '-', '\r', '\n', ' ', 0,   0x7f, 0x80, 0xff,
                                         '@', '[', '`',  '{',  ':', '.', ',',  '*' };
    const char *name = mime_base64_vector_get()->name;
    unsigned char octets[57 * 4 + 20];
    struct buf text = BUF_INIT(1 << 16);
    struct err err = ERR_INIT;
    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = (unsigned char)(i * 73 + 11);
    assert_int_equal(mime_base64_format_lines(span_of(octets, sizeof octets), &text, &err), ERR_OK);
    for (size_t at = 0; at < text.n; at++) {
        for (size_t i = 0; i < sizeof odd; i++) {
            struct buf changed = BUF_INIT(1 << 16), plain = BUF_INIT(1 << 16);
            struct buf vector = BUF_INIT(1 << 16);
            uint64_t plain_irregular = 0, irregular = 0;
            assert_int_equal(buf_append(&changed, buf_span(&text), &err), ERR_OK);
            changed.p[at] = odd[i];
            struct span in = exact(buf_span(&changed));
            assert_true(mime_base64_vector_set("portable"));
            decode_all(in, in.n, &plain, &plain_irregular);
            assert_true(mime_base64_vector_set(name));
            decode_all(in, in.n, &vector, &irregular);
            assert_int_equal(irregular, plain_irregular);
            assert_span(buf_span(&vector), buf_span(&plain));
            exact_free(in);
            buf_free(&changed);
            buf_free(&plain);
            buf_free(&vector);
        }
    }
    buf_free(&text);
}

static void
lines_of_a_whole_piece_are_those_of_the_encoder(void **state)
{
    (void)state;
    unsigned char octets[600];
    for (size_t i = 0; i < sizeof octets; i++)
        octets[i] = (unsigned char)(i * 131 + 7);
    for (size_t n = 0; n <= sizeof octets; n++) {
        struct buf lines = BUF_INIT(1 << 16);
        struct err err = ERR_INIT;
        struct span in = exact(span_of(octets, n));
        assert_int_equal(mime_base64_format_lines(in, &lines, &err), ERR_OK);
        assert_encoded(in, n + 1, buf_span(&lines));
        buf_free(&lines);
        exact_free(in);
    }
}

/* Every test once with each code that this processor has. */
int
main(void)
{
    static const char *const codes[] = { "portable", "ssse3", "avx2" };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_4648_hold_in_both_directions),
        cmocka_unit_test(lines_have_76_characters_and_the_last_one_ends_too),
        cmocka_unit_test(every_length_and_piece_gives_the_same_text_and_comes_back),
        cmocka_unit_test(irregular_text_is_read_and_counted),
        cmocka_unit_test(nul_is_a_character_outside_the_alphabet),
        cmocka_unit_test(every_character_is_judged_as_rfc_2045_has_it),
        cmocka_unit_test(the_caller_need_not_ask_for_the_count),
        cmocka_unit_test(a_failing_next_stage_breaks_the_chain),
        cmocka_unit_test(a_buffer_too_small_is_a_limit),
        cmocka_unit_test(one_odd_character_anywhere_is_seen_by_every_code),
        cmocka_unit_test(lines_of_a_whole_piece_are_those_of_the_encoder),
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (mime_base64_vector_set(codes[i]))
            failed += cmocka_run_group_tests_name(codes[i], tests, NULL, NULL);
    }
    return failed;
}
