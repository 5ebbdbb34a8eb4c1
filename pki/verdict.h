/*
 * Verdicts of paths, kept for as long as all of their inputs are fresh.                 RFC 5280 6
 *
 * The same people write again and again, and their path is the same each time: signatures, CRLs,
 * policies. A good verdict is kept in the trust set it was reached with, so that a reload, which
 * makes a new set, forgets them all, and it is used again while
 *
 *   - nobody asks under other rules (revocation, weak algorithms, evidence);
 *   - every certificate of the path and every CRL or OCSP answer it rests on is in date, and none
 * is older than the rules allow;
 *   - the evidence has taken in nothing new: a fresh CRL may revoke what the last one did not;
 *   - it is younger than PKI_VERDICT_LIFE_S: what is in use is asked of the evidence now and then,
 *     which refreshes what is asked for.
 *
 * A verdict that was reached needs no certificates of the message again: that there is a path does
 * not depend on who sends the issuers along. Only "ok" is kept, and only where no status was
 * forgiven; questions with CRLs or policies of their own are never answered from here.
 *
 * A table of fixed size for each trust set, a reference to the certificates of each path. Threads:
 * any; one lock, held while a result is copied.
 */
#ifndef PKI_VERDICT_H
#define PKI_VERDICT_H

#include <stdint.h>

#include "pki/path.h"

enum { PKI_VERDICT_LIFE_S = 300, PKI_VERDICT_PLACES = 2048 };

/* As pki_path_check, and what it said before where that still holds. */
ERR_CHECKED enum err_code pki_verdict_check(const struct pki_path_args *args,
                                            struct pki_path_result *result, struct err *err);

/* Of one trust set; made and freed by pki/trust. NULL: no memory. */
struct pki_verdicts;
struct pki_verdicts *pki_verdicts_new(void);
void pki_verdicts_free(struct pki_verdicts **verdicts);

struct pki_verdict_counts {
    uint64_t hits, misses;
};
void pki_verdicts_get(struct pki_verdicts *verdicts, struct pki_verdict_counts *out);

#endif
