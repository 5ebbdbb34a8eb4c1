/*
 * What the tests of evidence share: an authority whose HTTP server serves what a test says, well or
 * badly, and counts who asks.
 */
#ifndef TESTS_UNIT_PKI_EVIDENCE_FIXTURE_H
#define TESTS_UNIT_PKI_EVIDENCE_FIXTURE_H

#include "tests/unit/pki/fetch_server.h"
#include "tests/unit/pki/ocsp_fixture.h"

#include "pki/crl.h"
#include "pki/evidence.h"
#include "pki/refresh.h"
#include "util/clock.h"
#include "util/log.h"

enum {
    CONNECT_MS = 400,
    TOTAL_MS = 1200,
    PAGES = 16,
    DAY = 24 * HOUR,
};

/* How a page answers. */
enum manner {
    WELL,
    MISSING,   /* 404 */
    BROKEN,    /* 500 */
    POST_ONLY, /* 405 to a GET */
    SILENT,
    DRIPPING, /* an octet a second */
    RESETTING,
    HUGE_BODY, /* 200 MB */
    LATE,      /* after 400 ms */
};

struct page {
    char path[64];
    enum manner manner;
    unsigned char *bytes;
    size_t n;
    unsigned asked, posted;
};

static struct site {
    int fd;
    unsigned port;
    pthread_t thread;
    pthread_mutex_t lock;
    atomic_bool stop;
    atomic_int connections, requests;
    struct page pages[PAGES];
} site = { .fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

/* The page of a path; made when it is not there. The lock is held. */
static inline struct page *
page_of(const char *path)
{
    for (size_t i = 0; i < PAGES; i++) {
        struct page *p = &site.pages[i];
        if (!p->path[0])
            snprintf(p->path, sizeof p->path, "%s", path);
        if (strcmp(p->path, path) == 0)
            return p;
    }
    abort();
}

static inline void
serve(const char *path, enum manner manner, const void *bytes, size_t n)
{
    struct page *p;

    pthread_mutex_lock(&site.lock);
    p = page_of(path);
    free(p->bytes);
    p->bytes = malloc(n + 1);
    if (n > 0)
        memcpy(p->bytes, bytes, n);
    p->n = n;
    p->manner = manner;
    pthread_mutex_unlock(&site.lock);
}

static inline void
serve_manner(const char *path, enum manner manner)
{
    pthread_mutex_lock(&site.lock);
    page_of(path)->manner = manner;
    pthread_mutex_unlock(&site.lock);
}

static inline unsigned
asked(const char *path)
{
    unsigned n;

    pthread_mutex_lock(&site.lock);
    n = page_of(path)->asked;
    pthread_mutex_unlock(&site.lock);
    return n;
}

/* A path that begins like a page's is that page (GET of OCSP puts the request behind it). */
static inline bool
page_find(const char *path, bool post, struct page *out)
{
    struct page *best = NULL;

    pthread_mutex_lock(&site.lock);
    for (size_t i = 0; i < PAGES && site.pages[i].path[0]; i++) {
        struct page *p = &site.pages[i];
        size_t n = strlen(p->path);
        if (strncmp(p->path, path, n) == 0 && (path[n] == '\0' || path[n] == '/') &&
            (!best || n > strlen(best->path)))
            best = p;
    }
    if (best) {
        best->asked++;
        best->posted += post;
        *out = *best;
        out->bytes = malloc(best->n + 1);
        if (best->n > 0)
            memcpy(out->bytes, best->bytes, best->n);
    }
    pthread_mutex_unlock(&site.lock);
    return best != NULL;
}

static inline void
site_wait(unsigned ms)
{
    for (unsigned passed = 0; passed < ms && !site.stop; passed += 20)
        fetch_server_pause(20);
}

static inline void
site_answer(int fd, const struct page *page, bool post)
{
    struct linger reset = { .l_onoff = 1, .l_linger = 0 };
    char head[200], piece[16384];

    switch (page->manner) {
    case MISSING:
        fetch_server_say(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        return;
    case BROKEN:
        fetch_server_say(fd, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
        return;
    case SILENT:
        site_wait(60000);
        return;
    case DRIPPING:
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        for (int i = 0; i < 60 && !site.stop && fetch_server_say(fd, "0"); i++)
            site_wait(1000);
        return;
    case RESETTING:
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0");
        fetch_server_pause(30);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        return;
    case HUGE_BODY:
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\n\r\n"); /* to the end of the connection */
        memset(piece, '0', sizeof piece);
        for (int i = 0; i < 12800 && !site.stop; i++)
            if (!fetch_server_send(fd, piece, sizeof piece))
                return;
        return;
    case POST_ONLY:
        if (!post) {
            fetch_server_say(fd, "HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        break;
    case LATE:
        site_wait(400);
        break;
    case WELL:
        break;
    }
    snprintf(head, sizeof head,
             "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", page->n);
    if (fetch_server_say(fd, head))
        fetch_server_send(fd, (const char *)page->bytes, page->n);
}

static inline void *
site_converse(void *context)
{
    int fd = (int)(intptr_t)context;
    char request[8192], path[2048] = "", *body;
    size_t n = 0, length = 0;
    struct page page;

    while (n < sizeof request - 1 && !site.stop) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t got;
        if (poll(&p, 1, 50) == 0)
            continue;
        if ((got = recv(fd, request + n, sizeof request - 1 - n, 0)) <= 0)
            break;
        n += (size_t)got;
        request[n] = '\0';
        if (!(body = strstr(request, "\r\n\r\n")))
            continue;
        if ((body = strcasestr(request, "Content-Length:")))
            length = strtoul(body + 15, NULL, 10);
        if (n < (size_t)(strstr(request, "\r\n\r\n") - request) + 4 + length)
            continue;
        site.requests++;
        if (sscanf(request, "%*s %2047s", path) == 1 &&
            page_find(path, strncmp(request, "POST", 4) == 0, &page)) {
            site_answer(fd, &page, strncmp(request, "POST", 4) == 0);
            free(page.bytes);
        }
        break;
    }
    close(fd);
    site.connections--;
    return NULL;
}

static inline void *
site_accept(void *unused)
{
    while (!site.stop) {
        struct pollfd p = { .fd = site.fd, .events = POLLIN };
        pthread_t thread;
        int fd;
        if (poll(&p, 1, 20) <= 0 || (fd = accept(site.fd, NULL, NULL)) < 0)
            continue;
        site.connections++;
        if (pthread_create(&thread, NULL, site_converse, (void *)(intptr_t)fd) != 0)
            abort();
        pthread_detach(thread);
    }
    return unused;
}

static inline void
site_start(void)
{
    site.stop = false;
    site.port = 0;
    site.requests = 0;
    site.fd = fetch_server_listen(AF_INET, 256, &site.port);
    assert_true(site.fd >= 0);
    assert_int_equal(pthread_create(&site.thread, NULL, site_accept, NULL), 0);
}

static inline void
site_stop(void)
{
    site.stop = true;
    pthread_join(site.thread, NULL);
    while (site.connections > 0)
        fetch_server_pause(10);
    close(site.fd);
    for (size_t i = 0; i < PAGES; i++)
        free(site.pages[i].bytes);
    memset(site.pages, 0, sizeof site.pages);
}

static inline const char *
url_of(const char *path)
{
    static _Thread_local char text[4][512];
    static _Thread_local unsigned next;
    char *out = text[next++ % 4];

    snprintf(out, sizeof text[0], "http://127.0.0.1:%u%s", site.port, path);
    return out;
}

/* ---- CRLs --------------------------------------------------------------------------------------
 */

static inline void
serve_crl(const char *path, const struct testca *by, const struct testca_crl_args *args)
{
    X509_CRL *crl = testca_crl(by, args);
    unsigned char *der = NULL;
    int n = i2d_X509_CRL(crl, &der);

    TESTCA_MUST(n > 0);
    serve(path, WELL, der, (size_t)n);
    OPENSSL_free(der);
    X509_CRL_free(crl);
}

static inline long
number_of(X509_CRL *crl)
{
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    long value = number ? ASN1_INTEGER_get(number) : -1;

    ASN1_INTEGER_free(number);
    return value;
}

/* ---- evidence ----------------------------------------------------------------------------------
 */

static inline struct pki_fetch *
fetch_new(void)
{
    struct pki_fetch_exception loopback = { .port = 0 };
    struct pki_fetch_args args = {
        .exceptions = &loopback,
        .exception_count = 1,
        .ports = PKI_FETCH_PORTS_ANY,
        .connect_ms = CONNECT_MS,
        .total_ms = TOTAL_MS,
        .backoff_first_s = 1,
        .backoff_most_s = 1,
    };
    struct pki_fetch *fetch = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(network_parse("127.0.0.0/8", &loopback.network, &err), ERR_OK);
    assert_int_equal(pki_fetch_new(&args, &fetch, &err), ERR_OK);
    return fetch;
}

static inline struct pki_evidence *
evidence_of(struct pki_evidence_args args)
{
    struct pki_evidence *evidence = NULL;
    struct err err = ERR_INIT;

    if (!args.fetch)
        args.fetch = fetch_new();
    if (!args.fetch_ms)
        args.fetch_ms = TOTAL_MS;
    assert_int_equal(pki_evidence_new(&args, &evidence, &err), ERR_OK);
    return evidence;
}

static inline struct pki_fetch_budget
budget_of(unsigned ms)
{
    struct pki_fetch_budget budget;

    pki_fetch_budget_init(&budget, ms, 32, 128 << 20);
    return budget;
}

static inline uint64_t
waited(struct pki_evidence *evidence)
{
    struct pki_evidence_stats stats;

    pki_evidence_get_stats(evidence, &stats);
    return stats.waited;
}

static inline uint64_t
exchanges(struct pki_evidence *evidence)
{
    struct pki_evidence_stats stats;

    pki_evidence_get_stats(evidence, &stats);
    return stats.fetch.exchanges;
}

/* What a question for a CRL brought. */
struct got {
    enum err_code code;
    X509_CRL *crl;
    long number; /* -1: none */
    struct pki_evidence_origin origin;
    struct err err;
};

static inline struct got
get_crl_of(struct pki_evidence *evidence, const char *url, const struct testca *by,
           struct pki_fetch_budget *budget)
{
    struct pki_certificate *issuer = testca_certificate(by->x509);
    struct pki_evidence_crl_question question = { .url = span_str(url),
                                                  .issuer = issuer,
                                                  .budget = budget };
    struct got got = { .number = -1, .err = ERR_INIT };

    got.code = pki_evidence_get_crl(evidence, &question, &got.crl, &got.origin, &got.err);
    assert_true((got.code == ERR_OK) == (got.crl != NULL));
    assert_int_equal(got.err.code, got.code);
    assert_int_equal(ERR_peek_error(), 0);
    if (got.crl)
        got.number = number_of(got.crl);
    X509_CRL_free(got.crl);
    pki_certificate_free(&issuer);
    return got;
}

/* By the authority `ca`, with a budget of its own. */
static inline struct got
get_crl(struct pki_evidence *evidence, const char *path)
{
    struct pki_fetch_budget budget = budget_of(5000);

    return get_crl_of(evidence, url_of(path), &ca, &budget);
}

static inline struct got
get_held(struct pki_evidence *evidence, const char *path)
{
    return get_crl_of(evidence, url_of(path), &ca, NULL);
}

static inline int
world_setup(void **state)
{
    log_init(&(struct log_args){ .sink = LOG_SINK_NONE });
    setup(state);
    site_start();
    return 0;
}

static inline int
world_teardown(void **state)
{
    site_stop();
    clock_set_s(0);
    return teardown(state);
}

#endif
