#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "directory/dn.h"
#include "directory/filter.h"
#include "directory/template.h"
#include "directory/url.h"

static const struct directory_attribute person[] = {
    { .name = "objectclass", .value = { (const unsigned char *)"inetOrgPerson", 13 } },
    { .name = "ou", .value = { (const unsigned char *)"Sales", 5 } },
    { .name = "cn;lang-de", .value = { (const unsigned char *)"a*b(c)", 6 } },
    { .name = "empty", .value = { (const unsigned char *)"", 0 } },
};

static void
a_filter_is_judged_as_rfc_4515_says(void **state)
{
    (void)state;
    const struct {
        const char *text;
        bool wanted;
    } cases[] = {
        { "(ou=sales)", true },
        { "(OU=SALES)", true },
        { "(ou=sale)", false },
        { "(ou=saless)", false },
        { "(ou=*)", true },
        { "(mail=*)", false },
        { "(ou=s*)", true },
        { "(ou=*s)", true },
        { "(ou=*al*)", true },
        { "(ou=s*l*s)", true },
        { "(ou=sa*ales)", false },
        { "(ou=*sales*)", true },
        { "(ou=*x*)", false },
        { "(cn=a\\2ab\\28c\\29)", true },
        { "(cn=a*)", true },
        { "(empty=)", true },
        { "(empty=*)", true },
        { "(&)", true },
        { "(|)", false },
        { "(&(ou=sales)(objectClass=inetOrgPerson))", true },
        { "(&(ou=sales)(objectClass=group))", false },
        { "(|(ou=x)(ou=y)(ou=sales))", true },
        { "(|(ou=x)(ou=y))", false },
        { "(!(ou=x))", true },
        { "(!(mail=*))", true },
        { "(!(ou=sales))", false },
        { "(&(!(ou=x))(|(ou=sales)(ou=y)))", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = ERR_INIT;
        struct directory_filter *filter = NULL;
        if (directory_filter_new(span_str(cases[i].text), &filter, &err) != ERR_OK)
            fail_msg("%s: %s", cases[i].text, err.text);
        if (directory_filter_match(filter, person, sizeof person / sizeof person[0]) !=
            cases[i].wanted)
            fail_msg("%s", cases[i].text);
        directory_filter_free(&filter);
    }
}

static void
what_is_no_filter_or_not_evaluated_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",        "()",         "ou=sales", "(ou=sales", "(ou=sales))",   "(ou>=a)",
        "(ou~=a)", "(ou:dn:=a)", "(=a)",     "(!)",       "(!(a=b)(c=d))", "(&(a=b)",
        "(a=\\2)", "(a=\\zz)",   "(a=b(c)",  "(a=b)x",    "(&(a=b)x)",     "(a)",
    };
    struct directory_filter *filter = NULL;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err_reset(&err);
        if (directory_filter_new(span_str(bad[i]), &filter, &err) != ERR_PERM)
            fail_msg("%s", bad[i]);
        assert_null(filter);
    }
    char deep[3 * 1000 + 1] = "";
    for (size_t i = 0; i < 1000; i++)
        memcpy(deep + 2 * i, "(!", 3);
    err_reset(&err);
    assert_int_equal(directory_filter_new(span_str(deep), &filter, &err), ERR_LIMIT);
}

static void
a_value_in_a_filter_stays_a_value(void **state)
{
    (void)state;
    /* The injection strings of RFC 4515 3 and what people try. */
    static const char *const values[] = {
        "*",   "a*b",      "x)(objectClass=*",   "\\",        "\\2a",  "(|(a=*))", "a\"b", "a,b",
        "a=b", "\xc3\xa4", "*)(uid=*))(|(uid=*", "a\x01\x7f", " lead", "trail ",   "#x",   "%a%l",
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct err err = ERR_INIT;
        struct buf text = BUF_INIT(1000);
        struct directory_filter *filter = NULL;
        const struct directory_template_values to = { .address = values[i] };
        const struct directory_attribute same = { .name = "mail", .value = span_str(values[i]) },
                                         other = { .name = "mail", .value = span_str("zz") };
        assert_int_equal(directory_template_format("(mail=%a)", &to, &text, &err), ERR_OK);
        assert_int_equal(directory_filter_new(buf_span(&text), &filter, &err), ERR_OK);
        assert_true(directory_filter_match(filter, &same, 1));
        assert_false(directory_filter_match(filter, &other, 1));
        directory_filter_free(&filter);
        buf_free(&text);
    }
}

static void
a_template_takes_what_there_is(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct buf text = BUF_INIT(1000);
    const struct directory_template_values values = { .address = "a(@x.example",
                                                      .dn = "cn=a\\,b",
                                                      .primary = "p@x.example" };
    assert_int_equal(
        directory_template_format("(&(m=%a)(d=%d)(p=%p)(u=%u)(c=%%))", &values, &text, &err),
        ERR_OK);
    assert_string_equal(buf_str(&text),
                        "(&(m=a\\28@x.example)(d=cn=a\\5c,b)(p=p@x.example)(u=a\\28)(c=%))");
    assert_int_equal(directory_template_format("(l=%l)", &values, &text, &err), ERR_NOTFOUND);
    err_reset(&err);
    assert_int_equal(directory_template_format("(l=%x)", &values, &text, &err), ERR_PERM);
    static const char *const bad[] = { "",           "mail=%a",      "(mail=%a",
                                       "(mail=%a))", "(a=%a)(b=%a)", "(mail=%l)",
                                       "(mail=%",    "(mail=%z)" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err_reset(&err);
        if (directory_template_check(bad[i], "ad", &err) != ERR_PERM)
            fail_msg("%s", bad[i]);
    }
    err_reset(&err);
    assert_int_equal(directory_template_check("(&(mail=%a)(x>=5))", "ad", &err), ERR_OK);
    buf_free(&text);
}

static void
one_name_written_in_many_ways_is_one_name(void **state)
{
    (void)state;
    static const char *const same[] = {
        "CN=Ann\\, Lee,O=Corp",   "cn=ann\\2c lee,o=corp",      "cn = ann\\2C  lee , o = corp ",
        "cn=\"ann, lee\",o=corp", "cn=\\41nn\\,\\20Lee;O=CORP", "OID.cn=ann\\, lee, o=corp",
    };
    char *wanted = directory_dn_get(same[0]);
    assert_string_equal(wanted, "cn=ann\\2c lee,o=corp");
    for (size_t i = 1; i < sizeof same / sizeof same[0]; i++) {
        char *dn = directory_dn_get(same[i]);
        assert_non_null(dn);
        assert_string_equal(dn, wanted);
        free(dn);
    }
    free(wanted);
    static const char *const bad[] = { "x",      "cn=a,",   "cn=a\\", "=a",       "cn=a,,o=b",
                                       "cn=\"a", "cn=a\"b", ",",      "cn=\"a\"b" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *dn = directory_dn_get(bad[i]);
        if (dn)
            fail_msg("%s -> %s", bad[i], dn);
    }
    assert_true(directory_dn_is_below("cn=a,o=b", "o=b"));
    assert_true(directory_dn_is_below("o=b", "o=b"));
    assert_true(directory_dn_is_below("o=b", ""));
    assert_false(directory_dn_is_below("cn=a,fo=b", "o=b"));
    assert_false(directory_dn_is_below("o=b", "cn=a,o=b"));
}

static void
a_value_in_a_dn_stays_a_value(void **state)
{
    (void)state;
    static const char *const values[] = { "a,o=evil", "a+b=c", "\"",  "\\",  "<a>",
                                          "a;b",      "#a",    " a ", "a=b", "a\x01z" };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct err err = ERR_INIT;
        struct buf dn = BUF_INIT(1000);
        assert_int_equal(buf_append_str(&dn, "cn=", &err), ERR_OK);
        assert_int_equal(directory_dn_escape(span_str(values[i]), &dn, &err), ERR_OK);
        assert_int_equal(buf_append_str(&dn, ",o=corp", &err), ERR_OK);
        char *form = directory_dn_get(buf_str(&dn));
        assert_non_null(form);
        /* One RDN, however it was tried. */
        assert_string_equal(strchr(form, ',') + 1, "o=corp");
        assert_null(strchr(form, '+'));
        free(form);
        buf_free(&dn);
    }
}

static void
a_uid_is_no_part_of_a_unique_member(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "cn=a,o=b#'0101'B", "cn=a,o=b" },   { "cn=a,o=b#''B", "cn=a,o=b" },
        { "cn=a,o=b", "cn=a,o=b" },           { "cn=a,o='B", "cn=a,o='B" },
        { "cn=a,o=b'01'B", "cn=a,o=b'01'B" }, { "'B", "'B" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct span got = directory_dn_without_uid(span_str(cases[i][0]));
        assert_true(span_equal(got, span_str(cases[i][1])));
    }
}

static void
an_ldap_url_is_read_without_its_host(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct directory_url url;
    assert_int_equal(directory_url_parse(span_str("ldap://evil.example:389/CN=CA%20One,DC=x?"
                                                  "certificateRevocationList;binary,x?base?"
                                                  "objectClass=cRLDistributionPoint"),
                                         &url, &err),
                     ERR_OK);
    assert_string_equal(url.base, "CN=CA One,DC=x");
    assert_string_equal(url.attribute, "certificateRevocationList;binary");
    assert_string_equal(url.filter, "objectClass=cRLDistributionPoint");
    assert_int_equal(url.scope, DIRECTORY_SCOPE_BASE);
    directory_url_free(&url);
    assert_int_equal(directory_url_parse(span_str("LDAPS:///??sub"), &url, &err), ERR_OK);
    assert_string_equal(url.base, "");
    assert_string_equal(url.filter, "(objectClass=*)");
    assert_int_equal(url.scope, DIRECTORY_SCOPE_SUB);
    directory_url_free(&url);
    static const char *const bad[] = { "http://x/",
                                       "ldap:/x",
                                       "ldap:///x??near",
                                       "ldap:///%00",
                                       "ldap:///%4",
                                       "ldap:///?"
                                       "?"
                                       "?"
                                       "?!x",
                                       "ldap:///?"
                                       "?"
                                       "?"
                                       "?a,!x",
                                       "" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err_reset(&err);
        if (directory_url_parse(span_str(bad[i]), &url, &err) != ERR_PERM)
            fail_msg("%s", bad[i]);
        assert_null(url.base);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_filter_is_judged_as_rfc_4515_says),
        cmocka_unit_test(what_is_no_filter_or_not_evaluated_is_refused),
        cmocka_unit_test(a_value_in_a_filter_stays_a_value),
        cmocka_unit_test(a_template_takes_what_there_is),
        cmocka_unit_test(one_name_written_in_many_ways_is_one_name),
        cmocka_unit_test(a_value_in_a_dn_stays_a_value),
        cmocka_unit_test(a_uid_is_no_part_of_a_unique_member),
        cmocka_unit_test(an_ldap_url_is_read_without_its_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
