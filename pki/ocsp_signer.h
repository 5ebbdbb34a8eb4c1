/*
 * Who signed an OCSP response, and may he?                                RFC 6960 4.2.2.2, 4.2.2.3
 *
 * The issuer of the certificate, with its own key; or a delegate whose certificate this same key
 * signed and that carries id-kp-OCSPSigning itself. anyExtendedKeyUsage is not a delegation, a
 * certificate of an authority above is none, and neither is a chain: one signature of the issuer's
 * key stands between the delegate and it. Locally configured responders do not exist here. Private
 * to pki/.
 */
#ifndef PKI_OCSP_SIGNER_H
#define PKI_OCSP_SIGNER_H

#include <openssl/ocsp.h>

#include "pki/ocsp.h"

/* How many certificates are tried as the signer: each costs two public-key operations. */
enum { PKI_OCSP_SIGNERS = 8 };

struct pki_ocsp_signer {
    X509 *x509;     /* borrowed from the response, `untrusted` or the issuer */
    bool is_issuer; /* signed with the issuer's own key */
    bool nocheck;   /* carries id-pkix-ocsp-nocheck */
};

/* Finds the signer and verifies the signature, algorithm floor included. False: `answer` says why
 * (ocsp-signer, ocsp-weak-algorithm, ocsp-invalid). */
bool pki_ocsp_signer_find(const struct pki_ocsp_args *args, OCSP_BASICRESP *basic, time_t at,
                          struct pki_ocsp_signer *out, struct pki_answer *answer);

#endif
