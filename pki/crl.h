/*
 * A CRL of any size, parsed once and shared.                                     RFC 5280 5
 *
 * OpenSSL needs 194 MiB for a CRL whose DER has 47, hashes all of it at every verification, and
 * asks a list for a serial number. Here the object that OpenSSL sees (an X509_CRL, so that all of
 * its rules about scope, time, reasons and issuers stay in force) carries everything but the
 * entries; these stay in the DER, with an index of 4 octets each, sorted by serial number. Two
 * hooks (X509_CRL_METHOD) answer for them: lookup searches the index, verify checks the signature
 * over the whole DER once per issuer key and remembers the key.
 *
 * Every CRL that is ever judged comes out of this parser: CRLs of folders, of messages, fetched.
 * References are OpenSSL's: X509_CRL_up_ref, X509_CRL_free.
 *
 * Threads: any, once parsed.
 */
#ifndef PKI_CRL_H
#define PKI_CRL_H

#include <time.h>

#include <openssl/x509.h>

#include "util/buf.h"
#include "util/err.h"
#include "util/span.h"

/* 1,000,000 entries with 16-byte serials and reasons are 46.7 MiB. */
enum { PKI_CRL_BYTES = 64 * 1024 * 1024 };

/* One CRL, DER, to its last octet; copied. ERR_PERM: not a CRL. ERR_LIMIT. ERR_NOMEM. */
ERR_CHECKED enum err_code pki_crl_parse(struct span der, X509_CRL **out, struct err *err);

/* The same; the octets are taken over without a copy when they fill their buffer, and `der` is
 * empty afterwards (on success). */
ERR_CHECKED enum err_code pki_crl_parse_take(struct buf *der, X509_CRL **out, struct err *err);

/* The DER as it came; borrowed. */
struct span pki_crl_der(const X509_CRL *crl);
size_t pki_crl_entries(const X509_CRL *crl);
/* Octets of memory that the object holds. */
size_t pki_crl_bytes(const X509_CRL *crl);
time_t pki_crl_this_update(const X509_CRL *crl);
time_t pki_crl_next_update(const X509_CRL *crl); /* 0: none */

/* Is it signed by the key of `issuer`? Once per key; remembered. */
bool pki_crl_is_signed_by(X509_CRL *crl, X509 *issuer);

/* The entry about a serial number: ERR_OK or ERR_NOTFOUND. */
struct pki_crl_entry {
    time_t revoked_at;
    int reason; /* CRLReason, -1: none given */
};
ERR_CHECKED enum err_code pki_crl_find(const X509_CRL *crl, const X509 *certificate,
                                       struct pki_crl_entry *out, struct err *err);

#endif
