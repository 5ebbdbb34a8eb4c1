/*
 * Path validation, with revocation.                                      RFC 5280 6, RFC 8550 4
 *
 * OpenSSL builds and checks; what it leaves out or gets wrong for mail is ours (leaf rules in
 * pki/certificate, algorithm floor here). CRL_CHECK, CRL_CHECK_ALL, EXTENDED_CRL_SUPPORT,
 * USE_DELTAS and POLICY_CHECK are on wherever revocation is not off. Depth 10.
 *
 * The network is behind pki/evidence. With everything held a question costs one verification and
 * no I/O. Else issuers that are missing are asked for, in at most three rounds, and about
 * revocation only once the path is complete to an anchor and nothing final is against it.
 *
 * The verdict depends on what is in pki_path_args, on the trust set, on the clock, and on what the
 * evidence holds: nothing else.
 */
#ifndef PKI_PATH_H
#define PKI_PATH_H

#include "pki/evidence.h"
#include "pki/trust.h"

/* REQUIRE: no fresh status, not trusted. PREFER: what is not known is accepted, and what was known
 * for as long as `stale_s` after its end; revoked never is. */
enum pki_revocation { PKI_REVOCATION_REQUIRE, PKI_REVOCATION_PREFER, PKI_REVOCATION_OFF };

/* What is asked of the network, in this order; the second only where the first gave no status. CRLs
 * that are held count in each: a certificate that any of them revokes is revoked. */
enum pki_revocation_methods {
    PKI_REVOCATION_CRL_OCSP,
    PKI_REVOCATION_OCSP_CRL,
    PKI_REVOCATION_CRL,
    PKI_REVOCATION_OCSP,
};

/* How revocation is judged, from the configuration. All zero is the strictest: require, CRL then
 * OCSP, never given up, no bound on ages but their own. */
struct pki_revocation_rules {
    enum pki_revocation mode;
    enum pki_revocation_methods methods;
    unsigned stale_s;  /* mode prefer: how long what has run out is still accepted */
    unsigned giveup_s; /* what could not be asked for so long is not trusted any more (it is no
                          longer temporary); 0: never */
    unsigned crl_max_age_s, ocsp_max_age_s; /* since thisUpdate; 0: no bound */
};

enum {
    PKI_PATH_DEPTH = 10,
    PKI_PATH_STEPS = PKI_PATH_DEPTH + 2,
    PKI_PATH_UNFRESH_S = 600,            /* how long an answer without fresh status is good */
    PKI_PATH_CRL_OPEN_AGE_S = 24 * 3600, /* of a CRL that does not say when the next one comes */
};

struct pki_path_args {
    const struct pki_trust *trust;
    const struct pki_certificate *leaf;
    const struct pki_certificates *untrusted; /* that came with the leaf; may be NULL */
    const char *source; /* static: where leaf and untrusted come from; NULL: "message" */
    const STACK_OF(X509_CRL) * crls;         /* more candidates (smimectl --crl); may be NULL */
    const STACK_OF(X509_CRL) * message_crls; /* that the sender chose: see pki/revocation.h */
    time_t at;                               /* 0: now */
    struct pki_revocation_rules revocation;
    struct pki_evidence *evidence;   /* CRLs, OCSP, issuers of the network; NULL: none. Borrowed */
    struct pki_fetch_budget *budget; /* what may still be asked for the message; NULL: nobody is
                                        asked, what is held counts. Give NULL where the leaf is
                                        refused already (leaf rules, a wrong signature) */
    bool allow_weak; /* PKITS, historic corpora: the algorithm floor is not applied */
    /* RFC 5280 6.1.1 inputs */
    const char *const *policies; /* OIDs, NULL-terminated; NULL: any */
    bool explicit_policy, inhibit_policy_mapping, inhibit_any_policy;
};

/* One certificate of the path and what is known about its revocation. All words are static. */
struct pki_path_step {
    struct pki_certificate *certificate; /* shared: a reference */
    const char *source;     /* args->source, "anchor", "intermediate", "network", "shared-cache" */
    const char *revocation; /* "good", "revoked", "unknown", "off", "anchor" */
    const char *method;     /* that said so, or whose answer has run out: "crl", "ocsp"; NULL */
    const char *origin;     /* of that: "folder", "message", "given" (args->crls), "network",
                               "shared-cache"; NULL */
    time_t fetched_at;      /* 0: not of the network */
    time_t this_update, next_update; /* 0: none */
    bool stale;                      /* what is known has run out: the status is "unknown" */
    bool accepted;                   /* "unknown", and mode prefer accepts that */
    const char *reason;              /* word; "ok" */
    char text[200];                  /* why it is not known, "" else */
};

struct pki_path_result {
    struct pki_answer answer; /* ok, too: the text says what was accepted without a fresh status */
    struct pki_path_step steps[PKI_PATH_STEPS]; /* leaf first; as far as it was built */
    size_t count;
    size_t held;  /* certificates whose status was known before anybody was asked */
    bool unfresh; /* ok by mode prefer alone: a status is stale or not known */
    /* Of "ok": when the first of the things runs out that it rests on, certificates and statuses.
     * Of one that is unfresh: soon, since more may be known then. 0: not ok. */
    time_t until;
};

/* `result->answer` holds the outcome: ok, or a word of pki/reason.def from untrusted on. A path
 * whose revocation is asked for is whole otherwise: what is final comes before what is temporary.
 * The returned code is about our own ability only (ERR_NOMEM, ERR_BUG). */
ERR_CHECKED enum err_code pki_path_check(const struct pki_path_args *args,
                                         struct pki_path_result *result, struct err *err);
void pki_path_result_free(struct pki_path_result *result); /* releases the references */

#endif
