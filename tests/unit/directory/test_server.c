#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "directory/server.h"

static void
the_seven_forms_of_a_server_mean_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name, *host;
        unsigned port;
        bool is_tls;
    } cases[] = {
        { "ldaps://dc.corp.example", "ldaps://dc.corp.example:636", "dc.corp.example", 636, true },
        { "ldap://dc.corp.example", "ldap://dc.corp.example:389", "dc.corp.example", 389, false },
        { "ldap://dc.corp.example:389", "ldap://dc.corp.example:389", "dc.corp.example", 389,
          false },
        { "ldaps://dc.corp.example:636", "ldaps://dc.corp.example:636", "dc.corp.example", 636,
          true },
        { "dc.corp.example", "ldap://dc.corp.example:389", "dc.corp.example", 389, false },
        { "dc.corp.example:389", "ldap://dc.corp.example:389", "dc.corp.example", 389, false },
        { "dc.corp.example:636", "ldaps://dc.corp.example:636", "dc.corp.example", 636, true },
        /* and what follows from them */
        { "LDAP://dc.corp.example:636/", "ldaps://dc.corp.example:636", "dc.corp.example", 636,
          true },
        { "dc.corp.example:3269", "ldaps://dc.corp.example:3269", "dc.corp.example", 3269, true },
        { "dc.corp.example:3268", "ldap://dc.corp.example:3268", "dc.corp.example", 3268, false },
        { "ldaps://dc.corp.example:10636", "ldaps://dc.corp.example:10636", "dc.corp.example",
          10636, true },
        { "[2001:db8::1]", "ldap://[2001:db8::1]:389", "2001:db8::1", 389, false },
        { "ldaps://[::1]:1636", "ldaps://[::1]:1636", "::1", 1636, true },
        { "192.0.2.1:636", "ldaps://192.0.2.1:636", "192.0.2.1", 636, true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = ERR_INIT;
        struct directory_server server;
        if (directory_server_parse(cases[i].text, &server, &err) != ERR_OK)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_string_equal(server.name, cases[i].name);
        assert_string_equal(server.host, cases[i].host);
        assert_int_equal(server.port, cases[i].port);
        assert_int_equal(server.is_tls, cases[i].is_tls);
        assert_null(server.socket);
        directory_server_free(&server);
        /* The one form is a form too, and means itself. */
        assert_int_equal(directory_server_parse(cases[i].name, &server, &err), ERR_OK);
        assert_string_equal(server.name, cases[i].name);
        directory_server_free(&server);
    }
}

static void
a_socket_is_a_server_too(void **state)
{
    (void)state;
    static const char *const forms[] = { "ldapi:///run/slapd/ldapi",
                                         "ldapi://%2Frun%2fslapd%2Fldapi",
                                         "LDAPI:///run/slapd/ldapi" };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct err err = ERR_INIT;
        struct directory_server server;
        assert_int_equal(directory_server_parse(forms[i], &server, &err), ERR_OK);
        assert_string_equal(server.socket, "/run/slapd/ldapi");
        assert_string_equal(server.name, "ldapi://%2Frun%2Fslapd%2Fldapi");
        assert_false(server.is_tls);
        directory_server_free(&server);
    }
}

static void
what_is_no_server_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "ldap://",
        "ldaps://",
        ":389",
        "host:",
        "host:0",
        "host:70000",
        "host:x",
        "host:389x",
        "http://host",
        "ldap:host",
        "ho st",
        "host/base",
        "-host",
        ".host",
        "[::1",
        "[]:389",
        "[::1]x",
        "[g::1]",
        "user@host",
        "ldapi://",
        "ldapi://run",
        "ldapi:///",
        "ldapi:///a%2",
        "ldapi:///a%00b",
        "host:389:389",
        "ldap://host/dc=x",
        "host?x",
    };
    char text[400] = "ldapi:///";
    struct err err = ERR_INIT;
    struct directory_server server;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err_reset(&err);
        if (directory_server_parse(bad[i], &server, &err) != ERR_PERM)
            fail_msg("%s", bad[i]);
        assert_null(server.host);
    }
    memset(text + 9, 'a', 200);
    assert_int_equal(directory_server_parse(text, &server, NULL), ERR_PERM);
    memset(text, 'a', 300);
    assert_int_equal(directory_server_parse(text, &server, NULL), ERR_PERM);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_seven_forms_of_a_server_mean_the_same),
        cmocka_unit_test(a_socket_is_a_server_too),
        cmocka_unit_test(what_is_no_server_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
