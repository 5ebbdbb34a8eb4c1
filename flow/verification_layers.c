/*
 * Layers inside each other: what is opened, which signature counts, and what is said about each.
 */
#include "flow/decryption.h"
#include "flow/verification_state.h"

/* A signature covers all of it, and fits; whose it is, is another question. */
static bool
verification_is_intact(const struct flow_verification *verification)
{
    const struct flow_verification_result *result = &verification->result;

    if (!result->smime || !result->structure_ok || result->structure_ambiguous ||
        verification->smime.micalg_mismatch)
        return false;
    for (size_t i = 0; i < result->count; i++) {
        if (result->signers[i].smime->state != SMIME_SIGNATURE_OK ||
            result->signers[i].algorithm.status != PKI_STATUS_OK)
            return false;
    }
    return result->count > 0;
}

/* Only what everybody reads the same way is opened; *word says in the result what became of it. */
enum err_code
flow_verification_open(struct flow_verification *verification, const char **word, struct err *err)
{
    struct flow_decryption *decryption = verification->args.decryption;
    struct flow_verification *inside;
    struct flow_inside_args args;
    bool intact = false;
    enum err_code code;

    *word = "not-decrypted";
    if (verification->too_large || verification->result.structure_ambiguous) {
        flow_decryption_reset(decryption, verification->too_large
                                              ? "too-large"
                                              : verification->result.structure_reason);
        return ERR_OK;
    }
    code = spool_finish(verification->spool, err);
    /* One envelope is opened: what is inside has no decryption. */
    verification->args.decryption = NULL;
    if (code == ERR_OK)
        code = flow_layer_new(&verification->args, &verification->result.from, &verification->layer,
                              err);
    if (code != ERR_OK)
        return code;
    args = flow_layer_inside(verification->layer);
    code = flow_decryption_open(decryption, verification->spool, &args, err);
    if (code == ERR_OK)
        code = flow_layer_finish(verification->layer, false, err);
    if (code != ERR_OK)
        return code;
    inside = flow_layer_get(verification->layer);
    intact = inside && verification_is_intact(inside);
    verification->opened = flow_decryption_finish(decryption, intact) == FLOW_DECRYPTION_OPENED;
    if (!verification->opened) {
        /* Nothing of it may show. */
        flow_layer_free(&verification->layer);
        return ERR_OK;
    }
    verification->result.unproven = !intact && !flow_decryption_is_authentic(decryption);
    *word = verification->result.unproven ? "decrypted-unproven" : "decrypted";
    if (inside) {
        inside->result.unproven = verification->result.unproven;
        verification->count = inside->count;
    }
    return ERR_OK;
}

/* What is inside a signature. It is opened only where the signature around it holds in everything,
 * and then that one says nothing about the text. */
enum err_code
flow_verification_finish_layer(struct flow_verification *verification, struct err *err)
{
    struct flow_decryption *decryption = verification->args.decryption;
    bool may_decrypt = decryption && flow_decryption_wants_signed(decryption) &&
                       verification->result.verdict.result == POLICY_RESULT_PASS;
    const struct flow_verification *inside;
    enum err_code code = flow_layer_finish(verification->layer, may_decrypt, err);

    inside = flow_layer_get(verification->layer);
    if (code != ERR_OK || !inside || !may_decrypt ||
        flow_decryption_get(decryption) != FLOW_DECRYPTION_OPENED)
        return code;
    verification->count = inside->count;
    if (inside->count->verdict.result != POLICY_RESULT_NONE)
        return ERR_OK;
    flow_verification_doubt(verification, "signature-outside");
    flow_verification_judge(verification, NULL);
    verification->result.unproven = inside->count->unproven;
    verification->count = &verification->result;
    return ERR_OK;
}

/* A protected From that is another's: some programs show that one, and the signer is not he. */
void
flow_verification_compare_from(struct flow_verification *verification)
{
    const struct flow_protected *protected = flow_verification_protected(verification);
    const struct flow_verification_result *count = verification->count;

    if (count->verdict.result != POLICY_RESULT_PASS || !protected ||
        !flow_protected_is_other(protected, &count->from))
        return;
    while (&verification->result != count)
        verification = flow_layer_get(verification->layer);
    flow_verification_doubt(verification, "from-differs");
    flow_verification_judge(verification, NULL);
}

/* ---- the layers --------------------------------------------------------------------------------
 */

static struct flow_verification_layer
verification_describe(const struct flow_verification *verification)
{
    const struct flow_verification_result *result = &verification->result;
    struct flow_verification_layer layer = { .kind = "cms",
                                             .state = policy_result_name(result->verdict.result),
                                             .reason = result->verdict.reason };

    if (result->claim == SMIME_CLAIM_CLEAR_SIGNED)
        layer.kind = "clear-signed";
    else if (result->content == SMIME_CONTENT_SIGNED)
        layer.kind = "opaque-signed";
    else if (result->content == SMIME_CONTENT_ENVELOPED)
        layer.kind = "enveloped";
    else if (result->content == SMIME_CONTENT_AUTHENVELOPED)
        layer.kind = "auth-enveloped";
    if (result->verdict.result == POLICY_RESULT_NONE)
        layer.state = verification->opened ? "opened" : "sealed";
    return layer;
}

size_t
flow_verification_layers(const struct flow_verification *verification,
                         struct flow_verification_layer out[FLOW_VERIFICATION_LAYERS],
                         bool *too_deep)
{
    const struct flow_verification_result *count = flow_verification_get(verification);
    size_t n = 0;

    *too_deep = false;
    while (verification && n < FLOW_VERIFICATION_LAYERS &&
           (verification->claimed || verification->guessed)) {
        const struct flow_layer *layer = verification->layer;

        out[n] = verification_describe(verification);
        out[n++].counts = count == &verification->result;
        if (layer && flow_layer_is_too_deep(layer))
            *too_deep = true;
        verification = layer ? flow_layer_get(layer) : NULL;
    }
    return n;
}

const struct flow_protected *
flow_verification_protected(const struct flow_verification *verification)
{
    const struct flow_layer *layer = verification->layer;

    while (layer && flow_layer_get(layer))
        layer = flow_layer_get(layer)->layer;
    return layer && flow_layer_protected(layer)->there ? flow_layer_protected(layer) : NULL;
}
