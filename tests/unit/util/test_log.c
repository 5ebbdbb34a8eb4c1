#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/log.h"

/* In the place of the C library's: a clock that a test can put forward. */
static time_t clock_ahead_s;

int
clock_gettime(clockid_t which, struct timespec *now)
{
    long rc = syscall(SYS_clock_gettime, which, now);

    if (which == CLOCK_MONOTONIC)
        now->tv_sec += clock_ahead_s;
    return (int)rc;
}

/* What goes to stderr between capture_begin and capture_end. */
static int saved_stderr, capture = -1;

static void
capture_begin(void)
{
    capture = memfd_create("stderr", 0);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(capture >= 0 && saved_stderr >= 0);
    /* Other than a file, a memfd has no lock for its position. */
    assert_int_equal(fcntl(capture, F_SETFL, O_APPEND), 0);
    assert_true(dup2(capture, STDERR_FILENO) >= 0);
}

static char *
capture_end(void)
{
    off_t n = lseek(capture, 0, SEEK_END);
    char *text = calloc(1, (size_t)n + 1);

    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    assert_int_equal(pread(capture, text, (size_t)n, 0), n);
    close(capture);
    return text;
}

static void
start(enum log_form form, enum log_level level, const char *debug_for)
{
    struct log_args args = {
        .sink = LOG_SINK_STDERR, .form = form, .level = level, .debug_for = debug_for
    };

    log_init(&args);
    clock_set_s(1700000000);
}

static void
check(char *text, const char *expected)
{
    assert_string_equal(text, expected);
    free(text);
}

static void
log_line_in_text_has_one_id(void **state)
{
    (void)state;
    start(LOG_FORM_TEXT, LOG_LEVEL_INFO, NULL);
    capture_begin();
    log_info("4ABC", "hello %d", 1);
    log_info(NULL, "no id");
    log_debug("4ABC", "not shown");
    check(capture_end(), "4ABC: hello 1\nNOQUEUE: no id\n");
}

static void
log_level_decides_what_is_written(void **state)
{
    (void)state;
    start(LOG_FORM_TEXT, LOG_LEVEL_WARN, NULL);
    capture_begin();
    log_info("1", "info");
    log_warn("level-test", "1", "warn");
    check(capture_end(), "1: warning: warn\n");
    start(LOG_FORM_TEXT, LOG_LEVEL_DEBUG, NULL);
    capture_begin();
    log_debug("1", "debug");
    check(capture_end(), "1: debug: debug\n");
}

static void
log_debug_is_on_for_one_id_or_address(void **state)
{
    (void)state;
    start(LOG_FORM_TEXT, LOG_LEVEL_INFO, "Some@Example.com");
    assert_true(log_debug_is_on("4ABC", "some@example.COM"));
    assert_false(log_debug_is_on("4ABC", NULL));
    assert_false(log_debug_is_on(NULL, NULL));
    start(LOG_FORM_TEXT, LOG_LEVEL_INFO, "4ABC");
    assert_true(log_debug_is_on("4ABC", NULL));
    assert_false(log_debug_is_on("4abc", NULL));
    capture_begin();
    log_debug("4ABC", "this one");
    log_debug("4ABD", "not that one");
    check(capture_end(), "4ABC: debug: this one\n");
}

static void
log_line_cannot_be_forged(void **state)
{
    (void)state;
    start(LOG_FORM_TEXT, LOG_LEVEL_INFO, NULL);
    capture_begin();
    log_info("1\n2: forged", "subject %s", "x\r\n4ABC: action=none\033[2J\\");
    check(capture_end(), "1\\x0A2: forged: subject x\\x0D\\x0A4ABC: action=none\\x1B[2J\\\\\n");
}

static void
log_fields_are_quoted_where_needed(void **state)
{
    const struct log_field fields[] = {
        { "dir", "out", false },          { "from", "<a@x>", false },
        { "reason", "two words", false }, { "empty", "", false },
        { "none", NULL, false },          { "quote", "a\"b", false },
        { "newline", "a\nb c", false },   { "size", "12345", true },
    };

    (void)state;
    start(LOG_FORM_TEXT, LOG_LEVEL_INFO, NULL);
    capture_begin();
    log_fields(LOG_LEVEL_INFO, "4ABC", fields, sizeof fields / sizeof fields[0]);
    log_fields(LOG_LEVEL_DEBUG, "4ABC", fields, 1);
    check(capture_end(),
          "4ABC: dir=out from=<a@x> reason=\"two words\" empty=\"\" none=\"\" quote=\"a\\\"b\" "
          "newline=\"a\\x0Ab c\" size=12345\n");
}

static void
log_json_is_one_object_a_line(void **state)
{
    const struct log_field fields[] = {
        { "dir", "out", false },
        { "text", "a\"b\\c\nd\xff\xc3\xa4", false },
        { "size", "12345", true },
        { "nrcpt", "oops", true },
    };

    (void)state;
    start(LOG_FORM_JSON, LOG_LEVEL_INFO, NULL);
    capture_begin();
    log_info("4ABC", "hello \"%s\"", "x\n");
    log_fields(LOG_LEVEL_INFO, NULL, fields, sizeof fields / sizeof fields[0]);
    check(
        capture_end(),
        "{\"time\":\"2023-11-14T22:13:20Z\",\"level\":\"info\",\"id\":\"4ABC\","
        "\"message\":\"hello \\\"x\\u000A\\\"\"}\n"
        "{\"time\":\"2023-11-14T22:13:20Z\",\"level\":\"info\",\"id\":\"NOQUEUE\",\"dir\":\"out\","
        "\"text\":\"a\\\"b\\\\c\\u000Ad\\\\xFF\xc3\xa4\",\"size\":12345,\"nrcpt\":\"oops\"}\n");
}

/* The longest of everything in both forms: the line ends in time, and JSON stays closed. */
static void
log_line_is_capped(void **state)
{
    static char value[20000];
    struct log_field fields[40];
    char *text;

    (void)state;
    memset(value, '\n', sizeof value - 1);
    for (int i = 0; i < 40; i++)
        fields[i] = (struct log_field){ "name", value + sizeof value - 1 - 400, false };
    for (int form = LOG_FORM_TEXT; form <= LOG_FORM_JSON; form++) {
        for (int n = 0; n < 2; n++) {
            size_t length;

            start((enum log_form)form, LOG_LEVEL_INFO, NULL);
            capture_begin();
            if (n == 0)
                log_info(value, "%s", value);
            else
                log_fields(LOG_LEVEL_INFO, value, fields, 40);
            text = capture_end();
            length = strlen(text);
            assert_in_range(length, 4000, 8193);
            assert_ptr_equal(strchr(text, '\n'), text + length - 1);
            if (form == LOG_FORM_JSON) {
                assert_int_equal(text[length - 2], '}');
                assert_int_equal(text[length - 3], '"');
            }
            free(text);
        }
    }
    for (size_t n = 7900; n < 8400; n++) {
        size_t length;

        memset(value, 'a', n);
        value[n] = '\0';
        start(n % 2 ? LOG_FORM_JSON : LOG_FORM_TEXT, LOG_LEVEL_INFO, NULL);
        capture_begin();
        log_info("1", "%s", value);
        text = capture_end();
        length = strlen(text);
        assert_in_range(length, 7500, 8193);
        assert_int_equal(text[length - 1], '\n');
        if (n % 2)
            assert_memory_equal(text + length - 3, "\"}", 2);
        free(text);
    }
}

static void
log_warn_writes_the_first_and_counts_the_rest(void **state)
{
    char *text;

    (void)state;
    start(LOG_FORM_TEXT, LOG_LEVEL_INFO, NULL);
    capture_begin();
    for (int i = 0; i < 5; i++) {
        log_warn("crl-missing", "1", "no CRL %d", i);
        log_warn("ldap-down", "1", "no LDAP %d", i);
    }
    check(capture_end(), "1: warning: no CRL 0\n1: warning: no LDAP 0\n");
    clock_ahead_s += 59;
    capture_begin();
    log_warn("crl-missing", "1", "no CRL 5");
    check(capture_end(), "");
    clock_ahead_s += 1;
    capture_begin();
    log_warn("crl-missing", "1", "no CRL 6");
    log_warn("crl-missing", "1", "no CRL 7");
    check(capture_end(), "1: warning: no CRL 6 (and 5 like it before)\n");
    start(LOG_FORM_JSON, LOG_LEVEL_INFO, NULL);
    clock_ahead_s += 60;
    capture_begin();
    log_warn("crl-missing", NULL, "no CRL 8");
    check(capture_end(),
          "{\"time\":\"2023-11-14T22:13:20Z\",\"level\":\"warning\",\"id\":\"NOQUEUE\","
          "\"key\":\"crl-missing\",\"repeated\":1,\"message\":\"no CRL 8\"}\n");
    start(LOG_FORM_TEXT, LOG_LEVEL_INFO, NULL);
    /* A condition that was pushed out by many others is written again. */
    capture_begin();
    for (int i = 0; i < 64; i++) {
        char key[16];
        snprintf(key, sizeof key, "other-%d", i);
        log_warn(key, "1", "other");
    }
    free(capture_end());
    capture_begin();
    log_warn("crl-missing", "1", "no CRL again");
    text = capture_end();
    assert_memory_equal(text, "1: warning: no CRL again", 24);
    free(text);
}

static void
log_escape_shows_what_is_not_printable(void **state)
{
    static const struct {
        const char *in;
        size_t n;
        const char *out;
    } cases[] = {
        { "plain", 5, "plain" },
        { "a\0b", 3, "a\\x00b" },
        { "\t\r\n\x7f", 4, "\\x09\\x0D\\x0A\\x7F" },
        { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
        /* C1 controls, line separator, right-to-left override, byte order mark: valid and escaped.
         */
        { "\xc2\x9b", 2, "\\xC2\\x9B" },
        { "\xe2\x80\xa8", 3, "\\xE2\\x80\\xA8" },
        { "\xe2\x80\xae", 3, "\\xE2\\x80\\xAE" },
        { "\xef\xbb\xbf", 3, "\\xEF\\xBB\\xBF" },
        /* Overlong, surrogate, too large, cut, lone continuation. */
        { "\xc0\xaf", 2, "\\xC0\\xAF" },
        { "\xe0\x80\xaf", 3, "\\xE0\\x80\\xAF" },
        { "\xed\xa0\x80", 3, "\\xED\\xA0\\x80" },
        { "\xf4\x90\x80\x80", 4, "\\xF4\\x90\\x80\\x80" },
        { "\xe2\x82", 2, "\\xE2\\x82" },
        { "\x80", 1, "\\x80" },
        { "\xff", 1, "\\xFF" },
        { "a\\b", 3, "a\\\\b" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[64];
        unsigned char *copy = malloc(cases[i].n);

        memcpy(copy, cases[i].in, cases[i].n);
        assert_string_equal(log_escape(span_of(copy, cases[i].n), out, sizeof out), cases[i].out);
        free(copy);
    }
}

static void
log_escape_cuts_between_characters(void **state)
{
    (void)state;
    for (size_t size = 8; size < 40; size++) {
        char *out = malloc(size);

        log_escape(span_str("\xc3\xa4\xc3\xa4\nbc\\\\\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"), out,
                   size);
        assert_true(strlen(out) < size);
        if (size <= 23) {
            assert_true(strlen(out) >= 3);
            assert_string_equal(out + strlen(out) - 3, "...");
        }
        free(out);
    }
    {
        char out[8];
        assert_string_equal(log_escape(span_str("1234567"), out, sizeof out), "1234567");
        assert_string_equal(log_escape(span_str("12345678"), out, sizeof out), "1234...");
        assert_string_equal(log_escape(span_str("\n\n"), out, sizeof out), "\\x0A...");
        assert_string_equal(log_escape(span_of(NULL, 0), out, sizeof out), "");
    }
}

static void *
write_lines(void *context)
{
    for (int i = 0; i < 500; i++) {
        log_info(context, "line %d", i);
        log_warn("threads", context, "warned");
        if (i % 50 == 0)
            start(LOG_FORM_TEXT, LOG_LEVEL_INFO, "x");
        (void)log_debug_is_on("x", NULL);
    }
    return NULL;
}

static void
log_lines_of_threads_do_not_mix(void **state)
{
    pthread_t threads[4];
    static char ids[4][8] = { "AAAA", "BBBB", "CCCC", "DDDD" };
    char *text, *save = NULL;
    unsigned lines = 0;

    (void)state;
    start(LOG_FORM_TEXT, LOG_LEVEL_INFO, NULL);
    capture_begin();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, ids[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    text = capture_end();
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        assert_true(line[0] >= 'A' && line[0] <= 'D' && line[1] == line[0]);
        assert_memory_equal(line + 4, ": ", 2);
        lines += strncmp(line + 6, "line ", 5) == 0;
    }
    assert_int_equal(lines, 2000);
    free(text);
}

/* In the place of the C library's: what syslog would be told. */
static int syslog_priority;
static char syslog_text[256];

void syslog(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
void
syslog(int priority, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    syslog_priority = priority;
    vsnprintf(syslog_text, sizeof syslog_text, format, args);
    va_end(args);
}

void __syslog_chk(int priority, int flag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void
__syslog_chk(int priority, int flag, const char *format, ...)
{
    va_list args;

    (void)flag;
    va_start(args, format);
    syslog_priority = priority;
    vsnprintf(syslog_text, sizeof syslog_text, format, args);
    va_end(args);
}

static void
log_to_syslog_has_facility_and_priority(void **state)
{
    struct log_args args = { .sink = LOG_SINK_SYSLOG,
                             .level = LOG_LEVEL_INFO,
                             .facility = "local3" };

    (void)state;
    log_init(&args);
    log_info("4ABC", "to %s", "syslog %s");
    assert_int_equal(syslog_priority, (19 << 3) | 6); /* local3, info: RFC 5424 6.2.1 */
    assert_string_equal(syslog_text, "4ABC: to syslog %s");
    log_warn("syslog-test", "4ABC", "act");
    assert_int_equal(syslog_priority, (19 << 3) | 4);
    args.facility = NULL;
    log_init(&args);
    log_info("4ABC", "x");
    assert_int_equal(syslog_priority, (2 << 3) | 6);
    assert_true(log_facility_check("mail"));
    assert_false(log_facility_check("kern"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_line_in_text_has_one_id),
        cmocka_unit_test(log_level_decides_what_is_written),
        cmocka_unit_test(log_debug_is_on_for_one_id_or_address),
        cmocka_unit_test(log_line_cannot_be_forged),
        cmocka_unit_test(log_fields_are_quoted_where_needed),
        cmocka_unit_test(log_json_is_one_object_a_line),
        cmocka_unit_test(log_line_is_capped),
        cmocka_unit_test(log_warn_writes_the_first_and_counts_the_rest),
        cmocka_unit_test(log_escape_shows_what_is_not_printable),
        cmocka_unit_test(log_escape_cuts_between_characters),
        cmocka_unit_test(log_lines_of_threads_do_not_mix),
        cmocka_unit_test(log_to_syslog_has_facility_and_priority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
