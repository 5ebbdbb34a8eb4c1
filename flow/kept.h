/*
 * Findings that are kept for a while, so that not every message asks again.
 *
 * Bounded by the people in them; the least recently used goes first. How long: resolve_life, or
 * resolve_life_negative where somebody has no certificate, never beyond finding->until, and not at
 * all what could not be asked.
 *
 * Threads: the caller's lock.
 */
#ifndef FLOW_KEPT_H
#define FLOW_KEPT_H

#include "flow/finding.h"

struct flow_kept_item;

struct flow_kept {
    struct flow_kept_item *items;
    size_t weight, limit; /* people */
    int64_t life_ms, negative_ms;
};

void flow_kept_init(struct flow_kept *kept, const struct conf_global *global);
void flow_kept_deinit(struct flow_kept *kept);

/* A reference to the finding of that key if it is fresh, else NULL; it counts as used. */
struct flow_finding *flow_kept_find(struct flow_kept *kept, const char *key);

/* Keeps a reference, as long as that may be. No memory: it is not kept. */
void flow_kept_set(struct flow_kept *kept, const char *key, struct flow_finding *finding);

size_t flow_kept_count(const struct flow_kept *kept);

#endif
