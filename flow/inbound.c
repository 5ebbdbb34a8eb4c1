#include "flow/inbound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/forged.h"
#include "flow/layers.h"
#include "flow/names.h"
#include "flow/protected.h"
#include "flow/reader.h"
#include "flow/reply.h"
#include "flow/result.h"
#include "flow/state.h"
#include "policy/requirement.h"
#include "policy/rule.h"
#include "util/clock.h"

/* Each trust set that a recipient's rule names, once. Recipients with smime = no have no say. */
static enum err_code
inbound_find_trusts(const struct flow_message *message, struct flow_inbound *inbound,
                    struct err *err)
{
    size_t i, j;

    free(inbound->trusts);
    inbound->trust_count = 0;
    inbound->trusts = calloc(message->count + 1, sizeof(*inbound->trusts));
    if (!inbound->trusts)
        return err_set(err, ERR_NOMEM, "memory for trust sets");
    for (i = 0; i < message->count; i++) {
        const struct conf_rule *rule = message->recipients[i].rule;
        const struct pki_trust *trust = flow_services_trust(message->services, rule->trust);

        if (!rule->smime)
            continue;
        for (j = 0; j < inbound->trust_count && inbound->trusts[j] != trust; j++)
            continue;
        if (j == inbound->trust_count)
            inbound->trusts[inbound->trust_count++] = trust;
    }
    return ERR_OK;
}

/* Do all recipients' rules want signatures taken off? */
static bool
inbound_wants_strip(const struct flow_message *message)
{
    for (size_t i = 0; i < message->count; i++) {
        if (!message->recipients[i].rule->smime || !message->recipients[i].rule->strip_signature)
            return false;
    }
    return message->count > 0;
}

enum err_code
flow_inbound_new(struct flow_message *message, struct err *err)
{
    const struct conf_global *global = &message->conf->global;
    struct flow_inbound *inbound = calloc(1, sizeof(*inbound));
    struct flow_verification_args args;
    enum err_code code;

    if (!inbound)
        return err_set(err, ERR_NOMEM, "memory for an inbound message");
    message->inbound = inbound;
    inbound->rule = message->count > 0 ? message->recipients[0].rule : policy_rule_builtin();
    code = inbound_find_trusts(message, inbound, err);
    if (code != ERR_OK || inbound->trust_count == 0)
        return code;
    code = flow_decryption_new(message, &inbound->decryption, err);
    if (code == ERR_OK && inbound_wants_strip(message))
        code = flow_strip_new(&(struct spool_args){ .folder = global->spool_folder,
                                                    .memory_bytes = global->spool_memory,
                                                    .limit_bytes = global->max_message },
                              &inbound->strip, err);
    if (code != ERR_OK)
        return code;
    flow_verification_args_init(&args, global->spool_folder);
    args.trusts = inbound->trusts;
    args.trust_count = inbound->trust_count;
    args.revocation = flow_names_revocation(global, CONF_DIRECTION_IN);
    args.evidence = message->services->evidence;
    args.budget = &inbound->budget;
    args.message_crls = true;
    args.leaf_policy = message->services->leaf_policy;
    args.spool_memory_bytes = global->spool_memory;
    args.limit_opaque_bytes = global->max_opaque;
    args.decryption = inbound->decryption;
    args.limit_enveloped_bytes = global->max_message;
    args.content = inbound->strip ? flow_strip_stage(inbound->strip) : NULL;
    code = flow_verification_new(&args, message->header, &inbound->verification, err);
    if (code == ERR_OK)
        message->wants_body = flow_verification_wants_body(inbound->verification);
    return code;
}

static enum err_code
inbound_load_rules(struct flow_message *message, struct err *err)
{
    struct flow_inbound *inbound = message->inbound;
    enum err_code code;

    inbound->rule = message->count > 0 ? message->recipients[0].rule : policy_rule_builtin();
    code = inbound_find_trusts(message, inbound, err);
    if (code != ERR_OK || !inbound->verification)
        return code;
    flow_verification_set_trusts(inbound->verification, inbound->trusts, inbound->trust_count);
    if (inbound->trust_count == 0)
        flow_verification_free(&inbound->verification);
    return ERR_OK;
}

void
flow_inbound_load(struct flow_message *message, int64_t deadline_ms, struct flow_answer *answer)
{
    struct err err = ERR_INIT;
    bool changed = false;
    enum err_code code;

    flow_rules_set_size(message);
    code = flow_rules_load(message, deadline_ms, &changed, &err);
    if (code == ERR_OK && changed)
        code = inbound_load_rules(message, &err);
    if (code != ERR_OK)
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
}

void
flow_inbound_free(struct flow_inbound **inbound)
{
    struct flow_inbound *old = inbound ? *inbound : NULL;

    if (!old)
        return;
    *inbound = NULL;
    flow_verification_free(&old->verification);
    flow_decryption_free(&old->decryption);
    flow_strip_free(&old->strip);
    free(old->trusts);
    free(old);
}

enum err_code
flow_inbound_write(struct flow_inbound *inbound, struct span piece, struct err *err)
{
    /* A body that only has to be counted. */
    if (!inbound->verification)
        return ERR_OK;
    return flow_verification_write(inbound->verification, piece, err);
}

enum err_code
flow_inbound_write_body(struct flow_inbound *inbound, struct stage *sink, struct err *err)
{
    if (inbound->stripped)
        return flow_strip_write_body(inbound->strip, sink, err);
    if (inbound->decryption)
        return flow_decryption_write_body(inbound->decryption, sink, err);
    stage_free(&sink);
    return err_set(err, ERR_BUG, "an inbound body without decryption");
}

uint64_t
flow_inbound_bytes(const struct flow_inbound *inbound)
{
    uint64_t bytes = inbound->strip ? flow_strip_bytes(inbound->strip) : 0;

    return inbound->verification ? bytes + flow_verification_bytes(inbound->verification) : bytes;
}

/* ---- what happens to it ------------------------------------------------------------------------
 */

/* mark < quarantine < hold back < reject: a message that some recipient must not get reaches
 * nobody. */
static int
inbound_severity(enum policy_disposition disposition)
{
    switch (disposition) {
    case POLICY_MARK:
        return 0;
    case POLICY_QUARANTINE:
        return 1;
    case POLICY_HOLD_BACK:
        return 2;
    case POLICY_REJECT:
        break;
    }
    return 3;
}

/* The verdict that decides about the message, and that a reply shows. */
static struct policy_verdict
inbound_shown_verdict(const struct flow_verification_result *result)
{
    if (result->unproven)
        return (struct policy_verdict){ .result = POLICY_RESULT_NONE, .reason = "not-decrypted" };
    return result->verdict;
}

/* A layer of encryption, whether it was opened or not. */
static bool
inbound_is_encrypted(const struct flow_message *message)
{
    struct flow_verification_layer layers[FLOW_VERIFICATION_LAYERS];
    bool too_deep;
    size_t n = flow_verification_layers(message->inbound->verification, layers, &too_deep);

    for (size_t i = 0; i < n; i++) {
        if (strcmp(layers[i].state, "sealed") == 0 || strcmp(layers[i].state, "opened") == 0)
            return true;
    }
    return false;
}

static void
inbound_require(struct flow_message *message, const struct conf_rule *rule,
                const struct policy_verdict *verdict, bool encrypted)
{
    struct flow_inbound *inbound = message->inbound;
    struct policy_requirement requirement;

    policy_requirement_check(rule, verdict, encrypted, &requirement);
    if (!requirement.reason)
        return;
    if (!inbound->required)
        inbound->required = requirement.reason;
    if (inbound_severity(requirement.disposition) > inbound_severity(inbound->disposition)) {
        inbound->disposition = requirement.disposition;
        inbound->required = requirement.reason;
        inbound->rule = rule;
    }
}

/* What partners promised. Where From is not one usable mailbox, no rule was chosen by it: then each
 * rule that it may be about counts, or two From fields would be the way around. */
static void
inbound_find_required(struct flow_message *message, const struct policy_verdict *verdict)
{
    const struct conf *conf = message->conf;
    bool encrypted = inbound_is_encrypted(message);
    struct mime_header_field field;
    bool wanted = false;

    for (size_t i = 0; i < message->count; i++) {
        inbound_require(message, message->recipients[i].rule, verdict, encrypted);
        wanted |= message->recipients[i].rule->smime;
    }
    if (message->from.address[0] || !wanted)
        return;
    for (size_t i = 0; mime_header_find(message->header, "From", i, &field); i++) {
        for (size_t k = 0; k < conf->rule_count; k++) {
            if (policy_requirement_concerns(&conf->rules[k], field.value))
                inbound_require(message, &conf->rules[k], verdict, encrypted);
        }
    }
}

static void
inbound_find_disposition(struct flow_message *message,
                         const struct flow_verification_result *result)
{
    const struct policy_verdict verdict = inbound_shown_verdict(result);
    struct flow_inbound *inbound = message->inbound;
    bool first = true;
    size_t i;

    inbound->disposition = POLICY_MARK;
    for (i = 0; i < message->count; i++) {
        const struct conf_rule *rule = message->recipients[i].rule;
        enum policy_disposition one = policy_verdict_disposition(&verdict, rule);

        if (first || inbound_severity(one) > inbound_severity(inbound->disposition)) {
            inbound->disposition = one;
            inbound->rule = rule;
        }
        first = false;
    }
    inbound_find_required(message, &verdict);
}

static void
inbound_note(struct flow_message *message, const struct flow_verification_result *result)
{
    struct flow_outcome *outcome = &message->outcome;

    outcome->action = "verify";
    outcome->result = "ok";
    outcome->smime = policy_result_name(result->verdict.result);
    outcome->reason = result->verdict.reason;
    outcome->rule = message->inbound->rule->name;
    if (result->signer && result->signer->smime->certificate)
        snprintf(outcome->signer, sizeof(outcome->signer), "%.290s", result->signer->identifier);
    if (result->verdict.result != POLICY_RESULT_PASS && result->claim != SMIME_CLAIM_NONE)
        snprintf(outcome->detail, sizeof(outcome->detail), "%s", result->text);
    else if (result->signer && result->signer->path.unfresh)
        snprintf(outcome->detail, sizeof(outcome->detail), "%s", result->signer->path.answer.text);
    if (result->signer && result->signer->path.count > 0) {
        outcome->cached = result->signer->path.held;
        outcome->has_cached = true;
    }
}

static void
inbound_refuse(struct flow_message *message, const struct flow_verification_result *result,
               struct flow_answer *answer)
{
    bool hold_back = message->inbound->disposition == POLICY_HOLD_BACK;
    const struct policy_verdict verdict = inbound_shown_verdict(result);
    const char *words = verdict.result == POLICY_RESULT_NONE ? "" : result->text;
    const char *required = message->inbound->required;
    char text[600];

    snprintf(text, sizeof(text), "%sS/MIME verification: %s (%s)%s%s",
             !required ? ""
             : strcmp(required, "encryption-required")
                 ? "mail of this sender has to be signed; "
                 : "mail of this sender has to be encrypted; ",
             policy_result_name(verdict.result), verdict.reason, words[0] ? ": " : "", words);
    if (required)
        message->outcome.reason = required;
    flow_reply_set(answer, hold_back ? 451 : 550, hold_back ? "4.7.1" : "5.7.1", text);
    message->outcome.action = hold_back ? "defer" : "refuse";
    message->outcome.result = hold_back ? "deferred" : "refused";
}

static enum err_code
inbound_add_result(struct flow_message *message, const struct flow_verification_result *result,
                   struct err *err)
{
    struct buf value = BUF_INIT(FLOW_RESULT_LIMIT_BYTES);
    enum err_code code;

    if (result->verdict.result == POLICY_RESULT_NONE && !message->conf->global.result_none &&
        !flow_result_is_wanted(result))
        return ERR_OK;
    code = flow_result_format(message->services->authserv_id, result, &value, err);
    /* RFC 8601 5: above every field of the message, our own trace field included. */
    if (code == ERR_OK)
        code = flow_edits_add(&message->edits, FLOW_EDIT_INSERT_HEADER, FLOW_RESULT_FIELD,
                              buf_str(&value), 0, err);
    buf_free(&value);
    return code;
}

/* One for all that is asked about the message, and never beyond its own end. */
static void
inbound_open_budget(const struct flow_message *message, int64_t deadline_ms)
{
    struct pki_fetch_budget *budget = &message->inbound->budget;

    flow_names_budget_init(budget, &message->conf->global);
    if (budget->deadline_ms > deadline_ms)
        budget->deadline_ms = deadline_ms;
}

static void
inbound_note_decryption(struct flow_message *message)
{
    const struct flow_decryption *decryption = message->inbound->decryption;
    struct flow_outcome *outcome = &message->outcome;

    if (!decryption || flow_decryption_get(decryption) == FLOW_DECRYPTION_UNASKED)
        return;
    outcome->decrypt = "no";
    if (flow_decryption_get(decryption) != FLOW_DECRYPTION_OPENED)
        return;
    outcome->decrypt = "yes";
    outcome->action = "decrypt";
    outcome->cipher = flow_decryption_cipher(decryption);
}

/* Takes the outermost signature off, if it is the one that passed. */
static enum err_code
inbound_strip(struct flow_message *message, const struct flow_verification_result *result,
              struct err *err)
{
    struct flow_inbound *inbound = message->inbound;
    struct flow_verification_layer layers[FLOW_VERIFICATION_LAYERS];
    bool too_deep, can = false;
    enum err_code code;

    if (!inbound->strip || result->verdict.result != POLICY_RESULT_PASS ||
        !inbound_wants_strip(message) || inbound->disposition != POLICY_MARK ||
        flow_verification_layers(inbound->verification, layers, &too_deep) == 0 ||
        !layers[0].counts)
        return ERR_OK;
    code = flow_strip_finish(inbound->strip, &can, err);
    if (code != ERR_OK || !can)
        return code;
    inbound->stripped = true;
    message->outcome.note = "signature-removed";
    return flow_strip_edits(inbound->strip, message->header, &message->edits, err);
}

/* What holds: a signature that passed, or an envelope that says that nobody changed it. */
static bool
inbound_is_proven(const struct flow_verification_result *result)
{
    return result->verdict.result == POLICY_RESULT_PASS ||
           (result->verdict.result == POLICY_RESULT_NONE &&
            strcmp(result->verdict.reason, "decrypted") == 0);
}

static enum err_code
inbound_edit_protected(struct flow_message *message, const struct flow_verification_result *result,
                       struct err *err)
{
    const struct flow_protected *protected =
        flow_verification_protected(message->inbound->verification);
    bool restore = message->count > 0;
    size_t differ = 0;
    enum err_code code;

    if (!protected || !inbound_is_proven(result))
        return ERR_OK;
    for (size_t i = 0; i < message->count; i++)
        restore &= message->recipients[i].rule->protected_headers == CONF_PROTECTED_RESTORE;
    code = flow_protected_edits(protected, &message->from, message->header, restore,
                                &message->edits, &differ, err);
    if (code == ERR_OK && differ > 0)
        message->outcome.note = restore ? "headers-restored" : "headers-differ";
    return code;
}

/* The edits of a message that goes on. The result stays on top of everything that is inserted. */
static enum err_code
inbound_edit(struct flow_message *message, const struct flow_verification_result *result,
             struct err *err)
{
    const struct flow_decryption *decryption = message->inbound->decryption;
    const struct policy_verdict verdict = inbound_shown_verdict(result);
    enum err_code code = flow_layers_edits(message, err);

    if (code == ERR_OK)
        code = flow_reader_fields(message, result, err);
    if (code == ERR_OK)
        code = inbound_add_result(message, result, err);
    if (code == ERR_OK)
        code = inbound_edit_protected(message, result, err);
    if (code == ERR_OK && decryption && flow_decryption_get(decryption) == FLOW_DECRYPTION_OPENED)
        code = flow_decryption_edits(decryption, message->header, &message->edits, err);
    else if (code == ERR_OK)
        code = inbound_strip(message, result, err);
    return code == ERR_OK ? flow_reader_tag(message, &verdict, err) : code;
}

static enum err_code
inbound_verify(struct flow_message *message, struct flow_answer *answer, struct err *err)
{
    struct flow_inbound *inbound = message->inbound;
    const struct flow_verification_result *result;
    char reason[200];
    enum err_code code = flow_verification_finish(inbound->verification, err);

    if (code != ERR_OK)
        return code;
    result = flow_verification_get(inbound->verification);
    inbound_find_disposition(message, result);
    inbound_note(message, result);
    inbound_note_decryption(message);
    if (inbound->disposition == POLICY_REJECT || inbound->disposition == POLICY_HOLD_BACK) {
        inbound_refuse(message, result, answer);
        return ERR_OK;
    }
    code = inbound_edit(message, result, err);
    if (code == ERR_OK && inbound->disposition == POLICY_QUARANTINE) {
        snprintf(reason, sizeof(reason), "S/MIME verification: %s (%s)%s%s",
                 policy_result_name(result->verdict.result), result->verdict.reason,
                 inbound->required ? ", " : "", inbound->required ? inbound->required : "");
        code = flow_edits_add(&message->edits, FLOW_EDIT_QUARANTINE, NULL, reason, 0, err);
        message->outcome.action = "quarantine";
    }
    return code;
}

void
flow_inbound_finish(struct flow_message *message, int64_t deadline_ms, struct flow_answer *answer)
{
    struct flow_inbound *inbound = message->inbound;
    int64_t start = clock_monotonic_ms();
    struct err err = ERR_INIT;
    enum err_code code;

    message->outcome.rule = inbound->rule->name;
    message->outcome.action = "pass";
    message->outcome.result = "ok";
    /* Also where nobody wants a verdict: what is left would be believed as ours. */
    code = flow_forged_find(message->header, message->services->authserv_id, &message->edits,
                            &message->outcome.forged, &err);
    if (code == ERR_OK && inbound->verification) {
        inbound_open_budget(message, deadline_ms);
        code = inbound_verify(message, answer, &err);
        message->outcome.crypto_ms = clock_monotonic_ms() - start;
        message->outcome.has_crypto = true;
    } else if (code == ERR_OK) {
        code = flow_layers_edits(message, &err);
        if (code == ERR_OK)
            code = flow_reader_fields(message, NULL, &err);
    }
    if (code == ERR_OK && clock_monotonic_ms() > deadline_ms)
        code = err_set_reason(&err, ERR_TEMP, "deadline", "verification took too long");
    if (code != ERR_OK)
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
}
