/*
 * What smimed takes on at once, and what it has done: connections, messages, octets in flight,
 * slots for end-of-message work, and the counters of `smimectl stats`.
 *
 * Everything that a client can multiply is counted here and refused with 451 4.3.2 beyond its
 * limit: an MTA that sends more than we can carry is told to come back, instead of taking the
 * machine's memory away from the messages that are half done. Limits are arguments, not state: they
 * come from the configuration of the message that asks, so that a reload needs no step of its own.
 *
 * Process-wide, because libmilter's callbacks have no context before a connection has one. One
 * mutex, held for a few instructions and never while anything waits (a slot waits on the
 * condition).
 *
 * Threads: any.
 */
#ifndef MILTER_BUDGET_H
#define MILTER_BUDGET_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum milter_result {
    MILTER_RESULT_DELIVERED, /* went on with our edits, or as it came */
    MILTER_RESULT_REFUSED,   /* 5xx */
    MILTER_RESULT_DEFERRED,  /* 4xx of the flow's */
    MILTER_RESULT_BUSY,      /* 451 4.3.2: a budget was spent */
    MILTER_RESULT_FAILED,    /* an edit did not reach the MTA: 451 4.3.0 */
    MILTER_RESULT_ABORTED,   /* the MTA gave up, or went away */
    MILTER_RESULT_COUNT
};

struct milter_budget_facts {
    uint64_t connections, connections_total, connections_refused;
    uint64_t arrivals, arrivals_total; /* connections on the listener for copies */
    uint64_t messages, messages_total;
    uint64_t bytes, bytes_peak;
    uint64_t slots, slots_waiting;
    uint64_t results[MILTER_RESULT_COUNT];
    bool stopping;
};

/* The words of enum milter_result: "delivered", "refused", ... Static. */
const char *milter_result_name(enum milter_result result);

/* False: over the limit; there is nothing to release then. */
bool milter_budget_take_connection(uint64_t limit);
void milter_budget_release_connection(void);

/* The same for the listener for copies, by a count of its own. */
bool milter_budget_take_arrival(uint64_t limit);
void milter_budget_release_arrival(void);

/* False: over a limit, or the daemon is stopping. Counted as MILTER_RESULT_BUSY; nothing to
 * release. */
bool milter_budget_take_message(uint64_t limit, uint64_t limit_bytes);
void milter_budget_release_message(enum milter_result result);

/* A message holds `now` octets; `held` is what it was counted with before, and is set. False: all
 * messages together hold more than `limit_bytes`, and this one asked for more. */
bool milter_budget_set_bytes(uint64_t *held, uint64_t now, uint64_t limit_bytes);

/* The same for what a message needs beside itself to come to its end (a copy). One that holds all
 * the octets there are goes on: nobody else could make room for it, and it would be deferred for
 * ever. What it may need then is bounded by max_message. */
bool milter_budget_set_bytes_to_end(uint64_t *held, uint64_t now, uint64_t limit_bytes);

/* A slot bounds work for a processor, not waiting for the MTA: an MTA that stops reading in the
 * middle of a body must not hold one for ever. So a holder says that it moves, and one that has not
 * for `patience_ms` no longer counts. Lives on the holder's stack; the caller sets patience_ms. */
struct milter_budget_slot {
    int64_t patience_ms;
    int64_t stale_ms;                /* private: on clock_monotonic_ms */
    struct milter_budget_slot *next; /* private */
    pthread_cond_t turn;             /* private: it is the first of those that wait */
};

/* Waits for one of `limit` slots until `deadline_ms` (clock_monotonic_ms). False: none came free.
 * Who came first goes first, and whoever leaves wakes nobody but the next one. */
bool milter_budget_take_slot(struct milter_budget_slot *slot, uint64_t limit, int64_t deadline_ms);
void milter_budget_reset_slot(struct milter_budget_slot *slot); /* it moves */
void milter_budget_release_slot(struct milter_budget_slot *slot);

/* From now on no message is taken. */
void milter_budget_stop(void);

/* Waits until no message is in flight. False: some still were at the deadline. */
bool milter_budget_wait_idle(int64_t deadline_ms);

/* The same for end-of-message work. */
bool milter_budget_wait_slots(int64_t deadline_ms);

void milter_budget_get(struct milter_budget_facts *out);

/* All zero again; for tests. */
void milter_budget_reset(void);

#endif
