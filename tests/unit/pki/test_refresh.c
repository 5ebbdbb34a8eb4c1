#include "tests/unit/pki/evidence_fixture.h"

/* With its threads, which look once in an hour: what the tests run is all that happens, and
 * questions leave what fails to the refresher. */
static struct pki_evidence *
started(void)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .refresh_s = 3600 });

    assert_int_equal(pki_evidence_start(evidence, &(struct err)ERR_INIT), ERR_OK);
    return evidence;
}

static void
what_is_in_use_is_renewed_at_half_of_its_lifetime(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct testca_crl_args crl = { .number = 1, .next_update = now + 2 * DAY };

    (void)state;
    clock_set_s(now);
    serve_crl("/a.crl", &ca, &crl);
    assert_int_equal(get_crl(evidence, "/a.crl").number, 1);
    crl.number = 2;
    crl.this_update = now;
    crl.next_update = now + 3 * DAY;
    serve_crl("/a.crl", &ca, &crl);

    clock_set_s(now + DAY - 1);
    assert_int_equal(get_crl(evidence, "/a.crl").number, 1);
    assert_int_equal(pki_refresh_run(evidence), 0);
    clock_set_s(now + DAY);
    assert_int_equal(pki_refresh_run(evidence), 1);
    assert_int_equal(get_crl(evidence, "/a.crl").number, 2);
    assert_int_equal(asked("/a.crl"), 2);
    assert_int_equal(waited(evidence), 1); /* the first message alone */
    assert_int_equal(pki_refresh_run(evidence), 0);
    pki_evidence_free(&evidence);
}

static void
the_configured_life_bounds_what_a_crl_says(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .crl_life_s = HOUR });

    (void)state;
    clock_set_s(now);
    serve_crl("/a.crl", &ca,
              &(struct testca_crl_args){ .number = 1, .next_update = now + 9 * DAY });
    assert_int_equal(get_crl(evidence, "/a.crl").number, 1);
    clock_set_s(now + HOUR / 2);
    assert_int_equal(pki_refresh_run(evidence), 1);
    /* Nobody refreshes any more: after its life a message asks. */
    clock_set_s(now + 3 * HOUR);
    assert_int_equal(get_crl(evidence, "/a.crl").number, 1);
    assert_int_equal(asked("/a.crl"), 3);
    assert_int_equal(waited(evidence), 2);
    pki_evidence_free(&evidence);
}

static void
what_nobody_asked_for_is_left_alone(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .idle_s = HOUR });

    (void)state;
    clock_set_s(now);
    serve_crl("/a.crl", &ca,
              &(struct testca_crl_args){ .number = 1, .next_update = now + 4 * HOUR });
    assert_int_equal(get_crl(evidence, "/a.crl").number, 1);
    clock_set_s(now + 2 * HOUR);
    assert_int_equal(pki_refresh_run(evidence), 0);
    assert_int_equal(get_held(evidence, "/a.crl").number, 1);
    assert_int_equal(pki_refresh_run(evidence), 1);
    pki_evidence_free(&evidence);
}

/* Seconds from the first failure to each of the next attempts. */
static void
what_fails_is_asked_after_30_s_then_twice_as_long_at_most_10_minutes(void **state)
{
    static const long attempts[] = { 30, 90, 210, 450, 930, 1530, 2130, 2730 };
    struct pki_evidence *evidence = started();
    size_t made = 0;

    (void)state;
    clock_set_s(now);
    serve("/a.crl", BROKEN, "", 0);
    assert_int_equal(get_crl(evidence, "/a.crl").code, ERR_TEMP);
    for (long s = 1; s <= 2800; s++) {
        clock_set_s(now + s);
        assert_int_equal(get_crl(evidence, "/a.crl").code, ERR_TEMP); /* in use */
        if (pki_refresh_run(evidence) == 0)
            continue;
        assert_true(made < sizeof attempts / sizeof *attempts);
        assert_int_equal(s, attempts[made++]);
    }
    assert_int_equal(made, sizeof attempts / sizeof *attempts);
    pki_evidence_free(&evidence);
}

/* Whoever sends a certificate chooses the URLs in it, and sends it once. */
static void
what_never_came_and_nobody_asks_for_again_is_given_up(void **state)
{
    struct pki_evidence *evidence = started();

    (void)state;
    clock_set_s(now);
    serve("/a.crl", BROKEN, "", 0);
    assert_int_equal(get_crl(evidence, "/a.crl").code, ERR_TEMP);
    for (long s = 1; s <= 20 * HOUR; s += 10) {
        clock_set_s(now + s);
        (void)pki_refresh_run(evidence);
    }
    assert_int_equal(asked("/a.crl"), 1 + PKI_REFRESH_UNASKED);
    /* Asked for again it is asked for again, by the refresher. */
    assert_int_equal(get_crl(evidence, "/a.crl").code, ERR_TEMP);
    assert_int_equal(waited(evidence), 1);
    serve_crl("/a.crl", &ca, &(struct testca_crl_args){ .number = 1 });
    assert_int_equal(pki_refresh_run(evidence), 1);
    assert_int_equal(get_held(evidence, "/a.crl").number, 1);
    pki_evidence_free(&evidence);
}

/* CA servers that nothing comes from for 72 hours; a message every ten minutes. */
static void
no_message_waits_while_all_servers_are_dead_for_72_hours(void **state)
{
    struct pki_evidence *evidence = started();
    X509 *revoked[] = { leaf.x509, NULL };
    uint64_t before, asked_before;
    struct got got;
    time_t dead = now + HOUR, end = now + 2 * DAY;

    (void)state;
    clock_set_s(now);
    serve_crl("/a.crl", &ca,
              &(struct testca_crl_args){ .number = 1, .revoked = revoked, .next_update = end });
    assert_int_equal(get_crl(evidence, "/a.crl").number, 1);
    serve_crl("/b.crl", &ca, &(struct testca_crl_args){ .number = 2, .next_update = end });
    assert_int_equal(get_crl(evidence, "/b.crl").number, 2);
    before = waited(evidence);
    serve_manner("/a.crl", BROKEN);
    serve_manner("/b.crl", RESETTING);
    for (time_t at = dead; at < dead + 72 * HOUR; at += 600) {
        clock_set_s(at);
        (void)pki_refresh_run(evidence);
        asked_before = exchanges(evidence);
        got = get_crl(evidence, "/a.crl");
        assert_int_equal(got.code, ERR_OK);
        assert_int_equal(got.number, 1); /* with its revoked entry: stale, and there */
        assert_int_equal(get_crl(evidence, "/b.crl").number, 2);
        assert_int_equal(exchanges(evidence), asked_before);
        assert_int_equal(got.origin.unknown_since, at < end ? 0 : end);
        if (at > now + DAY)
            assert_string_equal(got.origin.reason, "fetch-status");
    }
    assert_int_equal(waited(evidence), before); /* no question of a message did I/O */
    assert_true(asked("/a.crl") > 200);         /* the refresher has not given up */

    serve_crl("/a.crl", &ca,
              &(struct testca_crl_args){
                  .number = 3, .this_update = now, .next_update = dead + 90 * HOUR });
    clock_set_s(dead + 72 * HOUR + 600);
    assert_true(pki_refresh_run(evidence) > 0);
    got = get_crl(evidence, "/a.crl");
    assert_int_equal(got.number, 3);
    assert_int_equal(got.origin.unknown_since, 0);
    assert_null(got.origin.reason);
    pki_evidence_free(&evidence);
}

/* Nothing was ever held: since the first failure it is missed. */
static void
what_was_never_there_is_missed_since_its_first_failure(void **state)
{
    struct pki_evidence *evidence = started();
    struct got got;

    (void)state;
    clock_set_s(now);
    serve("/a.crl", BROKEN, "", 0);
    got = get_crl(evidence, "/a.crl");
    for (long hour = 0; hour < 12; hour++) {
        clock_set_s(now + hour * HOUR);
        (void)pki_refresh_run(evidence);
        got = get_crl(evidence, "/a.crl");
        assert_int_equal(got.code, ERR_TEMP);
        assert_int_equal(got.origin.unknown_since, now);
    }
    pki_evidence_free(&evidence);
}

/* ---- the threads -------------------------------------------------------------------------------
 */

static bool
comes(struct pki_evidence *evidence, const char *path, long number)
{
    for (int i = 0; i < 500; i++) {
        if (get_held(evidence, path).number == number)
            return true;
        fetch_server_pause(10);
    }
    return false;
}

static void
the_threads_renew_by_themselves_and_a_slow_server_holds_up_nobody(void **state)
{
    struct pki_evidence *evidence =
        evidence_of((struct pki_evidence_args){ .refresh_s = 1, .fetch_ms = 30000 });
    struct testca_crl_args crl = { .number = 1, .next_update = now + 2 * DAY };
    char path[32];

    (void)state;
    clock_set_s(now);
    for (int i = 0; i < 8; i++) { /* more than there are threads */
        snprintf(path, sizeof path, "/slow%d.crl", i);
        serve(path, BROKEN, "", 0);
        assert_int_equal(get_crl(evidence, path).code, ERR_TEMP);
        serve_manner(path, SILENT);
    }
    serve_crl("/a.crl", &ca, &crl);
    assert_int_equal(get_crl(evidence, "/a.crl").number, 1);
    crl.number = 2;
    crl.this_update = now;
    serve_crl("/a.crl", &ca, &crl);
    clock_set_s(now + DAY + 1);
    assert_int_equal(pki_evidence_start(evidence, &(struct err)ERR_INIT), ERR_OK);
    assert_int_equal(pki_evidence_start(evidence, &(struct err)ERR_INIT), ERR_OK); /* once */
    assert_true(comes(evidence, "/a.crl", 2));
    /* The end does not wait for what is silent. */
    int64_t began = clock_monotonic_ms();
    pki_evidence_free(&evidence);
    assert_true(clock_monotonic_ms() - began < 3000);
}

static void
what_a_message_had_no_time_for_is_there_for_its_retry(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .refresh_s = 3600 });
    struct pki_fetch_budget budget;
    struct got got;

    (void)state;
    assert_int_equal(pki_evidence_start(evidence, &(struct err)ERR_INIT), ERR_OK);
    serve_crl("/a.crl", &ca, &(struct testca_crl_args){ .number = 1 });
    serve_manner("/a.crl", LATE);
    budget = budget_of(100);
    got = get_crl_of(evidence, url_of("/a.crl"), &ca, &budget);
    assert_int_equal(got.code, ERR_TEMP);
    assert_true(comes(evidence, "/a.crl", 1));
    pki_evidence_free(&evidence);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int
main(void)
{
    struct err err = ERR_INIT;
    int failed;
    const struct CMUnitTest tests[] = {
        TEST(what_is_in_use_is_renewed_at_half_of_its_lifetime),
        TEST(the_configured_life_bounds_what_a_crl_says),
        TEST(what_nobody_asked_for_is_left_alone),
        TEST(what_fails_is_asked_after_30_s_then_twice_as_long_at_most_10_minutes),
        TEST(what_never_came_and_nobody_asks_for_again_is_given_up),
        TEST(no_message_waits_while_all_servers_are_dead_for_72_hours),
        TEST(what_was_never_there_is_missed_since_its_first_failure),
        TEST(the_threads_renew_by_themselves_and_a_slow_server_holds_up_nobody),
        TEST(what_a_message_had_no_time_for_is_there_for_its_retry),
    };

    if (pki_fetch_init(&err) != ERR_OK)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    pki_fetch_deinit();
    return failed;
}
