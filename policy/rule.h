/*
 * Which rule decides: the first that matches, in the order of the file. Pure.
 */
#ifndef POLICY_RULE_H
#define POLICY_RULE_H

#include "conf/conf.h"

/* The rule for one recipient, or the built-in rule (all defaults, but sign = never) when none
 * matches. NULL: a pattern could not be compared for want of memory; answer ERR_NOMEM, since the
 * next rule might let plain what that one protects. `sender` "" is the null sender. Addresses in
 * mime_address_format where they have one, else as they came. */
const struct conf_rule *policy_rule_find(const struct conf *conf, enum conf_direction direction,
                                         const char *sender, const char *recipient);

/* Why a rule matched or not, for `smimectl explain`: "sender", "recipient", "direction",
 * policy_rule_unknown (no memory to compare), or NULL (it matches). */
extern const char policy_rule_unknown[];
const char *policy_rule_mismatch(const struct conf_rule *rule, enum conf_direction direction,
                                 const char *sender, const char *recipient);

/* Does some rule for outbound mail ask who the sender is, and protect? Then the sender of every
 * outbound message has to be who he says, or a false From would choose another rule. */
bool policy_rule_asks_sender(const struct conf *conf);

/* The rule that holds where no rule of the file matches. */
const struct conf_rule *policy_rule_builtin(void);

#endif
