/* The mark on copies: what it binds, and what becomes of one that is forged, old, or used twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/mark.h"
#include "util/clock.h"

enum { NOW = 1700000000 };

static const char *const people[] = { "bob@x.example", "carol@y.example" };
static const char *const turned[] = { "carol@y.example", "bob@x.example", "bob@x.example" };
static const char *const others[] = { "bob@x.example", "mallory@z.example" };
static const unsigned char body[32] = { 7 }, other_body[32] = { 8 };

static const char section[] = "From: alice@corp.example\r\nSubject: a  long\r\n subject\r\n";
static const char folded[] = "from:alice@corp.example\r\nSubject:\ta long subject \r\n"
                             "X-Smimed-Mark: rubbish\r\n";

static struct mime_header *
header_of(const char *text)
{
    struct mime_header *header = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(mime_header_new(100000, 100, &header, &err), ERR_OK);
    assert_int_equal(mime_header_parse(header, span_str(text), &err), ERR_OK);
    return header;
}

struct fixture {
    struct flow_mark *mark;
    struct mime_header *header;
    struct flow_mark_copy copy;
    char text[FLOW_MARK_SIZE];
};

static void
fixture_init(struct fixture *fixture)
{
    struct err err = ERR_INIT;

    clock_set_s(NOW);
    *fixture = (struct fixture){ .mark = NULL };
    assert_int_equal(flow_mark_new(NULL, "mx.example", &fixture->mark, &err), ERR_OK);
    fixture->header = header_of(section);
    fixture->copy = (struct flow_mark_copy){ .sender = "alice@corp.example",
                                             .recipients = people,
                                             .count = 2,
                                             .header = fixture->header,
                                             .body = span_of(body, sizeof body) };
    assert_int_equal(flow_mark_format(fixture->mark, &fixture->copy, fixture->text, &err), ERR_OK);
}

static void
fixture_deinit(struct fixture *fixture)
{
    flow_mark_free(&fixture->mark);
    mime_header_free(&fixture->header);
    clock_set_s(0);
}

static const char *
checked(struct fixture *fixture, const char *text, const struct flow_mark_copy *copy)
{
    struct err err = ERR_INIT;

    if (flow_mark_check(fixture->mark, span_str(text), copy, &err) == ERR_OK)
        return "ok";
    return err.reason ? err.reason : err_code_name(err.code);
}

static void
mark_lets_its_copy_in_once(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    assert_string_equal(checked(&fixture, fixture.text, &fixture.copy), "ok");
    assert_string_equal(checked(&fixture, fixture.text, &fixture.copy), "mark-used");
    fixture_deinit(&fixture);
}

static void
mark_survives_new_folding_and_another_order_of_recipients(void **state)
{
    struct fixture fixture;
    struct flow_mark_copy copy;

    (void)state;
    fixture_init(&fixture);
    copy = fixture.copy;
    copy.header = header_of(folded);
    copy.recipients = turned;
    copy.count = 3;
    assert_string_equal(checked(&fixture, fixture.text, &copy), "ok");
    mime_header_free((struct mime_header **)&copy.header);
    fixture_deinit(&fixture);
}

static void
mark_on_anything_else_is_refused(void **state)
{
    static const char *const headers[] = {
        "From: mallory@corp.example\r\nSubject: a  long\r\n subject\r\n",
        "From: alice@corp.example\r\nSubject: a  long\r\n subject\r\nTo: x@y\r\n",
        "Subject: a  long\r\n subject\r\nFrom: alice@corp.example\r\n",
        "From: alice@corp.example\r\n",
        "From: alice@corp.example\r\nSubject: along subject\r\n",
        "From: alice@corp.example\r\nSubject: a\r\nlong: subject\r\n",
    };
    struct fixture fixture;
    struct flow_mark_copy copy;

    (void)state;
    fixture_init(&fixture);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        copy = fixture.copy;
        copy.header = header_of(headers[i]);
        assert_string_equal(checked(&fixture, fixture.text, &copy), "mark-changed");
        mime_header_free((struct mime_header **)&copy.header);
    }
    copy = fixture.copy;
    copy.sender = "mallory@corp.example";
    assert_string_equal(checked(&fixture, fixture.text, &copy), "mark-changed");
    copy = fixture.copy;
    copy.recipients = others;
    assert_string_equal(checked(&fixture, fixture.text, &copy), "mark-changed");
    copy = fixture.copy;
    copy.count = 1;
    assert_string_equal(checked(&fixture, fixture.text, &copy), "mark-changed");
    copy = fixture.copy;
    copy.body = span_of(other_body, sizeof other_body);
    assert_string_equal(checked(&fixture, fixture.text, &copy), "mark-changed");
    /* None of this used it up. */
    assert_string_equal(checked(&fixture, fixture.text, &fixture.copy), "ok");
    fixture_deinit(&fixture);
}

static void
mark_with_any_octet_changed_is_refused(void **state)
{
    struct fixture fixture;
    char text[FLOW_MARK_SIZE];
    size_t n;

    (void)state;
    fixture_init(&fixture);
    n = strlen(fixture.text);
    for (size_t i = 0; i < n; i++) {
        const char *found;

        memcpy(text, fixture.text, n + 1);
        if (text[i] == '\r' || text[i] == '\n' || text[i] == ' ')
            continue;
        text[i] = text[i] == 'A' ? 'B' : 'A';
        found = checked(&fixture, text, &fixture.copy);
        if (strcmp(found, "mark-forged") != 0)
            fail_msg("octet %zu: %s", i, found);
        memcpy(text, fixture.text, n + 1);
        text[i] = '\0';
        assert_string_equal(checked(&fixture, text, &fixture.copy), "mark-forged");
    }
    assert_string_equal(checked(&fixture, "", &fixture.copy), "mark-forged");
    assert_string_equal(checked(&fixture, fixture.text, &fixture.copy), "ok");
    fixture_deinit(&fixture);
}

static void
mark_of_another_process_or_host_is_refused(void **state)
{
    struct fixture fixture, other;

    (void)state;
    fixture_init(&fixture);
    fixture_init(&other);
    assert_string_equal(checked(&other, fixture.text, &fixture.copy), "mark-forged");
    fixture_deinit(&other);
    fixture_deinit(&fixture);
}

static void
mark_is_late_after_its_time_and_early_from_the_future(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    clock_set_s(NOW + FLOW_MARK_FRESH_S + 1);
    assert_string_equal(checked(&fixture, fixture.text, &fixture.copy), "mark-late");
    clock_set_s(NOW - 1000);
    assert_string_equal(checked(&fixture, fixture.text, &fixture.copy), "mark-forged");
    clock_set_s(NOW + FLOW_MARK_FRESH_S);
    assert_string_equal(checked(&fixture, fixture.text, &fixture.copy), "ok");
    fixture_deinit(&fixture);
}

/* What was forgotten because it was old must not be taken when the clock goes back. */
static void
clock_that_is_set_back_makes_no_used_mark_fresh(void **state)
{
    struct fixture fixture;
    struct err err = ERR_INIT;
    char text[FLOW_MARK_SIZE];

    (void)state;
    fixture_init(&fixture);
    assert_string_equal(checked(&fixture, fixture.text, &fixture.copy), "ok");
    clock_set_s(NOW + FLOW_MARK_FRESH_S + 10);
    assert_int_equal(flow_mark_format(fixture.mark, &fixture.copy, text, &err), ERR_OK);
    assert_string_equal(checked(&fixture, text, &fixture.copy), "ok");
    clock_set_s(NOW + 1);
    assert_string_equal(checked(&fixture, fixture.text, &fixture.copy), "mark-early");
    fixture_deinit(&fixture);
}

static void
processes_that_share_a_key_file_know_each_other_but_not_before_they_began(void **state)
{
    char path[] = "/tmp/smimed-mark-XXXXXX";
    struct flow_mark *one = NULL, *two = NULL, *elsewhere = NULL;
    struct fixture fixture;
    struct err err = ERR_INIT;
    char text[FLOW_MARK_SIZE];
    int fd = mkstemp(path);

    (void)state;
    fixture_init(&fixture);
    assert_int_equal(write(fd, "0123456789abcdefghijklmnopqrstuvwxyz", 36), 36);
    close(fd);
    assert_int_equal(flow_mark_new(path, "mx.example", &one, &err), ERR_OK);
    clock_set_s(NOW + 10);
    assert_int_equal(flow_mark_format(one, &fixture.copy, text, &err), ERR_OK);
    clock_set_s(NOW + 20);
    assert_int_equal(flow_mark_new(path, "mx.example", &two, &err), ERR_OK);
    assert_int_equal(flow_mark_check(two, span_str(text), &fixture.copy, &err), ERR_TEMP);
    assert_string_equal(err.reason, "mark-early");
    err_reset(&err);
    clock_set_s(NOW + 30);
    assert_int_equal(flow_mark_format(one, &fixture.copy, text, &err), ERR_OK);
    assert_int_equal(flow_mark_new(path, "mx2.example", &elsewhere, &err), ERR_OK);
    assert_int_equal(flow_mark_find(elsewhere, span_str(text), &err), ERR_PERM);
    err_reset(&err);
    assert_int_equal(flow_mark_find(two, span_str(text), &err), ERR_OK);
    assert_int_equal(flow_mark_check(two, span_str(text), &fixture.copy, &err), ERR_OK);
    assert_int_equal(chmod(path, 0644), 0);
    flow_mark_free(&one);
    assert_int_equal(flow_mark_new(path, "mx.example", &one, &err), ERR_PERM);
    flow_mark_free(&two);
    flow_mark_free(&elsewhere);
    unlink(path);
    fixture_deinit(&fixture);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mark_lets_its_copy_in_once),
        cmocka_unit_test(mark_survives_new_folding_and_another_order_of_recipients),
        cmocka_unit_test(mark_on_anything_else_is_refused),
        cmocka_unit_test(mark_with_any_octet_changed_is_refused),
        cmocka_unit_test(mark_of_another_process_or_host_is_refused),
        cmocka_unit_test(mark_is_late_after_its_time_and_early_from_the_future),
        cmocka_unit_test(clock_that_is_set_back_makes_no_used_mark_fresh),
        cmocka_unit_test(processes_that_share_a_key_file_know_each_other_but_not_before_they_began),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
