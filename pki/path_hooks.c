#include "pki/path_hooks.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pki/crl.h"
#include "pki/crypto.h"
#include "pki/path_reason.h"
#include "pki/path_search.h"
#include "pki/pointer.h"

/* What the library's cert_crl says of an entry with the reason removeFromCRL. */
enum { CRL_TAKEN_BACK = 2 };

static struct pki_path_search *
search_find(const X509_STORE_CTX *ctx)
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

/* The note about the CRLs of the certificate that is looked at; NULL on the path of a CRL. */
static struct pki_path_crl *
note_find(struct pki_path_search *search, X509_STORE_CTX *ctx)
{
    int depth = X509_STORE_CTX_get_error_depth(ctx);

    return !is_nested(ctx) && depth >= 0 && depth < PKI_PATH_STEPS ? &search->round.crl[depth]
                                                                   : NULL;
}

/* ---- who is an issuer --------------------------------------------------------------------------
 */

/* The library takes the first that has the name (and the key identifier, where there is one), and
 * does not come back. After a failure it is told better: not one that led nowhere, and only who
 * really signed. */
static int
issued_check(X509_STORE_CTX *ctx, X509 *x509, X509 *issuer)
{
    struct pki_path_search *search = search_find(ctx);
    const struct pki_path_library *library = pki_trust_get0_library(search->args->trust);
    EVP_PKEY *key;
    bool is_signed;

    if (!library->check_issued(ctx, x509, issuer))
        return 0;
    if (!search->strict || x509 == issuer)
        return 1;
    for (size_t i = 0; i < search->excluded_count; i++) {
        if (X509_cmp(search->excluded[i], issuer) == 0)
            return 0;
    }
    key = X509_get0_pubkey(issuer);
    if (!key || search->signatures >= PKI_PATH_SIGNATURES)
        return 1;
    search->signatures++;
    ERR_set_mark();
    is_signed = X509_verify(x509, key) == 1;
    ERR_pop_to_mark();
    return is_signed;
}

/* ---- which CRLs it sees ------------------------------------------------------------------------
 */

/* Takes what is held for a URL among the candidates: no I/O. */
static void
held_get(struct pki_path_search *search, struct span url, const struct pki_certificate *issuer)
{
    struct pki_evidence_crl_question question = { .url = url,
                                                  .issuer = issuer,
                                                  .at = search->asked_at };
    struct pki_evidence_origin origin = { .source = NULL };
    struct err ignored = ERR_INIT;
    X509_CRL *crl = NULL;

    if (pki_evidence_get_crl(search->args->evidence, &question, &crl, &origin, &ignored) ==
            ERR_OK &&
        !pki_path_search_add_crl(search, crl, &origin))
        search->is_short = true;
}

static void
held_get_all(struct pki_path_search *search, const struct pki_pointer_urls *urls,
             const struct pki_certificate *issuer)
{
    for (size_t i = 0; i < urls->count; i++)
        held_get(search, urls->list[i], issuer);
}

/* Deltas that the complete CRLs of the issuer name (RFC 5280 5.2.6). */
static void
held_get_deltas(struct pki_path_search *search, const X509_NAME *name,
                const struct pki_certificate *issuer)
{
    int count = sk_X509_CRL_num(search->crls);
    struct err ignored = ERR_INIT;

    for (int i = 0; i < count; i++) {
        X509_CRL *crl = sk_X509_CRL_value(search->crls, i);
        struct pki_pointers *pointers = NULL;
        if (X509_CRL_get_ext_by_NID(crl, NID_freshest_crl, -1) < 0 ||
            X509_NAME_cmp(X509_CRL_get_issuer(crl), name) != 0)
            continue;
        if (pki_pointers_parse_crl(crl, &pointers, &ignored) == ERR_OK)
            held_get_all(search, &pointers->freshest, issuer);
        else
            search->is_short = true;
        pki_pointers_free(&pointers);
    }
}

/* The certificate above the one that is looked at; NULL: there is none. */
static X509 *
above_find(const X509_STORE_CTX *ctx)
{
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain((X509_STORE_CTX *)ctx);
    int above = X509_STORE_CTX_get_error_depth((X509_STORE_CTX *)ctx) + 1;

    return above < sk_X509_num(chain) ? sk_X509_value(chain, above) : NULL;
}

/* What is held about the certificate that is looked at. */
static void
evidence_get(struct pki_path_search *search, const X509_STORE_CTX *ctx, const X509_NAME *name)
{
    X509 *x509 = X509_STORE_CTX_get_current_cert((X509_STORE_CTX *)ctx), *above = above_find(ctx);
    const struct pki_certificate *certificate = x509 ? pki_certificate_of(x509) : NULL;
    const struct pki_certificate *issuer = above ? pki_certificate_of(above) : NULL;
    const struct pki_pointers *pointers;

    if (!search->args->evidence || !certificate || !issuer)
        return;
    pointers = pki_certificate_get0_pointers(certificate);
    for (size_t i = 0; i < pointers->point_count; i++)
        held_get_all(search, &pointers->points[i].urls, issuer);
    held_get_all(search, &pointers->freshest, issuer);
    held_get_deltas(search, name, issuer);
}

/* A certificate that names no place to ask leaves the CRLs of the message as all there is. */
static bool
names_a_source(const X509 *x509)
{
    const struct pki_certificate *certificate = x509 ? pki_certificate_of(x509) : NULL;

    return !certificate || pki_pointers_name_status(pki_certificate_get0_pointers(certificate));
}

static STACK_OF(X509_CRL) * crls_find(const X509_STORE_CTX *ctx, const X509_NAME *issuer)
{
    struct pki_path_search *search = search_find(ctx);
    const X509 *x509 = X509_STORE_CTX_get_current_cert((X509_STORE_CTX *)ctx);
    struct pki_revocation_question question = {
        .certificate = x509,
        .issuer = issuer,
        .signer = above_find(ctx),
        .more = { search->without_more ? NULL : search->args->crls, search->crls },
        .message = search->without_more ? NULL : search->args->message_crls,
        .message_alone = !names_a_source(x509),
        .at = search->at,
    };

    evidence_get(search, ctx, issuer);
    search->message_offered |= question.message && sk_X509_CRL_num(question.message) > 0;
    return pki_revocation_find(pki_trust_get0_revocation(search->args->trust), &question);
}

/* ---- what it found in them ---------------------------------------------------------------------
 */

/* The library's own check, all of it; this only says which CRL an error is about. */
static int
crl_check(X509_STORE_CTX *ctx, X509_CRL *crl)
{
    struct pki_path_search *search = search_find(ctx);
    struct pki_path_crl *note = note_find(search, ctx);

    if (note)
        note->checking = crl;
    return pki_trust_get0_library(search->args->trust)->check_crl(ctx, crl);
}

static void
crl_note(const struct pki_path_search *search, struct pki_path_crl *note, const X509_CRL *crl)
{
    time_t end = pki_path_search_crl_end(search, crl);

    if (!note->searched || end < note->end) {
        note->used = crl;
        note->this_update = pki_crl_this_update(crl);
        note->next_update = pki_crl_next_update(crl);
        note->end = end;
    }
    note->searched = true;
    if (end < search->at && note->code == X509_V_OK)
        note->code = X509_V_ERR_CRL_HAS_EXPIRED;
}

/* The library's own search of a CRL for a certificate, and a note of the CRL that was searched: no
 * other hook tells which one answered when the answer is good. A delta stands beside a complete
 * CRL, which is noted; one that cannot be used is no delta (it could take back a revocation). */
static int
crl_find(X509_STORE_CTX *ctx, X509_CRL *crl, X509 *x509)
{
    struct pki_path_search *search = search_find(ctx);
    const struct pki_path_library *library = pki_trust_get0_library(search->args->trust);
    struct pki_path_crl *note = note_find(search, ctx);
    int found;

    if (!note)
        return library->cert_crl(ctx, crl, x509);
    if (note->unusable_delta == crl)
        return 1;
    if (!pki_crl_is_delta(crl))
        crl_note(search, note, crl);
    note->searching = crl;
    found = library->cert_crl(ctx, crl, x509);
    /* The delta took a revocation back: the complete one is not looked into any more. */
    if (found == CRL_TAKEN_BACK)
        crl_note(search, note, X509_STORE_CTX_get0_current_crl(ctx));
    return found;
}

enum err_code
pki_path_hooks_set(X509_STORE *store, struct pki_path_library *library, struct err *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    enum err_code code = ERR_OK;

    if (ctx && X509_STORE_CTX_init(ctx, store, NULL, NULL)) {
        library->cert_crl = X509_STORE_CTX_get_cert_crl(ctx);
        library->check_crl = X509_STORE_CTX_get_check_crl(ctx);
        library->check_issued = X509_STORE_CTX_get_check_issued(ctx);
        X509_STORE_set_cert_crl(store, crl_find);
        X509_STORE_set_check_crl(store, crl_check);
        X509_STORE_set_check_issued(store, issued_check);
        X509_STORE_set_lookup_crls(store, crls_find);
    } else {
        code = pki_crypto_fail(err, ERR_NOMEM, "no memory for a verification context");
    }
    X509_STORE_CTX_free(ctx);
    return code;
}

/* ---- what becomes of an error ------------------------------------------------------------------
 */

static void
failure_set(struct pki_path_failure *failure, X509_STORE_CTX *ctx, int code, int depth)
{
    if (failure->code != X509_V_OK)
        return;
    *failure = (struct pki_path_failure){ .code = code,
                                          .depth = depth,
                                          .x509 = X509_STORE_CTX_get_current_cert(ctx) };
}

/* An error about a CRL. Going on is safe: what is noted here is never forgotten, and what comes
 * later can only make the answer worse. It is needed, since a forged or expired certificate must be
 * called so also where its CRL is missing; "could not ask" would be answered 451 for ever. */
static int
soft_check(struct pki_path_crl *note, int code)
{
    /* Entries of a CRL whose signature or scope is wrong say nothing. */
    bool unusable = pki_path_reason_find(code, 0) == PKI_REASON_CRL_INVALID;

    if (!note)
        return 1;
    /* A delta that cannot be used is one that is missing, which is no failure. */
    if (unusable && note->checking && pki_crl_is_delta(note->checking)) {
        note->unusable_delta = note->checking;
        return 1;
    }
    if (note->code == X509_V_OK)
        note->code = code;
    if (unusable)
        note->unusable = note->checking;
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
nested_check(const struct pki_path_search *search, X509_STORE_CTX *ctx, enum pki_reason reason)
{
    X509 *x509 = X509_STORE_CTX_get_current_cert(ctx);

    if (!is_soft(reason))
        return 0;
    if (speaks_of_himself(ctx))
        return 1;
    return search->args->revocation.mode == PKI_REVOCATION_PREFER ||
           (x509 && pki_path_search_is_anchor(search, x509));
}

int
pki_path_hooks_verify(int good, X509_STORE_CTX *ctx)
{
    struct pki_path_search *search = search_find(ctx);
    int code = X509_STORE_CTX_get_error(ctx), depth = X509_STORE_CTX_get_error_depth(ctx);
    struct pki_path_crl *note = note_find(search, ctx);
    enum pki_reason reason;

    if (good)
        return 1;
    reason = pki_path_reason_find(code, depth);
    if (is_nested(ctx))
        return nested_check(search, ctx, reason);
    if (reason == PKI_REASON_REVOKED && note && note->searching &&
        note->unusable == note->searching)
        return 1;
    if (is_soft(reason))
        return soft_check(note, code);
    failure_set(&search->round.hard, ctx, code, depth);
    return 0;
}
