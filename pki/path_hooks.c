#include "pki/path_hooks.h"

#include "pki/crypto.h"
#include "pki/path_reason.h"

static struct pki_path_state *
state_find(const X509_STORE_CTX *ctx)
{
    while (X509_STORE_CTX_get0_parent_ctx((X509_STORE_CTX *)ctx))
        ctx = X509_STORE_CTX_get0_parent_ctx((X509_STORE_CTX *)ctx);
    return X509_STORE_CTX_get_app_data((X509_STORE_CTX *)ctx);
}

static bool
is_nested(const X509_STORE_CTX *ctx)
{
    return X509_STORE_CTX_get0_parent_ctx((X509_STORE_CTX *)ctx) != NULL;
}

static STACK_OF(X509_CRL) * crls_find(const X509_STORE_CTX *ctx, const X509_NAME *issuer)
{
    const struct pki_path_state *state = state_find(ctx);

    return pki_revocation_find(
        pki_trust_get0_revocation(state->args->trust),
        &(struct pki_revocation_question){
            .certificate = X509_STORE_CTX_get_current_cert((X509_STORE_CTX *)ctx),
            .issuer = issuer,
            .more = state->without_more ? NULL : state->args->crls,
            .at = state->at });
}

static time_t
time_get(const ASN1_TIME *time)
{
    struct tm tm;

    return time && ASN1_TIME_to_tm(time, &tm) ? timegm(&tm) : 0;
}

/* The library's own search of a CRL for a certificate, and a note of the CRL that was searched: no
 * other hook tells which one answered when the answer is good. */
static int
crl_find(X509_STORE_CTX *ctx, X509_CRL *crl, X509 *x509)
{
    struct pki_path_state *state = state_find(ctx);
    int depth = X509_STORE_CTX_get_error_depth(ctx);

    if (!is_nested(ctx) && depth >= 0 && depth < PKI_PATH_DEPTH + 2) {
        state->crl[depth].asked = true;
        state->crl[depth].this_update = time_get(X509_CRL_get0_lastUpdate(crl));
        state->crl[depth].next_update = time_get(X509_CRL_get0_nextUpdate(crl));
    }
    return state->cert_crl(ctx, crl, x509);
}

enum err_code
pki_path_hooks_set(X509_STORE *store, X509_STORE_CTX_cert_crl_fn *cert_crl, struct err *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    enum err_code code = ERR_OK;

    if (ctx && X509_STORE_CTX_init(ctx, store, NULL, NULL)) {
        *cert_crl = X509_STORE_CTX_get_cert_crl(ctx);
        X509_STORE_set_cert_crl(store, crl_find);
        X509_STORE_set_lookup_crls(store, crls_find);
    } else {
        code = pki_crypto_fail(err, ERR_NOMEM, "no memory for a verification context");
    }
    X509_STORE_CTX_free(ctx);
    return code;
}

static bool
is_anchor(const struct pki_path_state *state, const X509 *x509)
{
    const struct pki_certificates *anchors = pki_trust_get0_anchors(state->args->trust);

    for (size_t i = 0; i < anchors->count; i++) {
        if (X509_cmp(pki_certificate_get0_x509(anchors->list[i]), x509) == 0)
            return true;
    }
    return false;
}

static void
failure_set(struct pki_path_failure *failure, X509_STORE_CTX *ctx, int code, int depth)
{
    if (failure->code != X509_V_OK)
        return;
    *failure = (struct pki_path_failure){ .code = code,
                                          .depth = depth,
                                          .x509 = X509_STORE_CTX_get_current_cert(ctx) };
}

/* An error about a CRL. Going on is safe: what is noted here is never
 * forgotten, and what comes later can only make the answer worse. It is needed, since a forged or
 * expired certificate must be called so also where its CRL is missing; "could not ask" would be
 * answered 451 for ever. */
static int
soft_check(struct pki_path_state *state, X509_STORE_CTX *ctx, int code, int depth)
{
    X509 *x509 = X509_STORE_CTX_get_current_cert(ctx);

    if (depth >= 0 && depth < PKI_PATH_DEPTH + 2) {
        state->crl[depth].unknown = true;
        /* Entries of a CRL whose signature or scope is wrong say nothing. */
        if (pki_path_reason_find(code, depth) == PKI_REASON_CRL_INVALID)
            state->crl[depth].unusable = true;
        /* An anchor is trusted by configuration; nobody above it could revoke it (RFC 5280 6.1). */
        if (x509 && is_anchor(state, x509))
            return 1;
    }
    failure_set(&state->soft, ctx, code, depth);
    return 1;
}

static bool
is_soft(enum pki_reason reason)
{
    return reason == PKI_REASON_REVOCATION_UNKNOWN || reason == PKI_REASON_CRL_EXPIRED ||
           reason == PKI_REASON_CRL_INVALID;
}

/* The status of a CRL's signer may stand in that same CRL alone, if his issuer said so by naming
 * him as cRLIssuer (RFC 5280 6.3.3 (f) asks for the path of the CRL's signer, which is the one
 * that is being checked). The library gives up where the question bites its tail; here it is told
 * that all else about this path is judged anyway, and his entry in the CRL too. Only of the signer
 * himself: not of an authority above him, whom he could keep alive. */
static bool
speaks_of_himself(X509_STORE_CTX *ctx)
{
    const X509 *signer = X509_STORE_CTX_get0_current_issuer(ctx);
    const X509 *subject = X509_STORE_CTX_get0_cert(ctx);

    return X509_STORE_CTX_get_error(ctx) == X509_V_ERR_CRL_PATH_VALIDATION_ERROR &&
           X509_STORE_CTX_get_error_depth(ctx) == 0 && signer && subject &&
           X509_cmp(signer, subject) == 0;
}

/* On the path of a CRL's issuer. 0: the CRL is unusable, which the outer context reports as a
 * failure of its own. Where a missing CRL is forgiven it is forgiven here too, or a CRL that
 * revokes would be thrown away for it. */
static int
nested_check(const struct pki_path_state *state, X509_STORE_CTX *ctx, enum pki_reason reason)
{
    X509 *x509 = X509_STORE_CTX_get_current_cert(ctx);

    if (!is_soft(reason))
        return 0;
    if (speaks_of_himself(ctx))
        return 1;
    return state->args->revocation == PKI_REVOCATION_PREFER || (x509 && is_anchor(state, x509));
}

int
pki_path_hooks_verify(int good, X509_STORE_CTX *ctx)
{
    struct pki_path_state *state = state_find(ctx);
    int code = X509_STORE_CTX_get_error(ctx), depth = X509_STORE_CTX_get_error_depth(ctx);
    enum pki_reason reason;

    if (good)
        return 1;
    reason = pki_path_reason_find(code, depth);
    if (is_nested(ctx))
        return nested_check(state, ctx, reason);
    if (reason == PKI_REASON_REVOKED && depth >= 0 && depth < PKI_PATH_DEPTH + 2) {
        if (state->crl[depth].unusable)
            return 1;
        state->revoked_depth = depth;
    }
    if (is_soft(reason))
        return soft_check(state, ctx, code, depth);
    failure_set(&state->hard, ctx, code, depth);
    return 0;
}
