/*
 * What the issuer of a CRL signed: hashed once, whichever keys are asked about later.
 *                                                          RFC 5280 5.1.1.2, 5.1.1.3, 6.3.3 (g)
 * Private to pki/.
 */
#ifndef PKI_CRL_SIGNED_H
#define PKI_CRL_SIGNED_H

#include <openssl/evp.h>

#include "pki/crl_shape.h"

struct pki_crl_signed {
    int digest_nid; /* NID_undef: EdDSA, or an algorithm that we cannot do */
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_bytes;
};

/* ERR_NOMEM alone. */
ERR_CHECKED enum err_code pki_crl_signed_parse(const struct pki_crl_shape *shape,
                                               struct pki_crl_signed *out, struct err *err);

/* Is the signature that of `key`? The algorithm inside must be the one outside (5.1.1.2). */
bool pki_crl_signed_check(const struct pki_crl_shape *shape, const struct pki_crl_signed *what,
                          EVP_PKEY *key);

#endif
