/*
 * How long the end of one message may take.
 *
 * eom_timeout is for what waits: directories, trust, a slot. What is computed grows with the
 * octets: a message that is merely large would miss a fixed deadline again at every attempt, and be
 * deferred until it expires. So its end has a second more for each FLOW_PATIENCE_OCTETS of it, a
 * rate that a slow and busy machine keeps; all of it at most FLOW_PATIENCE_LIMIT_MS, since the
 * client waits for its answer ten minutes (RFC 5321 4.5.3.2.6) and marks of copies are fresh for
 * FLOW_MARK_FRESH_S. The MTA is told meanwhile that we are alive (milter/progress).
 *
 * Who has his time and does not end in it stalls (flow/suspect); beyond the limit a message does
 * not have its time, and is deferred without a mark.
 */
#ifndef FLOW_PATIENCE_H
#define FLOW_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

enum { FLOW_PATIENCE_OCTETS = 8 * 1024 * 1024, FLOW_PATIENCE_LIMIT_MS = 250 * 1000 };

/* For a message of `octets`, with the configured eom_timeout. *cut (may be NULL): it would have
 * more time, were it not for the limit. */
int64_t flow_patience_get(int64_t eom_timeout_ms, uint64_t octets, bool *cut);

/* For a message as it is now, in ms. */
struct flow_message;
int64_t flow_patience_find(const struct flow_message *message, bool *cut);

#endif
