/*
 * Reason words: one closed list with the status of each, out of pki/reason.def.
 *
 * A refusal is as good as the word and the sentence it is told with; both are set here, so that no
 * caller invents a word and no word has two statuses. Constant data; any thread.
 */
#ifndef PKI_REASON_H
#define PKI_REASON_H

#include "pki/certificate.h"

enum pki_reason {
#define PKI_REASON(name, word, status, meaning) PKI_REASON_##name,
#include "pki/reason.def"
#undef PKI_REASON
    PKI_REASON_COUNT
};

/* The word ("cert-expired"), what it means (a clause for documentation), and its status. Static. */
const char *pki_reason_word(enum pki_reason reason);
const char *pki_reason_meaning(enum pki_reason reason);
enum pki_status pki_reason_status(enum pki_reason reason);

/* The reason of a word; PKI_REASON_COUNT when it is none of ours. */
enum pki_reason pki_reason_find(const char *word);

/* Fills `out`: status and word of `reason`, and the sentence for people. */
void pki_reason_set(struct pki_answer *out, enum pki_reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A time as people read it: "2026-11-01 12:00 UTC". `out` has PKI_TIME_SIZE bytes; returned. */
enum { PKI_TIME_SIZE = 40 };
char *pki_time_format(time_t when, char *out);

#endif
