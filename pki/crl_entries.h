/*
 * The entries of a CRL, left where they lie: checked once, then found by an index of 4 octets each.
 *                                                                        RFC 5280 5.1.2.6, 5.3
 * Private to pki/. Two passes over the DER: the first checks every entry and counts, the second
 * writes the index. An entry of an indirect CRL belongs to the issuer that was named last before it
 * (5.3.3): where the name changes is kept by offset, each different name once, parsed.
 *
 * Threads: any, once parsed. A look-up allocates nothing.
 */
#ifndef PKI_CRL_ENTRIES_H
#define PKI_CRL_ENTRIES_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/x509v3.h>

#include "util/err.h"
#include "util/span.h"

enum {
    PKI_CRL_ENTRIES_MAX = 4000000,  /* 64 MiB of the shortest honest entries are 3,300,000 */
    PKI_CRL_ENTRIES_ISSUERS = 4096, /* different names in one indirect CRL */
    PKI_CRL_ENTRIES_ISSUER_BYTES = 1024 * 1024, /* of all of them */
    PKI_CRL_ENTRIES_SERIAL_BYTES = 255          /* RFC 5280 4.1.2.2 has 20 */
};

struct pki_crl_entries {
    struct span list; /* what was parsed; borrowed */
    uint32_t *index;  /* where entries begin in the list: by serial number, then by issuer */
    size_t count;     /* of the index: of repetitions one is left */
    size_t total;     /* as they stand in the list */
    size_t serial_max;
    struct pki_crl_segment *segments; /* where another certificateIssuer begins to rule */
    size_t segment_count;
    GENERAL_NAMES **issuers;
    size_t issuer_count, issuer_bytes;
    bool extended;     /* some entry has extensions */
    const char *fault; /* static: why the whole list cannot be relied on; NULL: none */
};

struct pki_crl_segment {
    uint32_t at, issuer;
};

/* `list` is the content of revokedCertificates, borrowed as long as the entries live. ERR_PERM: not
 * entries in DER. ERR_LIMIT, ERR_NOMEM. Free it in any case. */
ERR_CHECKED enum err_code pki_crl_entries_parse(struct pki_crl_entries *entries, struct span list,
                                                struct err *err);
void pki_crl_entries_free(struct pki_crl_entries *entries);

struct pki_crl_found {
    struct span date; /* element: revocationDate */
    int reason;       /* CRLReason, -1: none given */
};

/* The entry about a serial number of an issuer (NULL: of the CRL's own), `crl_issuer` being the
 * CRL's. Where a number stands there twice, revoked goes before removeFromCRL. */
bool pki_crl_entries_find(const struct pki_crl_entries *entries, const ASN1_INTEGER *serial,
                          const X509_NAME *issuer, const X509_NAME *crl_issuer,
                          struct pki_crl_found *out);

/* Does a certificateIssuer name this one? */
bool pki_crl_entries_is_named(const GENERAL_NAMES *names, const X509_NAME *issuer);

/* Octets of memory, without the list. */
size_t pki_crl_entries_bytes(const struct pki_crl_entries *entries);

#endif
