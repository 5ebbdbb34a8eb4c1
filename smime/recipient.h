/*
 * One RecipientInfo: is it for a key of ours, and which content key does it hold.
 *                     RFC 5652 6.2; RFC 8551 2.3; RFC 3218 (PKCS#1 v1.5); RFC 3560 (OAEP); RFC
 * 5753, RFC 8418 (ECDH)
 *
 * CMS_decrypt is not used. It tries every RecipientInfo, decrypts OAEP with bad parameters as
 * PKCS#1 v1.5 (openssl issue 32567), cannot stream, and 3.0 has no implicit rejection. Here the
 * caller chooses one RecipientInfo, and a PKCS#1 v1.5 block that does not fit gives a content key
 * that nobody can predict instead of an error, in the same time: no answer tells a fitting block
 * from another (RFC 3218 2.3.2).
 *
 * Holds spans into the bytes it was given. Any thread.
 */
#ifndef SMIME_RECIPIENT_H
#define SMIME_RECIPIENT_H

#include "pki/keyring.h"

struct smime_recipient {
    unsigned char kind;     /* identifier octet: SEQUENCE is key transport, [1] key agreement */
    struct span algorithm;  /* element: key encryption */
    struct span wrapped;    /* octets: the encrypted content key */
    struct span originator; /* key agreement: element of OriginatorIdentifierOrKey */
    struct span ukm;        /* key agreement: octets, p NULL: none */
};

/* A kind that we can open at all: key transport or key agreement. */
bool smime_recipient_is_known(struct span element);

/* Is `element` (one RecipientInfo of definite length) for that certificate? Fills `out` then. */
bool smime_recipient_find(struct span element, const struct pki_certificate *certificate,
                          struct smime_recipient *out);

/* The content key, `key_bytes` octets into `cek`. ERR_PERM "unsupported-algorithm" before the
 * private key is touched; ERR_PERM "decrypt-failed" (`cek` then holds random octets, so that the
 * caller can go on and fail at the same place as everybody). */
ERR_CHECKED enum err_code smime_recipient_get(const struct smime_recipient *recipient,
                                              EVP_PKEY *key, unsigned char *cek, size_t key_bytes,
                                              struct err *err);

/* A key transport that nothing comes out of, for the work that opening one with `key` takes: given
 * to smime_recipient_get from the place where a real one is, so that even the stack lies alike.
 * Borrows static octets. False: `key` is no RSA key (smime_recipient_get_random then). */
bool smime_recipient_get_stand_in(EVP_PKEY *key, struct smime_recipient *out);

/* A content key that nobody has, for the work that opening one with `key` takes. */
ERR_CHECKED enum err_code smime_recipient_get_random(EVP_PKEY *key, unsigned char *cek,
                                                     size_t key_bytes, struct err *err);

#endif
