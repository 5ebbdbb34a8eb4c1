/*
 * One SignerInfo: read it, find whose it is, check it.              RFC 5652 5.3-5.6; RFC 4056; RFC
 * 5753; RFC 8419; RFC 8933
 *
 * CMS_verify and CMS_SignerInfo_verify are not used: they say "no" where we must tell "forged" from
 * "cannot be done by the library" and from "the certificate is not there", and they accept digests,
 * parameters and attributes that we do not. The signature itself is checked by EVP_PKEY_verify.
 *
 * Holds spans into the bytes it was given. Belongs to one thread.
 */
#ifndef SMIME_SIGNER_H
#define SMIME_SIGNER_H

#include "smime/hash.h"
#include "smime/verify.h"

struct smime_signer_info {
    struct span identifier; /* element: SEQUENCE issuerAndSerial, or [0] subjectKeyIdentifier */
    struct span signature_algorithm; /* element */
    struct span attributes;          /* elements inside signedAttrs; p NULL: none */
    struct span signature;           /* octets */
    int digest_nid;                  /* NID_undef: unknown to the library */
    int signature_nid;               /* as it stands there */
};

/* `element`: one SignerInfo of definite length; borrowed. ERR_PERM "malformed-cms". */
ERR_CHECKED enum err_code smime_signer_parse(struct span element, struct smime_signer_info *out,
                                             struct err *err);

/* The whole verdict on one SignerInfo into `out`: state, reason, algorithm, signing time,
 * certificate (a reference), except that the content type was checked by the caller. `content` is
 * finished; `certificates` and `extra` (may be NULL) are searched in this order. Codes are about
 * our own ability only. */
ERR_CHECKED enum err_code smime_signer_check(const struct smime_signer_info *info,
                                             const struct smime_hash *content,
                                             const struct pki_certificates *certificates,
                                             const struct pki_certificates *extra,
                                             struct smime_signer *out, struct err *err);

#endif
