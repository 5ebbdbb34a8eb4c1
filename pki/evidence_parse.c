#include "pki/evidence_parse.h"

#include <stdlib.h>

#include <openssl/x509v3.h>

#include "pki/crl.h"
#include "pki/crypto.h"
#include "pki/reason.h"
#include "util/clock.h"

/* The text of a library's refusal becomes ours with a word; what is our own fault stays that. */
static enum err_code
refuse(struct err *err, const struct err *why, const char *word)
{
    if (why->code == ERR_NOMEM || why->code == ERR_BUG)
        return err_set(err, why->code, "%s", why->text);
    return err_set_reason(err, ERR_TEMP, word, "%.300s", why->text);
}

static void
set_times(struct pki_evidence_object *object, time_t end, unsigned life_s)
{
    time_t longest = object->fetched_at + (time_t)life_s;

    object->end = end ? end : longest;
    object->due = object->end < longest ? object->end : longest;
}

/* ---- CRLs --------------------------------------------------------------------------------------
 */

/* Less than 0: `a` was issued before `b`. By time, then by number. RFC 5280 5.2.3 */
static int
crl_compare(const X509_CRL *a, const X509_CRL *b)
{
    time_t when_a = pki_crl_this_update(a), when_b = pki_crl_this_update(b);
    ASN1_INTEGER *number_a, *number_b;
    int result = 0;

    if (when_a != when_b)
        return when_a < when_b ? -1 : 1;
    number_a = X509_CRL_get_ext_d2i(a, NID_crl_number, NULL, NULL);
    number_b = X509_CRL_get_ext_d2i(b, NID_crl_number, NULL, NULL);
    if (number_a && number_b)
        result = ASN1_INTEGER_cmp(number_a, number_b);
    ASN1_INTEGER_free(number_a);
    ASN1_INTEGER_free(number_b);
    pki_crypto_reset();
    return result;
}

/* A CRL in the issuer's name is the issuer's only if its key says so. One in another name is for
 * pki/path to verify. */
static enum err_code
crl_verify(const struct pki_evidence_input *input, struct pki_evidence_object *object,
           struct err *err)
{
    X509 *issuer = pki_certificate_get0_x509(input->item->issuer);
    X509_CRL *crl = object->crl;
    bool own = X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer)) == 0;

    object->is_verified = own && pki_crl_is_signed_by(crl, issuer);
    pki_crypto_reset();
    if (own && !object->is_verified)
        return err_set_reason(err, ERR_TEMP, "crl-invalid",
                              "the CRL is not signed by the key of %.200s",
                              pki_certificate_get(input->item->issuer)->subject);
    return ERR_OK;
}

static enum err_code
crl_judge(const struct pki_evidence_input *input, const struct pki_evidence_object *object,
          struct err *err)
{
    char when[PKI_TIME_SIZE], since[PKI_TIME_SIZE];
    const struct pki_evidence_object *held = input->held;

    /* It would keep every later one away until its time has come. */
    if (object->this_update > clock_now_s() + PKI_EVIDENCE_SKEW_S)
        return err_set_reason(err, ERR_TEMP, "crl-invalid", "the CRL is of %s, in the future",
                              pki_time_format(object->this_update, when));
    if (held && held->is_verified && !object->is_verified)
        return err_set_reason(err, ERR_TEMP, "crl-invalid",
                              "the CRL is in another name than the one that is held");
    if (held && held->is_verified && crl_compare(object->crl, held->crl) < 0)
        return err_set_reason(err, ERR_TEMP, "crl-older",
                              "the CRL is of %s and older than the one that is held, of %s",
                              pki_time_format(object->this_update, when),
                              pki_time_format(held->this_update, since));
    return ERR_OK;
}

static enum err_code
crl_parse(const struct pki_evidence *evidence, const struct pki_evidence_input *input,
          struct pki_evidence_object *object, struct err *err)
{
    const struct pki_evidence_object *held = input->held;
    unsigned life_s = evidence->args.crl_life_s;
    struct err why = ERR_INIT;
    enum err_code code;

    if (held && span_equal(buf_span(input->bytes), pki_crl_der(held->crl))) {
        if (!X509_CRL_up_ref(held->crl))
            return pki_crypto_fail(err, ERR_NOMEM, "no memory for a CRL");
        object->crl = held->crl;
        object->is_verified = held->is_verified;
    } else if (pki_crl_parse_take(input->bytes, &object->crl, &why) != ERR_OK) {
        return refuse(err, &why, "crl-invalid");
    } else if ((code = crl_verify(input, object, err)) != ERR_OK) {
        return code;
    }
    object->this_update = pki_crl_this_update(object->crl);
    object->next_update = pki_crl_next_update(object->crl);
    object->bytes += pki_crl_bytes(object->crl);
    if (!object->is_verified && life_s > PKI_EVIDENCE_INDIRECT_S)
        life_s = PKI_EVIDENCE_INDIRECT_S;
    set_times(object, object->next_update, life_s);
    return crl_judge(input, object, err);
}

/* ---- OCSP --------------------------------------------------------------------------------------
 */

/* Of two answers of one moment the worse one counts, as within one response (pki/ocsp.h). */
static bool
ocsp_is_older(const struct pki_evidence_object *object, const struct pki_evidence_object *held)
{
    if (!held || object->this_update > held->this_update)
        return false;
    return object->this_update < held->this_update ||
           (held->ocsp.status == PKI_OCSP_REVOKED && object->ocsp.status != PKI_OCSP_REVOKED);
}

static enum err_code
ocsp_parse(const struct pki_evidence *evidence, const struct pki_evidence_input *input,
           struct pki_evidence_object *object, struct err *err)
{
    struct pki_ocsp_args args = {
        .response = buf_span(input->bytes),
        .certificate = input->item->certificate,
        .issuer = input->item->issuer,
        .untrusted = input->untrusted,
        .skew_s = PKI_OCSP_SKEW_S,
        .max_age_s = input->max_age_s,
        .limit_bytes = PKI_EVIDENCE_OCSP_BYTES,
    };
    enum err_code code = pki_ocsp_check(&args, &object->ocsp, err);

    if (code != ERR_OK)
        return code;
    if (object->ocsp.status == PKI_OCSP_NONE)
        return err_set_reason(err, ERR_TEMP, object->ocsp.answer.reason, "%s",
                              object->ocsp.answer.text);
    object->this_update = object->ocsp.this_update;
    object->next_update = object->ocsp.next_update;
    object->ocsp_max_age_s = input->max_age_s;
    object->is_verified = true;
    if (ocsp_is_older(object, input->held))
        return err_set_reason(err, ERR_TEMP, "ocsp-older",
                              "the OCSP response is older than the one that is held");
    if (!(object->der = malloc(input->bytes->n)))
        return err_set(err, ERR_NOMEM, "no memory for an OCSP response");
    memcpy(object->der, input->bytes->p, input->bytes->n);
    object->der_n = input->bytes->n;
    object->bytes += object->der_n;
    if (object->ocsp.responder)
        object->bytes += pki_evidence_certificate_bytes(object->ocsp.responder);
    set_times(object, object->ocsp.usable_until, evidence->args.ocsp_life_s);
    return ERR_OK;
}

/* ---- issuers -----------------------------------------------------------------------------------
 */

static enum err_code
issuers_parse(const struct pki_evidence *evidence, const struct pki_evidence_input *input,
              struct pki_evidence_object *object, struct err *err)
{
    struct err why = ERR_INIT;

    object->issuers.limit = PKI_EVIDENCE_ISSUERS_MOST;
    if (pki_certificates_parse(&object->issuers, buf_span(input->bytes), &why) != ERR_OK)
        return refuse(err, &why, "aia-invalid");
    if (object->issuers.count == 0)
        return err_set_reason(err, ERR_TEMP, "aia-invalid", "no certificate is in it");
    if (!(object->der = malloc(input->bytes->n)))
        return err_set(err, ERR_NOMEM, "no memory for certificates");
    memcpy(object->der, input->bytes->p, input->bytes->n);
    object->der_n = input->bytes->n;
    object->bytes += object->der_n;
    for (size_t i = 0; i < object->issuers.count; i++)
        object->bytes += pki_evidence_certificate_bytes(object->issuers.list[i]);
    set_times(object, 0, evidence->args.issuer_life_s);
    return ERR_OK;
}

/* ---- all of them -------------------------------------------------------------------------------
 */

enum err_code
pki_evidence_parse(const struct pki_evidence *evidence, const struct pki_evidence_input *input,
                   struct pki_evidence_object **out, struct err *err)
{
    struct pki_evidence_object *object = pki_evidence_object_new(input->source, input->fetched_at);
    enum err_code code = ERR_BUG;

    *out = NULL;
    if (!object)
        return err_set(err, ERR_NOMEM, "no memory for what was fetched");
    pki_crypto_reset();
    switch (input->item->kind) {
    case PKI_EVIDENCE_CRL:
        code = crl_parse(evidence, input, object, err);
        break;
    case PKI_EVIDENCE_OCSP:
        code = ocsp_parse(evidence, input, object, err);
        break;
    case PKI_EVIDENCE_ISSUERS:
        code = issuers_parse(evidence, input, object, err);
        break;
    case PKI_EVIDENCE_RESPONDER:
        code = err_set(err, ERR_BUG, "nothing is held of a responder");
        break;
    }
    pki_crypto_reset();
    if (code == ERR_OK)
        *out = object;
    else
        pki_evidence_object_free(&object);
    return code;
}

struct span
pki_evidence_object_der(const struct pki_evidence_object *object)
{
    return object->crl ? pki_crl_der(object->crl) : span_of(object->der, object->der_n);
}
