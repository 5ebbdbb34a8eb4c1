/*
 * A CRL taken apart without touching its entries, and put together again without them.
 *                                                                               RFC 5280 5.1
 * Private to pki/. Never copies; spans point into the DER.
 */
#ifndef PKI_CRL_SHAPE_H
#define PKI_CRL_SHAPE_H

#include <stdbool.h>

#include "util/buf.h"
#include "util/err.h"
#include "util/span.h"

/* What a CRL holds besides its entries goes to the library, which copies it several times. */
enum { PKI_CRL_SHAPE_BYTES = 256 * 1024 };

struct pki_crl_shape {
    struct span tbs;             /* tbsCertList, the whole element: what is signed */
    struct span inner_algorithm; /* element */
    struct span before;          /* the content of tbs up to the entries */
    struct span entries;   /* the content of revokedCertificates; empty where it is not there */
    struct span after;     /* the content of tbs behind the entries: extensions, or nothing */
    struct span algorithm; /* element */
    struct span signature; /* the bits */
    bool version2;         /* version is there, and v2 */
    bool version_unknown;  /* version is there, and something else */
    bool unused_bits;      /* of the signature: no algorithm makes them */
};

/* Strict DER down to these parts. ERR_PERM: not a CRL. */
ERR_CHECKED enum err_code pki_crl_shape_parse(struct span der, struct pki_crl_shape *out,
                                              struct err *err);

/* The entries that stand for all others in the short form, in this order. */
enum {
    PKI_CRL_SHAPE_ORDINARY, /* revoked */
    PKI_CRL_SHAPE_REMOVED,  /* reason removeFromCRL */
};

/* Appends the short form: the same CRL with those entries alone. With `fault` one more follows,
 * with a critical extension that nobody knows: the library then says of every certificate that this
 * CRL cannot be understood. ERR_LIMIT: more than PKI_CRL_SHAPE_BYTES. */
ERR_CHECKED enum err_code pki_crl_shape_format(const struct pki_crl_shape *shape, bool fault,
                                               struct buf *out, struct err *err);

#endif
