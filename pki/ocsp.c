#include "pki/ocsp.h"

#include <limits.h>

#include <openssl/ocsp.h>

#include "pki/crypto.h"
#include "pki/der.h"
#include "pki/ocsp_signer.h"
#include "pki/ocsp_single.h"
#include "pki/reason.h"
#include "util/clock.h"

enum { DER_INTEGER = 0x02, DER_ENUMERATED = 0x0a };

/* OCSPResponseStatus. RFC 6960 4.2.1; 4 is not used there. */
static const char *const statuses[] = {
    NULL,       "malformedRequest", "internalError", "tryLater",
    "status 4", "sigRequired",      "unauthorized",
};

struct check {
    const struct pki_ocsp_args *args;
    struct pki_ocsp_result *result;
    OCSP_BASICRESP *basic;
    time_t at;
};

static bool
refuse(struct check *check, enum pki_reason reason, const char *text)
{
    pki_reason_set(&check->result->answer, reason, "%s", text);
    return false;
}

/* ---- taking it apart --------------------------------------------------------------------------
 */

/* ResponseData { version [0] EXPLICIT INTEGER DEFAULT v1, ... }: another version means that the
 * rest means something else. */
static bool
version_is_known(struct span basic)
{
    static const unsigned char v1[] = { 0 };
    struct err ignored = ERR_INIT;
    struct span rest = basic;
    struct pki_der e;

    if (pki_der_find(&rest, PKI_DER_SEQUENCE, &e, &ignored) ||
        (rest = e.content, pki_der_find(&rest, PKI_DER_SEQUENCE, &e, &ignored)) ||
        (rest = e.content, pki_der_get(&rest, &e, &ignored)))
        return false;
    if (e.tag != PKI_DER_CONTEXT_0)
        return true;
    rest = e.content;
    return pki_der_find(&rest, DER_INTEGER, &e, &ignored) == ERR_OK && rest.n == 0 &&
           span_equal(e.content, span_of(v1, sizeof v1));
}

/* OCSPResponse { responseStatus ENUMERATED, responseBytes [0] { SEQUENCE { OID, OCTET STRING } } }
 * with nothing behind any of them: the library overlooks what follows the inner structure. */
static bool
response_open(struct check *check, struct span *basic)
{
    static const unsigned char basic_oid[] = { 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1 };
    struct err ignored = ERR_INIT;
    struct span rest = check->args->response, behind;
    struct pki_der e;

    if (pki_der_check(rest, &ignored) || pki_der_find(&rest, PKI_DER_SEQUENCE, &e, &ignored) ||
        (rest = e.content, pki_der_find(&rest, DER_ENUMERATED, &e, &ignored)) || e.content.n != 1)
        return refuse(check, PKI_REASON_OCSP_INVALID, "what came is not an OCSP response in DER");
    if (e.content.p[0] != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        unsigned status = e.content.p[0];
        if (status >= sizeof statuses / sizeof *statuses)
            return refuse(check, PKI_REASON_OCSP_INVALID, "an OCSP response of unknown status");
        pki_reason_set(&check->result->answer, PKI_REASON_OCSP_UNAVAILABLE,
                       "the OCSP responder answered %s", statuses[status]);
        return false;
    }
    if (pki_der_find(&rest, PKI_DER_CONTEXT_0, &e, &ignored) || rest.n > 0 ||
        (rest = e.content, pki_der_find(&rest, PKI_DER_SEQUENCE, &e, &ignored)) || rest.n > 0 ||
        (behind = e.content, pki_der_find(&behind, PKI_DER_OID, &e, &ignored)))
        return refuse(check, PKI_REASON_OCSP_INVALID, "the OCSP response is malformed");
    if (!span_equal(e.content, span_of(basic_oid, sizeof basic_oid)))
        return refuse(check, PKI_REASON_OCSP_INVALID, "the OCSP response is not a basic one");
    if (pki_der_find(&behind, PKI_DER_OCTET_STRING, &e, &ignored) || behind.n > 0 ||
        pki_der_check(e.content, &ignored))
        return refuse(check, PKI_REASON_OCSP_INVALID, "the OCSP response is malformed");
    if (!version_is_known(e.content))
        return refuse(check, PKI_REASON_OCSP_INVALID, "an OCSP response of unknown version");
    *basic = e.content;
    return true;
}

static bool
response_parse(struct check *check)
{
    size_t limit = check->args->limit_bytes ? check->args->limit_bytes : PKI_OCSP_BYTES;
    struct span basic;
    const unsigned char *p;

    if (check->args->response.n > limit) {
        pki_reason_set(&check->result->answer, PKI_REASON_OCSP_INVALID,
                       "an OCSP response of more than %zu octets", limit);
        return false;
    }
    if (!response_open(check, &basic))
        return false;
    p = basic.p;
    if (basic.n > LONG_MAX || !(check->basic = d2i_OCSP_BASICRESP(NULL, &p, (long)basic.n)) ||
        p != basic.p + basic.n)
        return refuse(check, PKI_REASON_OCSP_INVALID, "the OCSP response is malformed");
    if (OCSP_resp_count(check->basic) > PKI_OCSP_SINGLES)
        return refuse(check, PKI_REASON_OCSP_INVALID, "the OCSP response is about too much");
    return true;
}

/* ---- what holds for the whole response --------------------------------------------------------
 */

static bool
extensions_check(struct check *check)
{
    for (int i = 0; i < OCSP_BASICRESP_get_ext_count(check->basic); i++) {
        X509_EXTENSION *e = OCSP_BASICRESP_get_ext(check->basic, i);
        if (X509_EXTENSION_get_critical(e) &&
            OBJ_obj2nid(X509_EXTENSION_get_object(e)) != NID_id_pkix_OCSP_Nonce)
            return refuse(check, PKI_REASON_OCSP_INVALID,
                          "the OCSP response has an unknown critical extension");
    }
    return true;
}

/* A responder may leave the nonce out, since it answers with what it made in advance (RFC 5019 4):
 * the times then bound the age. Another nonce is an answer to somebody else's question. */
static bool
nonce_check(struct check *check)
{
    int at = OCSP_BASICRESP_get_ext_by_NID(check->basic, NID_id_pkix_OCSP_Nonce, -1);
    struct err ignored = ERR_INIT;
    const ASN1_OCTET_STRING *value;
    struct pki_der e;
    struct span rest;

    if (check->args->nonce.n == 0 || at < 0)
        return true;
    value = X509_EXTENSION_get_data(OCSP_BASICRESP_get_ext(check->basic, at));
    rest = span_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    if (OCSP_BASICRESP_get_ext_by_NID(check->basic, NID_id_pkix_OCSP_Nonce, at) >= 0 ||
        pki_der_find(&rest, PKI_DER_OCTET_STRING, &e, &ignored) || rest.n > 0 ||
        !span_equal(e.content, check->args->nonce))
        return refuse(check, PKI_REASON_OCSP_INVALID,
                      "the OCSP response carries another nonce than was sent");
    return true;
}

static bool
produced_check(struct check *check)
{
    time_t produced_at;

    if (!pki_ocsp_time_get(OCSP_resp_get0_produced_at(check->basic), &produced_at))
        return refuse(check, PKI_REASON_OCSP_INVALID, "the OCSP response's producedAt is no time");
    check->result->produced_at = produced_at;
    if (produced_at > check->at + (time_t)check->args->skew_s)
        return refuse(check, PKI_REASON_OCSP_NOT_YET_VALID,
                      "the OCSP response was produced in the future");
    return true;
}

/* ---- the answer -------------------------------------------------------------------------------
 */

static void
answer_set(struct check *check, const struct pki_ocsp_single *best)
{
    struct pki_ocsp_result *result = check->result;
    char when[PKI_TIME_SIZE];

    result->status = best->status;
    result->this_update = best->this_update;
    result->next_update = best->next_update;
    result->usable_until = best->usable_until;
    switch (best->status) {
    case PKI_OCSP_GOOD:
        pki_reason_set(&result->answer, PKI_REASON_OK, "good by OCSP of %s",
                       pki_time_format(best->this_update, when));
        break;
    case PKI_OCSP_REVOKED:
        result->revoked_at = best->revoked_at;
        result->revocation_reason = best->reason;
        pki_reason_set(&result->answer, PKI_REASON_REVOKED, "revoked since %s (%s), by OCSP",
                       pki_time_format(best->revoked_at, when),
                       best->reason < 0 ? "no reason given" : OCSP_crl_reason_str(best->reason));
        break;
    case PKI_OCSP_UNKNOWN:
        pki_reason_set(&result->answer, PKI_REASON_OCSP_UNKNOWN,
                       "the OCSP responder does not know the certificate");
        break;
    case PKI_OCSP_NONE:
        pki_reason_set(&result->answer, best->problem, "the OCSP response is %s %s",
                       best->problem == PKI_REASON_OCSP_EXPIRED ? "out of date since"
                                                                : "not valid before",
                       pki_time_format(best->problem == PKI_REASON_OCSP_EXPIRED ? best->usable_until
                                                                                : best->this_update,
                                       when));
        break;
    }
}

static bool
singles_check(struct check *check)
{
    struct pki_ocsp_single best = { .reason = -1 }, one;
    struct pki_ocsp_single_args how = { .args = check->args,
                                        .at = check->at,
                                        .produced_at = check->result->produced_at };
    bool found = false;

    for (int i = 0; i < OCSP_resp_count(check->basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(check->basic, i);
        if (!pki_ocsp_single_is(check->args, single))
            continue;
        if (!pki_ocsp_single_parse(&how, single, &one, &check->result->answer))
            return false;
        if (!found || pki_ocsp_single_counts_more(&one, &best))
            best = one;
        found = true;
    }
    if (!found)
        return refuse(check, PKI_REASON_OCSP_WRONG_CERTIFICATE,
                      "the OCSP response says nothing about this certificate");
    answer_set(check, &best);
    return true;
}

/* ---- the whole --------------------------------------------------------------------------------
 */

static enum err_code
responder_set(struct pki_ocsp_result *result, const struct pki_ocsp_signer *signer, struct err *err)
{
    unsigned char *der = NULL;
    enum err_code code;
    int n;

    if (signer->is_issuer)
        return ERR_OK;
    n = i2d_X509(signer->x509, &der);
    if (n <= 0)
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for an OCSP responder's certificate");
    code = pki_certificate_parse(span_of(der, (size_t)n), &result->responder, err);
    OPENSSL_free(der);
    result->responder_needs_crl = !signer->nocheck;
    return code;
}

static enum err_code
response_check(struct check *check, struct err *err)
{
    struct pki_ocsp_signer signer;
    struct err local = ERR_INIT;
    enum err_code code;

    if (!response_parse(check) ||
        !pki_ocsp_signer_find(check->args, check->basic, check->at, &signer,
                              &check->result->answer) ||
        !extensions_check(check) || !nonce_check(check) || !produced_check(check))
        return ERR_OK;
    code = responder_set(check->result, &signer, &local);
    if (code == ERR_NOMEM || code == ERR_BUG)
        return err_set(err, code, "%s", local.text);
    if (code != ERR_OK)
        (void)refuse(check, PKI_REASON_OCSP_SIGNER,
                     "the certificate of the OCSP response's signer cannot be read");
    else
        (void)singles_check(check);
    return ERR_OK;
}

enum err_code
pki_ocsp_check(const struct pki_ocsp_args *args, struct pki_ocsp_result *result, struct err *err)
{
    struct check check = { .args = args, .result = result };
    enum err_code code = ERR_OK;

    pki_crypto_reset();
    *result = (struct pki_ocsp_result){ .revocation_reason = -1 };
    check.at = args->at ? args->at : clock_now_s();
    pki_reason_set(&result->answer, PKI_REASON_OCSP_INVALID, "the OCSP response was not judged");
    if (X509_NAME_cmp(X509_get_issuer_name(pki_certificate_get0_x509(args->certificate)),
                      X509_get_subject_name(pki_certificate_get0_x509(args->issuer))) != 0)
        (void)refuse(
            &check, PKI_REASON_OCSP_WRONG_CERTIFICATE,
            "the certificate is not from the issuer that the OCSP response is held against");
    else
        code = response_check(&check, err);
    OCSP_BASICRESP_free(check.basic);
    pki_crypto_reset();
    return code;
}

void
pki_ocsp_result_free(struct pki_ocsp_result *result)
{
    pki_certificate_free(&result->responder);
    *result = (struct pki_ocsp_result){ .revocation_reason = -1 };
}
