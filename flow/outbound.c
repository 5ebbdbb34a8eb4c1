#include "flow/outbound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/choice.h"
#include "flow/entity.h"
#include "flow/names.h"
#include "flow/people.h"
#include "flow/reply.h"
#include "flow/state.h"
#include "smime/algorithm.h"
#include "util/clock.h"

/* ---- while it arrives --------------------------------------------------------------------------
 */

/* A bound of the scanner is no failure yet: a message that passes need not keep it. */
static enum err_code
outbound_scan(struct flow_outbound *outbound, struct span piece, struct err *err)
{
    enum err_code code;

    if (outbound->scan_err.code != ERR_OK)
        return ERR_OK;
    code = mime_scan_write(outbound->scan, piece, &outbound->scan_err);
    if (code == ERR_OK || code == ERR_LIMIT || code == ERR_PERM)
        return ERR_OK;
    return err_set(err, code, "%s", outbound->scan_err.text);
}

enum err_code
flow_outbound_new(struct flow_message *message, struct err *err)
{
    const struct conf_global *global = &message->conf->global;
    struct flow_outbound *outbound = calloc(1, sizeof(*outbound));
    struct spool_args args = { .folder = global->spool_folder,
                               .memory_bytes = global->spool_memory,
                               .limit_bytes = global->max_message };
    enum err_code code;

    if (!outbound)
        return err_set(err, ERR_NOMEM, "memory for an outbound message");
    message->outbound = outbound;
    buf_init(&outbound->entity_header, global->max_header * 2);
    code = flow_facts_new(message, &outbound->facts, err);
    if (code != ERR_OK || (!outbound->facts.needs.signing && !outbound->facts.needs.certificates &&
                           !outbound->facts.needs.groups && !flow_identity_may_rewrite(message)))
        return code;
    message->wants_body = true;
    code = flow_structure_claim(message->header, &outbound->structure.claim, err);
    if (code == ERR_OK)
        code = spool_new(&args, &outbound->spool, err);
    if (code == ERR_OK)
        code = mime_scan_new(&outbound->scan, err);
    if (code == ERR_OK)
        code = flow_entity_format_header(message->header, &outbound->entity_header, err);
    if (code == ERR_OK)
        code = outbound_scan(outbound, buf_span(&outbound->entity_header), err);
    return code;
}

void
flow_outbound_free(struct flow_outbound **outbound)
{
    struct flow_outbound *old = outbound ? *outbound : NULL;

    if (!old)
        return;
    *outbound = NULL;
    flow_protect_free(&old->protect);
    flow_facts_free(&old->facts);
    mime_scan_free(&old->scan);
    spool_free(&old->spool);
    buf_free(&old->entity_header);
    free(old->recipients);
    free(old->order);
    free(old);
}

enum err_code
flow_outbound_write(struct flow_outbound *outbound, struct span piece, struct err *err)
{
    enum err_code code = outbound_scan(outbound, piece, err);

    return code == ERR_OK ? spool_write(outbound->spool, piece, err) : code;
}

uint64_t
flow_outbound_bytes(const struct flow_outbound *outbound)
{
    return (outbound->spool ? spool_size(outbound->spool) : 0) + outbound->entity_header.n;
}

/* ---- what it is --------------------------------------------------------------------------------
 */

static enum err_code
outbound_load_structure(struct flow_message *message, struct err *err)
{
    struct flow_outbound *outbound = message->outbound;
    struct policy_outbound_facts *facts = &outbound->facts.policy;
    enum err_code code;

    if (!outbound->spool)
        return ERR_OK;
    code = spool_finish(outbound->spool, err);
    if (code == ERR_OK && outbound->scan_err.code == ERR_OK) {
        code = mime_scan_finish(outbound->scan, &outbound->scan_err);
        if (code == ERR_OK)
            facts->only_opaque = mime_scan_get(outbound->scan)->only_opaque;
        else if (code == ERR_LIMIT || code == ERR_PERM)
            code = ERR_OK;
        else
            return err_set(err, code, "%s", outbound->scan_err.text);
    }
    if (code == ERR_OK)
        code = flow_structure_load(message->header, outbound->spool, &outbound->structure, err);
    facts->already_signed = outbound->structure.signed_already;
    facts->already_encrypted = outbound->structure.encrypted_already;
    facts->pgp_encrypted = outbound->structure.pgp_encrypted;
    return code;
}

/* local_domains: what leaves as ours must come from us. The null sender speaks for nobody. */
static enum err_code
outbound_check_domain(const struct flow_message *message, struct err *err)
{
    const conf_list domains = message->conf->global.local_domains;
    char pattern[300];
    size_t i;

    if (!domains[0] || !message->sender[0])
        return ERR_OK;
    for (i = 0; domains[i]; i++) {
        snprintf(pattern, sizeof(pattern), "@%s", domains[i]);
        enum err_code code = mime_address_match(pattern, message->sender, err);
        if (code != ERR_NOTFOUND)
            return code;
    }
    return ERR_NOTFOUND;
}

/* ---- protection --------------------------------------------------------------------------------
 */

/* Every person behind the recipients, every additional one, and the sender where he has a
 * certificate. The list is borrowed from the findings, which live as long as the message. */
static enum err_code
outbound_load_recipients(struct flow_message *message, struct err *err)
{
    struct flow_outbound *outbound = message->outbound;
    enum err_code code =
        flow_people_get_certificates(&outbound->facts, &outbound->decision.plan, 0,
                                     &outbound->recipients, &outbound->recipient_count, err);

    if (code != ERR_OK)
        return code;
    if (flow_facts_self(&outbound->facts) != POLICY_YES)
        message->outcome.note = "no-copy-for-sender";
    message->outcome.certificates = outbound->recipient_count;
    message->outcome.has_certificates = true;
    return ERR_OK;
}

static void
outbound_describe(struct flow_message *message, const struct pki_key *key)
{
    const struct policy_copy *copy = &message->outbound->decision.plan.copies[0];
    struct flow_outcome *outcome = &message->outcome;
    const struct pki_certificate_facts *facts;

    outcome->action = !copy->encrypt ? "sign" : copy->sign ? "sign+encrypt" : "encrypt";
    if (copy->encrypt)
        outcome->cipher = smime_cipher_name(flow_names_cipher(copy->algorithms.cipher));
    if (!copy->sign)
        return;
    outcome->digest = smime_digest_name(flow_names_digest(copy->algorithms.digest));
    outcome->format = copy->opaque ? "opaque" : "clear";
    if (copy->opaque && copy->sign_rule->sign_format == CONF_SIGN_CLEAR)
        outcome->note = "only-opaque";
    facts = pki_certificate_get(key->certificate);
    if (copy->domain_signature && facts->addresses && facts->addresses[0])
        snprintf(outcome->signer, sizeof(outcome->signer), "%s", facts->addresses[0]);
}

/* The pair that signs a copy: the sender's, or that of the domain. */
static const struct directory_candidate *
outbound_find_signer(const struct flow_facts *facts, const struct policy_copy *copy)
{
    const struct flow_beside *domain;

    if (!copy->domain_signature)
        return facts->signer;
    domain = flow_beside_find(facts->domains, facts->domain_count, copy->sign_rule->sign_as);
    return domain && domain->finding ? domain->finding->lookup.selected : NULL;
}

static enum err_code
outbound_protect(struct flow_message *message, struct err *err)
{
    struct flow_outbound *outbound = message->outbound;
    const struct policy_copy *copy = &outbound->decision.plan.copies[0];
    const struct directory_candidate *signer =
        copy->sign ? outbound_find_signer(&outbound->facts, copy) : NULL;
    enum err_code code = ERR_OK;
    struct flow_protect_args args = {
        .copy = copy,
        .scan = outbound->scan,
        .spool = outbound->spool,
        .entity_header = buf_span(&outbound->entity_header),
        .signing_time = clock_now_s(),
    };

    if (copy->sign && (!signer || !signer->key))
        return err_set(err, ERR_BUG, "a signature was decided upon without a key");
    args.key = copy->sign ? signer->key : NULL;
    /* encryptionKeyPreference names the sender's own certificate, never one beside a domain's. */
    if (flow_facts_self(&outbound->facts) == POLICY_YES && !copy->domain_signature)
        args.own = outbound->facts.self->lookup.selected->certificate;
    if (copy->encrypt) {
        code = outbound_load_recipients(message, err);
        args.recipients = outbound->recipients;
        args.count = outbound->recipient_count;
    }
    if (code == ERR_OK)
        code = flow_protect_new(&args, &outbound->protect, err);
    if (code == ERR_OK)
        code = flow_protect_edits(outbound->protect, message->header, &message->edits, err);
    if (code == ERR_OK)
        outbound_describe(message, args.key);
    return code;
}

/* ---- the decision ------------------------------------------------------------------------------
 */

/* What was wrong with the sender, or worth knowing; and in a dry run what would have been done. */
static void
outbound_note_identity(struct flow_message *message)
{
    const struct flow_identity *identity = &message->identity;
    struct flow_outcome *outcome = &message->outcome;
    bool refused = identity->answer.identity == POLICY_IDENTITY_REFUSED;

    if (!identity->asked)
        return;
    if (strcmp(identity->answer.reason, "ok") != 0)
        outcome->identity = identity->answer.reason;
    if (identity->facts.person == POLICY_YES)
        outcome->person = identity->facts.primary;
    if (message->conf->global.sender_identity != CONF_IDENTITY_LOG)
        return;
    if (identity->answer.identity != POLICY_IDENTITY_OK)
        snprintf(outcome->dry_run, sizeof(outcome->dry_run), "%s %s",
                 refused ? "550 5.7.1" : "451 4.7.1", identity->answer.text);
    else if (identity->answer.rewrite)
        snprintf(outcome->dry_run, sizeof(outcome->dry_run), "rewrite to %s",
                 identity->facts.primary);
}

static void
outbound_note_decision(struct flow_message *message)
{
    const struct flow_outbound *outbound = message->outbound;
    const struct policy_outbound_decision *decision = &outbound->decision;
    struct flow_outcome *outcome = &message->outcome;

    outcome->rule = decision->rule ? decision->rule->name : NULL;
    outcome->reason = decision->reason;
    outcome->action = decision->action == POLICY_REFUSE  ? "refuse"
                      : decision->action == POLICY_DEFER ? "defer"
                                                         : "pass";
    outcome->result = decision->action == POLICY_REFUSE  ? "refused"
                      : decision->action == POLICY_DEFER ? "deferred"
                                                         : "ok";
    outbound_note_identity(message);
}

static void
outbound_act(struct flow_message *message, struct flow_answer *answer)
{
    struct flow_outbound *outbound = message->outbound;
    const struct policy_outbound_decision *decision = &outbound->decision;
    const struct policy_plan *plan = &decision->plan;
    struct err err = ERR_INIT;

    if (decision->action == POLICY_REFUSE || decision->action == POLICY_DEFER) {
        flow_reply_set(answer, decision->code, decision->enhanced, decision->text);
        return;
    }
    if (plan->copy_count > 1 || plan->returned_count > 0) {
        (void)err_set(&err, ERR_BUG,
                      "%zu copies and %zu recipients to be returned, and nobody "
                      "here makes them",
                      plan->copy_count, plan->returned_count);
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
        return;
    }
    if (flow_people_edit(message, &message->edits, &err) != ERR_OK) {
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
        return;
    }
    if (flow_choice_edit(message, &err) != ERR_OK) {
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
        return;
    }
    if (decision->action == POLICY_PASS)
        return;
    if (outbound->scan_err.code != ERR_OK) {
        flow_state_fail(message, &outbound->scan_err, FLOW_PHASE_STRUCTURE, answer);
        return;
    }
    if (plan->copies[0].encrypt && flow_facts_self(&outbound->facts) == POLICY_UNKNOWN) {
        const struct flow_finding *self = outbound->facts.self;

        (void)err_set_reason(&err, ERR_TEMP, self ? self->reason : "deadline",
                             "the sender's own certificate cannot be checked: %s; try again later",
                             self ? self->lookup.answer.text : "finding out took too long");
        flow_state_fail(message, &err, FLOW_PHASE_FACTS, answer);
        return;
    }
    if (outbound_protect(message, &err) != ERR_OK)
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
}

void
flow_outbound_load(struct flow_message *message, int64_t deadline_ms, struct flow_answer *answer)
{
    struct flow_outbound *outbound = message->outbound;
    struct err err = ERR_INIT;
    enum err_code code;
    int64_t start;

    code = outbound_check_domain(message, &err);
    if (code == ERR_NOTFOUND) {
        message->outcome.action = "refuse";
        message->outcome.result = "refused";
        message->outcome.reason = "not-our-domain";
        flow_reply_set(answer, 550, "5.7.1", "the sender's domain is not one of ours");
        return;
    }
    if (code == ERR_OK)
        code = outbound_load_structure(message, &err);
    if (code != ERR_OK) {
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
        return;
    }
    start = clock_monotonic_ms();
    code = flow_facts_load(message, &outbound->facts, deadline_ms, &err);
    message->outcome.wait_ms = clock_monotonic_ms() - start;
    message->outcome.has_wait = true;
    if (code != ERR_OK)
        flow_state_fail(message, &err,
                        err.reason && strcmp(err.reason, "busy") == 0 ? FLOW_PHASE_BUDGET
                                                                      : FLOW_PHASE_FACTS,
                        answer);
}

void
flow_outbound_finish(struct flow_message *message, struct flow_answer *answer)
{
    struct flow_outbound *outbound = message->outbound;
    struct err err = ERR_INIT;

    free(outbound->order);
    outbound->order = calloc(outbound->facts.policy.count + 1, sizeof *outbound->order);
    if (!outbound->order) {
        (void)err_set(&err, ERR_NOMEM, "memory for the plan of a message");
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
        return;
    }
    policy_outbound_decide(&outbound->facts.policy, outbound->order, &outbound->decision);
    outbound->decided = true;
    outbound_note_decision(message);
    outbound_act(message, answer);
}

enum err_code
flow_outbound_write_body(struct flow_message *message, struct stage *sink, struct err *err)
{
    struct flow_outbound *outbound = message->outbound;
    enum err_code code;

    if (!outbound->protect) {
        stage_free(&sink);
        return err_set(err, ERR_BUG, "there is no body to write");
    }
    code = flow_protect_write(outbound->protect, sink, err);
    message->outcome.output_size = flow_protect_size(outbound->protect);
    message->outcome.has_output = true;
    return code;
}
