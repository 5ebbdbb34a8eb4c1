/*
 * One copy of a message to the MTA by SMTP.                RFC 5321, RFC 3461, RFC 6152, RFC 6531
 *
 * Copies that differ cannot leave in the milter's transaction: they are handed to a listener of the
 * MTA that is ours alone. libcurl is no help there: it mangles the DSN parameters of RCPT, sends no
 * BODY= and hides each recipient's own reply, and those replies are what a sender must be told.
 *
 * How one copy passes: new (connect, greeting, EHLO, MAIL), add for each recipient (RCPT), open
 * (DATA: content from here on), stage_write of what `sink` gives, close (the dot, the final reply).
 * Everything before close can be repeated without harm: the peer has taken nothing. Between the
 * dot and its reply lies the one window in which a copy may have been taken although nobody heard
 * so: close says RESUBMIT_LOST then, and the journal's reader decides.
 *
 * What the envelope said is kept: ENVID, RET, NOTIFY, ORCPT where the peer offers DSN,
 * BODY=8BITMIME where it offers 8BITMIME, SMTPUTF8 (without which such a message is refused here).
 * Nothing that goes into a command may hold a control character or a space: what the client sent us
 * passed an MTA, but it is a stranger's text all the same.
 *
 * Bounds: one deadline for all; a reply has at most FLOW_RESUBMIT_LINES lines of 512 octets, more
 * is a broken peer. Memory: one line and one buffer of 16 KiB, whatever the size of the message.
 *
 * Threads: one at a time.
 */
#ifndef FLOW_RESUBMIT_H
#define FLOW_RESUBMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "util/span.h"
#include "util/stage.h"

enum {
    FLOW_RESUBMIT_LINES = 64,
    FLOW_RESUBMIT_LINE_BYTES = 512,     /* RFC 5321 4.5.3.1.5 */
    FLOW_RESUBMIT_COMMAND_BYTES = 2048, /* RFC 3461 and 6531 lengthen the 512 of RFC 5321 */
};

/* What a peer said: the code, 0 where it said nothing, and its first lines as one text. */
struct flow_resubmit_reply {
    int code;
    char enhanced[12]; /* "5.1.1", or "" */
    char text[500];    /* printable ASCII */
};

struct flow_resubmit_args {
    const char *server;     /* "unix:/path" or "inet:port@host" with an address or a name of ours */
    const char *helo;       /* our name */
    const char *sender;     /* without <>; "" is the null sender */
    const char *parameters; /* of MAIL as the client gave them, one blank between; may be NULL.
                               SIZE, AUTH and what is unknown is left out */
    bool is_8bit;           /* the copy holds octets above 127 */
    bool is_utf8;           /* its header or envelope does: SMTPUTF8 */
    int64_t deadline_ms;    /* of clock_monotonic_ms */
};

struct flow_resubmit;

/* Connects and says MAIL. ERR_TEMP: no connection, the peer is too slow, says 4xx to MAIL, or is
 * unwilling to talk to us at all. ERR_PERM: it says 5xx to MAIL, lacks what the message needs, or
 * an argument cannot be said in SMTP. `reply` (may be NULL) is the last thing it said. Arguments
 * are borrowed for the call. */
ERR_CHECKED enum err_code flow_resubmit_new(const struct flow_resubmit_args *args,
                                            struct flow_resubmit **out,
                                            struct flow_resubmit_reply *reply, struct err *err);

/* Does the peer offer DSN, so that NOTIFY, ORCPT, RET and ENVID are passed on? */
bool flow_resubmit_has_dsn(const struct flow_resubmit *resubmit);

/* Says RCPT; the answer is the recipient's own: ERR_OK with the reply's code 2xx, 4xx or 5xx. Any
 * other code ends the transaction (ERR_TEMP, ERR_PERM). `parameters` as above, or NULL. */
ERR_CHECKED enum err_code flow_resubmit_add(struct flow_resubmit *resubmit, const char *recipient,
                                            const char *parameters,
                                            struct flow_resubmit_reply *reply, struct err *err);

/* Says DATA, when at least one recipient was accepted. *sink takes the message (CRLF lines; it is
 * dot-stuffed here, a bare CR or LF is ERR_BUG: nothing that the canonical form lets through); it
 * borrows `resubmit`, and is freed by the caller. */
ERR_CHECKED enum err_code flow_resubmit_open(struct flow_resubmit *resubmit, struct stage **sink,
                                             struct flow_resubmit_reply *reply, struct err *err);

enum flow_resubmit_end {
    FLOW_RESUBMIT_TAKEN,   /* 2xx: the peer answers for the copy now */
    FLOW_RESUBMIT_REFUSED, /* 4xx, 5xx: reply says which; nothing was taken */
    FLOW_RESUBMIT_LOST,    /* the dot was sent and no reply came: taken, or not */
};

/* Ends the content: the dot, the reply, QUIT (whose answer is not waited for). The sink must have
 * been finished. ERR_TEMP: the connection broke before the dot was sent, nothing was taken. */
ERR_CHECKED enum err_code flow_resubmit_close(struct flow_resubmit *resubmit,
                                              enum flow_resubmit_end *end,
                                              struct flow_resubmit_reply *reply, struct err *err);

/* At any time: what is not closed was not taken (the connection is cut, without a dot). */
void flow_resubmit_free(struct flow_resubmit **resubmit);

#endif
