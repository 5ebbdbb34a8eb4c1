/*
 * Those whom rules name beside sender and recipients: additional recipients (encrypt_also), and
 * whose certificate signs for the domain (sign_as).
 *
 * Each address once, whatever number of rules names it. Holds pointers into the configuration and
 * the findings of the message. One thread.
 */
#ifndef FLOW_BESIDE_H
#define FLOW_BESIDE_H

#include "flow/finding.h"

struct flow_facts;

enum { FLOW_LIMIT_ESCROW = 100 };

/* Somebody beside sender and recipients, whom rules name. */
struct flow_beside {
    const char *address;                /* borrowed from the configuration */
    const struct flow_finding *finding; /* NULL: no address, or not there in time */
    enum policy_known known;
    char text[300]; /* for people, where he has no valid certificate */
};

/* The one of a list; NULL: he is not in it. */
const struct flow_beside *flow_beside_find(const struct flow_beside *list, size_t count,
                                           const char *address);

/* One more, of whom nothing is known yet, unless he is there. ERR_LIMIT, ERR_NOMEM. */
ERR_CHECKED enum err_code flow_beside_add(struct flow_beside **list, size_t *count,
                                          const char *address, struct err *err);

/* What is known of those whom a recipient's rule names belongs to what policy reads of him. */
void flow_beside_load(struct flow_facts *facts);

#endif
