#include "pki/ocsp_signer.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "pki/crypto.h"
#include "pki/reason.h"

enum { SECURITY_BITS_MIN = 112 };

struct search {
    const struct pki_ocsp_args *args;
    OCSP_BASICRESP *basic;
    time_t at;
    unsigned tried;
    bool matched; /* some candidate is the one that responderID names */
    struct pki_answer *answer;
};

/* ---- the algorithm floor ----------------------------------------------------------------------
 */

static bool
digest_is_strong(int digest)
{
    static const int strong[] = { NID_sha224,   NID_sha256,   NID_sha384,   NID_sha512,
                                  NID_sha3_256, NID_sha3_384, NID_sha3_512, NID_sha512_256 };

    for (size_t i = 0; i < sizeof strong / sizeof *strong; i++) {
        if (strong[i] == digest)
            return true;
    }
    return false;
}

/* The digest of RSASSA-PSS stands in its parameters; absent it is SHA-1. RFC 4055 3.1 */
static bool
pss_is_strong(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *digest = NULL;
    const void *value = NULL;
    RSA_PSS_PARAMS *pss = NULL;
    int type;
    bool strong;

    X509_ALGOR_get0(NULL, &type, &value, algorithm);
    if (type == V_ASN1_SEQUENCE)
        pss = ASN1_item_unpack(value, ASN1_ITEM_rptr(RSA_PSS_PARAMS));
    if (pss && pss->hashAlgorithm)
        X509_ALGOR_get0(&digest, NULL, NULL, pss->hashAlgorithm);
    strong = digest && digest_is_strong(OBJ_obj2nid(digest));
    RSA_PSS_PARAMS_free(pss);
    return strong;
}

static bool
algorithm_is_strong(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *object = NULL;
    int signature, digest = NID_undef, key = NID_undef;

    X509_ALGOR_get0(&object, NULL, NULL, algorithm);
    signature = OBJ_obj2nid(object);
    if (signature == NID_ED25519 || signature == NID_ED448)
        return true;
    if (signature == NID_rsassaPss)
        return pss_is_strong(algorithm);
    return OBJ_find_sigid_algs(signature, &digest, &key) && key != EVP_PKEY_DSA &&
           digest_is_strong(digest);
}

static bool
key_is_strong(const X509 *x509)
{
    EVP_PKEY *key = X509_get0_pubkey(x509);

    return key && EVP_PKEY_get_security_bits(key) >= SECURITY_BITS_MIN;
}

/* ---- candidates -------------------------------------------------------------------------------
 */

/* ResponderID: the subject, or SHA-1 of the public key's bits. RFC 6960 4.2.1 */
static bool
is_named(OCSP_BASICRESP *basic, X509 *x509)
{
    const ASN1_OCTET_STRING *key = NULL;
    const X509_NAME *name = NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (!OCSP_resp_get0_id(basic, &key, &name))
        return false;
    if (name)
        return X509_NAME_cmp(name, X509_get_subject_name(x509)) == 0;
    return key && X509_pubkey_digest(x509, EVP_sha1(), digest, &n) &&
           span_equal(span_of(digest, n),
                      span_of(ASN1_STRING_get0_data(key), (size_t)ASN1_STRING_length(key)));
}

static bool
signature_is_good(OCSP_BASICRESP *basic, X509 *x509)
{
    STACK_OF(X509) *one = sk_X509_new_null();
    bool good = false;

    /* The library shall look at this candidate alone and leave the question of trust to us. */
    if (one && sk_X509_push(one, x509))
        good = OCSP_basic_verify(basic, one, NULL, OCSP_NOINTERN | OCSP_NOVERIFY) > 0;
    sk_X509_free(one);
    pki_crypto_reset();
    return good;
}

/* An extension that must be understood and is not: the certificate says something else than what
 * we read. */
static bool
has_unknown_critical(const X509 *x509)
{
    for (int i = 0; i < X509_get_ext_count(x509); i++) {
        X509_EXTENSION *e = X509_get_ext(x509, i);
        if (X509_EXTENSION_get_critical(e) && !X509_supported_extension(e) &&
            OBJ_obj2nid(X509_EXTENSION_get_object(e)) != NID_id_pkix_OCSP_noCheck)
            return true;
    }
    return false;
}

/* NULL: the issuer's key made it a responder; else what is wrong. */
static const char *
delegation_check(const struct search *search, X509 *x509)
{
    X509 *issuer = pki_certificate_get0_x509(search->args->issuer);
    EVP_PKEY *issuer_key = X509_get0_pubkey(issuer);
    uint32_t flags = X509_get_extension_flags(x509);
    time_t at = search->at;

    if (X509_NAME_cmp(X509_get_issuer_name(x509), X509_get_subject_name(issuer)) != 0)
        return "its certificate is not from the issuer of the certificate that was asked for";
    if (flags & EXFLAG_INVALID || has_unknown_critical(x509))
        return "its certificate has extensions that are malformed, or critical and unknown";
    if (!(flags & EXFLAG_XKUSAGE) || !(X509_get_extended_key_usage(x509) & XKU_OCSP_SIGN))
        return "its certificate does not allow the signing of OCSP responses";
    if (flags & EXFLAG_KUSAGE &&
        !(X509_get_key_usage(x509) & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)))
        return "the key usage of its certificate forbids signing";
    if (X509_cmp_time(X509_get0_notBefore(x509), &at) >= 0 ||
        X509_cmp_time(X509_get0_notAfter(x509), &at) <= 0)
        return "its certificate has expired or is not valid yet";
    if (!issuer_key || X509_verify(x509, issuer_key) <= 0)
        return "its certificate does not carry the signature of the issuer's key";
    return NULL;
}

static bool
delegate_is_strong(const X509 *x509)
{
    int digest, key, bits;
    uint32_t flags;

    return key_is_strong(x509) &&
           X509_get_signature_info((X509 *)x509, &digest, &key, &bits, &flags) &&
           bits >= SECURITY_BITS_MIN;
}

static bool
issuer_try(struct search *search, struct pki_ocsp_signer *out)
{
    X509 *issuer = pki_certificate_get0_x509(search->args->issuer);

    if (!is_named(search->basic, issuer))
        return false;
    search->matched = true;
    if (!signature_is_good(search->basic, issuer)) {
        pki_reason_set(search->answer, PKI_REASON_OCSP_INVALID,
                       "the signature on the OCSP response is wrong");
        return false;
    }
    *out = (struct pki_ocsp_signer){ .x509 = issuer, .is_issuer = true };
    return true;
}

static bool
delegate_try(struct search *search, X509 *x509, struct pki_ocsp_signer *out)
{
    const char *problem;

    if (search->tried >= PKI_OCSP_SIGNERS || !is_named(search->basic, x509))
        return false;
    search->tried++;
    search->matched = true;
    problem = delegation_check(search, x509);
    pki_crypto_reset();
    if (problem) {
        pki_reason_set(search->answer, PKI_REASON_OCSP_SIGNER,
                       "the OCSP response's signer may not speak for the issuer: %s", problem);
        return false;
    }
    if (!search->args->allow_weak && !delegate_is_strong(x509)) {
        pki_reason_set(search->answer, PKI_REASON_OCSP_WEAK_ALGORITHM,
                       "the OCSP responder's key or the signature on its certificate is too weak");
        return false;
    }
    if (!signature_is_good(search->basic, x509)) {
        pki_reason_set(search->answer, PKI_REASON_OCSP_INVALID,
                       "the signature on the OCSP response is wrong");
        return false;
    }
    *out = (struct pki_ocsp_signer){
        .x509 = x509, .nocheck = X509_get_ext_by_NID(x509, NID_id_pkix_OCSP_noCheck, -1) >= 0
    };
    return true;
}

bool
pki_ocsp_signer_find(const struct pki_ocsp_args *args, OCSP_BASICRESP *basic, time_t at,
                     struct pki_ocsp_signer *out, struct pki_answer *answer)
{
    struct search search = { .args = args, .basic = basic, .at = at, .answer = answer };
    const STACK_OF(X509) *carried = OCSP_resp_get0_certs(basic);

    *out = (struct pki_ocsp_signer){ .x509 = NULL };
    if (!args->allow_weak && !algorithm_is_strong(OCSP_resp_get0_tbs_sigalg(basic))) {
        pki_reason_set(answer, PKI_REASON_OCSP_WEAK_ALGORITHM,
                       "the OCSP response is signed with an algorithm that is too weak");
        pki_crypto_reset();
        return false;
    }
    if (issuer_try(&search, out))
        return true;
    for (int i = 0; carried && i < sk_X509_num(carried); i++) {
        if (delegate_try(&search, sk_X509_value(carried, i), out))
            return true;
    }
    for (size_t i = 0; args->untrusted && i < args->untrusted->count; i++) {
        if (delegate_try(&search, pki_certificate_get0_x509(args->untrusted->list[i]), out))
            return true;
    }
    if (!search.matched)
        pki_reason_set(answer, PKI_REASON_OCSP_SIGNER,
                       "the OCSP response's signer is neither the issuer nor a certificate at "
                       "hand");
    pki_crypto_reset();
    return false;
}
