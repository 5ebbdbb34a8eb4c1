/*
 * Which rule decides: the first that matches, in the order of the file. Pure.
 */
#ifndef POLICY_RULE_H
#define POLICY_RULE_H

#include "conf/conf.h"

struct policy_rule_question {
    enum conf_direction direction;
    const char *sender;    /* the address that rules see; "" or NULL: the null sender */
    const char *recipient; /* addresses in mime_address_format where they have one, else as came */
    /* Nobody stands for `sender` (policy_sender_witness): what From claims then never takes a
     * message out of a rule that encrypts always, nor into one that exempts it. Such a rule matches
     * by its recipients alone; one that does not ask for the sender, or lists <>, matches as it
     * stands. */
    bool unvouched;
};

/* The rule for one recipient, or the built-in rule (all defaults, but sign = never) when none
 * matches. NULL: a pattern could not be compared for want of memory; answer ERR_NOMEM, since the
 * next rule might let plain what that one protects. */
const struct conf_rule *policy_rule_find(const struct conf *conf,
                                         const struct policy_rule_question *question);

/* Why a rule matched or not, for `smimectl explain`: "sender", "recipient", "direction",
 * policy_rule_unknown (no memory to compare), or NULL (it matches). With `unvouched`, a rule that
 * matches may still give way to a later one that encrypts. */
extern const char policy_rule_unknown[];
const char *policy_rule_mismatch(const struct conf_rule *rule,
                                 const struct policy_rule_question *question);

/* Does some rule for outbound mail ask who the sender is, and protect? Then the sender of every
 * outbound message has to be who he says, or a false From would choose another rule. */
bool policy_rule_asks_sender(const struct conf *conf);

/* The rule that holds where no rule of the file matches. */
const struct conf_rule *policy_rule_builtin(void);

#endif
