/*
 * Decryption.                                           RFC 5652 6, RFC 5083, RFC 5084, RFC 8551 6
 *
 * Reads EnvelopedData and AuthEnvelopedData, definite and indefinite BER, from a spool of CMS
 * octets: once for the structure to its end and the RecipientInfos (new), then once for each time
 * the plaintext is wanted (write), when the encrypted content streams into the cipher. Memory does
 * not depend on the size of the content. Nothing is decrypted of an object that is not whole.
 * Plaintext is released by the caller only after a first write returned ERR_OK: a failed CBC
 * decryption has written garbage, a bad GCM tag is known at the end. That first write may go
 * nowhere; so nobody has to keep plaintext to know that it may be released.
 *
 * We choose the RecipientInfo (by issuer and serial, or SKI) ourselves: for each owner of keys the
 * first that is for one of his keys and of a kind we can open. With several owners, the message is
 * opened only if each of them could have opened it: their RecipientInfos have to hold the same
 * content key. So nobody is given the plaintext who only had himself added to somebody else's
 * message.
 *
 * One outcome for every failure of the cryptography: ERR_PERM with reason "decrypt-failed", at the
 * end of write, in the same time. With `quiet` this holds for all other failures of decryption too
 * (no key of ours, an algorithm that we cannot do, an attempt that is not allowed): an operation
 * with one of the keys on random octets and a random content key take the place of what is missing,
 * and only smime_decrypt_reason knows. Without it they are said at once: no key of ours is
 * ERR_NOTFOUND "no-key"; unknown cipher or key encryption, or no RecipientInfo of a kind that
 * certificates open, is ERR_PERM "unsupported-algorithm". Not an enveloped object is ERR_PERM
 * "malformed-cms" always: that can be seen without a key.
 *
 * Read: AES-CBC, AES-GCM, ChaCha20-Poly1305, 3DES, CEK by HKDF (RFC 9709); RSA PKCS#1 v1.5, OAEP,
 * ECDH, X25519. Belongs to one thread.
 */
#ifndef SMIME_DECRYPT_H
#define SMIME_DECRYPT_H

#include "pki/keyring.h"
#include "util/spool.h"
#include "util/stage.h"

enum { SMIME_DECRYPT_LIMIT_OWNERS = 32 };

struct smime_decrypt_args {
    const struct spool *spool;         /* CMS octets, finished; borrowed until free */
    const struct pki_key *const *keys; /* candidates; borrowed for the call of new */
    size_t count;
    const size_t *owners; /* whose is keys[i]: 0 to owner_count - 1; NULL: all are of one owner */
    size_t owner_count;   /* at most SMIME_DECRYPT_LIMIT_OWNERS; each has a key */
    bool quiet;           /* see above; needs a key */
    bool refused;         /* quiet: nothing is opened, whatever there is */
};

struct smime_decrypt_result {
    const struct pki_key *key; /* the one used (of the first owner) */
    bool authenticated;        /* AEAD: integrity is known */
    bool misplaced_aead; /* AEAD inside EnvelopedData, tag behind the content (RFC 5084 1 forbids
                            it) */
    bool weak_cipher;    /* 3DES: readable, but no protection to rely on */
    bool key_used;       /* a private key worked on the sender's octets */
    char cipher[32];     /* "aes256-gcm" */
    uint32_t recipients;
};

struct smime_decrypt;

/* Reads the structure and opens the content key. */
ERR_CHECKED enum err_code smime_decrypt_new(const struct smime_decrypt_args *args,
                                            struct smime_decrypt **out, struct err *err);
/* The plaintext once more, into `plain` (borrowed, not finished). ERR_PERM "decrypt-failed" at the
 * end, after all of the content went through the cipher. */
ERR_CHECKED enum err_code smime_decrypt_write(struct smime_decrypt *decrypt, struct stage *plain,
                                              struct err *err);
/* Borrowed until free. */
const struct smime_decrypt_result *smime_decrypt_get(const struct smime_decrypt *decrypt);
/* For the administrator alone: what is known to be wrong before any content was decrypted; "ok"
 * where nothing is. Static. */
const char *smime_decrypt_reason(const struct smime_decrypt *decrypt);
void smime_decrypt_free(struct smime_decrypt **decrypt);

/* Once, and not quiet: new, write, free. */
ERR_CHECKED enum err_code smime_decrypt(const struct smime_decrypt_args *args, struct stage *plain,
                                        struct smime_decrypt_result *result, struct err *err);

#endif
