/*
 * What was found out about one address: its certificate, or who is behind it and their
 * certificates.
 *
 * A finding is a fact that messages share: immutable once it is made, reference counted. Making one
 * asks directories and trust and may take as long as they let it; flow/resolve does that in the
 * background and keeps the result. An address with a valid certificate of its own is a person to
 * us, also where the directory calls it a group: somebody gave the list a key on purpose. A group
 * without one is expanded (directory/group), and each member is a finding of his own, judged by the
 * trust set of the rule that would hold for him as a recipient.
 *
 * Belongs to one snapshot: keys and trust sets are borrowed from it.
 */
#ifndef FLOW_FINDING_H
#define FLOW_FINDING_H

#include "directory/group.h"
#include "flow/services.h"
#include "policy/outbound.h"

struct flow_finding_question {
    const char *address; /* formatted */
    const char *trust;   /* name of the trust set */
    const char *sender;  /* as rules see him: chooses the trust sets of members */
    bool key;            /* a signing pair, not an encryption certificate; never a group */
    bool expand;         /* a group is expanded also if it has a certificate of its own */
    bool members; /* who is in a group, who must be encrypted to behind the address, and nothing
                     about certificates: `address` may be a distinguished name; trust is "" */
};

struct flow_finding_member {
    const char *address; /* borrowed from the group */
    const char *trust;   /* borrowed from the configuration */
    struct flow_finding *finding;
};

struct flow_finding {
    int references; /* private */
    enum policy_known known;
    const char *reason;                    /* static word; "ok" */
    struct directory_lookup_result lookup; /* every candidate; lookup.answer.text says why */
    struct policy_capabilities said;       /* what the person's own mail said that he can read */
    /* Of a group that was expanded, or should have been: */
    struct directory_group *group; /* the tree, without its entries; NULL: a person */
    struct err group_err;          /* ERR_OK, or why there are no members; ERR_NOTFOUND: no group */
    struct flow_finding_member *members;
    size_t member_count;
    /* Of a question for `members`: an address behind this one that must be encrypted to (sections
     * user and domain): of the group, of a group in it, of a member, each by all addresses that its
     * entry has; of a person, his primary one. NULL: none. Also where group_err is an error, as far
     * as was seen. Owned. */
    char *must;
    /* Not all directories could be asked, so that he may be a group whom nobody saw. */
    bool unsure;
    time_t until;  /* what the certificates rest on holds until then; 0: nothing is */
    bool negative; /* somebody has no certificate: worth asking again soon */
    bool temp;     /* something could not be asked: not worth keeping */
};

/* `found` (may be NULL) is what the directories said of the address (directory_lookup_find); its
 * entry may be taken. Errors are about our own ability (ERR_NOMEM, ERR_BUG): everything else is
 * part of the finding. */
ERR_CHECKED enum err_code flow_finding_load(struct flow_services *services,
                                            const struct flow_finding_question *question,
                                            struct directory_found *found,
                                            struct flow_finding **out, struct err *err);
struct flow_finding *flow_finding_add1(struct flow_finding *finding);
void flow_finding_free(struct flow_finding **finding);

/* Is the `address` of a question for `members` a distinguished name? */
bool flow_finding_is_dn(const char *name);

/* How many people it speaks of: the members, or one. */
size_t flow_finding_count(const struct flow_finding *finding);

#endif
