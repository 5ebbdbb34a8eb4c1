/*
 * The life of a question. start: kept and in time? Then the ticket is its finding. Is there a job
 * for it? Then the ticket is one more reference to that job. Else a new job goes to the end of
 * `waiting`, and one more task to the pool. A task takes as many waiting jobs as a batch holds,
 * asks the directories about all of them at once, keeps the first and gives the others to the pool
 * again, one task each: a batch shares the question, never the judgement, which may wait for a
 * network.
 *
 * A ticket is a job. A finding that was kept is a job that is done already.
 */
#include "flow/resolve.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "flow/kept.h"
#include "util/clock.h"
#include "util/pool.h"

/* Running out of memory is an error like any other, not the end of the process. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(item) ((item)->broken = true)
#include <uthash.h>

struct flow_resolve_ticket {
    struct flow_resolve *resolve;          /* borrowed: its snapshot outlives the ticket */
    struct flow_services *services;        /* a reference, until the job is done */
    struct flow_finding_question question; /* points into `key` and `texts` */
    struct flow_finding *finding;          /* a reference, once it is done without an error */
    struct err err;
    unsigned references, waiters; /* all that hold it; messages that still want it */
    bool wanted;                  /* a message ran out of time: its retry will ask again */
    bool done, begun, listed;     /* listed: in `jobs` */
    struct directory_found found;
    bool has_found;
    struct flow_resolve_ticket *next; /* in `waiting` */
    pthread_cond_t changed;
    bool broken;
    UT_hash_handle hh;
    char *texts;
    char key[];
};

struct flow_resolve {
    pthread_mutex_t lock;
    struct flow_kept kept;
    struct flow_resolve_ticket *jobs; /* not done */
    struct flow_resolve_ticket *waiting, **waiting_end;
    struct flow_resolve_facts facts;
};

/* The pool is the process's: set before the first message, taken away after the last. */
static struct pool *resolve_pool;

enum err_code
flow_resolve_init(unsigned threads, size_t queue, struct err *err)
{
    return pool_new(&(struct pool_args){ .threads = threads, .queue = queue }, &resolve_pool, err);
}

void
flow_resolve_deinit(void)
{
    pool_free(&resolve_pool);
}

static enum err_code
no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory to look somebody up");
}

/* ---- jobs -------------------------------------------------------------------------------------
 */

static void
ticket_unref(struct flow_resolve_ticket *ticket)
{
    if (--ticket->references > 0)
        return;
    flow_finding_free(&ticket->finding);
    directory_entry_free(&ticket->found.entry);
    pthread_cond_destroy(&ticket->changed);
    free(ticket->texts);
    free(ticket);
}

/* What tells questions apart. The sender only chooses trust sets of members. */
static char *
question_key(const struct flow_finding_question *question)
{
    char *key = NULL;

    if (asprintf(&key, "%c%s\n%s",
                 question->key       ? 'k'
                 : question->members ? 'm'
                 : question->expand  ? 'x'
                                     : 'r',
                 question->trust, question->address) < 0)
        return NULL;
    return key;
}

static struct flow_resolve_ticket *
ticket_new(struct flow_services *services, const struct flow_finding_question *question,
           const char *key)
{
    size_t n = strlen(key), address = strlen(question->address) + 1;
    size_t trust = strlen(question->trust) + 1;
    const char *sender = question->sender ? question->sender : "";
    struct flow_resolve_ticket *ticket = calloc(1, sizeof *ticket + n + 1);
    char *texts = malloc(address + trust + strlen(sender) + 1);
    pthread_condattr_t attributes;

    if (!ticket || !texts) {
        free(ticket);
        free(texts);
        return NULL;
    }
    memcpy(ticket->key, key, n + 1);
    ticket->texts = texts;
    ticket->question = *question;
    ticket->question.address = memcpy(texts, question->address, address);
    ticket->question.trust = memcpy(texts + address, question->trust, trust);
    ticket->question.sender = strcpy(texts + address + trust, sender);
    ticket->resolve = services->resolve;
    ticket->references = ticket->waiters = 1;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&ticket->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return ticket;
}

/* The job's end: everybody is told, and what the job held is given back. */
static void
job_finish(struct flow_resolve_ticket *job, struct flow_finding *finding, const struct err *err)
{
    struct flow_resolve *resolve = job->resolve;
    struct flow_services *services = job->services;

    pthread_mutex_lock(&resolve->lock);
    if (finding)
        flow_kept_set(&resolve->kept, job->key, finding);
    job->finding = finding;
    job->err = *err;
    job->done = true;
    job->services = NULL;
    if (job->listed)
        HASH_DEL(resolve->jobs, job);
    job->listed = false;
    pthread_cond_broadcast(&job->changed);
    ticket_unref(job);
    pthread_mutex_unlock(&resolve->lock);
    /* The last reference to a snapshot frees it, and this resolver with it. */
    flow_services_free(&services);
}

static void
job_run(struct flow_resolve_ticket *job)
{
    struct flow_finding *finding = NULL;
    struct err err = ERR_INIT;

    if (flow_finding_load(job->services, &job->question, job->has_found ? &job->found : NULL,
                          &finding, &err) != ERR_OK)
        finding = NULL; /* err says why */
    job_finish(job, finding, &err);
}

static void
job_task(void *context, bool run)
{
    struct flow_resolve_ticket *job = context;
    struct err err = ERR_INIT;

    if (run) {
        job_run(job);
        return;
    }
    err_set_reason(&err, ERR_TEMP, "busy", "smimed is ending");
    job_finish(job, NULL, &err);
}

/* ---- batches ----------------------------------------------------------------------------------
 */

/* The next jobs of `waiting`; those that nobody wants any more are set aside in *dropped. */
static size_t
batch_take(struct flow_resolve *resolve, struct flow_resolve_ticket **jobs,
           struct flow_resolve_ticket **dropped)
{
    size_t count = 0;

    pthread_mutex_lock(&resolve->lock);
    while (resolve->waiting && count < FLOW_RESOLVE_BATCH) {
        struct flow_resolve_ticket *job = resolve->waiting;

        resolve->waiting = job->next;
        job->next = NULL;
        if (job->waiters == 0 && !job->wanted) {
            resolve->facts.dropped++;
            job->next = *dropped;
            *dropped = job;
            if (job->listed)
                HASH_DEL(resolve->jobs, job);
            job->listed = false;
            continue;
        }
        job->begun = true;
        jobs[count++] = job;
    }
    if (!resolve->waiting)
        resolve->waiting_end = &resolve->waiting;
    pthread_mutex_unlock(&resolve->lock);
    return count;
}

/* One question for all of a batch whose answer is not held here. If it cannot be asked, each job
 * finds that out for itself. */
static void
batch_find(struct flow_services *services, struct flow_resolve_ticket **jobs, size_t count)
{
    const char *addresses[FLOW_RESOLVE_BATCH];
    size_t index[FLOW_RESOLVE_BATCH], asked = 0;
    struct directory_found found[FLOW_RESOLVE_BATCH] = { { .entry = NULL } };
    struct err err = ERR_INIT;

    for (size_t i = 0; i < count; i++) {
        bool members = jobs[i]->question.members;

        if (jobs[i]->question.key || (members && flow_finding_is_dn(jobs[i]->question.address)) ||
            (!members && !jobs[i]->question.expand &&
             directory_lookup_holds(services->lookup, jobs[i]->question.address)))
            continue;
        addresses[asked] = jobs[i]->question.address;
        index[asked++] = i;
    }
    if (asked < 2 ||
        directory_lookup_find(services->lookup, addresses, asked,
                              clock_monotonic_ms() + services->conf->global.facts_timeout, found,
                              &err) != ERR_OK)
        return;
    for (size_t i = 0; i < asked; i++) {
        jobs[index[i]]->found = found[i];
        jobs[index[i]]->has_found = true;
    }
    pthread_mutex_lock(&services->resolve->lock);
    services->resolve->facts.batches++;
    pthread_mutex_unlock(&services->resolve->lock);
}

/* A task of the pool. `context` is a reference to the snapshot. */
static void
batch_task(void *context, bool run)
{
    struct flow_services *services = context;
    struct flow_resolve *resolve = services->resolve;
    struct flow_resolve_ticket *jobs[FLOW_RESOLVE_BATCH], *dropped = NULL;
    size_t count = batch_take(resolve, jobs, &dropped);
    struct err nobody = ERR_INIT;

    err_set_reason(&nobody, ERR_TEMP, "busy", run ? "nobody waits for it" : "smimed is ending");
    while (dropped) {
        struct flow_resolve_ticket *job = dropped;

        dropped = job->next;
        job_finish(job, NULL, &nobody);
    }
    if (run)
        batch_find(services, jobs, count);
    for (size_t i = count; i > 0; i--) {
        struct err busy = ERR_INIT;

        if (!run)
            job_finish(jobs[i - 1], NULL, &nobody);
        else if (i == 1 || pool_submit(resolve_pool, job_task, jobs[i - 1], &busy) != ERR_OK)
            job_run(jobs[i - 1]);
    }
    flow_services_free(&services);
}

/* ---- asking -----------------------------------------------------------------------------------
 */

/* What is there already: kept, or under way. NULL: a new job is needed, and it is listed. */
static struct flow_resolve_ticket *
resolve_join(struct flow_resolve *resolve, struct flow_resolve_ticket *job)
{
    struct flow_resolve_ticket *other;

    job->finding = flow_kept_find(&resolve->kept, job->key);
    if (job->finding) {
        resolve->facts.hits++;
        job->done = true;
        return job;
    }
    HASH_FIND(hh, resolve->jobs, job->key, strlen(job->key), other);
    if (other) {
        resolve->facts.shared++;
        other->references++;
        other->waiters++;
        return other;
    }
    resolve->facts.misses++;
    HASH_ADD(hh, resolve->jobs, key, strlen(job->key), job);
    job->listed = !job->broken; /* not shared, then */
    job->references++;          /* the worker's */
    return NULL;
}

/* The pool would not take one more task. Unless a task that waits already has taken the job, it is
 * taken back, for all who share it. */
static enum err_code
resolve_take_back(struct flow_resolve *resolve, struct flow_resolve_ticket *job, struct err *err)
{
    struct flow_resolve_ticket **at;
    bool begun;

    pthread_mutex_lock(&resolve->lock);
    begun = job->begun;
    for (at = &resolve->waiting; !begun && *at; at = &(*at)->next) {
        if (*at != job)
            continue;
        *at = job->next;
        if (!*at)
            resolve->waiting_end = at;
        break;
    }
    pthread_mutex_unlock(&resolve->lock);
    if (begun) {
        err_reset(err);
        return ERR_OK;
    }
    job_finish(job, NULL, err);
    return err->code;
}

/* To the pool; without one, here and now. */
static enum err_code
resolve_submit(struct flow_services *services, struct flow_resolve_ticket *job, struct err *err)
{
    struct flow_resolve *resolve = services->resolve;
    struct flow_services *task = NULL;

    job->services = flow_services_add1(services);
    if (!resolve_pool) {
        job->begun = true;
        job_run(job);
        return ERR_OK;
    }
    task = flow_services_add1(services);
    pthread_mutex_lock(&resolve->lock);
    *resolve->waiting_end = job;
    resolve->waiting_end = &job->next;
    pthread_mutex_unlock(&resolve->lock);
    if (pool_submit(resolve_pool, batch_task, task, err) == ERR_OK)
        return ERR_OK;
    flow_services_free(&task);
    return resolve_take_back(resolve, job, err);
}

enum err_code
flow_resolve_start(struct flow_services *services, const struct flow_finding_question *question,
                   struct flow_resolve_ticket **out, struct err *err)
{
    struct flow_resolve *resolve = services->resolve;
    char *key = question_key(question);
    struct flow_resolve_ticket *job = key ? ticket_new(services, question, key) : NULL, *other;

    *out = NULL;
    free(key);
    if (!job)
        return no_memory(err);
    pthread_mutex_lock(&resolve->lock);
    other = resolve_join(resolve, job);
    if (other && other != job)
        ticket_unref(job);
    pthread_mutex_unlock(&resolve->lock);
    if (!other && resolve_submit(services, job, err) != ERR_OK) {
        flow_resolve_free_ticket(&job);
        return err->code;
    }
    *out = other ? other : job;
    return ERR_OK;
}

bool
flow_resolve_is(const struct flow_resolve_ticket *ticket,
                const struct flow_finding_question *question)
{
    const struct flow_finding_question *mine = &ticket->question;

    return mine->key == question->key && mine->expand == question->expand &&
           mine->members == question->members && strcmp(mine->trust, question->trust) == 0 &&
           strcmp(mine->address, question->address) == 0;
}

enum err_code
flow_resolve_wait(struct flow_resolve_ticket *ticket, int64_t deadline_ms,
                  const struct flow_finding **out, struct err *err)
{
    const struct timespec deadline = { .tv_sec = deadline_ms / 1000,
                                       .tv_nsec = deadline_ms % 1000 * 1000000 };
    struct flow_resolve *resolve = ticket->resolve;
    bool late = false;

    *out = NULL;
    pthread_mutex_lock(&resolve->lock);
    while (!ticket->done && !late)
        late = pthread_cond_timedwait(&ticket->changed, &resolve->lock, &deadline) == ETIMEDOUT;
    late = !ticket->done;
    ticket->wanted |= late;
    pthread_mutex_unlock(&resolve->lock);
    if (late)
        return err_set_reason(err, ERR_TEMP, "deadline",
                              "finding out about %.200s took too long; try again later",
                              ticket->question.address);
    if (!ticket->finding)
        return err_set_reason(err, ticket->err.code, ticket->err.reason, "%s", ticket->err.text);
    *out = ticket->finding;
    return ERR_OK;
}

void
flow_resolve_free_ticket(struct flow_resolve_ticket **ticket)
{
    struct flow_resolve_ticket *old = ticket ? *ticket : NULL;
    struct flow_resolve *resolve;

    if (!old)
        return;
    *ticket = NULL;
    resolve = old->resolve;
    pthread_mutex_lock(&resolve->lock);
    old->waiters--;
    ticket_unref(old);
    pthread_mutex_unlock(&resolve->lock);
}

/* ---- the resolver -----------------------------------------------------------------------------
 */

enum err_code
flow_resolve_new(const struct conf_global *global, struct flow_resolve **out, struct err *err)
{
    struct flow_resolve *resolve = calloc(1, sizeof *resolve);

    *out = NULL;
    if (!resolve)
        return no_memory(err);
    pthread_mutex_init(&resolve->lock, NULL);
    resolve->waiting_end = &resolve->waiting;
    flow_kept_init(&resolve->kept, global);
    *out = resolve;
    return ERR_OK;
}

void
flow_resolve_free(struct flow_resolve **resolve)
{
    struct flow_resolve *old = resolve ? *resolve : NULL;

    if (!old)
        return;
    *resolve = NULL;
    flow_kept_deinit(&old->kept);
    pthread_mutex_destroy(&old->lock);
    free(old);
}

void
flow_resolve_get(struct flow_resolve *resolve, struct flow_resolve_facts *out)
{
    pthread_mutex_lock(&resolve->lock);
    *out = resolve->facts;
    out->kept = flow_kept_count(&resolve->kept);
    out->weight = resolve->kept.weight;
    pthread_mutex_unlock(&resolve->lock);
}
