#include "pki/evidence_ask.h"

#include <stdio.h>
#include <string.h>

#include "pki/reason.h"
#include "util/clock.h"
#include "util/log.h"

enum { WARN_AGAIN_S = 3600 };

/* ---- what the log says -------------------------------------------------------------------------
 */

const char *
pki_evidence_kind_name(enum pki_evidence_kind kind)
{
    static const char *const names[] = { [PKI_EVIDENCE_CRL] = "crl",
                                         [PKI_EVIDENCE_OCSP] = "ocsp",
                                         [PKI_EVIDENCE_ISSUERS] = "issuers",
                                         [PKI_EVIDENCE_RESPONDER] = "responder" };

    return names[kind];
}

/* One line about an item, written after the lock was given back. */
struct remark {
    bool is_wanted, is_back;
    char key[48], text[1400];
};

static void
remark_key(struct remark *remark, const struct pki_evidence_item *item)
{
    remark->is_wanted = true;
    snprintf(remark->key, sizeof remark->key, "evidence-%02x%02x%02x%02x%02x%02x", item->key[0],
             item->key[1], item->key[2], item->key[3], item->key[4], item->key[5]);
}

/* The first failure, then when what is held runs out, then once an hour. */
static void
remark_failure(struct remark *remark, struct pki_evidence_item *item)
{
    struct pki_evidence_failure *failure = &item->failure;
    const struct pki_evidence_object *object = item->object;
    time_t now = clock_now_s();
    bool is_stale = object && object->end <= now;
    char since[PKI_TIME_SIZE], end[PKI_TIME_SIZE], held[120] = "nothing is held";

    if (failure->times > 1 && failure->warned_stale == is_stale &&
        now - failure->warned_at < WARN_AGAIN_S)
        return;
    if (object)
        snprintf(held, sizeof held, "what is held %s %s",
                 is_stale ? "is out of date since" : "is in date until",
                 pki_time_format(object->end, end));
    remark_key(remark, item);
    snprintf(remark->text, sizeof remark->text, "%s %.400s: %s: %s (failed %u times since %s; %s)",
             pki_evidence_kind_name(item->kind), item->name,
             failure->reason ? failure->reason : "failed", failure->text, failure->times,
             pki_time_format(failure->since, since), held);
    failure->warned_at = now;
    failure->warned_times = failure->times;
    failure->warned_stale = is_stale;
}

static void
remark_return(struct remark *remark, const struct pki_evidence_item *item)
{
    char since[PKI_TIME_SIZE];

    remark_key(remark, item);
    remark->is_back = true;
    snprintf(remark->text, sizeof remark->text, "%s %.400s: is back (failed %u times since %s)",
             pki_evidence_kind_name(item->kind), item->name, item->failure.times,
             pki_time_format(item->failure.since, since));
}

static void
remark_write(const struct remark *remark)
{
    if (remark->is_wanted && remark->is_back)
        log_info(NULL, "%s", remark->text);
    else if (remark->is_wanted)
        log_warn(remark->key, NULL, "%s", remark->text);
}

/* ---- keeping -----------------------------------------------------------------------------------
 */

/* It answers, but with what is out of date: kept, since the newest stale one matters, and asked for
 * again as a failure. */
static void
keep_stale(struct pki_evidence *evidence, struct pki_evidence_item *item,
           const struct pki_evidence_object *object, struct remark *remark)
{
    bool is_crl = item->kind == PKI_EVIDENCE_CRL;
    struct err why = ERR_INIT;
    char end[PKI_TIME_SIZE];

    (void)err_set_reason(&why, ERR_TEMP, is_crl ? "crl-expired" : "ocsp-expired",
                         "what the server has is out of date since %s",
                         pki_time_format(object->end, end));
    pki_evidence_fail(evidence, item, &why);
    remark_failure(remark, item);
}

/* Puts the object (taken) into the item. */
static void
keep(struct pki_evidence *evidence, const struct pki_evidence_ask *ask,
     struct pki_evidence_object *object)
{
    struct pki_evidence_item *item = ask->item;
    struct remark remark = { .is_wanted = false };

    pki_evidence_lock(evidence);
    pki_evidence_held_set(evidence, item, object);
    evidence->refreshed += ask->is_refresh;
    if (object->end <= clock_now_s()) {
        keep_stale(evidence, item, object, &remark);
    } else {
        if (item->failure.since)
            remark_return(&remark, item);
        item->failure = (struct pki_evidence_failure){ .since = 0 };
    }
    pki_evidence_unlock(evidence);
    remark_write(&remark);
}

static void
keep_failure(struct pki_evidence *evidence, const struct pki_evidence_network *network,
             const struct err *why)
{
    struct pki_evidence_item *item = network->ask->item;
    struct remark remark = { .is_wanted = false };

    pki_evidence_lock(evidence);
    pki_evidence_fail(evidence, item, why);
    /* A responder was dead before this certificate was asked about. */
    if (network->failing_since && network->failing_since < item->failure.since)
        item->failure.since = network->failing_since;
    /* A dead responder is told once, not once for each certificate. */
    if (!network->failing_since)
        remark_failure(&remark, item);
    pki_evidence_unlock(evidence);
    remark_write(&remark);
}

/* ---- asking ------------------------------------------------------------------------------------
 */

/* What is asked for must be newer than this. */
static struct pki_evidence_object *
newest(struct pki_evidence_object *held, struct pki_evidence_object *candidate)
{
    return candidate ? candidate : held;
}

/* The network, with the claim held. `candidate` (may be NULL; taken) is what the shared cache had,
 * to be believed only if nothing better comes. */
static enum err_code
ask_network(struct pki_evidence *evidence, const struct pki_evidence_ask *ask,
            struct pki_evidence_object *held, struct pki_evidence_object *candidate,
            struct err *err)
{
    struct pki_evidence_network network = { .ask = ask, .held = newest(held, candidate) };
    struct err why = ERR_INIT;
    enum err_code code = pki_evidence_network_get(evidence, &network, &why);

    if (code == ERR_OK) {
        pki_evidence_object_free(&candidate);
        if (pki_evidence_shared_is_used(evidence, ask->item))
            pki_evidence_shared_set(evidence, ask->item, network.object);
        keep(evidence, ask, network.object);
        return ERR_OK;
    }
    if (candidate)
        keep(evidence, ask, candidate);
    if (!network.is_own)
        keep_failure(evidence, &network, &why);
    (void)err_set_reason(err, code, why.reason, "%s", why.text);
    return candidate ? ERR_OK : code;
}

enum err_code
pki_evidence_ask(struct pki_evidence *evidence, struct pki_evidence_ask *ask, struct err *err)
{
    bool is_shared = pki_evidence_shared_is_used(evidence, ask->item);
    struct pki_evidence_object *held, *candidate = NULL, *other = NULL;
    struct cache_claim claim = { .token = "" };
    char text[PKI_EVIDENCE_SHARED_KEY_SIZE];
    enum err_code code;

    pki_evidence_lock(evidence);
    held = pki_evidence_object_add1(ask->item->object);
    pki_evidence_unlock(evidence);
    if (is_shared)
        candidate = pki_evidence_shared_get(evidence, ask, held);
    if (candidate && pki_evidence_shared_is_fresh(candidate)) {
        keep(evidence, ask, candidate);
        code = ERR_OK;
        goto out;
    }
    if (is_shared)
        other = pki_evidence_shared_claim(evidence, ask, newest(held, candidate), &claim);
    if (other) {
        pki_evidence_object_free(&candidate);
        keep(evidence, ask, other);
        code = ERR_OK;
    } else {
        code = ask_network(evidence, ask, held, candidate, err);
    }
    if (is_shared)
        cache_release(evidence->args.shared, pki_evidence_shared_key(ask->item, text), &claim);
out:
    pki_evidence_object_free(&held);
    return code;
}
