/*
 * One SingleResponse of an OCSP response: is it about the certificate, is it current, what does it
 * say, and which of several counts.                                          RFC
 * 6960 3.2, 4.2.1, 4.4
 *
 * Private to pki/.
 */
#ifndef PKI_OCSP_SINGLE_H
#define PKI_OCSP_SINGLE_H

#include <openssl/ocsp.h>

#include "pki/ocsp.h"
#include "pki/reason.h"

struct pki_ocsp_single {
    enum pki_ocsp_status status; /* NONE: not current; `problem` says why */
    enum pki_reason problem;
    time_t this_update, next_update, usable_until, revoked_at; /* 0: none */
    int reason;                                                /* CRLReason, -1: none */
};

struct pki_ocsp_single_args {
    const struct pki_ocsp_args *args;
    time_t at, produced_at;
};

bool pki_ocsp_single_is(const struct pki_ocsp_args *args, OCSP_SINGLERESP *single);

/* False: the whole response is refused, and the answer says why. */
bool pki_ocsp_single_parse(const struct pki_ocsp_single_args *how, OCSP_SINGLERESP *single,
                           struct pki_ocsp_single *out, struct pki_answer *answer);

/* Does `a` count more than `b`: revoked, unknown, good, not current; of equals the newest, so that
 * the cache keeps the longer life. */
bool pki_ocsp_single_counts_more(const struct pki_ocsp_single *a, const struct pki_ocsp_single *b);

/* False: absent (0) or not a time. */
bool pki_ocsp_time_get(const ASN1_GENERALIZEDTIME *from, time_t *out);

#endif
