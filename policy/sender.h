/*
 * Is the sender who he says? Facts in, answer out. Pure.
 *                                        RFC 5322 3.6.2, 3.6.6, RFC 6409 6.1, RFC 6854, RFC 8550 3
 *
 * Somebody stands for the message: the login; without one, on a host that we trust, the envelope
 * sender; for the null sender nobody but From itself. The directory makes a person of him, and
 *
 *   - From has exactly one mailbox, which is his primary SMTP address, or the primary address of
 *     somebody for whom he may send (send-as, on behalf);
 *   - the envelope sender is his primary address, or the address of From, or null;
 *   - Sender, and the topmost Resent-From and Resent-Sender, name nobody but him or From;
 *   - the display name and the comments of From show no address of somebody else.
 *
 * A secondary address of his in any of these places is refused, becomes his primary one, or stays,
 * as secondary_address says. Without a directory nobody can be asked: then From, envelope sender
 * and Sender have to be one address.
 *
 * What replies tell: a login hears what did not match, and his own primary address; never anything
 * about another person, so that "not yours" and "nobody's" are one answer. Without a login all
 * mismatches are one answer, since a host would learn from them who there is.
 */
#ifndef POLICY_SENDER_H
#define POLICY_SENDER_H

#include "policy/outbound.h"

/* Places of an address. */
enum policy_sender_place {
    POLICY_SENDER_FROM,
    POLICY_SENDER_SENDER,
    POLICY_SENDER_RESENT_FROM, /* of the topmost field: the last who sent it on */
    POLICY_SENDER_RESENT_SENDER,
    POLICY_SENDER_FIELDS, /* so many are fields of the header */
    POLICY_SENDER_ENVELOPE = POLICY_SENDER_FIELDS,
};

struct policy_sender_field {
    size_t fields; /* of that name in the header */
    size_t mailboxes;
    bool irregular;      /* group syntax, bytes that fit no grammar */
    const char *address; /* formatted; NULL unless it is one well-formed mailbox */
};

/* Who stands for the message. */
enum policy_witness {
    POLICY_WITNESS_LOGIN,
    POLICY_WITNESS_ENVELOPE, /* a trusted host: the envelope sender */
    POLICY_WITNESS_NOBODY    /* a trusted host: the null sender, or configured so. From speaks */
};

struct policy_sender_facts {
    const struct conf_global *conf;
    struct policy_sender_field field[POLICY_SENDER_FIELDS];
    const char *const *shown;    /* addresses that display name and comments of From show, formatted
                                    where they can be; NULL-terminated, or NULL */
    bool unreadable;             /* From has words in a character set that we cannot look into */
    const char *envelope_sender; /* formatted; "" null */
    const char *login;           /* NULL: not authenticated */
    bool automatic;              /* it says so: Auto-Submitted, or the type of a report */
    bool directory;              /* there is a directory to ask */
    enum policy_known person;    /* was he found whom policy_sender_witness names */
    const char *primary;         /* his primary SMTP address, or NULL */
    const char *const *addresses; /* all of his, NULL-terminated, or NULL */
    /* Asked where policy_sender_asks_owner says; else NO. */
    enum policy_known send_as;       /* may he send as From */
    enum policy_known owner_primary; /* is that the primary address of its owner */
    bool too_long; /* with the primary address in it a field would have a line that is too long */
};

struct policy_sender_answer {
    enum policy_identity identity;
    const char *reason;  /* "ok", or a word of docs/operations.md; with OK: "send-as",
                            "secondary-rewritten", "secondary-allowed", "nobody-vouches" */
    unsigned rewrite;    /* 1 << place: becomes the primary address. Only with OK */
    bool send_as;        /* From is another's, who lets him */
    const char *carries; /* of the facts: an address that the signing certificate has to carry
                            beside that of From; NULL: none */
    char text[400];      /* for people; "" with OK */
};

/* From the login, the envelope, the configuration, and whether it is automatic. */
enum policy_witness policy_sender_witness(const struct policy_sender_facts *facts);

/* Is send_as to be asked: person found, and From is not one of his addresses? */
bool policy_sender_asks_owner(const struct policy_sender_facts *facts);

void policy_sender_decide(const struct policy_sender_facts *facts,
                          struct policy_sender_answer *out);

#endif
