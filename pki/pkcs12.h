/*
 * What a PKCS#12 file holds.                                             RFC 7292, RFC 8018, RFC
 * 9579
 *
 * The file comes from outside. Its password work is bounded before it is done: a file that asks for
 * 2^31 iterations, or for scrypt with a factor of its own choice, would stop us for hours. A file
 * without a MAC or with an empty password protects nothing and is refused: such a file is an
 * accident or a trap.
 *
 * The algorithms of old files (RC2-40, 3DES) need OpenSSL's legacy provider; it is loaded into a
 * library context that lives for one call and that nothing else sees.
 *
 * Threads: any.
 */
#ifndef PKI_PKCS12_H
#define PKI_PKCS12_H

#include <openssl/evp.h>

#include "pki/certificate.h"

enum {
    PKI_PKCS12_LIMIT_BYTES = 1024 * 1024,
    PKI_PKCS12_ITERATIONS = 1000000,      /* of one derivation: about half a second */
    PKI_PKCS12_ITERATIONS_ALL = 10000000, /* of all together */
    PKI_PKCS12_KEYS = 100,
    PKI_PKCS12_CERTIFICATES = 500,
};

struct pki_pkcs12 {
    EVP_PKEY *keys[PKI_PKCS12_KEYS];
    size_t count;
    struct pki_certificates certificates; /* in the order of the file */
};

/* DER, or PEM around it. ERR_PERM: malformed, no MAC, wrong or empty password, an algorithm that is
 * not allowed; ERR_LIMIT: a bound of those above. */
ERR_CHECKED enum err_code pki_pkcs12_parse(struct span bytes, const char *password,
                                           struct pki_pkcs12 *out, struct err *err);
void pki_pkcs12_free(struct pki_pkcs12 *pkcs12); /* empties it */

#endif
