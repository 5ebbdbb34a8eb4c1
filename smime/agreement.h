/*
 * Key agreement: ephemeral-static ECDH and X25519.                 RFC 5753 3.1, 7.2; RFC 8418; RFC
 * 3394
 *
 * Any thread; nothing is kept, secrets are wiped.
 */
#ifndef SMIME_AGREEMENT_H
#define SMIME_AGREEMENT_H

#include "smime/recipient.h"
#include "util/buf.h"

/* As smime_recipient_get, for a recipient of the kind key agreement. */
ERR_CHECKED enum err_code smime_agreement_get(const struct smime_recipient *recipient,
                                              EVP_PKEY *key, unsigned char *cek, size_t key_bytes,
                                              struct err *err);

/* Appends a KeyAgreeRecipientInfo: `cek` for the EC key of the certificate, by an ephemeral key on
 * its curve, X9.63 with SHA-256, and the AES key wrap that is as strong as `cek` is long. ERR_PERM:
 * the library cannot do it with this key. */
ERR_CHECKED enum err_code smime_agreement_format(const struct pki_certificate *certificate,
                                                 struct span cek, struct buf *out, struct err *err);

#endif
