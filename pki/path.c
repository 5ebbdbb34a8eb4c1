/*
 * How one leaf becomes trusted.
 *
 * The caller brings a leaf, perhaps certificates and CRLs of the message, and a trust set. OpenSSL
 * builds a path from the leaf over what the message and the configuration give to an anchor, and
 * checks it as RFC 5280 6.1 says: signatures, validity, constraints, names, policies, and for every
 * certificate a CRL (complete, delta, indirect, by reasons). Its purposes are not used; they know
 * mail worse than we do.
 *
 * Which CRLs it sees is decided by pki/revocation, what becomes of an error by pki/path_hooks: a
 * final one (bad signature, revoked, expired) ends the matter, one that only says "not known" is
 * noted and the search for a final one goes on. So the answer is temporary only where asking again
 * could make it good.
 *
 * What the library leaves out is added at the end: the algorithm floor, and the extended key usage
 * of issuers. Only anchors are in the store; with partial chains allowed an intermediate there
 * would be an anchor too.
 */
#include "pki/path.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pki/crypto.h"
#include "pki/path_heirs.h"
#include "pki/path_hooks.h"
#include "pki/path_reason.h"
#include "util/clock.h"

enum { SIGNATURE_BITS_MIN = 112, RSA_BITS_MIN = 2048, EC_BITS_MIN = 224, UNTRUSTED_MAX = 20000 };

static unsigned long
flags_get(const struct pki_path_args *args)
{
    unsigned long flags =
        X509_V_FLAG_POLICY_CHECK | X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST;

    if (args->revocation != PKI_REVOCATION_OFF)
        flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL |
                 X509_V_FLAG_EXTENDED_CRL_SUPPORT | X509_V_FLAG_USE_DELTAS;
    if (args->explicit_policy)
        flags |= X509_V_FLAG_EXPLICIT_POLICY;
    if (args->inhibit_policy_mapping)
        flags |= X509_V_FLAG_INHIBIT_MAP;
    if (args->inhibit_any_policy)
        flags |= X509_V_FLAG_INHIBIT_ANY;
    return flags;
}

static enum err_code
param_set(X509_STORE_CTX *ctx, const struct pki_path_args *args, time_t at, struct err *err)
{
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);

    X509_VERIFY_PARAM_set_depth(param, PKI_PATH_DEPTH);
    X509_VERIFY_PARAM_set_time(param, at);
    /* A common name that looks like a host is not one. */
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (!X509_VERIFY_PARAM_set_flags(param, flags_get(args)))
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for verification parameters");
    for (const char *const *oid = args->policies; oid && *oid; oid++) {
        ASN1_OBJECT *policy =
            strcmp(*oid, "anyPolicy") == 0 ? OBJ_nid2obj(NID_any_policy) : OBJ_txt2obj(*oid, 1);
        if (!policy)
            return pki_crypto_fail(err, ERR_PERM, "%s is not the OID of a policy", *oid);
        if (!X509_VERIFY_PARAM_add0_policy(param, policy)) {
            ASN1_OBJECT_free(policy);
            return pki_crypto_fail(err, ERR_NOMEM, "no memory for verification parameters");
        }
    }
    return ERR_OK;
}

static bool
push(STACK_OF(X509) * stack, const struct pki_certificates *certificates)
{
    for (size_t i = 0; certificates && i < certificates->count; i++) {
        if (sk_X509_num(stack) >= UNTRUSTED_MAX)
            return true;
        if (!sk_X509_push(stack, pki_certificate_get0_x509(certificates->list[i])))
            return false;
    }
    return true;
}

static bool
contains(const struct pki_certificates *certificates, const X509 *x509,
         struct pki_certificate **out)
{
    for (size_t i = 0; certificates && i < certificates->count; i++) {
        const X509 *have = pki_certificate_get0_x509(certificates->list[i]);
        if (have == x509 || X509_cmp(have, x509) == 0) {
            *out = certificates->list[i];
            return true;
        }
    }
    return false;
}

static void
step_set(struct pki_path_step *step, const struct pki_path_args *args, X509 *x509, bool is_leaf)
{
    struct pki_certificate *found = NULL;

    if (contains(pki_trust_get0_anchors(args->trust), x509, &found))
        step->source = "anchor";
    else if (!is_leaf && contains(pki_trust_get0_intermediates(args->trust), x509, &found))
        step->source = "intermediate";
    else if (is_leaf || contains(args->untrusted, x509, &found))
        step->source = "message";
    if (is_leaf)
        found = (struct pki_certificate *)args->leaf;
    step->certificate = pki_certificate_add1(found);
}

static const char *
revocation_word(const struct pki_path_args *args, const struct pki_path_state *state, size_t i,
                const struct pki_path_step *step)
{
    if (state->revoked_depth == (int)i)
        return "revoked";
    if (strcmp(step->source, "anchor") == 0)
        return "anchor";
    if (args->revocation == PKI_REVOCATION_OFF)
        return "off";
    return state->crl[i].asked && !state->crl[i].unknown ? "good" : "unknown";
}

static void
steps_set(struct pki_path_result *result, const struct pki_path_args *args,
          const struct pki_path_state *state, X509_STORE_CTX *ctx)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    size_t count = chain ? (size_t)sk_X509_num(chain) : 0;

    if (count > sizeof result->steps / sizeof *result->steps)
        count = sizeof result->steps / sizeof *result->steps;
    for (size_t i = 0; i < count; i++) {
        struct pki_path_step *step = &result->steps[i];
        *step = (struct pki_path_step){ .source = "message" };
        step_set(step, args, sk_X509_value(chain, (int)i), i == 0);
        step->revocation = revocation_word(args, state, i, step);
        step->crl_this_update = state->crl[i].this_update;
        step->crl_next_update = state->crl[i].next_update;
        result->count = i + 1;
    }
}

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

/* RFC 8550 4.3. The leaf's own key is the business of the leaf rules, the anchor's signature of
 * nobody. */
static bool
floor_check(const struct pki_path_result *result, struct pki_answer *out)
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
issuer_usage_check(const struct pki_path_result *result, struct pki_answer *out)
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

/* Final before policy before temporary. */
static void
answer_set(struct pki_path_result *result, const struct pki_path_args *args,
           const struct pki_path_state *state, int error)
{
    struct pki_answer *out = &result->answer;
    struct pki_path_failure unexplained = { .code = error };

    if (state->hard.code != X509_V_OK)
        pki_path_reason_set(out, &state->hard);
    else if (error != X509_V_OK)
        pki_path_reason_set(out, &unexplained);
    else if (!issuer_usage_check(result, out) || (!args->allow_weak && !floor_check(result, out)))
        return;
    else if (state->soft.code != X509_V_OK && args->revocation == PKI_REVOCATION_REQUIRE)
        pki_path_reason_set(out, &state->soft);
    else
        pki_reason_set(out, PKI_REASON_OK, "the path leads to a trust anchor");
}

/* The library says "out of memory" also where its own bound on the policy tree stopped it (1000
 * nodes; without it, two policies in each of twenty certificates are a million). That is the
 * sender's doing, not our shortage, and must not be answered 451 for ever. A shortage is reported
 * by the place where it happened and again above; the bound leaves the one error of
 * X509_verify_cert alone. */
static bool
memory_is_short(X509_STORE_CTX *ctx)
{
    unsigned long code;
    unsigned count = 0;
    bool elsewhere = false;

    if (X509_STORE_CTX_get_error(ctx) != X509_V_ERR_OUT_OF_MEM)
        return false;
    while ((code = ERR_get_error()) != 0) {
        count += ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
        elsewhere = elsewhere || ERR_GET_LIB(code) != ERR_LIB_X509;
    }
    return count != 1 || elsewhere;
}

/* What the verification as a whole says. Failures that were forgiven stay behind in the context as
 * its error, so it is asked only where the verification failed. */
static int
error_get(X509_STORE_CTX *ctx, int verified)
{
    int error = X509_STORE_CTX_get_error(ctx);

    if (verified == 1)
        return X509_V_OK;
    return error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error;
}

static enum err_code
round_check(const struct pki_path_args *args, STACK_OF(X509) * untrusted, bool without_more,
            struct pki_path_result *result, struct err *err)
{
    struct pki_path_state state = {
        .args = args,
        .without_more = without_more,
        .at = args->at ? args->at : clock_now_s(),
        .cert_crl = pki_trust_get0_cert_crl(args->trust),
        .revoked_depth = -1,
    };
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    enum err_code code = ERR_OK;
    int verified;

    if (!ctx || !X509_STORE_CTX_init(ctx, pki_trust_get0_store(args->trust),
                                     pki_certificate_get0_x509(args->leaf), untrusted)) {
        code = pki_crypto_fail(err, ERR_NOMEM, "no memory for a verification");
        goto out;
    }
    if ((code = param_set(ctx, args, state.at, err)) != ERR_OK)
        goto out;
    /* Without it the hooks would find no state. */
    if (!X509_STORE_CTX_set_app_data(ctx, &state)) {
        code = pki_crypto_fail(err, ERR_NOMEM, "no memory for a verification");
        goto out;
    }
    X509_STORE_CTX_set_verify_cb(ctx, pki_path_hooks_verify);
    verified = X509_verify_cert(ctx);
    if (memory_is_short(ctx)) {
        code = pki_crypto_fail(err, ERR_NOMEM, "no memory for a verification");
        goto out;
    }
    steps_set(result, args, &state, ctx);
    answer_set(result, args, &state, error_get(ctx, verified));
out:
    X509_STORE_CTX_free(ctx);
    pki_crypto_reset();
    return code;
}

static enum err_code
whole_check(const struct pki_path_args *args, struct pki_path_result *result, struct err *err)
{
    STACK_OF(X509) *untrusted = sk_X509_new_null();
    enum err_code code;

    *result = (struct pki_path_result){ .count = 0 };
    pki_crypto_reset();
    if (!untrusted || !push(untrusted, args->untrusted) ||
        !push(untrusted, pki_trust_get0_intermediates(args->trust))) {
        code = pki_crypto_fail(err, ERR_NOMEM, "no memory for a path");
        goto out;
    }
    code = round_check(args, untrusted, false, result, err);
    /* A broken CRL that came with the question must not hide the good one that we hold. */
    if (code == ERR_OK && result->answer.status == PKI_STATUS_TEMP && args->crls &&
        sk_X509_CRL_num(args->crls) > 0) {
        struct pki_path_result again = { .count = 0 };
        code = round_check(args, untrusted, true, &again, err);
        if (code == ERR_OK && again.answer.status != PKI_STATUS_TEMP) {
            pki_path_result_free(result);
            *result = again;
        } else {
            pki_path_result_free(&again);
        }
    }
out:
    sk_X509_free(untrusted);
    if (code != ERR_OK)
        pki_path_result_free(result);
    return code;
}

enum err_code
pki_path_check(const struct pki_path_args *args, struct pki_path_result *result, struct err *err)
{
    struct pki_path_args whole = *args;
    struct pki_path_heirs heirs;
    enum err_code code = pki_path_heirs_load(&heirs, &whole, err);

    *result = (struct pki_path_result){ .count = 0 };
    if (code == ERR_OK)
        code = whole_check(&whole, result, err);
    pki_path_heirs_free(&heirs);
    return code;
}

void
pki_path_result_free(struct pki_path_result *result)
{
    for (size_t i = 0; i < result->count; i++)
        pki_certificate_free(&result->steps[i].certificate);
    result->count = 0;
}
