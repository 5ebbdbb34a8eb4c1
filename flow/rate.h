/*
 * How often something may be tried in a minute: all together, and for each name.
 *
 * Token buckets that hold a minute's worth. Names live in a table of fixed size under a keyed hash;
 * when a place is needed, the name with the fullest bucket gives it up, since a full bucket and one
 * that was forgotten are the same. So whoever comes with a million names makes nobody else's bucket
 * fuller than the bound for all together allows.
 *
 * Threads: any; one lock, held for a few instructions. Outlives a reload: a new snapshot takes that
 * of the one before.
 */
#ifndef FLOW_RATE_H
#define FLOW_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

struct flow_rate;

struct flow_rate_args {
    uint64_t total; /* a minute, all together */
    uint64_t each;  /* a minute, for each name */
    const char *const *names;
    size_t count;
};

ERR_CHECKED enum err_code flow_rate_new(struct flow_rate **out, struct err *err);
struct flow_rate *flow_rate_add1(struct flow_rate *rate);
void flow_rate_free(struct flow_rate **rate);

/* Takes one for all and one for each name. False, and nothing was taken: one of them has none left.
 */
bool flow_rate_check(struct flow_rate *rate, const struct flow_rate_args *args);

/* Gives back what a call with the same arguments took; with `give` false it only takes its time. */
void flow_rate_reset(struct flow_rate *rate, const struct flow_rate_args *args, bool give);

#endif
