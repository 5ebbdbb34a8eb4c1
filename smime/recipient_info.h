/*
 * Writing one RecipientInfo: the key of a message for one certificate.
 *                                                RFC 5652 6.2.1, 6.2.2; RFC 3370; RFC 3560; RFC
 * 5753
 *
 * Key transport for RSA (PKCS #1 v1.5, or RSAES-OAEP with SHA-256), key agreement for EC (ephemeral
 * ECDH, X9.63 with SHA-256, AES key wrap). The recipient is named by issuer and serial number: what
 * the oldest readers know too.
 *
 * Any thread; operations with the key are prepared once and kept by the certificate (pki/context).
 */
#ifndef SMIME_RECIPIENT_INFO_H
#define SMIME_RECIPIENT_INFO_H

#include "smime/algorithm.h"
#include "util/buf.h"

/* Appends the element. ERR_PERM "unsupported-algorithm": the certificate's key is of no kind that
 * this can be done with, or the library refuses it. */
ERR_CHECKED enum err_code smime_recipient_info_format(const struct pki_certificate *certificate,
                                                      enum smime_transport transport,
                                                      struct span key, struct buf *out,
                                                      struct err *err);

/* Their CMSVersion is not 0 (RFC 5652 6.1 asks): key agreement. */
bool smime_recipient_info_is_agreement(const struct pki_certificate *certificate);

#endif
