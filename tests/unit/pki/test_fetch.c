#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <cmocka.h>

#include "pki/fetch.h"
#include "tests/unit/pki/fetch_server.h"
#include "util/clock.h"

static struct fetch_server server;

enum { START_S = 1800000000 };

static int
setup(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    /* The environment must have no say: these lead nowhere. */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    assert_int_equal(pki_fetch_init(&err), ERR_OK);
    fetch_server_init(&server, AF_INET, 0);
    assert_true(server.fd >= 0);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    fetch_server_deinit(&server);
    pki_fetch_deinit();
    return 0;
}

/* A fetch that may ask 127.0.0.1 and ::1 at the server's port, and nothing else on loopback. */
static struct pki_fetch *
fetch_new(struct pki_fetch_args args)
{
    struct pki_fetch_exception exceptions[2] = { { .port = server.port }, { .port = server.port } };
    struct pki_fetch *fetch = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(network_parse("127.0.0.1", &exceptions[0].network, &err), ERR_OK);
    assert_int_equal(network_parse("::1", &exceptions[1].network, &err), ERR_OK);
    args.exceptions = exceptions;
    args.exception_count = 2;
    args.ports = PKI_FETCH_PORTS_ANY;
    assert_int_equal(pki_fetch_new(&args, &fetch, &err), ERR_OK);
    clock_set_s(START_S);
    return fetch;
}

static enum err_code
get(struct pki_fetch *fetch, const char *url, unsigned total_ms, struct buf *out, struct err *err)
{
    struct pki_fetch_budget budget;
    struct span text = span_str(url);
    unsigned char *exact = malloc(text.n ? text.n : 1);
    enum err_code code;

    memcpy(exact, text.p, text.n);
    pki_fetch_budget_init(&budget, total_ms, 10, 1u << 30);
    err_reset(err);
    code = pki_fetch_get(fetch, span_of(exact, text.n), PKI_FETCH_AIA, &budget, out, err);
    free(exact);
    return code;
}

static const char *
url_of(const char *path)
{
    static char url[300];

    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", server.port, path);
    return url;
}

/* One path with a fresh fetch; the time it took is bounded. */
static void
expect(const char *path, enum err_code code, const char *reason)
{
    struct pki_fetch *fetch = fetch_new((struct pki_fetch_args){ .connect_ms = 400 });
    struct buf out = BUF_INIT(16 << 20);
    struct err err = ERR_INIT;
    int64_t begin = clock_monotonic_ms();

    if (get(fetch, url_of(path), 1500, &out, &err) != code || strcmp(err.reason, reason) != 0)
        fail_msg("%s: %s %s: %s", path, err_code_name(err.code), err.reason, err.text);
    assert_true(clock_monotonic_ms() - begin < 6000);
    assert_int_equal(out.n, 0);
    pki_fetch_free(&fetch);
    buf_free(&out);
}

static void
what_is_there_is_found(void **state)
{
    static const char *const paths[] = { "/good", "/to-good", "/chunked" };
    static const char *const bodies[] = { "hello", "hello", "abcdefg" };
    struct pki_fetch *fetch = fetch_new((struct pki_fetch_args){ 0 });
    struct pki_fetch_counts counts;
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct buf out = BUF_INIT(100);
        assert_int_equal(buf_append_str(&out, "+", &err), ERR_OK);
        if (get(fetch, url_of(paths[i]), 5000, &out, &err) != ERR_OK)
            fail_msg("%s", err.text);
        assert_string_equal(buf_str(&out) + 1, bodies[i]);
        buf_free(&out);
    }
    pki_fetch_get_counts(fetch, &counts);
    assert_int_equal(counts.asked, 3);
    assert_int_equal(counts.found, 3);
    assert_int_equal(counts.exchanges, 4);
    pki_fetch_free(&fetch);
}

static void
three_answers_are_told_apart(void **state)
{
    (void)state;
    expect("/404", ERR_NOTFOUND, "fetch-not-there");
    expect("/410", ERR_NOTFOUND, "fetch-not-there");
    expect("/endless-404", ERR_NOTFOUND, "fetch-not-there");
    expect("/500", ERR_TEMP, "fetch-status");
}

static void
a_bad_server_costs_no_more_than_the_budget(void **state)
{
    (void)state;
    expect("/slow", ERR_TEMP, "fetch-timeout");
    expect("/silent", ERR_TEMP, "fetch-timeout");
    expect("/reset", ERR_TEMP, "fetch-broken");
    expect("/short", ERR_TEMP, "fetch-broken");
    expect("/empty", ERR_TEMP, "fetch-broken");
    expect("/garbage", ERR_TEMP, "fetch-broken");
    expect("/endless", ERR_TEMP, "fetch-too-large");
    expect("/chunked-endless", ERR_TEMP, "fetch-too-large");
    expect("/endless-header", ERR_TEMP, "fetch-too-large");
    expect("/endless-100", ERR_TEMP, "fetch-too-large");
    expect("/huge", ERR_TEMP, "fetch-too-large");
    expect("/gzip", ERR_TEMP, "fetch-encoding");
    expect("/te-gzip", ERR_TEMP, "fetch-encoding");
}

static void
redirects_are_few_and_judged(void **state)
{
    int before = server.requests;

    (void)state;
    expect("/loop", ERR_TEMP, "fetch-redirect");
    assert_int_equal(server.requests - before, 1 + PKI_FETCH_REDIRECTS);
    expect("/to-nowhere", ERR_TEMP, "fetch-redirect");
    expect("/to-file", ERR_TEMP, "fetch-refused-url");
    expect("/to-private", ERR_TEMP, "fetch-refused-address");
}

static void
a_connection_that_hangs_is_given_up(void **state)
{
    unsigned port = 0;
    int fd = fetch_server_listen(AF_INET, 0, &port), full[4];
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct pki_fetch_exception exception = { .port = port };
    struct pki_fetch *fetch = NULL;
    struct buf out = BUF_INIT(100);
    struct err err = ERR_INIT;
    char url[100];
    int64_t begin = clock_monotonic_ms();

    (void)state;
    for (int i = 0; i < 4; i++) { /* fill the backlog: later SYNs are dropped */
        full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(full[i], (struct sockaddr *)&in, sizeof in);
    }
    assert_int_equal(network_parse("127.0.0.1", &exception.network, &err), ERR_OK);
    assert_int_equal(pki_fetch_new(&(struct pki_fetch_args){ .exceptions = &exception,
                                                             .exception_count = 1,
                                                             .ports = PKI_FETCH_PORTS_ANY,
                                                             .connect_ms = 300 },
                                   &fetch, &err),
                     ERR_OK);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    assert_int_equal(get(fetch, url, 5000, &out, &err), ERR_TEMP);
    assert_string_equal(err.reason, "fetch-timeout");
    assert_true(clock_monotonic_ms() - begin < 3000);
    for (int i = 0; i < 4; i++)
        close(full[i]);
    close(fd);
    pki_fetch_free(&fetch);
}

/* %u is the port of the listener that must never be touched. */
static const char *const hostile[] = {
    "http://127.0.0.1:%u/",
    "http://localhost:%u/",
    "http://LOCALHOST:%u/",
    "http://a.localhost:%u/",
    "http://localhost.:%u/",
    "http://127.0.0.1.:%u/",
    "http://127.1:%u/",
    "http://127.0.1:%u/",
    "http://2130706433:%u/",
    "http://0x7f000001:%u/",
    "http://0x7f.1:%u/",
    "http://0X7F.0.0.1:%u/",
    "http://017700000001:%u/",
    "http://0177.0.0.1:%u/",
    "http://127.0.0.01:%u/",
    "http://127.255.255.254:%u/",
    "http://0:%u/",
    "http://0.0.0.0:%u/",
    "http://[::1]:%u/",
    "http://[::]:%u/",
    "http://[0:0:0:0:0:0:0:1]:%u/",
    "http://[::ffff:127.0.0.1]:%u/",
    "http://[::ffff:7f00:1]:%u/",
    "http://[::127.0.0.1]:%u/",
    "http://[64:ff9b::127.0.0.1]:%u/",
    "http://[2002:7f00:1::]:%u/",
    "http://[::1%%25lo]:%u/",
    "http://[::1%%lo]:%u/",
    "http://[127.0.0.1]:%u/",
    "http://example.org@127.0.0.1:%u/",
    "http://user:pass@127.0.0.1:%u/",
    "http://127.0.0.1:%u@example.invalid/",
    "http://127.0.0.1:%u\\@example.invalid/",
    "http://127.0.0.1:%u#@example.invalid/",
    "http://127.0.0.1%%00.example.invalid:%u/",
    "http://127%%2e0%%2e0%%2e1:%u/",
    "http://127\xe3\x80\x82"
    "0\xe3\x80\x82"
    "0\xe3\x80\x82"
    "1:%u/",
    "http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1:%u/",
    "http:127.0.0.1:%u/",
    "http:/127.0.0.1:%u/",
    "http:///127.0.0.1:%u/",
    "http://\t127.0.0.1:%u/",
    " http://127.0.0.1:%u/",
    "http://127.0.0.1:%u/\r\nHost: x",
    "//127.0.0.1:%u/",
    "127.0.0.1:%u",
    "ftp://127.0.0.1:%u/",
    "gopher://127.0.0.1:%u/_GET",
    "ldap://127.0.0.1:%u/cn=x",
    "dict://127.0.0.1:%u/x",
    "telnet://127.0.0.1:%u/",
    "https://127.0.0.1:%u/",
    "http://127.0.0.1:0%u/",
    "http://127.0.0.1:+%u/",
};

static void
a_tripwire_is_never_touched(void **state)
{
    struct pki_fetch *fetch = fetch_new((struct pki_fetch_args){ 0 });
    struct fetch_server four, six;
    struct buf out = BUF_INIT(1000);
    struct err err = ERR_INIT;
    char url[300];

    (void)state;
    fetch_server_init(&four, AF_INET, 0);
    fetch_server_init(&six, AF_INET6, four.port);
    server.tripwire_port = four.port;
    assert_true(sizeof hostile / sizeof *hostile >= 40);
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(url, sizeof url, hostile[i], four.port);
#pragma GCC diagnostic pop
        if (get(fetch, url, 2000, &out, &err) != ERR_TEMP ||
            strncmp(err.reason, "fetch-refused-", 14) != 0)
            fail_msg("%s: %s", url, err.text);
    }
    assert_int_equal(get(fetch, url_of("/to-tripwire"), 2000, &out, &err), ERR_TEMP);
    assert_string_equal(err.reason, "fetch-refused-address");
    fetch_server_pause(50);
    assert_int_equal(four.accepted, 0);
    assert_int_equal(six.fd >= 0 ? six.accepted : 0, 0);
    fetch_server_deinit(&four);
    fetch_server_deinit(&six);
    pki_fetch_free(&fetch);
}

/* "localhost" is judged by the parser; these names pass it and go through the hook that judges
 * sockets. Debian's /etc/hosts has the first; a machine mostly knows its own name. */
static void
a_name_is_judged_by_its_addresses(void **state)
{
    struct pki_fetch *fetch = fetch_new((struct pki_fetch_args){ 0 });
    char own[200] = "", url[300];
    const char *const names[] = { "ip6-localhost", own };
    struct fetch_server four, six;
    struct buf out = BUF_INIT(1000);
    struct err err = ERR_INIT;
    int judged = 0;

    (void)state;
    fetch_server_init(&four, AF_INET, 0);
    fetch_server_init(&six, AF_INET6, four.port);
    assert_int_equal(gethostname(own, sizeof own - 1), 0);
    for (size_t i = 0; i < 2; i++) {
        snprintf(url, sizeof url, "http://%s:%u/", names[i], four.port);
        assert_int_equal(get(fetch, url, 3000, &out, &err), ERR_TEMP);
        judged += strcmp(err.reason, "fetch-refused-address") == 0;
    }
    assert_int_equal(four.accepted, 0);
    assert_int_equal(six.fd >= 0 ? six.accepted : 0, 0);
    fetch_server_deinit(&four);
    fetch_server_deinit(&six);
    pki_fetch_free(&fetch);
    if (judged == 0) {
        print_message("neither ip6-localhost nor %s resolves here\n", own);
        skip();
    }
}

struct asker {
    struct pki_fetch *fetch;
    char url[300];
    pthread_barrier_t start; /* making 64 threads takes longer than an answer on a busy machine */
    atomic_int found;
};

static void *
ask_shared(void *context)
{
    struct asker *asker = context;
    struct buf out = BUF_INIT(100);
    struct err err = ERR_INIT;

    pthread_barrier_wait(&asker->start);
    if (get(asker->fetch, asker->url, 20000, &out, &err) == ERR_OK &&
        strcmp(buf_str(&out), "shared") == 0)
        asker->found++;
    buf_free(&out);
    return NULL;
}

static void
sixty_four_threads_make_one_request(void **state)
{
    struct asker asker = { .fetch = fetch_new((struct pki_fetch_args){ 0 }) };
    pthread_t threads[64];
    struct pki_fetch_counts counts;
    int before = server.requests;

    (void)state;
    snprintf(asker.url, sizeof asker.url, "%s", url_of("/shared"));
    assert_int_equal(pthread_barrier_init(&asker.start, NULL, 64), 0);
    for (int i = 0; i < 64; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_shared, &asker), 0);
    for (int i = 0; i < 64; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&asker.start);
    pki_fetch_get_counts(asker.fetch, &counts);
    assert_int_equal(asker.found, 64);
    /* A thread that starts after the first answer asks anew: on a loaded machine a second one. */
    assert_true(server.requests - before <= 2);
    assert_int_equal(counts.shared + (unsigned)(server.requests - before), 64);
    pki_fetch_free(&asker.fetch);
}

static void
a_failure_is_left_alone_for_twice_as_long_each_time(void **state)
{
    struct pki_fetch *fetch = fetch_new(
        (struct pki_fetch_args){ .backoff_first_s = 30, .backoff_most_s = 100, .remembered = 4 });
    static const unsigned waits[] = { 30, 60, 100, 100 };
    struct buf out = BUF_INIT(100);
    struct err err = ERR_INIT;
    struct pki_fetch_counts counts;
    time_t now = START_S;
    int before = server.requests;

    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(get(fetch, url_of("/500"), 3000, &out, &err), ERR_TEMP);
        assert_int_equal(server.requests - before, i + 1);
        clock_set_s(now + (time_t)waits[i] - 1);
        assert_int_equal(get(fetch, url_of("/500"), 3000, &out, &err), ERR_TEMP);
        assert_string_equal(err.reason, "fetch-status");
        assert_int_equal(server.requests - before, i + 1);
        clock_set_s(now += waits[i]);
    }
    assert_int_equal(pki_fetch_get_failing_since(fetch, span_str(url_of("/500")), PKI_FETCH_AIA),
                     START_S);
    assert_int_equal(pki_fetch_get_failing_since(fetch, span_str(url_of("/500")), PKI_FETCH_CRL),
                     0);
    pki_fetch_get_counts(fetch, &counts);
    assert_int_equal(counts.held_back, 4);
    for (int i = 0; i < 4; i++) { /* four others: the first is forgotten */
        char path[20];
        snprintf(path, sizeof path, "/none-%d", i);
        assert_int_equal(get(fetch, url_of(path), 3000, &out, &err), ERR_NOTFOUND);
    }
    assert_int_equal(pki_fetch_get_failing_since(fetch, span_str(url_of("/500")), PKI_FETCH_AIA),
                     0);
    pki_fetch_free(&fetch);
    clock_set_s(0);
}

static void
a_message_spends_no_more_than_its_budget(void **state)
{
    struct pki_fetch *fetch = fetch_new((struct pki_fetch_args){ 0 });
    struct pki_fetch_budget budget;
    struct buf out = BUF_INIT(100);
    struct err err = ERR_INIT;

    (void)state;
    pki_fetch_budget_init(&budget, 5000, 2, 8);
    assert_int_equal(
        pki_fetch_get(fetch, span_str(url_of("/good1")), PKI_FETCH_AIA, &budget, &out, &err),
        ERR_OK);
    assert_int_equal(budget.fetches, 1);
    assert_int_equal(budget.bytes, 3);
    assert_int_equal(
        pki_fetch_get(fetch, span_str(url_of("/good2")), PKI_FETCH_AIA, &budget, &out, &err),
        ERR_TEMP);
    assert_string_equal(err.reason, "fetch-budget");
    budget.bytes = 100;
    err_reset(&err);
    assert_int_equal(
        pki_fetch_get(fetch, span_str(url_of("/good2")), PKI_FETCH_AIA, &budget, &out, &err),
        ERR_TEMP);
    assert_string_equal(err.reason, "fetch-budget");
    /* None of this was the URL's fault: with a new budget it is asked. */
    pki_fetch_budget_init(&budget, 5000, 2, 100);
    err_reset(&err);
    assert_int_equal(
        pki_fetch_get(fetch, span_str(url_of("/good2")), PKI_FETCH_AIA, &budget, &out, &err),
        ERR_OK);
    budget.deadline_ms = clock_monotonic_ms();
    assert_int_equal(
        pki_fetch_get(fetch, span_str(url_of("/good3")), PKI_FETCH_AIA, &budget, &out, &err),
        ERR_TEMP);
    assert_string_equal(err.reason, "fetch-budget");
    buf_free(&out);
    pki_fetch_free(&fetch);
}

static void
a_post_keeps_its_method_or_is_not_redirected(void **state)
{
    static const char *const paths[] = { "/good", "/to-post", "/to-good" };
    struct pki_fetch *fetch = fetch_new((struct pki_fetch_args){ 0 });
    struct pki_fetch_budget budget;
    struct err err = ERR_INIT;

    (void)state;
    pki_fetch_budget_init(&budget, 5000, 10, 10000);
    for (int i = 0; i < 3; i++) {
        struct buf out = BUF_INIT(100);
        struct pki_fetch_post_args args = { .url = span_str(url_of(paths[i])),
                                            .request = span_of("\x30\x00", 2),
                                            .budget = &budget };
        assert_int_equal(pki_fetch_post(fetch, &args, &out, &err), i < 2 ? ERR_OK : ERR_TEMP);
        assert_string_equal(buf_str(&out), i < 2 ? "hello" : "");
        buf_free(&out);
    }
    assert_string_equal(err.reason, "fetch-redirect");
    pki_fetch_free(&fetch);
}

static void
behind_a_proxy_names_and_addresses_are_judged_before(void **state)
{
    char proxy[100], url[300], own[200] = "";
    struct pki_fetch *fetch;
    struct buf out = BUF_INIT(100);
    struct err err = ERR_INIT;
    int before;

    (void)state;
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", server.port);
    fetch = fetch_new((struct pki_fetch_args){ .proxy = proxy });
    before = server.accepted;
    assert_int_equal(get(fetch, "http://10.1.2.3/", 3000, &out, &err), ERR_TEMP);
    assert_string_equal(err.reason, "fetch-refused-address");
    assert_int_equal(get(fetch, "http://localhost/", 3000, &out, &err), ERR_TEMP);
    assert_string_equal(err.reason, "fetch-refused-address");
    assert_int_equal(server.accepted, before);
    /* A public address goes to the proxy, and there alone. */
    assert_int_equal(get(fetch, "http://8.8.8.8/good", 3000, &out, &err), ERR_OK);
    assert_int_equal(server.accepted, before + 1);
    /* The machine's own name, where it knows it: the parser does not, its addresses decide. */
    assert_int_equal(gethostname(own, sizeof own - 1), 0);
    snprintf(url, sizeof url, "http://%s:%u/", own, server.port + 1);
    assert_int_equal(get(fetch, url, 3000, &out, &err), ERR_TEMP);
    if (strcmp(err.reason, "fetch-resolve") != 0)
        assert_string_equal(err.reason, "fetch-refused-address");
    assert_int_equal(server.accepted, before + 1);
    buf_free(&out);
    pki_fetch_free(&fetch);
    fetch = fetch_new((struct pki_fetch_args){ .proxy = proxy, .proxy_resolves = true });
    assert_int_equal(get(fetch, "http://ca.example.invalid/good", 3000, &out, &err), ERR_OK);
    assert_int_equal(get(fetch, "http://192.168.0.1/good", 3000, &out, &err), ERR_TEMP);
    buf_free(&out);
    pki_fetch_free(&fetch);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_is_found),
        cmocka_unit_test(three_answers_are_told_apart),
        cmocka_unit_test(a_bad_server_costs_no_more_than_the_budget),
        cmocka_unit_test(redirects_are_few_and_judged),
        cmocka_unit_test(a_connection_that_hangs_is_given_up),
        cmocka_unit_test(a_tripwire_is_never_touched),
        cmocka_unit_test(a_name_is_judged_by_its_addresses),
        cmocka_unit_test(sixty_four_threads_make_one_request),
        cmocka_unit_test(a_failure_is_left_alone_for_twice_as_long_each_time),
        cmocka_unit_test(a_message_spends_no_more_than_its_budget),
        cmocka_unit_test(a_post_keeps_its_method_or_is_not_redirected),
        cmocka_unit_test(behind_a_proxy_names_and_addresses_are_judged_before),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
