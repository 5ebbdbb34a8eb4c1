/*
 * A plan of several copies is carried out: all but one are handed to the MTA by SMTP before the
 * answer, the last one stays in the milter's transaction.                      RFC 5321, RFC 3461
 *
 * How one message passes:
 *
 *   1. Nothing has left. Whoever would have to be told by a letter (plan.returned) can be told, or
 * the message is refused: it is automatic, or its sender is the null one.
 *   2. The message is identified (flow/journal): digest of header and body, sender, recipients. One
 *      of the same that is under way is waited for by the client (451). The journal says who has
 * had his copy, and that it can be written: without it nothing leaves.
 *   3. Copy after copy: recipients who have had theirs are left out, the chain is built and run
 * into a spool, and handed over (flow/dispatch). After the MTA's 250 the note is on the disk before
 *      anything else happens. One chain at a time.
 *   4. One letter tells the sender who got nothing: plan.returned, and whom the MTA refused after
 *      something had left. Then they are noted, too: a retry does not repeat the letter.
 *   5. The envelope of the transaction is cut down to the recipients of copies[0].
 *
 * What the MTA says:
 *
 *   4xx, silence, a closed connection      451; the retry goes on where it stopped
 *   5xx, and nothing has left yet          the message is refused with that reply
 *   5xx, and something has left            the copy leaves without him, and the letter names him
 *   the dot was sent, and no reply came    451, not noted: the first of the two windows in which a
 *                                          copy may be repeated; it is never lost
 *
 * A message without a Message-ID of its own (the MTA's, made anew at each attempt, does not count)
 * cannot be told from one that is sent again on purpose. Its notes hold until it has ended, no
 * longer: an alarm that says the same every hour arrives every hour.
 *
 * Called by flow/message only. Memory: a header, and what flow/copy and flow/dispatch hold.
 */
#ifndef FLOW_COPIES_H
#define FLOW_COPIES_H

#include "flow/message.h"

/* Is there more to do than the edits of one message? After the decision. */
bool flow_copies_are_needed(const struct flow_message *message);

/* Carries the plan out. FLOW_CONTINUE: the edits hold, those of the envelope are among them now.
 * FLOW_DISCARD: everybody has had his copy already. Else the message ends, outcome and all. */
void flow_copies_write(struct flow_message *message, int64_t deadline_ms,
                       struct flow_answer *answer);

#endif
