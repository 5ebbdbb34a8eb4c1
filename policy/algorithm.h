/*
 * Which algorithms a recipient can read, and which of them a copy for several is encrypted with.
 *                                                         RFC 8551 2.5.2, 2.7
 *
 * What he can read is a set. His rule says which (algorithms = rule), or his own word does, as
 * learnt from mail that he signed (learnt); of whom nothing is known reads what the rule's cipher
 * and key_transport say, and what is interoperable below: AES-CBC and RSA PKCS#1 v1.5, which GnuPG
 * 2.2 and NSS read too. Nothing below cipher_floor is ever in a set. Recipients share a copy while
 * their sets have something in common, and it is encrypted with the strongest that is left.
 *
 * Additional recipients (encrypt_also) have said nothing, so that with them nobody's word raises
 * anything above the rule. Pure.
 */
#ifndef POLICY_ALGORITHM_H
#define POLICY_ALGORITHM_H

#include <stdbool.h>

#include "conf/conf.h"

/* Bits of a set: 1u << index of the word in params.def. */
enum {
    POLICY_CIPHER_AES128_CBC = 1 << 0,
    POLICY_CIPHER_AES256_CBC = 1 << 1,
    POLICY_CIPHER_AES128_GCM = 1 << 2,
    POLICY_CIPHER_AES256_GCM = 1 << 3,
    POLICY_TRANSPORT_PKCS1 = 1 << 0,
    POLICY_TRANSPORT_OAEP = 1 << 1
};

/* What a recipient said himself; of a group that is kept, what all of its members said. */
struct policy_capabilities {
    bool known;
    unsigned ciphers, transports; /* no transports: he said nothing about them */
};

enum policy_key { POLICY_KEY_UNKNOWN, POLICY_KEY_RSA, POLICY_KEY_EC };

struct policy_reading {
    unsigned ciphers, transports;
};

/* `joined`: there can be one copy only, and the rule's words are wishes. What he said of key
 * transport is of no use with an EC key. No ciphers: he can read nothing at or above the floor. */
void policy_algorithm_get(const struct conf_rule *rule, const struct policy_capabilities *said,
                          enum policy_key key, bool joined, struct policy_reading *out);

/* Leaves in `copy` what `one` can read as well. false, and `copy` as it was: nothing. */
bool policy_algorithm_join(struct policy_reading *copy, const struct policy_reading *one);

/* The strongest: indices of the words of cipher and key_transport. */
int policy_algorithm_cipher(const struct policy_reading *reading);
int policy_algorithm_transport(const struct policy_reading *reading);

#endif
