/*
 * mload: a load generator for mail filters that speak the milter protocol, version 6.
 *
 * One thread, epoll, any number of connections. It plays the MTA's part as Postfix and Sendmail do:
 * negotiates, honours what the filter does not want to see or to answer, sends envelope, header
 * fields and body, reads every edit and answer. mload_talk.c holds the conversation of one
 * connection, mload_message.c what is sent, mload_figures.c what is measured, mload.c the rest.
 */
#ifndef BENCH_MLOAD_H
#define BENCH_MLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- figures ----------------------------------------------------------------------------------
 */

struct figures {
    long done, failed, tempfailed, rejected;
    uint64_t replaced_bytes, edits;
    double *latency_us;
    size_t count, cap;
};

struct process {
    double cpu_s; /* of the process and of its children that ended */
    long peak_kib, rss_kib, threads;
};

uint64_t figures_now_ns(void);
void figures_add(struct figures *figures, double latency_us);
/* Sorts the latencies; `share` 0.5 is the median. */
double figures_get(struct figures *figures, double share);
/* Sets the peak back to what is resident now. */
void process_reset(int pid);
struct process process_get(int pid);

/* ---- the message ------------------------------------------------------------------------------
 */

struct message {
    struct message_field {
        char *name, *value;
    } * fields;
    size_t count;
    uint8_t *body;
    size_t body_n;
};

struct talk_plan;

/* Text lines of 76 characters, `body_bytes` octets of them, from and to the plan's addresses. */
void message_make(struct message *message, size_t body_bytes, const struct talk_plan *plan);
/* A file as it would lie in a mailbox: header section, empty line, body; line ends become CRLF. */
void message_load(struct message *message, const char *path);
void *message_room(void *block, size_t size);
_Noreturn void message_die(const char *what, const char *why);

/* ---- the conversation -------------------------------------------------------------------------
 */

enum talk_step {
    TALK_NEGOTIATE,
    TALK_CONNECT,
    TALK_HELO,
    TALK_MAIL,
    TALK_RCPT,
    TALK_DATA,
    TALK_HEADER,
    TALK_EOH,
    TALK_BODY,
    TALK_EOM,
    TALK_ANSWER,
    TALK_QUIT
};

struct talk_plan {
    const struct message *message;
    const char *from;        /* '%' becomes the number of the connection */
    const char *to;          /* '%' becomes the number of the recipient, '#' that of the message */
    const char *daemon_name; /* {daemon_name} */
    size_t recipients, piece_bytes;
    long messages;        /* in all; 0: until `stopping` */
    long per_connection;  /* 0: any number */
    uint64_t interval_ns; /* a message begins so often, on any connection; 0: as soon as it can */
    uint32_t offer;       /* protocol flags */
    FILE *save;           /* what the first message was changed to, then NULL */
    bool stopping;
    long started;
    struct figures figures;
};

struct talk {
    int fd, number;
    enum talk_step step;
    size_t index; /* of recipient or field */
    size_t body_at;
    uint32_t flags; /* as negotiated */
    bool waiting, skip, closing, wants_out, ended;
    bool parked, released; /* interval_ns: waits for its turn, or has it */
    long messages;
    uint8_t *out; /* commands; then `body_n` octets of the body */
    size_t out_n, out_at, out_cap;
    const uint8_t *body;
    size_t body_n;
    uint8_t *in;
    size_t in_n, in_cap;
    uint64_t begun_ns;
};

void talk_init(struct talk *talk, int fd);
/* Writes what can be written. False: the connection is broken. */
bool talk_write(struct talk_plan *plan, struct talk *talk);
/* Reads what there is, and goes on. */
bool talk_read(struct talk_plan *plan, struct talk *talk);

#endif
