/*
 * What a sender chooses for one message, and what a rule makes of it. Pure.
 *
 * A rule says always or never, and then nobody changes it; or it leaves a default (default-on,
 * default-off, if-possible), and then the sender may choose where sender_may_change allows it. A
 * choice that the rule does not follow is forbidden: the message is refused with a reply that says
 * so, or the rule holds, as forbidden_choice says. The choice is one for all recipients; each rule
 * answers for its own, so that a recipient whose mail must be encrypted outranks it.
 *
 *   sign     signed for everybody
 *   encrypt  encrypted for everybody, or not sent
 *   plain    not encrypted; and not signed where the rule leaves that open and sign is not chosen
 */
#ifndef POLICY_CHOICE_H
#define POLICY_CHOICE_H

#include <stdbool.h>

#include "conf/conf.h"
#include "util/span.h"

struct policy_choice {
    bool sign, encrypt, plain;
    bool unclear; /* a word that nobody knows, or plain beside encrypt */
};

/* Adds the words of a field: "sign, encrypt", separated by commas or white space, in any case. */
void policy_choice_parse(struct span value, struct policy_choice *choice);

/* Adds `encrypt` and the like; plain beside encrypt is unclear. */
void policy_choice_add(struct policy_choice *choice, bool sign, bool encrypt, bool plain);

bool policy_choice_is_made(const struct policy_choice *choice);

/* What holds for a rule's recipients: CONF_SIGN_ALWAYS or _NEVER. The rule's smime is not looked
 * at.
 */
enum conf_sign policy_choice_sign(const struct conf_rule *rule, const struct policy_choice *choice);

/* CONF_ENCRYPT_ALWAYS, _IF_POSSIBLE, or _NEVER. */
enum conf_encrypt policy_choice_encrypt(const struct conf_rule *rule,
                                        const struct policy_choice *choice);

/* What the sender chose and the rule does not follow, as words for people ("signed", "encrypted",
 * "plain"); NULL: nothing. Whatever forbidden_choice says. */
const char *policy_choice_forbidden(const struct conf_rule *rule,
                                    const struct policy_choice *choice);

#endif
