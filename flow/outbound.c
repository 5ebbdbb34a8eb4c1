#include "flow/outbound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/choice.h"
#include "flow/copies.h"
#include "flow/entity.h"
#include "flow/must.h"
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
                           !outbound->facts.needs.groups && !flow_identity_may_rewrite(message) &&
                           !flow_rules_are_open(message) && !flow_must_is_open(message)))
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
    flow_copy_free(&old->copy);
    flow_facts_free(&old->facts);
    mime_scan_free(&old->scan);
    spool_free(&old->spool);
    buf_free(&old->entity_header);
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

/* What rules and kinds of mail ask about. A structure that cannot be read to its end could be any
 * of them: no rule that hangs on it is passed over. */
static enum err_code
outbound_load_content(struct flow_message *message, struct err *err)
{
    const struct flow_outbound *outbound = message->outbound;
    const struct mime_scan_facts *scan;
    unsigned content = 0;
    enum err_code code;

    if (!outbound->spool)
        return ERR_OK;
    if (outbound->scan_err.code != ERR_OK && flow_rules_are_open(message))
        return err_set_reason(err, outbound->scan_err.code, outbound->scan_err.reason, "%s",
                              outbound->scan_err.text);
    code = flow_rules_find_content(message, &content, err);
    if (code != ERR_OK)
        return code;
    scan = outbound->scan_err.code == ERR_OK ? mime_scan_get(outbound->scan) : NULL;
    if (scan)
        content |= (scan->calendar ? POLICY_CONTENT_CALENDAR : 0U) |
                   (scan->tnef ? POLICY_CONTENT_TNEF : 0U) |
                   (scan->report ? POLICY_CONTENT_REPORT : 0U);
    content |= (outbound->structure.signed_already ? POLICY_CONTENT_SIGNED : 0U) |
               (outbound->structure.encrypted_already ? POLICY_CONTENT_ENCRYPTED : 0U) |
               (outbound->structure.pgp_encrypted ? POLICY_CONTENT_PGP : 0U);
    flow_rules_set_content(message, content);
    return ERR_OK;
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

/* Is there a copy for which the sender's own certificate was asked for? */
static bool
copies_ask(const struct policy_plan *plan)
{
    for (size_t i = 0; i < plan->copy_count; i++) {
        if (plan->copies[i].encrypt)
            return true;
    }
    return false;
}

/* First the edits that all copies have in common, then those of the one that stays. Where there are
 * more, the envelope is cut down when they have left (flow/copies). */
static enum err_code
outbound_edit(struct flow_message *message, struct err *err)
{
    struct flow_outbound *outbound = message->outbound;
    enum err_code code = flow_choice_edit(message, err);

    outbound->common = message->edits.count;
    if (code == ERR_OK && !flow_copies_are_needed(message))
        code = flow_people_edit(message, &message->edits, err);
    if (code != ERR_OK || outbound->decision.action == POLICY_PASS)
        return code;
    code = flow_copy_describe(message, err);
    return code == ERR_OK ? flow_copy_new(message, 0, &message->edits, &outbound->copy, err) : code;
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
    if (decision->action == POLICY_PROTECT && outbound->scan_err.code != ERR_OK) {
        flow_state_fail(message, &outbound->scan_err, FLOW_PHASE_STRUCTURE, answer);
        return;
    }
    if (outbound_edit(message, &err) != ERR_OK) {
        bool asked = err.code == ERR_TEMP && copies_ask(plan);

        flow_state_fail(message, &err, asked ? FLOW_PHASE_FACTS : FLOW_PHASE_BUILD, answer);
        return;
    }
    if (flow_copies_are_needed(message))
        answer->kind = FLOW_COPIES;
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
    if (code == ERR_OK) {
        code = outbound_load_content(message, &err);
        if (code == ERR_LIMIT || code == ERR_PERM) {
            flow_state_fail(message, &err, FLOW_PHASE_STRUCTURE, answer);
            return;
        }
    }
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

    if (!outbound->copy || !outbound->copy->protect) {
        stage_free(&sink);
        return err_set(err, ERR_BUG, "there is no body to write");
    }
    code = flow_protect_write(outbound->copy->protect, sink, err);
    message->outcome.output_size = flow_protect_size(outbound->copy->protect);
    message->outcome.has_output = true;
    return code;
}
