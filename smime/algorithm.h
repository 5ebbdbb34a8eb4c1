/*
 * The algorithms we use and the ones we accept: one closed list.
 *                                                  RFC 8551 2.1-2.3, 2.7; RFC 8550 4.3; RFC 8933
 *
 * OpenSSL's default verification accepts an RSA-512 leaf and an MD5 SignerInfo; this list does not.
 * Constant tables: any thread.
 */
#ifndef SMIME_ALGORITHM_H
#define SMIME_ALGORITHM_H

#include <stdbool.h>
#include <openssl/evp.h>

#include "pki/certificate.h"

enum smime_digest { SMIME_DIGEST_SHA256, SMIME_DIGEST_SHA384, SMIME_DIGEST_SHA512 };
enum smime_signature { SMIME_SIGNATURE_PKCS1, SMIME_SIGNATURE_PSS };
enum smime_cipher {
    SMIME_CIPHER_AES128_CBC,
    SMIME_CIPHER_AES256_CBC,
    SMIME_CIPHER_AES128_GCM, /* AuthEnvelopedData */
    SMIME_CIPHER_AES256_GCM  /* AuthEnvelopedData */
};
enum smime_transport { SMIME_TRANSPORT_PKCS1, SMIME_TRANSPORT_OAEP };

/* No configuration goes below this (RFC 8550 4.3); rsa_bits_min asks for more, in pki/certificate.
 */
enum { SMIME_ALGORITHM_RSA_BITS = 1024 };

/* Names for logs and configuration: "sha256", "aes256-cbc", ... Static. */
const char *smime_digest_name(enum smime_digest digest);
const char *smime_cipher_name(enum smime_cipher cipher);
const char *smime_micalg(enum smime_digest digest); /* RFC 8551 3.5.3.2: "sha-256" */

/* Borrowed for ever: fetched once, for all threads. */
const EVP_MD *smime_digest_get(enum smime_digest digest);
const EVP_CIPHER *smime_cipher_get(enum smime_cipher cipher);
/* AlgorithmIdentifier of a digest, without parameters (RFC 5754 2). Static. */
struct span smime_digest_der(enum smime_digest digest);
/* Its object identifier, the element (RFC 3565 4.1, RFC 5084 3.2). Static. */
struct span smime_cipher_der(enum smime_cipher cipher);
bool smime_cipher_is_aead(enum smime_cipher cipher);

/* The digest to sign with: `wanted`, or more where the key is an EC key that asks for more (P-384:
 * SHA-384, P-521: SHA-512; RFC 5753 8, RFC 5480 4). */
enum smime_digest smime_digest_find(EVP_PKEY *key, enum smime_digest wanted);

/* Judges what a SignerInfo used. NIDs as OpenSSL names them (undefined: not known to it); `signer`
 * the signer's certificate. Answer: ok; policy weak-algorithm (sha1, md5, rsa below the floor,
 * dsa); policy unsupported-algorithm. */
void smime_algorithm_check(int digest_nid, int signature_nid, const struct pki_certificate *signer,
                           struct pki_answer *out);

#endif
