/*
 * One message to the MTA by SMTP through the listener for copies, with the mark that lets it in.
 *                                                                              RFC 5321, RFC 3461
 *
 * Used for copies that differ (flow/copies) and for letters of our own (notices). How one passes:
 *
 *   1. the body is written once, into a spool (memory up to spool_memory, then an unlinked file),
 * while its digest and what it needs of the peer (8-bit octets) are noted. So the mark can stand in
 *      the header, before the body; and no connection waits for our cryptography;
 *   2. connect, EHLO, MAIL, and RCPT for each recipient: all of them are taken, or nothing is sent,
 *      and each recipient's own reply is told: the caller knows best what to do without him;
 *   3. DATA: the mark, the header, the body, the dot.
 *
 * Memory: the header, and a spool. One at a time per caller. Bounds: one deadline for all of it but
 * the body's own chain, which has none; the spool holds twice max_message at most.
 *
 * Threads: any, each with arguments of its own.
 */
#ifndef FLOW_DISPATCH_H
#define FLOW_DISPATCH_H

#include "flow/resubmit.h"
#include "flow/services.h"
#include "util/buf.h"

struct flow_dispatch_recipient {
    const char *address;              /* formatted */
    const char *parameters;           /* NOTIFY and ORCPT as the client gave them, or NULL */
    struct flow_resubmit_reply reply; /* out: the peer's to this recipient; code 0: not asked */
};

/* Writes the body into `sink` (taken, whatever happens) and finishes it. CRLF lines. */
typedef enum err_code flow_dispatch_body_fn(void *context, struct stage *sink, struct err *err);

/* Asked with the octets of the spooled body, at each FLOW_DISPATCH_BUDGET_STEP of them, and with 0
 * when it is gone. False: they do not fit. */
typedef bool flow_dispatch_budget_fn(void *context, uint64_t bytes);
enum { FLOW_DISPATCH_BUDGET_STEP = 1024 * 1024 };

/* All borrowed for the call. */
struct flow_dispatch {
    struct flow_services *services; /* resubmit_server, hostname, key of marks, spool folder */
    const char *sender;             /* formatted; "" the null sender */
    const char *parameters;         /* of MAIL: RET, ENVID; or NULL */
    bool is_utf8;                   /* SMTPUTF8 was said of the message */
    struct flow_dispatch_recipient *recipients;
    size_t count;
    struct span header; /* fields with CRLF, without the empty line; no FLOW_MARK_FIELD in it */
    flow_dispatch_body_fn *body;
    flow_dispatch_budget_fn *budget; /* NULL: not asked */
    void *context;
    int64_t deadline_ms; /* of clock_monotonic_ms */
};

enum flow_dispatch_end {
    FLOW_DISPATCH_TAKEN,     /* the peer answers for it, for every recipient */
    FLOW_DISPATCH_RECIPIENT, /* a recipient was not accepted; nothing was sent */
    FLOW_DISPATCH_REFUSED, /* MAIL, DATA or the content: reply says 4xx or 5xx; nothing was taken */
    FLOW_DISPATCH_LOST,    /* the dot was sent and no reply came: taken, or not */
};

struct flow_dispatch_result {
    enum flow_dispatch_end end;
    struct flow_resubmit_reply
        reply;         /* of what ended it; for RECIPIENT the first that was not 2xx */
    uint64_t size;     /* octets of the body */
    char queue_id[64]; /* from the reply, where it tells one; else "" */
};

/* ERR_OK: the peer has answered, see result. ERR_TEMP: no server is configured ("resubmit-server"),
 * no connection, no answer in time, no SMTP, our own milter did not know the mark ("resubmit-mark":
 * the listener is another smimed's, or an MTA that changes messages): nothing was taken, but in the
 * last case; "busy": the budget was used up. ERR_PERM: what cannot be said in SMTP. ERR_NOMEM,
 * ERR_LIMIT, and what `body` returns.
 */
ERR_CHECKED enum err_code flow_dispatch_write(struct flow_dispatch *dispatch,
                                              struct flow_dispatch_result *result, struct err *err);

/* A finished letter of ours (header, empty line, body, CRLF) from the null sender to one address.
 * ERR_OK: taken. ERR_TEMP, ERR_PERM: not, or (reason "resubmit-lost") perhaps. */
ERR_CHECKED enum err_code flow_dispatch_letter(struct flow_services *services, const char *to,
                                               const struct buf *letter, int64_t deadline_ms,
                                               struct err *err);

#endif
