#include "pki/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <openssl/err.h>

#include "pki/fetch_address.h"
#include "pki/fetch_exchange.h"
#include "util/clock.h"

enum {
    FETCH_HEADER_BYTES = 65536,  /* all header fields of one answer, 1xx included */
    FETCH_LOW_SPEED_BYTES = 256, /* per second, over FETCH_LOW_SPEED_S */
    FETCH_LOW_SPEED_S = 10,
};

/* libcurl's handles with their open connections. One is used by one thread at a time. */
struct pki_fetch_pool {
    pthread_mutex_t lock;
    pthread_cond_t returned;
    unsigned made, idle, most;
    CURL *handles[]; /* the idle ones */
};

enum err_code
pki_fetch_init(struct err *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, ERR_TEMP, "libcurl cannot be initialised");
    return ERR_OK;
}

void
pki_fetch_deinit(void)
{
    curl_global_cleanup();
}

struct pki_fetch_pool *
pki_fetch_pool_new(unsigned most)
{
    struct pki_fetch_pool *pool = calloc(1, sizeof *pool + most * sizeof *pool->handles);
    pthread_condattr_t monotonic;

    if (!pool)
        return NULL;
    pool->most = most;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->returned, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return pool;
}

void
pki_fetch_pool_free(struct pki_fetch_pool **pool)
{
    if (!*pool)
        return;
    for (unsigned i = 0; i < (*pool)->idle; i++)
        curl_easy_cleanup((*pool)->handles[i]);
    pthread_cond_destroy(&(*pool)->returned);
    pthread_mutex_destroy(&(*pool)->lock);
    free(*pool);
    *pool = NULL;
}

/* NULL: none until the deadline, or no memory. */
static CURL *
fetch_pool_get(struct pki_fetch_pool *pool, int64_t deadline_ms)
{
    struct timespec until = { .tv_sec = deadline_ms / 1000,
                              .tv_nsec = deadline_ms % 1000 * 1000000 };
    CURL *curl = NULL;
    int late = 0;

    pthread_mutex_lock(&pool->lock);
    while (pool->idle == 0 && pool->made == pool->most && late != ETIMEDOUT)
        late = pthread_cond_timedwait(&pool->returned, &pool->lock, &until);
    if (pool->idle > 0)
        curl = pool->handles[--pool->idle];
    else if (pool->made < pool->most && (curl = curl_easy_init()))
        pool->made++;
    pthread_mutex_unlock(&pool->lock);
    return curl;
}

static void
fetch_pool_set(struct pki_fetch_pool *pool, CURL *curl)
{
    pthread_mutex_lock(&pool->lock);
    pool->handles[pool->idle++] = curl;
    pthread_cond_signal(&pool->returned);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- what libcurl calls, on the thread of the exchange ----------------------------------------
 */

static bool
fetch_judge_address(struct pki_fetch_exchange *exchange, const struct sockaddr *address)
{
    if (pki_fetch_address_check(&exchange->fetch->args, address))
        return true;
    exchange->is_refused = true;
    pki_fetch_address_format(address, exchange->refused);
    return false;
}

static curl_socket_t
fetch_open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct pki_fetch_exchange *exchange = context;

    (void)purpose;
    /* Behind a proxy the address is the proxy's, which configuration chose. */
    if (!exchange->fetch->args.proxy && !fetch_judge_address(exchange, &address->addr))
        return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Resolving alone: every address is judged, no socket is ever opened. */
static curl_socket_t
fetch_open_nothing(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct pki_fetch_exchange *exchange = context;

    (void)purpose;
    (void)fetch_judge_address(exchange, &address->addr);
    exchange->is_ended = true;
    return CURL_SOCKET_BAD;
}

static size_t
fetch_write_body(char *p, size_t size, size_t count, void *context)
{
    struct pki_fetch_exchange *exchange = context;
    size_t n = size * count;
    struct err ignored = ERR_INIT;

    exchange->received += n;
    if (n > exchange->limit_bytes - exchange->body->n) {
        exchange->is_too_large = true;
        return 0;
    }
    if (buf_append(exchange->body, span_of(p, n), &ignored) != ERR_OK) {
        exchange->is_nomem = true;
        return 0;
    }
    return n;
}

/* libcurl asks about once a second. */
static int
fetch_check_stop(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct pki_fetch_exchange *exchange = context;

    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&exchange->fetch->stop);
}

/* The value of the field `name` if `line` is it; p NULL: another field. */
static struct span
fetch_find_value(struct span line, const char *name)
{
    size_t n = strlen(name);

    if (!span_starts_nocase(line, name) || line.n <= n || line.p[n] != ':')
        return (struct span){ .p = NULL };
    return span_trim(span_from(line, n + 1));
}

/* RFC 3986 5.2; what comes out is judged by our own parser. */
static void
fetch_resolve_location(struct pki_fetch_exchange *exchange, struct span value)
{
    CURLU *url = curl_url();
    char *target = span_dup(value), *whole = NULL;

    if (url && target && value.n <= PKI_FETCH_URL_BYTES &&
        curl_url_set(url, CURLUPART_URL, exchange->url->text, 0) == CURLUE_OK &&
        curl_url_set(url, CURLUPART_URL, target, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_URL, &whole, 0) == CURLUE_OK &&
        strlen(whole) < sizeof exchange->location)
        memcpy(exchange->location, whole, strlen(whole) + 1);
    curl_free(whole);
    free(target);
    curl_url_cleanup(url);
}

static void
fetch_parse_status(struct pki_fetch_exchange *exchange, struct span line)
{
    struct span rest = span_from(line, span_find(line, ' ') + 1);

    exchange->status = 0;
    exchange->location[0] = '\0';
    exchange->announced = 0;
    exchange->is_encoded = false;
    for (size_t i = 0; i < 3 && i < rest.n && rest.p[i] >= '0' && rest.p[i] <= '9'; i++)
        exchange->status = exchange->status * 10 + (rest.p[i] - '0');
}

/* What cannot be read as a number is libcurl's to refuse. */
static uint64_t
fetch_parse_number(struct span digits)
{
    uint64_t value = 0;

    for (size_t i = 0; i < digits.n && digits.p[i] >= '0' && digits.p[i] <= '9'; i++)
        value = value < UINT64_MAX / 20 ? value * 10 + (digits.p[i] - '0') : UINT64_MAX;
    return value;
}

/* May the body come? After the header of any answer but 200 there is nothing to wait for: the
 * transfer ends, so that an error page costs nothing, be it endless. libcurl would unpack a
 * transfer encoding of gzip even if none was asked for: that is refused here too. */
static bool
fetch_finish_header(struct pki_fetch_exchange *exchange)
{
    exchange->is_ended = exchange->status != 200;
    if (exchange->is_ended)
        return false;
    exchange->is_too_large = exchange->announced > exchange->limit_bytes;
    return !exchange->is_too_large && !exchange->is_encoded;
}

/* One line of the header at a time. */
static size_t
fetch_write_header(char *p, size_t size, size_t count, void *context)
{
    struct pki_fetch_exchange *exchange = context;
    struct span line = span_of(p, size * count), value;

    exchange->header_bytes += line.n;
    if (exchange->header_bytes > FETCH_HEADER_BYTES) {
        exchange->is_too_large = true;
        return 0;
    }
    if (span_starts_nocase(line, "HTTP/"))
        fetch_parse_status(exchange, line);
    else if ((value = fetch_find_value(line, "Location")).p && !exchange->location[0])
        fetch_resolve_location(exchange, value);
    else if ((value = fetch_find_value(line, "Content-Encoding")).p)
        exchange->is_encoded |= value.n > 0 && !span_equal_nocase(value, "identity");
    else if ((value = fetch_find_value(line, "Transfer-Encoding")).p)
        exchange->is_encoded |=
            !span_equal_nocase(value, "chunked") && !span_equal_nocase(value, "identity");
    else if ((value = fetch_find_value(line, "Content-Length")).p)
        exchange->announced = fetch_parse_number(value);
    else if (span_trim(line).n == 0 && exchange->status >= 200)
        return fetch_finish_header(exchange) ? line.n : 0;
    return line.n;
}

/* ---- one exchange ------------------------------------------------------------------------------
 */

/* Options of every transfer. The environment has no say: proxies, netrc and cookies are set off. */
static bool
fetch_set_common(CURL *curl, struct pki_fetch_exchange *exchange, long left_ms)
{
    const struct pki_fetch_args *args = &exchange->fetch->args;
    long connect_ms = left_ms < (long)args->connect_ms ? left_ms : (long)args->connect_ms;
    int bad = curl_easy_setopt(curl, CURLOPT_URL, exchange->url->text);

    bad |= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    bad |= curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    bad |= curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    bad |= curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    bad |= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    /* Without it libcurl waits for the end of a lookup that is long past its deadline. */
    bad |= curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
    bad |= curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, left_ms);
    bad |= curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    bad |= curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)FETCH_LOW_SPEED_BYTES);
    bad |= curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)FETCH_LOW_SPEED_S);
    bad |= curl_easy_setopt(curl, CURLOPT_MAXCONNECTS, 4L);
    bad |= curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, exchange);
    bad |= curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    bad |= curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, fetch_check_stop);
    bad |= curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
    bad |= curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, args->https_check ? 1L : 0L);
    bad |= curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, args->https_check ? 2L : 0L);
    return bad == 0;
}

static bool
fetch_set_request(CURL *curl, struct pki_fetch_exchange *exchange, struct curl_slist *fields)
{
    const struct pki_fetch_args *args = &exchange->fetch->args;
    int bad = curl_easy_setopt(curl, CURLOPT_PROXY, args->proxy ? args->proxy : "");

    bad |= curl_easy_setopt(curl, CURLOPT_NOPROXY, "");
    bad |= curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    bad |= curl_easy_setopt(curl, CURLOPT_USERAGENT, args->user_agent);
    bad |= curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, fetch_open_socket);
    bad |= curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, fetch_write_body);
    bad |= curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
    bad |= curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, fetch_write_header);
    bad |= curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
    if (exchange->request.p) {
        bad |= curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)exchange->request.n);
        bad |= curl_easy_setopt(curl, CURLOPT_POSTFIELDS, exchange->request.p);
        bad |= curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
    }
    return bad == 0;
}

static enum err_code
fetch_judge(const struct pki_fetch_exchange *exchange, CURLcode code, const char *why,
            struct err *err)
{
    const char *word = "fetch-broken", *text = why[0] ? why : curl_easy_strerror(code);

    if (exchange->is_nomem || code == CURLE_OUT_OF_MEMORY)
        return err_set(err, ERR_NOMEM, "no memory for what is fetched");
    if (exchange->is_encoded && exchange->status == 200)
        return err_set_reason(err, ERR_TEMP, "fetch-encoding", "an encoding not asked for");
    if (exchange->is_too_large)
        return err_set_reason(err, ERR_TEMP, "fetch-too-large", "longer than %zu octets",
                              exchange->limit_bytes);
    if (code == CURLE_OK || exchange->is_ended)
        return ERR_OK;
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return err_set_reason(err, ERR_TEMP, "fetch-busy", "fetching is being ended");
    if (exchange->is_refused)
        return err_set_reason(err, ERR_TEMP, "fetch-refused-address", "%s is never asked",
                              exchange->refused);
    if (code == CURLE_OPERATION_TIMEDOUT)
        word = "fetch-timeout";
    else if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY)
        word = "fetch-resolve";
    else if (code == CURLE_COULDNT_CONNECT)
        word = "fetch-connect";
    else if (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
             code == CURLE_SSL_CIPHER || code == CURLE_SSL_CACERT_BADFILE)
        word = "fetch-tls";
    return err_set_reason(err, ERR_TEMP, word, "%s", text);
}

/* Behind a proxy: the name's addresses are judged before the proxy hears of it. libcurl resolves,
 * since it can do so with a deadline, asks for a socket for each address, and is given none. */
static enum err_code
fetch_check_name(CURL *curl, struct pki_fetch_exchange *exchange, long left_ms, struct err *err)
{
    char why[CURL_ERROR_SIZE] = "";
    enum err_code code;
    CURLcode result;

    if (!fetch_set_common(curl, exchange, left_ms) ||
        curl_easy_setopt(curl, CURLOPT_PROXY, "") != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why) != CURLE_OK ||
        curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, fetch_open_nothing) != CURLE_OK)
        return err_set(err, ERR_NOMEM, "no memory for a fetch");
    result = curl_easy_perform(curl);
    curl_easy_reset(curl);
    if (exchange->is_refused)
        exchange->is_ended = false;
    code = fetch_judge(exchange, result, why, err);
    exchange->is_ended = false;
    return code;
}

static enum err_code
fetch_run(CURL *curl, struct pki_fetch_exchange *exchange, struct err *err)
{
    struct curl_slist *fields = curl_slist_append(NULL, "Content-Type: application/ocsp-request");
    char why[CURL_ERROR_SIZE] = "";
    const struct pki_fetch_args *args = &exchange->fetch->args;
    int64_t left_ms = exchange->deadline_ms - clock_monotonic_ms();
    enum err_code code = ERR_OK;

    if (args->proxy && !args->proxy_resolves && left_ms > 0) {
        code = fetch_check_name(curl, exchange, (long)left_ms, err);
        left_ms = exchange->deadline_ms - clock_monotonic_ms();
    }
    if (code == ERR_OK && left_ms <= 0)
        code = err_set_reason(err, ERR_TEMP, "fetch-timeout", "no time left");
    if (code != ERR_OK)
        goto out;
    /* An empty Expect: libcurl would wait a second for a 100 that old responders never send. */
    if (!fields || !curl_slist_append(fields, "Expect:") ||
        !fetch_set_common(curl, exchange, (long)left_ms) ||
        !fetch_set_request(curl, exchange, fields) ||
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why) != CURLE_OK)
        code = err_set(err, ERR_NOMEM, "no memory for a fetch");
    else
        code = fetch_judge(exchange, curl_easy_perform(curl), why, err);
out:
    curl_easy_reset(curl); /* what it points to goes now; its connections stay */
    curl_slist_free_all(fields);
    return code;
}

enum err_code
pki_fetch_exchange_write(struct pki_fetch_exchange *exchange, struct err *err)
{
    CURL *curl = NULL;
    enum err_code code;

    if (!atomic_load(&exchange->fetch->stop))
        curl = fetch_pool_get(exchange->fetch->pool, exchange->deadline_ms);
    if (!curl)
        return err_set_reason(err, ERR_TEMP, "fetch-busy", "%u fetches are under way",
                              exchange->fetch->args.transfers);
    code = fetch_run(curl, exchange, err);
    fetch_pool_set(exchange->fetch->pool, curl);
    /* libcurl's TLS may leave errors in OpenSSL's queue of this thread. */
    ERR_clear_error();
    return code;
}
