#include "policy/algorithm.h"

enum { ALGORITHM_CBC = POLICY_CIPHER_AES128_CBC | POLICY_CIPHER_AES256_CBC, ALGORITHM_CIPHERS = 4 };

/* The rule's cipher, and what is interoperable and not stronger. */
static unsigned
algorithm_below(int cipher)
{
    unsigned wanted = 1u << cipher;

    return wanted | ((wanted - 1) & ALGORITHM_CBC);
}

/* What both hold; where that is nothing, what the recipient said: he alone has to read it. */
static unsigned
algorithm_bound(unsigned said, unsigned bound)
{
    return (said & bound) != 0 ? said & bound : said;
}

void
policy_algorithm_get(const struct conf_rule *rule, const struct policy_capabilities *said,
                     enum policy_key key, bool joined, struct policy_reading *out)
{
    bool escrow = rule->encrypt_also != NULL && rule->encrypt_also[0] != NULL;
    unsigned transport = 1u << rule->key_transport;

    out->ciphers = algorithm_below(rule->cipher);
    out->transports = transport | POLICY_TRANSPORT_PKCS1;
    if (rule->algorithms == CONF_ALGORITHMS_RULE) {
        out->ciphers = joined ? out->ciphers : 1u << rule->cipher;
        out->transports = joined ? out->transports : transport;
    } else if (said->known) {
        out->ciphers = escrow ? algorithm_bound(said->ciphers, out->ciphers) : said->ciphers;
        if (said->transports != 0 && key != POLICY_KEY_EC)
            out->transports =
                escrow ? algorithm_bound(said->transports, out->transports) : said->transports;
    }
    out->ciphers &= ~((1u << rule->cipher_floor) - 1);
}

bool
policy_algorithm_join(struct policy_reading *copy, const struct policy_reading *one)
{
    if ((copy->ciphers & one->ciphers) == 0 || (copy->transports & one->transports) == 0)
        return false;
    copy->ciphers &= one->ciphers;
    copy->transports &= one->transports;
    return true;
}

int
policy_algorithm_cipher(const struct policy_reading *reading)
{
    for (int i = ALGORITHM_CIPHERS; i-- > 0;) {
        if (reading->ciphers & 1u << i)
            return i;
    }
    return 0;
}

int
policy_algorithm_transport(const struct policy_reading *reading)
{
    return (reading->transports & POLICY_TRANSPORT_OAEP) != 0;
}
