/*
 * One PEM file with a private key, certificates, or both.          RFC 7468, RFC 5958, RFC 8017
 * A.1.2, RFC 5915
 *
 * The file passes through secure memory only: its bytes, the decoded PEM, the key's numbers
 * (pki/crypto.h says what the library does beyond that). At most one key a file.
 *
 * Threads: any.
 */
#ifndef PKI_KEYFILE_H
#define PKI_KEYFILE_H

#include <openssl/evp.h>

#include "pki/certificate.h"

enum { PKI_KEYFILE_LIMIT_BYTES = 256 * 1024 };

struct pki_keyfile {
    EVP_PKEY *pkey;                       /* NULL: the file holds none */
    struct pki_certificates certificates; /* in the order of the file */
};

/* `guarded`: the file must be ours or root's, and closed to everybody else. An encrypted key is
 * ERR_PERM: a daemon that starts by itself would need its password in a file beside it. */
ERR_CHECKED enum err_code pki_keyfile_load(const char *path, bool guarded, struct pki_keyfile *out,
                                           struct err *err);
void pki_keyfile_free(struct pki_keyfile *file); /* empties it */

/* Appends PEM: the key (PKCS#8, not encrypted; NULL: none), the certificate, the chain (may be
 * NULL). `into` wipes what it holds. */
ERR_CHECKED enum err_code pki_keyfile_format(EVP_PKEY *pkey,
                                             const struct pki_certificate *certificate,
                                             const struct pki_certificates *chain, struct buf *into,
                                             struct err *err);

/* Does the private key belong to the certificate? */
bool pki_keyfile_is_pair(EVP_PKEY *pkey, const struct pki_certificate *certificate);

/* Adds to `chain` the issuers of `leaf` among `pool`, leaf's issuer first, the root left out. */
ERR_CHECKED enum err_code pki_keyfile_find_chain(const struct pki_certificate *leaf,
                                                 const struct pki_certificates *pool,
                                                 struct pki_certificates *chain, struct err *err);

#endif
