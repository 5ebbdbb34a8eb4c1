/*
 * Facts about the people of an outbound message: who is the sender, which key signs, which
 * certificate does each recipient have.
 *
 * Everything that asks somebody (directory, keyring, trust) is here, between two looks at the
 * clock; policy only reads. "Could not ask" stays POLICY_UNKNOWN until policy makes 451 of it.
 *
 * Certificates of recipients are judged by the trust set of the recipient's rule. Our own (signing,
 * the sender's copy, escrow) are judged by the trust set "default" where there is one, else by that
 * of the rule: a rule for a partner names the partner's roots, which know nothing of our keys.
 */
#ifndef FLOW_FACTS_H
#define FLOW_FACTS_H

#include "directory/lookup.h"
#include "flow/structure.h"
#include "policy/outbound.h"
#include "policy/sender.h"

struct flow_message;

enum { FLOW_LIMIT_ESCROW = 100 };

struct flow_facts {
    struct policy_outbound_facts policy;
    struct policy_outbound_needs needs;
    int64_t deadline_ms;                 /* of flow_facts_load */
    struct policy_recipient *recipients; /* what `policy` points to */
    struct policy_sender_answer identity;
    bool identity_asked;
    struct directory_lookup_result signing; /* keys for From */
    struct directory_lookup_result domain;  /* keys for sign_as */
    struct directory_lookup_result self;    /* the sender's own encryption certificate */
    enum policy_known self_known;
    struct directory_lookup_result *escrow; /* one for each additional recipient */
    const char **escrow_addresses;          /* borrowed from the configuration */
    size_t escrow_count;
    char escrow_text[300];
};

/* What rules and envelope alone say: fills recipients and needs. At the end of the header. */
ERR_CHECKED enum err_code flow_facts_new(struct flow_message *message, struct flow_facts *facts,
                                         struct err *err);

/* Asks what is needed; structure and scan are in facts->policy already. ERR_TEMP: the deadline is
 * over. Answers, also "could not ask", are facts, not errors. */
ERR_CHECKED enum err_code flow_facts_load(struct flow_message *message, struct flow_facts *facts,
                                          int64_t deadline_ms, struct err *err);
void flow_facts_free(struct flow_facts *facts);

#endif
