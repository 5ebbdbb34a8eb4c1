/*
 * Inbound: verify, mark, and do what the recipients' rules say of the verdict.       RFC 8601, RFC
 * 7281
 *
 * The body is only looked at while it passes; nothing of it is changed, unless it was decrypted
 * (flow/decryption). What changes is the header: fields that forge our results go, ours is put on
 * top. Each recipient's rule has a say in what happens to the one message they all get: the most
 * severe one counts.
 *
 * What was not decrypted although it was to be, and what was decrypted without any proof that it is
 * what the sender wrote, get the same answer: that of mail without a signature. Else the answer
 * would tell a sender of altered messages whether the padding was right.
 *
 * Called by flow/message only.
 */
#ifndef FLOW_INBOUND_H
#define FLOW_INBOUND_H

#include "flow/decryption.h"
#include "flow/message.h"
#include "flow/strip.h"
#include "flow/verification.h"

struct flow_inbound {
    struct flow_verification *verification; /* NULL: no recipient's rule wants it */
    struct flow_decryption *decryption;     /* NULL: nothing is to be decrypted */
    struct flow_strip *strip;               /* NULL: no signature is to be taken off */
    bool stripped;                          /* it is: the new body is what was signed */
    const char *required; /* reason word of a requirement that is not met; NULL: none */
    const struct pki_trust *
        *trusts; /* distinct sets of the recipients' rules; NULL entries: no such set */
    size_t trust_count;
    struct pki_fetch_budget budget; /* what trust may ask for the message; nothing before its end */
    const struct conf_rule *rule;   /* that decided what happens */
    enum policy_disposition disposition;
};

ERR_CHECKED enum err_code flow_inbound_new(struct flow_message *message, struct err *err);
/* The rules of the recipients are known for good: their trust sets, and who decides. Before finish.
 */
void flow_inbound_load(struct flow_message *message, int64_t deadline_ms,
                       struct flow_answer *answer);
void flow_inbound_free(struct flow_inbound **inbound);
ERR_CHECKED enum err_code flow_inbound_write(struct flow_inbound *inbound, struct span piece,
                                             struct err *err);
void flow_inbound_finish(struct flow_message *message, int64_t deadline_ms,
                         struct flow_answer *answer);
/* The body of what was decrypted, into `sink` (taken). */
ERR_CHECKED enum err_code flow_inbound_write_body(struct flow_inbound *inbound, struct stage *sink,
                                                  struct err *err);
uint64_t flow_inbound_bytes(const struct flow_inbound *inbound);

#endif
