/*
 * Microsoft serialized certificate stores (.sst): what Windows writes when a certificate collection
 * is exported. A header of two numbers (version 0 and the letters CERT), then elements of id,
 * encoding, length and value until one with id 0. All numbers are 32 bits, least octet first.
 * Certificates, CRLs and trust lists have ids of their own; every other id is a property of the
 * certificate that follows (friendly name, key container, hashes) and is passed over, as are the
 * CRLs.
 *
 * A truncated store is refused as a whole, since half of an administrator's list of anchors is not
 * what he wrote. Never copies, never allocates. Any thread.
 */
#ifndef PKI_SST_H
#define PKI_SST_H

#include "util/err.h"
#include "util/span.h"

/* Properties included: an authority has about ten. */
enum { PKI_SST_ELEMENTS = 100000 };

bool pki_sst_is(struct span bytes);

/* A position in a store; bytes are borrowed. */
struct pki_sst {
    struct span rest;
    size_t count; /* elements so far */
};

/* Behind the header. ERR_PERM: pki_sst_is is false. */
ERR_CHECKED enum err_code pki_sst_init(struct pki_sst *sst, struct span bytes, struct err *err);

/* The DER of the next certificate. ERR_NOTFOUND: there are no more, and the store was whole;
 * ERR_PERM: malformed; ERR_LIMIT: more than PKI_SST_ELEMENTS elements. */
ERR_CHECKED enum err_code pki_sst_get(struct pki_sst *sst, struct span *der, struct err *err);

#endif
