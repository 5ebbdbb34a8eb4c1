/*
 * Decryption.                                           RFC 5652 6, RFC 5083, RFC 5084, RFC 8551 6
 *
 * Reads EnvelopedData and AuthEnvelopedData, definite and indefinite BER, from a spool of CMS
 * octets, twice: once for the structure to its end and the RecipientInfos, once for the encrypted
 * content, which streams into the cipher. Memory does not depend on the size of the content.
 * Nothing is decrypted of an object that is not whole. Plaintext is released by the caller only
 * after this returned ERR_OK: a failed CBC decryption has written garbage, a bad GCM tag is known
 * at the end.
 *
 * We choose the RecipientInfo (by issuer and serial, or SKI) ourselves: the first that is for one
 * of the keys and of a kind we can open. One outcome for every failure of the cryptography:
 * ERR_PERM with reason "decrypt-failed", at the end, in the same time. No key of ours: ERR_NOTFOUND
 * "no-key". Not an enveloped object: ERR_PERM "malformed-cms". Unknown cipher or key encryption, or
 * no RecipientInfo of a kind that certificates open: ERR_PERM "unsupported-algorithm".
 *
 * Read: AES-CBC, AES-GCM, ChaCha20-Poly1305, 3DES, CEK by HKDF (RFC 9709); RSA PKCS#1 v1.5, OAEP,
 * ECDH, X25519. Belongs to one thread.
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
    bool misplaced_aead; /* AEAD inside EnvelopedData, tag behind the content (RFC 5084 1 forbids
                            it) */
    bool weak_cipher;    /* 3DES: readable, but no protection to rely on */
    char cipher[32];     /* "aes256-gcm" */
    uint32_t recipients;
};

/* Plaintext goes to `plain` (borrowed, not finished). */
ERR_CHECKED enum err_code smime_decrypt(const struct smime_decrypt_args *args, struct stage *plain,
                                        struct smime_decrypt_result *result, struct err *err);

#endif
