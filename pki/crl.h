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
 * A CRL that breaks a rule which the library does not check (pki_crl_fault) goes to it with a
 * critical extension that nobody knows: so it is called invalid there, and is not skipped over.
 *
 * Every CRL that is ever judged comes out of this parser: CRLs of folders, of messages, fetched.
 * References are OpenSSL's: X509_CRL_up_ref, X509_CRL_free. To copy or write one, use pki_crl_der:
 * X509_CRL_dup and i2d_X509_CRL see the short form, which no key has signed. An X509_CRL that was
 * made otherwise behaves as ever, if slowly.
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

/* Once, at the start of the process (pki/crypto does it), since the library's hooks are one for all
 * threads; whoever parses first does it too. */
ERR_CHECKED enum err_code pki_crl_init(struct err *err);

/* One CRL, DER, to its last octet; copied. ERR_PERM: not a CRL. ERR_LIMIT. ERR_NOMEM. */
ERR_CHECKED enum err_code pki_crl_parse(struct span der, X509_CRL **out, struct err *err);

/* The same; the octets are taken over without a copy, and `der` is empty afterwards (on success).
 */
ERR_CHECKED enum err_code pki_crl_parse_take(struct buf *der, X509_CRL **out, struct err *err);

/* The DER as it came; borrowed. Empty for a CRL that did not come out of this parser, as all that
 * follows is 0 for it where nothing else is said. */
struct span pki_crl_der(const X509_CRL *crl);
/* Entries as they stand in the list, repetitions too. */
size_t pki_crl_entries(const X509_CRL *crl);
/* Octets of memory that the object holds. */
size_t pki_crl_bytes(const X509_CRL *crl);
/* Of any X509_CRL. 0: none, or it cannot be read. */
time_t pki_crl_this_update(const X509_CRL *crl);
time_t pki_crl_next_update(const X509_CRL *crl);

/* Why the CRL may not be relied on though it could be parsed: a static phrase, or NULL. Version 1
 * with extensions, an extension twice or malformed, a delta without number, an entry with a
 * critical extension that is not known, ... (RFC 5280 5) */
const char *pki_crl_fault(const X509_CRL *crl);

bool pki_crl_is_delta(const X509_CRL *crl); /* of any X509_CRL */

/* Is it signed by the key of `issuer`? A good key is remembered; a bad one costs one operation with
 * it, however large the CRL. Of any X509_CRL. */
bool pki_crl_is_signed_by(X509_CRL *crl, X509 *issuer);

/* Are they the same octets? Of any X509_CRL. */
bool pki_crl_is(const X509_CRL *a, const X509_CRL *b);

/* The entry about a certificate, of its issuer: ERR_OK or ERR_NOTFOUND. Of any X509_CRL. In a delta
 * the reason removeFromCRL says that it is revoked no longer. */
struct pki_crl_entry {
    time_t revoked_at; /* 0: cannot be read */
    int reason;        /* CRLReason, -1: none given */
};
ERR_CHECKED enum err_code pki_crl_find(const X509_CRL *crl, const X509 *certificate,
                                       struct pki_crl_entry *out, struct err *err);

#endif
