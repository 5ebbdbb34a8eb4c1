#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mime/word.h"

static void
decode(const char *text, size_t n, const char *wanted, unsigned wanted_flags)
{
    struct err err = ERR_INIT;
    struct buf out = BUF_INIT(100000);
    unsigned flags = 77;
    unsigned char *copy = malloc(n ? n : 1);

    memcpy(copy, text, n);
    assert_int_equal(mime_word_decode(span_of(copy, n), &out, &flags, &err), ERR_OK);
    assert_string_equal(buf_str(&out), wanted);
    assert_int_equal(out.n, strlen(wanted));
    assert_int_equal(flags, wanted_flags);
    buf_free(&out);
    free(copy);
}

enum { NONE = 0, WORD = MIME_WORD_ENCODED, DARK = MIME_WORD_ENCODED | MIME_WORD_UNREADABLE };

static void
words_are_decoded_wherever_they_stand(void **state)
{
    static const struct {
        const char *text, *wanted;
        unsigned flags;
    } rows[] = {
        { "", "", NONE },
        { "plain text", "plain text", NONE },
        { "fol\r\n ded", "fol ded", NONE },
        { "=?utf-8?q?a=40b?=", "a@b", WORD },
        { "=?UTF-8?Q?a=40b_c?= d", "a@b c d", WORD },
        { "=?utf-8?b?YUBi?=", "a@b", WORD },
        { "=?utf-8?b?YUBiYw?=", "a@bc", WORD },
        { "=?utf-8?b?YU Bi==?=", "a@b", WORD },
        { "=?utf-8*de?q?a?=", "a", WORD },
        { "=?utf-8?q?bo?= \r\n =?utf-8?q?ss?=", "boss", WORD },
        { "=?utf-8?q?bo?==?utf-8?q?ss?=", "boss", WORD },
        { "=?utf-8?q?bo?= ss", "bo ss", WORD },
        /* A name with a line break in it reaches from one word into the next, and hides it. */
        { "=?\r\n =?utf-8?q?a=40b?=", "=? a@b", WORD },
        { "=?x y?q?a?=", "=?x y?q?a?=", NONE },
        { "=?utf-7?q?a\r\n b?=", "=?utf-7?q?a b?=", DARK },
        { "\"=?iso-8859-1?q?a=40b?=\"", "\"a@b\"", WORD },
        { "(x=?windows-1252?q?a=40b?=)", "(xa@b)", WORD },
        { "=?utf-8?q?a=0D=0Ab=00c?=", "a  b c", WORD },
        { "=?utf-8?q?a=4?=", "a=4", WORD },
        { "=?utf-8?q?a=4x?=", "a=4x", WORD },
        { "=?utf-8?q?"
          "?=",
          "", WORD },
        { "=?big5?q?=A4=40boss=40x?=", " boss@x", WORD },
        { "=?shift_jis?q?=83=40@?=", " @", WORD },
        { "=?iso-2022-jp?b?GyRCJEAbKEJhQGI=?=", "  a@b", WORD },
        { "=?utf-7?q?boss+AEA-x?=", "=?utf-7?q?boss+AEA-x?=", DARK },
        { "=?utf-16?b?AGEAQABi?=", "=?utf-16?b?AGEAQABi?=", DARK },
        { "=?nonsense?q?a?= =?utf-8?q?b?=", "=?nonsense?q?a?=b", DARK },
        { "=?utf-8?x?a?=", "=?utf-8?x?a?=", NONE },
        { "=?utf-8?q?a", "=?utf-8?q?a", NONE },
        { "=?utf-8?q?a?", "=?utf-8?q?a?", NONE },
        { "=?utf-8?q", "=?utf-8?q", NONE },
        { "=?utf-8?", "=?utf-8?", NONE },
        { "=?"
          "?q?a?=",
          "=?"
          "?q?a?=",
          NONE },
        { "=?", "=?", NONE },
        { "=", "=", NONE },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        decode(rows[i].text, strlen(rows[i].text), rows[i].wanted, rows[i].flags);
    decode("a\0b", 3, "a b", NONE);
}

/* Whatever stands there, cut anywhere: no octet beyond the end is looked at. */
static void
every_prefix_can_be_decoded(void **state)
{
    static const char text[] =
        "x =?utf-8?q?a=40b?= =?iso-2022-jp?b?GyRCJEAbKEJhQGI=?= =?big5?q?=A4?=";

    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        struct err err = ERR_INIT;
        struct buf out = BUF_INIT(1000);
        unsigned char *copy = malloc(n ? n : 1);
        unsigned flags;

        memcpy(copy, text, n);
        assert_int_equal(mime_word_decode(span_of(copy, n), &out, &flags, &err), ERR_OK);
        assert_true(out.n <= n);
        buf_free(&out);
        free(copy);
    }
}

static void
a_word_is_taken_out_and_the_rest_stays(void **state)
{
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        { " [encrypt] Hello", " Hello" },
        { " Re: [ENCRYPT]  [encrypt]Hello", " Re: Hello" },
        { " Hello [encrypt]", " Hello " },
        { "[encrypt]", "" },
        { " nothing [encrypt here", NULL },
        { " =?utf-8?q?[encrypt]_Gr=C3=BC=C3=9Fe_to=20you?= x",
          " =?utf-8?q?Gr=C3=BC=C3=9Fe_to=20you?= x" },
        { " =?utf-8?Q?a=5bencrypt=5D_=20b?=", " =?utf-8?Q?ab?=" },
        { " =?utf-8?B?W2VuY3J5cHRdIEdyw7zDn2U=?=", " =?utf-8?B?R3LDvMOfZQ==?=" },
        { " =?utf-8?q?[encrypt]?= =?utf-8?q?x?=", " =?utf-8?q?"
                                                  "?= =?utf-8?q?x?=" },
        { " =?utf-8?q?[enc?= =?utf-8?q?rypt]?=", NULL },
        { " =?utf-16?q?[encrypt]?=", NULL },
        { " =?utf-8?q?Gr=C3=BC?=", NULL },
        { "", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = ERR_INIT;
        struct buf out = BUF_INIT(1000);
        bool removed = false;

        assert_int_equal(
            mime_word_remove(span_str(rows[i].text), "[encrypt]", &out, &removed, &err), ERR_OK);
        assert_string_equal(buf_str(&out), rows[i].wanted ? rows[i].wanted : rows[i].text);
        assert_int_equal(removed, rows[i].wanted != NULL);
        buf_free(&out);
    }
}

static void
what_does_not_fit_is_a_limit(void **state)
{
    struct err err = ERR_INIT;
    struct buf out = BUF_INIT(3);
    unsigned flags;

    (void)state;
    assert_int_equal(mime_word_decode(span_str("=?utf-8?q?abcd?="), &out, &flags, &err), ERR_LIMIT);
    buf_free(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_decoded_wherever_they_stand),
        cmocka_unit_test(every_prefix_can_be_decoded),
        cmocka_unit_test(a_word_is_taken_out_and_the_rest_stays),
        cmocka_unit_test(what_does_not_fit_is_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
