/*
 * Key agreement: ephemeral-static ECDH and X25519.                 RFC 5753 3.1, 7.2; RFC 8418; RFC
 * 3394
 *
 * Any thread; nothing is kept, secrets are wiped.
 */
#ifndef SMIME_AGREEMENT_H
#define SMIME_AGREEMENT_H

#include "smime/recipient.h"

/* As smime_recipient_get, for a recipient of the kind key agreement. */
ERR_CHECKED enum err_code smime_agreement_get(const struct smime_recipient *recipient,
                                              EVP_PKEY *key, unsigned char *cek, size_t key_bytes,
                                              struct err *err);

#endif
