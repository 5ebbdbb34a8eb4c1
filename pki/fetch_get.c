#include "pki/fetch.h"

#include <stdio.h>
#include <string.h>

#include "pki/fetch_address.h"
#include "pki/fetch_exchange.h"
#include "util/clock.h"

struct get_job {
    struct pki_fetch *fetch;
    struct span url;
    struct span request; /* p NULL: GET */
    enum pki_fetch_kind kind;
    struct pki_fetch_budget *budget;
    struct buf *out;
    /* What this job may take, and whether that is less than the kind may have. */
    size_t room_bytes;
    bool is_short_of_room;
    bool is_short_of_time;
};

void
pki_fetch_budget_init(struct pki_fetch_budget *budget, unsigned total_ms, unsigned fetches,
                      uint64_t bytes)
{
    *budget = (struct pki_fetch_budget){
        .deadline_ms = clock_monotonic_ms() + total_ms,
        .fetches = fetches,
        .bytes = bytes,
    };
}

static void
get_count(struct pki_fetch *fetch, uint64_t *counter, uint64_t more)
{
    pthread_mutex_lock(&fetch->lock);
    *counter += more;
    pthread_mutex_unlock(&fetch->lock);
}

/* The URL, and the address that it may itself be. */
static enum err_code
get_parse(struct pki_fetch *fetch, struct span text, struct pki_fetch_url *out, struct err *err)
{
    const struct sockaddr *address = (const struct sockaddr *)(const void *)&out->address;
    enum err_code code =
        pki_fetch_url_parse(text, fetch->args.ports == PKI_FETCH_PORTS_ANY, out, err);
    char shown[PKI_FETCH_ADDRESS_SIZE];

    if (code != ERR_OK || address->sa_family == AF_UNSPEC ||
        pki_fetch_address_check(&fetch->args, address))
        return code;
    return err_set_reason(err, ERR_TEMP, "fetch-refused-address", "%s is never asked",
                          pki_fetch_address_format(address, shown));
}

static bool
get_is_redirect(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static enum err_code
get_judge_status(const struct pki_fetch_exchange *exchange, struct err *err)
{
    if (exchange->status == 404 || exchange->status == 410)
        return err_set_reason(err, ERR_NOTFOUND, "fetch-not-there", "the server answered %u",
                              exchange->status);
    if (exchange->status != 200)
        return err_set_reason(err, ERR_TEMP, "fetch-status", "the server answered %u",
                              exchange->status);
    if (exchange->body->n == 0)
        return err_set_reason(err, ERR_TEMP, "fetch-broken", "the answer is empty");
    return ERR_OK;
}

/* The request and up to three redirects, each target judged like the first URL. */
static enum err_code
get_follow(struct get_job *job, const struct pki_fetch_url *first, int64_t deadline_ms,
           struct buf *body, struct err *err)
{
    struct pki_fetch_url url = *first;
    struct pki_fetch_exchange exchange;
    enum err_code code;

    for (unsigned hop = 0;; hop++) {
        exchange = (struct pki_fetch_exchange){
            .fetch = job->fetch,
            .url = &url,
            .request = job->request,
            .deadline_ms = deadline_ms,
            .limit_bytes = body->limit_bytes,
            .body = body,
        };
        get_count(job->fetch, &job->fetch->counts.exchanges, 1);
        code = pki_fetch_exchange_write(&exchange, err);
        get_count(job->fetch, &job->fetch->counts.bytes, exchange.received);
        job->budget->bytes -=
            exchange.received < job->budget->bytes ? exchange.received : job->budget->bytes;
        if (code != ERR_OK)
            return code;
        if (!get_is_redirect(exchange.status))
            return get_judge_status(&exchange, err);
        if (job->request.p && exchange.status != 307 && exchange.status != 308)
            return err_set_reason(err, ERR_TEMP, "fetch-redirect",
                                  "the answer to a POST is a redirect to a GET (%u)",
                                  exchange.status);
        if (hop == PKI_FETCH_REDIRECTS)
            return err_set_reason(err, ERR_TEMP, "fetch-redirect", "more than %d redirects",
                                  PKI_FETCH_REDIRECTS);
        if (!exchange.location[0])
            return err_set_reason(err, ERR_TEMP, "fetch-redirect", "a redirect without a target");
        if ((code = get_parse(job->fetch, span_str(exchange.location), &url, err)) != ERR_OK) {
            err_prefix(err, "redirect");
            return code;
        }
    }
}

/* The leader's part: the flight is finished whatever happens. */
static void
get_lead(struct get_job *job, const struct pki_fetch_url *url, struct pki_fetch_flight *flight)
{
    const struct pki_fetch_args *args = &job->fetch->args;
    int64_t now = clock_monotonic_ms(), left_ms = job->budget->deadline_ms - now;
    int64_t total_ms = job->budget->total_ms ? job->budget->total_ms : args->total_ms;
    bool own = false;

    if (job->budget->fetches == 0) {
        flight->code = err_set_reason(&flight->err, ERR_TEMP, "fetch-budget",
                                      "the message has no fetches left");
        own = true;
    } else {
        job->budget->fetches--;
        if (left_ms > total_ms)
            left_ms = total_ms;
        /* A server that had as long as a connection may take, and was not done, is slow; one that
         * had less is not judged by it. */
        job->is_short_of_time = left_ms < total_ms && left_ms < (int64_t)args->connect_ms;
        buf_init(&flight->body, job->room_bytes);
        flight->code = get_follow(job, url, now + left_ms, &flight->body, &flight->err);
    }
    if (flight->err.reason && flight->code != ERR_OK) {
        own = own || strcmp(flight->err.reason, "fetch-busy") == 0 ||
              (job->is_short_of_time && strcmp(flight->err.reason, "fetch-timeout") == 0);
        if (job->is_short_of_room && strcmp(flight->err.reason, "fetch-too-large") == 0) {
            err_reset(&flight->err);
            flight->code =
                err_set_reason(&flight->err, ERR_TEMP, "fetch-budget",
                               "longer than the %zu octets that are left", job->room_bytes);
            own = true;
        }
    }
    pki_fetch_gate_finish(job->fetch->gate, flight, own || flight->code == ERR_NOMEM);
}

/* What the flight brought, to the caller. */
static enum err_code
get_take(struct get_job *job, struct pki_fetch_flight *flight, struct err *err)
{
    struct buf swap;

    if (flight->code != ERR_OK)
        return err_set_reason(err, flight->code, flight->err.reason, "%s", flight->err.text);
    if (flight->body.n > job->room_bytes)
        return err_set_reason(err, ERR_TEMP, "fetch-budget",
                              "longer than the %zu octets that are left", job->room_bytes);
    /* A CRL has up to 64 MiB: the last one to hold it takes it without a copy. */
    if (job->out->n > 0 || !pki_fetch_gate_is_last(job->fetch->gate, flight))
        return buf_append(job->out, buf_span(&flight->body), err);
    swap = *job->out;
    *job->out = flight->body;
    job->out->limit_bytes = swap.limit_bytes;
    flight->body = swap;
    return ERR_OK;
}

static void
get_limit(struct get_job *job)
{
    size_t kind = job->fetch->args.limit_bytes[job->kind];
    size_t room = job->out->limit_bytes - job->out->n;

    if (job->budget->bytes < room)
        room = (size_t)job->budget->bytes;
    job->is_short_of_room = room < kind;
    job->room_bytes = room < kind ? room : kind;
}

/* What failures are remembered by: a CRL under the URL of an issuer is another matter. Returns the
 * length. */
static size_t
get_format_key(enum pki_fetch_kind kind, const struct pki_fetch_url *url, char *out, size_t size)
{
    return (size_t)snprintf(out, size, "%d %s", (int)kind, url->text);
}

static enum err_code
get_ask(struct get_job *job, struct err *err)
{
    struct pki_fetch *fetch = job->fetch;
    struct pki_fetch_flight *flight = NULL;
    struct pki_fetch_url url;
    char name[sizeof url.text + 8];
    struct pki_fetch_gate_key key = { .rest = job->request };
    enum pki_fetch_turn turn;
    enum err_code code;

    if ((code = get_parse(fetch, job->url, &url, err)) != ERR_OK)
        return code;
    get_limit(job);
    if (job->room_bytes == 0)
        return err_set_reason(err, ERR_TEMP, "fetch-budget", "the message has no octets left");
    if (clock_monotonic_ms() >= job->budget->deadline_ms)
        return err_set_reason(err, ERR_TEMP, "fetch-budget", "the message has no time left");
    key.url = span_of(name, get_format_key(job->kind, &url, name, sizeof name));
    turn = pki_fetch_gate_get(fetch->gate, &key, job->budget->deadline_ms, &flight, err);
    if (turn == PKI_FETCH_TURN_HELD)
        get_count(fetch, &fetch->counts.held_back, 1);
    if (!flight)
        return err->code;
    if (turn == PKI_FETCH_TURN_LEAD) {
        get_lead(job, &url, flight);
    } else {
        get_count(fetch, &fetch->counts.shared, 1);
        job->budget->bytes -=
            flight->code == ERR_OK && flight->body.n < job->budget->bytes ? flight->body.n : 0;
    }
    code = get_take(job, flight, err);
    pki_fetch_gate_reset(fetch->gate, &flight);
    return code;
}

static enum err_code
get_run(struct get_job *job, struct err *err)
{
    struct pki_fetch_counts *counts = &job->fetch->counts;
    struct err why = ERR_INIT;
    enum err_code code = get_ask(job, &why);
    bool refused = why.reason && strncmp(why.reason, "fetch-refused-", 14) == 0;

    pthread_mutex_lock(&job->fetch->lock);
    counts->asked++;
    counts->found += code == ERR_OK;
    counts->not_there += code == ERR_NOTFOUND;
    counts->failed += code != ERR_OK && code != ERR_NOTFOUND;
    counts->refused += refused;
    pthread_mutex_unlock(&job->fetch->lock);
    if (code == ERR_OK)
        return ERR_OK;
    return err_set_reason(err, code, why.reason, "%.*s: %s",
                          (int)(job->url.n < 200 ? job->url.n : 200),
                          job->url.p ? (const char *)job->url.p : "", why.text);
}

enum err_code
pki_fetch_get(struct pki_fetch *fetch, struct span url, enum pki_fetch_kind kind,
              struct pki_fetch_budget *budget, struct buf *out, struct err *err)
{
    struct get_job job = { .fetch = fetch, .url = url, .kind = kind, .budget = budget, .out = out };

    return get_run(&job, err);
}

enum err_code
pki_fetch_post(struct pki_fetch *fetch, const struct pki_fetch_post_args *args, struct buf *out,
               struct err *err)
{
    struct get_job job = {
        .fetch = fetch,
        .url = args->url,
        .request = args->request,
        .kind = PKI_FETCH_OCSP,
        .budget = args->budget,
        .out = out,
    };

    if (!args->request.p || args->request.n == 0 || args->request.n > PKI_FETCH_REQUEST_BYTES)
        return err_set(err, ERR_LIMIT, "an OCSP request has 1 to %d octets",
                       PKI_FETCH_REQUEST_BYTES);
    return get_run(&job, err);
}

time_t
pki_fetch_get_failing_since(struct pki_fetch *fetch, struct span url, enum pki_fetch_kind kind)
{
    struct err ignored = ERR_INIT;
    struct pki_fetch_url parsed;
    char name[sizeof parsed.text + 8];

    if (get_parse(fetch, url, &parsed, &ignored) != ERR_OK)
        return 0;
    return pki_fetch_gate_find(fetch->gate,
                               span_of(name, get_format_key(kind, &parsed, name, sizeof name)));
}

void
pki_fetch_get_counts(struct pki_fetch *fetch, struct pki_fetch_counts *out)
{
    pthread_mutex_lock(&fetch->lock);
    *out = fetch->counts;
    pthread_mutex_unlock(&fetch->lock);
}
