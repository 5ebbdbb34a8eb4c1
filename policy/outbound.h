/*
 * Outbound: facts in, decision out. Pure: no I/O, no clock, no allocation.         RFC 8551 3.3
 *
 * The rules of the house:
 *   - nobody gets plaintext whose rule says encrypt = always;
 *   - "could not ask" defers the message (451), "not there" is refused or what the rule says;
 *   - one exempt recipient never turns protection off for the others;
 *   - everything the message says about itself is a claim: only `already_*` (parsed CMS) counts.
 *   - what is already encrypted satisfies encrypt and is left as it is: nothing is put around what
 *     its author sealed; what is already signed is not signed again.
 *
 * The decision is a plan (policy/plan): copies that differ, recipients who are returned to the
 * sender, or a refusal of the whole. What each recipient gets is in policy/treatment. The order of
 * questions: sender identity; the sender's choice; what rules alone rule out (copies-needed, where
 * no listener takes copies); then what could not be asked (451, and the retry hears everything at
 * once); then what is missing; then who shares a copy.
 *
 * A distribution group that is kept in the envelope is one recipient here, and has a certificate
 * when all of its members have one; members who take the place of their group are recipients like
 * others. Who is in a group is a fact, what becomes of it is decided here.
 */
#ifndef POLICY_OUTBOUND_H
#define POLICY_OUTBOUND_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "policy/algorithm.h"
#include "policy/choice.h"
#include "policy/plan.h"

/* The three answers. */
enum policy_known { POLICY_YES, POLICY_NO, POLICY_UNKNOWN };

struct policy_recipient {
    const char *address;
    const struct conf_rule *rule;  /* never NULL */
    bool in_header;                /* named in To or Cc (or Resent-To/Cc) */
    enum policy_known certificate; /* a valid encryption certificate; asked only where
                                      policy_outbound_needs says */
    const char *reason;            /* reason word when not YES */
    const char *text;              /* for people */
    size_t members; /* a group that is kept: how many people `certificate` speaks of; else 0 */
    bool replaces;  /* he is in the place of a group that he is a member of */
    /* groups = replace: who is in it, if it is a group, so that they took its place. NO: a group
     * whose members cannot be told; UNKNOWN: could not ask. Then he is a recipient whose members'
     * rules nobody knows, and `group_reason`, `group_text` say why. */
    enum policy_known expanded;
    const char *group_reason, *group_text;
    enum policy_key key; /* of his certificate */
    struct policy_capabilities
        said;                 /* learnt from him; of a group that is kept, from all members */
    enum policy_known escrow; /* all of his rule's encrypt_also have valid certificates */
    const char *escrow_text;
    enum policy_known domain_signing; /* his rule's sign_as has a valid signing certificate */
};

enum policy_identity {
    POLICY_IDENTITY_OK,
    POLICY_IDENTITY_REFUSED, /* reason and text say what did not match */
    POLICY_IDENTITY_UNKNOWN  /* the directory could not be asked */
};

struct policy_outbound_facts {
    const struct conf *conf;
    const struct policy_recipient *recipients;
    size_t count;
    const char *from;            /* the one mailbox of From, or NULL */
    const char *envelope_sender; /* "" null sender */
    struct policy_choice choice; /* of the sender, for all recipients */
    enum policy_identity identity;
    const char *identity_reason, *identity_text;
    enum policy_known signing; /* a valid signing certificate of the sender */
    const char *signing_reason, *signing_text;
    size_t people_limit;    /* of one encrypted copy; 0: none */
    bool already_signed;    /* clear-signed structure or CMS SignedData with a signer */
    bool already_encrypted; /* CMS EnvelopedData or AuthEnvelopedData, complete */
    bool pgp_encrypted;     /* PGP/MIME by structure */
    bool only_opaque;       /* the entity cannot be clear-signed safely */
};

enum policy_action {
    POLICY_PASS,    /* one copy, as it came, for everybody */
    POLICY_PROTECT, /* at least one copy is signed or encrypted, or somebody is returned */
    POLICY_REFUSE,
    POLICY_DEFER
};

struct policy_outbound_decision {
    enum policy_action action;
    struct policy_plan plan; /* without copies when refused, deferred, or without recipients */
    const struct conf_rule
        *rule; /* whose name the outcome line shows: the one that weighed most; never NULL */
    const char *reason;   /* reason word: "ok", "no-certificate", "copies-needed", ... */
    int code;             /* SMTP code when refused or deferred: 550, 451 */
    const char *enhanced; /* "5.7.1" */
    char text[900]; /* reply text for people, one line: who, why, what to do; first ten recipients
                       and the count */
};

/* Which recipient's rule says how to sign and how to encrypt, from rules alone: among the rules
 * that want it, for signing the strictest about a missing certificate (refuse, domain, unsigned),
 * for encryption always before if-possible; then the first recipient's. NULL: none wants it. Their
 * names are shown, and their trust sets judge our own certificates. */
const struct conf_rule *policy_outbound_sign_rule(const struct policy_outbound_facts *facts);
const struct conf_rule *policy_outbound_encrypt_rule(const struct policy_outbound_facts *facts);

/* What has to be asked before the decision can be made, from rules and envelope alone. */
struct policy_outbound_needs {
    bool signing;      /* the sender's signing certificate */
    bool certificates; /* recipients' encryption certificates, of all whose rule is not
                          encrypt = never */
    bool groups;       /* who is in a group whose rule says groups = replace */
    bool identity;
};
void policy_outbound_needs(const struct policy_outbound_facts *facts,
                           struct policy_outbound_needs *out);

/* Do its members take the place of a group? `group` is the group as it would be kept. With
 * group_fallback = replace also where it would be encrypted for several people whom the header does
 * not name, and a listener takes copies: in one copy they would see each other, each in his own
 * nobody does. */
bool policy_outbound_replaces(const struct policy_outbound_facts *facts,
                              const struct policy_recipient *group);

/* The rule of a member in the place of his group: his own, unless the group's says that everybody
 * gets it encrypted. */
const struct conf_rule *policy_outbound_member_rule(const struct conf_rule *group,
                                                    const struct conf_rule *own,
                                                    const struct policy_choice *choice);

/* The people among the recipients: members of groups that are kept, and everybody else. */
size_t policy_outbound_count(const struct policy_outbound_facts *facts);

/* Why mail to him, which should be encrypted, cannot be: his reason word, or "algorithm-floor".
 * NULL: it can, or his rule does not want it, or it is encrypted already. */
const char *policy_outbound_lacks(const struct policy_outbound_facts *facts, size_t index);

/* `order`: see policy/plan.h; out->plan points to it. */
void policy_outbound_decide(const struct policy_outbound_facts *facts, size_t *order,
                            struct policy_outbound_decision *out);

#endif
