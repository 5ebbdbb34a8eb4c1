/*
 * A decision that says no or not now, and the one line that tells the sender who, why and what to
 * do.
 *
 * Every refusal of policy/outbound is made here, so that none is without a code, a reason word or a
 * text, and none promises protection as well. Pure; any thread.
 */
#ifndef POLICY_REFUSAL_H
#define POLICY_REFUSAL_H

#include "policy/outbound.h"
#include "policy/treatment.h"

/* POLICY_REFUSE is 550 5.7.1, POLICY_DEFER 451 4.7.1. `reason` NULL: "unknown". */
void policy_refusal_set(struct policy_outbound_decision *out, enum policy_action action,
                        const char *reason, const struct conf_rule *rule);

/* The text out of parts that end with NULL. The first and the last part stay whole; what is between
 * shares the rest of the line. */
void policy_refusal_write(struct policy_outbound_decision *out, const char *const *parts);

/* "head a (why), b (why) and 3 more; 13 of 20 recipients tail": the first ten of those whose
 * treatment ends so. There is at least one. */
void policy_refusal_list(struct policy_outbound_decision *out, const struct policy_treatments *all,
                         enum policy_treatment_end end, const char *head, const char *tail);

/* copies-needed: `one` gets the message in a way that `other` must not. */
void policy_refusal_copies(struct policy_outbound_decision *out, const struct policy_recipient *one,
                           const char *one_needs, const struct policy_recipient *other,
                           const char *other_needs);

#endif
