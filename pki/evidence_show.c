/* What smimectl sees of the evidence: entries, counts, flush. */
#include <stdlib.h>
#include <string.h>

#include "pki/evidence_ask.h"

/* Every item with a reference, most recently used first. NULL: none, or no memory. */
static struct pki_evidence_item **
list_new(struct pki_evidence *evidence, size_t *count)
{
    struct pki_evidence_item **list, *item;

    *count = 0;
    pki_evidence_lock(evidence);
    list = calloc(HASH_COUNT(evidence->items) + 1, sizeof *list);
    for (item = evidence->newest; list && item; item = item->older) {
        item->references++;
        list[(*count)++] = item;
    }
    pki_evidence_unlock(evidence);
    return list;
}

static void
list_free(struct pki_evidence *evidence, struct pki_evidence_item **list, size_t count)
{
    pki_evidence_lock(evidence);
    for (size_t i = 0; i < count; i++)
        pki_evidence_held_reset(evidence, &list[i]);
    pki_evidence_unlock(evidence);
    free(list);
}

struct shown {
    struct pki_evidence_entry entry;
    char text[sizeof((struct pki_evidence_failure *)0)->text];
};

static void
show(struct pki_evidence *evidence, const struct pki_evidence_item *item, struct shown *out)
{
    const struct pki_evidence_object *object;

    pki_evidence_lock(evidence);
    object = item->object;
    out->entry = (struct pki_evidence_entry){
        .kind = item->kind,
        .name = item->name,
        .bytes = item->bytes,
        .hits = item->hits,
        .used_at = item->used_at,
        .failing_since = item->failure.since,
        .reason = item->failure.since ? item->failure.reason : NULL,
        .text = out->text,
    };
    memcpy(out->text, item->failure.text, sizeof out->text);
    if (object) {
        out->entry.source = object->source;
        out->entry.fetched_at = object->fetched_at;
        out->entry.this_update = object->this_update;
        out->entry.next_update = object->next_update;
        out->entry.refresh_at = item->refresh_at;
    }
    pki_evidence_unlock(evidence);
}

void
pki_evidence_each(struct pki_evidence *evidence, pki_evidence_each_fn *each, void *context)
{
    struct pki_evidence_item **list;
    struct shown shown;
    size_t count;
    bool more = true;

    list = list_new(evidence, &count);
    for (size_t i = 0; more && i < count; i++) {
        show(evidence, list[i], &shown);
        more = each(context, &shown.entry);
    }
    list_free(evidence, list, count);
}

void
pki_evidence_get_stats(struct pki_evidence *evidence, struct pki_evidence_stats *out)
{
    *out = (struct pki_evidence_stats){ .entries = 0 };
    pki_evidence_lock(evidence);
    out->entries = HASH_COUNT(evidence->items);
    out->held_bytes = evidence->held_bytes;
    out->hits = evidence->hits;
    out->misses = evidence->misses;
    out->refreshed = evidence->refreshed;
    out->failed = evidence->failed;
    out->evicted = evidence->evicted;
    out->waited = evidence->waited;
    for (const struct pki_evidence_item *i = evidence->newest; i; i = i->older)
        out->failing += i->failure.since != 0;
    pki_evidence_unlock(evidence);
    if (evidence->args.fetch)
        pki_fetch_get_counts(evidence->args.fetch, &out->fetch);
    if (evidence->args.shared)
        cache_get_stats(evidence->args.shared, &out->shared);
}

enum err_code
pki_evidence_flush(struct pki_evidence *evidence, struct span url, bool shared_too, size_t *count,
                   struct err *err)
{
    struct pki_evidence_item **list;
    char text[PKI_EVIDENCE_SHARED_KEY_SIZE];
    enum err_code code = ERR_OK, one;
    size_t n;

    *count = 0;
    if (!(list = list_new(evidence, &n)))
        return err_set(err, ERR_NOMEM, "no memory for a list");
    for (size_t i = 0; i < n; i++) {
        struct pki_evidence_item *item = list[i];
        if (url.n > 0 && !span_equal(url, item->url) && !span_equal(url, span_str(item->name)))
            continue;
        pki_evidence_lock(evidence);
        pki_evidence_held_remove(evidence, item);
        pki_evidence_unlock(evidence);
        ++*count;
        if (!shared_too || !pki_evidence_shared_is_used(evidence, item))
            continue;
        one = cache_remove(evidence->args.shared, pki_evidence_shared_key(item, text), err);
        if (one == ERR_NOTFOUND)
            err_reset(err);
        else if (one != ERR_OK)
            code = one;
    }
    list_free(evidence, list, n);
    return code;
}
