/*
 * The account of a path: each certificate, where it came from, its status, and the one answer that
 * follows. Nothing is asked here.
 *
 * Final comes before policy, policy before temporary. "Could not ask" is temporary until
 * revocation_giveup; what asking again cannot mend is not temporary at all.
 */
#include <stdio.h>
#include <string.h>

#include "pki/path_reason.h"
#include "pki/path_search.h"
#include "pki/pointer.h"

/* ---- where it came from ------------------------------------------------------------------------
 */

static bool
contains(const struct pki_certificates *certificates, const struct pki_certificate *one, size_t *at)
{
    for (size_t i = 0; certificates && i < certificates->count; i++) {
        if (pki_certificate_is(certificates->list[i], one)) {
            *at = i;
            return true;
        }
    }
    return false;
}

static const char *
source_find(const struct pki_path_search *search, const struct pki_certificate *certificate,
            bool is_leaf)
{
    const struct pki_trust *trust = search->args->trust;
    const char *given = search->args->source ? search->args->source : "message";
    size_t at;

    if (contains(pki_trust_get0_anchors(trust), certificate, &at))
        return "anchor";
    if (is_leaf)
        return given;
    if (contains(pki_trust_get0_intermediates(trust), certificate, &at))
        return "intermediate";
    return contains(&search->fetched, certificate, &at) ? search->fetched_from[at].source : given;
}

/* ---- its status --------------------------------------------------------------------------------
 */

static void
crl_set(const struct pki_path_search *search, const struct pki_path_crl *crl,
        struct pki_path_step *step)
{
    struct pki_path_origin from;

    if (!crl->searched)
        return;
    from = pki_path_search_find_crl(search, crl->used);
    step->method = "crl";
    step->origin = from.source;
    step->fetched_at = from.fetched_at;
    step->this_update = crl->this_update;
    step->next_update = crl->next_update;
}

static void
ocsp_set(const struct pki_path_ocsp *ocsp, struct pki_path_step *step)
{
    step->method = "ocsp";
    step->origin = ocsp->source;
    step->fetched_at = ocsp->fetched_at;
    step->this_update = ocsp->this_update;
    step->next_update = ocsp->next_update;
}

/* Of the two methods the one that is asked first says "good" first. */
static bool
ocsp_goes_first(const struct pki_path_search *search)
{
    return search->args->revocation.methods == PKI_REVOCATION_OCSP_CRL ||
           search->args->revocation.methods == PKI_REVOCATION_OCSP;
}

static bool
is_out_of_date(const struct pki_path_ocsp *ocsp)
{
    return ocsp->answer.reason && pki_reason_find(ocsp->answer.reason) == PKI_REASON_OCSP_EXPIRED &&
           ocsp->end > 0;
}

/* Until when what is held was good; 0: nothing was. Sets what the step says of it. */
static time_t
stale_set(const struct pki_path_search *search, size_t i, struct pki_path_step *step)
{
    const struct pki_path_crl *crl = &search->round.crl[i];
    const struct pki_path_ocsp *ocsp = &search->ocsp[i];
    time_t end = 0;

    crl_set(search, crl, step);
    if (crl->searched && crl->code == X509_V_ERR_CRL_HAS_EXPIRED)
        end = crl->end;
    if (is_out_of_date(ocsp) && ocsp->end > end) {
        ocsp_set(ocsp, step);
        end = ocsp->end;
    }
    step->stale = end > 0;
    return end;
}

/* Mode prefer: what nobody ever knew is accepted, and what was known (until `end`) for a while. */
static bool
is_accepted(const struct pki_path_search *search, time_t end)
{
    const struct pki_revocation_rules *rules = &search->args->revocation;

    return rules->mode == PKI_REVOCATION_PREFER &&
           (end == 0 || search->at <= end + (time_t)rules->stale_s);
}

/* Why the status of the i-th certificate is not known. */
static enum pki_reason
unknown_find(const struct pki_path_search *search, size_t i, const struct pki_path_step *step)
{
    const struct pki_path_args *args = search->args;
    const struct pki_path_crl *crl = &search->round.crl[i];
    const char *ocsp = search->ocsp[i].answer.reason;

    if (!step->accepted && pki_path_asked_is_over(&search->asked[i], args->revocation.giveup_s))
        return PKI_REASON_REVOCATION_UNREACHABLE;
    if (step->stale && crl->searched)
        return PKI_REASON_CRL_EXPIRED;
    if (pki_path_reason_find(crl->code, 0) == PKI_REASON_CRL_INVALID)
        return PKI_REASON_CRL_INVALID;
    if (ocsp && pki_reason_find(ocsp) < PKI_REASON_COUNT && pki_reason_find(ocsp) != PKI_REASON_OK)
        return pki_reason_find(ocsp);
    if (search->asked[i].reason != PKI_REASON_OK)
        return search->asked[i].reason;
    if (search->asked[i].failed)
        return PKI_REASON_REVOCATION_UNAVAILABLE;
    if (!step->certificate ||
        pki_pointers_name_status(pki_certificate_get0_pointers(step->certificate)) ||
        pki_trust_has_crls(args->trust) || args->crls)
        return PKI_REASON_REVOCATION_UNKNOWN;
    return PKI_REASON_REVOCATION_NONE;
}

static void
unknown_set(const struct pki_path_search *search, size_t i, struct pki_path_step *step)
{
    const struct pki_path_asked *asked = &search->asked[i];
    const struct pki_path_ocsp *ocsp = &search->ocsp[i];
    const struct pki_path_crl *crl = &search->round.crl[i];
    char when[PKI_TIME_SIZE] = "", since[PKI_TIME_SIZE] = "";
    time_t end = stale_set(search, i, step);
    enum pki_reason reason;
    int n = 0;

    step->revocation = "unknown";
    step->accepted = is_accepted(search, end);
    reason = unknown_find(search, i, step);
    step->reason = pki_reason_word(reason);
    if (step->stale)
        n = snprintf(step->text, sizeof step->text, "the %s has run out on %s",
                     strcmp(step->method, "crl") == 0 ? "CRL" : "OCSP answer",
                     pki_time_format(end, when));
    else if (pki_path_reason_find(crl->code, 0) == PKI_REASON_CRL_INVALID)
        n = snprintf(step->text, sizeof step->text, "%s", X509_verify_cert_error_string(crl->code));
    else if (ocsp->answer.reason && ocsp->status != PKI_OCSP_GOOD)
        n = snprintf(step->text, sizeof step->text, "%.120s", ocsp->answer.text);
    if (asked->failed && n >= 0 && (size_t)n < sizeof step->text)
        snprintf(step->text + n, sizeof step->text - (size_t)n, "%s%.110s%s%s", n > 0 ? "; " : "",
                 asked->text, asked->undecided ? "" : ", since ",
                 asked->undecided ? "" : pki_time_format(asked->since, since));
}

static void
step_set(const struct pki_path_search *search, size_t i, struct pki_path_step *step)
{
    const struct pki_path_failure *hard = &search->round.hard;
    const struct pki_path_crl *crl = &search->round.crl[i];
    const struct pki_path_ocsp *ocsp = &search->ocsp[i];
    bool by_crl = crl->searched && crl->code == X509_V_OK;
    bool by_ocsp = ocsp->status == PKI_OCSP_GOOD && (ocsp_goes_first(search) || !by_crl);

    step->reason = pki_reason_word(PKI_REASON_OK);
    if (hard->code == X509_V_ERR_CERT_REVOKED && hard->depth == (int)i) {
        step->revocation = "revoked";
        step->reason = pki_reason_word(PKI_REASON_REVOKED);
        crl_set(search, crl, step);
    } else if (ocsp->status == PKI_OCSP_REVOKED) {
        step->revocation = "revoked";
        step->reason = pki_reason_word(PKI_REASON_REVOKED);
        ocsp_set(ocsp, step);
    } else if (strcmp(step->source, "anchor") == 0) {
        /* Trusted by configuration; nobody above it could revoke it (RFC 5280 6.1). */
        step->revocation = "anchor";
    } else if (search->args->revocation.mode == PKI_REVOCATION_OFF) {
        step->revocation = "off";
    } else if (by_crl || by_ocsp) {
        step->revocation = "good";
        if (by_ocsp)
            ocsp_set(ocsp, step);
        else
            crl_set(search, crl, step);
    } else {
        unknown_set(search, i, step);
    }
}

/* ---- the answer --------------------------------------------------------------------------------
 */

static void
hard_answer_set(const struct pki_path_search *search, struct pki_answer *out)
{
    const struct pki_path_asked *asked = &search->issuer_asked;
    bool over = pki_path_asked_is_over(asked, search->args->revocation.giveup_s);

    pki_path_reason_set(out, &search->round.hard);
    /* A path that ends at a root is whole: another way that could not be asked for changes nothing.
     */
    if (search->round.hard.code == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
        pki_path_reason_find(search->round.hard.code, search->round.hard.depth) !=
            PKI_REASON_UNTRUSTED ||
        search->top_count == 0 || !asked->failed)
        return;
    pki_reason_set(out, over ? PKI_REASON_ISSUER_UNREACHABLE : PKI_REASON_ISSUER_UNAVAILABLE,
                   "the certificate of %.80s is missing: %.140s",
                   pki_certificate_get(search->tops[0])->issuer, asked->text);
}

static const struct pki_path_step *
revoked_find(const struct pki_path_search *search, const struct pki_path_result *result,
             const char **text)
{
    for (size_t i = 0; i < result->count; i++) {
        if (search->ocsp[i].status == PKI_OCSP_REVOKED) {
            *text = search->ocsp[i].answer.text;
            return &result->steps[i];
        }
    }
    return NULL;
}

static const char *
subject_get(const struct pki_path_step *step)
{
    return step->certificate ? pki_certificate_get(step->certificate)->subject : "a certificate";
}

/* The first that is final, else the first that is temporary. */
static void
unknown_answer_set(struct pki_path_result *result)
{
    const struct pki_path_step *told = NULL, *accepted = NULL;

    for (size_t i = 0; i < result->count; i++) {
        const struct pki_path_step *step = &result->steps[i];
        if (strcmp(step->revocation, "unknown") != 0)
            continue;
        if (step->accepted) {
            result->unfresh = true;
            accepted = accepted ? accepted : step;
        } else if (!told || (pki_reason_status(pki_reason_find(told->reason)) == PKI_STATUS_TEMP &&
                             pki_reason_status(pki_reason_find(step->reason)) != PKI_STATUS_TEMP)) {
            told = step;
        }
    }
    if (told)
        pki_reason_set(&result->answer, pki_reason_find(told->reason), "%s%s%.120s (%.80s)",
                       told->text[0] ? "" : pki_reason_meaning(pki_reason_find(told->reason)),
                       told->text[0] ? "revocation is not known: " : "", told->text,
                       subject_get(told));
    else if (accepted)
        pki_reason_set(&result->answer, PKI_REASON_OK,
                       "the path leads to a trust anchor; revocation of %.80s is not known (%s)%s"
                       "%.90s",
                       subject_get(accepted), accepted->reason, accepted->text[0] ? ": " : "",
                       accepted->text);
    else
        pki_reason_set(&result->answer, PKI_REASON_OK, "the path leads to a trust anchor");
}

static time_t
earlier(time_t a, time_t b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

static void
until_set(const struct pki_path_search *search, struct pki_path_result *result)
{
    time_t until = result->unfresh ? search->at + PKI_PATH_UNFRESH_S : 0;

    for (size_t i = 0; i < result->count; i++) {
        const struct pki_path_step *step = &result->steps[i];
        if (step->certificate)
            until = earlier(until, pki_certificate_get(step->certificate)->not_after);
        if (strcmp(step->revocation, "good") == 0 && strcmp(step->method, "crl") == 0)
            until = earlier(until, search->round.crl[i].end);
        else if (strcmp(step->revocation, "good") == 0)
            until = earlier(until, search->ocsp[i].end);
    }
    result->until = until;
}

void
pki_path_account_set(const struct pki_path_search *search, struct pki_path_result *result)
{
    const struct pki_path_step *revoked;
    const char *text = "";

    for (size_t i = 0; i < pki_path_search_count(search); i++) {
        struct pki_path_step *step = &result->steps[i];
        struct pki_certificate *certificate = pki_path_search_get0(search, i);
        *step = (struct pki_path_step){ .certificate = pki_certificate_add1(certificate),
                                        .source = "message" };
        if (certificate)
            step->source = source_find(search, certificate, i == 0);
        step_set(search, i, step);
        result->count = i + 1;
    }
    result->held = search->held;
    revoked = revoked_find(search, result, &text);
    if (!pki_path_search_holds(search))
        hard_answer_set(search, &result->answer);
    else if (revoked)
        pki_reason_set(&result->answer, PKI_REASON_REVOKED, "%s: %.100s (%.80s)",
                       pki_reason_meaning(PKI_REASON_REVOKED), text, subject_get(revoked));
    else if (pki_path_floor_check(result, search->args->allow_weak, &result->answer))
        unknown_answer_set(result);
    if (result->answer.status == PKI_STATUS_OK)
        until_set(search, result);
}
