/*
 * What a process does once before it touches a key or a certificate, and how errors of the library
 * become errors of ours.
 *
 * pki_crypto_init refuses a library older than 3.0, sees to it that the algorithms we cannot do
 * without are there, and makes the secure heap: memory of its own that is locked (not swapped),
 * left out of core dumps and surrounded by unmapped pages. Measured with OpenSSL 3.0.22: a private
 * key read from a secure BIO keeps its numbers there (RSA-2048 896 bytes, RSA-3072 and RSA-4096
 * 1792, P-256 32, P-521 128, Ed25519 32) plus a buffer of 4 to 8 KiB while it is read. What does
 * NOT stay there: the Montgomery forms of p and q, which the library makes at the first RSA
 * operation in the ordinary heap and wipes when the key is freed, and intermediate numbers of an
 * operation, which it wipes at its end.
 *
 * tests/unit/pki/test_secrecy.c searches the memory of a process for it. What the library frees as
 * it is (BIOs with plaintext, buffers of an import) is wiped by the programs' own free():
 * util/wipe.h.
 *
 * Threads: pki_crypto_init runs once, before any other thread; the rest is free.
 */
#ifndef PKI_CRYPTO_H
#define PKI_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>

#include "util/err.h"

/* Bytes of secure heap that one key may take (RSA-4096 in the worst case), the room that reading a
 * key needs for a moment, and the most that is ever asked of the system. */
enum {
    PKI_CRYPTO_KEY_BYTES = 2048,
    PKI_CRYPTO_SECURE_MIN = 1 << 22,
    PKI_CRYPTO_SECURE_MAX = 1 << 26
};

/* `keys`: how many private keys the process expects to hold at once, two snapshots during a reload
 * included (the heap does not grow later); 0: the smallest heap, which holds 4,000 RSA-2048 keys
 * and is below the 8 MiB that systemd lets a service lock. A second call does nothing. ERR_PERM:
 * the library is too old, or configured without what we need; ERR_NOMEM: no secure heap. */
ERR_CHECKED enum err_code pki_crypto_init(size_t keys, struct err *err);

/* Frees what the library holds for itself, and the secure heap if it is empty. For the very end of
 * a process, when no other thread runs: the library cannot be used again. The library is kept from
 * doing so by itself at exit, since threads of libmilter may still be at work then. */
void pki_crypto_deinit(void);

struct pki_crypto_facts {
    const char *version;   /* of the library that is loaded; static */
    size_t secure_bytes;   /* size of the secure heap, 0: there is none */
    size_t secure_used;    /* taken now */
    bool secure_is_locked; /* false: it can be swapped out (RLIMIT_MEMLOCK) */
};

void pki_crypto_get(struct pki_crypto_facts *out);

/* Forgets what the library's error queue of this thread holds: worker threads are shared between
 * sessions, so a public function begins with it. */
void pki_crypto_reset(void);

/* Was there no memory? Looks through the whole queue of this thread and empties it. */
bool pki_crypto_is_short(void);

/* err_set with ": " and the library's first error appended (or without, when there is none);
 * empties the queue. A failed allocation becomes ERR_NOMEM. */
enum err_code pki_crypto_fail(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
