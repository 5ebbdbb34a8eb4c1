/*
 * The one place that makes an SMTP reply of an error.                        RFC 5321 4.2, RFC 3463
 *
 * ERR_NOTFOUND and ERR_PERM are 5xx only where the phase says that the message itself is to blame;
 * everything else, and everything unknown, is 451: a sender's MTA tries again, nothing leaves
 * unprotected. smimectl explain prints the same replies.
 */
#ifndef FLOW_REPLY_H
#define FLOW_REPLY_H

#include "flow/message.h"

enum flow_phase {
    FLOW_PHASE_ENVELOPE, /* MAIL, RCPT */
    FLOW_PHASE_HEADER,
    FLOW_PHASE_BODY,
    FLOW_PHASE_FACTS,     /* directory, keys, trust */
    FLOW_PHASE_STRUCTURE, /* the message's MIME structure, as it was scanned */
    FLOW_PHASE_BUILD,     /* signing, encrypting, writing */
    FLOW_PHASE_COPIES,    /* handing copies to the MTA */
    FLOW_PHASE_MARK,      /* what comes by the listener for copies (flow/arrival) */
    FLOW_PHASE_BUDGET     /* too much work or too many bytes in flight: 451 4.3.2 */
};

/* Fills `answer` for an error. The text goes through flow_reply_text. */
void flow_reply_error(const struct err *err, enum flow_phase phase, struct flow_answer *answer);

/* A reply of policy's. code 0 is FLOW_CONTINUE; 4xx defers, 5xx refuses, anything else is
 * 451 4.3.0. */
void flow_reply_set(struct flow_answer *answer, int code, const char *enhanced, const char *text);

/* "Go on". */
void flow_reply_continue(struct flow_answer *answer);

/* One line for an SMTP reply: printable ASCII, everything else '?', cut at `size` with "...". */
void flow_reply_text(const char *text, char *out, size_t size);

#endif
