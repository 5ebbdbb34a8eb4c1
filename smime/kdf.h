/*
 * Key derivation.                                  RFC 5869 (HKDF), SEC 1 3.6.1 (X9.63), RFC 9709
 *
 * Any thread; nothing is kept.
 */
#ifndef SMIME_KDF_H
#define SMIME_KDF_H

#include <stdbool.h>
#include <stddef.h>

#include "util/span.h"

struct smime_kdf_args {
    bool hkdf; /* else X9.63 */
    const char *digest;
    struct span secret;
    struct span salt; /* HKDF; p NULL: none */
    struct span info;
};

/* Fills `out`. False: the library could not. The error queue is empty afterwards. */
bool smime_kdf_get(const struct smime_kdf_args *args, unsigned char *out, size_t n);

#endif
