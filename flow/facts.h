/*
 * Facts about the people of an outbound message: who is the sender, which key signs, which
 * certificate does each recipient have, who is in a group.
 *
 * Everything that asks somebody (directory, keyring, trust) begins here: flow/resolve asks in the
 * background from RCPT on, and here the message waits, with one deadline for all. Policy only
 * reads. "Could not ask" stays POLICY_UNKNOWN until policy makes 451 of it.
 *
 * Certificates of recipients are judged by the trust set of the recipient's rule, those of a
 * group's members by that of the rule that would hold for them. Our own (signing, the sender's
 * copy, escrow) are judged by the trust set "default" where there is one, else by that of the rule:
 * a rule for a partner names the partner's roots, which know nothing of our keys.
 */
#ifndef FLOW_FACTS_H
#define FLOW_FACTS_H

#include "flow/beside.h"
#include "flow/finding.h"
#include "flow/structure.h"
#include "policy/outbound.h"

struct flow_message;
struct flow_person;
struct flow_resolve_ticket;

struct flow_facts {
    struct policy_outbound_facts policy;
    struct policy_outbound_needs needs;
    int64_t deadline_ms;                 /* of flow_facts_load */
    struct policy_recipient *recipients; /* what `policy` points to; see flow/people */
    struct flow_person *people;          /* behind each of them */
    /* Borrowed from the tickets; NULL: not asked, or not there in time. */
    const struct flow_finding *signing;       /* keys for From */
    const struct directory_candidate *signer; /* the one of these that signs; NULL: none */
    const struct flow_finding *self;          /* the sender's own encryption certificate */
    bool self_asked;
    struct flow_beside *escrow; /* one for each additional recipient (encrypt_also) */
    size_t escrow_count;
    struct flow_beside *domains; /* keys for each sign_as, where they were asked for */
    size_t domain_count;
    struct flow_resolve_ticket **tickets; /* of all of these, and of members */
    size_t ticket_count, ticket_cap;
};

/* At RCPT: begins to look up a recipient by the rule that holds for him if From is the envelope
 * sender; it may be another at the end of the header, and then that question is asked too. That the
 * question is not taken is no error yet. */
ERR_CHECKED enum err_code flow_facts_start(struct flow_message *message, size_t index,
                                           struct err *err);

/* What rules and envelope alone say: fills recipients and needs, and begins to ask what is needed.
 * At the end of the header. */
ERR_CHECKED enum err_code flow_facts_new(struct flow_message *message, struct flow_facts *facts,
                                         struct err *err);

/* Waits for what is needed; structure and scan are in facts->policy already. `deadline_ms` is the
 * message's; facts_timeout holds as well. ERR_TEMP: the deadline is over; ERR_LIMIT, reason "busy".
 * Answers, also "could not ask" and "not there in time", are facts, not errors. */
ERR_CHECKED enum err_code flow_facts_load(struct flow_message *message, struct flow_facts *facts,
                                          int64_t deadline_ms, struct err *err);
void flow_facts_free(struct flow_facts *facts);

/* The sender's own encryption certificate; POLICY_NO also where it was not asked for. */
enum policy_known flow_facts_self(const struct flow_facts *facts);

#endif
