#include "ctl/certificate.h"

#include <string.h>

#include "ctl/command.h"
#include "pki/reason.h"

void
ctl_certificate_json(struct ctl_json *json, const struct pki_certificate *certificate)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(certificate);
    char key[48];

    ctl_json_open(json, "addresses", '[');
    for (size_t i = 0; facts->addresses[i]; i++)
        ctl_json_text(json, NULL, facts->addresses[i]);
    ctl_json_close(json);
    ctl_json_text(json, "subject", facts->subject);
    ctl_json_text(json, "certificate_issuer", facts->issuer);
    ctl_json_text(json, "certificate_serial", facts->serial);
    ctl_json_text(json, "fingerprint", facts->fingerprint);
    ctl_json_time(json, "not_before", facts->not_before);
    ctl_json_time(json, "not_after", facts->not_after);
    snprintf(key, sizeof key, "%s %u", facts->key_algorithm, facts->key_bits);
    ctl_json_text(json, "key", key);
}

void
ctl_certificate_print(const struct pki_certificate *certificate)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(certificate);
    char from[PKI_TIME_SIZE], to[PKI_TIME_SIZE], addresses[2048];

    ctl_certificate_addresses(certificate, addresses, sizeof addresses);
    fputs("    addresses: ", stdout);
    ctl_print(addresses);
    fputs("\n    subject: ", stdout);
    ctl_print(facts->subject);
    fputs("\n    issuer: ", stdout);
    ctl_print(facts->issuer);
    printf("\n    serial: %s\n    valid: %s to %s\n    key: %s %u\n    sha256: %s\n", facts->serial,
           pki_time_format(facts->not_before, from), pki_time_format(facts->not_after, to),
           facts->key_algorithm, facts->key_bits, facts->fingerprint);
}

static bool
certificate_is_for(const struct pki_certificate *certificate, enum pki_use use,
                   const struct pki_leaf_policy *policy)
{
    struct pki_answer answer;
    enum pki_reason reason;

    /* At its own first second: only usage is asked here. */
    pki_certificate_check(certificate, use, NULL, pki_certificate_get(certificate)->not_before,
                          policy, &answer);
    reason = pki_reason_find(answer.reason);
    return reason != PKI_REASON_CERT_WRONG_USAGE && reason != PKI_REASON_CERT_IS_CA;
}

const char *
ctl_certificate_usage(const struct pki_certificate *certificate,
                      const struct pki_leaf_policy *policy)
{
    bool sign = certificate_is_for(certificate, PKI_USE_SIGN, policy);
    bool encrypt = certificate_is_for(certificate, PKI_USE_ENCRYPT, policy);

    if (sign && encrypt)
        return "sign encrypt";
    return sign ? "sign" : encrypt ? "encrypt" : "none";
}

void
ctl_certificate_addresses(const struct pki_certificate *certificate, char *out, size_t size)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(certificate);
    size_t used = 0;

    snprintf(out, size, "none");
    for (size_t i = 0; facts->addresses[i] && used < size; i++) {
        int n = snprintf(out + used, size - used, "%s%s", i > 0 ? " " : "", facts->addresses[i]);

        used += n > 0 ? (size_t)n : 0;
    }
}
