#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mime/shown.h"

static void
show(const char *value, char *out, size_t size, bool *unreadable)
{
    struct err err = ERR_INIT;
    struct mime_shown shown;
    size_t n = 0;

    assert_int_equal(mime_shown_load(span_str(value), &shown, &err), ERR_OK);
    out[0] = '\0';
    for (size_t i = 0; shown.list[i] != NULL; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i > 0 ? " " : "", shown.list[i]);
    *unreadable = shown.unreadable;
    mime_shown_free(&shown);
}

static void
addresses_are_found_wherever_a_reader_sees_them(void **state)
{
    static const struct {
        const char *value, *shown;
    } rows[] = {
        { "", "" },
        { "Me <me@our.example>", "me@our.example" },
        { "\"boss@our.example\" <me@our.example>", "boss@our.example me@our.example" },
        { "\"Boss <boss@our.example>\" <me@our.example>", "boss@our.example me@our.example" },
        { "me@our.example (boss@our.example)", "me@our.example boss@our.example" },
        { "=?utf-8?q?boss=40our.example?= <me@our.example>", "boss@our.example me@our.example" },
        { "=?utf-8?b?Ym9zc0BvdXIuZXhhbXBsZQ==?= <a@b.c>", "boss@our.example a@b.c" },
        { "=?utf-8?q?boss=40our?= =?utf-8?q?=2Eexample?= <a@b.c>", "boss@our.example a@b.c" },
        { "\"=?utf-8?q?boss=40our.example?=\" <a@b.c>", "boss@our.example a@b.c" },
        { "\"bo\\ss\\@our.example\" <a@b.c>", "boss@our.example a@b.c" },
        { "\"boss\xef\xbc\xa0our.example\" <a@b.c>", "boss@our.example a@b.c" },
        { "\"boss\xef\xb9\xabour.example\" <a@b.c>", "boss@our.example a@b.c" },
        { "\"BOSS@OUR.EXAMPLE.\" <a@b.c>", "BOSS@our.example a@b.c" },
        { "'boss@our.example' <a@b.c>", "boss@our.example a@b.c" },
        { "\"boss@b\xc3\xbc"
          "cher.example\" <a@b.c>",
          "boss@xn--bcher-kva.example a@b.c" },
        /* invisible characters make another address, which is nobody's */
        { "\"boss\xe2\x80\x8b@our.example\" <a@b.c>", "boss\xe2\x80\x8b@our.example a@b.c" },
        { "\"a@b@our.example\" <a@b.c>", "b@our.example a@b.c" },
        /* no addresses */
        { "Sales @ Home <a@b.c>", "a@b.c" },
        { "\"Meet me@Work\" <a@b.c>", "a@b.c" },
        { "\"@our.example\" <a@b.c>", "a@b.c" },
        { "\"boss@\" <a@b.c>", "a@b.c" },
        { "\"boss@...\" <a@b.c>", "a@b.c" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[1000];
        bool unreadable;

        show(rows[i].value, out, sizeof out, &unreadable);
        assert_string_equal(out, rows[i].shown);
        assert_false(unreadable);
    }
}

static void
what_cannot_be_looked_into_is_said_to_be_so(void **state)
{
    char value[3000] = "", out[2000];
    bool unreadable;

    (void)state;
    show("=?utf-7?q?boss+AEA-our.example?= <a@b.c>", out, sizeof out, &unreadable);
    assert_true(unreadable);
    for (int i = 0; i < MIME_SHOWN_LIMIT + 1; i++)
        strcat(value, "a@b.example ");
    show(value, out, sizeof out, &unreadable);
    assert_true(unreadable);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_found_wherever_a_reader_sees_them),
        cmocka_unit_test(what_cannot_be_looked_into_is_said_to_be_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
