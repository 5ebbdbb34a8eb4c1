/*
 * What comes by the MTA's listener for copies, and marks that come by any other way.
 *
 * The listener is known by its name ({daemon_name}, parameter resubmit_daemon). What comes by it
 * must be a copy that we handed to the MTA (flow/dispatch): it carries one mark that holds, which
 * is taken off, and nothing else is done to it. All else is refused, 550 5.7.1: nobody sends past
 * policy.
 *
 * Why the name and not a second socket or process: libmilter serves one socket in a process, and a
 * second process would have to be handed the key, the memory of used marks, and its own watching
 * over. Nothing depends on the name being right: without it (an administrator forgot the option)
 * the listener is a way like any other, and policy holds there. A copy that comes back by it is
 * deferred, since its mark is seen: it neither loops nor is it protected twice, and the log says
 * which option is missing. And mail that reaches the listener by somebody's mistake in the other
 * direction is refused for want of a mark.
 *
 *   mark        on the listener         elsewhere
 *   none        550 5.7.1               as all mail
 *   valid       passes, mark removed    451, logged
 *   forged      550 5.7.1               removed, as all mail
 *
 * Holds a digest of the body, no body. Called by flow/message only.
 */
#ifndef FLOW_ARRIVAL_H
#define FLOW_ARRIVAL_H

#include "flow/message.h"

struct flow_arrival;

/* Is that the name of the listener for copies? */
bool flow_arrival_is(const struct conf *conf, const char *daemon_name);

/* The end of the header, on the listener: the mark is there, ours and fresh. ERR_PERM with a reason
 * word of flow/mark or "mark-missing"; ERR_TEMP, ERR_NOMEM. */
ERR_CHECKED enum err_code flow_arrival_new(const struct flow_message *message,
                                           struct flow_arrival **out, struct err *err);
void flow_arrival_free(struct flow_arrival **arrival);
ERR_CHECKED enum err_code flow_arrival_write(struct flow_arrival *arrival, struct span piece,
                                             struct err *err);

/* Ends the message with a failure of these functions: 550 5.7.1 that begins with FLOW_MARK_REFUSAL
 * for ERR_PERM, which is logged for the operator, too. */
void flow_arrival_fail(struct flow_message *message, struct err *err, struct flow_answer *answer);

/* The end: takes the mark. Answer and outcome of the message are filled. */
void flow_arrival_finish(struct flow_message *message, struct flow_answer *answer);

/* Elsewhere, at the end of the header. ERR_TEMP, reason "copy-elsewhere": it carries a mark of ours
 * that is fresh; ERR_NOMEM. */
ERR_CHECKED enum err_code flow_arrival_check(const struct flow_message *message, struct err *err);

/* Every mark goes: in front of all other edits, so that no index is shifted. */
ERR_CHECKED enum err_code flow_arrival_edit(struct flow_message *message, struct err *err);

#endif
