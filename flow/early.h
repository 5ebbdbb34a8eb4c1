/*
 * At RCPT: a recipient who cannot be encrypted to is refused at once, where the rule says so and
 * nothing that comes later could change it (policy/early).
 *
 * The other recipients are served; his own reply says who, why and what to do. The answer is waited
 * for: rcpt_timeout for each recipient, facts_timeout for all of a message together. What could not
 * be asked, or not in time, is 451 for him. A group is left to the end of the message, where its
 * members are known; so is a local submission, which Postfix would give up as a whole.
 *
 * The message belongs to one thread.
 */
#ifndef FLOW_EARLY_H
#define FLOW_EARLY_H

#include "flow/message.h"

/* About the recipient who was added last. true: `answer` refuses or defers him, a line of the log
 * says so, and the caller takes him out again. */
ERR_CHECKED enum err_code flow_early_check(struct flow_message *message, bool *refused,
                                           struct flow_answer *answer, struct err *err);

#endif
