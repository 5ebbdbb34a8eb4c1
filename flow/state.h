/*
 * What the files of flow/ know of a message between them. Private to flow/: the doors see
 * flow/message.h.
 *
 * Everything is owned by the message unless it says otherwise. The services are a counted reference
 * that outlives every pointer into configuration, keys and trust.
 */
#ifndef FLOW_STATE_H
#define FLOW_STATE_H

#include "flow/from.h"
#include "flow/identity.h"
#include "flow/message.h"
#include "flow/outcome.h"
#include "flow/resolve.h"
#include "flow/rules.h"
#include "policy/choice.h"
#include "policy/outbound.h"
#include "policy/rule.h"

enum {
    FLOW_MESSAGE_MAGIC = 0x666c6f77,
    FLOW_LIMIT_ADDRESS = 1000,
    FLOW_LIMIT_PARAMETERS = 2000,
    FLOW_ID_SIZE = 64
};

struct flow_recipient {
    char *address;                /* formatted; as it came where it cannot be */
    char *as_came;                /* as the MTA gave it, for edits of the envelope */
    char *parameters;             /* of RCPT, one blank between; NULL: none */
    bool valid;                   /* it could be formatted */
    const struct conf_rule *rule; /* as it holds (flow/rules); set at eoh, for good at the end */
    bool open; /* what is not known yet may change that; then it is the strictest possible one */
    bool in_header;
    struct flow_resolve_ticket *ticket; /* from RCPT on, where the rule may need it */
    const struct flow_finding *finding; /* of the ticket; NULL: not asked, or not there in time */
    struct flow_resolve_ticket *inside_ticket; /* of flow/must; NULL: not asked */
    const struct flow_finding *inside;         /* its finding */
    bool must; /* flow/must: somebody behind the address must be encrypted to, or may have to be */
    /* A group whose members are known: one finding for each of finding->members. */
    const struct flow_finding **members;
    enum policy_known known; /* of his certificate, or of those of all members */
    const char *reason;      /* static word */
    char *text;              /* for people; NULL: none */
    bool replaced;           /* the members are recipients in its place */
};

struct flow_outbound;
struct flow_inbound;
struct flow_arrival;

struct flow_message {
    unsigned magic;
    struct flow_services *services;
    const struct conf *conf; /* borrowed from services */
    enum conf_direction direction;
    const char *direction_why; /* static */
    char *login;               /* NULL: not authenticated */
    char client[300];
    char id[FLOW_ID_SIZE];

    char *sender; /* formatted where it can be; "" is the null sender */
    bool sender_valid;
    char *parameters; /* of MAIL, one blank between; NULL: none */
    struct flow_recipient *recipients;
    size_t count, cap;
    int64_t rcpt_wait_ms; /* spent at RCPT (flow/early) */

    struct mime_header *header;
    uint64_t header_bytes, body_bytes;
    struct flow_from from;
    struct flow_identity identity; /* outbound */
    struct policy_choice choice;   /* outbound: of the sender */
    struct flow_rules *rules;
    bool bypass; /* signing and verifying are switched off (flow/bypass) */

    struct flow_outbound *outbound; /* after eoh, one of these three */
    struct flow_inbound *inbound;
    struct flow_arrival *arrival;
    bool is_arrival; /* it comes by the listener for copies: neither direction's rules hold */

    int poison_slot; /* of its mark; -1: none */
    bool poisoned;   /* it brought us down before and is not looked at */
    bool stalled;    /* it made us miss its deadline */
    bool wants_body;
    bool ended;       /* refused or deferred: `answer` is given to every later step */
    bool finished;    /* its end was reached */
    bool loaded;      /* flow_message_load was called */
    bool copies_wait; /* finish said FLOW_COPIES, and write_copies was not called */
    struct flow_answer answer;
    struct flow_edits edits;
    struct flow_outcome outcome;

    flow_message_budget_fn *budget; /* flow_message_set_budget; NULL: nobody */
    void *budget_context;
};

/* The sender that rules see: the mailbox of From where there is exactly one, else the envelope's.
 */
const char *flow_state_sender(const struct flow_message *message);

/* What is asked of policy/rule about `recipient` of this message; borrowed from both. */
struct policy_rule_question flow_state_question(const struct flow_message *message,
                                                const char *recipient);

/* The message ends here with our own failure, or with policy's word. Fills the outcome too. */
void flow_state_fail(struct flow_message *message, const struct err *err, int phase,
                     struct flow_answer *answer);

#endif
