/*
 * An operation with a key, prepared once for all threads.
 *
 * The library makes a context for each operation: it looks algorithms up by name, behind locks that
 * all threads share, and reads parameters out of text. For a P-256 signature that costs an eighth
 * of the signature, and threads wait for each other in it. A context that was prepared once is
 * duplicated by the library at a tenth of that, without a look-up.
 *
 * Whoever owns a key (keyring, certificate) owns the list of its contexts and frees it before the
 * key: a context holds a reference to its key. The list has at most PKI_CONTEXT_LIMIT entries: what
 * a stranger's message asks for beyond them (another salt length every time) is made anew.
 *
 * Threads: any. Entries are immutable and never taken out; a new one is put in front by one atomic
 * exchange.
 */
#ifndef PKI_CONTEXT_H
#define PKI_CONTEXT_H

#include <stdatomic.h>

#include <openssl/evp.h>

enum { PKI_CONTEXT_LIMIT = 8 };

struct pki_context_entry;

/* Zeroed: empty. */
struct pki_contexts {
    _Atomic(struct pki_context_entry *) first;
};

enum pki_context_use { PKI_CONTEXT_SIGN, PKI_CONTEXT_VERIFY, PKI_CONTEXT_ENCRYPT };

struct pki_context_args {
    enum pki_context_use use;
    int padding;          /* RSA_PKCS1_PADDING, ...; 0: the key is no RSA key */
    const EVP_MD *md;     /* of the signature, or of OAEP; NULL: encryption with PKCS #1 v1.5 */
    const EVP_MD *mgf_md; /* RSASSA-PSS and OAEP */
    int salt_bytes;       /* RSASSA-PSS: also RSA_PSS_SALTLEN_... */
};

/* A context ready for EVP_PKEY_sign, _verify or _encrypt of `key`. Returned: EVP_PKEY_CTX_free.
 * `contexts` is the list of that key's owner, or NULL: nothing is kept. NULL: no memory, or the key
 * cannot do it; the library's error queue says why. */
EVP_PKEY_CTX *pki_context_new(struct pki_contexts *contexts, EVP_PKEY *key,
                              const struct pki_context_args *args);

/* Empties the list: no other thread uses it any more. */
void pki_context_free(struct pki_contexts *contexts);

#endif
