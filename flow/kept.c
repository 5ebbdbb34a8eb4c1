#include "flow/kept.h"

#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

/* Running out of memory is an error like any other, not the end of the process. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(item) ((item)->broken = true)
#include <uthash.h>

struct flow_kept_item {
    struct flow_finding *finding;
    int64_t fresh_ms;  /* until then, on clock_monotonic_ms */
    bool broken;       /* the table could not take it */
    UT_hash_handle hh; /* in the order of their last use */
    char key[];
};

void
flow_kept_init(struct flow_kept *kept, const struct conf_global *global)
{
    *kept = (struct flow_kept){ .limit = (size_t)global->resolve_cache,
                                .life_ms = global->resolve_life,
                                .negative_ms = global->resolve_life_negative };
}

static size_t
kept_weight(const struct flow_kept_item *item)
{
    return 1 + item->finding->member_count;
}

static void
kept_remove(struct flow_kept *kept, struct flow_kept_item *item)
{
    HASH_DEL(kept->items, item);
    kept->weight -= kept_weight(item);
    flow_finding_free(&item->finding);
    free(item);
}

void
flow_kept_deinit(struct flow_kept *kept)
{
    struct flow_kept_item *item, *next;

    HASH_ITER(hh, kept->items, item, next)
    {
        kept_remove(kept, item);
    }
}

static struct flow_kept_item *
kept_get(struct flow_kept *kept, const char *key)
{
    struct flow_kept_item *item;

    HASH_FIND(hh, kept->items, key, strlen(key), item);
    return item;
}

static void
kept_add(struct flow_kept *kept, struct flow_kept_item *item)
{
    HASH_ADD(hh, kept->items, key, strlen(item->key), item);
    if (item->broken) { /* not kept, then */
        flow_finding_free(&item->finding);
        free(item);
        return;
    }
    kept->weight += kept_weight(item);
}

struct flow_finding *
flow_kept_find(struct flow_kept *kept, const char *key)
{
    struct flow_kept_item *item = kept_get(kept, key);
    struct flow_finding *finding;

    if (!item || item->fresh_ms <= clock_monotonic_ms())
        return NULL;
    finding = flow_finding_add1(item->finding);
    /* To the end of the order: used last. */
    HASH_DEL(kept->items, item);
    kept->weight -= kept_weight(item);
    kept_add(kept, item);
    return finding;
}

void
flow_kept_set(struct flow_kept *kept, const char *key, struct flow_finding *finding)
{
    int64_t life_ms = finding->negative ? kept->negative_ms : kept->life_ms;
    struct flow_kept_item *item = kept_get(kept, key), *next;
    size_t n = strlen(key);

    if (finding->temp)
        return;
    if (item)
        kept_remove(kept, item);
    if (finding->until > 0) {
        int64_t rests_ms = ((int64_t)finding->until - (int64_t)clock_now_s()) * 1000;

        life_ms = rests_ms < life_ms ? rests_ms : life_ms;
    }
    if (life_ms <= 0 || 1 + finding->member_count > kept->limit)
        return;
    item = calloc(1, sizeof *item + n + 1);
    if (!item)
        return;
    memcpy(item->key, key, n + 1);
    item->finding = flow_finding_add1(finding);
    item->fresh_ms = clock_monotonic_ms() + life_ms;
    kept_add(kept, item);
    HASH_ITER(hh, kept->items, item, next)
    {
        if (kept->weight <= kept->limit)
            break;
        kept_remove(kept, item);
    }
}

size_t
flow_kept_count(const struct flow_kept *kept)
{
    return HASH_COUNT(kept->items);
}
