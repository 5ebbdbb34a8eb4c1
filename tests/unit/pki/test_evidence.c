#include "tests/unit/pki/evidence_fixture.h"

/* ---- CRLs --------------------------------------------------------------------------------------
 */

static void
a_crl_is_fetched_once_and_then_held(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct got got;

    (void)state;
    serve_crl("/a.crl", &ca, &(struct testca_crl_args){ .number = 7 });
    got = get_held(evidence, "/a.crl");
    assert_int_equal(got.code, ERR_NOTFOUND);
    assert_null(got.origin.source);
    assert_int_equal(asked("/a.crl"), 0);

    got = get_crl(evidence, "/a.crl");
    assert_int_equal(got.code, ERR_OK);
    assert_int_equal(got.number, 7);
    assert_string_equal(got.origin.source, "network");
    assert_true(got.origin.fetched_at != 0 && got.origin.unknown_since == 0);
    assert_int_equal(asked("/a.crl"), 1);

    for (int i = 0; i < 10; i++) {
        got = i % 2 ? get_crl(evidence, "/a.crl") : get_held(evidence, "/a.crl");
        assert_int_equal(got.number, 7);
    }
    assert_int_equal(asked("/a.crl"), 1);
    assert_int_equal(waited(evidence), 1);
    pki_evidence_free(&evidence);
}

/* What a URL serves after a good CRL was held, and the word for it. */
struct bad {
    const char *label;
    enum manner manner;
    const char *bytes;
    const char *reason;
};

static const struct bad bads[] = {
    { "garbage", WELL, "this is no CRL", "crl-invalid" },
    { "a certificate's first octets", WELL, "\x30\x03\x02\x01\x01", "crl-invalid" },
    { "nothing", WELL, "", "fetch-broken" },
    { "not there", MISSING, "x", "fetch-not-there" },
    { "an error", BROKEN, "x", "fetch-status" },
    { "silence", SILENT, "x", "fetch-timeout" },
    { "an octet a second", DRIPPING, "x", "fetch-timeout" },
    { "a reset", RESETTING, "x", "fetch-broken" },
    { "200 MB", HUGE_BODY, "x", NULL }, /* too large or too slow: by the machine */
};

static void
what_cannot_be_used_takes_nothing_away(void **state)
{
    (void)state;
    now = time(NULL);
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        const struct bad *bad = &bads[i];
        struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
        struct got got;
        int64_t began;

        clock_set_s(now);
        serve_crl("/a.crl", &ca,
                  &(struct testca_crl_args){ .number = 3, .next_update = now + DAY });
        assert_int_equal(get_crl(evidence, "/a.crl").number, 3);
        serve("/a.crl", bad->manner, bad->bytes, strlen(bad->bytes));

        /* Out of date, so it is asked for; the held one stays, and since when it is missed. */
        clock_set_s(now + DAY + 10);
        began = clock_monotonic_ms();
        got = get_crl(evidence, "/a.crl");
        print_message("%s: %s, %s\n", bad->label, got.origin.reason, got.origin.text);
        assert_true(clock_monotonic_ms() - began < 2 * TOTAL_MS + 1000);
        assert_int_equal(got.code, ERR_OK);
        assert_int_equal(got.number, 3);
        assert_non_null(got.origin.reason);
        if (bad->reason)
            assert_string_equal(got.origin.reason, bad->reason);
        assert_int_equal(got.origin.unknown_since, now + DAY + 10);
        assert_true(got.origin.text[0] != '\0');
        pki_evidence_free(&evidence);
    }
}

static void
with_nothing_held_the_three_answers_are_told_apart(void **state)
{
    (void)state;
    now = time(NULL);
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        const struct bad *bad = &bads[i];
        struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
        struct got got;
        unsigned before;

        clock_set_s(now);
        serve("/a.crl", bad->manner, bad->bytes, strlen(bad->bytes));
        got = get_crl(evidence, "/a.crl");
        assert_int_equal(got.code, bad->manner == MISSING ? ERR_NOTFOUND : ERR_TEMP);
        assert_int_equal(got.origin.unknown_since, now);
        /* The second message does not wait for what the first found dead. */
        clock_set_s(now + 5);
        before = asked("/a.crl");
        got = get_crl(evidence, "/a.crl");
        assert_int_equal(got.code, bad->manner == MISSING ? ERR_NOTFOUND : ERR_TEMP);
        assert_int_equal(got.origin.unknown_since, now);
        assert_int_equal(asked("/a.crl"), before);
        assert_int_equal(waited(evidence), 1);
        pki_evidence_free(&evidence);
    }
}

static void
older_never_replaces_newer(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct testca_crl_args crl = { .this_update = now - HOUR, .next_update = now + HOUR };
    struct got got;

    (void)state;
    clock_set_s(now);
    crl.number = 5;
    serve_crl("/a.crl", &ca, &crl);
    assert_int_equal(get_crl(evidence, "/a.crl").number, 5);

    clock_set_s(now + HOUR + 1);
    crl.number = 9; /* a later number of an earlier time is earlier */
    crl.this_update = now - 2 * HOUR;
    crl.next_update = now + 3 * HOUR;
    serve_crl("/a.crl", &ca, &crl);
    got = get_crl(evidence, "/a.crl");
    assert_int_equal(got.number, 5);
    assert_string_equal(got.origin.reason, "crl-older");

    crl.this_update = now - HOUR; /* the same time: the number decides */
    crl.number = 4;
    serve_crl("/a.crl", &ca, &crl);
    clock_set_s(now + HOUR + 100);
    assert_int_equal(pki_refresh_run(evidence), 1);
    got = get_held(evidence, "/a.crl");
    assert_int_equal(got.number, 5);
    assert_string_equal(got.origin.reason, "crl-older");

    crl.number = 6;
    serve_crl("/a.crl", &ca, &crl);
    clock_set_s(now + HOUR + 1000);
    assert_int_equal(pki_refresh_run(evidence), 1);
    got = get_held(evidence, "/a.crl");
    assert_int_equal(got.number, 6);
    assert_null(got.origin.reason);
    assert_int_equal(got.origin.unknown_since, 0);

    /* One from the future would keep all later ones away. */
    clock_set_s(now + 3 * HOUR + 1);
    crl.number = 7;
    crl.this_update = now + 30 * DAY;
    crl.next_update = now + 60 * DAY;
    serve_crl("/a.crl", &ca, &crl);
    got = get_crl(evidence, "/a.crl");
    assert_int_equal(got.number, 6);
    assert_string_equal(got.origin.reason, "crl-invalid");
    pki_evidence_free(&evidence);
}

static void
what_another_key_signed_is_never_handed_out(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct testca other;
    struct got got;

    (void)state;
    testca_init_below(&other, &root, "OCSP CA", NULL); /* the same name */
    serve_crl("/a.crl", &other, &(struct testca_crl_args){ .number = 1 });
    got = get_crl(evidence, "/a.crl");
    assert_int_equal(got.code, ERR_TEMP);
    assert_string_equal(got.err.reason, "crl-invalid");
    assert_int_equal(get_held(evidence, "/a.crl").code, ERR_TEMP); /* it is known to fail */
    testca_free(&other);
    pki_evidence_free(&evidence);
}

/* An authority that has a new key signs its CRLs with that; certificates of both keys name one URL.
 */
static void
after_a_key_rollover_each_key_keeps_its_own(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct pki_fetch_budget budget = budget_of(5000);
    struct testca fresh;
    struct got got;

    (void)state;
    clock_set_s(now);
    testca_init_below(&fresh, &root, "OCSP CA", NULL);
    serve_crl("/a.crl", &ca, &(struct testca_crl_args){ .number = 1 });
    assert_int_equal(get_crl(evidence, "/a.crl").number, 1);

    serve_crl("/a.crl", &fresh, &(struct testca_crl_args){ .number = 2 });
    got = get_crl_of(evidence, url_of("/a.crl"), &fresh, NULL);
    assert_int_equal(got.code, ERR_NOTFOUND); /* the held one is not of this key */
    got = get_crl_of(evidence, url_of("/a.crl"), &fresh, &budget);
    assert_int_equal(got.number, 2);
    assert_int_equal(get_held(evidence, "/a.crl").number, 1); /* and it took nothing away */
    testca_free(&fresh);
    pki_evidence_free(&evidence);
}

static void
a_crl_in_another_name_is_handed_out_and_replaces_no_verified_one(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct got got;

    (void)state;
    clock_set_s(now);
    serve_crl("/indirect.crl", &root, &(struct testca_crl_args){ .number = 1 });
    assert_int_equal(get_crl(evidence, "/indirect.crl").number, 1);
    /* It was not verified here, so it is asked for again within the hour, and the last one counts:
     * a false one must not stay. */
    serve_crl("/indirect.crl", &root,
              &(struct testca_crl_args){ .number = 2, .this_update = now - DAY });
    clock_set_s(now + HOUR);
    assert_int_equal(get_crl(evidence, "/indirect.crl").number, 2);

    serve_crl("/a.crl", &ca, &(struct testca_crl_args){ .number = 3, .next_update = now + DAY });
    assert_int_equal(get_crl(evidence, "/a.crl").number, 3);
    serve_crl("/a.crl", &root, &(struct testca_crl_args){ .number = 4 });
    clock_set_s(now + DAY + 1);
    got = get_crl(evidence, "/a.crl");
    assert_int_equal(got.number, 3);
    assert_string_equal(got.origin.reason, "crl-invalid");
    pki_evidence_free(&evidence);
}

static void
a_server_that_has_only_an_expired_crl_fails(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct got got;

    (void)state;
    clock_set_s(now);
    serve_crl("/a.crl", &ca,
              &(struct testca_crl_args){
                  .number = 1, .this_update = now - 3 * DAY, .next_update = now - DAY });
    got = get_crl(evidence, "/a.crl");
    assert_int_equal(got.code, ERR_OK); /* pki/path judges */
    assert_int_equal(got.number, 1);
    assert_string_equal(got.origin.reason, "crl-expired");
    assert_int_equal(got.origin.unknown_since, now);
    assert_int_equal(get_crl(evidence, "/a.crl").code, ERR_OK);
    assert_int_equal(asked("/a.crl"), 1);
    pki_evidence_free(&evidence);
}

static void
a_question_about_another_time_is_answered_by_what_covers_it(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct pki_certificate *issuer = testca_certificate(ca.x509);
    struct pki_fetch_budget budget = budget_of(5000);
    struct pki_evidence_crl_question question = { .issuer = issuer, .budget = &budget };
    struct err err = ERR_INIT;
    X509_CRL *crl;

    (void)state;
    clock_set_s(now);
    serve_crl("/a.crl", &ca, &(struct testca_crl_args){ .number = 1, .next_update = now + DAY });
    assert_int_equal(get_crl(evidence, "/a.crl").number, 1);
    clock_set_s(now + 2 * DAY);
    question.url = span_str(url_of("/a.crl"));
    question.at = now + HOUR;
    assert_int_equal(pki_evidence_get_crl(evidence, &question, &crl, NULL, &err), ERR_OK);
    X509_CRL_free(crl);
    assert_int_equal(asked("/a.crl"), 1);
    pki_certificate_free(&issuer);
    pki_evidence_free(&evidence);
}

/* ---- budgets, bounds ---------------------------------------------------------------------------
 */

static void
a_message_whose_budget_ends_finds_nothing_dead(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct pki_fetch_budget budget = budget_of(5000);
    struct got got;

    (void)state;
    serve_crl("/a.crl", &ca, &(struct testca_crl_args){ .number = 1 });
    budget.fetches = 0;
    got = get_crl_of(evidence, url_of("/a.crl"), &ca, &budget);
    assert_int_equal(got.code, ERR_TEMP);
    assert_string_equal(got.err.reason, "fetch-budget");
    assert_int_equal(got.origin.unknown_since, 0);
    serve_manner("/a.crl", LATE);
    budget = budget_of(100);
    got = get_crl_of(evidence, url_of("/a.crl"), &ca, &budget);
    assert_string_equal(got.err.reason, "fetch-timeout");
    assert_int_equal(got.origin.unknown_since, 0);
    /* The refresher goes on with it, and the retry finds it. */
    assert_int_equal(pki_refresh_run(evidence), 1);
    assert_int_equal(get_held(evidence, "/a.crl").number, 1);
    pki_evidence_free(&evidence);
}

static void
what_was_not_used_for_long_goes_when_there_is_no_room(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 16000 });
    struct pki_evidence_stats stats;
    char path[32];

    (void)state;
    for (int i = 0; i < 12; i++) {
        snprintf(path, sizeof path, "/%d.crl", i);
        serve_crl(path, &ca, &(struct testca_crl_args){ .number = i + 1 });
        assert_int_equal(get_crl(evidence, path).number, i + 1);
        assert_int_equal(get_held(evidence, "/0.crl").number, 1); /* in use */
    }
    pki_evidence_get_stats(evidence, &stats);
    assert_true(stats.held_bytes <= 16000);
    assert_true(stats.evicted > 0);
    assert_int_equal(stats.evicted + stats.entries, 12);
    assert_int_equal(get_held(evidence, "/1.crl").code, ERR_NOTFOUND);
    assert_int_equal(get_held(evidence, "/11.crl").number, 12);
    pki_evidence_free(&evidence);
}

enum { THREADS = 32 };

static void *
ask_in_parallel(void *context)
{
    struct got got = get_crl(context, "/a.crl");

    return got.code == ERR_OK && got.number == 1 ? got.crl : NULL;
}

static void
threads_that_want_the_same_share_one_fetch_and_one_object(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    pthread_t threads[THREADS];
    void *first = NULL, *result;

    (void)state;
    serve_crl("/a.crl", &ca, &(struct testca_crl_args){ .number = 1 });
    serve_manner("/a.crl", LATE);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_in_parallel, evidence), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        assert_non_null(result);
        first = first ? first : result;
        assert_ptr_equal(result, first);
    }
    assert_int_equal(asked("/a.crl"), 1);
    pki_evidence_free(&evidence);
}

static void
without_a_network_nobody_is_asked(void **state)
{
    struct pki_evidence_args args = { .limit_bytes = 0 };
    struct pki_evidence *evidence = NULL;
    struct pki_evidence_stats stats;
    struct err err = ERR_INIT;
    struct got got;

    (void)state;
    assert_int_equal(pki_evidence_new(&args, &evidence, &err), ERR_OK);
    got = get_crl(evidence, "/a.crl");
    assert_int_equal(got.code, ERR_NOTFOUND);
    assert_string_equal(got.err.reason, "fetch-off");
    got = get_crl_of(evidence, "ldap:///CN=x?certificateRevocationList", &ca,
                     &(struct pki_fetch_budget){ .deadline_ms = INT64_MAX });
    assert_string_equal(got.err.reason, "fetch-off");
    pki_evidence_get_stats(evidence, &stats);
    assert_int_equal(stats.entries, 0);
    assert_int_equal(pki_refresh_run(evidence), 0);
    pki_evidence_free(&evidence);
}

/* ---- ldap, issuers -----------------------------------------------------------------------------
 */

static struct {
    enum err_code code;
    unsigned asked;
    X509_CRL *crl;
    X509 *x509;
} in_directory;

static enum err_code
ask_directory(void *context, struct span url, int64_t deadline_ms, struct buf *out, struct err *err)
{
    unsigned char *der = NULL;
    enum err_code code;
    int n;

    assert_string_equal(context, "context");
    assert_true(span_starts_nocase(url, "ldap:///"));
    assert_true(deadline_ms > clock_monotonic_ms());
    in_directory.asked++;
    if (in_directory.code != ERR_OK)
        return err_set(err, in_directory.code, "the directory says so");
    n = in_directory.crl ? i2d_X509_CRL(in_directory.crl, &der) : i2d_X509(in_directory.x509, &der);
    code = buf_append(out, span_of(der, (size_t)n), err);
    OPENSSL_free(der);
    return code;
}

static void
ldap_urls_are_asked_of_the_directory(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){
        .ldap = ask_directory, .ldap_context = (void *)(uintptr_t) "context" });
    static const char url[] = "ldap:///CN=CA,DC=example?certificateRevocationList?base";
    struct pki_certificates found = { .list = NULL };
    struct pki_fetch_budget budget = budget_of(5000);
    struct err err = ERR_INIT;
    struct got got;

    (void)state;
    clock_set_s(now);
    in_directory.crl = testca_crl(&ca, &(struct testca_crl_args){ .number = 8 });
    in_directory.code = ERR_TEMP;
    got = get_crl_of(evidence, url, &ca, &budget);
    assert_int_equal(got.code, ERR_TEMP);
    assert_string_equal(got.err.reason, "fetch-directory");
    in_directory.code = ERR_NOTFOUND;
    clock_set_s(now + 40);
    assert_int_equal(pki_refresh_run(evidence), 1);
    assert_string_equal(get_crl_of(evidence, url, &ca, NULL).err.reason, "fetch-not-there");
    in_directory.code = ERR_OK;
    clock_set_s(now + 400);
    assert_int_equal(pki_refresh_run(evidence), 1);
    assert_int_equal(get_crl_of(evidence, url, &ca, NULL).number, 8);
    assert_int_equal(in_directory.asked, 3);

    X509_CRL_free(in_directory.crl);
    in_directory.crl = NULL;
    in_directory.x509 = ca.x509;
    assert_int_equal(pki_evidence_get_issuers(evidence, span_str("ldap:///CN=CA?cACertificate"),
                                              &budget, &found, NULL, &err),
                     ERR_OK);
    assert_int_equal(found.count, 1);
    pki_certificates_free(&found);
    pki_evidence_free(&evidence);
}

static void
issuers_are_fetched_and_garbage_takes_nothing_away(void **state)
{
    struct pki_evidence *evidence =
        evidence_of((struct pki_evidence_args){ .issuer_life_s = HOUR });
    struct pki_certificates found = { .list = NULL };
    struct pki_fetch_budget budget = budget_of(5000);
    struct pki_evidence_origin origin;
    struct span url = span_str(url_of("/ca.cer"));
    struct err err = ERR_INIT;
    unsigned char *der = NULL;
    int n = i2d_X509(ca.x509, &der);

    (void)state;
    clock_set_s(now);
    serve("/ca.cer", WELL, der, (size_t)n);
    assert_int_equal(pki_evidence_get_issuers(evidence, url, NULL, &found, NULL, &err),
                     ERR_NOTFOUND);
    err_reset(&err);
    assert_int_equal(pki_evidence_get_issuers(evidence, url, &budget, &found, &origin, &err),
                     ERR_OK);
    assert_int_equal(found.count, 1);
    assert_int_equal(X509_cmp(pki_certificate_get0_x509(found.list[0]), ca.x509), 0);
    pki_certificates_free(&found);

    serve("/ca.cer", WELL, "garbage", 7);
    clock_set_s(now + HOUR + 1);
    assert_int_equal(pki_evidence_get_issuers(evidence, url, &budget, &found, &origin, &err),
                     ERR_OK);
    assert_int_equal(found.count, 1);
    assert_string_equal(origin.reason, "aia-invalid");
    assert_int_equal(asked("/ca.cer"), 2);
    OPENSSL_free(der);
    pki_certificates_free(&found);
    pki_evidence_free(&evidence);
}

/* ---- what smimectl sees ------------------------------------------------------------------------
 */

static bool
take_entry(void *context, const struct pki_evidence_entry *entry)
{
    struct pki_evidence_entry *out = context;

    *out++ = *entry;
    return false;
}

static void
entries_can_be_shown_and_flushed(void **state)
{
    struct pki_evidence *evidence = evidence_of((struct pki_evidence_args){ .limit_bytes = 0 });
    struct pki_evidence_entry entry = { .name = NULL };
    struct pki_evidence_stats stats;
    struct err err = ERR_INIT;
    size_t count;

    (void)state;
    clock_set_s(now);
    serve_crl("/a.crl", &ca, &(struct testca_crl_args){ .number = 1, .next_update = now + DAY });
    serve_crl("/b.crl", &ca, &(struct testca_crl_args){ .number = 2, .next_update = now + DAY });
    get_crl(evidence, "/a.crl");
    get_crl(evidence, "/b.crl");
    get_crl(evidence, "/c.crl"); /* not there */
    get_crl(evidence, "/a.crl");
    pki_evidence_each(evidence, take_entry, &entry);
    assert_int_equal(entry.kind, PKI_EVIDENCE_CRL);
    assert_string_equal(entry.source, "network");
    assert_int_equal(entry.fetched_at, now);
    assert_int_equal(entry.next_update, now + DAY);
    assert_int_equal(entry.refresh_at, now + DAY / 2);
    assert_int_equal(entry.hits, 1);
    assert_int_equal(entry.failing_since, 0);
    assert_true(entry.bytes > 200);
    pki_evidence_get_stats(evidence, &stats);
    assert_int_equal(stats.entries, 3);
    assert_int_equal(stats.failing, 1);
    assert_int_equal(stats.hits, 1);
    assert_int_equal(stats.misses, 3);

    assert_int_equal(pki_evidence_flush(evidence, span_str(url_of("/a.crl")), false, &count, &err),
                     ERR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(get_held(evidence, "/a.crl").code, ERR_NOTFOUND);
    assert_int_equal(get_held(evidence, "/b.crl").code, ERR_OK);
    assert_int_equal(pki_evidence_flush(evidence, span_of(NULL, 0), false, &count, &err), ERR_OK);
    assert_int_equal(count, 2);
    pki_evidence_get_stats(evidence, &stats);
    assert_int_equal(stats.entries, 0);
    assert_int_equal(stats.held_bytes, 0);
    pki_evidence_free(&evidence);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int
main(void)
{
    struct err err = ERR_INIT;
    int failed;
    const struct CMUnitTest tests[] = {
        TEST(a_crl_is_fetched_once_and_then_held),
        TEST(what_cannot_be_used_takes_nothing_away),
        TEST(with_nothing_held_the_three_answers_are_told_apart),
        TEST(older_never_replaces_newer),
        TEST(what_another_key_signed_is_never_handed_out),
        TEST(after_a_key_rollover_each_key_keeps_its_own),
        TEST(a_crl_in_another_name_is_handed_out_and_replaces_no_verified_one),
        TEST(a_server_that_has_only_an_expired_crl_fails),
        TEST(a_question_about_another_time_is_answered_by_what_covers_it),
        TEST(a_message_whose_budget_ends_finds_nothing_dead),
        TEST(what_was_not_used_for_long_goes_when_there_is_no_room),
        TEST(threads_that_want_the_same_share_one_fetch_and_one_object),
        TEST(without_a_network_nobody_is_asked),
        TEST(ldap_urls_are_asked_of_the_directory),
        TEST(issuers_are_fetched_and_garbage_takes_nothing_away),
        TEST(entries_can_be_shown_and_flushed),
    };

    if (pki_fetch_init(&err) != ERR_OK)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    pki_fetch_deinit();
    return failed;
}
