/*
 * One fetch per URL at a time, and none of what has just failed. Part of pki/fetch; knows nothing
 * of HTTP.
 *
 * A thread that wants a URL gets a flight. Either it leads: it must fetch, put the answer in, and
 * finish the flight, whatever happened. Or it came while another led: then it has waited, and the
 * flight holds the answer. A leader whose own budget ended has learned nothing about the URL: its
 * flight is void, and those who waited ask again, each on its own budget.
 *
 * A URL that failed is held back: first_s, then twice as long with each failure, most_s at the
 * most. That many URLs are remembered as `remembered` says, the least recently used forgotten
 * first: forgetting costs a request, never a verdict.
 *
 * Memory: the flights (as many as threads that ask) with their bodies, and at most `remembered`
 * URLs. Threads: any; one lock, never held while something is fetched.
 */
#ifndef PKI_FETCH_GATE_H
#define PKI_FETCH_GATE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "util/buf.h"
#include "util/err.h"
#include "util/span.h"

struct pki_fetch_gate;

struct pki_fetch_gate_args {
    unsigned remembered;
    unsigned first_s;
    unsigned most_s;
};

/* Written by the leader until it finishes the flight, then read by all. */
struct pki_fetch_flight {
    enum err_code code;
    struct err err;
    struct buf body;
    /* For pki/fetch_gate.c alone, under its lock. */
    struct pki_fetch_flight *next;
    unsigned char *key;
    size_t key_n;
    size_t url_n; /* the part of the key that failures are remembered by */
    unsigned refs;
    bool is_done;
    bool is_void;
};

struct pki_fetch_gate_key {
    struct span url;  /* kind and URL */
    struct span rest; /* what else makes a request the same: the body of a POST */
};

enum pki_fetch_turn {
    PKI_FETCH_TURN_LEAD,   /* *out: fetch, fill code, err, body; then finish */
    PKI_FETCH_TURN_SHARED, /* *out: holds another's answer */
    PKI_FETCH_TURN_HELD,   /* no flight; err holds the answer that is remembered */
    PKI_FETCH_TURN_NONE,   /* no flight; err says why: waited until the deadline, no memory */
};

ERR_CHECKED enum err_code pki_fetch_gate_new(const struct pki_fetch_gate_args *args,
                                             struct pki_fetch_gate **out, struct err *err);
void pki_fetch_gate_free(struct pki_fetch_gate **gate);

ERR_CHECKED enum pki_fetch_turn pki_fetch_gate_get(struct pki_fetch_gate *gate,
                                                   const struct pki_fetch_gate_key *key,
                                                   int64_t deadline_ms,
                                                   struct pki_fetch_flight **out, struct err *err);

/* The leader is done. `own`: it ended by its own budget, or by ours, not by the URL's fault. */
void pki_fetch_gate_finish(struct pki_fetch_gate *gate, struct pki_fetch_flight *flight, bool own);

/* True when nobody else holds the flight any more, so that its body may be taken. */
bool pki_fetch_gate_is_last(struct pki_fetch_gate *gate, const struct pki_fetch_flight *flight);

/* Every flight that pki_fetch_gate_get gave is given back. */
void pki_fetch_gate_reset(struct pki_fetch_gate *gate, struct pki_fetch_flight **flight);

/* Since when `url` fails without a break; 0: it does not. */
time_t pki_fetch_gate_find(struct pki_fetch_gate *gate, struct span url);

#endif
