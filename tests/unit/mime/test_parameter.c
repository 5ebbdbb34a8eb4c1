#include <time.h>

#include "pieces.h"

#include "mime/parameter.h"

enum {
    DUP = MIME_PARAMETER_DUPLICATE,
    SYN = MIME_PARAMETER_SYNTAX,
    CON = MIME_PARAMETER_CONTINUATION,
    COM = MIME_PARAMETER_COMMENT,
    UNQ = MIME_PARAMETER_UNQUOTED,
    BIT = MIME_PARAMETER_EIGHTBIT,
    EXT = MIME_PARAMETER_EXTENDED,
    ESC = MIME_PARAMETER_ESCAPE,
};

static struct mime_parameters *
parsed(struct span field)
{
    struct err err = ERR_INIT;
    struct mime_parameters *p = NULL;
    struct span copy = exact(field);
    assert_int_equal(mime_parameter_parse(copy, &p, &err), ERR_OK);
    exact_free(copy); /* nothing is borrowed from the field */
    return p;
}

/* `wanted` is "name=value|name=value|". */
struct parameter_case {
    const char *field;
    const char *value;
    const char *wanted;
    unsigned flags;
};

static void
assert_case(const struct parameter_case *c)
{
    struct err err = ERR_INIT;
    struct buf found = BUF_INIT(1 << 16);
    struct mime_parameters *p = parsed(span_str(c->field));
    for (size_t i = 0; i < mime_parameter_count(p); i++) {
        assert_int_equal(buf_append_str(&found, mime_parameter_name(p, i), &err), ERR_OK);
        assert_int_equal(buf_append_byte(&found, '=', &err), ERR_OK);
        assert_int_equal(buf_append(&found, mime_parameter_get(p, i), &err), ERR_OK);
        assert_int_equal(buf_append_byte(&found, '|', &err), ERR_OK);
    }
    if (strcmp(mime_parameter_value(p), c->value) != 0 || strcmp(buf_str(&found), c->wanted) != 0 ||
        mime_parameter_flags(p) != c->flags) {
        print_message("field  %s\nfound  %s; %s flags %#x\nwanted %s; %s flags %#x\n", c->field,
                      mime_parameter_value(p), buf_str(&found), mime_parameter_flags(p), c->value,
                      c->wanted, c->flags);
        fail();
    }
    buf_free(&found);
    mime_parameter_free(&p);
}

static void
assert_cases(const struct parameter_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_case(&cases[i]);
}

#define ASSERT_CASES(cases) assert_cases((cases), sizeof(cases) / sizeof(cases)[0])

static void
what_the_grammar_allows_has_no_flag_but_comment_and_extended(void **state)
{
    (void)state;
    const struct parameter_case cases[] = {
        { "text/plain", "text/plain", "", 0 },
        { " TEXT/Plain ; Charset=UTF-8", "text/plain", "charset=UTF-8|", 0 },
        { "text / plain;a = b ; c=d", "text/plain", "a=b|c=d|", 0 },
        { "text/plain;a=b;", "text/plain", "a=b|", 0 },
        { "text/plain; ;;a=b;; ", "text/plain", "a=b|", 0 },
        { "multipart/signed; boundary=\"a b;c\"; micalg=sha-256", "multipart/signed",
          "boundary=a b;c|micalg=sha-256|", 0 },
        { "a/b; x=\"q\\\"u\\\\o\"", "a/b", "x=q\"u\\o|", 0 },
        { "a/b; x=\"\"", "a/b", "x=|", 0 },
        { "a/b;\r\n x=y;\r\n\tz=\"1\r\n 2\"", "a/b", "x=y|z=1 2|", 0 },
        { "a/b;\n x=y", "a/b", "x=y|", 0 },
        { "(c) a (d) / (e) b (f) ; (g) x (h) = (i) y (j)", "a/b", "x=y|", COM },
        { "text/plain; charset=us-ascii (Plain (nested \\) ) text)", "text/plain",
          "charset=us-ascii|", COM },
        { "a/b; x=y(;z=w); v=u", "a/b", "x=y|v=u|", COM },
        { "attachment; filename*=utf-8''na%C3%AFve%20file.txt", "attachment",
          "filename=na\xc3\xafve file.txt|", EXT },
        { "a/b; n*='en'x%41", "a/b", "n=xA|", EXT },
        { "a/b; n*0=ab; n*1=cd; n*2=ef", "a/b", "n=abcdef|", CON },
        { "a/b; n*1=cd; x=y; n*0=\"ab;\"", "a/b", "n=ab;cd|x=y|", CON },
        { "a/b; t*0*=us-ascii'en'This%20is; t*1*=%2A%20fun; t*2=\" %20it!\"", "a/b",
          "t=This is* fun %20it!|", CON | EXT },
        { "base64", "base64", "", 0 },
        { "inline", "inline", "", 0 },
    };
    ASSERT_CASES(cases);
}

static void
what_mail_systems_write_is_read_and_flagged(void **state)
{
    (void)state;
    const struct parameter_case cases[] = {
        { "a/b; name=my file.pdf", "a/b", "name=my file.pdf|", UNQ },
        { "a/b; name=my file.pdf ; x=y", "a/b", "name=my file.pdf|x=y|", UNQ },
        { "a/b; name=my file (1).pdf; x=y", "a/b", "name=my file (1).pdf|x=y|", UNQ },
        { "a/b; name=f(1).pdf", "a/b", "name=f(1).pdf|", UNQ },
        { "a/b; boundary=----=_Part_1?2:3", "a/b", "boundary=----=_Part_1?2:3|", UNQ },
        { "a/b; name=C:\\dir\\f", "a/b", "name=C:\\dir\\f|", UNQ },
        { "a/b; name=it's [ok]\r\n really", "a/b", "name=it's [ok] really|", UNQ },
        { "a/b; name=\xc3\xbc.txt", "a/b", "name=\xc3\xbc.txt|", BIT },
        { "a/b; name=\"\xfc.txt\"", "a/b", "name=\xfc.txt|", BIT },
        { "a/b; name=\"file.pdf", "a/b", "name=file.pdf|", SYN },
        { "a/b; name=\"file; x=y", "a/b", "name=file; x=y|", SYN },
        { "a/b; name=file.pdf\"; x=y", "a/b", "name=file.pdf\"|x=y|", UNQ },
        { "a/b; name=\"a\" charset=x", "a/b", "name=a|charset=x|", SYN },
        { "a/b; name=\"a\"b c\"; x=y", "a/b", "name=a|", SYN },
        { "a/b; name=\"a\"b c; x=y", "a/b", "name=a|x=y|", SYN },
        { "a/b charset=x", "a/b", "charset=x|", SYN },
        { "a/b junk; c=d", "a/b", "c=d|", SYN },
        { "a/b; junk; c=d", "a/b", "c=d|", SYN },
        { "a/b; =x; c=d", "a/b", "c=d|", SYN },
        { "a/b; x=; c=d", "a/b", "x=|c=d|", SYN },
        { "a/b; x", "a/b", "", SYN },
        { "a/b; two words=x; c=d", "a/b", "c=d|", SYN },
        { "a/b; n\xc3\xa4=x; c=d", "a/b", "c=d|", SYN | BIT },
        { "a/b/c; x=y", "a/b", "x=y|", SYN },
        { "/b; x=y", "/b", "x=y|", SYN },
        { "a/; x=y", "a/", "x=y|", SYN },
        { "\"a/b\"; x=y", "a/b", "x=y|", SYN },
        { "; x=y", "", "x=y|", 0 },
        { "", "", "", 0 },
        { "7bit; x", "7bit", "", SYN },
        { "quoted printable", "quoted", "", SYN },
        { "a/b; x=y (open", "a/b", "x=y|", COM | SYN },
        { "a/b; n*=%41%zz%4", "a/b", "n=A%zz%4|", EXT | SYN },
        { "a/b; n*=utf-8'x%41", "a/b", "n=utf-8'xA|", EXT | SYN },
        { "a/b; n*=\"utf-8''x%41\"", "a/b", "n=xA|", EXT | SYN },
    };
    ASSERT_CASES(cases);
}

static void
what_parsers_read_differently_is_flagged(void **state)
{
    (void)state;
    const struct parameter_case cases[] = {
        { "a/b; boundary=x; boundary=y", "a/b", "boundary=x|", DUP },
        { "a/b; boundary=x; BOUNDARY=\"y\"", "a/b", "boundary=x|", DUP },
        { "a/b; boundary=x; boundary*=''y", "a/b", "boundary=x|", DUP | EXT },
        { "a/b; boundary*=''y; boundary=x", "a/b", "boundary=y|", DUP | EXT },
        { "a/b; boundary=x; boundary*0=y", "a/b", "boundary=x|", DUP | CON },
        { "a/b; boundary*0=y; boundary=x; boundary*1=z", "a/b", "boundary=yz|", DUP | CON },
        { "a/b; name=\"C:\\dir\"; boundary=\"x\\y\"", "a/b", "name=C:dir|boundary=xy|", ESC },
        { "a/b; n*0=x; n*0=y", "a/b", "n=x|", DUP | CON },
        { "a/b; n*0=x; n*2=y", "a/b", "n=x|", SYN | CON },
        { "a/b; n*1=x", "a/b", "", SYN | CON },
        { "a/b; n*0=x; n*999=y", "a/b", "n=x|", SYN | CON },
        /* Neither a number of RFC 2231 nor anything else: an odd name. */
        { "a/b; n*00=x", "a/b", "n*00=x|", 0 },
        { "a/b; n*x=y; *=z; n**=w", "a/b", "n*x=y|*=z|n**=w|", 0 },
        { "a/b; n*99999999999999999999=x", "a/b", "n*99999999999999999999=x|", 0 },
    };
    ASSERT_CASES(cases);
}

static void
type_and_subtype_are_the_halves_of_the_value(void **state)
{
    (void)state;
    struct mime_parameters *p = parsed(LITERAL("Multipart / (x) Signed; a=b"));
    assert_string_equal(mime_parameter_type(p), "multipart");
    assert_string_equal(mime_parameter_subtype(p), "signed");
    mime_parameter_free(&p);
    p = parsed(LITERAL("base64"));
    assert_string_equal(mime_parameter_type(p), "");
    assert_string_equal(mime_parameter_subtype(p), "");
    mime_parameter_free(&p);
}

static void
a_parameter_that_is_empty_is_not_absent(void **state)
{
    (void)state;
    struct mime_parameters *p = parsed(LITERAL("a/b; x=\"\"; y*0=\"\"; z*=''"));
    assert_non_null(mime_parameter_find(p, "x").p);
    assert_non_null(mime_parameter_find(p, "y").p);
    assert_non_null(mime_parameter_find(p, "z").p);
    assert_null(mime_parameter_find(p, "w").p);
    assert_true(mime_parameter_is(p, "x", ""));
    assert_false(mime_parameter_is(p, "w", ""));
    assert_string_equal(mime_parameter_name(p, 3), "");
    assert_null(mime_parameter_get(p, 3).p);
    mime_parameter_free(&p);
}

static void
values_are_compared_without_regard_to_case(void **state)
{
    (void)state;
    struct mime_parameters *p = parsed(LITERAL("a/b; protocol=Application/PKCS7-Signature"));
    assert_true(mime_parameter_is(p, "protocol", "application/pkcs7-signature"));
    assert_false(mime_parameter_is(p, "protocol", "application/pkcs7-signatur"));
    assert_false(mime_parameter_is(p, "Protocol", "application/pkcs7-signature"));
    mime_parameter_free(&p);
}

static void
nul_is_data_in_a_value_and_no_end_of_anything(void **state)
{
    (void)state;
    struct mime_parameters *p = parsed(LITERAL("a\0b/c; x=\"1\0"
                                               "2\"; y=3\0; z*=''%00"));
    assert_string_equal(mime_parameter_value(p), "ab/c");
    assert_span(mime_parameter_find(p, "x"), LITERAL("1\0"
                                                     "2"));
    assert_span(mime_parameter_find(p, "y"), LITERAL("3\0"));
    assert_span(mime_parameter_find(p, "z"), LITERAL("\0"));
    assert_true(mime_parameter_flags(p) & SYN);
    mime_parameter_free(&p);
    p = parsed(LITERAL("a/b; x\0=y"));
    assert_int_equal(mime_parameter_count(p), 0);
    assert_true(mime_parameter_flags(p) & SYN);
    mime_parameter_free(&p);
}

static void
bounds_are_errors(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct mime_parameters *p = NULL;
    struct buf field = BUF_INIT(1 << 20);
    assert_int_equal(buf_append_str(&field, "a/b", &err), ERR_OK);
    for (int i = 0; i < MIME_PARAMETER_LIMIT; i++)
        assert_int_equal(buf_appendf(&field, &err, ";n%d=v%d", i, i), ERR_OK);
    p = parsed(buf_span(&field));
    assert_int_equal(mime_parameter_count(p), MIME_PARAMETER_LIMIT);
    assert_span(mime_parameter_find(p, "n199"), LITERAL("v199"));
    mime_parameter_free(&p);
    assert_int_equal(buf_append_str(&field, ";x=y", &err), ERR_OK);
    assert_int_equal(mime_parameter_parse(buf_span(&field), &p, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "200 parameters"));
    assert_null(p);

    err_reset(&err);
    while (field.n <= MIME_PARAMETER_LIMIT_BYTES)
        assert_int_equal(buf_append_byte(&field, ' ', &err), ERR_OK);
    assert_int_equal(mime_parameter_parse(buf_span(&field), &p, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "65536 bytes"));
    buf_free(&field);
}

/* Fields of the greatest length made of what has made others loop. */
static void
a_hostile_field_takes_linear_time(void **state)
{
    (void)state;
    const char *const patterns[] = {
        "(",    ")",       ";",      "\"",       "\\",   "=",           "/",   "*",     "%",
        "'",    " ",       "\r\n ",  "((\"",     "x\"",  ";\"",         "; (", "x=y(;", "\\\"",
        "; x ", "; \"(\"", ";=",     ";x(\"",    "\"\"", "()",          "a/",  ";n*",   "; junk (",
        "(\\)", "x= (",    "x=\"(;", "\xc3\xa4", "\0",   ";x y=(\")\"", "*0*", ";;;;",
    };
    clock_t begin = clock();
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        struct err err = ERR_INIT;
        struct buf field = BUF_INIT(1 << 20);
        struct mime_parameters *p = NULL;
        size_t n = patterns[i][0] ? strlen(patterns[i]) : 1;
        assert_int_equal(buf_append_str(&field, i % 2 ? "a/b; x=" : "a/b;", &err), ERR_OK);
        while (field.n + n <= MIME_PARAMETER_LIMIT_BYTES)
            assert_int_equal(buf_append(&field, span_of(patterns[i], n), &err), ERR_OK);
        struct span copy = exact(buf_span(&field));
        enum err_code code = mime_parameter_parse(copy, &p, &err);
        assert_true(code == ERR_OK || code == ERR_LIMIT);
        mime_parameter_free(&p);
        exact_free(copy);
        buf_free(&field);
    }
    /* 2 MB: milliseconds; a quadratic step would take minutes. */
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 5.0);
}

static void
every_prefix_of_a_field_is_read_within_its_bounds(void **state)
{
    (void)state;
    const char *field =
        "a (b) / c ; x=\"q\\\"\r\n z\" (d \\) e); n*0*=utf-8''%41; n*1=\"y; y\" k=l; m";
    for (size_t n = 0; n <= strlen(field); n++) {
        struct mime_parameters *p = parsed(span_of(field, n));
        mime_parameter_free(&p);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_grammar_allows_has_no_flag_but_comment_and_extended),
        cmocka_unit_test(what_mail_systems_write_is_read_and_flagged),
        cmocka_unit_test(what_parsers_read_differently_is_flagged),
        cmocka_unit_test(type_and_subtype_are_the_halves_of_the_value),
        cmocka_unit_test(a_parameter_that_is_empty_is_not_absent),
        cmocka_unit_test(values_are_compared_without_regard_to_case),
        cmocka_unit_test(nul_is_data_in_a_value_and_no_end_of_anything),
        cmocka_unit_test(bounds_are_errors),
        cmocka_unit_test(a_hostile_field_takes_linear_time),
        cmocka_unit_test(every_prefix_of_a_field_is_read_within_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
