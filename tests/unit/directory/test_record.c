#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "directory/record.h"
#include "util/buf.h"

/* "dn{name=value|name=value|}" of each record. */
static enum err_code
note(void *context, const struct directory_record *record, struct err *err)
{
    struct buf *out = context;
    enum err_code code = buf_appendf(out, err, "%s{", record->dn);
    for (size_t i = 0; i < record->count && code == ERR_OK; i++) {
        const struct directory_attribute *a = &record->list[i];
        assert_int_equal(a->value.p[a->value.n], 0);
        code = buf_appendf(out, err, "%s=", a->name);
        if (code == ERR_OK)
            code = buf_append(out, a->value, err);
        if (code == ERR_OK)
            code = buf_append_byte(out, '|', err);
    }
    return code == ERR_OK ? buf_append_byte(out, '}', err) : code;
}

/* Parses an exact-size copy. */
static enum err_code
parse(const char *text, size_t n, struct buf *out, struct err *err)
{
    unsigned char *copy = malloc(n);
    assert_true(copy || n == 0);
    memcpy(copy, text, n);
    enum err_code code = directory_record_parse("people.ldif", span_of(copy, n), note, out, err);
    free(copy);
    return code;
}

#define TEXT(text) (text), sizeof(text) - 1

static void
content_records_are_read(void **state)
{
    (void)state;
    const struct {
        const char *text;
        size_t n;
        const char *wanted;
    } cases[] = {
        { TEXT(""), "" },
        { TEXT("\n\n\r\n"), "" },
        { TEXT("dn: cn=a"), "cn=a{}" },
        { TEXT("dn: cn=a\ncn: a\nMail:a@b\n"), "cn=a{cn=a|mail=a@b|}" },
        { TEXT("dn: cn=a\r\ncn: a\r\n\r\n\r\ndn: cn=b\r\nx: y\r\n"), "cn=a{cn=a|}cn=b{x=y|}" },
        { TEXT("version: 1\ndn: cn=a\n\ndn: cn=b\n"), "cn=a{}cn=b{}" },
        { TEXT("version: 1\n\ndn: cn=a\n"), "cn=a{}" },
        { TEXT("\xef\xbb\xbf"
               "dn: cn=a\n"),
          "cn=a{}" },
        { TEXT("# c\n folded: x\ndn: cn=a\n#d\nx: y\n# end"), "cn=a{x=y|}" },
        { TEXT("#\n \n \ndn: cn=a\n"), "cn=a{}" },
        { TEXT("dn: cn\n =a\nx: 1\n  2\n \n 3\r\n 4\ny: z\n"), "cn=a{x=1 234|y=z|}" },
        { TEXT("dn: cn=a\nx:\ny: \nz:   v  \n"), "cn=a{x=|y=|z=v  |}" },
        { TEXT("dn:: Y249w7w=\nx:: w7wK\n"), "cn=\xc3\xbc{x=\xc3\xbc\n|}" },
        { TEXT("dn: cn=a\nx::\ny:: \nz:: Zm9v\n YmFy\n"), "cn=a{x=|y=|z=foobar|}" },
        { TEXT("dn: cn=\xc3\xbc\nx: \xc3\xbc\n"), "cn=\xc3\xbc{x=\xc3\xbc|}" },
        { TEXT("dn: cn=a\nuserCertificate;binary:: QQ==\n2.5.4.3;lang-de: x\n"),
          "cn=a{usercertificate;binary=A|2.5.4.3;lang-de=x|}" },
        { TEXT("dn: cn=a\nx: a:b\ny: :z\n"), "cn=a{x=a:b|y=:z|}" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = ERR_INIT;
        struct buf out = BUF_INIT(1 << 16);
        enum err_code code = parse(cases[i].text, cases[i].n, &out, &err);
        if (code != ERR_OK || strcmp(buf_str(&out), cases[i].wanted) != 0) {
            print_message("%s\nfound %s %s\n", cases[i].text, buf_str(&out), err.text);
            fail();
        }
        buf_free(&out);
    }
}

static void
a_value_may_hold_nul_in_base64(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct buf out = BUF_INIT(100);
    assert_int_equal(parse(TEXT("dn: a\nx:: QQBC\n"), &out, &err), ERR_OK);
    assert_true(span_equal(buf_span(&out), span_of("a{x=A\0B|}", 9)));
    buf_free(&out);
}

static void
what_is_wrong_is_refused_with_its_place(void **state)
{
    (void)state;
    const struct {
        const char *text;
        size_t n;
        const char *wanted;
    } cases[] = {
        { TEXT("cn: a\n"), "people.ldif:1: a record does not begin with 'dn'" },
        { TEXT("dn: a\nx: y\n\nsearch: 2\nresult: 0 Success\n"), ":4: a record does not begin" },
        { TEXT("dn: a\n\nversion: 1\n"), ":3: a record does not begin" },
        { TEXT("version: 2\ndn: a\n"), ":1: LDIF of another version" },
        { TEXT("dn: a\n# c\n\n x\n"), ":4: a line begins with a space" },
        { TEXT(" dn: a\n"), ":1: a line begins with a space" },
        { TEXT("dn: a\nx: 1\n 2\njunk\n"), ":4: a line without ':'" },
        { TEXT("dn: a\n: x\n"), ":2: not the name of an attribute" },
        { TEXT("dn: a\nx y: z\n"), ":2: not the name of an attribute" },
        { TEXT("dn: a\n-: z\n"), ":2: not the name of an attribute" },
        { TEXT("dn: a\nx\0: z\n"), ":2: not the name of an attribute" },
        { TEXT("dn: a\nx:< file:///etc/shadow\n"), ":2: a value from a URL" },
        { TEXT("dn: a\nx:<http://h/\n"), ":2: a value from a URL" },
        { TEXT("dn:< file:///etc/passwd\n"), ":1: a value from a URL" },
        { TEXT("dn: a\nx:: Zm9\n"), ":2: not base64" },
        { TEXT("dn: a\nx:: Zm9v!\n"), ":2: not base64" },
        { TEXT("dn: a\nx:: Zg==Zg==\n"), ":2: not base64" },
        { TEXT("dn: a\nx: y\0z\n"), ":2: a plain value with NUL" },
        { TEXT("dn: a\nx: y\rz\n"), ":2: a plain value with NUL" },
        { TEXT("dn: a\nx: \xff\n"), ":2: a plain value with NUL" },
        { TEXT("dn:: AGE=\n"), ":1: a dn that is not UTF-8" },
        { TEXT("dn:: /w==\n"), ":1: a dn that is not UTF-8" },
        { TEXT("dn: a\ndn: b\n"), ":2: a second 'dn'" },
        { TEXT("dn: a\nchangetype: add\nx: y\n"), ":2: a change record" },
        { TEXT("dn: a\ncontrol: 1.2.3 true\n"), ":2: a change record" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = ERR_INIT;
        struct buf out = BUF_INIT(1 << 16);
        enum err_code code = parse(cases[i].text, cases[i].n, &out, &err);
        if (code != ERR_PERM || !strstr(err.text, cases[i].wanted)) {
            print_message("%s\nfound %d %s\n", cases[i].text, code, err.text);
            fail();
        }
        buf_free(&out);
    }
}

static void
append_many(struct buf *out, const char *text, size_t count)
{
    struct err err = ERR_INIT;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(buf_append_str(out, text, &err), ERR_OK);
}

static void
values_have_a_bound_in_either_form(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct buf text = BUF_INIT(1 << 23), out = BUF_INIT(1 << 23);
    append_many(&text, "dn: a\nx: ", 1);
    append_many(&text, "y", DIRECTORY_RECORD_LIMIT_VALUE);
    assert_int_equal(parse(buf_str(&text), text.n, &out, &err), ERR_OK);
    append_many(&text, "y", 1);
    assert_int_equal(parse(buf_str(&text), text.n, &out, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "people.ldif:2: more than 1048576 octets"));

    err_reset(&err);
    buf_reset(&text);
    append_many(&text, "dn: a\nx:: ", 1);
    append_many(&text, "AAAA\n ", DIRECTORY_RECORD_LIMIT_VALUE / 3 + 1);
    assert_int_equal(parse(buf_str(&text), text.n, &out, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "people.ldif:2: more than 1048576 octets"));

    err_reset(&err);
    buf_reset(&text);
    append_many(&text, "dn: a\nx: ", 1);
    append_many(&text, "y\n ", 2 * DIRECTORY_RECORD_LIMIT_VALUE);
    assert_int_equal(parse(buf_str(&text), text.n, &out, &err), ERR_LIMIT);
    buf_free(&text);
    buf_free(&out);
}

static enum err_code
count_records(void *context, const struct directory_record *record, struct err *err)
{
    (void)err;
    *(size_t *)context += 1 + record->count;
    return ERR_OK;
}

static void
records_and_their_values_have_bounds(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct buf text = BUF_INIT(1 << 26);
    size_t count = 0;
    append_many(&text, "dn:\n\n", DIRECTORY_RECORD_LIMIT_RECORDS);
    assert_int_equal(directory_record_parse("f", buf_span(&text), count_records, &count, &err),
                     ERR_OK);
    assert_int_equal(count, DIRECTORY_RECORD_LIMIT_RECORDS);
    append_many(&text, "dn:\n\n", 1);
    assert_int_equal(directory_record_parse("f", buf_span(&text), count_records, &count, &err),
                     ERR_LIMIT);
    assert_non_null(strstr(err.text, "f:2000001: more than 1000000 records"));

    err_reset(&err);
    buf_reset(&text);
    append_many(&text, "dn: a\n", 1);
    append_many(&text, "x:y\n", DIRECTORY_RECORD_LIMIT_VALUES + 1);
    assert_int_equal(directory_record_parse("f", buf_span(&text), count_records, &count, &err),
                     ERR_LIMIT);
    assert_non_null(strstr(err.text, "values in a record"));

    err_reset(&err);
    count = 0;
    assert_int_equal(
        directory_record_parse("f", span_of(text.p, (size_t)DIRECTORY_RECORD_LIMIT_FILE + 1),
                               count_records, &count, &err),
        ERR_LIMIT);
    assert_int_equal(count, 0);
    buf_free(&text);
}

static enum err_code
refuse(void *context, const struct directory_record *record, struct err *err)
{
    (void)context;
    return err_set(err, ERR_TEMP, "%s:%u: enough", record->file, record->line);
}

static void
the_callers_error_ends_the_reading(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_int_equal(
        directory_record_parse("f", span_str("\n#\ndn: a\nx: y\n\ndn: b\n"), refuse, NULL, &err),
        ERR_TEMP);
    assert_string_equal(err.text, "f:3: enough");
}

static void
every_prefix_is_read_within_its_bounds(void **state)
{
    (void)state;
    const char text[] =
        "\xef\xbb\xbfversion: 1\r\n# c\n d\n\ndn:: Y249YQ==\nx;binary:: QUJ\n D\r\ny: \xc3"
        "\xbc\n \n";
    for (size_t n = 0; n < sizeof text; n++) {
        struct err err = ERR_INIT;
        struct buf out = BUF_INIT(1 << 16);
        (void)!parse(text, n, &out, &err);
        buf_free(&out);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_records_are_read),
        cmocka_unit_test(a_value_may_hold_nul_in_base64),
        cmocka_unit_test(what_is_wrong_is_refused_with_its_place),
        cmocka_unit_test(values_have_a_bound_in_either_form),
        cmocka_unit_test(records_and_their_values_have_bounds),
        cmocka_unit_test(the_callers_error_ends_the_reading),
        cmocka_unit_test(every_prefix_is_read_within_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
