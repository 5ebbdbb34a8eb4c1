/*
 * What leaves: one message as copies that differ, each with its recipients and its treatment.
 *
 * One recipient is in exactly one copy, or is returned (the sender is told by a notice), or the
 * whole message is refused. Recipients with the same treatment, the same rules for it and
 * algorithms that all of them can read share a copy; a recipient of an encrypted copy whom the
 * header does not name has one of his own, so that no RecipientInfo names him to others.
 *
 * copies[0] stays in the milter's transaction; the others are handed to the MTA by SMTP first.
 * Indices are those of policy_outbound_facts.recipients. Pure; holds no memory of its own: `order`
 * is the caller's, for as many entries as there are recipients.
 */
#ifndef POLICY_PLAN_H
#define POLICY_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"

enum { POLICY_LIMIT_COPIES = 50 };

struct policy_treatments;

/* Indices of the words of the parameters of the same name. */
struct policy_algorithms {
    int digest, rsa_signature; /* of a signature */
    int cipher, key_transport; /* of an encrypted copy */
};

struct policy_copy {
    bool sign, encrypt, opaque;
    bool domain_signature;                /* with the certificate of sign_as */
    bool hidden;                          /* of one recipient whom the header does not name */
    const struct conf_rule *sign_rule;    /* whose format and sign_as hold; NULL: not signed */
    const struct conf_rule *encrypt_rule; /* NULL: not encrypted */
    struct policy_algorithms algorithms;
    size_t first, count; /* its recipients: order[first] ... ; never empty */
};

struct policy_plan {
    size_t *order; /* indices of recipients: copy after copy, then those who are returned */
    struct policy_copy copies[POLICY_LIMIT_COPIES];
    size_t copy_count; /* 0: refused or deferred */
    size_t returned_first, returned_count;
};

enum policy_plan_fault {
    POLICY_PLAN_OK,
    POLICY_PLAN_COPIES_NEEDED,   /* there is no listener: `one` and `other` need different copies */
    POLICY_PLAN_RETURN_NEEDED,   /* the same, and `one` has to be told to the sender */
    POLICY_PLAN_TOO_MANY_COPIES, /* more than max_copies */
    POLICY_PLAN_TOO_MANY_PEOPLE, /* more RecipientInfos than one message can have */
    POLICY_PLAN_HIDDEN_GROUP,    /* `one`: it would show its members to each other */
    POLICY_PLAN_NOBODY           /* all are returned */
};

/* Who shares a copy with whom, where nobody is refused or deferred. `order` has room for as many
 * entries as there are recipients. One and other: indices of recipients. */
enum policy_plan_fault policy_plan_find(const struct policy_treatments *all, size_t *order,
                                        struct policy_plan *out, size_t *one, size_t *other);

#endif
