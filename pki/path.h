/*
 * Path validation.                                                       RFC 5280 6, RFC 8550 4
 *
 * OpenSSL builds and checks; what it leaves out or gets wrong for mail is ours (leaf rules in
 * pki/certificate, algorithm floor here). CRL_CHECK, CRL_CHECK_ALL, EXTENDED_CRL_SUPPORT,
 * USE_DELTAS and POLICY_CHECK are on wherever revocation is not off. Depth 10.
 */
#ifndef PKI_PATH_H
#define PKI_PATH_H

#include "pki/trust.h"

/* REQUIRE: no fresh status, not trusted (TEMP). PREFER: what is not known is accepted, revoked
 * never is. */
enum pki_revocation { PKI_REVOCATION_REQUIRE, PKI_REVOCATION_PREFER, PKI_REVOCATION_OFF };

enum { PKI_PATH_DEPTH = 10 };

struct pki_path_args {
    const struct pki_trust *trust;
    const struct pki_certificate *leaf;
    const struct pki_certificates *untrusted; /* of the message; may be NULL */
    const STACK_OF(X509_CRL) *
        crls;  /* more candidates (smimectl --crl, the message); may be NULL */
    time_t at; /* 0: now */
    enum pki_revocation revocation;
    bool allow_weak; /* PKITS, historic corpora: the algorithm floor is not applied */
    /* RFC 5280 6.1.1 inputs */
    const char *const *policies; /* OIDs, NULL-terminated; NULL: any */
    bool explicit_policy, inhibit_policy_mapping, inhibit_any_policy;
};

/* One certificate of the path and what is known about its revocation. */
struct pki_path_step {
    struct pki_certificate *certificate;     /* shared: a reference */
    const char *source;                      /* "message", "anchor", "intermediate" */
    const char *revocation;                  /* "good", "revoked", "unknown", "off", "anchor" */
    time_t crl_this_update, crl_next_update; /* 0: none */
};

struct pki_path_result {
    struct pki_answer answer;
    struct pki_path_step steps[PKI_PATH_DEPTH + 2]; /* leaf first; as far as it was built */
    size_t count;
};

/* `result->answer` holds the outcome: ok, or untrusted, path-invalid, path-too-long, cert-expired,
 * cert-not-yet-valid, issuer-expired, revoked, revocation-unknown, crl-expired, crl-invalid,
 * name-constraints, policy, weak-algorithm, unsupported-algorithm, ... The returned code is about
 * our own ability only (ERR_NOMEM, ERR_BUG). */
ERR_CHECKED enum err_code pki_path_check(const struct pki_path_args *args,
                                         struct pki_path_result *result, struct err *err);
void pki_path_result_free(struct pki_path_result *result); /* releases the references */

#endif
