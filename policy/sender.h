/*
 * Is the sender who he says? Facts in, answer out. Pure.                     RFC 5322 3.6.2, RFC
 * 6409 6.1
 *
 * From must hold exactly one mailbox, the envelope sender must be the same mailbox (or null for
 * automatic mail), and both must be the primary SMTP address of the person whom the login (or, for
 * a trusted host without authentication, the envelope sender) names. A secondary address is
 * refused. Replies say what did not match without telling an attacker more than he needs.
 */
#ifndef POLICY_SENDER_H
#define POLICY_SENDER_H

#include "policy/outbound.h"

struct policy_sender_facts {
    size_t from_fields; /* From fields in the header */
    size_t from_mailboxes;
    bool from_irregular;          /* group syntax, bytes that fit no grammar */
    const char *from;             /* formatted, or NULL */
    const char *envelope_sender;  /* formatted; "" null */
    const char *login;            /* NULL: not authenticated */
    bool directory;               /* there is a directory to ask */
    enum policy_known person;     /* was the person found */
    const char *primary;          /* his primary SMTP address, or NULL */
    const char *const *addresses; /* all of his, NULL-terminated, or NULL */
    bool fold_local;
};

struct policy_sender_answer {
    enum policy_identity identity;
    const char *reason; /* "ok", "from-missing", "from-several", "from-syntax", "from-not-sender",
                           "sender-unknown", "not-your-address", "secondary-address",
                           "directory-unreachable" */
    char text[300];
};

void policy_sender_decide(const struct policy_sender_facts *facts,
                          struct policy_sender_answer *out);

#endif
