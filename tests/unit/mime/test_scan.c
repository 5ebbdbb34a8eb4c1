#include "canonical.h"

/* The same facts for every size of pieces. */
static struct mime_scan_facts
facts_of(struct span in)
{
    struct mime_scan_facts first = { 0 };
    for (size_t i = 0; i < PIECES_N; i++) {
        struct mime_scan *scan = NULL;
        struct err err = ERR_INIT;
        assert_int_equal(scan_pieces(in, PIECES[i], &scan, &err), ERR_OK);
        if (i == 0)
            first = *mime_scan_get(scan);
        else
            assert_memory_equal(&first, mime_scan_get(scan), sizeof first);
        mime_scan_free(&scan);
        assert_null(scan);
    }
    return first;
}

/* The action of part `index`. */
static enum mime_scan_action
action_of(struct span in, uint32_t index)
{
    enum mime_scan_action action = MIME_SCAN_KEEP;
    for (size_t i = 0; i < PIECES_N; i++) {
        struct mime_scan *scan = NULL;
        struct err err = ERR_INIT;
        assert_int_equal(scan_pieces(in, PIECES[i], &scan, &err), ERR_OK);
        assert_false(mime_scan_get(scan)->only_opaque);
        if (i > 0)
            assert_int_equal(mime_scan_find(scan, index), action);
        action = mime_scan_find(scan, index);
        mime_scan_free(&scan);
    }
    return action;
}

static void
assert_opaque(struct span in, const char *word)
{
    struct mime_scan_facts facts = facts_of(in);
    assert_true(facts.only_opaque);
    if (!strstr(facts.why, word))
        fail_msg("why is \"%s\", not about \"%s\"", facts.why, word);
}

#define MULTI "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
#define QP "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
#define BASE64 "Content-Transfer-Encoding: base64\r\n\r\n"

static void
safe_text_is_kept(void **state)
{
    (void)state;
    struct span in = LITERAL("Content-Type: text/plain\r\n\r\nFrom: no\r\n..\r\n>From \r\r\n");
    assert_int_equal(action_of(LITERAL("\r\nFrom: no\r\n..\r\n.x\r\n>From x\r\n\tx\r\n"), 0),
                     MIME_SCAN_KEEP);
    assert_int_equal(action_of(in, 0), MIME_SCAN_QP); /* a bare CR, though */
    assert_int_equal(action_of(LITERAL("\r\n"), 0), MIME_SCAN_KEEP);
}

static void
each_thing_that_a_hop_could_change_is_seen(void **state)
{
    (void)state;
    assert_int_equal(action_of(LITERAL("\r\ngr\xc3\xbc\xc3\x9f Gott und mehr Text\r\n"), 0),
                     MIME_SCAN_QP);
    assert_int_equal(action_of(LITERAL("\r\none two\0three\r\n"), 0), MIME_SCAN_QP);
    assert_int_equal(action_of(LITERAL("\r\nx\ry\r\n"), 0), MIME_SCAN_QP);
    assert_int_equal(action_of(LITERAL("\r\nx\r"), 0), MIME_SCAN_QP);
    assert_int_equal(action_of(LITERAL("\r\nx \r\n"), 0), MIME_SCAN_QP);
    assert_int_equal(action_of(LITERAL("\r\n\t\n"), 0), MIME_SCAN_QP);
    assert_int_equal(action_of(LITERAL("\r\nx "), 0), MIME_SCAN_QP);
    assert_int_equal(action_of(LITERAL("\r\nFrom a\r\n"), 0), MIME_SCAN_QP);
    assert_int_equal(action_of(LITERAL("\r\nx\nFrom "), 0), MIME_SCAN_QP);
    assert_int_equal(action_of(LITERAL("\r\n.\r\n"), 0), MIME_SCAN_QP);
    assert_int_equal(action_of(LITERAL("\r\nx\n."), 0), MIME_SCAN_QP);
}

static void
a_line_is_long_above_998_octets(void **state)
{
    (void)state;
    char in[1100] = "\r\n";
    memset(in + 2, 'x', 999);
    strcpy(in + 1000, "\r\n");
    assert_int_equal(action_of(span_str(in), 0), MIME_SCAN_KEEP);
    strcpy(in + 1000, "x\r\n");
    assert_int_equal(action_of(span_str(in), 0), MIME_SCAN_QP);
    assert_true(facts_of(span_str(in)).long_line);
    in[1001] = '\0';
    assert_int_equal(action_of(span_str(in), 0), MIME_SCAN_QP);
}

static void
the_type_and_the_share_of_8bit_choose_the_encoding(void **state)
{
    (void)state;
    assert_int_equal(action_of(LITERAL("Content-Type: application/x\r\n\r\nx \r\n"), 0),
                     MIME_SCAN_BASE64);
    assert_int_equal(action_of(LITERAL("Content-Type: image/png\r\n\r\n\x89PNG"), 0),
                     MIME_SCAN_BASE64);
    assert_int_equal(
        action_of(LITERAL("Content-Type: text/html\r\n\r\n\xd0\xbf\xd1\x80\xd0\xb8"), 0),
        MIME_SCAN_BASE64);
    assert_int_equal(action_of(LITERAL("Content-Type: nonsense\r\n\r\nx \r\n"), 0), MIME_SCAN_QP);
    assert_int_equal(
        action_of(
            LITERAL("Content-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\n\r\na\n"), 0),
        MIME_SCAN_BASE64);
}

static void
labels_that_postfix_converts_by_are_replaced(void **state)
{
    (void)state;
    struct span in = LITERAL("Content-Transfer-Encoding: 8bit\r\n" MULTI
                             "--b\r\nContent-Transfer-Encoding: Binary \r\n\r\nx\r\n"
                             "--b\r\nContent-Transfer-Encoding: 7bit\r\n\r\nx\r\n--b--\r\n");
    struct mime_scan_facts facts = facts_of(in);
    assert_true(facts.needs_label);
    assert_false(facts.needs_encoding);
    assert_int_equal(action_of(in, 0), MIME_SCAN_LABEL);
    assert_int_equal(action_of(in, 1), MIME_SCAN_LABEL);
    assert_int_equal(action_of(in, 2), MIME_SCAN_KEEP);
    assert_int_equal(action_of(in, 5000), MIME_SCAN_KEEP);
}

static void
what_is_encoded_already_is_judged_by_its_encoded_lines(void **state)
{
    (void)state;
    char in[2000] = BASE64;
    assert_int_equal(action_of(LITERAL(BASE64 "AAAA\r\n"), 0), MIME_SCAN_KEEP);
    assert_int_equal(action_of(LITERAL(BASE64 "AAAA \r\n"), 0), MIME_SCAN_WRAP);
    memset(in + strlen(in), 'A', 1000);
    assert_int_equal(action_of(span_str(in), 0), MIME_SCAN_WRAP);
    assert_int_equal(action_of(LITERAL(QP "a=20=\r\nb=c3\r\n"), 0), MIME_SCAN_KEEP);
    assert_int_equal(action_of(LITERAL(QP "a=0Ab\r\nFrom x\r\n"), 0), MIME_SCAN_RECODE);
    assert_int_equal(action_of(LITERAL(QP "\xc3\xa4=\r\n"), 0), MIME_SCAN_RECODE);
    assert_opaque(LITERAL(QP "x \r\n"), "irregular");
    assert_opaque(LITERAL(QP "=zz\r\n.\r\n"), "irregular");
    assert_opaque(LITERAL(QP ".\r\n="), "irregular");
    assert_opaque(LITERAL(QP ".\r\n=A"), "irregular");
    assert_opaque(LITERAL(QP ".\r\n=\rx"), "irregular");
    assert_opaque(LITERAL(BASE64 "AAAA \r\n\xff\r\n"), "unsafe base64");
    assert_opaque(LITERAL(BASE64 "AAAA \r\n-- x\r\n"), "unsafe base64");
    assert_opaque(LITERAL(BASE64 "AAAA\r\n.\r\n"), "unsafe base64");
    assert_false(facts_of(LITERAL(QP "=zz\r\n")).only_opaque);
    assert_false(facts_of(LITERAL(BASE64 "A-.\r\n")).only_opaque);
}

static void
one_stray_octet_anywhere_makes_base64_irregular(void **state)
{
    (void)state;
    static const char strays[] = "-.=\x7f\x01_@[`{:\xff";
    char in[5000] = BASE64;
    size_t begin = strlen(in), n = 3300;
    for (size_t i = 0; i < n; i++)
        in[begin + i] = "QUJD+/z09AZ \t"[i % 13];
    strcpy(in + begin + n, "AA \r\n");
    size_t characters = 0;
    for (size_t i = begin; in[i]; i++)
        characters += !strchr(" \t\r\n", in[i]);
    assert_int_not_equal(characters % 4, 1);
    assert_int_equal(action_of(span_str(in), 0), MIME_SCAN_WRAP);
    for (size_t at = 0; at < n; at += 61) {
        char before = in[begin + at];
        in[begin + at] = strays[at % (sizeof strays - 1)];
        assert_opaque(span_str(in), "irregular");
        in[begin + at] = before;
    }
    assert_int_equal(action_of(LITERAL(BASE64 "AAA= \r\n"), 0), MIME_SCAN_WRAP);
    assert_opaque(LITERAL(BASE64 "AAAAA \r\n"), "irregular"); /* one character stands for nothing */
    assert_opaque(LITERAL(BASE64 "A=== \r\n"), "irregular");
    assert_opaque(LITERAL(BASE64 "AA== \r\nAA==\r\n"), "irregular");
}

static void
what_cannot_be_encoded_is_signed_opaque(void **state)
{
    (void)state;
    assert_opaque(LITERAL("Content-Transfer-Encoding: x-uuencode\r\n\r\nx \r\n"), "unknown");
    assert_opaque(LITERAL("Content-Type: message/partial; id=1\r\n\r\nx \r\n"),
                  "cannot be encoded");
    assert_opaque(LITERAL("Content-Type: message/rfc822\r\n" BASE64 "AAAA \r\n"),
                  "encoded message");
    assert_opaque(LITERAL("Content-Transfer-Encoding: 8bit\r\n" BASE64 "x\r\n"), "readers differ");
    assert_opaque(LITERAL("Content-Transfer-Encoding: base64 (no)\r\n\r\nAAAA \r\n"),
                  "readers differ");
    assert_opaque(LITERAL(MULTI "\xc3\xa4\r\n--b\r\n\r\nx\r\n--b--\r\n"), "between the parts");
    assert_opaque(LITERAL(MULTI "--b\r\n\r\nx\r\n--b--\r\nFrom me\r\n"), "From");
    assert_opaque(LITERAL(MULTI ".\r\n--b\r\n\r\nx\r\n--b--\r\n"), "one dot");
    assert_opaque(LITERAL(MULTI "a\rb\r\n--b\r\n\r\nx\r\n--b--\r\n"), "bare CR");
    assert_opaque(LITERAL("Content-Type: text/plain; a=\xc3\xa4\r\n\r\n"), "header");
    assert_opaque(LITERAL(MULTI "--b\r\nContent-Description: \xe4\r\n\r\nx\r\n--b--\r\n"),
                  "header");
    assert_opaque(LITERAL(MULTI "--b\r\nA: \0\r\n\r\nx\r\n--b--\r\n"), "NUL");
}

static void
doubtful_structure_is_kept_while_it_is_safe_and_opaque_when_not(void **state)
{
    (void)state;
    struct mime_scan_facts facts = facts_of(LITERAL(MULTI "--b\r\n\r\nx\r\n"));
    assert_true(facts.malformed);
    assert_false(facts.only_opaque);
    assert_opaque(LITERAL(MULTI "--b\r\n\r\nx \r\n"), "close delimiter");
    assert_opaque(LITERAL(MULTI "--b\r\n\r\nx\r--b--\r\n--b--\r\n"), "bare CR before dashes");
    /* What Postfix itself would change is never clear. */
    assert_opaque(LITERAL(MULTI "--b\r\nno header\r\n--b--\r\n"), "empty line");
}

static void
facts_are_told(void **state)
{
    (void)state;
    struct mime_scan_facts facts =
        facts_of(LITERAL("Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: "
                         "text/calendar; method=REQUEST\r\n\r\na\nb\r\n--b\r\nContent-Type: "
                         "application/ms-tnef\r\n\r\n\0\xff\r"
                         "\r\n--b--\r\n"));
    assert_int_equal(facts.parts, 3);
    assert_int_equal(facts.depth, 2);
    assert_true(facts.report && facts.calendar && facts.tnef);
    assert_true(facts.eightbit && facts.nul && facts.bare_cr && facts.bare_lf);
    assert_true(facts.needs_encoding);
    assert_false(facts.eightbit_header || facts.long_line || facts.malformed || facts.only_opaque);
    assert_null(facts.why);
    /* A calendar that is sent along is no meeting request. */
    facts = facts_of(LITERAL("Content-Type: text/calendar\r\n\r\nx\r\n"));
    assert_false(facts.calendar);
    facts = facts_of(LITERAL("Content-Type: text/plain\r\n\r\nx\r\n"));
    assert_int_equal(facts.size, 31);
    assert_false(facts.report || facts.calendar || facts.tnef || facts.eightbit || facts.nul ||
                 facts.bare_cr || facts.bare_lf || facts.needs_encoding || facts.needs_label);
}

static void
bounds_come_back_as_limits(void **state)
{
    (void)state;
    struct buf in = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    struct mime_scan *scan = NULL;
    for (int i = 0; i < MIME_SCAN_LIMIT_DEPTH; i++)
        assert_int_equal(buf_append_str(&in, "Content-Type: message/rfc822\r\n\r\n", &err), ERR_OK);
    assert_int_equal(scan_pieces(buf_span(&in), 4096, &scan, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "50"));
    mime_scan_free(&scan);
    buf_free(&in);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safe_text_is_kept),
        cmocka_unit_test(each_thing_that_a_hop_could_change_is_seen),
        cmocka_unit_test(a_line_is_long_above_998_octets),
        cmocka_unit_test(the_type_and_the_share_of_8bit_choose_the_encoding),
        cmocka_unit_test(labels_that_postfix_converts_by_are_replaced),
        cmocka_unit_test(what_is_encoded_already_is_judged_by_its_encoded_lines),
        cmocka_unit_test(one_stray_octet_anywhere_makes_base64_irregular),
        cmocka_unit_test(what_cannot_be_encoded_is_signed_opaque),
        cmocka_unit_test(doubtful_structure_is_kept_while_it_is_safe_and_opaque_when_not),
        cmocka_unit_test(facts_are_told),
        cmocka_unit_test(bounds_come_back_as_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
