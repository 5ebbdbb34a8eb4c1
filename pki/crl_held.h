/*
 * What stands behind an X509_CRL of ours. Private to pki/: pki/crl makes it, pki/crl_method answers
 * the library with it.
 */
#ifndef PKI_CRL_HELD_H
#define PKI_CRL_HELD_H

#include <pthread.h>
#include <time.h>

#include <openssl/evp.h>

#include "pki/crl_entries.h"
#include "pki/crl_signed.h"

enum { PKI_CRL_HELD_KEYS = 4, PKI_CRL_HELD_MAGIC = 0x43524c31 };

/* Immutable but for the keys. */
struct pki_crl_held {
    unsigned magic;
    unsigned char *der;
    size_t der_bytes;
    struct pki_crl_shape shape;
    struct pki_crl_entries entries;
    X509_REVOKED *ordinary, *removed; /* what a look-up answers with; of the X509_CRL */
    bool delta;
    const char *fault; /* static; NULL: none */
    size_t library_bytes;
    time_t this_update, next_update;
    struct pki_crl_signed what;
    pthread_mutex_t lock;              /* held while pointers are compared and moved */
    EVP_PKEY *keys[PKI_CRL_HELD_KEYS]; /* whose signature was found good; references */
    size_t key_next;
};

/* NULL: not of our parser. */
struct pki_crl_held *pki_crl_held_of(const X509_CRL *crl);
void pki_crl_held_free(struct pki_crl_held **held);

/* The hooks (pki_crl_init), once they were made: for tests that take the library's own for a moment
 * and put it back. */
const X509_CRL_METHOD *pki_crl_method_get0(void);

/* The entry about a serial number of `issuer` (NULL: the CRL's own), whoever parsed the CRL.
 * *revoked (may be NULL) is what the library wants to see. */
bool pki_crl_method_find(const X509_CRL *crl, const ASN1_INTEGER *serial, const X509_NAME *issuer,
                         struct pki_crl_found *found, X509_REVOKED **revoked);

#endif
