/*
 * What lives between libmilter's callbacks: a session per connection, a message per transaction.
 *
 * The rules of libmilter that this module exists for:
 *
 *   one connection carries many messages; MAIL begins one, and whatever is left of the one before
 * it ends there, whether abort was called or not; an idle connection is closed without abort, by
 * another thread and under libmilter's lock: free waits for nothing; close may be the only callback
 * there ever was: no session then; the callbacks of one session run on different threads, one after
 * the other: nothing here is thread-local, and nothing here needs a lock.
 *
 * A message counts against the budgets from new to free, and free writes its one outcome line.
 *
 * Threads: a session belongs to one thread at a time.
 */
#ifndef MILTER_MESSAGE_H
#define MILTER_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <libmilter/mfapi.h>

#include "flow/message.h"
#include "milter/budget.h"

struct milter_message {
    bool is_arrival;                /* a copy of ours, on its listener */
    struct flow_services *services; /* a reference of our own: limits come from here to the end */
    struct flow_message *flow;
    uint64_t held_bytes;
    bool skip;                 /* the rest of the body does not matter */
    enum milter_result result; /* what stats count at free */
};

enum { MILTER_SESSION_MAGIC = 0x736d6573 };

struct milter_session {
    unsigned magic;
    bool is_arrival; /* on the listener for copies: budgets of its own */
    bool refused;    /* over max_connections: answered at MAIL, where every MTA shows it */
    bool has_address;
    struct sockaddr_storage address;
    char *host;
    struct milter_message *message;
};

/* `host` and `address` as the connect callback has them; copied; either may be NULL. NULL: no
 * memory. Over max_connections the session is there and `refused`. `daemon_name` is the macro, or
 * NULL.
 *
 * The listener for copies does not count against the budgets: the message whose copies come by it
 * waits for them with its own place taken, and max_messages = 1 would wait for itself. Its sessions
 * are as many as max_connections at most, by a count of their own; what they hold is one header
 * section each. */
struct milter_session *milter_session_new(const char *host, const struct sockaddr *address,
                                          const char *daemon_name);

/* Ends the message that is left, if any, as aborted. */
void milter_session_free(struct milter_session **session);

/* MAIL: a new message of this session. `macros` are borrowed for the call. Fills `answer` and
 * leaves session->message NULL when there is none to be had. */
struct milter_message_macros {
    const char *queue_id, *daemon_name, *login, *auth_type;
};
void milter_message_new(struct milter_session *session, const struct milter_message_macros *macros,
                        struct flow_answer *answer);

/* Frees the session's message, if there is one; logs its outcome, counts its result. */
void milter_message_free(struct milter_session *session);

/* Counts the octets that the message holds; over max_bytes `answer` becomes 451 4.3.2. */
void milter_message_check_bytes(struct milter_message *message, struct flow_answer *answer);

/* End of message: waits for a slot, finishes the flow, applies the edits; all within eom_timeout
 * and what the octets of the message add to it (flow/patience.h).
 */
void milter_message_finish(struct milter_message *message, SMFICTX *ctx,
                           struct flow_answer *answer);

/* 451 4.3.2 with that reason; for MAIL without a message. */
void milter_message_busy(const char *reason, struct flow_answer *answer);

#endif
