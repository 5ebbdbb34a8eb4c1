#include "pki/path_search.h"

#include "pki/crl.h"
#include "pki/crypto.h"
#include "util/clock.h"

enum { UNTRUSTED_MAX = 20000, NOW_S = 60 };

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

enum err_code
pki_path_search_init(struct pki_path_search *search, const struct pki_path_args *args,
                     struct err *err)
{
    time_t now = clock_now_s();

    *search = (struct pki_path_search){
        .args = args,
        .at = args->at ? args->at : now,
        /* Callers ask for what was "now" when they began. */
        .asked_at = args->at > now || args->at + NOW_S < now ? args->at : 0,
        .untrusted = sk_X509_new_null(),
        .fetched = { .limit = PKI_PATH_FETCHED },
        .crls = sk_X509_CRL_new_null(),
    };
    if (!search->untrusted || !search->crls || !push(search->untrusted, args->untrusted) ||
        !push(search->untrusted, pki_trust_get0_intermediates(args->trust)))
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for a path");
    return ERR_OK;
}

void
pki_path_search_free(struct pki_path_search *search)
{
    sk_X509_pop_free(search->round.chain, X509_free);
    search->round.chain = NULL;
    sk_X509_free(search->untrusted);
    sk_X509_CRL_pop_free(search->crls, X509_CRL_free);
    pki_certificates_free(&search->fetched);
}

/* ---- the chain ---------------------------------------------------------------------------------
 */

size_t
pki_path_search_count(const struct pki_path_search *search)
{
    int count = search->round.chain ? sk_X509_num(search->round.chain) : 0;

    return count < PKI_PATH_STEPS ? (size_t)count : PKI_PATH_STEPS;
}

X509 *
pki_path_search_get0_x509(const struct pki_path_search *search, size_t i)
{
    return sk_X509_value(search->round.chain, (int)i);
}

struct pki_certificate *
pki_path_search_get0(const struct pki_path_search *search, size_t i)
{
    if (i == 0)
        return (struct pki_certificate *)search->args->leaf;
    return pki_certificate_of(pki_path_search_get0_x509(search, i));
}

bool
pki_path_search_is_anchor(const struct pki_path_search *search, const X509 *x509)
{
    const struct pki_certificates *anchors = pki_trust_get0_anchors(search->args->trust);

    for (size_t i = 0; i < anchors->count; i++) {
        const X509 *anchor = pki_certificate_get0_x509(anchors->list[i]);
        if (anchor == x509 || X509_cmp(anchor, x509) == 0)
            return true;
    }
    return false;
}

bool
pki_path_search_holds(const struct pki_path_search *search)
{
    return search->round.hard.code == X509_V_OK;
}

/* ---- CRLs --------------------------------------------------------------------------------------
 */

static bool
contains(const STACK_OF(X509_CRL) * crls, const X509_CRL *crl)
{
    for (int i = 0; crls && i < sk_X509_CRL_num(crls); i++) {
        if (sk_X509_CRL_value(crls, i) == crl)
            return true;
    }
    return false;
}

bool
pki_path_search_add_crl(struct pki_path_search *search, X509_CRL *crl,
                        const struct pki_evidence_origin *from)
{
    int count = sk_X509_CRL_num(search->crls);

    if (count >= PKI_PATH_CRLS || contains(search->crls, crl)) {
        X509_CRL_free(crl);
        return true;
    }
    if (!sk_X509_CRL_push(search->crls, crl)) {
        X509_CRL_free(crl);
        return false;
    }
    search->crls_from[count] =
        (struct pki_path_origin){ .source = from->source, .fetched_at = from->fetched_at };
    return true;
}

struct pki_path_origin
pki_path_search_find_crl(const struct pki_path_search *search, const X509_CRL *crl)
{
    for (int i = 0; i < sk_X509_CRL_num(search->crls); i++) {
        if (sk_X509_CRL_value(search->crls, i) == crl)
            return search->crls_from[i];
    }
    if (contains(search->args->message_crls, crl))
        return (struct pki_path_origin){ .source = "message" };
    if (contains(search->args->crls, crl))
        return (struct pki_path_origin){ .source = "given" };
    return (struct pki_path_origin){ .source = "folder" };
}

time_t
pki_path_search_crl_end(const struct pki_path_search *search, const X509_CRL *crl)
{
    time_t start = pki_crl_this_update(crl);
    time_t end = pki_crl_next_update(crl);
    unsigned max_age_s = search->args->revocation.crl_max_age_s;

    if (end == 0)
        end = start + PKI_PATH_CRL_OPEN_AGE_S;
    return max_age_s > 0 && start + (time_t)max_age_s < end ? start + (time_t)max_age_s : end;
}
