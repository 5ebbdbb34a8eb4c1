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

/* Which directories ldap:/// URLs are asked of, by every evidence of the process: those of the
 * current snapshot. A reference is added; NULL: of none. */
void flow_evidence_set_lookup(struct directory_lookup *lookup);
/* The same, if none is set (smimectl, which has no current snapshot); and undone, when that one
 * goes. */
void flow_evidence_set_first_lookup(struct directory_lookup *lookup);
void flow_evidence_reset_lookup(const struct directory_lookup *lookup);

/* The parameters (and the times of the files they name) that an evidence is made of; equal texts
 * make equal ones. Returned: free(). NULL: no memory. */
char *flow_evidence_format(const struct conf *conf);

/* The shared cache alone, for smimectl doctor; *out is NULL with cache = none. */
struct cache;
ERR_CHECKED enum err_code flow_evidence_cache_new(const struct conf_global *global,
                                                  struct cache **out, struct err *err);

#endif
