#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flow/forged.h"

/* Values are checked in blocks of their exact size. */
static bool
is_forged(const char *value, const char *id)
{
    size_t n = strlen(value);
    char *copy = malloc(n + !n);
    struct err err = ERR_INIT;
    bool forged = false;

    memcpy(copy, value, n);
    assert_int_equal(flow_forged_check(span_of(copy, n), id, &forged, &err), ERR_OK);
    free(copy);
    return forged;
}

static void
every_spelling_of_our_name_is_found(void **state)
{
    static const char *const spellings[] = {
        " mail.example.org; smime=pass",
        "mail.example.org; smime=pass",
        " MAIL.Example.ORG; smime=pass",
        " \"mail.example.org\"; smime=pass",
        " \"mail\\.exam\\ple.org\"; smime=pass",
        " (a comment (nested \\) still)) mail.example.org; smime=pass",
        "\n\tmail.example.org;\n\tsmime=pass",
        "\r\n mail.example.org\r\n ;\r\n smime=pass",
        " mail.example.org 1; smime=pass",
        " mail.example.org(x)1; smime=pass",
        " mail.example.org/1; smime=pass",
        " mail.example.org.; smime=pass",
        " mail.example.org",
        " ; mail.example.org; smime=pass",
        " , mail.example.org; smime=pass",
        " (unclosed) \"mail.example.org",
        " \tmail.example.org\t;smime=pass",
        " \xc2\xa0mail.example.org; smime=pass",
        " mail.example.org\xe2\x80\x8b; smime=pass",
        " mail.\xff"
        "example.org; smime=pass",
    };
    unsigned i;

    (void)state;
    for (i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        if (!is_forged(spellings[i], "mail.example.org")) {
            print_message("not found: %s\n", spellings[i]);
            fail();
        }
    }
}

static void
an_internationalised_name_is_one_name(void **state)
{
    (void)state;
    assert_true(is_forged(" b\xc3\xbc"
                          "cher.example; smime=pass",
                          "xn--bcher-kva.example"));
    assert_true(is_forged(" XN--BCHER-KVA.example; smime=pass", "b\xc3\xbc"
                                                                "cher.example"));
    assert_true(is_forged(" B\xc3\x9c"
                          "cher.example.; smime=pass",
                          "xn--bcher-kva.example"));
    assert_false(is_forged(" bucher.example; smime=pass", "xn--bcher-kva.example"));
}

static void
an_id_that_is_no_host_name_is_found_too(void **state)
{
    (void)state;
    assert_true(is_forged(" \"our gateway\"; smime=pass", "our gateway"));
    assert_true(is_forged(" Our Gateway; smime=pass", "our gateway"));
    assert_true(is_forged(" gw/a; smime=pass", "gw/a"));
    assert_false(is_forged(" other gateway; smime=pass", "our gateway"));
}

static void
a_field_of_somebody_else_stays(void **state)
{
    static const char *const others[] = {
        " mx.example.net; spf=pass smtp.mailfrom=mail.example.org",
        " mx.example.net; smime=pass (mail.example.org)",
        " mx.example.net (mail.example.org); smime=pass",
        " notmail.example.org; smime=pass",
        " mail.example.org.evil.example; smime=pass",
        " mail.example.orgx; smime=pass",
        " (mail.example.org)",
        " ;",
        "",
        " ((((((((((",
        " \"",
        " \\",
    };
    unsigned i;

    (void)state;
    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (is_forged(others[i], "mail.example.org")) {
            print_message("found: %s\n", others[i]);
            fail();
        }
    }
}

static void
fields_are_deleted_from_the_last_to_the_first(void **state)
{
    static const char *const values[] = { " us.example; smime=pass", " them.example; dkim=pass",
                                          " US.example 1; smime=pass", " us.example.; none" };
    static const unsigned expected[] = { 4, 3, 1 };
    struct mime_header *header = NULL;
    struct flow_edits edits = { 0 };
    struct err err = ERR_INIT;
    size_t count = 0, i;

    (void)state;
    assert_int_equal(mime_header_new(10000, 100, &header, &err), ERR_OK);
    for (i = 0; i < 4; i++) {
        assert_int_equal(mime_header_set(header, span_str("Subject"), span_str(" x"), &err),
                         ERR_OK);
        assert_int_equal(
            mime_header_set(header,
                            span_str(i & 1 ? "authentication-RESULTS" : "Authentication-Results"),
                            span_str(values[i]), &err),
            ERR_OK);
    }
    assert_int_equal(flow_forged_find(header, "us.example", &edits, &count, &err), ERR_OK);
    assert_int_equal(count, 3);
    assert_int_equal(edits.count, 3);
    for (i = 0; i < 3; i++) {
        assert_int_equal(edits.list[i].kind, FLOW_EDIT_DELETE_HEADER);
        assert_string_equal(edits.list[i].name, "Authentication-Results");
        assert_int_equal(edits.list[i].index, expected[i]);
    }
    flow_edits_free(&edits);
    mime_header_free(&header);
}

static void
edits_have_a_bound_and_keep_copies(void **state)
{
    struct flow_edits edits = { 0 };
    struct err err = ERR_INIT;
    char name[] = "Subject";
    unsigned i;

    (void)state;
    for (i = 0; i < FLOW_EDITS_LIMIT; i++)
        assert_int_equal(flow_edits_add(&edits, FLOW_EDIT_DELETE_HEADER, name, NULL, i, &err),
                         ERR_OK);
    name[0] = 'X';
    assert_string_equal(edits.list[0].name, "Subject");
    assert_null(edits.list[0].value);
    assert_int_equal(flow_edits_add(&edits, FLOW_EDIT_DELETE_HEADER, name, NULL, i, &err),
                     ERR_LIMIT);
    assert_int_equal(edits.count, FLOW_EDITS_LIMIT);
    flow_edits_free(&edits);
    assert_int_equal(edits.count, 0);
    flow_edits_free(&edits);
    flow_edits_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling_of_our_name_is_found),
        cmocka_unit_test(an_internationalised_name_is_one_name),
        cmocka_unit_test(an_id_that_is_no_host_name_is_found_too),
        cmocka_unit_test(a_field_of_somebody_else_stays),
        cmocka_unit_test(fields_are_deleted_from_the_last_to_the_first),
        cmocka_unit_test(edits_have_a_bound_and_keep_copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
