#include "tests/unit/pki/evidence_fixture.h"

#include "milter/control.h"
#include "milter/control_cache.h"

static char *
answer_to(struct pki_evidence *evidence, const char *command, enum err_code expected)
{
    static char text[MILTER_CONTROL_ANSWER + 1];
    struct buf out = BUF_INIT(sizeof text - 1);
    struct err err = ERR_INIT;

    assert_int_equal(milter_control_cache_format(evidence, command, &out, &err), expected);
    snprintf(text, sizeof text, "%s", expected == ERR_OK ? buf_str(&out) : err.text);
    if (expected == ERR_OK)
        assert_int_equal(text[strlen(text) - 1], '\n');
    buf_free(&out);
    return text;
}

static void
entries_are_shown_with_where_they_came_from_and_why_they_fail(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    char expected[1000], *text;

    (void)state;
    clock_set_s(now);
    serve_crl("/a.crl", &ca, &(struct testca_crl_args){ .number = 1, .next_update = now + DAY });
    serve("/dead.crl", MISSING, "", 0);
    assert_int_equal(get_crl(evidence, "/dead.crl").code, ERR_NOTFOUND);
    clock_set_s(now + 10);
    assert_int_equal(get_crl(evidence, "/a.crl").number, 1);
    text = answer_to(evidence, "show", ERR_OK);
    snprintf(expected, sizeof expected,
             "{\"ok\": true, \"now\": %lld, \"entries\": [{\"kind\": \"crl\", \"name\": \"%s\", "
             "\"source\": \"network\", \"fetched\": %lld, ",
             (long long)now + 10, url_of("/a.crl"), (long long)now + 10);
    assert_memory_equal(text, expected, strlen(expected));
    assert_non_null(strstr(text, "\"failing_since\": 0, \"reason\": null, \"text\": null}, {"));
    snprintf(expected, sizeof expected,
             "\"failing_since\": %lld, \"reason\": \"fetch-not-there\", \"text\": \"",
             (long long)now);
    assert_non_null(strstr(text, expected));
    assert_non_null(strstr(text, "], \"left_out\": 0}\n"));

    text = answer_to(evidence, "stats", ERR_OK);
    assert_non_null(strstr(text, "\"entries\": 2, \"failing\": 1,"));
    assert_non_null(strstr(text, "\"fetch_requests\": 2,"));

    snprintf(expected, sizeof expected, "flush %s", url_of("/a.crl"));
    assert_string_equal(answer_to(evidence, expected, ERR_OK), "{\"ok\": true, \"flushed\": 1}\n");
    assert_string_equal(answer_to(evidence, expected, ERR_OK), "{\"ok\": true, \"flushed\": 0}\n");
    assert_string_equal(answer_to(evidence, "flush shared", ERR_OK),
                        "{\"ok\": true, \"flushed\": 1}\n");
    (void)answer_to(evidence, "flushed", ERR_NOTFOUND);
    (void)answer_to(evidence, "", ERR_NOTFOUND);
    pki_evidence_free(&evidence);
}

/* Names come out of certificates. */
static void
a_url_that_holds_anything_breaks_no_answer(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct pki_fetch_budget budget = budget_of(1000);
    char *text;

    (void)state;
    (void)get_crl_of(evidence, "http://x/\"}\n\x1b[31m\\\xff", &ca, &budget);
    text = answer_to(evidence, "show", ERR_OK);
    assert_non_null(strstr(text, "\"name\": \"http://x/\\\"}\\\\x0A\\\\x1B[31m\\\\\\\\\\\\xFF\""));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    pki_evidence_free(&evidence);
}

static void
an_answer_has_its_bound_and_says_what_is_left_out(void **state)
{
    enum { MANY = 2100 };
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct pki_fetch_budget budget = budget_of(60000);
    char url[40], *text;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(url, sizeof url, "gopher://x/%d", i);
        (void)get_crl_of(evidence, url, &ca, &budget);
    }
    text = answer_to(evidence, "show", ERR_OK);
    assert_non_null(strstr(text, "], \"left_out\": 100}\n"));
    pki_evidence_free(&evidence);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int
main(void)
{
    struct err err = ERR_INIT;
    int failed;
    const struct CMUnitTest tests[] = {
        TEST(entries_are_shown_with_where_they_came_from_and_why_they_fail),
        TEST(a_url_that_holds_anything_breaks_no_answer),
        TEST(an_answer_has_its_bound_and_says_what_is_left_out),
    };

    if (pki_fetch_init(&err) != ERR_OK)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    pki_fetch_deinit();
    return failed;
}
