/*
 * One message through the house, knowing nothing of libmilter: the milter and smimectl explain walk
 * the same rooms.
 *
 *     new -> sender -> recipient* -> header* -> eoh -> write* -> finish -> answer (copies), edits,
 * body -> free
 *
 * `new` fixes the snapshot and the direction. Outbound, the body goes into a spool while a scanner
 * looks at it; inbound, clear-signed content is hashed while it passes and nothing is kept. finish
 * waits for facts (load), lets policy decide, and computes the edits; the caller applies them in
 * one loop and, for FLOW_EDIT_REPLACE_BODY, lets flow_message_write_body run the chain. Then
 * flow_message_log writes the one outcome line.
 *
 * A message belongs to one thread at a time (libmilter's workers change between callbacks; nothing
 * here is thread-local).
 */
#ifndef FLOW_MESSAGE_H
#define FLOW_MESSAGE_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "flow/edits.h"
#include "flow/services.h"
#include "mime/header.h"
#include "util/stage.h"

struct flow_message;

/* What the MTA knows of the client; all borrowed for the call of flow_message_new; NULL: not known.
 */
struct flow_client {
    const struct sockaddr *address; /* NULL: local submission or unknown */
    const char *host;
    const char *daemon_name;
    const char *login; /* {auth_authen}; "" and NULL: not authenticated */
    const char *auth_type;
};

enum flow_answer_kind {
    FLOW_CONTINUE,    /* go on (at the end: deliver with the edits) */
    FLOW_ACCEPT_REST, /* the rest of the body does not matter (SMFIS_SKIP) */
    FLOW_REFUSE,      /* 5xx */
    FLOW_DEFER,       /* 4xx */
    FLOW_COPIES,      /* of finish alone: flow_message_write_copies comes next */
    FLOW_DISCARD      /* accepted, and nothing is left to be delivered: everybody had his copy */
};

struct flow_answer {
    enum flow_answer_kind kind;
    int code;          /* 550, 451, ... */
    char enhanced[12]; /* "5.7.1" */
    char
        text[1000]; /* one line, escaped and capped; no CR, LF, '%' needs no care of the caller's */
};

ERR_CHECKED enum err_code flow_message_new(struct flow_services *services,
                                           const struct flow_client *client,
                                           struct flow_message **out, struct err *err);
void flow_message_free(struct flow_message **message);

/* The queue-id, as soon as it is known. May be called again. */
void flow_message_set_id(struct flow_message *message, const char *queue_id);

/* Each step answers at once; errors of our own become FLOW_DEFER with 4.3.0 inside. Addresses as
 * the MTA gives them
 * ("<a@x>" or "a@x"). */
void flow_message_sender(struct flow_message *message, const char *address,
                         struct flow_answer *answer);
void flow_message_recipient(struct flow_message *message, const char *address,
                            struct flow_answer *answer);
/* The ESMTP parameters of MAIL, before the first recipient, then of the last recipient:
 * "NOTIFY=NEVER", "BODY=8BITMIME". NULL at the end; copied. For copies that are handed to the MTA
 * anew. */
void flow_message_set_parameters(struct flow_message *message, char *const *arguments,
                                 struct flow_answer *answer);

/* `value` as libmilter gives it with SMFIP_HDR_LEADSPC: leading space kept, LF folding. */
void flow_message_header(struct flow_message *message, struct span name, struct span value,
                         struct flow_answer *answer);
void flow_message_eoh(struct flow_message *message, struct flow_answer *answer);
void flow_message_write(struct flow_message *message, struct span piece,
                        struct flow_answer *answer);

/* End of message, the part that waits and computes little: what is it, and what do directories and
 * trust say of its people. `deadline_ms` on clock_monotonic_ms. May be left out: finish does it. */
void flow_message_load(struct flow_message *message, int64_t deadline_ms,
                       struct flow_answer *answer);

/* End of message: decision, edits, and inbound the verification. */
void flow_message_finish(struct flow_message *message, int64_t deadline_ms,
                         struct flow_answer *answer);

/* After FLOW_COPIES: hands all copies but the one that stays to the MTA by SMTP, and writes
 * letters. smimectl explain leaves it out: finish has no effects. FLOW_CONTINUE: the edits hold
 * now. */
void flow_message_write_copies(struct flow_message *message, int64_t deadline_ms,
                               struct flow_answer *answer);

/* Valid after finish, and after write_copies where it was asked for. */
const struct flow_edits *flow_message_edits(const struct flow_message *message);

/* Runs the chain of FLOW_EDIT_REPLACE_BODY into `sink` (taken, whatever happens), finishes it.
 * Once. */
ERR_CHECKED enum err_code flow_message_write_body(struct flow_message *message, struct stage *sink,
                                                  struct err *err);

/* Octets this message holds now, heap and spool, for the byte budget. */
uint64_t flow_message_bytes(const struct flow_message *message);

/* Who keeps the byte budget, asked while write_copies makes a copy, which has a spool of its own:
 * the message holds `more` octets beside flow_message_bytes. False: all messages together hold too
 * many; the message is deferred (reason "busy"), copies that have left are not sent again. Borrowed
 * until the message is freed; without it copies are not counted (smimectl). */
typedef bool flow_message_budget_fn(void *context, uint64_t more);
void flow_message_set_budget(struct flow_message *message, flow_message_budget_fn *budget,
                             void *context);

/* What the milter found out after finish (an edit failed, the client went away): changes the
 * outcome. */
void flow_message_set_failed(struct flow_message *message, const char *reason);

/* The outcome line; once per message, also for a message that was aborted ("result=aborted"). */
void flow_message_log(struct flow_message *message);

/* Facts, rules, people and decision in words, for smimectl explain: calls `each` for every line.
 * Answer and edits are the caller's to show. */
typedef void flow_message_explain_fn(void *context, const char *topic, const char *text);
void flow_message_explain(const struct flow_message *message, flow_message_explain_fn *each,
                          void *context);

/* The fields of the outcome line, in their order, as far as they are known: what flow_message_log
 * writes. Borrowed for the call. */
typedef void flow_message_outcome_fn(void *context, const char *name, const char *value,
                                     bool is_number);
void flow_message_outcome(const struct flow_message *message, flow_message_outcome_fn *each,
                          void *context);

#endif
