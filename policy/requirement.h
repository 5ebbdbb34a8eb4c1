/*
 * Inbound: mail of a partner that has to be signed or encrypted (require). Pure.
 *
 * "Signed" is the verdict pass and nothing else; what could not be judged yet (temperror) waits.
 * "Encrypted" is a layer of encryption, opened here or not: whether we could open it makes no
 * difference, so the answer says nothing about keys or padding.
 */
#ifndef POLICY_REQUIREMENT_H
#define POLICY_REQUIREMENT_H

#include "policy/verdict.h"
#include "util/span.h"

struct policy_requirement {
    enum policy_disposition disposition; /* POLICY_MARK: it is met, or on_require says mark */
    const char *reason; /* "signature-required", "encryption-required"; NULL: it is met */
};

void policy_requirement_check(const struct conf_rule *rule, const struct policy_verdict *verdict,
                              bool encrypted, struct policy_requirement *out);

/* May `rule` be about a message whose From is not one usable mailbox? `from`: a From field as it
 * came. Then it claims nothing that can be compared, and what it shows to people decides: does the
 * text hold a domain that the rule names? Never no memory, never an error: too much is asked. */
bool policy_requirement_concerns(const struct conf_rule *rule, struct span from);

#endif
