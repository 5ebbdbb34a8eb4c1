/*
 * What the library leaves out of a path that holds: the algorithm floor (RFC 8550 4.3), the
 * extended key usage of issuers, and excluded domains of internationalised addresses.
 */
#include <string.h>
#include <strings.h>

#include <openssl/x509v3.h>

#include "pki/path_search.h"

enum { SIGNATURE_BITS_MIN = 112, RSA_BITS_MIN = 2048, EC_BITS_MIN = 224 };

/* The signature on a certificate: MD5 and SHA-1 can be collided, so its issuer said nothing. */
static bool
signature_is_weak(const X509 *x509)
{
    int digest, key, bits;
    uint32_t flags;

    return !X509_get_signature_info((X509 *)x509, &digest, &key, &bits, &flags) ||
           bits < SIGNATURE_BITS_MIN;
}

static bool
key_is_weak(const struct pki_certificate *certificate)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(certificate);

    if (strcmp(facts->key_algorithm, "rsa") == 0)
        return facts->key_bits < RSA_BITS_MIN;
    if (strcmp(facts->key_algorithm, "ec") == 0)
        return facts->key_bits < EC_BITS_MIN;
    return strcmp(facts->key_algorithm, "dsa") == 0;
}

/* The leaf's own key is the business of the leaf rules, the anchor's signature of nobody. */
static bool
strength_check(const struct pki_path_result *result, struct pki_answer *out)
{
    for (size_t i = 0; i < result->count; i++) {
        const struct pki_path_step *step = &result->steps[i];
        const char *subject;
        if (!step->certificate)
            continue;
        subject = pki_certificate_get(step->certificate)->subject;
        if (strcmp(step->source, "anchor") != 0 &&
            signature_is_weak(pki_certificate_get0_x509(step->certificate))) {
            pki_reason_set(out, PKI_REASON_WEAK_ALGORITHM,
                           "the signature on %.120s uses a digest that is too weak", subject);
            return false;
        }
        if (i > 0 && key_is_weak(step->certificate)) {
            pki_reason_set(out, PKI_REASON_WEAK_ALGORITHM,
                           "the key of the issuer %.120s is too weak", subject);
            return false;
        }
    }
    return true;
}

/* An issuer that was certified for servers alone does not speak for people: every large programme
 * of trust constrains authorities so, and RFC 5280 leaves it to us. Anchors are the administrator's
 * choice. */
static bool
usage_check(const struct pki_path_result *result, struct pki_answer *out)
{
    for (size_t i = 1; i < result->count; i++) {
        const struct pki_path_step *step = &result->steps[i];
        X509 *x509;
        if (!step->certificate || strcmp(step->source, "anchor") == 0)
            continue;
        x509 = pki_certificate_get0_x509(step->certificate);
        if (X509_get_ext_by_NID(x509, NID_ext_key_usage, -1) >= 0 &&
            !(X509_get_extended_key_usage(x509) & (XKU_SMIME | XKU_ANYEKU))) {
            pki_reason_set(out, PKI_REASON_PATH_INVALID,
                           "the extended key usage of the issuer %.120s does not allow e-mail",
                           pki_certificate_get(step->certificate)->subject);
            return false;
        }
    }
    return true;
}

/* ---- names -------------------------------------------------------------------------------------
 */

/* RFC 9598 6: a host, or a domain below which all hosts lie when it begins with a dot. A whole
 * mailbox has an ASCII local part and cannot be meant. */
static bool
domain_is_in(const char *domain, struct span base)
{
    size_t n = strlen(domain);

    if (base.n > 0 && base.p[0] == '.')
        return n > base.n && strncasecmp(domain + n - base.n, (const char *)base.p, base.n) == 0;
    return n == base.n && strncasecmp(domain, (const char *)base.p, n) == 0;
}

static bool
is_excluded(const NAME_CONSTRAINTS *constraints, const char *domain)
{
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(constraints->excludedSubtrees); i++) {
        const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(constraints->excludedSubtrees, i)->base;
        if (base->type == GEN_EMAIL &&
            domain_is_in(domain, span_of(ASN1_STRING_get0_data(base->d.rfc822Name),
                                         (size_t)ASN1_STRING_length(base->d.rfc822Name))))
            return true;
    }
    return false;
}

/* The domain of a SmtpUTF8Mailbox; NULL: the address is an rfc822Name, which the library judges. */
static const char *
utf8_domain(const char *address)
{
    const char *at = strrchr(address, '@');

    for (const char *p = address; at && p < at; p++) {
        if ((unsigned char)*p >= 0x80)
            return at + 1;
    }
    return NULL;
}

/* The library (3.0) does not see that a SmtpUTF8Mailbox lies below an excluded ".example.org". */
static bool
names_check(const struct pki_path_result *result, struct pki_answer *out)
{
    const char *const *addresses =
        result->count > 0 && result->steps[0].certificate
            ? pki_certificate_get(result->steps[0].certificate)->addresses
            : NULL;

    for (; addresses && *addresses; addresses++) {
        const char *domain = utf8_domain(*addresses);
        for (size_t i = 1; domain && i < result->count; i++) {
            X509 *x509 = pki_certificate_get0_x509(result->steps[i].certificate);
            NAME_CONSTRAINTS *constraints =
                X509_get_ext_d2i(x509, NID_name_constraints, NULL, NULL);
            bool excluded = constraints && is_excluded(constraints, domain);
            NAME_CONSTRAINTS_free(constraints);
            if (!excluded)
                continue;
            pki_reason_set(out, PKI_REASON_NAME_CONSTRAINTS, "%s: %.80s is excluded by %.80s",
                           pki_reason_meaning(PKI_REASON_NAME_CONSTRAINTS), domain,
                           pki_certificate_get(result->steps[i].certificate)->subject);
            return false;
        }
    }
    return true;
}

bool
pki_path_floor_check(const struct pki_path_result *result, bool allow_weak, struct pki_answer *out)
{
    return names_check(result, out) && usage_check(result, out) &&
           (allow_weak || strength_check(result, out));
}
