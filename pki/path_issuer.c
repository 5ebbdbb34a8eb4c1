/*
 * Issuers that are missing, out of caIssuers (RFC 5280 4.2.2.1).
 *
 * A stranger chooses the URLs, so nothing is fetched for what cannot chain anyway: all of the chain
 * so far must be in its validity, be allowed to issue, and carry the signature of the next. What
 * comes back is a candidate like those of a message and never an anchor.
 */
#include <string.h>

#include <openssl/err.h>

#include "pki/path_search.h"
#include "pki/pointer.h"

/* ---- for whom it is asked ----------------------------------------------------------------------
 */

static bool
is_missing(int code)
{
    return code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
           code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
           code == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
           code == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN;
}

static bool
signs(const struct pki_path_search *search, size_t i)
{
    EVP_PKEY *key = X509_get0_pubkey(pki_path_search_get0_x509(search, i));
    bool good;

    ERR_set_mark();
    good = key && X509_verify(pki_path_search_get0_x509(search, i - 1), key) == 1;
    ERR_pop_to_mark();
    return good;
}

/* How much of the chain may be kept: a root that nobody trusts ends it, but its authority may be
 * cross-signed by one that is (senders send their roots along). */
static size_t
kept_count(const struct pki_path_search *search)
{
    size_t count = pki_path_search_count(search);

    return search->round.hard.code == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN && count > 1 ? count - 1
                                                                                        : count;
}

/* Could the first `count` of the chain be the lower part of a path that holds? */
static bool
may_chain(const struct pki_path_search *search, size_t count)
{
    if (count == 0 || count > PKI_PATH_DEPTH)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct pki_certificate *certificate = pki_path_search_get0(search, i);
        const struct pki_certificate_facts *facts;
        if (!certificate)
            return false;
        facts = pki_certificate_get(certificate);
        if (facts->self_issued || search->at < facts->not_before || search->at > facts->not_after)
            return false;
        if (i > 0 && (!facts->ca || !signs(search, i)))
            return false;
    }
    return true;
}

void
pki_path_issuer_note(struct pki_path_search *search)
{
    size_t count = kept_count(search);
    struct pki_certificate *top;

    if (!search->args->evidence || search->top_count == PKI_PATH_TOPS ||
        !is_missing(search->round.hard.code) || !may_chain(search, count))
        return;
    top = pki_path_search_get0(search, count - 1);
    for (size_t i = 0; i < search->top_count; i++) {
        if (search->tops[i] == top)
            return;
    }
    if (pki_certificate_get0_pointers(top)->issuers.count > 0)
        search->tops[search->top_count++] = top;
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static bool
is_known(const struct pki_path_search *search, const X509 *x509)
{
    for (int i = 0; i < sk_X509_num(search->untrusted); i++) {
        if (X509_cmp(sk_X509_value(search->untrusted, i), x509) == 0)
            return true;
    }
    return false;
}

/* *added: one of them is new and has the name of the missing issuer. */
static enum err_code
candidates_add(struct pki_path_search *search, const struct pki_certificates *got,
               const struct pki_evidence_origin *origin, const X509_NAME *name, bool *added,
               struct err *err)
{
    for (size_t i = 0; i < got->count && search->fetched.count < PKI_PATH_FETCHED; i++) {
        X509 *x509 = pki_certificate_get0_x509(got->list[i]);
        size_t at = search->fetched.count;
        enum err_code code;
        if (is_known(search, x509))
            continue;
        if ((code = pki_certificates_add1(&search->fetched, got->list[i], err)) != ERR_OK)
            return code;
        search->fetched_from[at] =
            (struct pki_path_origin){ .source = origin->source, .fetched_at = origin->fetched_at };
        if (!sk_X509_push(search->untrusted, x509))
            return err_set(err, ERR_NOMEM, "no memory for a path");
        *added |= X509_NAME_cmp(X509_get_subject_name(x509), name) == 0;
    }
    return ERR_OK;
}

static enum err_code
url_get(struct pki_path_search *search, struct span url, const X509_NAME *name, bool *added,
        struct err *err)
{
    struct pki_certificates got = { .limit = PKI_PATH_FETCHED };
    struct pki_evidence_origin origin = { .source = NULL };
    struct err asked = ERR_INIT;
    enum err_code code = pki_evidence_get_issuers(search->args->evidence, url, search->args->budget,
                                                  &got, &origin, &asked);

    if (code == ERR_OK)
        code = candidates_add(search, &got, &origin, name, added, err);
    else if (code == ERR_NOMEM || code == ERR_BUG)
        code = err_set(err, code, "%s", asked.text);
    else {
        /* "Not there" is an answer. */
        if (code != ERR_NOTFOUND)
            pki_path_asked_note(&search->issuer_asked, &origin, asked.text);
        code = ERR_OK;
    }
    pki_certificates_free(&got);
    return code;
}

enum err_code
pki_path_issuer_get(struct pki_path_search *search, bool *added, struct err *err)
{
    enum err_code code = ERR_OK;

    *added = false;
    for (size_t i = 0; i < search->top_count; i++) {
        const struct pki_pointer_urls *urls =
            &pki_certificate_get0_pointers(search->tops[i])->issuers;
        const X509_NAME *name = X509_get_issuer_name(pki_certificate_get0_x509(search->tops[i]));
        bool found = false;
        for (size_t n = 0; code == ERR_OK && !found && n < urls->count; n++)
            code = url_get(search, urls->list[n], name, &found, err);
        *added |= found;
    }
    return code;
}
