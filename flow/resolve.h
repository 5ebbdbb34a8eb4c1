/*
 * Addresses are looked up while the message still arrives, and remembered.
 *
 * At RCPT a message asks for what it will need (flow_resolve_start) and goes on; a pool of threads
 * does the asking. At the end of the message it waits (flow_resolve_wait), all of its questions
 * within one budget. What is not there then is "could not ask"; the work goes on, and the retry
 * finds it done.
 *
 *   - One job per question at a time: messages that ask the same share it.
 *   - Questions that wait are put to the directories together, up to FLOW_RESOLVE_BATCH in one.
 *   - A job that nobody waits for any more before it began is dropped (the message was aborted),
 * but not one whose message ran out of time.
 *   - What is found is kept: resolve_life, or resolve_life_negative where somebody has no
 *     certificate, and never longer than the certificates, CRLs and OCSP answers it rests on. What
 *     could not be asked is not kept. A bounded number is: the least recently used goes first.
 *
 * A resolver belongs to one snapshot (flow/services) and goes with it: a reload forgets everything.
 * Jobs hold a reference to the snapshot. Without a pool (smimectl) every question is answered where
 * it is asked.
 *
 * Threads: any. One lock for cache and jobs, held while pointers move, never during a question.
 */
#ifndef FLOW_RESOLVE_H
#define FLOW_RESOLVE_H

#include "flow/finding.h"

enum { FLOW_RESOLVE_BATCH = 64 };

struct flow_resolve;
struct flow_resolve_ticket;

/* The pool, for the whole process: once at its start, and at its end, after the last message. */
ERR_CHECKED enum err_code flow_resolve_init(unsigned threads, size_t queue, struct err *err);
void flow_resolve_deinit(void);

/* For flow/services. */
ERR_CHECKED enum err_code flow_resolve_new(const struct conf_global *global,
                                           struct flow_resolve **out, struct err *err);
void flow_resolve_free(struct flow_resolve **resolve);

/* Begins, and waits for nothing (with a pool). The question is copied. *out is returned
 * (flow_resolve_free_ticket), to be freed before the snapshot. ERR_LIMIT, reason "busy": as much
 * waits as may. */
ERR_CHECKED enum err_code flow_resolve_start(struct flow_services *services,
                                             const struct flow_finding_question *question,
                                             struct flow_resolve_ticket **out, struct err *err);

/* Is it the answer to that question? */
bool flow_resolve_is(const struct flow_resolve_ticket *ticket,
                     const struct flow_finding_question *question);

/* The finding, borrowed until the ticket is freed. ERR_TEMP with reason "deadline": not there in
 * time; else our own failure. May be called again. */
ERR_CHECKED enum err_code flow_resolve_wait(struct flow_resolve_ticket *ticket, int64_t deadline_ms,
                                            const struct flow_finding **out, struct err *err);
void flow_resolve_free_ticket(struct flow_resolve_ticket **ticket);

struct flow_resolve_facts {
    size_t kept, weight;           /* findings, and people in them */
    uint64_t hits, misses, shared; /* questions */
    uint64_t dropped;              /* jobs nobody waited for */
    uint64_t batches;              /* questions to directories for several addresses */
};
void flow_resolve_get(struct flow_resolve *resolve, struct flow_resolve_facts *out);

#endif
