#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/message.h"

static struct mime_header *
header_of(const char *text)
{
    struct mime_header *header = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(mime_header_new(65536, 100, &header, &err), ERR_OK);
    assert_int_equal(mime_header_parse(header, span_str(text), &err), ERR_OK);
    return header;
}

static void
edits_are_applied_in_their_order_as_an_mta_does(void **state)
{
    struct mime_header *header = header_of(
        "Received: a\r\nX: 1\r\nFrom: me\r\nx: 2\r\nSubject: long\r\n folded\r\nX: 3\r\n");
    struct flow_edits edits = { .list = NULL };
    struct buf out = BUF_INIT(65536);
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(flow_edits_add(&edits, FLOW_EDIT_DELETE_HEADER, "X", NULL, 3, &err), ERR_OK);
    assert_int_equal(flow_edits_add(&edits, FLOW_EDIT_DELETE_HEADER, "X", NULL, 1, &err), ERR_OK);
    assert_int_equal(flow_edits_add(&edits, FLOW_EDIT_DELETE_HEADER, "Nobody", NULL, 1, &err),
                     ERR_OK);
    assert_int_equal(
        flow_edits_add(&edits, FLOW_EDIT_CHANGE_HEADER, "Subject", " short\n er", 1, &err), ERR_OK);
    assert_int_equal(flow_edits_add(&edits, FLOW_EDIT_CHANGE_HEADER, "Subject", " 2", 2, &err),
                     ERR_OK); /* there is no second one */
    assert_int_equal(flow_edits_add(&edits, FLOW_EDIT_INSERT_HEADER, "Top", "t\n more", 0, &err),
                     ERR_OK);
    assert_int_equal(flow_edits_add(&edits, FLOW_EDIT_INSERT_HEADER, "Second", "s", 1, &err),
                     ERR_OK);
    assert_int_equal(flow_edits_add(&edits, FLOW_EDIT_INSERT_HEADER, "End", "e", 5000, &err),
                     ERR_OK);
    assert_int_equal(flow_edits_add(&edits, FLOW_EDIT_REPLACE_BODY, NULL, NULL, 0, &err), ERR_OK);
    assert_int_equal(ctl_message_format_edited(header, &edits, &out, &err), ERR_OK);
    assert_string_equal(buf_str(&out),
                        "Top: t\r\n more\r\nSecond: s\r\nReceived: a\r\nFrom: me\r\nx: 2\r\n"
                        "Subject: short\r\n er\r\nEnd: e\r\n\r\n");
    buf_free(&out);
    flow_edits_free(&edits);
    mime_header_free(&header);
}

/* Addresses gathered by a callback, one a line. */
static enum err_code
gather(void *context, const char *address, struct err *err)
{
    struct buf *out = context;

    return buf_appendf(out, err, "%s\n", address);
}

static void
addresses_of_all_fields_of_a_name_are_given_formatted(void **state)
{
    struct mime_header *header = header_of("To: A <A@Example.ORG>, broken@@x, b@x.example\r\n"
                                           "Cc: c@x.example\r\nto: group: d@x.example;\r\n");
    struct buf out = BUF_INIT(65536);
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(ctl_message_addresses(header, "To", gather, &out, &err), ERR_OK);
    assert_non_null(strstr(buf_str(&out), "A@example.org\n"));
    assert_non_null(strstr(buf_str(&out), "b@x.example\n"));
    assert_non_null(strstr(buf_str(&out), "d@x.example\n"));
    assert_null(strstr(buf_str(&out), "c@x.example\n"));
    assert_null(strstr(buf_str(&out), "@@"));
    buf_free(&out);
    mime_header_free(&header);
}

static void
file_that_is_not_there_is_named(void **state)
{
    struct ctl_message message;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(ctl_message_load("/nonexistent/message", &message, &err), ERR_NOTFOUND);
    assert_non_null(strstr(err.text, "/nonexistent/message"));
    assert_null(message.spool);
}

static void
message_is_taken_apart_into_what_protecting_needs(void **state)
{
    static const char text[] = "From: a@b.example\nContent-Type: text/plain\nSubject: x\n\nbody\n";
    char path[] = "/tmp/smimed-test-message-XXXXXX";
    int fd = mkstemp(path);
    struct ctl_message message;
    struct err err = ERR_INIT;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), (ssize_t)(sizeof text - 1));
    close(fd);
    assert_int_equal(ctl_message_load(path, &message, &err), ERR_OK);
    assert_int_equal(mime_header_count(message.header), 3);
    assert_string_equal(buf_str(&message.entity_header), "Content-Type: text/plain\r\n\r\n");
    assert_int_equal(spool_size(message.spool), 6); /* CRLF as SMTP has it */
    assert_int_equal(mime_scan_get(message.scan)->parts, 1);
    ctl_message_free(&message);
    ctl_message_free(&message);
    unlink(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_are_applied_in_their_order_as_an_mta_does),
        cmocka_unit_test(addresses_of_all_fields_of_a_name_are_given_formatted),
        cmocka_unit_test(file_that_is_not_there_is_named),
        cmocka_unit_test(message_is_taken_apart_into_what_protecting_needs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
