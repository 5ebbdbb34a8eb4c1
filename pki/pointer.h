/*
 * Where a certificate or CRL points to: its issuer, CRLs, OCSP responders.
 *                                                    RFC 5280 4.2.1.13, 4.2.1.15, 4.2.2.1, 5.2.6
 *
 * Read once, when the certificate is parsed, and kept with it. URLs are raw octets that a stranger
 * chose: nothing here judges them, pki/fetch does. Bounded: what a certificate names beyond the
 * bounds is left out. An extension that is not strict DER, or stands there twice, names nothing.
 */
#ifndef PKI_POINTER_H
#define PKI_POINTER_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/x509.h>

#include "util/err.h"
#include "util/span.h"

enum {
    PKI_POINTER_URLS = 8,    /* of one list */
    PKI_POINTER_POINTS = 16, /* distribution points */
    PKI_POINTER_URL_BYTES = 2048,
};

struct pki_pointer_urls {
    struct span list[PKI_POINTER_URLS]; /* http, https, ldap alone; each once */
    size_t count;
};

/* One distribution point: any of its URLs will do; all points together cover all reasons. */
struct pki_pointer_point {
    struct pki_pointer_urls urls;
    unsigned reasons; /* ReasonFlags that it covers, bit n for reason n; 0: all */
    bool indirect;    /* cRLIssuer is named: the CRL has another issuer */
};

/* Every ReasonFlag that there is but unused(0). RFC 5280 4.2.1.13 */
enum { PKI_POINTER_REASONS = 0x1fe };

struct pki_pointers {
    /* Also those without a URL that could be asked; one that covers no reason is left out. */
    struct pki_pointer_point points[PKI_POINTER_POINTS];
    size_t point_count;
    struct pki_pointer_urls freshest; /* of delta CRLs */
    struct pki_pointer_urls issuers;  /* caIssuers */
    struct pki_pointer_urls ocsp;
    bool nocheck;   /* id-pkix-ocsp-nocheck */
    void *private_; /* what the spans point into */
};

/* ERR_NOMEM alone: an extension that cannot be read names nothing. *out is returned:
 * pki_pointers_free. */
ERR_CHECKED enum err_code pki_pointers_parse(const X509 *x509, struct pki_pointers **out,
                                             struct err *err);
void pki_pointers_free(struct pki_pointers **pointers);

/* Is any place named where the status could be asked? */
bool pki_pointers_name_status(const struct pki_pointers *pointers);

/* freshestCRL of a complete CRL. The spans are borrowed from the CRL's own copy: free as above. */
ERR_CHECKED enum err_code pki_pointers_parse_crl(const X509_CRL *crl, struct pki_pointers **out,
                                                 struct err *err);

#endif
