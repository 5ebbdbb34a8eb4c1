#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "complaints.h"
#include "conf/scope.h"

#define ANCHORS "trust \"default\" {\n anchors = /a\n}\n"

static void
names_that_could_be_spelt_in_another_way_are_refused(void **state)
{
    (void)state;
    check_complaints(
        "user \"alice\" {\n}\nuser \"*@a.example\" {\n}\nuser \"a@b\xc3\xbc.example\" {\n}\n"
        "user \"\\\"a b\\\"@a.example\" {\n}\n",
        "f:1:6: user \"alice\": no address in ASCII without quotes and wildcards; such as "
        "alice@example.org (domains with A-labels; a rule takes all others)\n"
        "f:3:6: user \"*@a.example\": no address in ASCII without quotes and wildcards; "
        "such as alice@example.org (domains with A-labels; a rule takes all others)\n"
        "f:5:6: user \"a@b\xc3\xbc.example\": no address in ASCII without quotes and "
        "wildcards; such as alice@example.org (domains with A-labels; a rule takes all "
        "others)\n"
        "f:7:6: user \"\"a b\"@a.example\": no address in ASCII without quotes and "
        "wildcards; such as alice@example.org (domains with A-labels; a rule takes all "
        "others)\n");
    check_complaints(
        "domain \"@a.example\" {\n}\n",
        "f:1:8: domain \"@a.example\": no domain with A-labels; such as example.org, or "
        "*.example.org for its subdomains\n");
}

static void
sections_are_given_once_and_defaults_has_no_name(void **state)
{
    (void)state;
    check_complaints(
        "user \"a@b.example\" {\n}\nuser \"A@B.example\" {\n}\n",
        "f:3:6: there is a user \"a@b.example\" already at f:1; names are given once\n");
    check_complaints("defaults {\n}\ndefaults {\n}\n",
                     "f:3:1: there is a defaults already at f:1; it is given once\n");
    check_complaints("defaults \"x\" {\n}\n",
                     "f:1:10: there is one section defaults, without a name; write defaults {\n");
    check_complaints("domain {\n}\n",
                     "f:1:1: section domain has no name; write domain \"name\" {\n");
}

static void
parameters_are_told_where_they_belong(void **state)
{
    (void)state;
    check_complaints("defaults {\n must_encrypt = yes\n}\n",
                     "f:2:2: unknown parameter \"must_encrypt\" in defaults; it belongs into a "
                     "section user \"...\" { } or domain \"...\" { }\n");
    check_complaints(
        "user \"a@b.example\" {\n recipient = *\n}\n",
        "f:2:2: unknown parameter \"recipient\" in user \"a@b.example\"; it belongs into "
        "a section rule \"...\" { }\n");
    check_complaints(
        "defaults {\n trust = none\n}\n",
        "f:2:2: defaults needs trust \"none\", which is not there; add trust \"none\" { "
        "anchors = /path }\n");
    check_complaints(
        "domain \"b.example\" {\n no_signing_certificate = domain\n}\n",
        "f:2:2: domain \"b.example\": no_signing_certificate = domain needs sign_as; such "
        "as sign_as = gateway@example.com\n");
    check_complaints(ANCHORS "rule \"x\" {\n no_signing_certificate = domain\n}\n"
                             "defaults {\n sign_as = gateway@a.example\n}\n",
                     "");
    /* A rule's trust may come from defaults. */
    check_complaints(
        "trust \"ours\" {\n anchors = /a\n}\nrule \"x\" {\n}\ndefaults {\n trust = ours\n}\n", "");
}

static void
conditions_that_cannot_be_are_told(void **state)
{
    (void)state;
    check_complaints(ANCHORS "rule \"x\" {\n header = \"no colon\"\n}\n",
                     "f:5:11: header = no colon: no header field; such as \"X-Class: secret*\"\n");
    check_complaints(ANCHORS "rule \"x\" {\n header = \"X-Class:\"\n}\n",
                     "f:5:11: header = X-Class:: no header field; such as \"X-Class: secret*\"\n");
    check_complaints(ANCHORS "rule \"x\" {\n content = calender\n}\n",
                     "f:5:12: content = calender: no such word; did you mean calendar? One of "
                     "calendar|tnef|signed|encrypted|pgp|report|list|automatic\n");
    check_complaints(ANCHORS "rule \"x\" {\n size_over = 10KiB\n size_under = 10KiB\n}\n",
                     "f:6:2: rule \"x\": no size is over size_over and under size_under\n");
    check_complaints(
        ANCHORS "rule \"x\" {\n sender_group = staff\n}\n",
        "f:5:2: rule \"x\": sender_group = staff: neither an address nor a distinguished "
        "name; such as staff@example.com\n");
    check_complaints(ANCHORS "rule \"x\" {\n sender_group = \"cn=staff,dc=a\", s@a.example\n"
                             " recipient = *.a.example, @b.example\n}\n",
                     "");
}

struct lines {
    char text[4000];
};

static void
take_line(void *context, const char *section, const char *name, const char *value, const char *from)
{
    struct lines *lines = context;
    size_t n = strlen(lines->text);

    if (strcmp(from, "default") != 0)
        snprintf(lines->text + n, sizeof lines->text - n, "%s|%s|%s|%s\n", section, name, value,
                 from);
}

static void
dump_says_where_each_value_comes_from(void **state)
{
    struct lines lines = { "" };
    struct conf *conf = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(conf_parse("f",
                                ANCHORS "rule \"x\" {\n sign = never\n}\n"
                                        "user \"a@b.example\" {\n digest = sha512\n}\n"
                                        "defaults {\n sign = always\n cipher = aes128-gcm\n}\n",
                                NULL, NULL, &conf, &err),
                     ERR_OK);
    conf_each(conf, take_line, &lines);
    assert_string_equal(lines.text, "trust \"default\"|anchors|/a|f:2\n"
                                    "rule \"x\"|sign|never|f:5\n"
                                    "rule \"x\"|cipher|aes128-gcm|f:12\n"
                                    "user \"a@b.example\"|digest|sha512|f:8\n"
                                    "defaults|sign|always|f:11\n"
                                    "defaults|cipher|aes128-gcm|f:12\n");
    conf_free(&conf);
}

static void
take_setting(void *context, const char *name, const char *value, const char *from)
{
    take_line(context, "", name, value, from);
}

static void
settings_say_which_section_they_come_from(void **state)
{
    struct lines lines = { "" };
    struct conf *conf = NULL;
    struct err err = ERR_INIT;
    struct conf_scopes scopes;

    (void)state;
    assert_int_equal(conf_parse("f",
                                ANCHORS
                                "rule \"x\" {\n sign = never\n}\n"
                                "user \"a@b.example\" {\n digest = sha512\n}\n"
                                "domain \"b.example\" {\n digest = sha384\n encrypt = always\n}\n"
                                "defaults {\n sign = always\n cipher = aes128-gcm\n}\n",
                                NULL, NULL, &conf, &err),
                     ERR_OK);
    scopes = conf_scope_find(conf, "A@b.example");
    conf_scope_each(conf, &conf->rules[0], &scopes, take_setting, &lines);
    assert_string_equal(lines.text, "|sign|never|rule\n"
                                    "|encrypt|always|domain \"b.example\"\n"
                                    "|digest|sha512|user \"a@b.example\"\n"
                                    "|cipher|aes128-gcm|defaults\n");
    conf_free(&conf);
}

/* Ten thousand sections are found as fast as one. */
static void
many_sections_are_found(void **state)
{
    size_t size = 10000 * 60 + 200;
    char *text = malloc(size);
    size_t n = 0;
    struct conf *conf = NULL;
    struct err err = ERR_INIT;
    struct conf_scopes scopes;

    (void)state;
    assert_non_null(text);
    for (int i = 0; i < 10000; i++)
        n +=
            (size_t)snprintf(text + n, size - n, "user \"u%d@b.example\" {\n sign = never\n}\n", i);
    assert_int_equal(conf_parse("f", text, NULL, NULL, &conf, &err), ERR_OK);
    for (int i = 0; i < 10000; i++) {
        char address[40];

        snprintf(address, sizeof address, "U%d@b.example", i);
        scopes = conf_scope_find(conf, address);
        assert_non_null(scopes.user);
        assert_string_equal(scopes.user->name + 1, address + 1);
    }
    scopes = conf_scope_find(conf, "u10000@b.example");
    assert_null(scopes.user);
    conf_free(&conf);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_could_be_spelt_in_another_way_are_refused),
        cmocka_unit_test(sections_are_given_once_and_defaults_has_no_name),
        cmocka_unit_test(parameters_are_told_where_they_belong),
        cmocka_unit_test(conditions_that_cannot_be_are_told),
        cmocka_unit_test(dump_says_where_each_value_comes_from),
        cmocka_unit_test(settings_say_which_section_they_come_from),
        cmocka_unit_test(many_sections_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
