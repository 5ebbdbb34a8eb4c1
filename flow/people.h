/*
 * From recipients to people: who of the envelope is a group, who is in it, and what becomes of it.
 *
 * flow/facts asks; here the answers become what policy reads: one recipient for each address of the
 * envelope, with a group that is kept as one, and the members of a group that is replaced as many.
 * And when policy has decided to encrypt a copy: the list of certificates, one for each person of
 * it, compared with the number of people that policy was told of, so that nobody is left out
 * silently.
 *
 * Holds pointers into the findings of the message. One thread.
 */
#ifndef FLOW_PEOPLE_H
#define FLOW_PEOPLE_H

#include "flow/edits.h"
#include "flow/facts.h"

/* Behind a policy_recipient of the same number. */
struct flow_person {
    const struct flow_recipient *recipient;
    const struct flow_finding *finding; /* NULL: not asked, not there in time, or a group kept */
};

/* Fills facts->recipients and facts->people anew: certificates, members, groups. After flow/facts
 * has set the findings of the recipients, and flow/names whom the header names. */
ERR_CHECKED enum err_code flow_people_load(struct flow_message *message, struct flow_facts *facts,
                                           struct err *err);

/* The certificates of all people of one copy of the plan, of the additional recipients of their
 * rules, and the sender's where he has one: each once, in *out (free it; the certificates are
 * borrowed from the findings). ERR_BUG when somebody whom policy counted is without one. */
ERR_CHECKED enum err_code flow_people_get_certificates(const struct flow_facts *facts,
                                                       const struct policy_plan *plan, size_t copy,
                                                       struct pki_certificate ***out, size_t *count,
                                                       struct err *err);

/* Changes of the envelope: groups that are replaced go, members who are not there already come. */
ERR_CHECKED enum err_code flow_people_edit(const struct flow_message *message,
                                           struct flow_edits *edits, struct err *err);

#endif
