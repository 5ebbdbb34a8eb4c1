#include "pki/evidence.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pki/crypto.h"
#include "pki/evidence_ask.h"
#include "pki/evidence_parse.h"
#include "pki/refresh.h"
#include "util/clock.h"

enum {
    DAY_S = 24 * 3600,
    LIMIT_BYTES = 256 << 20,
    LIFE_S = 7 * DAY_S,
    OCSP_LIFE_S = DAY_S,
    REFRESH_S = 10,
    FETCH_MS = 60000,
};

/* ---- its life ----------------------------------------------------------------------------------
 */

static void
fill_defaults(struct pki_evidence_args *args)
{
    args->limit_bytes = args->limit_bytes ? args->limit_bytes : (size_t)LIMIT_BYTES;
    args->crl_life_s = args->crl_life_s ? args->crl_life_s : LIFE_S;
    args->ocsp_life_s = args->ocsp_life_s ? args->ocsp_life_s : OCSP_LIFE_S;
    args->issuer_life_s = args->issuer_life_s ? args->issuer_life_s : LIFE_S;
    args->refresh_s = args->refresh_s ? args->refresh_s : REFRESH_S;
    args->idle_s = args->idle_s ? args->idle_s : DAY_S;
    args->fetch_ms = args->fetch_ms ? args->fetch_ms : FETCH_MS;
}

enum err_code
pki_evidence_new(const struct pki_evidence_args *args, struct pki_evidence **out, struct err *err)
{
    struct pki_evidence *evidence = calloc(1, sizeof *evidence);
    pthread_condattr_t monotonic;

    *out = NULL;
    pki_crypto_reset();
    if (!evidence || !(evidence->digest = EVP_MD_fetch(NULL, "SHA256", NULL))) {
        free(evidence);
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for trust evidence");
    }
    evidence->args = *args;
    fill_defaults(&evidence->args);
    atomic_init(&evidence->references, 1);
    atomic_init(&evidence->stop, false);
    /* None of these can fail on Linux with these arguments. */
    pthread_mutex_init(&evidence->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&evidence->landed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *out = evidence;
    return ERR_OK;
}

struct pki_evidence *
pki_evidence_add1(struct pki_evidence *evidence)
{
    if (evidence)
        atomic_fetch_add_explicit(&evidence->references, 1, memory_order_relaxed);
    return evidence;
}

void
pki_evidence_free(struct pki_evidence **evidence)
{
    struct pki_evidence *old = evidence ? *evidence : NULL;

    if (evidence)
        *evidence = NULL;
    if (!old || atomic_fetch_sub_explicit(&old->references, 1, memory_order_acq_rel) > 1)
        return;
    atomic_store(&old->stop, true);
    if (old->args.fetch)
        pki_fetch_stop(old->args.fetch);
    pki_refresh_free(&old->refresh);
    pki_evidence_lock(old);
    while (old->newest)
        pki_evidence_held_remove(old, old->newest);
    pki_evidence_unlock(old);
    pki_fetch_free(&old->args.fetch);
    cache_free(&old->args.shared);
    pthread_cond_destroy(&old->landed);
    pthread_mutex_destroy(&old->lock);
    EVP_MD_free(old->digest);
    free(old);
}

enum err_code
pki_evidence_start(struct pki_evidence *evidence, struct err *err)
{
    struct pki_refresh *refresh = NULL;
    enum err_code code;

    pki_evidence_lock(evidence);
    code = evidence->refresh ? ERR_OK : pki_refresh_new(evidence, &refresh, err);
    if (refresh)
        evidence->refresh = refresh;
    pki_evidence_unlock(evidence);
    return code;
}

/* ---- one question ------------------------------------------------------------------------------
 */

struct question {
    struct pki_evidence_name name;
    time_t at; /* 0: now */
    struct pki_fetch_budget *budget;
    const struct pki_certificates *untrusted;
    unsigned max_age_s;
    struct pki_evidence_origin *origin;
    /* The outcome: a reference; NULL: nothing is held. */
    struct pki_evidence_object *object;
};

static bool
is_in_date(const struct pki_evidence_object *object, const struct question *question, time_t now)
{
    if (!object ||
        (question->name.kind == PKI_EVIDENCE_OCSP && object->ocsp_max_age_s != question->max_age_s))
        return false;
    return question->at ? question->at < object->end : now < object->due;
}

static void
set_origin(struct pki_evidence_origin *origin, const struct pki_evidence_item *item, time_t now)
{
    const struct pki_evidence_failure *failure = &item->failure;

    if (!origin)
        return;
    if (item->object) {
        origin->source = item->object->source;
        origin->fetched_at = item->object->fetched_at;
    }
    if (!failure->since)
        return;
    origin->unknown_since = pki_evidence_unknown_since(item, now);
    origin->reason = failure->reason;
    snprintf(origin->text, sizeof origin->text, "%s", failure->text);
}

/* Waits until whoever asks is done; the lock is held. False: the deadline came first. */
static bool
wait_landed(struct pki_evidence *evidence, const struct pki_evidence_item *item,
            int64_t deadline_ms)
{
    struct timespec until = { .tv_sec = deadline_ms / 1000,
                              .tv_nsec = deadline_ms % 1000 * 1000000 };

    while (item->is_busy)
        if (pthread_cond_timedwait(&evidence->landed, &evidence->lock, &until) == ETIMEDOUT)
            return !item->is_busy;
    return true;
}

/* Asks, with the item busy by us; the lock is held before and after. */
static void
lead(struct pki_evidence *evidence, const struct question *question, struct pki_evidence_item *item,
     struct err *err)
{
    struct pki_evidence_ask ask = {
        .item = item,
        .budget = question->budget,
        .untrusted = question->untrusted,
        .max_age_s = question->max_age_s,
    };
    enum err_code code;

    item->is_busy = true;
    pki_evidence_unlock(evidence);
    code = pki_evidence_ask(evidence, &ask, err);
    pki_evidence_lock(evidence);
    item->is_busy = false;
    pthread_cond_broadcast(&evidence->landed);
    if (code == ERR_OK || item->failure.since)
        return;
    /* Ours, and remembered by nobody. What ended by the message's budget goes on without it. */
    if (code == ERR_NOTFOUND && !item->object)
        pki_evidence_held_remove(evidence, item);
    else if (code == ERR_TEMP && evidence->refresh)
        pki_refresh_set(evidence->refresh);
}

/* May this question ask? Where it may not, it is answered from what is held. */
static bool
may_lead(const struct pki_evidence *evidence, const struct question *question,
         const struct pki_evidence_item *item, time_t now)
{
    return question->budget && !is_in_date(item->object, question, now) &&
           pki_evidence_may_ask(evidence, item, false, now);
}

/* The lock is held. Leaves in the item whatever can be known. */
static void
run(struct pki_evidence *evidence, const struct question *question, struct pki_evidence_item *item,
    struct err *err)
{
    bool is_hit = !may_lead(evidence, question, item, clock_now_s());

    item->hits += is_hit && item->object;
    evidence->hits += is_hit && item->object;
    evidence->misses += !(is_hit && item->object);
    evidence->waited += !is_hit;
    while (may_lead(evidence, question, item, clock_now_s())) {
        if (!item->is_busy) {
            lead(evidence, question, item, err);
            break;
        }
        if (!wait_landed(evidence, item, question->budget->deadline_ms)) {
            (void)err_set_reason(err, ERR_TEMP, "fetch-timeout",
                                 "another one asks for %.300s and was not done in time",
                                 item->name);
            break;
        }
    }
    item->used_at = clock_now_s();
    item->max_age_s = question->max_age_s;
}

/* `err` may hold why this very question got nothing. */
static enum err_code
answer(const struct pki_evidence_item *item, struct err *err)
{
    const struct pki_evidence_failure *failure = &item->failure;

    if (item->object) {
        err_reset(err);
        return ERR_OK;
    }
    if (failure->since) {
        err_reset(err);
        return err_set_reason(err, failure->code, failure->reason, "%s", failure->text);
    }
    return err->code ? err->code : err_set(err, ERR_NOTFOUND, "%.300s is not held", item->name);
}

static enum err_code
ask(struct pki_evidence *evidence, struct question *question, struct err *err)
{
    struct pki_evidence_item *item;
    struct err why = ERR_INIT;
    enum err_code code;

    if (question->origin)
        *question->origin = (struct pki_evidence_origin){ .source = NULL };
    if ((code = pki_evidence_name_set(evidence, &question->name, err)) != ERR_OK)
        return code;
    pki_evidence_lock(evidence);
    item = question->budget ? pki_evidence_held_new(evidence, &question->name)
                            : pki_evidence_held_find(evidence, question->name.key);
    if (!item) {
        evidence->misses++;
        pki_evidence_unlock(evidence);
        return question->budget ? err_set(err, ERR_NOMEM, "no memory for trust evidence")
                                : err_set(err, ERR_NOTFOUND, "nothing is held");
    }
    run(evidence, question, item, &why);
    question->object = pki_evidence_object_add1(item->object);
    set_origin(question->origin, item, clock_now_s());
    code = answer(item, &why);
    pki_evidence_held_reset(evidence, &item);
    pki_evidence_unlock(evidence);
    return code == ERR_OK ? ERR_OK : err_set_reason(err, code, why.reason, "%s", why.text);
}

/* ---- the three questions -----------------------------------------------------------------------
 */

enum err_code
pki_evidence_get_crl(struct pki_evidence *evidence, const struct pki_evidence_crl_question *crl,
                     X509_CRL **out, struct pki_evidence_origin *origin, struct err *err)
{
    struct question question = {
        .name = { .kind = PKI_EVIDENCE_CRL, .url = crl->url, .issuer = crl->issuer },
        .at = crl->at,
        .budget = crl->budget,
        .origin = origin,
    };
    enum err_code code = ask(evidence, &question, err);

    *out = NULL;
    if (code == ERR_OK && X509_CRL_up_ref(question.object->crl))
        *out = question.object->crl;
    pki_evidence_object_free(&question.object);
    return code == ERR_OK && !*out ? pki_crypto_fail(err, ERR_NOMEM, "no memory for a CRL") : code;
}

/* The answer as it was judged when it came in, or judged again for another time or another age. */
static enum err_code
ocsp_judge(const struct pki_evidence_ocsp_question *ocsp, const struct pki_evidence_object *object,
           struct pki_ocsp_result *result, struct err *err)
{
    struct pki_ocsp_args args = {
        .response = span_of(object->der, object->der_n),
        .certificate = ocsp->certificate,
        .issuer = ocsp->issuer,
        .untrusted = ocsp->untrusted,
        .at = ocsp->at,
        .skew_s = PKI_OCSP_SKEW_S,
        .max_age_s = ocsp->max_age_s,
        .limit_bytes = PKI_EVIDENCE_OCSP_BYTES,
    };

    if (!ocsp->at && ocsp->max_age_s == object->ocsp_max_age_s && clock_now_s() < object->end) {
        *result = object->ocsp;
        if (result->responder)
            (void)pki_certificate_add1(result->responder);
        return ERR_OK;
    }
    return pki_ocsp_check(&args, result, err);
}

enum err_code
pki_evidence_get_ocsp(struct pki_evidence *evidence, const struct pki_evidence_ocsp_question *ocsp,
                      struct pki_ocsp_result *result, struct pki_evidence_origin *origin,
                      struct err *err)
{
    struct pki_evidence_origin where;
    struct question question = {
        .name = { .kind = PKI_EVIDENCE_OCSP,
                  .certificate = ocsp->certificate,
                  .issuer = ocsp->issuer },
        .at = ocsp->at,
        .budget = ocsp->budget,
        .untrusted = ocsp->untrusted,
        .max_age_s = ocsp->max_age_s,
        .origin = &where,
    };
    enum err_code code = ask(evidence, &question, err);

    *result = (struct pki_ocsp_result){ .revocation_reason = -1 };
    if (code == ERR_OK)
        code = ocsp_judge(ocsp, question.object, result, err);
    if (code == ERR_OK && result->status == PKI_OCSP_NONE)
        code = err_set_reason(err, where.reason ? ERR_TEMP : ERR_NOTFOUND,
                              where.reason ? where.reason : result->answer.reason, "%s",
                              where.reason ? where.text : result->answer.text);
    if (origin)
        *origin = where;
    pki_evidence_object_free(&question.object);
    return code;
}

enum err_code
pki_evidence_get_issuers(struct pki_evidence *evidence, struct span url,
                         struct pki_fetch_budget *budget, struct pki_certificates *out,
                         struct pki_evidence_origin *origin, struct err *err)
{
    struct question question = {
        .name = { .kind = PKI_EVIDENCE_ISSUERS, .url = url },
        .budget = budget,
        .origin = origin,
    };
    enum err_code code = ask(evidence, &question, err);

    for (size_t i = 0; code == ERR_OK && i < question.object->issuers.count; i++)
        code = pki_certificates_add1(out, question.object->issuers.list[i], err);
    pki_evidence_object_free(&question.object);
    return code;
}
