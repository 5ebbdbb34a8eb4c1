/*
 * What pki/path hangs into OpenSSL's verification: which CRLs it sees, what it found in them, and
 * what becomes of an error. Private to pki/.
 *
 * The verification of a CRL's own path is a second, nested one with callbacks of its own but
 * without our data: each hook climbs to the outermost context first.
 */
#ifndef PKI_PATH_HOOKS_H
#define PKI_PATH_HOOKS_H

#include <openssl/x509_vfy.h>

#include "pki/path.h"

/* A failure as it was reported. */
struct pki_path_failure {
    int code;   /* X509_V_ERR_..., X509_V_OK: none */
    int depth;  /* of the certificate, 0 the leaf */
    X509 *x509; /* borrowed from the context's chain; may be NULL */
};

struct pki_path_state {
    const struct pki_path_args *args;
    bool without_more; /* do not offer args->crls */
    time_t at;
    X509_STORE_CTX_cert_crl_fn cert_crl; /* the library's own */
    struct pki_path_failure hard;        /* the first that is final */
    struct pki_path_failure soft;        /* the first that only says that the status is not known */
    struct {
        bool unknown, unusable, asked;
        time_t this_update, next_update;
    } crl[PKI_PATH_DEPTH + 2];
    int revoked_depth; /* -1: none */
};

/* Once for each store, before it is shared. *cert_crl: the library's own function. */
ERR_CHECKED enum err_code pki_path_hooks_set(X509_STORE *store,
                                             X509_STORE_CTX_cert_crl_fn *cert_crl, struct err *err);

/* The verify callback; `state` is the context's application data. */
int pki_path_hooks_verify(int good, X509_STORE_CTX *ctx);

#endif
