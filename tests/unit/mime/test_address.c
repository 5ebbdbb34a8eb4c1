#include <time.h>

#include "addresses.h"

/* `wanted` is "address|address|". */
struct list_case {
    struct span field;
    const char *wanted;
    unsigned flags;
};

static void
assert_lists(const struct list_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct err err = ERR_INIT;
        struct buf found = BUF_INIT(1 << 16);
        struct mime_addresses *a = parsed(cases[i].field);
        for (size_t k = 0; k < mime_address_count(a); k++) {
            assert_int_equal(buf_append_str(&found, mime_address_get(a, k), &err), ERR_OK);
            assert_int_equal(buf_append_byte(&found, '|', &err), ERR_OK);
        }
        if (strcmp(buf_str(&found), cases[i].wanted) != 0 ||
            mime_address_flags(a) != cases[i].flags) {
            print_message("field  %.*s\nfound  %s flags %#x\nwanted %s flags %#x\n",
                          SPAN_ARG(cases[i].field), buf_str(&found), mime_address_flags(a),
                          cases[i].wanted, cases[i].flags);
            fail();
        }
        buf_free(&found);
        mime_address_free(&a);
    }
}

#define ASSERT_LISTS(cases) assert_lists((cases), sizeof(cases) / sizeof(cases)[0])

static void
mailboxes_stand_where_the_grammar_puts_them(void **state)
{
    (void)state;
    const struct list_case cases[] = {
        { LITERAL("a@b.example"), "a@b.example|", 0 },
        { LITERAL(" A.b+c@B.Example\r\n"), "A.b+c@B.Example|", 0 },
        { LITERAL("<a@b>"), "a@b|", 0 },
        { LITERAL("Doe <a@b>"), "a@b|", 0 },
        { LITERAL("\"Doe, John\" <a@b>, c@d"), "a@b|c@d|", 0 },
        { LITERAL("John Q. Public <a@b>"), "a@b|", 0 },
        { LITERAL("a@b,\r\n c@d,\n\te@f"), "a@b|c@d|e@f|", 0 },
        { LITERAL("a@b (John)"), "a@b|", 0 },
        { LITERAL("(c) \"x\" (d) <a@b> (e)"), "a@b|", 0 },
        { LITERAL("\"a b\"@c"), "\"a b\"@c|", 0 },
        { LITERAL("\"a\"@c"), "a@c|", 0 },
        { LITERAL("\"a.b\"@c"), "a.b@c|", 0 },
        { LITERAL("\"a..b\"@c"), "\"a..b\"@c|", 0 },
        { LITERAL("\"a\\\"\\\\\\b\"@c"), "\"a\\\"\\\\b\"@c|", 0 },
        { LITERAL("\"a\r\n b\"@c"), "\"a b\"@c|", 0 },
        { LITERAL("a@[192.0.2.1]"), "a@[192.0.2.1]|", 0 },
        { LITERAL("a@[IPv6:2001:db8::1]"), "a@[IPv6:2001:db8::1]|", 0 },
        { LITERAL("!#$%&'*+-/=?^_`{|}~@b"), "!#$%&'*+-/=?^_`{|}~@b|", 0 },
        { LITERAL("j\xc3\xb6rg@b\xc3\xbc"
                  "cher.example"),
          "j\xc3\xb6rg@b\xc3\xbc"
          "cher.example|",
          0 },
        { LITERAL("J\xf6rg <a@b>"), "a@b|", 0 },
        { LITERAL("\"J\xf6rg\" (\xf6) <a@b>"), "a@b|", 0 },
    };
    ASSERT_LISTS(cases);
}

static void
groups_are_read_and_flagged(void **state)
{
    (void)state;
    const struct list_case cases[] = {
        { LITERAL("undisclosed-recipients:;"), "", GRP },
        { LITERAL("undisclosed recipients: ;"), "", GRP },
        { LITERAL("g: a@b, C <c@d>;"), "a@b|c@d|", GRP },
        { LITERAL("x@y, g: a@b;, \"h\": c@d; (c), e@f"), "x@y|a@b|c@d|e@f|", GRP },
        { LITERAL("g: a@b,, c@d;"), "a@b|c@d|", GRP | EMP },
        { LITERAL("g: a@b"), "a@b|", GRP | SYN },
        { LITERAL("g: a@b; c@d"), "a@b|c@d|", GRP | SYN },
        { LITERAL("g: h: a@b;;"), "", GRP | SYN | EMP },
        { LITERAL(": a@b;"), "", SYN },
        { LITERAL("a@b: c@d;"), "", SYN },
        { LITERAL("g:;;"), "", GRP | SYN | EMP },
    };
    ASSERT_LISTS(cases);
}

static void
obsolete_forms_are_read_and_flagged(void **state)
{
    (void)state;
    const struct list_case cases[] = {
        { LITERAL("a . b @ c . d"), "a.b@c.d|", OBS },
        { LITERAL("a@ b"), "a@b|", OBS },
        { LITERAL("a(x)@b"), "a@b|", OBS },
        { LITERAL("a@b.(x)c"), "a@b.c|", OBS },
        { LITERAL("\"a\".b.\"c d\"@e"), "\"a.b.c d\"@e|", OBS },
        { LITERAL("<@x:a@b>"), "a@b|", OBS },
        { LITERAL("n <@x,@y,,@z:a@b>"), "a@b|", OBS },
        { LITERAL("a@[192.0. 2.1]"), "a@[192.0.2.1]|", OBS },
        { LITERAL("a@b,"), "a@b|", EMP },
        { LITERAL(",,a@b, ,c@d"), "a@b|c@d|", EMP },
        { LITERAL(""), "", EMP },
        { LITERAL(" (nobody) \r\n"), "", EMP },
    };
    ASSERT_LISTS(cases);
}

static void
what_is_only_shown_is_no_address(void **state)
{
    (void)state;
    const struct list_case cases[] = {
        { LITERAL("\"victim@x\" <a@b>"), "a@b|", 0 },
        { LITERAL("\"<victim@x>\" <a@b>"), "a@b|", 0 },
        { LITERAL("\"v\\\" <victim@x>\" <a@b>"), "a@b|", 0 },
        { LITERAL("(victim@x) a@b"), "a@b|", 0 },
        { LITERAL("(<victim@x>, \"q\" (nested \\) ) ) a@b (<x@y>)"), "a@b|", 0 },
        { LITERAL("\"a@b\"@c"), "\"a@b\"@c|", 0 },
        { LITERAL("\"a@b\" <c@d>"), "c@d|", 0 },
        { LITERAL("a@b <c@d>"), "c@d|", SYN },
        { LITERAL("a@b c <c@d>"), "c@d|", SYN },
        { LITERAL("a@b, victim@x <c@d>"), "a@b|c@d|", SYN },
        { LITERAL("[list] x <c@d>"), "c@d|", SYN },
        { LITERAL("=?utf-8?q?victim=40x?= <a@b>"), "a@b|", 0 },
        { LITERAL("=?utf-8?q?=3Cvictim=40x=3E=2C?= <a@b>"), "a@b|", 0 },
        { LITERAL("=?utf-8?q?Doe,_John?= <a@b>"), "a@b|", SYN },
        { LITERAL("=?utf-8?q?<victim@x>?= <a@b>"), "", SYN },
        { LITERAL("=?utf-8?q?victim=40x?="), "", SYN },
        { LITERAL("=?utf-8?q?victim?=@b"), "", SYN },
        { LITERAL("<=?utf-8?q?victim?=@b>"), "", SYN },
        { LITERAL("\"=?utf-8?q?victim=40x=3E?=\"@b"), "", SYN },
        { LITERAL("a@=?utf-8?q?b?="), "", SYN },
        { LITERAL("=?a@b?="), "=?a@b?=|", 0 },
    };
    ASSERT_LISTS(cases);
}

static void
what_fits_no_grammar_gives_no_address(void **state)
{
    (void)state;
    const struct list_case cases[] = {
        { LITERAL("<>"), "", SYN },
        { LITERAL("n <>"), "", SYN },
        { LITERAL("< >, a@b"), "a@b|", SYN },
        { LITERAL("root"), "", SYN },
        { LITERAL("John Doe, a@b"), "a@b|", SYN },
        { LITERAL("<root>"), "", SYN },
        { LITERAL("a@b c@d"), "", SYN },
        { LITERAL("<a@b> <c@d>"), "", SYN },
        { LITERAL("<a@b> junk, c@d"), "c@d|", SYN },
        { LITERAL("<a@b>c@d"), "", SYN },
        { LITERAL("<a@b, c@d>"), "", SYN },
        { LITERAL("<a@b"), "", SYN },
        { LITERAL("a@b>"), "", SYN },
        { LITERAL("<<a@b>>"), "", SYN },
        { LITERAL("a@b; c@d"), "a@b|c@d|", SYN },
        { LITERAL("a@b;"), "a@b|", SYN },
        { LITERAL("@b"), "", SYN },
        { LITERAL("a@"), "", SYN },
        { LITERAL("a@@b"), "", SYN },
        { LITERAL("a@b@c"), "", SYN },
        { LITERAL("\"\"@b"), "", SYN },
        { LITERAL("a.\"\"@b"), "", SYN },
        { LITERAL("a@b."), "", SYN },
        { LITERAL("a@.b"), "", SYN },
        { LITERAL("a@b..c"), "", SYN },
        { LITERAL(".a@b"), "", SYN },
        { LITERAL("a.@b"), "", SYN },
        { LITERAL("a..b@c"), "", SYN },
        { LITERAL("a b@c"), "", SYN },
        { LITERAL("a@\"b\""), "", SYN },
        { LITERAL("a@b[1]"), "", SYN },
        { LITERAL("a@[1"), "", SYN },
        { LITERAL("a@[1\\]]"), "", SYN },
        { LITERAL("a@[<x@y>]"), "", SYN },
        { LITERAL("\"a"), "", SYN },
        { LITERAL("\"a@b"), "", SYN },
        { LITERAL("(a@b"), "", SYN | EMP },
        { LITERAL("a@b (open"), "a@b|", SYN },
        { LITERAL("a@b)"), "", SYN },
        { LITERAL("a\\@b@c"), "", SYN },
        { LITERAL("<@x a@b>"), "", SYN | OBS },
        { LITERAL("<@x:>"), "", SYN | OBS },
        { LITERAL("\xff@b"), "", SYN },
        { LITERAL("\xc0\xaf@b"), "", SYN },
        { LITERAL("\xed\xa0\x80@b"), "", SYN },
        { LITERAL("a@\xff"), "", SYN },
    };
    ASSERT_LISTS(cases);
}

static void
nul_and_line_breaks_are_attempts_at_something_else(void **state)
{
    (void)state;
    const struct list_case cases[] = {
        { LITERAL("a@b\0"), "", SYN },
        { LITERAL("a@b\0.c"), "", SYN },
        { LITERAL("a\0@b"), "", SYN },
        { LITERAL("\"a\0\"@b"), "", SYN },
        { LITERAL("\"a\\\0\"@b"), "", SYN },
        { LITERAL("\"n\0\" <a@b>"), "a@b|", SYN },
        { LITERAL("(\0) a@b"), "a@b|", SYN },
        { LITERAL("a@b\nBcc: c@d"), "", SYN },
        { LITERAL("a@b,\nc@d"), "a@b|c@d|", SYN },
        { LITERAL("a@b,\rc@d"), "a@b|c@d|", SYN },
        { LITERAL("\"n\nx\" <a@b>"), "a@b|", SYN },
        { LITERAL("\"a\tb\"@c"), "", SYN },
        { LITERAL("\"a\x7f\"@c"), "", SYN },
        { LITERAL("a@b\x01"), "", SYN },
    };
    ASSERT_LISTS(cases);
}

static void
a_part_that_is_too_long_is_no_address(void **state)
{
    (void)state;
    char field[2000];
    memset(field, 'a', sizeof field);
    field[512] = '@';
    field[513] = 'b';
    struct mime_addresses *a = parsed(span_of(field, 514));
    assert_int_equal(mime_address_count(a), 1);
    mime_address_free(&a);
    a = parsed(span_of(field, 2000));
    assert_int_equal(mime_address_count(a), 0);
    assert_int_equal(mime_address_flags(a), SYN);
    mime_address_free(&a);
    field[512] = 'a';
    field[513] = '@';
    a = parsed(span_of(field, 515));
    assert_int_equal(mime_address_count(a), 0);
    mime_address_free(&a);
}

static void
more_than_the_limit_is_an_error(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct mime_addresses *a = NULL;
    assert_int_equal(mime_address_parse(LITERAL("a@b,c@d,e@f"), 3, &a, &err), ERR_OK);
    assert_null(mime_address_get(a, 3));
    mime_address_free(&a);
    assert_int_equal(mime_address_parse(LITERAL("a@b,c@d,e@f,g@h"), 3, &a, &err), ERR_LIMIT);
    assert_null(a);
    err_reset(&err);
    assert_int_equal(mime_address_parse(LITERAL("a:;,b:;,c:;,d:;"), 3, &a, &err), ERR_LIMIT);
    assert_null(a);
    mime_address_free(&a);
    mime_address_free(NULL);
}

/* "To:" with 45,000 groups, and its relatives. */
static void
a_hostile_field_takes_linear_time(void **state)
{
    (void)state;
    const char *const patterns[] = {
        "g:;,", "g:", "<",    "(",      "\"",   "\\",  ",",      ";",       "a@b,", "a@b ",
        "<a@b", "@",  "a.",   "\"a\".", "()",   "(()", "[",      "a@[",     "<@a,", "=?",
        ":",    "a ", "\r\n", "a@b<",   "\"\\", "<@",  "=?a?b?", "g:a@b;,", "(\\)", "\xc3\xbc",
    };
    clock_t begin = clock();
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        struct err err = ERR_INIT;
        struct buf field = BUF_INIT(1 << 20);
        struct mime_addresses *a = NULL;
        for (int k = 0; k < 45000; k++)
            assert_int_equal(buf_append_str(&field, patterns[i], &err), ERR_OK);
        struct span copy = exact(buf_span(&field));
        enum err_code code = mime_address_parse(copy, MIME_ADDRESS_LIMIT, &a, &err);
        assert_true(code == ERR_OK || code == ERR_LIMIT);
        mime_address_free(&a);
        exact_free(copy);
        buf_free(&field);
    }
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 10.0);
}

static void
every_prefix_of_a_field_is_read_within_its_bounds(void **state)
{
    (void)state;
    const char *field =
        "(c\\)) \"q\\\"\r\n\" x <@a,@b:\"l o\".c@[1.2]>, g: =?a?b?= <d@e.f>, h@i;, j";
    for (size_t n = 0; n <= strlen(field); n++) {
        struct mime_addresses *a = parsed(span_of(field, n));
        mime_address_free(&a);
    }
}

/* Who puts another address there leaves everything around it as it was. */
static void
the_place_of_an_address_is_the_address_alone(void **state)
{
    static const char *const values[] = {
        "me@our.example",
        " Me <me@our.example> (comment)",
        "(a) me@our.example (b)",
        "\"x <y@z>\" < me@our.example >",
        "me@our.example,\r\n Me <me@our.example>",
        "\"m e\"@[192.0.2.1]",
        "g: me@our.example, You <you@our.example>;, last@our.example",
        "M\xc3\xbcller <m\xc3\xbc@b\xc3\xbc.example>",
    };

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct mime_addresses *addresses = NULL;
        struct err err = ERR_INIT;

        assert_int_equal(mime_address_parse(span_str(values[i]), 10, &addresses, &err), ERR_OK);
        assert_true(mime_address_count(addresses) > 0);
        for (size_t k = 0; k < mime_address_count(addresses); k++) {
            struct mime_address_place place = mime_address_find_place(addresses, k);
            struct span there = span_of(values[i] + place.begin, place.end - place.begin);

            assert_true(span_equal(there, span_str(mime_address_get(addresses, k))));
        }
        assert_int_equal(mime_address_find_place(addresses, 99).end, 0);
        mime_address_free(&addresses);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_place_of_an_address_is_the_address_alone),
        cmocka_unit_test(mailboxes_stand_where_the_grammar_puts_them),
        cmocka_unit_test(groups_are_read_and_flagged),
        cmocka_unit_test(obsolete_forms_are_read_and_flagged),
        cmocka_unit_test(what_is_only_shown_is_no_address),
        cmocka_unit_test(what_fits_no_grammar_gives_no_address),
        cmocka_unit_test(nul_and_line_breaks_are_attempts_at_something_else),
        cmocka_unit_test(a_part_that_is_too_long_is_no_address),
        cmocka_unit_test(more_than_the_limit_is_an_error),
        cmocka_unit_test(a_hostile_field_takes_linear_time),
        cmocka_unit_test(every_prefix_of_a_field_is_read_within_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
