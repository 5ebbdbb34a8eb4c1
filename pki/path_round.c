/*
 * One call of X509_verify_cert: parameters in, what it found out. Everything that decides about
 * errors is in pki/path_hooks.
 */
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pki/crypto.h"
#include "pki/path_hooks.h"
#include "pki/path_search.h"

static unsigned long
flags_get(const struct pki_path_args *args)
{
    unsigned long flags =
        X509_V_FLAG_POLICY_CHECK | X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST;

    if (args->revocation.mode != PKI_REVOCATION_OFF)
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

/* Failures that were forgiven stay behind in the context as its error, so it is asked only where
 * the verification failed and no hook was told why. */
static void
hard_set(struct pki_path_round *round, X509_STORE_CTX *ctx, int verified)
{
    int error = X509_STORE_CTX_get_error(ctx);

    if (verified != 1 && round->hard.code == X509_V_OK)
        round->hard.code = error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error;
}

static enum err_code
context_check(struct pki_path_search *search, X509_STORE_CTX *ctx, struct err *err)
{
    const struct pki_path_args *args = search->args;
    enum err_code code;
    int verified;

    if (!ctx || !X509_STORE_CTX_init(ctx, pki_trust_get0_store(args->trust),
                                     pki_certificate_get0_x509(args->leaf), search->untrusted))
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for a verification");
    if ((code = param_set(ctx, args, search->at, err)) != ERR_OK)
        return code;
    /* Without it the hooks would find nothing. */
    if (!X509_STORE_CTX_set_app_data(ctx, search))
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for a verification");
    X509_STORE_CTX_set_verify_cb(ctx, pki_path_hooks_verify);
    verified = X509_verify_cert(ctx);
    if (memory_is_short(ctx) || search->is_short)
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for a verification");
    search->round.chain = X509_STORE_CTX_get1_chain(ctx);
    if (!search->round.chain && X509_STORE_CTX_get0_chain(ctx))
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for a verification");
    hard_set(&search->round, ctx, verified);
    return ERR_OK;
}

enum err_code
pki_path_round_check(struct pki_path_search *search, struct err *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    enum err_code code;

    sk_X509_pop_free(search->round.chain, X509_free);
    search->round = (struct pki_path_round){ .chain = NULL };
    code = context_check(search, ctx, err);
    X509_STORE_CTX_free(ctx);
    pki_crypto_reset();
    return code;
}
