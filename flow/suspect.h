/*
 * A message that brought us down twice is not looked at a third time.                flow/poison.h
 *
 * The mark is set at the end of the header, before anything reads it, and taken away when the
 * message is freed: by then its edits are written. What is found poisoned is done by on_poison, and
 * nobody parses it again:
 *
 *   quarantine   inbound: all result fields go by their names alone, ours says permerror (poison),
 *                and the MTA holds it. Outbound it is refused: a message that somebody releases
 *                from the queue would leave in plain, whatever its rules say.
 *   defer        451 4.7.1: it waits at the client for somebody to mend the cause
 *   refuse       550 5.6.0
 *
 * What comes by the listener for copies is not marked: it is a copy of what was.
 *
 * Threads: any, between init and deinit.
 */
#ifndef FLOW_SUSPECT_H
#define FLOW_SUSPECT_H

#include "flow/message.h"

/* Opens state_folder/poison.ring. Where that cannot be, nothing is marked and mail flows: the log
 * says so, and what is suspect from before. */
void flow_suspect_init(const struct conf_global *global);
/* The end as it should be: what is in flight now is no suspect for it. */
void flow_suspect_deinit(void);

/* At the end of the header. True: the message is poisoned, and *answer is what on_poison says. */
bool flow_suspect_check(struct flow_message *message, struct flow_answer *answer);

/* Inbound, poisoned and quarantined: the edits, and the outcome. */
void flow_suspect_finish(struct flow_message *message, struct flow_answer *answer);

/* A failure of ours ends the message: was it that it took too long, and had its time? `phase` as in
 * flow/reply.h. */
void flow_suspect_set_failure(struct flow_message *message, const struct err *err, int phase);

/* The end of the message, however it ended. */
void flow_suspect_set_end(struct flow_message *message);

/* Forgets all marks; how many there were. For the administrator who has mended the cause. */
unsigned flow_suspect_reset(void);

/* Messages that are suspect now, and how many of them are poisoned. */
void flow_suspect_get(unsigned *suspects, unsigned *poisoned);

#endif
