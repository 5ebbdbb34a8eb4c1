#include "flow/signer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/reply.h"
#include "pki/verdict.h"
#include "util/clock.h"

/* ---- the questions -----------------------------------------------------------------------------
 */

/* Historic corpora ask for everything but strength. What cannot be computed stays unsupported. */
static void
signer_allow_weak(const struct flow_verification_args *args, struct pki_answer *answer)
{
    if (args->allow_weak && answer->status == PKI_STATUS_POLICY && answer->reason &&
        strcmp(answer->reason, "unsupported-algorithm") != 0)
        *answer = (struct pki_answer){ .status = PKI_STATUS_OK, .reason = "ok" };
}

/* What all signers of a message are judged with. */
struct signer_round {
    const struct flow_verification_args *args;
    struct pki_certificates untrusted;       /* of the message and of the caller */
    const STACK_OF(X509_CRL) * message_crls; /* borrowed */
};

/* Nothing is asked of the network for a signer who is refused already. */
static struct pki_fetch_budget *
signer_find_budget(const struct signer_round *round, const struct flow_verification_signer *signer)
{
    bool refused = signer->smime->state != SMIME_SIGNATURE_OK ||
                   signer->leaf.status != PKI_STATUS_OK ||
                   signer->algorithm.status != PKI_STATUS_OK;

    return refused ? NULL : round->args->budget;
}

/* For flow/harvest: what the signer must send along for his path to be built. */
static enum err_code
signer_add_issuers(struct flow_verification_signer *signer, struct err *err)
{
    enum err_code code = ERR_OK;

    for (size_t i = 1; code == ERR_OK && i < signer->path.count; i++) {
        if (strcmp(signer->path.steps[i].source, "message") == 0)
            code = pki_certificates_add1_once(&signer->issuers, signer->path.steps[i].certificate,
                                              err);
    }
    return code;
}

static enum err_code
signer_load_path(const struct signer_round *round, struct flow_verification_signer *signer,
                 struct err *err)
{
    const struct flow_verification_args *args = round->args;
    enum err_code code = ERR_OK;
    size_t i;
    struct pki_path_args path = {
        .leaf = signer->smime->certificate,
        .untrusted = &round->untrusted,
        .crls = args->crls,
        .message_crls = round->message_crls,
        .at = args->at,
        .revocation = args->revocation,
        .evidence = args->evidence,
        .budget = signer_find_budget(round, signer),
        .allow_weak = args->allow_weak,
        .policies = args->policies,
        .explicit_policy = args->explicit_policy,
        .inhibit_policy_mapping = args->inhibit_policy_mapping,
        .inhibit_any_policy = args->inhibit_any_policy,
    };

    signer->path.answer =
        (struct pki_answer){ .status = PKI_STATUS_INVALID,
                             .reason = "untrusted",
                             .text = "there is no trust set to judge the certificate by" };
    for (i = 0; code == ERR_OK && i < args->trust_count; i++) {
        path.trust = args->trusts[i];
        pki_path_result_free(&signer->path);
        if (!path.trust) {
            signer->path.answer =
                (struct pki_answer){ .status = PKI_STATUS_INVALID,
                                     .reason = "untrusted",
                                     .text = "the rule's trust set does not exist" };
            break;
        }
        code = pki_verdict_check(&path, &signer->path, err);
        if (signer->path.answer.status != PKI_STATUS_OK)
            break;
        if (code == ERR_OK)
            code = signer_add_issuers(signer, err);
    }
    return code;
}

/* The address to show: that of From where the certificate has it, else its first one. */
static void
signer_load_names(const struct flow_from *from, struct flow_verification_signer *signer)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(signer->smime->certificate);
    const char *first = facts->addresses ? facts->addresses[0] : NULL;

    snprintf(signer->identifier, sizeof(signer->identifier), "%s",
             signer->identity ? from->address
             : first          ? first
                              : "");
    if (strlen(facts->serial) < sizeof(signer->serial) &&
        strlen(facts->issuer) < sizeof(signer->issuer)) {
        snprintf(signer->serial, sizeof(signer->serial), "%s", facts->serial);
        snprintf(signer->issuer, sizeof(signer->issuer), "%s", facts->issuer);
    }
}

static enum err_code
signer_load_one(const struct signer_round *round, const struct flow_from *from,
                struct flow_verification_signer *signer, struct err *err)
{
    const struct flow_verification_args *args = round->args;
    const struct smime_signer *smime = signer->smime;

    signer->algorithm = smime->algorithm;
    if (!signer->algorithm.reason)
        signer->algorithm.reason = "ok";
    signer_allow_weak(args, &signer->algorithm);
    if (!smime->certificate) {
        signer->leaf =
            (struct pki_answer){ .status = PKI_STATUS_INVALID,
                                 .reason = "no-signer",
                                 .text = "the signer's certificate is not in the message" };
        signer->path.answer = signer->leaf;
        return ERR_OK;
    }
    pki_certificate_check(smime->certificate, PKI_USE_SIGN, NULL,
                          args->at ? args->at : clock_now_s(), &args->leaf_policy, &signer->leaf);
    signer_allow_weak(args, &signer->leaf);
    signer->identity =
        from->address[0] &&
        pki_certificate_has_address(smime->certificate, from->address, &args->leaf_policy);
    signer_load_names(from, signer);
    return signer_load_path(round, signer, err);
}

static enum err_code
signer_add_certificates(struct signer_round *round, const struct pki_certificates *more,
                        struct err *err)
{
    enum err_code code = ERR_OK;
    size_t i;

    for (i = 0; code == ERR_OK && more && i < more->count; i++)
        code = pki_certificates_add1(&round->untrusted, more->list[i], err);
    return code;
}

enum err_code
flow_signer_load(const struct flow_verification_args *args, const struct smime_verify_result *smime,
                 struct flow_verification_result *result, struct err *err)
{
    struct signer_round round = { .args = args,
                                  .message_crls = args->message_crls ? smime->crls : NULL };
    enum err_code code;
    size_t i;

    if (smime->count == 0)
        return ERR_OK;
    result->signers = calloc(smime->count, sizeof(*result->signers));
    if (!result->signers)
        return err_set(err, ERR_NOMEM, "memory for the signers of a message");
    code = signer_add_certificates(&round, &smime->certificates, err);
    if (code == ERR_OK)
        code = signer_add_certificates(&round, args->untrusted, err);
    for (i = 0; code == ERR_OK && i < smime->count; i++) {
        result->signers[i].smime = &smime->signers[i];
        result->count = i + 1;
        code = signer_load_one(&round, &result->from, &result->signers[i], err);
    }
    pki_certificates_free(&round.untrusted);
    return code;
}

void
flow_signer_free(struct flow_verification_result *result)
{
    size_t i;

    for (i = 0; i < result->count; i++) {
        pki_path_result_free(&result->signers[i].path);
        pki_certificates_free(&result->signers[i].issuers);
    }
    free(result->signers);
    result->signers = NULL;
    result->signer = NULL;
    result->count = 0;
}

/* ---- facts for policy --------------------------------------------------------------------------
 */

static enum policy_trust
signer_trust(enum pki_status status)
{
    switch (status) {
    case PKI_STATUS_OK:
        return POLICY_TRUST_OK;
    case PKI_STATUS_POLICY:
        return POLICY_TRUST_POLICY;
    case PKI_STATUS_TEMP:
        return POLICY_TRUST_TEMP;
    case PKI_STATUS_INVALID:
        break;
    }
    return POLICY_TRUST_INVALID;
}

static enum policy_signature
signer_signature(enum smime_signature_state state)
{
    switch (state) {
    case SMIME_SIGNATURE_OK:
        return POLICY_SIGNATURE_OK;
    case SMIME_SIGNATURE_BAD:
        return POLICY_SIGNATURE_BAD;
    case SMIME_SIGNATURE_UNSUPPORTED:
        return POLICY_SIGNATURE_UNSUPPORTED;
    case SMIME_SIGNATURE_NO_SIGNER:
        return POLICY_SIGNATURE_NO_SIGNER;
    case SMIME_SIGNATURE_NONE:
        break;
    }
    return POLICY_SIGNATURE_NONE;
}

void
flow_signer_facts(const struct flow_verification_signer *signer, struct policy_signer_facts *out)
{
    *out = (struct policy_signer_facts){
        .signature = signer_signature(signer->smime->state),
        .signature_reason = signer->smime->reason ? signer->smime->reason : "unknown",
        .algorithm = signer_trust(signer->algorithm.status),
        .algorithm_reason = signer->algorithm.reason,
        .leaf = signer_trust(signer->leaf.status),
        .leaf_reason = signer->leaf.reason,
        .path = signer_trust(signer->path.answer.status),
        .path_reason = signer->path.answer.reason,
        .identity = signer->identity,
    };
}

/* ---- in words ----------------------------------------------------------------------------------
 */

static const struct {
    const char *reason, *text;
} signer_texts[] = {
    { "digest-mismatch", "the content was changed after it was signed" },
    { "bad-signature", "the signature does not fit the signed content" },
    { "no-signer", "the signer's certificate is not in the message" },
    { "malformed-cms", "the signature cannot be read" },
    { "not-signed-data", "the CMS object holds no signature" },
    { "certs-only", "the CMS object holds certificates and no signature" },
    { "wrong-content-type", "what is signed is not a message" },
    { "not-detached", "the signature carries content of its own beside the text" },
    { "too-many-signers", "there are more signers than are looked at" },
    { "too-large", "the signature or the signed object is larger than what is looked at" },
    { "content-type-mismatch", "the signature was made for another type of content" },
    { "malformed-attributes", "what the signature covers beside the content cannot be read" },
    { "wrong-certificate", "the signature names another certificate than its signer's" },
    { "unknown-encoding", "the transfer encoding of the message is not known" },
    { "malformed-mime", "the structure of the message cannot be read" },
    { "micalg-mismatch", "another digest was used than the header announces" },
    { "from-missing", "the message names no sender" },
    { "from-several", "the message names more than one sender" },
    { "from-syntax", "the From field is not one well-formed address" },
    { "from-differs", "the protected header names another sender than the message" },
    { "not-signed", "the message is not signed" },
    { "encrypted", "the message is encrypted and was not opened" },
    { "not-decrypted", "the message is encrypted and was not decrypted" },
    { "decrypted", "the message was encrypted; it is not signed" },
    { "decrypted-unproven",
      "the message was encrypted in a way that lets others change it unseen; it is not signed" },
    { "signature-outside", "the signature is around what was encrypted, not on the text" },
    { "no-boundary", "multipart/signed without a usable boundary" },
    { "wrong-parts", "multipart/signed needs exactly two parts" },
    { "no-signature-part", "the second part of multipart/signed is no S/MIME signature" },
    { "not-closed", "multipart/signed is cut off" },
    { "epilogue", "there is text behind the signed part" },
    { "preamble", "there is text before the signed part" },
    { "ambiguous-structure", "mail programs may see another text than the signed one" },
    { "ambiguous-header", "mail programs may understand the header differently" },
    { "ambiguous-encoding", "mail programs may decode the message differently" },
};

static const char *
signer_find_text(const struct flow_verification_result *result)
{
    const char *reason = result->verdict.reason;
    const struct flow_verification_signer *signer = result->signer;
    const struct pki_answer *answers[3];
    size_t i;

    if (signer) {
        answers[0] = &signer->leaf;
        answers[1] = &signer->path.answer;
        answers[2] = &signer->algorithm;
        for (i = 0; i < 3; i++) {
            if (answers[i]->reason && answers[i]->text[0] &&
                strcmp(answers[i]->reason, reason) == 0)
                return answers[i]->text;
        }
    }
    for (i = 0; i < sizeof(signer_texts) / sizeof(signer_texts[0]); i++) {
        if (strcmp(signer_texts[i].reason, reason) == 0)
            return signer_texts[i].text;
    }
    return "";
}

static void
signer_set_words(struct flow_verification_result *result)
{
    const struct flow_verification_signer *signer = result->signer;
    size_t i;

    result->signature_word = result->path_word = result->identity_word = "none";
    if (!signer)
        return;
    if (signer->smime->state == SMIME_SIGNATURE_OK)
        result->signature_word = "ok";
    for (i = 0; i < result->count; i++) {
        if (result->signers[i].smime->state == SMIME_SIGNATURE_BAD)
            result->signature_word = "bad";
    }
    if (!signer->smime->certificate)
        return;
    result->path_word = signer->path.answer.reason ? signer->path.answer.reason : "unknown";
    if (result->from.address[0])
        result->identity_word = signer->identity ? "match" : "mismatch";
}

void
flow_signer_describe(struct flow_verification_result *result)
{
    char text[sizeof(result->text)];

    if (result->count > 0)
        result->signer =
            &result->signers[result->verdict.signer < result->count ? result->verdict.signer : 0];
    signer_set_words(result);
    if (result->verdict.result == POLICY_RESULT_PASS && result->signer)
        snprintf(text, sizeof(text), "signed by %.300s", result->signer->identifier);
    else if (strcmp(result->verdict.reason, "identity-mismatch") == 0)
        snprintf(text, sizeof(text), "the certificate is not for %.200s", result->from.address);
    else
        snprintf(text, sizeof(text), "%s", signer_find_text(result));
    flow_reply_text(text, result->text, sizeof(result->text));
}
