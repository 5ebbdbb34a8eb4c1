/* Servers that misbehave, die, or come back; connections that threads share; and where the doctor
 * says they end. */
#include "tests/unit/directory/ldap_world.h"

static void
a_server_that_misbehaves_is_asked_no_longer_than_the_deadline(void **state)
{
    (void)state;
    const struct {
        const char *name, *scheme;
        enum liar_way way;
        bool starttls;
        int64_t within_ms, least_ms;
    } cases[] = {
        { "silent", "ldap://", LIAR_SILENT, false, 700, 600 },
        { "silent in LDAPS", "ldaps://", LIAR_SILENT, false, 700, 600 },
        { "silent at StartTLS", "ldap://", LIAR_SILENT, true, 700, 600 },
        { "StartTLS and then silent", "ldap://", LIAR_STARTTLS, true, 700, 600 },
        { "silent, longer than to connect", "ldaps://", LIAR_SILENT, false, 5000, 900 },
        { "resets", "ldap://", LIAR_RESETS, false, 5000, 0 },
        { "resets in LDAPS", "ldaps://", LIAR_RESETS, false, 5000, 0 },
        { "half of an answer", "ldap://", LIAR_HALF, false, 700, 600 },
        { "drips", "ldap://", LIAR_DRIPS, false, 700, 600 },
        { "busy", "ldap://", LIAR_BUSY, false, 5000, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct liar liar;
        struct err err = ERR_INIT;
        liar_start(&liar, cases[i].way, NULL);
        char *servers[] = { server_name(cases[i].scheme, liar.port), NULL };
        struct conf_directory conf = conf_of("openldap", servers);
        conf.starttls = cases[i].starttls;
        conf.connect_timeout = 1000;
        struct directory *d = made(&conf);
        int64_t start_ms = clock_monotonic_ms();
        enum err_code code = ask(d, "a@x.example", cases[i].within_ms, &err);
        int64_t took_ms = clock_monotonic_ms() - start_ms;
        if (code != ERR_TEMP || took_ms > cases[i].within_ms + SLACK_MS ||
            took_ms < cases[i].least_ms)
            fail_msg("%s: %d in %lld ms: %s", cases[i].name, code, (long long)took_ms, err.text);
        directory_free(&d);
        liar_stop(&liar);
    }
}

static void
a_server_that_is_killed_between_bind_and_search_costs_a_new_connection(void **state)
{
    (void)state;
    struct slapd mortal;
    struct err err = ERR_INIT;
    small_start(&mortal, "mortal", usual_limits);
    struct directory *d = made_for("openldap", server_name("ldap://", mortal.port), NULL);
    assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_OK);
    slapd_stop(&mortal);
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_TEMP);
    assert_true(clock_monotonic_ms() - start_ms < 1000 + SLACK_MS);
    slapd_start(&mortal);
    assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_OK);
    assert_int_equal(ask(d, "nobody@x.example", 5000, &err), ERR_NOTFOUND);
    assert_int_equal(counts_of(d).connects, 2);
    /* Killed and back before anybody asks: nobody notices. */
    slapd_stop(&mortal);
    slapd_start(&mortal);
    uint64_t failures = counts_of(d).failures;
    assert_int_equal(ask(d, "victim@x.example", 5000, &err), ERR_OK);
    assert_int_equal(counts_of(d).failures, failures);
    directory_free(&d);
    slapd_stop(&mortal);
}

static void
the_next_server_is_asked_and_the_dead_one_is_left_alone(void **state)
{
    (void)state;
    struct liar liar;
    struct err err = ERR_INIT;
    liar_start(&liar, LIAR_SILENT, NULL);
    char *two[] = { server_name("ldaps://", liar.port), server_name("ldap://", slapd.port), NULL };
    struct conf_directory stalling = conf_of("openldap", two);
    stalling.connect_timeout = 1000;
    struct directory *d = made(&stalling);
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(ask(d, "victim@x.example", 8000, &err), ERR_OK);
    int64_t took_ms = clock_monotonic_ms() - start_ms;
    assert_true(took_ms >= 900 && took_ms < 3000 + SLACK_MS);
    /* The circuit of the first one is open: it costs nothing, but for one probe on a machine that
     * takes a second for this. */
    unsigned accepted = liar.accepted;
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(d, "nobody@x.example", 8000, &err), ERR_NOTFOUND);
    assert_true(liar.accepted <= accepted + 1);
    directory_free(&d);
    liar_stop(&liar);
    /* A dead port first, busy ones too. */
    liar_start(&liar, LIAR_BUSY, NULL);
    char *servers[] = { server_name("ldap://", 1), server_name("ldap://", liar.port),
                        server_name("ldap://", slapd.port), NULL };
    struct conf_directory conf = conf_of("openldap", servers);
    d = made(&conf);
    assert_int_equal(ask(d, "victim@x.example", 8000, &err), ERR_OK);
    assert_int_equal(counts_of(d).failures, 2);
    directory_free(&d);
    liar_stop(&liar);
}

static void
a_circuit_opens_after_failures_and_closes_after_a_probe(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct slapd late = slapd;
    struct liar liar;
    (void)late;
    liar_start(&liar, LIAR_BUSY, NULL);
    struct directory *d = made_for("openldap", server_name("ldap://", liar.port), NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(d, "a@x.example", 5000, &err), ERR_TEMP);
    unsigned asked = liar.searches;
    assert_int_equal(ask(d, "a@x.example", 5000, &err), ERR_TEMP);
    assert_int_equal(liar.searches, asked);
    assert_non_null(strstr(err.text, "no server is left"));
    /* After a second one question probes, and all is well again. */
    liar.way = LIAR_TALKS;
    liar.talk = talk_ranges;
    wrong_range = false;
    int64_t until_ms = clock_monotonic_ms() + 5000;
    enum err_code code = ERR_TEMP;
    while (code != ERR_OK && clock_monotonic_ms() < until_ms) {
        code = ask(d, "big@x.example", 5000, &err);
        if (code != ERR_OK)
            pause_ms(50);
    }
    assert_int_equal(code, ERR_OK);
    directory_free(&d);
    liar_stop(&liar);
}

static void
nothing_is_connected_before_it_is_asked(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct directory *d = made_for("openldap", server_name("ldap://", 1), NULL);
    assert_int_equal(ask(d, "a@x.example", 5000, &err), ERR_TEMP);
    assert_string_equal(err.reason, "directory-unreachable");
    directory_free(&d);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *
ask_often(void *context)
{
    for (int i = 0; i < 60; i++) {
        char address[64];
        struct err err = ERR_INIT;
        snprintf(address, sizeof address, "m%d@x.example", i * 13 % PEOPLE);
        if (ask(context, address, 20000, &err) != ERR_OK ||
            ask(context, "no@x.example", 20000, &err) != ERR_NOTFOUND)
            return context;
    }
    return NULL;
}

static void
threads_share_the_connections(void **state)
{
    (void)state;
    pthread_t threads[10];
    char *servers[] = { server_name("ldaps://", slapd.tls_port), NULL };
    struct conf_directory conf = conf_of("openldap", servers);
    struct directory *d = made(&conf);
    for (int i = 0; i < 10; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, d), 0);
    for (int i = 0; i < 10; i++) {
        void *bad = d;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    assert_true(counts_of(d).connects <= 4);
    directory_free(&d);
}

/* ---- the doctor ------------------------------------------------------------------------------ */

static unsigned good_servers, bad_servers;
static enum directory_ldap_step last_step;

static void
count_finding(void *context, const struct directory_ldap_finding *finding)
{
    (void)context;
    good_servers += finding->is_good;
    bad_servers += !finding->is_good;
    last_step = finding->step;
}

static void
the_doctor_finds_where_each_server_ends(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char other[300];
    char *servers[] = { server_name("ldap://", slapd.port), server_name("ldap://", 1), NULL };
    struct conf_directory conf = conf_of("openldap", servers);
    assert_int_equal(directory_ldap_check(&conf, count_finding, NULL, &err), ERR_OK);
    assert_int_equal(good_servers, 1);
    assert_int_equal(bad_servers, 1);
    assert_int_equal(last_step, DIRECTORY_LDAP_STEP_CONNECT);
    servers[0] = server_name("ldaps://", slapd.tls_port);
    servers[1] = NULL;
    snprintf(other, sizeof other, "%s/other.pem", scratch);
    conf.tls_ca_file = other;
    assert_int_equal(directory_ldap_check(&conf, count_finding, NULL, &err), ERR_OK);
    assert_int_equal(last_step, DIRECTORY_LDAP_STEP_TLS);
    conf = conf_of("openldap", servers);
    conf.base = (char *)"ou=typo,o=corp";
    assert_int_equal(directory_ldap_check(&conf, count_finding, NULL, &err), ERR_OK);
    assert_int_equal(last_step, DIRECTORY_LDAP_STEP_SEARCH);
    assert_int_equal(good_servers, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_misbehaves_is_asked_no_longer_than_the_deadline),
        cmocka_unit_test(a_server_that_is_killed_between_bind_and_search_costs_a_new_connection),
        cmocka_unit_test(the_next_server_is_asked_and_the_dead_one_is_left_alone),
        cmocka_unit_test(a_circuit_opens_after_failures_and_closes_after_a_probe),
        cmocka_unit_test(nothing_is_connected_before_it_is_asked),
        cmocka_unit_test(threads_share_the_connections),
        cmocka_unit_test(the_doctor_finds_where_each_server_ends),
    };
    signal(SIGPIPE, SIG_IGN); /* as both programs do */
    return cmocka_run_group_tests(tests, world_up, world_down);
}
