/*
 * Decryption.                                           RFC 5652 6, RFC 5083, RFC 5084, RFC 8551 6
 *
 * Reads EnvelopedData and AuthEnvelopedData, definite and indefinite BER, from a spool of CMS
 * octets; the encrypted content streams through a bounded reader of our own (smime/ber), never
 * through a whole structure in memory. Plaintext goes into a spool and is released by the caller
 * only after this returned ERR_OK: a failed CBC decryption has written garbage, a bad GCM tag is
 * known at the end.
 *
 * We choose the RecipientInfo (by issuer and serial, or SKI) ourselves; one outcome for every
 * failure of the cryptography: ERR_PERM with reason "decrypt-failed". No key of ours: ERR_NOTFOUND
 * "no-key". Not an enveloped object: ERR_PERM "malformed-cms". Unknown cipher or key transport:
 * ERR_PERM "unsupported-algorithm".
 */
#ifndef SMIME_DECRYPT_H
#define SMIME_DECRYPT_H

#include "pki/keyring.h"
#include "util/spool.h"
#include "util/stage.h"

struct smime_decrypt_args {
    const struct spool *spool;         /* CMS octets, finished */
    const struct pki_key *const *keys; /* candidates */
    size_t count;
};

struct smime_decrypt_result {
    const struct pki_key *key; /* the one used */
    bool authenticated;        /* AEAD: integrity is known */
    char cipher[32];           /* "aes256-gcm" */
    uint32_t recipients;
};

/* Plaintext goes to `plain` (borrowed, not finished). */
ERR_CHECKED enum err_code smime_decrypt(const struct smime_decrypt_args *args, struct stage *plain,
                                        struct smime_decrypt_result *result, struct err *err);

#endif
