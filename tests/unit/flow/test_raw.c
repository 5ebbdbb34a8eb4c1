#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flow/from.h"
#include "flow/raw.h"

struct seen {
    struct buf header, body;
    unsigned headers;
    struct flow_from from;
};

static enum err_code
on_header(void *context, const struct mime_header *header, struct err *err)
{
    struct seen *seen = context;

    seen->headers++;
    assert_int_equal(flow_from_load(header, &seen->from, err), ERR_OK);
    return mime_header_format(header, &seen->header, err);
}

static enum err_code
on_body(void *context, struct span piece, struct err *err)
{
    return buf_append(&((struct seen *)context)->body, piece, err);
}

static enum err_code
read_message(const char *text, size_t piece, size_t limit, struct seen *seen)
{
    struct flow_raw_args args = {
        .limit_header_bytes = limit, .header = on_header, .body = on_body, .context = seen
    };
    struct flow_raw *raw = NULL;
    struct err err = ERR_INIT;
    size_t n = strlen(text), at, take;
    enum err_code code = ERR_OK;

    *seen = (struct seen){ .headers = 0 };
    buf_init(&seen->header, 100000);
    buf_init(&seen->body, 100000);
    assert_int_equal(flow_raw_new(&args, &raw, &err), ERR_OK);
    for (at = 0; at < n && code == ERR_OK; at += take) {
        char *copy;

        take = n - at < piece ? n - at : piece;
        copy = malloc(take);
        memcpy(copy, text + at, take);
        code = flow_raw_write(raw, span_of(copy, take), &err);
        free(copy);
    }
    if (code == ERR_OK)
        code = flow_raw_finish(raw, &err);
    flow_raw_free(&raw);
    return code;
}

static void
seen_free(struct seen *seen)
{
    buf_free(&seen->header);
    buf_free(&seen->body);
}

static void
expect(const char *text, const char *header, const char *body)
{
    static const size_t pieces[] = { 1, 2, 3, 7, 64, 4096, 65535 };
    struct seen seen;
    unsigned i;

    for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        assert_int_equal(read_message(text, pieces[i], 1000, &seen), ERR_OK);
        assert_int_equal(seen.headers, 1);
        assert_string_equal(buf_str(&seen.header), header);
        assert_string_equal(buf_str(&seen.body), body);
        seen_free(&seen);
    }
}

static void
header_and_body_are_told_apart(void **state)
{
    (void)state;
    expect("A: 1\r\nB: 2\r\n 3\r\n\r\none\r\n\r\ntwo\n", "A: 1\r\nB: 2\r\n 3\r\n",
           "one\r\n\r\ntwo\n");
}

static void
a_file_with_bare_line_feeds_becomes_what_smtp_carries(void **state)
{
    (void)state;
    expect("A: 1\nB: 2\n\t3\n\none\n\r\ntwo\rx\n.", "A: 1\r\nB: 2\r\n\t3\r\n",
           "one\r\n\r\ntwo\rx\r\n.");
}

static void
a_signed_part_in_crlf_inside_a_file_of_line_feeds_keeps_its_bytes(void **state)
{
    (void)state;
    expect("A: 1\n\n--b\nsigned\r\npart\r\n\n--b--\n", "A: 1\r\n",
           "--b\r\nsigned\r\npart\r\n\r\n--b--\r\n");
}

static void
the_line_of_a_mail_store_is_no_field(void **state)
{
    (void)state;
    expect("From alice Mon Jan  1 00:00:00 2026\nA: 1\n\nx", "A: 1\r\n", "x");
}

static void
a_message_may_end_in_its_header_or_be_empty(void **state)
{
    (void)state;
    expect("A: 1\r\n", "A: 1\r\n", "");
    expect("A: 1\r\n\r\n", "A: 1\r\n", "");
    expect("\r\nbody", "", "body");
    expect("", "", "");
}

static void
a_header_beyond_its_bound_is_refused(void **state)
{
    struct seen seen;
    char *text = malloc(3001);

    (void)state;
    memset(text, 'a', 3000);
    text[3000] = 0;
    assert_int_equal(read_message(text, 100, 1000, &seen), ERR_LIMIT);
    assert_int_equal(seen.headers, 0);
    seen_free(&seen);
    free(text);
}

static void
expect_from(const char *header, size_t fields, size_t mailboxes, bool irregular,
            const char *address)
{
    struct seen seen;

    assert_int_equal(read_message(header, 4096, 100000, &seen), ERR_OK);
    assert_int_equal(seen.from.fields, fields);
    assert_int_equal(seen.from.mailboxes, mailboxes);
    assert_int_equal(seen.from.irregular, irregular);
    assert_string_equal(seen.from.address, address);
    seen_free(&seen);
}

static void
from_is_one_mailbox_or_none(void **state)
{
    (void)state;
    expect_from("From: Alice <Alice@EXAMPLE.org>\r\n", 1, 1, false, "Alice@example.org");
    expect_from("FROM:alice@example.org\r\n", 1, 1, false, "alice@example.org");
    expect_from("From: \"bob@x\" (carol@x)\r\n <alice@example.org>\r\n", 1, 1, false,
                "alice@example.org");
    expect_from("To: alice@example.org\r\n", 0, 0, false, "");
    expect_from("From: a@x.org, b@x.org\r\n", 1, 2, false, "");
    expect_from("From: a@x.org\r\nfrom: a@x.org\r\n", 2, 1, false, "");
    expect_from("From: group: a@x.org;\r\n", 1, 1, true, "");
}

static void
more_mailboxes_than_anybody_writes_from_are_not_counted(void **state)
{
    char text[2000] = "From: a@x.org";
    struct seen seen;
    unsigned i;

    (void)state;
    for (i = 0; i < 100; i++)
        strcat(text, ",a@x.org");
    strcat(text, "\r\n");
    assert_int_equal(read_message(text, 4096, 100000, &seen), ERR_OK);
    assert_true(seen.from.mailboxes > 1);
    assert_true(seen.from.irregular);
    assert_string_equal(seen.from.address, "");
    seen_free(&seen);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_and_body_are_told_apart),
        cmocka_unit_test(a_file_with_bare_line_feeds_becomes_what_smtp_carries),
        cmocka_unit_test(a_signed_part_in_crlf_inside_a_file_of_line_feeds_keeps_its_bytes),
        cmocka_unit_test(the_line_of_a_mail_store_is_no_field),
        cmocka_unit_test(a_message_may_end_in_its_header_or_be_empty),
        cmocka_unit_test(a_header_beyond_its_bound_is_refused),
        cmocka_unit_test(from_is_one_mailbox_or_none),
        cmocka_unit_test(more_mailboxes_than_anybody_writes_from_are_not_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
