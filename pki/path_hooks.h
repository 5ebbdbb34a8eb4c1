/*
 * What pki/path hangs into OpenSSL's verification: who counts as an issuer, which CRLs it sees,
 * what it found in them, and what becomes of an error. Private to pki/.
 *
 * The verification of a CRL's own path is a second, nested one with callbacks of its own but
 * without our data: each hook climbs to the outermost context first.
 */
#ifndef PKI_PATH_HOOKS_H
#define PKI_PATH_HOOKS_H

#include <openssl/x509_vfy.h>

#include "util/err.h"

/* The library's own functions, which the hooks call. */
struct pki_path_library {
    X509_STORE_CTX_cert_crl_fn cert_crl;
    X509_STORE_CTX_check_crl_fn check_crl;
    X509_STORE_CTX_check_issued_fn check_issued;
};

/* Once for each store, before it is shared. */
ERR_CHECKED enum err_code pki_path_hooks_set(X509_STORE *store, struct pki_path_library *library,
                                             struct err *err);

/* The verify callback; the context's application data is a struct pki_path_search. */
int pki_path_hooks_verify(int good, X509_STORE_CTX *ctx);

#endif
