/*
 * Who sent an outbound message: facts for policy/sender, and what follows from its answer.
 *
 * At the end of the header: what From, Sender and Resent fields say, and who stands for the
 * message. At its end: the directory is asked who that is, and whether he may send as somebody
 * else; then the decision; and where a secondary address is to become the primary one, the edits
 * that do it. After that the message is one from the primary address: rules are looked up anew, and
 * that key signs.
 *
 * With sender_identity = log nothing is changed: the answer goes into the outcome line alone.
 *
 * Belongs to one message; no thread rule of its own.
 */
#ifndef FLOW_IDENTITY_H
#define FLOW_IDENTITY_H

#include "directory/directory.h"
#include "flow/from.h"
#include "mime/shown.h"
#include "policy/sender.h"

struct flow_finding;
struct flow_message;

struct flow_identity {
    struct policy_sender_facts facts; /* borrows from what follows, and from the message */
    struct flow_from field[POLICY_SENDER_FIELDS];
    struct mime_shown shown;
    bool unvouched; /* no rule is chosen by what From claims: see policy/rule.h */
    bool asked;
    struct directory_entry *person; /* NULL: none, or not asked */
    struct policy_sender_answer answer;
    char was[MIME_ADDRESS_SIZE]; /* the address that was replaced; "": none */
};

/* At the end of the header, before rules are looked up. Inbound: nothing. ERR_NOMEM. */
ERR_CHECKED enum err_code flow_identity_new(struct flow_message *message, struct err *err);

/* May its answer change From, and with it the rule? Then the body is kept whatever the rule says.
 */
bool flow_identity_may_rewrite(const struct flow_message *message);

/* Asks and decides. Answers, also "could not ask", are in the result; errors are our own. */
ERR_CHECKED enum err_code flow_identity_load(struct flow_message *message, int64_t deadline_ms,
                                             struct err *err);

/* Does what the answer says: edits, the message's addresses, the rules of its recipients. ERR_PERM:
 * by the new sender a recipient may be read as another one (flow/route). */
ERR_CHECKED enum err_code flow_identity_write(struct flow_message *message, struct err *err);

/* Which of the keys that were found for From signs (borrowed from `keys`); NULL: none, and where
 * that is because of who the sender is, `reason` and `text` say so. `keys` may be NULL. */
const struct directory_candidate *flow_identity_get_signer(const struct flow_message *message,
                                                           const struct flow_finding *keys,
                                                           const char **reason, const char **text);

void flow_identity_free(struct flow_identity *identity);

#endif
