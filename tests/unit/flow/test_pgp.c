#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flow/pgp.h"
#include "mime/base64.h"

/* A multipart/encrypted around the packets; `extra` is put where `place` says. */
enum place { NOWHERE, BEFORE, CONTROL, PART_HEADER, BEFORE_ARMOUR, IN_ARMOUR, AFTER_ARMOUR, AFTER };

static bool
is_encrypted(struct span packets, enum place place, const char *extra)
{
    struct spool_args args = { .folder = "/tmp", .memory_bytes = 1 << 20, .limit_bytes = 1 << 20 };
    struct buf text = BUF_INIT(1 << 20), armour = BUF_INIT(1 << 20);
    struct stage *sink = NULL, *encoder = NULL;
    struct spool *spool = NULL;
    struct err err = ERR_INIT;
    bool encrypted = false;

#define AT(p) (place == (p) ? extra : "")
    assert_int_equal(stage_buf_new(&armour, &sink, &err), ERR_OK);
    assert_int_equal(mime_base64_encode_new(sink, &encoder, &err), ERR_OK);
    assert_int_equal(stage_write(encoder, packets, &err), ERR_OK);
    assert_int_equal(stage_finish(encoder, &err), ERR_OK);
    stage_free(&encoder);
    assert_int_equal(
        buf_appendf(&text, &err,
                    "%s--bound\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n%s"
                    "\r\n--bound\r\nContent-Type: application/octet-stream\r\n%s\r\n%s"
                    "-----BEGIN PGP MESSAGE-----\r\nComment: x\r\n\r\n%s%s=abcd\r\n"
                    "-----END PGP MESSAGE-----\r\n%s\r\n--bound--\r\n%s",
                    AT(BEFORE), AT(CONTROL), AT(PART_HEADER), AT(BEFORE_ARMOUR), buf_str(&armour),
                    AT(IN_ARMOUR), AT(AFTER_ARMOUR), AT(AFTER)),
        ERR_OK);
    assert_int_equal(spool_new(&args, &spool, &err), ERR_OK);
    assert_int_equal(spool_write(spool, buf_span(&text), &err), ERR_OK);
    assert_int_equal(spool_finish(spool, &err), ERR_OK);
    assert_int_equal(flow_pgp_check(span_str("bound"), spool, &encrypted, &err), ERR_OK);
    spool_free(&spool);
    buf_free(&text);
    buf_free(&armour);
    return encrypted;
}

/* Old and new format, one-, two- and five-octet lengths, partial lengths. */
static const unsigned char good[] = { 0x84, 3, 1, 2, 3, 0xd2, 4, 1, 9, 9, 9 };

static void
session_keys_and_encrypted_data_are_encrypted(void **state)
{
    static const unsigned char partial[] = { 0xc1, 2, 7, 7, 0xd2, 0xe1, 1, 9, 0xe0, 9, 1, 9 };
    static const unsigned char indefinite[] = { 0xc3, 1, 7, 0xa7, 9, 9, 9, 9 };
    static const unsigned char five[] = { 0xc1, 255, 0, 0, 0, 1, 7, 0x85, 0, 1, 7, 0xd2, 1, 9 };
    unsigned char two[300] = { 0xc1, 192, 8 }; /* 200 octets */

    (void)state;
    two[203] = 0xd2;
    two[204] = 1;
    assert_true(is_encrypted(span_of(good, sizeof good), NOWHERE, ""));
    assert_true(is_encrypted(span_of(partial, sizeof partial), NOWHERE, ""));
    assert_true(is_encrypted(span_of(indefinite, sizeof indefinite), NOWHERE, ""));
    assert_true(is_encrypted(span_of(five, sizeof five), NOWHERE, ""));
    assert_true(is_encrypted(span_of(two, 206), NOWHERE, ""));
}

static void
packets_that_anybody_can_read_are_not(void **state)
{
    static const struct {
        unsigned char bytes[16];
        size_t n;
    } cases[] = {
        { { 0xcb, 3, 'b', 0, 'x' }, 5 },                     /* literal data */
        { { 0xc8, 3, 1, 2, 3 }, 5 },                         /* compressed */
        { { 0x84, 1, 7, 0xcb, 3, 'b', 0, 'x' }, 8 },         /* keys, then a literal */
        { { 0xd2, 2, 1, 9 }, 4 },                            /* no keys */
        { { 0x84, 1, 7 }, 3 },                               /* keys alone */
        { { 0x84, 1, 7, 0xd2, 2, 1, 9, 0xcb, 1, 'x' }, 10 }, /* a literal behind it */
        { { 0x84, 1, 7, 0xd2, 9, 1, 9 }, 7 },                /* cut off */
        { { 'p', 'l', 'a', 'i', 'n' }, 5 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (is_encrypted(span_of(cases[i].bytes, cases[i].n), NOWHERE, ""))
            fail_msg("case %zu", i);
    }
}

static void
nothing_stands_beside_the_message(void **state)
{
    static const enum place places[] = { BEFORE,    CONTROL,      BEFORE_ARMOUR,
                                         IN_ARMOUR, AFTER_ARMOUR, AFTER };

    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        assert_false(is_encrypted(span_of(good, sizeof good), places[i], "secret plans\r\n"));
        assert_false(is_encrypted(span_of(good, sizeof good), places[i],
                                  "--bound\r\nContent-Type: text/plain\r\n\r\nsecret\r\n"));
    }
    assert_false(is_encrypted(span_of(good, sizeof good), PART_HEADER,
                              "Content-Transfer-Encoding: base64\r\n"));
    assert_true(is_encrypted(span_of(good, sizeof good), PART_HEADER,
                             "Content-Transfer-Encoding: 7BIT\r\n"));
    assert_true(is_encrypted(span_of(good, sizeof good), BEFORE, " \r\n"));
}

static void
a_line_without_end_is_no_armour(void **state)
{
    char *line = malloc(5001);

    (void)state;
    memset(line, 'A', 5000);
    line[5000] = 0;
    assert_false(is_encrypted(span_of(good, sizeof good), IN_ARMOUR, line));
    assert_false(is_encrypted(span_of(good, sizeof good), CONTROL, line));
    free(line);
}

static void
a_missing_boundary_is_not_encrypted(void **state)
{
    struct spool_args args = { .folder = "/tmp", .memory_bytes = 4096, .limit_bytes = 4096 };
    struct spool *spool = NULL;
    struct err err = ERR_INIT;
    bool encrypted = true;

    (void)state;
    assert_int_equal(spool_new(&args, &spool, &err), ERR_OK);
    assert_int_equal(spool_finish(spool, &err), ERR_OK);
    assert_int_equal(flow_pgp_check(span_of(NULL, 0), spool, &encrypted, &err), ERR_OK);
    assert_false(encrypted);
    assert_int_equal(flow_pgp_check(span_str("b"), spool, &encrypted, &err), ERR_OK);
    assert_false(encrypted);
    spool_free(&spool);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_keys_and_encrypted_data_are_encrypted),
        cmocka_unit_test(packets_that_anybody_can_read_are_not),
        cmocka_unit_test(nothing_stands_beside_the_message),
        cmocka_unit_test(a_line_without_end_is_no_armour),
        cmocka_unit_test(a_missing_boundary_is_not_encrypted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
