/*
 * What is known about revocation: a set of CRLs, and which of them may speak about a certificate.
 *                                                                              RFC 5280 5, 6.3
 * OpenSSL judges a CRL (scope, reasons, signature, its issuer's path, deltas); this module decides
 * which ones it gets to see. That choice is where revoked signers slip through: the library prefers
 * whatever is in date over what is newer, and CRLs of the message over those of the store, so that
 * a signer who embeds an old CRL hides the new one. Here only the newest complete CRL of each scope
 * is a candidate; an expired newest one makes the status unknown, it never revives its predecessor.
 *
 * The set holds parsed CRLs (pki/crl: read once, held in little more than their octets) and is
 * immutable once it is shared. The network side (OCSP, fetching, cache) belongs below this
 * header: it answers with more candidates, or with a status, for the same question.
 *
 * Threads: filling belongs to one; asking, any.
 */
#ifndef PKI_REVOCATION_H
#define PKI_REVOCATION_H

#include <time.h>

#include <openssl/x509.h>

#include "util/err.h"
#include "util/span.h"

/* 1,000,000 entries with 16-byte serials and reasons are 46.7 MiB. */
enum { PKI_REVOCATION_CRL_BYTES = 64 * 1024 * 1024, PKI_REVOCATION_CRLS = 10000 };

struct pki_revocation_set;

ERR_CHECKED enum err_code pki_revocation_new(struct pki_revocation_set **out, struct err *err);
void pki_revocation_free(struct pki_revocation_set **set);
size_t pki_revocation_count(const struct pki_revocation_set *set);

/* Adds a CRL (a reference); the same one twice is one. */
ERR_CHECKED enum err_code pki_revocation_add1(struct pki_revocation_set *set, X509_CRL *crl,
                                              struct err *err);

/* The CRLs of bytes: DER (one) or PEM (any number). */
ERR_CHECKED enum err_code pki_revocation_parse(struct pki_revocation_set *set, struct span bytes,
                                               struct err *err);

/* Of a file, or of every file of a folder. A file that holds no CRL is an error that names it. */
ERR_CHECKED enum err_code pki_revocation_load(struct pki_revocation_set *set, const char *path,
                                              struct err *err);

struct pki_revocation_question {
    const X509 *certificate; /* whose status is asked; NULL: any of that issuer */
    const X509_NAME *issuer; /* of that certificate */
    X509 *signer; /* the certificate above it, whose key signs the CRLs of that name as a rule;
                     NULL: not known */
    const STACK_OF(X509_CRL) * more[2]; /* further candidates, or NULL */
    /* CRLs that the sender of a message chose, or NULL. One counts where it is like one of the
     * others that is in date (the newer wins), where it revokes the certificate, or where there is
     * nothing else to ask: `message_alone`. Else a signer who embeds an old CRL would keep us from
     * asking for the new one. */
    const STACK_OF(X509_CRL) * message;
    bool message_alone;
    time_t at;
};

/* The candidates: of each scope the newest complete CRL that was issued by `at`, what the signer
 * signed before what he did not; then the deltas, newest first. Indirect CRLs are found by the
 * cRLIssuer names of the certificate's distribution points. Returned, never NULL unless memory is
 * exhausted: sk_X509_CRL_pop_free(list, X509_CRL_free). */
STACK_OF(X509_CRL) * pki_revocation_find(const struct pki_revocation_set *set,
                                         const struct pki_revocation_question *question);

#endif
