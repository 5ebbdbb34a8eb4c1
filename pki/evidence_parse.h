/*
 * What came in, checked before it is kept: out of the network or the shared cache, the same rules.
 * Private to pki/evidence.
 *
 * Threads: any; no lock is held.
 */
#ifndef PKI_EVIDENCE_PARSE_H
#define PKI_EVIDENCE_PARSE_H

#include "pki/evidence_held.h"

enum {
    PKI_EVIDENCE_ISSUERS_MOST = 64,
    PKI_EVIDENCE_INDIRECT_S = 3600, /* longest life of a CRL that was not verified here */
    PKI_EVIDENCE_OCSP_BYTES = 64 * 1024,
};

struct pki_evidence_input {
    const struct pki_evidence_item *item;     /* the question alone is read */
    const struct pki_evidence_object *held;   /* what it must not be older than; may be NULL */
    const struct pki_certificates *untrusted; /* of an OCSP question; may be NULL */
    unsigned max_age_s;                       /* the same */
    struct buf *bytes;                        /* may be taken over: empty afterwards */
    const char *source;                       /* static */
    time_t fetched_at;
};

/* ERR_OK: *out can be used and is not older than what is held; it may be out of date all the same
 * (its `end`). ERR_TEMP: it cannot be used, and err->reason has the word for it. ERR_NOMEM. */
ERR_CHECKED enum err_code pki_evidence_parse(const struct pki_evidence *evidence,
                                             const struct pki_evidence_input *input,
                                             struct pki_evidence_object **out, struct err *err);

/* The octets as they came, for the shared cache. Borrowed. */
struct span pki_evidence_object_der(const struct pki_evidence_object *object);

#endif
