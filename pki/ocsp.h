/*
 * What an OCSP response is worth for one certificate.                 RFC 6960 3.2, 4.2; RFC 5019
 *
 * How one response passes: it is taken apart by our own bounded reader down to the octets that are
 * signed, so that no second structure hides behind or beside them; then the signer is found
 * (pki/ocsp_signer): the issuer's own key, or a certificate that this very key signed for this
 * purpose. Only then is it read: critical extensions, times, and the SingleResponses that are about
 * the certificate. The library ignores unknown critical extensions, contradictions, producedAt and
 * a maximum age, and compares times with the real clock only; those are judged here.
 *
 * Three decisions that are ours:
 * - Several current SingleResponses for the same certificate: the worst one counts (revoked, then
 *   unknown, then good). A responder that contradicts itself can thus never make a revoked
 *   certificate good.
 * - "revoked" that has run out stays revoked, because revocation is final (RFC 5280 5.3.1);
 *   certificateHold alone is not and runs out like "good" does. So a dead responder brings no
 *   revoked certificate back.
 * - Whatever cannot be used is temporary, never "good" and never "revoked": another response may
 *   come. Anybody on the way can replace an HTTP answer, so a bad one proves nothing.
 *
 * The caller has validated the path: `issuer` is trusted as it stands, its own signature is not
 * looked at again. Bounds: PKI_OCSP_BYTES, PKI_OCSP_SINGLES. Any thread; nothing is kept.
 */
#ifndef PKI_OCSP_H
#define PKI_OCSP_H

#include "pki/certificate.h"

enum {
    PKI_OCSP_BYTES = 16 * 1024,
    PKI_OCSP_SINGLES = 100,
    PKI_OCSP_SKEW_S = 300,           /* between the responder's clock and ours */
    PKI_OCSP_OPEN_AGE_S = 24 * 3600, /* of a response that does not say when the next one comes */
};

enum pki_ocsp_status {
    PKI_OCSP_NONE, /* the response cannot be used; `answer` says why */
    PKI_OCSP_GOOD,
    PKI_OCSP_REVOKED,
    PKI_OCSP_UNKNOWN, /* the responder answered that it does not know the certificate */
};

/* All borrowed during the call. */
struct pki_ocsp_args {
    struct span response; /* DER */
    const struct pki_certificate *certificate;
    const struct pki_certificate *issuer;
    const struct pki_certificates *untrusted; /* more places to look for a responder; may be NULL */
    struct span nonce;                        /* that was sent; n 0: none was */
    time_t at;                                /* 0: now */
    unsigned skew_s;                          /* 0: none; usually PKI_OCSP_SKEW_S */
    unsigned max_age_s;      /* since thisUpdate, whatever nextUpdate says; 0: no bound */
    unsigned open_max_age_s; /* where nextUpdate is absent; 0: PKI_OCSP_OPEN_AGE_S */
    size_t limit_bytes;      /* 0: PKI_OCSP_BYTES */
    bool allow_weak;         /* historic corpora: the algorithm floor is not applied */
};

struct pki_ocsp_result {
    enum pki_ocsp_status status;
    /* ok, revoked, ocsp-unknown; for PKI_OCSP_NONE: ocsp-unavailable, ocsp-invalid, ocsp-signer,
     * ocsp-weak-algorithm, ocsp-wrong-certificate, ocsp-not-yet-valid, ocsp-expired. */
    struct pki_answer answer;
    time_t produced_at;              /* 0 as long as the signature was not verified, as below */
    time_t this_update, next_update; /* of the SingleResponse that counted; 0: none */
    time_t usable_until;             /* by nextUpdate and the ages above: the cache's bound */
    time_t revoked_at;
    int revocation_reason;             /* CRLReason, -1: none given */
    struct pki_certificate *responder; /* delegated: a reference; NULL: the issuer itself signed */
    /* The responder needs a status too: delegated, and without id-pkix-ocsp-nocheck. Only a CRL can
     * answer (its own OCSP would ask itself). RFC 6960 4.2.2.2.1 */
    bool responder_needs_crl;
};

/* `result` holds the outcome; the returned code is about our own ability only (ERR_NOMEM,
 * ERR_BUG). Free the result in any case. */
ERR_CHECKED enum err_code pki_ocsp_check(const struct pki_ocsp_args *args,
                                         struct pki_ocsp_result *result, struct err *err);
void pki_ocsp_result_free(struct pki_ocsp_result *result); /* releases the reference */

#endif
