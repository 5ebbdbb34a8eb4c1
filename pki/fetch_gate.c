#include "pki/fetch_gate.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

struct gate_failure {
    unsigned char *url; /* NULL: the place is free */
    size_t url_n;
    uint64_t hash;
    uint64_t used; /* tick of the last use */
    unsigned times;
    time_t since_s;
    time_t at_s;
    unsigned wait_s;
    enum err_code code;
    const char *reason;
};

struct pki_fetch_gate {
    struct pki_fetch_gate_args args;
    pthread_mutex_t lock;
    pthread_cond_t landed; /* some flight was finished */
    struct pki_fetch_flight *flights;
    struct gate_failure *failures; /* args.remembered places */
    uint64_t tick;
};

/* FNV-1a. A stranger may make two URLs with one hash; the URLs are compared. */
static uint64_t
gate_hash(struct span url)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < url.n; i++)
        hash = (hash ^ url.p[i]) * 0x100000001b3u;
    return hash;
}

/* A walk over a thousand numbers takes less than a microsecond; a fetch takes milliseconds. */
static struct gate_failure *
gate_failure_find(struct pki_fetch_gate *gate, struct span url)
{
    uint64_t hash = gate_hash(url);

    for (unsigned i = 0; i < gate->args.remembered; i++) {
        struct gate_failure *f = &gate->failures[i];
        if (f->url && f->hash == hash && span_equal(span_of(f->url, f->url_n), url)) {
            f->used = ++gate->tick;
            return f;
        }
    }
    return NULL;
}

static void
gate_failure_reset(struct gate_failure *failure)
{
    free(failure->url);
    *failure = (struct gate_failure){ .url = NULL };
}

/* A free place, or that of the least recently used. */
static struct gate_failure *
gate_failure_new(struct pki_fetch_gate *gate, struct span url)
{
    struct gate_failure *oldest = &gate->failures[0];
    unsigned char *copy = malloc(url.n + 1);

    if (!copy)
        return NULL; /* not remembered: costs a request */
    memcpy(copy, url.p, url.n);
    for (unsigned i = 0; i < gate->args.remembered; i++) {
        struct gate_failure *f = &gate->failures[i];
        if (!f->url || f->used < oldest->used)
            oldest = f;
        if (!f->url)
            break;
    }
    gate_failure_reset(oldest);
    oldest->url = copy;
    oldest->url_n = url.n;
    oldest->hash = gate_hash(url);
    oldest->used = ++gate->tick;
    oldest->since_s = clock_now_s();
    return oldest;
}

static void
gate_remember(struct pki_fetch_gate *gate, const struct pki_fetch_flight *flight)
{
    struct span url = span_of(flight->key, flight->url_n);
    struct gate_failure *failure = gate_failure_find(gate, url);
    uint64_t wait_s = gate->args.first_s;

    if (flight->code == ERR_OK) {
        if (failure)
            gate_failure_reset(failure);
        return;
    }
    if (!failure && !(failure = gate_failure_new(gate, url)))
        return;
    for (unsigned i = 0; i < failure->times && wait_s < gate->args.most_s; i++)
        wait_s *= 2;
    failure->wait_s = (unsigned)(wait_s < gate->args.most_s ? wait_s : gate->args.most_s);
    failure->times++;
    failure->at_s = clock_now_s();
    failure->code = flight->code;
    failure->reason = flight->err.reason;
}

/* Seconds that the URL is still held back. A clock that was set back ends the wait. */
static unsigned
gate_wait_s(const struct gate_failure *failure)
{
    time_t passed = clock_now_s() - failure->at_s;

    if (passed < 0 || passed >= (time_t)failure->wait_s)
        return 0;
    return failure->wait_s - (unsigned)passed;
}

enum err_code
pki_fetch_gate_new(const struct pki_fetch_gate_args *args, struct pki_fetch_gate **out,
                   struct err *err)
{
    struct pki_fetch_gate *gate = calloc(1, sizeof *gate);
    pthread_condattr_t monotonic;

    *out = NULL;
    if (!gate)
        return err_set(err, ERR_NOMEM, "no memory for the gate of fetches");
    gate->args = *args;
    gate->args.remembered = args->remembered ? args->remembered : 1;
    gate->failures = calloc(gate->args.remembered, sizeof *gate->failures);
    if (!gate->failures) {
        free(gate);
        return err_set(err, ERR_NOMEM, "no memory for the gate of fetches");
    }
    /* None of these can fail on Linux with these arguments. */
    pthread_mutex_init(&gate->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&gate->landed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *out = gate;
    return ERR_OK;
}

void
pki_fetch_gate_free(struct pki_fetch_gate **gate)
{
    if (!gate || !*gate)
        return;
    for (unsigned i = 0; i < (*gate)->args.remembered; i++)
        free((*gate)->failures[i].url);
    free((*gate)->failures);
    pthread_cond_destroy(&(*gate)->landed);
    pthread_mutex_destroy(&(*gate)->lock);
    free(*gate);
    *gate = NULL;
}

static struct pki_fetch_flight *
gate_flight_find(struct pki_fetch_gate *gate, const struct pki_fetch_gate_key *key)
{
    for (struct pki_fetch_flight *f = gate->flights; f; f = f->next)
        if (f->key_n == key->url.n + key->rest.n &&
            span_equal(span_of(f->key, key->url.n), key->url) &&
            span_equal(span_of(f->key + key->url.n, key->rest.n), key->rest))
            return f;
    return NULL;
}

static struct pki_fetch_flight *
gate_flight_new(struct pki_fetch_gate *gate, const struct pki_fetch_gate_key *key)
{
    struct pki_fetch_flight *flight = calloc(1, sizeof *flight);

    if (!flight || !(flight->key = malloc(key->url.n + key->rest.n + 1))) {
        free(flight);
        return NULL;
    }
    memcpy(flight->key, key->url.p, key->url.n);
    if (key->rest.n > 0)
        memcpy(flight->key + key->url.n, key->rest.p, key->rest.n);
    flight->key_n = key->url.n + key->rest.n;
    flight->url_n = key->url.n;
    flight->refs = 1;
    flight->code = ERR_BUG;
    flight->next = gate->flights;
    gate->flights = flight;
    return flight;
}

/* Gives back one hold; the lock is held. */
static void
gate_flight_release(struct pki_fetch_flight **flight)
{
    if (--(*flight)->refs == 0) {
        buf_free(&(*flight)->body);
        free((*flight)->key);
        free(*flight);
    }
    *flight = NULL;
}

/* Waits until the flight has landed; false: the deadline came first. The lock is held. */
static bool
gate_flight_wait(struct pki_fetch_gate *gate, const struct pki_fetch_flight *flight,
                 int64_t deadline_ms)
{
    struct timespec until = { .tv_sec = deadline_ms / 1000,
                              .tv_nsec = deadline_ms % 1000 * 1000000 };

    while (!flight->is_done)
        if (pthread_cond_timedwait(&gate->landed, &gate->lock, &until) == ETIMEDOUT)
            return flight->is_done;
    return true;
}

static enum pki_fetch_turn
gate_get(struct pki_fetch_gate *gate, const struct pki_fetch_gate_key *key, int64_t deadline_ms,
         struct pki_fetch_flight **out, struct err *err)
{
    struct gate_failure *failure;
    unsigned wait_s;

    while ((*out = gate_flight_find(gate, key))) {
        (*out)->refs++;
        if (!gate_flight_wait(gate, *out, deadline_ms)) {
            gate_flight_release(out);
            err_set_reason(err, ERR_TEMP, "fetch-timeout",
                           "another thread fetches it and was not done in time");
            return PKI_FETCH_TURN_NONE;
        }
        if (!(*out)->is_void)
            return PKI_FETCH_TURN_SHARED;
        gate_flight_release(out);
    }
    if ((failure = gate_failure_find(gate, key->url)) && (wait_s = gate_wait_s(failure)) > 0) {
        err_set_reason(err, failure->code, failure->reason,
                       "failed %u times, is asked again in %u s", failure->times, wait_s);
        return PKI_FETCH_TURN_HELD;
    }
    if (!(*out = gate_flight_new(gate, key))) {
        err_set(err, ERR_NOMEM, "no memory for a fetch");
        return PKI_FETCH_TURN_NONE;
    }
    return PKI_FETCH_TURN_LEAD;
}

enum pki_fetch_turn
pki_fetch_gate_get(struct pki_fetch_gate *gate, const struct pki_fetch_gate_key *key,
                   int64_t deadline_ms, struct pki_fetch_flight **out, struct err *err)
{
    enum pki_fetch_turn turn;

    pthread_mutex_lock(&gate->lock);
    turn = gate_get(gate, key, deadline_ms, out, err);
    pthread_mutex_unlock(&gate->lock);
    return turn;
}

void
pki_fetch_gate_finish(struct pki_fetch_gate *gate, struct pki_fetch_flight *flight, bool own)
{
    pthread_mutex_lock(&gate->lock);
    for (struct pki_fetch_flight **p = &gate->flights; *p; p = &(*p)->next)
        if (*p == flight) {
            *p = flight->next;
            break;
        }
    flight->is_void = own;
    if (!own)
        gate_remember(gate, flight);
    flight->is_done = true;
    pthread_cond_broadcast(&gate->landed);
    pthread_mutex_unlock(&gate->lock);
}

bool
pki_fetch_gate_is_last(struct pki_fetch_gate *gate, const struct pki_fetch_flight *flight)
{
    bool last;

    /* Off the list no new one can find it. */
    pthread_mutex_lock(&gate->lock);
    last = flight->is_done && flight->refs == 1;
    pthread_mutex_unlock(&gate->lock);
    return last;
}

void
pki_fetch_gate_reset(struct pki_fetch_gate *gate, struct pki_fetch_flight **flight)
{
    pthread_mutex_lock(&gate->lock);
    if (*flight)
        gate_flight_release(flight);
    pthread_mutex_unlock(&gate->lock);
}

time_t
pki_fetch_gate_find(struct pki_fetch_gate *gate, struct span url)
{
    struct gate_failure *failure;
    time_t since = 0;

    pthread_mutex_lock(&gate->lock);
    if ((failure = gate_failure_find(gate, url)))
        since = failure->since_s;
    pthread_mutex_unlock(&gate->lock);
    return since;
}
