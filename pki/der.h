/*
 * A bounded reader of tag-length-value, for the places where a structure must be looked at before
 * (or instead of) being given to the library: is a certificate really DER, which certificates does
 * a PKCS#7 bag hold.                                                                      X.690 8,
 * 10
 *
 * Never copies, never allocates; spans point into the input. Any thread.
 */
#ifndef PKI_DER_H
#define PKI_DER_H

#include "util/err.h"
#include "util/span.h"

/* Tags that are looked for: class and constructed bit included. */
enum {
    PKI_DER_OCTET_STRING = 0x04,
    PKI_DER_OID = 0x06,
    PKI_DER_SEQUENCE = 0x30,
    PKI_DER_SET = 0x31,
    PKI_DER_CONTEXT_0 = 0xa0,
};

enum { PKI_DER_DEPTH = 32 };

struct pki_der {
    unsigned tag;        /* the first octet; high tag numbers are refused */
    struct span content; /* without the end-of-contents of an indefinite length */
    struct span whole;   /* with header */
};

/* Takes the next element off `rest`. Indefinite lengths are allowed (BER). ERR_NOTFOUND: `rest` is
 * empty; ERR_PERM: it is not well-formed. */
ERR_CHECKED enum err_code pki_der_get(struct span *rest, struct pki_der *out, struct err *err);

/* The same, and the tag must be `tag`. */
ERR_CHECKED enum err_code pki_der_find(struct span *rest, unsigned tag, struct pki_der *out,
                                       struct err *err);

/* The next element, strictly: one octet of tag, a definite length in its shortest form. false:
 * nothing is left, or it is malformed. For loops over millions, where an err would cost more than
 * the element. */
bool pki_der_next(struct span *rest, struct pki_der *out);

/* Exactly one element, all lengths definite and in their shortest form, all the way down. */
ERR_CHECKED enum err_code pki_der_check(struct span der, struct err *err);

#endif
