/*
 * One signature value against one key, given the digest of what was signed.
 *                                        RFC 8017, RFC 4055, RFC 4056, RFC 5754, RFC 8419, RFC 5758
 * For CMS signers and for CRLs alike: whoever has the digest asks for the price of one operation
 * with the public key, whatever was hashed. EdDSA alone needs the octets themselves.
 *
 * Any thread; nothing is kept but prepared contexts, by the owner of the key.
 */
#ifndef PKI_SIGNATURE_H
#define PKI_SIGNATURE_H

#include <openssl/evp.h>

#include "pki/context.h"
#include "util/err.h"
#include "util/span.h"

enum pki_signature_state {
    PKI_SIGNATURE_OK,
    PKI_SIGNATURE_BAD,         /* forged or altered */
    PKI_SIGNATURE_UNSUPPORTED, /* an algorithm the library cannot do: never "forged" */
};

struct pki_signature_args {
    struct span algorithm; /* element: AlgorithmIdentifier of the signature */
    int digest_nid;        /* of `digest`; where the algorithm names one it must be that */
    EVP_PKEY *key;
    struct pki_contexts *contexts; /* of the key's owner; NULL: nothing is kept */
    struct span signature;
    struct span digest;       /* of what was signed, by digest_nid */
    struct span signed_bytes; /* what was signed; p NULL where only its digest is known, which is
                                 too little for EdDSA */
};

/* *reason: "ok", "bad-signature", "digest-mismatch", "unsupported-algorithm". */
enum pki_signature_state pki_signature_check(const struct pki_signature_args *args,
                                             const char **reason);

/* The digest that an AlgorithmIdentifier names by itself, as it must in certificates and CRLs. *out
 * is NID_undef: none (EdDSA, a bare kind of key), or not known. ERR_NOMEM alone. */
ERR_CHECKED enum err_code pki_signature_find_digest(struct span algorithm, int *out,
                                                    struct err *err);

#endif
