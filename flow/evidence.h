/*
 * Trust evidence as the configuration has it: the network, the shared cache, the bounds.
 *
 * The evidence outlives a reload, so that CRLs which took minutes to gather are not thrown away
 * because a rule was changed: a snapshot takes that of the one before unless a parameter that made
 * it, or a file that such a parameter names, has changed.
 *
 * Threads: any.
 */
#ifndef FLOW_EVIDENCE_H
#define FLOW_EVIDENCE_H

#include "conf/conf.h"
#include "directory/lookup.h"
#include "pki/evidence.h"

/* Never connects, and starts nothing. ERR_PERM, ERR_NOTFOUND, ERR_TEMP: a key or password file
 * cannot be used. */
ERR_CHECKED enum err_code flow_evidence_new(const struct conf_global *global,
                                            struct pki_evidence **out, struct err *err);

/* The parameters (and the times of the files they name) that an evidence is made of; equal texts
 * make equal ones. Returned: free(). NULL: no memory. */
char *flow_evidence_format(const struct conf *conf);

/* Where the shared cache is; `out` holds copies: flow_evidence_pool_free. For smimectl doctor, too.
 */
struct flow_evidence_pool;
struct cache_pool_args;
ERR_CHECKED enum err_code flow_evidence_pool_new(const struct conf_global *global,
                                                 struct flow_evidence_pool **out, struct err *err);
const struct cache_pool_args *flow_evidence_pool_get(const struct flow_evidence_pool *pool);
void flow_evidence_pool_free(struct flow_evidence_pool **pool);

#endif
