/*
 * One signature value against one key.                  RFC 8017, RFC 4055, RFC 4056, RFC 5754, RFC
 * 8419
 *
 * Any thread; nothing is kept.
 */
#ifndef SMIME_SIGNATURE_H
#define SMIME_SIGNATURE_H

#include <openssl/evp.h>

#include "util/span.h"
#include "smime/verify.h"

struct smime_signature_args {
    struct span algorithm; /* element: AlgorithmIdentifier of the signature */
    int digest_nid;        /* digestAlgorithm of the SignerInfo, which must agree (RFC 8933) */
    EVP_PKEY *key;
    struct span signature;
    struct span digest;       /* of what was signed, by digest_nid */
    struct span signed_bytes; /* what was signed; p NULL where only its digest is known (content
                                 without signed attributes), which is too little for EdDSA */
};

/* OK, BAD or UNSUPPORTED; *reason is set. */
enum smime_signature_state smime_signature_check(const struct smime_signature_args *args,
                                                 const char **reason);

#endif
