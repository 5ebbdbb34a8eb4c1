/*
 * What all messages share: one immutable snapshot of configuration, keys, certificates, trust and
 * directories, and the budgets that outlive it. A message takes a reference when it starts and
 * keeps it; a reload builds a new snapshot and swaps it in only when all of it could be built.
 *
 * What was fetched (pki/evidence) belongs to no snapshot: a new one takes that of the current one
 * unless its parameters have changed. Whoever wants it renewed in the background starts it.
 *
 * Threads: any. services_swap and services_get1 hold a lock for the length of a pointer copy.
 */
#ifndef FLOW_SERVICES_H
#define FLOW_SERVICES_H

#include "conf/conf.h"
#include "directory/lookup.h"
#include "pki/evidence.h"
#include "pki/keyring.h"
#include "pki/trust.h"

struct flow_harvest;
struct flow_rate;
struct flow_resolve;
struct flow_resubmission;
struct flow_notices;

struct flow_trust {
    const char *name;
    struct pki_trust *trust;
};

struct flow_services {
    struct conf *conf;
    struct pki_keyring *keyring;
    struct flow_trust *trusts;
    size_t trust_count;
    struct flow_harvest *harvest; /* what mail has taught */
    struct directory_lookup *lookup;
    struct flow_resolve *resolve;  /* what was found out about people */
    struct pki_evidence *evidence; /* what was fetched: that of the snapshot before, if it fits */
    char *evidence_parts;          /* what it is made of (flow/evidence.h) */
    struct flow_notices *notices;  /* templates of letters; NULL: there are none */
    struct flow_resubmission *resubmission; /* of the snapshot before, if it fits */
    struct flow_rate *decrypt_rate;         /* attempts to decrypt: that of the snapshot before */
    struct pki_leaf_policy leaf_policy;
    char hostname[256];
    char authserv_id[256];
    int references; /* private */
};

typedef void flow_services_complaint_fn(void *context, const char *text);

/* Builds a snapshot from a configuration (a reference is added). Files that were left out (unsafe
 * modes) are complaints; what makes it unusable is an error. */
ERR_CHECKED enum err_code flow_services_new(struct conf *conf, flow_services_complaint_fn *complain,
                                            void *context, struct flow_services **out,
                                            struct err *err);
struct flow_services *flow_services_add1(struct flow_services *services);
void flow_services_free(struct flow_services **services);

/* The snapshot that new messages take: process-wide, behind a lock. swap takes the reference it is
 * given (NULL at the end of the process) and releases the one before; get1 adds a reference for the
 * caller, NULL when there is none. */
void flow_services_swap(struct flow_services *services);
struct flow_services *flow_services_get1(void);

/* The trust set of that name; NULL: there is none. */
const struct pki_trust *flow_services_trust(const struct flow_services *services, const char *name);

#endif
