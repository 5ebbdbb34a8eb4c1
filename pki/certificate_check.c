/*
 * Our own leaf rules. OpenSSL's are not used: its purpose smimesign refuses a certificate whose
 * extended key usage is anyExtendedKeyUsage alone (RFC 8550 4.4.4 accepts it), smimeencrypt refuses
 * one whose key usage is keyAgreement alone (RFC 5480 3: the right one for EC), and purpose any
 * drops key usage.
 *
 * What makes a certificate invalid is asked before what our policy merely dislikes, so that an
 * expired certificate with a short key is called expired.
 */
#include "pki/certificate.h"

#include <stdio.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "mime/address.h"
#include "pki/crypto.h"
#include "pki/reason.h"

bool
pki_certificate_has_address(const struct pki_certificate *certificate, const char *address,
                            const struct pki_leaf_policy *policy)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(certificate);
    struct span wanted = span_str(address);

    for (const char *const *a = facts->addresses; *a; a++) {
        if (mime_address_is(span_str(*a), wanted, policy->fold_local))
            return true;
    }
    for (const char *const *a = facts->subject_addresses; policy->subject_address && *a; a++) {
        if (mime_address_is(span_str(*a), wanted, policy->fold_local))
            return true;
    }
    return false;
}

static bool
address_check(const struct pki_certificate *certificate, const char *address,
              const struct pki_leaf_policy *policy, struct pki_answer *out)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(certificate);

    if (!address || pki_certificate_has_address(certificate, address, policy))
        return true;
    if (facts->addresses[0])
        pki_reason_set(out, PKI_REASON_CERT_WRONG_ADDRESS,
                       "the certificate is for %.80s, not for %.80s", facts->addresses[0], address);
    else if (facts->bad_address)
        pki_reason_set(out, PKI_REASON_CERT_WRONG_ADDRESS,
                       "the address in the certificate is malformed; it is not for %.80s", address);
    else if (facts->subject_addresses[0])
        pki_reason_set(
            out, PKI_REASON_CERT_WRONG_ADDRESS,
            "the certificate has no subjectAltName address; %.80s stands in its subject only",
            facts->subject_addresses[0]);
    else
        pki_reason_set(out, PKI_REASON_CERT_WRONG_ADDRESS,
                       "the certificate names no address, so it is not for %.80s", address);
    return false;
}

/* The NID of the key's algorithm: RSA and RSASSA-PSS are told apart here. */
static int
key_nid(const X509 *x509)
{
    ASN1_OBJECT *oid = NULL;

    X509_PUBKEY_get0_param(&oid, NULL, NULL, NULL, X509_get_X509_PUBKEY(x509));
    return OBJ_obj2nid(oid);
}

/* RFC 8550 4.4.2, RFC 5480 3, RFC 8410 5. An absent extension allows everything. */
static bool
key_usage_allows(X509 *x509, enum pki_use use, int nid)
{
    uint32_t usage = X509_get_key_usage(x509);

    if (use == PKI_USE_SIGN)
        return nid != NID_X25519 && nid != NID_X448 &&
               (usage & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) != 0;
    switch (nid) {
    case NID_rsaEncryption:
        return (usage & KU_KEY_ENCIPHERMENT) != 0;
    case NID_X9_62_id_ecPublicKey:
    case NID_X25519:
    case NID_X448:
        return (usage & KU_KEY_AGREEMENT) != 0;
    case NID_rsassaPss:
    case NID_dsa:
    case NID_ED25519:
    case NID_ED448:
        return false;
    default:
        return (usage & (KU_KEY_ENCIPHERMENT | KU_KEY_AGREEMENT)) != 0;
    }
}

static bool
usage_check(X509 *x509, enum pki_use use, struct pki_answer *out)
{
    const char *verb = use == PKI_USE_SIGN ? "sign" : "encrypt";

    if (X509_get_ext_by_NID(x509, NID_ext_key_usage, -1) >= 0 &&
        !(X509_get_extended_key_usage(x509) & (XKU_SMIME | XKU_ANYEKU))) {
        pki_reason_set(out, PKI_REASON_CERT_WRONG_USAGE,
                       "the certificate's extended key usage does not allow e-mail");
        return false;
    }
    if (!key_usage_allows(x509, use, key_nid(x509))) {
        pki_reason_set(out, PKI_REASON_CERT_WRONG_USAGE,
                       "the certificate's key or key usage does not allow to %s", verb);
        return false;
    }
    return true;
}

static bool
validity_check(const struct pki_certificate_facts *facts, time_t now, struct pki_answer *out)
{
    char when[PKI_TIME_SIZE];

    if (now < facts->not_before) {
        pki_reason_set(out, PKI_REASON_CERT_NOT_YET_VALID, "the certificate is not valid before %s",
                       pki_time_format(facts->not_before, when));
        return false;
    }
    if (now > facts->not_after) {
        pki_reason_set(out, PKI_REASON_CERT_EXPIRED, "the certificate expired on %s",
                       pki_time_format(facts->not_after, when));
        return false;
    }
    return true;
}

/* RFC 8550 4.3 and what CMS in OpenSSL 3.0 can do: no Ed25519 signers, no X25519. */
static bool
key_check(X509 *x509, unsigned bits, const struct pki_leaf_policy *policy, struct pki_answer *out)
{
    const EVP_PKEY *key = X509_get0_pubkey(x509);
    char curve[64] = "";

    switch (key_nid(x509)) {
    case NID_rsaEncryption:
    case NID_rsassaPss:
        if (!key)
            break;
        if (bits < policy->rsa_bits_min) {
            pki_reason_set(out, PKI_REASON_CERT_WEAK_KEY,
                           "the certificate's RSA key has %u bits; %u are needed", bits,
                           policy->rsa_bits_min);
            return false;
        }
        return true;
    case NID_X9_62_id_ecPublicKey:
        if (!key || !EVP_PKEY_get_group_name(key, curve, sizeof curve, NULL))
            break;
        switch (OBJ_txt2nid(curve)) {
        case NID_X9_62_prime256v1:
        case NID_secp384r1:
        case NID_secp521r1:
            return true;
        }
        pki_reason_set(out, PKI_REASON_UNSUPPORTED_ALGORITHM,
                       "the curve %s of the certificate's key is not supported", curve);
        return false;
    case NID_dsa:
        pki_reason_set(out, PKI_REASON_WEAK_ALGORITHM, "the certificate's key is a DSA key");
        return false;
    }
    pki_reason_set(out, PKI_REASON_UNSUPPORTED_ALGORITHM,
                   "keys like the certificate's (%.60s) are not supported for mail",
                   OBJ_nid2ln(key_nid(x509)) ? OBJ_nid2ln(key_nid(x509)) : "unknown");
    return false;
}

void
pki_certificate_check(const struct pki_certificate *certificate, enum pki_use use,
                      const char *address, time_t now, const struct pki_leaf_policy *policy,
                      struct pki_answer *out)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(certificate);
    X509 *x509 = pki_certificate_get0_x509(certificate);

    pki_crypto_reset();
    if (!address_check(certificate, address, policy, out))
        return;
    if (X509_get_extension_flags(x509) & EXFLAG_INVALID)
        pki_reason_set(out, PKI_REASON_CERT_MALFORMED,
                       "an extension of the certificate is malformed or contradicts another");
    else if (facts->ca)
        pki_reason_set(out, PKI_REASON_CERT_IS_CA,
                       "the certificate belongs to a certification authority");
    else if (usage_check(x509, use, out) && validity_check(facts, now, out) &&
             key_check(x509, facts->key_bits, policy, out))
        pki_reason_set(out, PKI_REASON_OK, "the certificate is good");
    pki_crypto_reset();
}
