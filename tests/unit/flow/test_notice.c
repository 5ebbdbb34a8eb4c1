#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/notice.h"

static char folder[] = "/tmp/smimed-notice-XXXXXX";

static const char *const files[] = { "expires.txt", "arrived.txt", "removed.txt", "refused.txt" };

static struct flow_notices *
shipped(void)
{
    struct flow_notices *notices = NULL;
    struct err err = ERR_INIT;

    if (flow_notice_load("conf/notices", &notices, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return notices;
}

static struct flow_notice
usual(enum flow_notice_kind kind)
{
    static const struct flow_notice_recipient people[] = {
        { "bob@partner.example", "the certificate has expired" },
        { "carol@partner.example", "there is no certificate for the address" },
    };

    return (struct flow_notice){
        .kind = kind,
        .from = "postmaster@gate.example",
        .to = "alice@corp.example",
        .host = "gate.example",
        .address = "alice@corp.example",
        .serial = "0A1B",
        .date = "2026-12-24",
        .days = "27",
        .subject = "Lunch",
        .message_id = "<1@corp.example>",
        .queue_id = "4XYZ",
        .recipients = people,
        .count = 2,
        .reference = "<1@corp.example>",
        .now = 1795780800, /* 2026-11-27 12:00:00 UTC */
    };
}

static void
format(struct flow_notices *notices, const struct flow_notice *notice, struct buf *out)
{
    struct err err = ERR_INIT;

    buf_init(out, FLOW_NOTICE_BYTES);
    if (flow_notice_format(notices, notice, out, &err) != ERR_OK)
        fail_msg("%s", err.text);
}

static void
assert_has(const struct buf *letter, const char *text)
{
    if (!strstr(buf_str(letter), text))
        fail_msg("no \"%s\" in:\n%s", text, buf_str(letter));
}

/* CRLF lines of printable ASCII, at most 998 long. */
static void
assert_mail(const struct buf *letter)
{
    size_t line = 0;

    for (size_t i = 0; i < letter->n; i++) {
        unsigned char c = letter->p[i];

        if (c == '\n') {
            assert_true(i > 0 && letter->p[i - 1] == '\r');
            line = 0;
            continue;
        }
        assert_true((c >= ' ' && c <= '~') || (c == '\r' && letter->p[i + 1] == '\n'));
        assert_true(++line < 999);
    }
}

static void
every_kind_is_written_from_the_shipped_templates(void **state)
{
    struct flow_notices *notices = shipped();

    (void)state;
    for (int kind = 0; kind < FLOW_NOTICE_KINDS; kind++) {
        struct flow_notice notice = usual((enum flow_notice_kind)kind);
        struct buf letter;

        format(notices, &notice, &letter);
        assert_mail(&letter);
        assert_null(strchr(buf_str(&letter), '{'));
        assert_has(&letter, "To: <alice@corp.example>\r\n");
        assert_has(&letter, "\r\nDate: Fri, 27 Nov 2026 12:00:00 +0000\r\n");
        assert_has(&letter, "\r\nAuto-Submitted: auto-generated\r\n");
        assert_has(&letter, "gate.example");
        if (kind >= FLOW_NOTICE_REMOVED) {
            assert_has(&letter, "\r\nIn-Reply-To: <1@corp.example>\r\n");
            assert_has(&letter, "\r\n  bob@partner.example: the certificate has expired\r\n");
            assert_has(&letter, "\r\n  carol@partner.example: there is no certificate");
            assert_has(&letter, "4XYZ");
        } else {
            assert_has(&letter, "2026-12-24");
            assert_has(&letter, "0A1B");
        }
        buf_free(&letter);
    }
    flow_notice_free(&notices);
    assert_null(notices);
}

static void
nothing_a_stranger_wrote_becomes_a_field_or_a_line(void **state)
{
    static const char *const subjects[] = { "x\r\nBcc: eve@evil.example",
                                            "x\n\n<html>",
                                            "\x1b[2J\x07",
                                            "=?UTF-8?Q?=0D=0ABcc:_eve?=",
                                            "\xc2\x85 next line",
                                            "\xff\xfe no UTF-8\r\nBcc: x",
                                            "Gr\xc3\xbc\xc3\x9f"
                                            "e" };
    struct flow_notices *notices = shipped();

    (void)state;
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        struct flow_notice notice = usual(FLOW_NOTICE_REFUSED);
        struct flow_notice_recipient one = { subjects[i], subjects[i] };
        struct buf letter;

        notice.subject = notice.message_id = notice.queue_id = notice.host = subjects[i];
        notice.reference = "<a@b>\r\nBcc: eve@evil.example>";
        notice.recipients = &one;
        notice.count = 1;
        format(notices, &notice, &letter);
        assert_mail(&letter);
        assert_null(strstr(buf_str(&letter), "\r\nBcc:"));
        assert_null(strstr(buf_str(&letter), "In-Reply-To"));
        assert_null(strstr(buf_str(&letter), "Subject: Not sent: =?UTF-8?Q"));
        buf_free(&letter);
    }
    flow_notice_free(&notices);
}

static void
a_subject_beyond_ascii_is_encoded_in_whole_characters(void **state)
{
    struct flow_notices *notices = shipped();
    struct flow_notice notice = usual(FLOW_NOTICE_REFUSED);
    struct buf letter;
    char subject[FLOW_NOTICE_VALUE_BYTES + 100] = "";

    (void)state;
    while (strlen(subject) + 4 < sizeof subject)
        strcat(subject, "\xe2\x82\xac");
    notice.subject = subject;
    format(notices, &notice, &letter);
    assert_mail(&letter);
    assert_has(
        &letter,
        "Subject: =?UTF-8?B?Tm90IHNlbnQ6IOKCrOKCrOKCrOKCrOKCrOKCrOKCrOKCrOKCrOKCrOKCrA==?=\r\n ");
    buf_free(&letter);
    flow_notice_free(&notices);
}

static void
an_address_that_cannot_stand_in_a_header_gets_no_letter(void **state)
{
    static const char *const bad[] = { NULL,
                                       "",
                                       "alice",
                                       "a@b>\r\nBcc: x",
                                       "a b@c.example",
                                       "a@b.example, c@d.example",
                                       "\xc3\xbc@b.example" };
    struct flow_notices *notices = shipped();

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct flow_notice notice = usual(FLOW_NOTICE_REFUSED);
        struct buf letter = BUF_INIT(FLOW_NOTICE_BYTES);
        struct err err = ERR_INIT;

        notice.to = bad[i];
        assert_int_equal(flow_notice_format(notices, &notice, &letter, &err), ERR_PERM);
        buf_free(&letter);
    }
    flow_notice_free(&notices);
}

static void
write_all(const char *text)
{
    for (size_t i = 0; i < 4; i++) {
        char path[128];
        FILE *file;

        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        file = fopen(path, "w");
        assert_non_null(file);
        fputs(i == 0 ? text : "Subject: x\n\nx\n", file);
        fclose(file);
        assert_int_equal(chmod(path, 0644), 0);
    }
}

static void
a_template_that_cannot_be_filled_is_refused_when_it_is_read(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "Subject: x\n\nDear {name},\n", "expires.txt: line 3: there is no value {name}" },
        { "Subject: x\n\n{recipients}\n", "line 3: there is no value {recipients}" },
        { "Subject: {}\n\nx\n", "line 1: there is no value {}" },
        { "Subject: x\n\nan open { brace", "line 3" },
        { "Subject: x\nno empty line\n", "line 1" },
        { "Hello\n\nx\n", "line 1" },
        { "", "line 1" },
        { "Subject: x\r\n\r\nx\r\n", "line 1: a control character" },
        { "Subject: x\n\n\xff\n", "not UTF-8" },
    };
    struct flow_notices *notices = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(flow_notice_load("/nonexistent", &notices, &err), ERR_NOTFOUND);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        err_reset(&err);
        write_all(rows[i].text);
        assert_int_equal(flow_notice_load(folder, &notices, &err), ERR_PERM);
        if (!strstr(err.text, rows[i].says))
            fail_msg("%zu: %s", i, err.text);
        assert_null(notices);
    }
    err_reset(&err);
    write_all("Subject: {address}\n\n{days}{host}{host} and } alone\n");
    assert_int_equal(flow_notice_load(folder, &notices, &err), ERR_OK);
    flow_notice_free(&notices);
}

static void
automatic_mail_is_not_answered(void **state)
{
    static const struct {
        const char *sender, *header;
        bool may;
    } rows[] = {
        { "a@x.example", "From: a@x.example\r\n", true },
        { "", "From: a@x.example\r\n", false },
        { "a@x.example", "Auto-Submitted: auto-replied\r\n", false },
        { "a@x.example", "Auto-Submitted: auto-generated (why)\r\n", false },
        { "a@x.example", "Auto-Submitted: no\r\n", true },
        { "a@x.example", "Auto-Submitted: No (by hand)\r\n", true },
        { "a@x.example", "Auto-Submitted: nobody\r\n", false },
        { "a@x.example", "auto-submitted: no\r\nAuto-Submitted: auto-replied\r\n", false },
        { "a@x.example", "List-Id: <l.example>\r\n", false },
        { "a@x.example", "Precedence: bulk\r\n", false },
        { "a@x.example", "Precedence: first-class\r\n", true },
        { "a@x.example", "Content-Type: multipart/report; report-type=delivery-status\r\n", false },
        { "a@x.example", "Content-Type: multipart/mixed; boundary=x\r\n", true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mime_header *header = NULL;
        struct err err = ERR_INIT;

        assert_int_equal(mime_header_new(100000, 100, &header, &err), ERR_OK);
        assert_int_equal(mime_header_parse(header, span_str(rows[i].header), &err), ERR_OK);
        if (flow_notice_may_answer(rows[i].sender, header) != rows[i].may)
            fail_msg("%zu: %s", i, rows[i].header);
        mime_header_free(&header);
    }
}

static int
folder_new(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int
folder_remove(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    return rmdir(folder);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_written_from_the_shipped_templates),
        cmocka_unit_test(nothing_a_stranger_wrote_becomes_a_field_or_a_line),
        cmocka_unit_test(a_subject_beyond_ascii_is_encoded_in_whole_characters),
        cmocka_unit_test(an_address_that_cannot_stand_in_a_header_gets_no_letter),
        cmocka_unit_test(a_template_that_cannot_be_filled_is_refused_when_it_is_read),
        cmocka_unit_test(automatic_mail_is_not_answered),
    };

    return cmocka_run_group_tests(tests, folder_new, folder_remove);
}
