/*
 * The way to an anchor: what the library finds, other issuers where that led nowhere, and issuers
 * that are fetched.                                                            RFC 4158, RFC 5280 6
 *
 * The library takes one issuer for each certificate and does not come back, so that of two
 * certificates of one authority (cross-signed, re-keyed, renewed) it may take the one that leads to
 * nobody. What failed is left out then, and it is asked again: a bounded search in depth that stops
 * at the first path that holds. Only failures that another issuer can mend count: no anchor, an
 * issuer that has expired, a signature of another key. A revoked issuer is told, not gone around.
 */
#include "pki/path_reason.h"
#include "pki/path_search.h"

static bool
is_signature_failure(int code)
{
    return code == X509_V_ERR_CERT_SIGNATURE_FAILURE ||
           code == X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE;
}

/* Which certificate of the chain another one could replace; 0: none. */
static size_t
blame_find(const struct pki_path_search *search)
{
    const struct pki_path_failure *hard = &search->round.hard;
    size_t count = pki_path_search_count(search), depth = hard->depth > 0 ? (size_t)hard->depth : 0;

    if (count < 2)
        return 0;
    if (is_signature_failure(hard->code))
        return search->strict || depth + 1 >= count ? 0 : depth + 1;
    switch (pki_path_reason_find(hard->code, hard->depth)) {
    case PKI_REASON_UNTRUSTED:
        return count - 1;
    case PKI_REASON_ISSUER_EXPIRED:
        return depth < count ? depth : 0;
    default:
        return 0;
    }
}

static bool
is_excluded(const struct pki_path_search *search, const X509 *x509)
{
    for (size_t i = 0; i < search->excluded_count; i++) {
        if (X509_cmp(search->excluded[i], x509) == 0)
            return true;
    }
    return false;
}

static bool
may_replace(const struct pki_path_search *search, const X509 *candidate, size_t i)
{
    const X509 *child = pki_path_search_get0_x509(search, i - 1);

    return X509_NAME_cmp(X509_get_subject_name(candidate), X509_get_issuer_name(child)) == 0 &&
           X509_cmp(candidate, pki_path_search_get0_x509(search, i)) != 0 &&
           !is_excluded(search, candidate);
}

/* Is there another certificate with the name of the i-th? */
static bool
other_exists(const struct pki_path_search *search, size_t i)
{
    const struct pki_certificates *anchors = pki_trust_get0_anchors(search->args->trust);

    for (int n = 0; n < sk_X509_num(search->untrusted); n++) {
        if (may_replace(search, sk_X509_value(search->untrusted, n), i))
            return true;
    }
    for (size_t n = 0; n < anchors->count; n++) {
        if (may_replace(search, pki_certificate_get0_x509(anchors->list[n]), i))
            return true;
    }
    return false;
}

/* Leaves out what led nowhere, from its end down to where there is another way. */
static bool
another_find(struct pki_path_search *search)
{
    size_t blame = blame_find(search);

    if (blame > 0 && is_signature_failure(search->round.hard.code)) {
        search->strict = true;
        return other_exists(search, blame);
    }
    for (size_t i = blame; i > 0 && search->excluded_count < PKI_PATH_EXCLUDED; i--) {
        search->excluded[search->excluded_count++] = pki_path_search_get0_x509(search, i);
        if (other_exists(search, i)) {
            search->strict = true;
            return true;
        }
    }
    return false;
}

/* Verifies with the candidates there are. What is told of a failure is the library's own choice. */
static enum err_code
candidates_check(struct pki_path_search *search, struct err *err)
{
    struct pki_path_round first = { .chain = NULL };
    enum err_code code;
    unsigned tries = 0;

    search->strict = false;
    search->signatures = 0;
    search->excluded_count = 0;
    search->top_count = 0;
    code = pki_path_round_check(search, err);
    while (code == ERR_OK && !pki_path_search_holds(search)) {
        pki_path_issuer_note(search);
        if (tries++ == PKI_PATH_TRIES || !another_find(search))
            break;
        if (!first.chain) {
            first = search->round;
            search->round.chain = NULL;
        }
        code = pki_path_round_check(search, err);
    }
    if (first.chain && (code != ERR_OK || pki_path_search_holds(search))) {
        sk_X509_pop_free(first.chain, X509_free);
    } else if (first.chain) {
        sk_X509_pop_free(search->round.chain, X509_free);
        search->round = first;
    }
    return code;
}

enum err_code
pki_path_build_check(struct pki_path_search *search, struct err *err)
{
    enum err_code code = candidates_check(search, err);
    bool added = true;

    for (unsigned round = 0; round < PKI_PATH_ROUNDS; round++) {
        if (code != ERR_OK || pki_path_search_holds(search) || search->top_count == 0)
            break;
        code = pki_path_issuer_get(search, &added, err);
        if (code != ERR_OK || !added)
            break;
        code = candidates_check(search, err);
    }
    return code;
}
