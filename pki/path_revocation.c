/*
 * The status of each certificate of a path that holds: what is held, then what is asked for.
 *                                                                   RFC 5280 6.3, RFC 6960, RFC
 * 5019
 *
 * The library has judged the CRLs that were at hand when it verified. OCSP is added here: what is
 * held costs a look-up. Where that leaves a certificate without a status, and only then, the
 * network is asked within the budget of the message, method by method in the configured order, from
 * the top of the path down. New CRLs are judged by verifying once more.
 */
#include <stdio.h>
#include <string.h>

#include "pki/path_search.h"
#include "pki/pointer.h"
#include "util/clock.h"

/* ---- what asking brought -----------------------------------------------------------------------
 */

void
pki_path_asked_note(struct pki_path_asked *asked, const struct pki_evidence_origin *origin,
                    const char *what)
{
    const char *text = origin->text[0] ? origin->text : what;
    enum pki_reason reason = pki_reason_find(origin->reason);

    if (!asked->failed && origin->reason)
        snprintf(asked->text, sizeof asked->text, "%.40s: %.150s", origin->reason, text);
    else if (!asked->failed)
        snprintf(asked->text, sizeof asked->text, "%.190s", text);
    asked->failed = true;
    if (reason < PKI_REASON_COUNT && asked->reason == PKI_REASON_OK)
        asked->reason = reason;
    if (origin->unknown_since == 0)
        asked->undecided = true;
    else if (origin->unknown_since > asked->since)
        asked->since = origin->unknown_since;
}

bool
pki_path_asked_is_over(const struct pki_path_asked *asked, unsigned giveup_s)
{
    return asked->failed && !asked->undecided && giveup_s > 0 &&
           clock_now_s() >= asked->since + (time_t)giveup_s;
}

/* ---- what is known -----------------------------------------------------------------------------
 */

static bool
is_good_by_crl(const struct pki_path_search *search, size_t i)
{
    return search->round.crl[i].searched && search->round.crl[i].code == X509_V_OK;
}

static bool
is_settled(const struct pki_path_search *search, size_t i)
{
    return is_good_by_crl(search, i) || search->ocsp[i].status == PKI_OCSP_GOOD ||
           search->ocsp[i].status == PKI_OCSP_REVOKED;
}

static bool
is_revoked(const struct pki_path_search *search)
{
    for (size_t i = 0; i < PKI_PATH_STEPS; i++) {
        if (search->ocsp[i].status == PKI_OCSP_REVOKED)
            return true;
    }
    return !pki_path_search_holds(search);
}

/* The certificates that have an issuer in the path: all but the anchor. */
static size_t
subject_count(const struct pki_path_search *search)
{
    size_t count = pki_path_search_count(search);

    return count > 0 ? count - 1 : 0;
}

static size_t
unsettled_count(const struct pki_path_search *search)
{
    size_t count = 0;

    for (size_t i = 0; i < subject_count(search); i++)
        count += !is_settled(search, i);
    return count;
}

/* ---- OCSP --------------------------------------------------------------------------------------
 */

/* A responder that the issuer appointed, and whose own status must be known: by CRL, since its own
 * OCSP would ask itself. So this goes one level deep. What a revoked responder says is nothing;
 * one whose status is not known can say "revoked", never "good". */
static enum err_code
responder_check(const struct pki_path_search *search, size_t i, struct pki_ocsp_result *ocsp,
                struct err *err)
{
    struct pki_certificate *above[PKI_PATH_STEPS];
    struct pki_certificates issuers = { .list = above };
    struct pki_path_args args = *search->args;
    struct pki_path_result path = { .count = 0 };
    enum err_code code;

    for (size_t n = i + 1; n < pki_path_search_count(search); n++) {
        above[issuers.count] = pki_path_search_get0(search, n);
        issuers.count += above[issuers.count] != NULL;
    }
    args.leaf = ocsp->responder;
    args.untrusted = &issuers;
    args.message_crls = NULL;
    args.at = search->at;
    args.revocation.mode = PKI_REVOCATION_REQUIRE;
    args.revocation.methods = PKI_REVOCATION_CRL;
    args.policies = NULL;
    args.explicit_policy = args.inhibit_policy_mapping = args.inhibit_any_policy = false;
    args.source = "ocsp";
    code = pki_path_check(&args, &path, err);
    if (code == ERR_OK && path.answer.status != PKI_STATUS_OK &&
        (ocsp->status != PKI_OCSP_REVOKED ||
         strcmp(path.answer.reason, pki_reason_word(PKI_REASON_REVOKED)) == 0)) {
        ocsp->status = PKI_OCSP_NONE;
        pki_reason_set(&ocsp->answer, PKI_REASON_OCSP_RESPONDER,
                       "the certificate of the OCSP responder: %.180s", path.answer.text);
    }
    pki_path_result_free(&path);
    return code;
}

static enum err_code
ocsp_get(struct pki_path_search *search, size_t i, struct pki_fetch_budget *budget, struct err *err)
{
    struct pki_evidence_ocsp_question question = {
        .certificate = pki_path_search_get0(search, i),
        .issuer = pki_path_search_get0(search, i + 1),
        .untrusted = search->args->untrusted,
        .max_age_s = search->args->revocation.ocsp_max_age_s,
        .at = search->asked_at,
        .budget = budget,
    };
    struct pki_evidence_origin origin = { .source = NULL };
    struct pki_ocsp_result result = { .status = PKI_OCSP_NONE };
    struct err asked = ERR_INIT;
    enum err_code code;

    if (!question.certificate || !question.issuer ||
        pki_certificate_get0_pointers(question.certificate)->ocsp.count == 0)
        return ERR_OK;
    code = pki_evidence_get_ocsp(search->args->evidence, &question, &result, &origin, &asked);
    if (code == ERR_NOMEM || code == ERR_BUG) {
        pki_ocsp_result_free(&result);
        return err_set(err, code, "%s", asked.text);
    }
    if (code != ERR_OK && budget)
        pki_path_asked_note(&search->asked[i], &origin, asked.text);
    code = code == ERR_OK && result.responder_needs_crl ? responder_check(search, i, &result, err)
                                                        : ERR_OK;
    search->ocsp[i] = (struct pki_path_ocsp){
        .status = result.status,
        .answer = result.answer,
        .this_update = result.this_update,
        .next_update = result.next_update,
        .end = result.usable_until,
        .source = origin.source,
        .fetched_at = origin.fetched_at,
    };
    pki_ocsp_result_free(&result);
    return code;
}

static enum err_code
ocsp_ask(struct pki_path_search *search, struct err *err)
{
    bool first = search->args->revocation.methods == PKI_REVOCATION_OCSP_CRL ||
                 search->args->revocation.methods == PKI_REVOCATION_OCSP;
    enum err_code code = ERR_OK;

    for (size_t i = subject_count(search); code == ERR_OK && i-- > 0 && !is_revoked(search);) {
        if (search->ocsp[i].status == PKI_OCSP_GOOD || (!first && is_settled(search, i)))
            continue;
        code = ocsp_get(search, i, search->args->budget, err);
    }
    return code;
}

/* ---- CRLs --------------------------------------------------------------------------------------
 */

struct crl_ask {
    struct pki_path_search *search;
    size_t i;
    const struct pki_certificate *issuer;
};

static enum err_code
url_get(struct crl_ask *ask, struct span url, X509_CRL **out, struct pki_evidence_origin *origin,
        struct err *asked)
{
    struct pki_evidence_crl_question question = { .url = url,
                                                  .issuer = ask->issuer,
                                                  .at = ask->search->asked_at,
                                                  .budget = ask->search->args->budget };

    *origin = (struct pki_evidence_origin){ .source = NULL };
    return pki_evidence_get_crl(ask->search->args->evidence, &question, out, origin, asked);
}

/* Deltas: nobody waits for one that cannot be had, since the complete CRL is in date. */
static enum err_code
deltas_get(struct crl_ask *ask, const struct pki_pointer_urls *urls, struct err *err)
{
    for (size_t i = 0; i < urls->count; i++) {
        struct pki_evidence_origin origin;
        struct err asked = ERR_INIT;
        X509_CRL *crl = NULL;
        enum err_code code = url_get(ask, urls->list[i], &crl, &origin, &asked);
        if (code == ERR_NOMEM || code == ERR_BUG)
            return err_set(err, code, "%s", asked.text);
        if (code != ERR_OK)
            continue;
        if (!pki_path_search_add_crl(ask->search, crl, &origin))
            return err_set(err, ERR_NOMEM, "no memory for a CRL");
        break;
    }
    return ERR_OK;
}

/* *current: there is a CRL of that URL and it is in date. */
static enum err_code
complete_get(struct crl_ask *ask, struct span url, bool *current, struct err *err)
{
    struct pki_evidence_origin origin;
    struct pki_pointers *pointers = NULL;
    struct err asked = ERR_INIT;
    X509_CRL *crl = NULL;
    enum err_code code = url_get(ask, url, &crl, &origin, &asked);

    *current = false;
    if (code == ERR_NOMEM || code == ERR_BUG)
        return err_set(err, code, "%s", asked.text);
    if (code == ERR_OK)
        *current = pki_path_search_crl_end(ask->search, crl) >= ask->search->at;
    if (!*current)
        pki_path_asked_note(&ask->search->asked[ask->i], &origin,
                            code == ERR_OK ? "the CRL that came is out of date" : asked.text);
    if (code != ERR_OK)
        return ERR_OK;
    code = pki_pointers_parse_crl(crl, &pointers, err);
    if (!pki_path_search_add_crl(ask->search, crl, &origin) && code == ERR_OK)
        code = err_set(err, ERR_NOMEM, "no memory for a CRL");
    if (code == ERR_OK && *current)
        code = deltas_get(ask, &pointers->freshest, err);
    pki_pointers_free(&pointers);
    return code;
}

/* All points together cover all reasons; of one point's URLs any will do. */
static enum err_code
points_get(struct crl_ask *ask, const struct pki_pointers *pointers, struct err *err)
{
    unsigned covered = 0;
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < pointers->point_count; i++) {
        const struct pki_pointer_point *point = &pointers->points[i];
        unsigned reasons = point->reasons ? point->reasons : PKI_POINTER_REASONS;
        bool current = false;
        if ((reasons & ~covered) == 0)
            continue;
        for (size_t n = 0; code == ERR_OK && !current && n < point->urls.count; n++)
            code = complete_get(ask, point->urls.list[n], &current, err);
        if (current)
            covered |= reasons;
    }
    if (code == ERR_OK && covered == PKI_POINTER_REASONS)
        code = deltas_get(ask, &pointers->freshest, err);
    return code;
}

static enum err_code
crl_ask(struct pki_path_search *search, struct err *err)
{
    int before = sk_X509_CRL_num(search->crls);
    enum err_code code = ERR_OK;

    for (size_t i = subject_count(search); code == ERR_OK && i-- > 0;) {
        const struct pki_certificate *certificate = pki_path_search_get0(search, i);
        struct crl_ask ask = { .search = search,
                               .i = i,
                               .issuer = pki_path_search_get0(search, i + 1) };
        if (is_settled(search, i) || !certificate || !ask.issuer)
            continue;
        code = points_get(&ask, pki_certificate_get0_pointers(certificate), err);
    }
    if (code == ERR_OK && sk_X509_CRL_num(search->crls) > before)
        code = pki_path_round_check(search, err);
    return code;
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

/* A broken CRL that came with the question must not hide the good one that we hold. */
static enum err_code
without_more_check(struct pki_path_search *search, struct err *err)
{
    const STACK_OF(X509_CRL) *given = search->args->crls;
    size_t unsettled = unsettled_count(search);
    struct pki_path_round with = search->round;
    enum err_code code;

    if (unsettled == 0 || !(search->message_offered || (given && sk_X509_CRL_num(given) > 0)))
        return ERR_OK;
    search->round.chain = NULL;
    search->without_more = true;
    code = pki_path_round_check(search, err);
    if (code == ERR_OK && !is_revoked(search) && unsettled_count(search) >= unsettled) {
        sk_X509_pop_free(search->round.chain, X509_free);
        search->round = with;
        search->without_more = false;
    } else {
        sk_X509_pop_free(with.chain, X509_free);
    }
    return code;
}

static enum err_code
network_ask(struct pki_path_search *search, struct err *err)
{
    static enum err_code (*const order[][2])(struct pki_path_search *, struct err *) = {
        [PKI_REVOCATION_CRL_OCSP] = { crl_ask, ocsp_ask },
        [PKI_REVOCATION_OCSP_CRL] = { ocsp_ask, crl_ask },
        [PKI_REVOCATION_CRL] = { crl_ask, NULL },
        [PKI_REVOCATION_OCSP] = { ocsp_ask, NULL },
    };
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < 2 && code == ERR_OK && !is_revoked(search); i++) {
        if (order[search->args->revocation.methods][i])
            code = order[search->args->revocation.methods][i](search, err);
    }
    return code;
}

enum err_code
pki_path_revocation_check(struct pki_path_search *search, struct err *err)
{
    enum err_code code = ERR_OK;

    if (pki_path_search_holds(search))
        code = without_more_check(search, err);
    search->held = subject_count(search) - unsettled_count(search);
    if (code != ERR_OK || !search->args->evidence || !pki_path_search_holds(search))
        return code;
    for (size_t i = 0; code == ERR_OK && i < subject_count(search); i++) {
        if (search->args->revocation.methods != PKI_REVOCATION_CRL)
            code = ocsp_get(search, i, NULL, err);
    }
    search->held = subject_count(search) - unsettled_count(search);
    if (code == ERR_OK && search->args->budget && !is_revoked(search))
        code = network_ask(search, err);
    return code;
}
