#include "pki/evidence_held.h"

#include <stdio.h>
#include <stdlib.h>

#include "pki/crypto.h"
#include "util/clock.h"
#include "util/log.h"

/* Measured against their DER. */
enum { CERTIFICATE_FACTOR = 5, CERTIFICATE_BYTES = 2048 };

size_t
pki_evidence_certificate_bytes(const struct pki_certificate *certificate)
{
    return CERTIFICATE_BYTES + CERTIFICATE_FACTOR * pki_certificate_der(certificate).n;
}

/* ---- objects -----------------------------------------------------------------------------------
 */

struct pki_evidence_object *
pki_evidence_object_new(const char *source, time_t fetched_at)
{
    struct pki_evidence_object *object = calloc(1, sizeof *object);

    if (!object)
        return NULL;
    atomic_init(&object->references, 1);
    object->source = source;
    object->fetched_at = fetched_at;
    object->bytes = sizeof *object;
    return object;
}

struct pki_evidence_object *
pki_evidence_object_add1(struct pki_evidence_object *object)
{
    if (object)
        atomic_fetch_add_explicit(&object->references, 1, memory_order_relaxed);
    return object;
}

void
pki_evidence_object_free(struct pki_evidence_object **object)
{
    struct pki_evidence_object *old = *object;

    *object = NULL;
    if (!old || atomic_fetch_sub_explicit(&old->references, 1, memory_order_acq_rel) > 1)
        return;
    X509_CRL_free(old->crl);
    free(old->der);
    pki_ocsp_result_free(&old->ocsp);
    pki_certificates_free(&old->issuers);
    free(old);
}

/* ---- names -------------------------------------------------------------------------------------
 */

/* Kind, length of the URL, URL, and whose it is: the key of a CRL's issuer, so that all
 * certificates of one authority ask one question; of an OCSP answer the two certificates. */
static bool
name_digest(EVP_MD_CTX *context, const struct pki_evidence *evidence,
            struct pki_evidence_name *name)
{
    unsigned char head[5] = { (unsigned char)name->kind, (unsigned char)(name->url.n >> 24),
                              (unsigned char)(name->url.n >> 16), (unsigned char)(name->url.n >> 8),
                              (unsigned char)name->url.n };
    const ASN1_BIT_STRING *key;
    struct span der;

    if (!EVP_DigestInit_ex2(context, evidence->digest, NULL) ||
        !EVP_DigestUpdate(context, head, sizeof head) ||
        !EVP_DigestUpdate(context, name->url.p, name->url.n))
        return false;
    if (name->kind == PKI_EVIDENCE_CRL) {
        key = X509_get0_pubkey_bitstr(pki_certificate_get0_x509(name->issuer));
        if (key && !EVP_DigestUpdate(context, key->data, (size_t)key->length))
            return false;
    } else if (name->kind == PKI_EVIDENCE_OCSP) {
        der = span_str(pki_certificate_get(name->certificate)->fingerprint);
        if (!EVP_DigestUpdate(context, der.p, der.n))
            return false;
        der = span_str(pki_certificate_get(name->issuer)->fingerprint);
        if (!EVP_DigestUpdate(context, der.p, der.n))
            return false;
    }
    return EVP_DigestFinal_ex(context, name->key, NULL);
}

enum err_code
pki_evidence_name_set(const struct pki_evidence *evidence, struct pki_evidence_name *name,
                      struct err *err)
{
    EVP_MD_CTX *context;
    bool done;

    if (name->kind != PKI_EVIDENCE_OCSP &&
        (name->url.n == 0 || name->url.n > PKI_EVIDENCE_URL_BYTES))
        return err_set_reason(err, ERR_TEMP, "fetch-refused-url", "a URL of %zu octets",
                              name->url.n);
    context = EVP_MD_CTX_new();
    done = context && name_digest(context, evidence, name);
    EVP_MD_CTX_free(context);
    return done ? ERR_OK : pki_crypto_fail(err, ERR_NOMEM, "no memory for a digest");
}

static char *
name_format(const struct pki_evidence_name *name)
{
    const struct pki_certificate_facts *facts;
    char *text = NULL;
    size_t size = 4 * name->url.n + 8;

    if (name->kind == PKI_EVIDENCE_OCSP) {
        facts = pki_certificate_get(name->certificate);
        return asprintf(&text, "%s of %.400s", facts->serial, facts->issuer) < 0 ? NULL : text;
    }
    return (text = malloc(size)) ? log_escape(name->url, text, size) : NULL;
}

/* ---- the table ---------------------------------------------------------------------------------
 */

static void
order_remove(struct pki_evidence *evidence, struct pki_evidence_item *item)
{
    *(item->newer ? &item->newer->older : &evidence->newest) = item->older;
    *(item->older ? &item->older->newer : &evidence->oldest) = item->newer;
    item->newer = item->older = NULL;
}

static void
order_add(struct pki_evidence *evidence, struct pki_evidence_item *item)
{
    item->older = evidence->newest;
    if (evidence->newest)
        evidence->newest->newer = item;
    evidence->newest = item;
    if (!evidence->oldest)
        evidence->oldest = item;
}

static void
item_free(struct pki_evidence_item *item)
{
    pki_evidence_object_free(&item->object);
    pki_certificate_free(&item->certificate);
    pki_certificate_free(&item->issuer);
    free((void *)(uintptr_t)item->url.p);
    free(item->name);
    free(item);
}

void
pki_evidence_lock(struct pki_evidence *evidence)
{
    pthread_mutex_lock(&evidence->lock);
}

void
pki_evidence_unlock(struct pki_evidence *evidence)
{
    struct pki_evidence_item *item = evidence->dead_items, *next_item;
    struct pki_evidence_object *object = evidence->dead_objects, *next_object;

    evidence->dead_items = NULL;
    evidence->dead_objects = NULL;
    pthread_mutex_unlock(&evidence->lock);
    for (; item; item = next_item) {
        next_item = item->older;
        item_free(item);
    }
    for (; object; object = next_object) {
        next_object = object->next_dead;
        pki_evidence_object_free(&object);
    }
}

void
pki_evidence_held_reset(struct pki_evidence *evidence, struct pki_evidence_item **item)
{
    if (*item && --(*item)->references == 0) {
        (*item)->older = evidence->dead_items;
        evidence->dead_items = *item;
    }
    *item = NULL;
}

void
pki_evidence_held_remove(struct pki_evidence *evidence, struct pki_evidence_item *item)
{
    if (!item->is_listed)
        return;
    HASH_DELETE(hh, evidence->items, item);
    atomic_fetch_add_explicit(&evidence->generation, 1, memory_order_release);
    order_remove(evidence, item);
    evidence->held_bytes -= item->bytes;
    item->is_listed = false;
    pki_evidence_held_reset(evidence, &item);
}

/* What was not used for the longest time goes; `stays` does not. */
static void
make_room(struct pki_evidence *evidence, const struct pki_evidence_item *stays)
{
    struct pki_evidence_item *item = evidence->oldest, *newer;

    while (item && (evidence->held_bytes > evidence->args.limit_bytes ||
                    HASH_COUNT(evidence->items) > PKI_EVIDENCE_ITEMS)) {
        newer = item->newer;
        if (item != stays && !item->is_busy) {
            evidence->evicted += item->object != NULL;
            pki_evidence_held_remove(evidence, item);
        }
        item = newer;
    }
}

static void
item_count(struct pki_evidence *evidence, struct pki_evidence_item *item)
{
    size_t bytes = sizeof *item + item->url.n + strlen(item->name) + 1;

    if (item->object)
        bytes += item->object->bytes;
    if (item->certificate) /* the issuer is that of many, and the trust set's */
        bytes += pki_evidence_certificate_bytes(item->certificate);
    if (item->is_listed)
        evidence->held_bytes += bytes - item->bytes;
    item->bytes = bytes;
}

void
pki_evidence_held_set(struct pki_evidence *evidence, struct pki_evidence_item *item,
                      struct pki_evidence_object *object)
{
    time_t now = clock_now_s();

    if (item->object) {
        item->object->next_dead = evidence->dead_objects;
        evidence->dead_objects = item->object;
    }
    item->object = object;
    atomic_fetch_add_explicit(&evidence->generation, 1, memory_order_release);
    item->refresh_at = now;
    if (object->due > now)
        item->refresh_at += (object->due - now) / 2;
    item_count(evidence, item);
    make_room(evidence, item);
}

struct pki_evidence_item *
pki_evidence_held_find(struct pki_evidence *evidence, const unsigned char *key)
{
    struct pki_evidence_item *item = NULL;

    HASH_FIND(hh, evidence->items, key, PKI_EVIDENCE_KEY_BYTES, item);
    if (!item)
        return NULL;
    order_remove(evidence, item);
    order_add(evidence, item);
    item->references++;
    return item;
}

static struct pki_evidence_item *
item_new(const struct pki_evidence_name *name)
{
    struct pki_evidence_item *item = calloc(1, sizeof *item);
    unsigned char *url = malloc(name->url.n + 1);

    if (!item || !url || !(item->name = name_format(name))) {
        free(item);
        free(url);
        return NULL;
    }
    memcpy(item->key, name->key, sizeof item->key);
    item->kind = name->kind;
    if (name->url.n > 0)
        memcpy(url, name->url.p, name->url.n);
    item->url = span_of(url, name->url.n);
    if (name->certificate)
        item->certificate =
            pki_certificate_add1((struct pki_certificate *)(uintptr_t)name->certificate);
    if (name->issuer)
        item->issuer = pki_certificate_add1((struct pki_certificate *)(uintptr_t)name->issuer);
    return item;
}

struct pki_evidence_item *
pki_evidence_held_new(struct pki_evidence *evidence, const struct pki_evidence_name *name)
{
    struct pki_evidence_item *item = pki_evidence_held_find(evidence, name->key);

    if (item || !(item = item_new(name)))
        return item;
    HASH_ADD(hh, evidence->items, key, PKI_EVIDENCE_KEY_BYTES, item);
    if (item->lost) {
        item_free(item);
        return NULL;
    }
    order_add(evidence, item);
    item->is_listed = true;
    item->references = 2;
    item->used_at = clock_now_s();
    item_count(evidence, item);
    make_room(evidence, item);
    return item;
}

/* ---- failures ----------------------------------------------------------------------------------
 */

void
pki_evidence_fail(struct pki_evidence *evidence, struct pki_evidence_item *item,
                  const struct err *why)
{
    struct pki_evidence_failure *failure = &item->failure;
    uint64_t wait_s = PKI_EVIDENCE_FIRST_S;

    failure->at = clock_now_s();
    if (failure->since == 0)
        failure->since = failure->at;
    for (unsigned i = 0; i < failure->times && wait_s < PKI_EVIDENCE_MOST_S; i++)
        wait_s *= 2;
    failure->wait_s = (unsigned)(wait_s < PKI_EVIDENCE_MOST_S ? wait_s : PKI_EVIDENCE_MOST_S);
    failure->times++;
    failure->code = why->code;
    failure->reason = why->reason;
    snprintf(failure->text, sizeof failure->text, "%.*s", (int)sizeof failure->text - 1, why->text);
    evidence->failed++;
}

/* A clock that was set back ends the wait. What nobody asked for in a long time the refresher has
 * left alone: then a question may. */
bool
pki_evidence_may_ask(const struct pki_evidence *evidence, const struct pki_evidence_item *item,
                     bool is_refresh, time_t now)
{
    const struct pki_evidence_failure *failure = &item->failure;
    time_t passed = now - failure->at;

    if (failure->since == 0)
        return true;
    if (passed >= 0 && passed < (time_t)failure->wait_s)
        return false;
    return is_refresh || !evidence->refresh || now - item->used_at > (time_t)evidence->args.idle_s;
}

time_t
pki_evidence_unknown_since(const struct pki_evidence_item *item, time_t now)
{
    time_t since = item->failure.since;

    if (since && item->object && item->object->end > since)
        since = item->object->end;
    return since > now ? 0 : since;
}

uint64_t
pki_evidence_generation(const struct pki_evidence *evidence)
{
    return atomic_load_explicit(&evidence->generation, memory_order_acquire);
}
