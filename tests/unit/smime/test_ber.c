#include "make.h"

#include <string.h>

/* Writes what it sees as text: "30{04:3}" and the like. */
struct seen {
    struct buf text;
    uint64_t data;
    bool whole; /* ask for the contents of SEQUENCEs inside the root as data */
};

static enum err_code
on_begin(void *context, struct smime_ber_item *item, struct err *err)
{
    struct seen *seen = context;
    seen->data = 0;
    if (seen->whole && item->depth == 1 && item->identifier == SMIME_BER_SEQUENCE &&
        !item->indefinite)
        item->whole = true;
    assert_true(item->header.n >= 2);
    return buf_appendf(&seen->text, err, "%02x%s{", item->identifier, item->indefinite ? "*" : "");
}

static enum err_code
on_data(void *context, const struct smime_ber_item *item, struct span piece, struct err *err)
{
    struct seen *seen = context;
    (void)item;
    (void)err;
    assert_true(piece.n > 0);
    seen->data += piece.n;
    return ERR_OK;
}

static enum err_code
on_end(void *context, const struct smime_ber_item *item, struct err *err)
{
    struct seen *seen = context;
    if (!item->constructed || item->whole) {
        assert_int_equal(seen->data, item->length);
        return buf_appendf(&seen->text, err, "%llu}", (unsigned long long)seen->data);
    }
    return buf_append_str(&seen->text, "}", err);
}

static const struct smime_ber_events events = { on_begin, on_data, on_end };

/* Walks `made` (consumed) in pieces of `size`; what was seen is in `text`. */
static enum err_code
walk(const struct make *made, size_t size, bool whole, char *text, size_t text_size)
{
    struct seen seen = { .text = BUF_INIT(65536), .whole = whole };
    struct smime_ber *walker = NULL;
    struct err err = ERR_INIT;
    enum err_code code = smime_ber_new(&events, &seen, &walker, &err);
    assert_int_equal(code, ERR_OK);
    for (size_t at = 0; at < made->n && code == ERR_OK; at += size) {
        size_t n = made->n - at < size ? made->n - at : size;
        struct make piece = make_raw(made->p + at, n);
        code = smime_ber_write(walker, span_of(piece.p, n), &err);
        free(piece.p);
    }
    if (code == ERR_OK)
        code = smime_ber_finish(walker, &err);
    if (code != ERR_OK) {
        assert_non_null(smime_ber_why(walker));
        assert_string_equal(err.reason, "malformed-cms");
        struct err again = ERR_INIT;
        assert_int_equal(smime_ber_write(walker, span_str("0"), &again), code);
        assert_string_equal(again.text, err.text);
    }
    snprintf(text, text_size, "%s", buf_str(&seen.text));
    smime_ber_free(&walker);
    smime_ber_free(&walker);
    buf_free(&seen.text);
    return code;
}

static void
expect(struct make made, const char *text)
{
    char found[4096];
    for (size_t i = 0; i < MAKE_PIECES; i++) {
        assert_int_equal(walk(&made, make_pieces[i], false, found, sizeof(found)), ERR_OK);
        assert_string_equal(found, text);
    }
    free(made.p);
}

static void
expect_malformed(struct make made)
{
    char found[4096];
    for (size_t i = 0; i < MAKE_PIECES; i++)
        assert_int_equal(walk(&made, make_pieces[i], false, found, sizeof(found)), ERR_PERM);
    free(made.p);
}

#define RAW(...) \
    make_raw((unsigned char[]){ __VA_ARGS__ }, sizeof((unsigned char[]){ __VA_ARGS__ }))

static void
ber_walks_definite_and_indefinite_length_alike(void **state)
{
    (void)state;
    expect(RAW(0x30, 0x05, 0x04, 0x03, 1, 2, 3), "30{04{3}}");
    expect(RAW(0x30, 0x80, 0x04, 0x03, 1, 2, 3, 0, 0), "30*{04{3}}");
    expect(RAW(0x30, 0x80, 0x30, 0x02, 0x05, 0x00, 0x24, 0x80, 0x04, 0x01, 9, 0, 0, 0, 0),
           "30*{30{05{0}}24*{04{1}}}");
    expect(RAW(0x30, 0x00), "30{}");
    expect(RAW(0x30, 0x80, 0, 0), "30*{}");
    expect(RAW(0x04, 0x00), "04{0}");
    expect(RAW(0x30, 0x84, 0, 0, 0, 2, 0x05, 0x00), "30{05{0}}");
    expect(RAW(0x30, 0x04, 0x1f, 0x81, 0x01, 0x00), "30{1f{0}}");
}

static void
ber_closes_all_elements_that_end_at_one_octet(void **state)
{
    (void)state;
    struct make inner = RAW(0x04, 0x01, 7);
    for (int i = 0; i < 5; i++)
        inner = make_tlv(SMIME_BER_SEQUENCE, inner);
    expect(inner, "30{30{30{30{30{04{1}}}}}}");
}

static void
ber_gives_large_contents_in_pieces(void **state)
{
    (void)state;
    expect(make_indefinite(SMIME_BER_SEQUENCE, make_tlv(SMIME_BER_OCTETS, make_fill('x', 200000))),
           "30*{04{200000}}");
}

static void
ber_hands_whole_elements_over_when_asked(void **state)
{
    (void)state;
    struct make made = RAW(0x30, 0x07, 0x30, 0x03, 0xff, 0xff, 0xff, 0x05, 0x00);
    char found[100];
    for (size_t i = 0; i < MAKE_PIECES; i++) {
        assert_int_equal(walk(&made, make_pieces[i], true, found, sizeof(found)), ERR_OK);
        assert_string_equal(found, "30{30{3}05{0}}");
    }
    free(made.p);
}

static void
ber_refuses_every_truncation(void **state)
{
    (void)state;
    struct make made =
        make_indefinite(0x30, make_join(2, make_tlv(0x30, make_tlv(0x04, make_fill(1, 200))),
                                        make_indefinite(0x24, make_tlv(0x04, make_fill(2, 3)))));
    char found[4096];
    for (size_t n = 0; n < made.n; n++) {
        struct make cut = make_raw(made.p, n);
        assert_int_equal(walk(&cut, 64, false, found, sizeof(found)), ERR_PERM);
        free(cut.p);
    }
    free(made.p);
}

static void
ber_refuses_what_does_not_nest(void **state)
{
    (void)state;
    expect_malformed(RAW(0x30, 0x03, 0x04, 0x03, 1, 2, 3));          /* longer than its parent */
    expect_malformed(RAW(0x30, 0x04, 0x30, 0x80, 0x05, 0x00, 0, 0)); /* EOC beyond the parent */
    expect_malformed(RAW(0x30, 0x02, 0x00, 0x00));                   /* EOC in definite length */
    expect_malformed(RAW(0x00, 0x00));                               /* EOC at the root */
    expect_malformed(RAW(0x30, 0x80, 0x00, 0x01, 0));                /* EOC with a length */
    expect_malformed(RAW(0x04, 0x80, 0x00, 0x00));                   /* primitive, indefinite */
    expect_malformed(RAW(0x30, 0x01, 0x04));                         /* header beyond the parent */
    expect_malformed(RAW(0x30, 0x00, 0x00));                         /* octets behind */
    expect_malformed(RAW(0x30, 0x80, 0, 0, 0, 0));                   /* one EOC too many */
    expect_malformed(RAW(0x30, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0));    /* nine length octets */
    expect_malformed(RAW(0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
    expect_malformed(RAW(0x30, 0x0a, 0x04, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
    expect_malformed(RAW(0x3f, 0x81, 0x81, 0x81, 0x81, 0x01, 0x00)); /* tag number too long */
}

static void
ber_bounds_the_depth(void **state)
{
    (void)state;
    char found[4096];
    struct make inner = make_tlv(0x04, make_fill(0, 1));
    for (int i = 1; i < SMIME_BER_DEPTH; i++)
        inner = make_tlv(0x30, inner);
    assert_int_equal(walk(&inner, 64, false, found, sizeof(found)), ERR_OK);
    expect_malformed(make_tlv(0x30, inner));
    struct make bomb = make_raw("", 0);
    for (int i = 0; i < 5000; i++)
        bomb = make_join(2, make_raw("\x24\x80", 2), bomb);
    expect_malformed(bomb);
}

static void
ber_get_takes_elements_one_by_one(void **state)
{
    (void)state;
    struct make made =
        make_join(3, make_integer(3), make_tlv(0x04, make_fill('y', 300)), RAW(0x30, 0x80, 0, 0));
    struct span rest = span_of(made.p, made.n);
    struct smime_ber_element element;
    struct err err = ERR_INIT;
    assert_int_equal(smime_ber_get(&rest, &element, &err), ERR_OK);
    assert_int_equal(element.identifier, SMIME_BER_INTEGER);
    assert_int_equal(element.contents.n, 1);
    assert_int_equal(smime_ber_get(&rest, &element, &err), ERR_OK);
    assert_int_equal(element.contents.n, 300);
    assert_int_equal(element.whole.n, 304);
    assert_int_equal(smime_ber_get(&rest, &element, &err), ERR_PERM); /* indefinite */
    rest = span_of(NULL, 0);
    assert_int_equal(smime_ber_get(&rest, &element, &err), ERR_NOTFOUND);
    free(made.p);
    static const unsigned char bad[][6] = { { 0x04 },
                                            { 0x04, 0x05, 1 },
                                            { 0x1f, 1, 1, 1 },
                                            { 0x04, 0x85, 1, 1, 1, 1 },
                                            { 0x04, 0x82, 1 } };
    static const size_t bad_n[] = { 1, 3, 4, 6, 3 };
    for (size_t i = 0; i < sizeof(bad_n) / sizeof(bad_n[0]); i++) {
        struct make one = make_raw(bad[i], bad_n[i]);
        rest = span_of(one.p, one.n);
        struct err why = ERR_INIT;
        assert_int_equal(smime_ber_get(&rest, &element, &why), ERR_PERM);
        free(one.p);
    }
}

static void
ber_format_writes_minimal_lengths(void **state)
{
    (void)state;
    unsigned char out[SMIME_BER_HEADER];
    assert_int_equal(smime_ber_format(0x30, 0x7f, out), 2);
    assert_int_equal(smime_ber_format(0x30, 0x80, out), 3);
    assert_memory_equal(out, "\x30\x81\x80", 3);
    assert_int_equal(smime_ber_format(0x30, 0x10000, out), 5);
    assert_memory_equal(out, "\x30\x83\x01\x00\x00", 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ber_walks_definite_and_indefinite_length_alike),
        cmocka_unit_test(ber_closes_all_elements_that_end_at_one_octet),
        cmocka_unit_test(ber_gives_large_contents_in_pieces),
        cmocka_unit_test(ber_hands_whole_elements_over_when_asked),
        cmocka_unit_test(ber_refuses_every_truncation),
        cmocka_unit_test(ber_refuses_what_does_not_nest),
        cmocka_unit_test(ber_bounds_the_depth),
        cmocka_unit_test(ber_get_takes_elements_one_by_one),
        cmocka_unit_test(ber_format_writes_minimal_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
