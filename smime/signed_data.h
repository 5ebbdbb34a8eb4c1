/*
 * The octets of a SignedData around its content.                RFC 5652 5, RFC 5754, RFC 4056
 *
 * Written by our own hand: the library builds a tree of objects for it, sorts, encodes it twice and
 * frees it all again, which costs several times a P-256 signature. What is written is octet for
 * octet what the library would write (tests compare), one signer, issuer and serial number as his
 * name.
 *
 *     head, content (or none), tail
 *
 * No state; any thread.
 */
#ifndef SMIME_SIGNED_DATA_H
#define SMIME_SIGNED_DATA_H

#include "pki/keyring.h"
#include "smime/attribute.h"

struct smime_signed_data {
    const struct pki_key *key; /* borrowed */
    struct smime_attribute_args attributes;
    bool pss; /* RSASSA-PSS, the salt as long as the digest */
};

/* Appends version and digestAlgorithms: what stands before encapContentInfo. */
ERR_CHECKED enum err_code smime_signed_data_format_head(const struct smime_signed_data *args,
                                                        struct buf *out, struct err *err);

/* Signs, and appends certificates (the signer's, its chain without the root, the encryption
 * certificate) and signerInfos: what stands behind encapContentInfo. */
ERR_CHECKED enum err_code smime_signed_data_format_tail(const struct smime_signed_data *args,
                                                        struct span message_digest, struct buf *out,
                                                        struct err *err);

/* A whole ContentInfo of a detached signature. */
ERR_CHECKED enum err_code smime_signed_data_format(const struct smime_signed_data *args,
                                                   struct span message_digest, struct buf *out,
                                                   struct err *err);

/* The octets before the first and behind the last piece of content, which is a constructed octet
 * string of indefinite length in pieces of definite length. */
ERR_CHECKED enum err_code smime_signed_data_format_begin(const struct smime_signed_data *args,
                                                         struct buf *out, struct err *err);
ERR_CHECKED enum err_code smime_signed_data_format_end(const struct smime_signed_data *args,
                                                       struct span message_digest, struct buf *out,
                                                       struct err *err);

#endif
