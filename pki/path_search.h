/*
 * One question about one leaf, between its verifications: which certificates and CRLs are at hand,
 * what the last verification found, and what asking the network brought. Private to pki/path*.
 *
 * Lives on the stack of pki_path_check. What it holds references to, it holds until the end: the
 * library's objects and the account of the path point into it.
 */
#ifndef PKI_PATH_SEARCH_H
#define PKI_PATH_SEARCH_H

#include <openssl/x509_vfy.h>

#include "pki/path.h"
#include "pki/reason.h"

enum {
    PKI_PATH_FETCHED = 64,    /* issuers that were fetched */
    PKI_PATH_CRLS = 64,       /* CRLs out of the evidence */
    PKI_PATH_ROUNDS = 3,      /* of asking for missing issuers */
    PKI_PATH_TRIES = 8,       /* other issuers than the library chose */
    PKI_PATH_TOPS = 4,        /* certificates whose issuer is missing */
    PKI_PATH_SIGNATURES = 64, /* that are verified to tell issuers of one name apart */
    PKI_PATH_EXCLUDED = PKI_PATH_TRIES * PKI_PATH_STEPS,
};

/* A failure as the library reported it. */
struct pki_path_failure {
    int code;   /* X509_V_ERR_..., X509_V_OK: none */
    int depth;  /* of the certificate, 0 the leaf */
    X509 *x509; /* of the chain; may be NULL */
};

/* What the library did with the CRLs of one certificate of the chain. */
struct pki_path_crl {
    bool searched; /* a complete CRL was looked into */
    int code;      /* why that does not settle it: the first X509_V_ERR_...; X509_V_OK */
    const X509_CRL *checking, *searching;      /* now */
    const X509_CRL *unusable, *unusable_delta; /* their entries say nothing */
    const X509_CRL *used;                      /* of those that were looked into */
    time_t this_update, next_update;
    time_t end; /* when it runs out, by nextUpdate and crl_max_age; of several the earliest */
};

/* What one verification found. */
struct pki_path_round {
    STACK_OF(X509) * chain;       /* as far as it was built; references */
    struct pki_path_failure hard; /* the first that is final */
    struct pki_path_crl crl[PKI_PATH_STEPS];
};

/* What OCSP says of one certificate of the chain, once somebody looked. */
struct pki_path_ocsp {
    enum pki_ocsp_status status; /* PKI_OCSP_NONE: nothing, or nothing that can be used */
    struct pki_answer answer;    /* reason NULL: nobody looked */
    time_t this_update, next_update, end;
    const char *source;
    time_t fetched_at;
};

/* Questions to the network that brought nothing. */
struct pki_path_asked {
    bool failed;            /* at least one */
    bool undecided;         /* of one it is not known since when it fails: it is not given up */
    time_t since;           /* when the last of them began to fail */
    enum pki_reason reason; /* what was wrong with what came; OK: nothing came */
    char text[200];         /* of the first */
};

struct pki_path_origin {
    const char *source;
    time_t fetched_at;
};

struct pki_path_search {
    const struct pki_path_args *args;
    time_t at;
    time_t asked_at; /* for the evidence: 0 where `at` is now */

    /* Candidates for the path. `untrusted` holds no references of its own. */
    STACK_OF(X509) * untrusted;
    struct pki_certificates fetched;
    struct pki_path_origin fetched_from[PKI_PATH_FETCHED];
    struct pki_path_asked issuer_asked;

    /* CRLs out of the evidence; references. */
    STACK_OF(X509_CRL) * crls;
    struct pki_path_origin crls_from[PKI_PATH_CRLS];
    bool without_more; /* do not offer the CRLs that came with the question */
    bool message_offered;

    /* Other ways to an anchor. */
    bool strict; /* an issuer is who signed, not only who has the name */
    unsigned signatures;
    X509 *excluded[PKI_PATH_EXCLUDED]; /* borrowed, as are `tops` */
    size_t excluded_count;
    struct pki_certificate *tops[PKI_PATH_TOPS];
    size_t top_count;

    struct pki_path_round round;
    struct pki_path_ocsp ocsp[PKI_PATH_STEPS];
    struct pki_path_asked asked[PKI_PATH_STEPS];
    size_t held;   /* certificates whose status was known before anybody was asked */
    bool is_short; /* a hook had no memory */
};

ERR_CHECKED enum err_code pki_path_search_init(struct pki_path_search *search,
                                               const struct pki_path_args *args, struct err *err);
void pki_path_search_free(struct pki_path_search *search);

/* The certificates of the chain. */
size_t pki_path_search_count(const struct pki_path_search *search);
X509 *pki_path_search_get0_x509(const struct pki_path_search *search, size_t i);
/* NULL: not one of ours. Borrowed. */
struct pki_certificate *pki_path_search_get0(const struct pki_path_search *search, size_t i);
bool pki_path_search_is_anchor(const struct pki_path_search *search, const X509 *x509);

/* Is the chain complete and nothing final against it? */
bool pki_path_search_holds(const struct pki_path_search *search);

/* Takes the reference `crl`; the same one twice is one. False: no memory. */
bool pki_path_search_add_crl(struct pki_path_search *search, X509_CRL *crl,
                             const struct pki_evidence_origin *from);
/* Where a CRL came from: "network", "shared-cache", "message", "given" (args->crls), "folder". */
struct pki_path_origin pki_path_search_find_crl(const struct pki_path_search *search,
                                                const X509_CRL *crl);

/* When a CRL runs out: nextUpdate, or an age. A CRL without nextUpdate (RFC 5280 5.1.2.5 forbids
 * it) is good for PKI_PATH_CRL_OPEN_AGE_S. */
time_t pki_path_search_crl_end(const struct pki_path_search *search, const X509_CRL *crl);

/* ---- the steps, in the order in which they are taken -------------------------------------------
 */

/* One verification with what is at hand and held; fills search->round. (path_round.c) */
ERR_CHECKED enum err_code pki_path_round_check(struct pki_path_search *search, struct err *err);

/* Verifies, takes other issuers where there are some, and asks for those that are missing.
 * (path_build.c) */
ERR_CHECKED enum err_code pki_path_build_check(struct pki_path_search *search, struct err *err);

/* Asks the caIssuers of the certificates whose issuer is missing. *added: there are new candidates.
 * (path_issuer.c) */
ERR_CHECKED enum err_code pki_path_issuer_get(struct pki_path_search *search, bool *added,
                                              struct err *err);
/* Notes the end of the chain as one whose issuer is to be asked for, if it may be. */
void pki_path_issuer_note(struct pki_path_search *search);

/* What OCSP says is held, then what is missing is asked for. Only where the path holds.
 * (path_revocation.c) */
ERR_CHECKED enum err_code pki_path_revocation_check(struct pki_path_search *search,
                                                    struct err *err);
void pki_path_asked_note(struct pki_path_asked *asked, const struct pki_evidence_origin *origin,
                         const char *what);
/* Has it failed for so long that nobody waits any more? */
bool pki_path_asked_is_over(const struct pki_path_asked *asked, unsigned giveup_s);

/* Our own rules about a path that holds. False: `out` says why. (path_floor.c) */
bool pki_path_floor_check(const struct pki_path_result *result, bool allow_weak,
                          struct pki_answer *out);

/* Steps and answer. (path_account.c) */
void pki_path_account_set(const struct pki_path_search *search, struct pki_path_result *result);

#endif
