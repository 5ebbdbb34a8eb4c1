/*
 * Outbound: from what came to what leaves.                             RFC 8551 3.3, 3.4, 3.5
 *
 * The body goes into a spool as it arrives while the scanner looks at it. At the end: what is it
 * really (flow/structure), what is known about the people in it (flow/facts), what does policy say,
 * and which edits follow; where copies differ, the answer is FLOW_COPIES and flow/copies goes on.
 * Protection is built before the answer is given (flow/protect), so that a certificate that cannot
 * be used is found while the message can still be deferred.
 *
 * Called by flow/message only. Holds: the spool, a record per MIME part, the answers about people.
 */
#ifndef FLOW_OUTBOUND_H
#define FLOW_OUTBOUND_H

#include "flow/copy.h"
#include "flow/facts.h"
#include "flow/message.h"
#include "flow/structure.h"
#include "mime/scan.h"
#include "policy/outbound.h"
#include "util/spool.h"

struct flow_outbound {
    struct spool *spool; /* NULL: the body does not matter */
    struct mime_scan *scan;
    struct err scan_err; /* a bound of the scanner was exceeded: matters if it must be protected */
    struct buf entity_header; /* Content-* fields as written, CRLF, with the empty line */
    struct flow_structure structure;
    struct flow_facts facts;
    struct policy_outbound_decision decision;
    size_t *order; /* of decision.plan */
    bool decided;
    size_t common;          /* edits of the header that all copies have, in the message's list */
    struct flow_copy *copy; /* the one that stays; NULL: the message passes */
};

/* At the end of the header. */
ERR_CHECKED enum err_code flow_outbound_new(struct flow_message *message, struct err *err);
void flow_outbound_free(struct flow_outbound **outbound);

ERR_CHECKED enum err_code flow_outbound_write(struct flow_outbound *outbound, struct span piece,
                                              struct err *err);
/* Structure and facts, then the decision; an answer that is not FLOW_CONTINUE ends the message. */
void flow_outbound_load(struct flow_message *message, int64_t deadline_ms,
                        struct flow_answer *answer);
void flow_outbound_finish(struct flow_message *message, struct flow_answer *answer);

/* `sink` is taken whatever happens. */
ERR_CHECKED enum err_code flow_outbound_write_body(struct flow_message *message, struct stage *sink,
                                                   struct err *err);
uint64_t flow_outbound_bytes(const struct flow_outbound *outbound);

#endif
