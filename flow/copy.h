/*
 * One copy of the plan: the chain that makes its body, and the edits of its header.
 *
 * copies[0] leaves in the milter's transaction; its edits join those of the message. The others are
 * built one at a time, when their turn comes (flow/copies), so that memory does not grow with their
 * number: the chain holds no more than pieces, and the body comes out of the message's spool.
 *
 * Called by flow/outbound and flow/copies.
 */
#ifndef FLOW_COPY_H
#define FLOW_COPY_H

#include "flow/protect.h"
#include "policy/plan.h"

struct flow_message;

struct flow_copy {
    const struct policy_copy *policy;    /* borrowed from the decision */
    const struct pki_key *key;           /* who signs; NULL: nobody */
    struct pki_certificate **recipients; /* one per RecipientInfo; borrowed from the lookups */
    size_t recipient_count;
    struct flow_protect *protect; /* NULL: it leaves as it came */
};

/* Builds copy `index` of the decision; appends the edits of its header, and that of the body, to
 * `edits`. ERR_TEMP: the sender's own certificate could not be asked for; ERR_BUG, ERR_NOMEM, and
 * what flow_protect_new says. */
ERR_CHECKED enum err_code flow_copy_new(struct flow_message *message, size_t index,
                                        struct flow_edits *edits, struct flow_copy **out,
                                        struct err *err);
void flow_copy_free(struct flow_copy **copy);

/* Writes the body into `sink` (taken, whatever happens) and finishes it. Once. CRLF lines: what
 * came with a bare LF or CR leaves as CRLF or a blank, as Postfix has it. */
ERR_CHECKED enum err_code flow_copy_write(struct flow_copy *copy,
                                          const struct flow_message *message, struct stage *sink,
                                          struct err *err);

/* Counts of RecipientInfos of all copies, of which all certificates are tried; fills the outcome.
 */
ERR_CHECKED enum err_code flow_copy_describe(struct flow_message *message, struct err *err);

#endif
