#include "pki/signature.h"

#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "pki/crypto.h"

/* How a signature algorithm is done: the kind of key and the digest that its OID names. */
struct scheme {
    int key;    /* EVP_PKEY_RSA, ... */
    int digest; /* NID_undef: told elsewhere, or none */
    bool pss;
};

static bool
find_scheme(const X509_ALGOR *algorithm, struct scheme *out)
{
    int nid = OBJ_obj2nid(algorithm->algorithm);
    int key = NID_undef, digest = NID_undef;
    switch (nid) {
    case NID_undef:
        return false;
    case NID_rsassaPss:
        *out = (struct scheme){ .key = EVP_PKEY_RSA, .pss = true };
        return true;
    case NID_rsaEncryption:
        *out = (struct scheme){ .key = EVP_PKEY_RSA };
        return true;
    case NID_X9_62_id_ecPublicKey:
        *out = (struct scheme){ .key = EVP_PKEY_EC };
        return true;
    case NID_dsa:
        *out = (struct scheme){ .key = EVP_PKEY_DSA };
        return true;
    case NID_ED25519:
    case NID_ED448:
        *out = (struct scheme){ .key = nid };
        return true;
    default:
        break;
    }
    if (!OBJ_find_sigid_algs(nid, &digest, &key) || digest == NID_undef)
        return false;
    if (key == NID_rsaEncryption || key == NID_rsa)
        *out = (struct scheme){ .key = EVP_PKEY_RSA, .digest = digest };
    else if (key == NID_X9_62_id_ecPublicKey)
        *out = (struct scheme){ .key = EVP_PKEY_EC, .digest = digest };
    else if (key == NID_dsa)
        *out = (struct scheme){ .key = EVP_PKEY_DSA, .digest = digest };
    else
        return false;
    return true;
}

struct pss {
    const EVP_MD *md, *mgf_md;
    int salt_bytes;
};

static const EVP_MD *
find_md(const X509_ALGOR *algorithm)
{
    return algorithm == NULL ? EVP_sha1() : EVP_get_digestbyobj(algorithm->algorithm);
}

/* RSASSA-PSS-params with their defaults (RFC 4055 3.1). Anything else than MGF1 and trailer 1 is
 * not ours. */
static bool
parse_pss(const X509_ALGOR *algorithm, struct pss *out)
{
    bool good = false;
    X509_ALGOR *mgf_hash = NULL;
    RSA_PSS_PARAMS *parameters = NULL;
    if (algorithm->parameter != NULL)
        parameters =
            ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), algorithm->parameter);
    if (parameters == NULL)
        return false;
    if (parameters->maskGenAlgorithm != NULL) {
        if (OBJ_obj2nid(parameters->maskGenAlgorithm->algorithm) != NID_mgf1)
            goto out;
        mgf_hash = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(X509_ALGOR),
                                             parameters->maskGenAlgorithm->parameter);
        if (mgf_hash == NULL)
            goto out;
    }
    int64_t salt = 20, trailer = 1;
    if ((parameters->saltLength != NULL &&
         !ASN1_INTEGER_get_int64(&salt, parameters->saltLength)) ||
        (parameters->trailerField != NULL &&
         !ASN1_INTEGER_get_int64(&trailer, parameters->trailerField)) ||
        salt < 0 || salt > 4096 || trailer != 1)
        goto out;
    *out = (struct pss){ .md = find_md(parameters->hashAlgorithm),
                         .mgf_md = find_md(mgf_hash),
                         .salt_bytes = (int)salt };
    good = out->md != NULL && out->mgf_md != NULL;
out:
    X509_ALGOR_free(mgf_hash);
    RSA_PSS_PARAMS_free(parameters);
    return good;
}

static enum pki_signature_state
say(const char **reason, enum pki_signature_state state, const char *word)
{
    *reason = word;
    return state;
}

/* EdDSA signs the bytes, not a digest of them (RFC 8419 2). */
static enum pki_signature_state
check_pure(const struct pki_signature_args *args, const char **reason)
{
    if (args->signed_bytes.p == NULL)
        return say(reason, PKI_SIGNATURE_UNSUPPORTED, "unsupported-algorithm");
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ready = context != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, args->key) > 0;
    bool good = ready && EVP_DigestVerify(context, args->signature.p, args->signature.n,
                                          args->signed_bytes.p, args->signed_bytes.n) == 1;
    EVP_MD_CTX_free(context);
    if (!ready)
        return say(reason, PKI_SIGNATURE_UNSUPPORTED, "unsupported-algorithm");
    return good ? say(reason, PKI_SIGNATURE_OK, "ok")
                : say(reason, PKI_SIGNATURE_BAD, "bad-signature");
}

static enum pki_signature_state
check_digest(const struct pki_signature_args *args, const struct scheme *scheme,
             const struct pss *pss, const char **reason)
{
    const EVP_MD *md = args->digest_nid == NID_undef ? NULL : EVP_get_digestbynid(args->digest_nid);
    struct pki_context_args wanted = { .use = PKI_CONTEXT_VERIFY, .md = md };
    if (scheme->key == EVP_PKEY_RSA)
        wanted.padding = pss != NULL ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
    if (pss != NULL) {
        wanted.mgf_md = pss->mgf_md;
        wanted.salt_bytes = pss->salt_bytes;
    }
    EVP_PKEY_CTX *context = md != NULL ? pki_context_new(args->contexts, args->key, &wanted) : NULL;
    bool ready = context != NULL;
    bool good = ready && EVP_PKEY_verify(context, args->signature.p, args->signature.n,
                                         args->digest.p, args->digest.n) == 1;
    EVP_PKEY_CTX_free(context);
    if (!ready)
        return say(reason, PKI_SIGNATURE_UNSUPPORTED, "unsupported-algorithm");
    return good ? say(reason, PKI_SIGNATURE_OK, "ok")
                : say(reason, PKI_SIGNATURE_BAD, "bad-signature");
}

static enum pki_signature_state
check_with(const struct pki_signature_args *args, const X509_ALGOR *algorithm, const char **reason)
{
    struct scheme scheme;
    struct pss pss;
    if (!find_scheme(algorithm, &scheme))
        return say(reason, PKI_SIGNATURE_UNSUPPORTED, "unsupported-algorithm");
    int key = EVP_PKEY_get_base_id(args->key);
    if (key != scheme.key && !(scheme.pss && key == EVP_PKEY_RSA_PSS))
        return say(reason, PKI_SIGNATURE_BAD, "bad-signature");
    if (scheme.key == EVP_PKEY_ED25519 || scheme.key == EVP_PKEY_ED448)
        return check_pure(args, reason);
    if (scheme.pss) {
        if (!parse_pss(algorithm, &pss))
            return say(reason, PKI_SIGNATURE_UNSUPPORTED, "unsupported-algorithm");
        scheme.digest = EVP_MD_get_type(pss.md);
    }
    /* RFC 8933 3: one digest for both. Two would let the weaker one decide. */
    if (scheme.digest != NID_undef && scheme.digest != args->digest_nid)
        return say(reason, PKI_SIGNATURE_BAD, "digest-mismatch");
    return check_digest(args, &scheme, scheme.pss ? &pss : NULL, reason);
}

enum pki_signature_state
pki_signature_check(const struct pki_signature_args *args, const char **reason)
{
    const unsigned char *p = args->algorithm.p;
    X509_ALGOR *algorithm = d2i_X509_ALGOR(NULL, &p, (long)args->algorithm.n);
    enum pki_signature_state state =
        algorithm != NULL ? check_with(args, algorithm, reason)
                          : say(reason, PKI_SIGNATURE_UNSUPPORTED, "unsupported-algorithm");
    X509_ALGOR_free(algorithm);
    pki_crypto_reset();
    return state;
}

enum err_code
pki_signature_find_digest(struct span algorithm, int *out, struct err *err)
{
    const unsigned char *p = algorithm.p;
    X509_ALGOR *parsed = d2i_X509_ALGOR(NULL, &p, (long)algorithm.n);
    struct scheme scheme = { .digest = NID_undef };
    struct pss pss;

    if (parsed && find_scheme(parsed, &scheme) && scheme.pss)
        scheme.digest = parse_pss(parsed, &pss) ? EVP_MD_get_type(pss.md) : NID_undef;
    X509_ALGOR_free(parsed);
    *out = scheme.digest;
    return pki_crypto_is_short() ? err_set(err, ERR_NOMEM, "no memory for an algorithm") : ERR_OK;
}
