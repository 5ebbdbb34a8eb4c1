/*
 * Does somebody behind an address have to get it encrypted? must_encrypt outranks every rule, and
 * an address may stand for others: a group that the MTA or a later server expands, for its members;
 * another address of a person, for his primary one.
 *
 * Where a section user or domain says must_encrypt, the directories are asked who is behind every
 * outbound recipient whose rule would let it leave in plain. If one of them must be encrypted to,
 * the recipient is one who must be, by the rule that holds for him: a group that is kept is
 * encrypted for all of its members. Where nothing says must_encrypt nobody is asked.
 *
 *   - could not be asked, or not in time: 451
 *   - a group beyond a limit, or with a member whom no directory knows (group_unknown_member =
 *     refuse): it may be anybody, so it must be encrypted, which the same limit makes impossible:
 *     refused by the group's name
 *   - a group that is replaced: each member has his own rule, and his own must_encrypt
 *
 * Holds findings by tickets of the message. One thread.
 */
#ifndef FLOW_MUST_H
#define FLOW_MUST_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "util/err.h"

struct flow_message;
struct flow_recipient;

/* Begins to ask about a recipient, if `rule` were his. Errors as flow_resolve_start. */
ERR_CHECKED enum err_code flow_must_start(const struct flow_message *message,
                                          struct flow_recipient *recipient,
                                          const struct conf_rule *rule, struct err *err);

/* Is there a recipient by whose rule it would have to be asked? */
bool flow_must_is_open(const struct flow_message *message);

/* Asks and waits; rules are found anew where somebody must be encrypted to. ERR_TEMP with a reason
 * and a text for the reply: it cannot be told now. */
ERR_CHECKED enum err_code flow_must_load(struct flow_message *message, int64_t deadline_ms,
                                         struct err *err);

#endif
