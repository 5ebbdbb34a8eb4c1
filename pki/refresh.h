/*
 * The refresher: renews what is in use before a message has to wait for it.
 *
 * An item is due at half of what was left of its lifetime when it came; when it failed and its
 * interval is over; and at once when a message had no time to wait for it, so that the retry finds
 * it. What nobody asked for in idle_s is left alone; so is what never came and nobody asked for
 * again, after a few attempts: else a stranger who sends certificates with URLs of his choice would
 * have us knock there all day.
 *
 * A few threads, each of which takes the item that is due longest, so that a slow server holds up
 * nobody; one of them takes nothing that failed last time, so that a hundred dead servers hold up
 * no live one.
 *
 * Threads: pki_refresh_new and _free by pki/evidence; pki_refresh_run by anybody (tests).
 */
#ifndef PKI_REFRESH_H
#define PKI_REFRESH_H

#include "pki/evidence_held.h"

enum { PKI_REFRESH_THREADS = 4, PKI_REFRESH_UNASKED = 4 };

ERR_CHECKED enum err_code pki_refresh_new(struct pki_evidence *evidence, struct pki_refresh **out,
                                          struct err *err);

/* Something is due before its time. */
void pki_refresh_set(struct pki_refresh *refresh);

/* Tells the threads to end, and waits for them. */
void pki_refresh_free(struct pki_refresh **refresh);

/* Renews everything that is due now, one after the other; returns how many were asked for. */
size_t pki_refresh_run(struct pki_evidence *evidence);

#endif
