#include <stdio.h>
#include <string.h>
#include <time.h>

#include "pki/crl.h"
#include "pki/evidence_ask.h"
#include "pki/evidence_parse.h"
#include "util/clock.h"
#include "util/log.h"

enum { POLL_FIRST_MS = 10, POLL_MOST_MS = 200, ISSUERS_BYTES = 1 << 20 };

struct span
pki_evidence_shared_key(const struct pki_evidence_item *item,
                        char out[PKI_EVIDENCE_SHARED_KEY_SIZE])
{
    static const char *const kinds[] = { [PKI_EVIDENCE_CRL] = "crl:",
                                         [PKI_EVIDENCE_OCSP] = "ocsp:",
                                         [PKI_EVIDENCE_ISSUERS] = "aia:",
                                         [PKI_EVIDENCE_RESPONDER] = "" };
    size_t n = strlen(kinds[item->kind]);

    memcpy(out, kinds[item->kind], n);
    for (size_t i = 0; i < sizeof item->key; i++)
        n += (size_t)snprintf(out + n, 3, "%02x", item->key[i]);
    return span_of(out, n);
}

bool
pki_evidence_shared_is_used(const struct pki_evidence *evidence,
                            const struct pki_evidence_item *item)
{
    return evidence->args.shared && item->kind != PKI_EVIDENCE_RESPONDER &&
           !(evidence->args.shared_is_local && item->kind == PKI_EVIDENCE_CRL);
}

bool
pki_evidence_shared_is_fresh(const struct pki_evidence_object *object)
{
    time_t half = object->fetched_at + (object->due - object->fetched_at) / 2;

    return clock_now_s() < half;
}

static size_t
limit_get(enum pki_evidence_kind kind)
{
    return kind == PKI_EVIDENCE_CRL    ? (size_t)PKI_CRL_BYTES
           : kind == PKI_EVIDENCE_OCSP ? (size_t)PKI_EVIDENCE_OCSP_BYTES
                                       : (size_t)ISSUERS_BYTES;
}

struct pki_evidence_object *
pki_evidence_shared_get(struct pki_evidence *evidence, const struct pki_evidence_ask *ask,
                        const struct pki_evidence_object *held)
{
    char text[PKI_EVIDENCE_SHARED_KEY_SIZE];
    struct span key = pki_evidence_shared_key(ask->item, text);
    struct buf bytes = BUF_INIT(limit_get(ask->item->kind));
    struct pki_evidence_object *object = NULL;
    struct err err = ERR_INIT;
    int64_t fetched_s = 0;

    if (cache_get(evidence->args.shared, key, &bytes, &fetched_s, &err) == ERR_OK &&
        !(held && fetched_s <= (int64_t)held->fetched_at)) {
        struct pki_evidence_input input = {
            .item = ask->item,
            .held = held,
            .untrusted = ask->untrusted,
            .max_age_s = ask->max_age_s,
            .bytes = &bytes,
            .source = "shared-cache",
            .fetched_at = (time_t)fetched_s,
        };
        /* A clock that is ahead of ours must not make it younger than it is. */
        if (input.fetched_at > clock_now_s())
            input.fetched_at = clock_now_s();
        if (pki_evidence_parse(evidence, &input, &object, &err) != ERR_OK && err.reason &&
            !strstr(err.reason, "-older"))
            log_warn("evidence-shared", NULL,
                     "the shared cache holds for %s what cannot be used, and it is fetched: %s",
                     ask->item->name, err.text);
    }
    /* Whoever broke into a node could put any CRL of another name there: from the network alone. */
    if (object && !object->is_verified && ask->item->kind == PKI_EVIDENCE_CRL)
        pki_evidence_object_free(&object);
    buf_free(&bytes);
    return object;
}

void
pki_evidence_shared_set(struct pki_evidence *evidence, const struct pki_evidence_item *item,
                        const struct pki_evidence_object *object)
{
    char text[PKI_EVIDENCE_SHARED_KEY_SIZE];
    time_t left_s = object->due - clock_now_s();
    struct cache_value value = {
        .bytes = pki_evidence_object_der(object),
        .fetched_s = object->fetched_at,
        .ttl_s = left_s < CACHE_TTL_S ? left_s : CACHE_TTL_S,
    };
    struct err ignored = ERR_INIT;

    if (value.ttl_s >= 1 && (object->is_verified || item->kind != PKI_EVIDENCE_CRL))
        (void)cache_set(evidence->args.shared, pki_evidence_shared_key(item, text), &value,
                        &ignored);
}

static bool
pause_for(const struct pki_evidence *evidence, int64_t ms, int64_t until_ms)
{
    struct timespec wait;
    int64_t left_ms = until_ms - clock_monotonic_ms();

    if (left_ms <= 0 || atomic_load(&evidence->stop))
        return false;
    if (ms > left_ms)
        ms = left_ms;
    wait = (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
    nanosleep(&wait, NULL);
    return true;
}

/* Half of what the message has: then it can still fetch by itself. */
static int64_t
wait_until(const struct pki_fetch_budget *budget)
{
    int64_t now_ms = clock_monotonic_ms(), wait_ms = (budget->deadline_ms - now_ms) / 2;

    return now_ms + (wait_ms < PKI_EVIDENCE_CLAIM_WAIT_MS ? wait_ms : PKI_EVIDENCE_CLAIM_WAIT_MS);
}

struct pki_evidence_object *
pki_evidence_shared_claim(struct pki_evidence *evidence, const struct pki_evidence_ask *ask,
                          const struct pki_evidence_object *held, struct cache_claim *claim)
{
    char text[PKI_EVIDENCE_SHARED_KEY_SIZE];
    struct span key = pki_evidence_shared_key(ask->item, text);
    int64_t until_ms = wait_until(ask->budget), pause_ms = POLL_FIRST_MS;
    struct pki_evidence_object *object = NULL;
    enum err_code code;

    claim->token[0] = '\0';
    if (evidence->args.shared_is_local)
        return NULL;
    /* The claim is polled, not the value, which may be large and an old one. */
    for (;;) {
        struct err ignored = ERR_INIT;
        code = cache_claim(evidence->args.shared, key, PKI_EVIDENCE_CLAIM_MS, claim, &ignored);
        if (code != ERR_NOTFOUND || !pause_for(evidence, pause_ms, until_ms))
            break;
        pause_ms = 2 * pause_ms < POLL_MOST_MS ? 2 * pause_ms : POLL_MOST_MS;
    }
    /* It is ours: between our last look and our claim another node may have been done. */
    if (code == ERR_OK)
        object = pki_evidence_shared_get(evidence, ask, held);
    if (object && !pki_evidence_shared_is_fresh(object))
        pki_evidence_object_free(&object);
    return object;
}
