/*
 * What happens beside the mail: reload on SIGUSR1, new files seen, PKCS#12 files imported, a
 * warning a day for each certificate of ours that will expire.
 *
 * Threads: one of its own, which waits for SIGUSR1 with a timeout; SIGUSR1 is blocked everywhere
 * else.
 */
#ifndef MILTER_HOUSEKEEPING_H
#define MILTER_HOUSEKEEPING_H

#include "flow/services.h"
#include "util/err.h"

/* SIGUSR1 must be blocked by the caller before. */
ERR_CHECKED enum err_code milter_housekeeping_init(struct err *err);
void milter_housekeeping_deinit(void);

/* Told about each of our certificates that expires within expiry_warning and has no successor. */
typedef void milter_housekeeping_expiry_fn(void *context, const struct pki_key *key,
                                           time_t not_after);

/* How many there are at `now`. */
size_t milter_housekeeping_find_expiring(const struct flow_services *services, time_t now,
                                         milter_housekeeping_expiry_fn *each, void *context);

#endif
