#include "pki/refresh.h"

#include <errno.h>
#include <stdlib.h>

#include "pki/evidence_ask.h"
#include "util/clock.h"
#include "util/log.h"

enum { REFRESH_FETCHES = 32, REFRESH_BYTES = 256 << 20, NEVER = -1 };

struct pki_refresh {
    struct pki_evidence *evidence;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    uint64_t calls; /* of pki_refresh_set */
    bool stop;
    unsigned count;
    pthread_t threads[PKI_REFRESH_THREADS];
};

/* Since when it is due; NEVER: it is not. */
static time_t
due_since(const struct pki_evidence *evidence, const struct pki_evidence_item *item, time_t now,
          bool also_failed)
{
    const struct pki_evidence_failure *failure = &item->failure;

    if (item->is_busy || item->kind == PKI_EVIDENCE_RESPONDER ||
        now - item->used_at > (time_t)evidence->args.idle_s)
        return NEVER;
    if (failure->since) {
        if (!item->object && failure->times > PKI_REFRESH_UNASKED && item->used_at <= failure->at)
            return NEVER;
        if (!also_failed || !pki_evidence_may_ask(evidence, item, true, now))
            return NEVER;
        return failure->at + (time_t)failure->wait_s;
    }
    if (!item->object)
        return item->used_at;
    return item->refresh_at <= now ? item->refresh_at : NEVER;
}

/* The one that is due longest, busy and with a reference; NULL: nothing is due. */
static struct pki_evidence_item *
take(struct pki_evidence *evidence, bool also_failed)
{
    struct pki_evidence_item *item, *first = NULL;
    time_t now = clock_now_s(), since, first_since = 0;

    pki_evidence_lock(evidence);
    for (item = evidence->newest; item; item = item->older) {
        since = due_since(evidence, item, now, also_failed);
        if (since != NEVER && (!first || since < first_since)) {
            first = item;
            first_since = since;
        }
    }
    if (first) {
        first->is_busy = true;
        first->references++;
    }
    pki_evidence_unlock(evidence);
    return first;
}

static void
give(struct pki_evidence *evidence, struct pki_evidence_item *item, bool has_failed)
{
    pki_evidence_lock(evidence);
    item->is_busy = false;
    /* Our own failure, which nobody remembers: not again at once. */
    if (has_failed && item->failure.since == 0) {
        item->refresh_at = clock_now_s() + PKI_EVIDENCE_FIRST_S;
        if (!item->object)
            pki_evidence_held_remove(evidence, item);
    }
    pki_evidence_held_reset(evidence, &item);
    pthread_cond_broadcast(&evidence->landed);
    pki_evidence_unlock(evidence);
}

static bool
run_one(struct pki_evidence *evidence, bool also_failed)
{
    struct pki_evidence_item *item = take(evidence, also_failed);
    struct pki_evidence_ask ask = { .item = item, .is_refresh = true };
    struct pki_fetch_budget budget;
    struct err err = ERR_INIT;
    enum err_code code;

    if (!item)
        return false;
    /* Twice: a URL and what it leads to, a responder and the next one. */
    pki_fetch_budget_init(&budget, 2 * evidence->args.fetch_ms, REFRESH_FETCHES, REFRESH_BYTES);
    budget.total_ms = evidence->args.fetch_ms;
    ask.budget = &budget;
    ask.max_age_s = item->max_age_s;
    code = pki_evidence_ask(evidence, &ask, &err);
    if (code != ERR_OK)
        log_debug(NULL, "refresh: %s", err.text);
    give(evidence, item, code != ERR_OK);
    return true;
}

size_t
pki_refresh_run(struct pki_evidence *evidence)
{
    size_t count = 0;

    while (count < PKI_EVIDENCE_ITEMS && run_one(evidence, true))
        count++;
    return count;
}

/* ---- the threads -------------------------------------------------------------------------------
 */

/* False: the end. */
static bool
wait_next(struct pki_refresh *refresh, uint64_t *seen)
{
    int64_t until_ms = clock_monotonic_ms() + 1000 * (int64_t)refresh->evidence->args.refresh_s;
    struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000 };
    int late = 0;
    bool stop;

    pthread_mutex_lock(&refresh->lock);
    while (!refresh->stop && refresh->calls == *seen && late != ETIMEDOUT)
        late = pthread_cond_timedwait(&refresh->wake, &refresh->lock, &until);
    *seen = refresh->calls;
    stop = refresh->stop;
    pthread_mutex_unlock(&refresh->lock);
    return !stop;
}

struct worker {
    struct pki_refresh *refresh;
    bool also_failed;
};

static void *
work(void *context)
{
    struct worker worker = *(struct worker *)context;
    struct pki_evidence *evidence = worker.refresh->evidence;
    uint64_t seen = 0;

    free(context);
    do {
        while (!atomic_load(&evidence->stop) && run_one(evidence, worker.also_failed))
            ;
    } while (wait_next(worker.refresh, &seen));
    return NULL;
}

static int
worker_start(struct pki_refresh *refresh, bool also_failed)
{
    struct worker *worker = malloc(sizeof *worker);
    int code;

    if (!worker)
        return ENOMEM;
    *worker = (struct worker){ .refresh = refresh, .also_failed = also_failed };
    code = pthread_create(&refresh->threads[refresh->count], NULL, work, worker);
    if (code)
        free(worker);
    else
        refresh->count++;
    return code;
}

enum err_code
pki_refresh_new(struct pki_evidence *evidence, struct pki_refresh **out, struct err *err)
{
    struct pki_refresh *refresh = calloc(1, sizeof *refresh);
    pthread_condattr_t monotonic;
    int code = 0;

    *out = NULL;
    if (!refresh)
        return err_set(err, ERR_NOMEM, "no memory for the refresher");
    refresh->evidence = evidence;
    pthread_mutex_init(&refresh->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&refresh->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (unsigned i = 0; code == 0 && i < PKI_REFRESH_THREADS; i++)
        code = worker_start(refresh, i > 0);
    if (code) {
        pki_refresh_free(&refresh);
        return err_set_errno(err, code, "cannot start the refresher");
    }
    *out = refresh;
    return ERR_OK;
}

void
pki_refresh_set(struct pki_refresh *refresh)
{
    pthread_mutex_lock(&refresh->lock);
    refresh->calls++;
    pthread_cond_broadcast(&refresh->wake);
    pthread_mutex_unlock(&refresh->lock);
}

void
pki_refresh_free(struct pki_refresh **refresh)
{
    struct pki_refresh *old = *refresh;

    if (!old)
        return;
    pthread_mutex_lock(&old->lock);
    old->stop = true;
    pthread_cond_broadcast(&old->wake);
    pthread_mutex_unlock(&old->lock);
    for (unsigned i = 0; i < old->count; i++)
        pthread_join(old->threads[i], NULL);
    pthread_cond_destroy(&old->wake);
    pthread_mutex_destroy(&old->lock);
    free(old);
    *refresh = NULL;
}
