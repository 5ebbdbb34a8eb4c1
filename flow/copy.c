#include "flow/copy.h"

#include <stdio.h>
#include <stdlib.h>

#include "flow/beside.h"
#include "flow/names.h"
#include "flow/outbound.h"
#include "flow/people.h"
#include "flow/state.h"
#include "smime/algorithm.h"
#include "util/clock.h"

/* ---- who signs and who can read it -------------------------------------------------------------
 */

/* The pair that signs a copy: the sender's, or that of the domain. */
static const struct directory_candidate *
copy_find_signer(const struct flow_facts *facts, const struct policy_copy *copy)
{
    const struct flow_beside *domain;

    if (!copy->domain_signature)
        return facts->signer;
    domain = flow_beside_find(facts->domains, facts->domain_count, copy->sign_rule->sign_as);
    return domain && domain->finding ? domain->finding->lookup.selected : NULL;
}

static enum err_code
copy_load_people(const struct flow_outbound *outbound, size_t index, struct flow_copy *copy,
                 struct err *err)
{
    const struct policy_copy *policy = copy->policy;
    const struct directory_candidate *signer =
        policy->sign ? copy_find_signer(&outbound->facts, policy) : NULL;

    if (policy->sign && (!signer || !signer->key))
        return err_set(err, ERR_BUG, "a signature was decided upon without a key");
    copy->key = policy->sign ? signer->key : NULL;
    if (!policy->encrypt)
        return ERR_OK;
    if (flow_facts_self(&outbound->facts) == POLICY_UNKNOWN) {
        const struct flow_finding *self = outbound->facts.self;

        return err_set_reason(err, ERR_TEMP, self ? self->reason : "deadline",
                              "the sender's own certificate cannot be checked: %s; try again later",
                              self ? self->lookup.answer.text : "finding out took too long");
    }
    return flow_people_get_certificates(&outbound->facts, &outbound->decision.plan, index,
                                        &copy->recipients, &copy->recipient_count, err);
}

/* ---- making ------------------------------------------------------------------------------------
 */

static enum err_code
copy_build(struct flow_message *message, struct flow_copy *copy, struct flow_edits *edits,
           struct err *err)
{
    const struct flow_outbound *outbound = message->outbound;
    struct flow_protect_args args = {
        .copy = copy->policy,
        .scan = outbound->scan,
        .spool = outbound->spool,
        .entity_header = buf_span(&outbound->entity_header),
        .key = copy->key,
        .signing_time = clock_now_s(),
        .recipients = copy->recipients,
        .count = copy->recipient_count,
    };
    enum err_code code;

    /* encryptionKeyPreference names the sender's own certificate, never one beside a domain's. */
    if (flow_facts_self(&outbound->facts) == POLICY_YES && !copy->policy->domain_signature)
        args.own = outbound->facts.self->lookup.selected->certificate;
    code = flow_protect_new(&args, &copy->protect, err);
    return code == ERR_OK ? flow_protect_edits(copy->protect, message->header, edits, err) : code;
}

enum err_code
flow_copy_new(struct flow_message *message, size_t index, struct flow_edits *edits,
              struct flow_copy **out, struct err *err)
{
    struct flow_copy *copy = calloc(1, sizeof *copy);
    enum err_code code;

    *out = NULL;
    if (!copy)
        return err_set(err, ERR_NOMEM, "memory for a copy");
    copy->policy = &message->outbound->decision.plan.copies[index];
    code = copy_load_people(message->outbound, index, copy, err);
    if (code == ERR_OK && (copy->policy->sign || copy->policy->encrypt))
        code = copy_build(message, copy, edits, err);
    if (code != ERR_OK)
        flow_copy_free(&copy);
    *out = copy;
    return code;
}

void
flow_copy_free(struct flow_copy **copy)
{
    if (!copy || !*copy)
        return;
    flow_protect_free(&(*copy)->protect);
    free((*copy)->recipients);
    free(*copy);
    *copy = NULL;
}

/* ---- the body ----------------------------------------------------------------------------------
 */

struct tidy {
    struct stage stage;
    bool cr; /* the last octet was a CR that is not written yet */
};

static enum err_code
tidy_write(struct stage *stage, struct span piece, struct err *err)
{
    struct tidy *tidy = (struct tidy *)stage;
    enum err_code code = ERR_OK;

    while (code == ERR_OK && piece.n > 0) {
        size_t n = 0;

        if (piece.p[0] == '\n') {
            tidy->cr = false;
            code = stage_write(stage->next, span_str("\r\n"), err);
            piece = span_from(piece, 1);
            continue;
        }
        if (tidy->cr)
            code = stage_write(stage->next, span_str(" "), err);
        tidy->cr = piece.p[0] == '\r';
        if (tidy->cr) {
            piece = span_from(piece, 1);
            continue;
        }
        while (n < piece.n && piece.p[n] != '\r' && piece.p[n] != '\n')
            n++;
        if (code == ERR_OK)
            code = stage_write(stage->next, span_of(piece.p, n), err);
        piece = span_from(piece, n);
    }
    return code;
}

static enum err_code
tidy_finish(struct stage *stage, struct err *err)
{
    return ((struct tidy *)stage)->cr ? stage_write(stage->next, span_str(" "), err) : ERR_OK;
}

static void
tidy_free(struct stage *stage)
{
    free(stage);
}

static const struct stage_ops tidy_ops = {
    .name = "tidy",
    .write = tidy_write,
    .finish = tidy_finish,
    .free = tidy_free,
};

static enum err_code
copy_write_as_it_came(const struct spool *spool, struct stage *sink, struct err *err)
{
    struct tidy *tidy = calloc(1, sizeof *tidy);
    struct stage *first;
    enum err_code code;

    if (!tidy || !spool) {
        free(tidy);
        stage_free(&sink);
        return err_set(err, tidy ? ERR_BUG : ERR_NOMEM, "a copy without a body");
    }
    stage_init(&tidy->stage, &tidy_ops, sink);
    first = &tidy->stage;
    code = spool_copy(spool, first, err);
    if (code == ERR_OK)
        code = stage_finish(first, err);
    stage_free(&first);
    return code;
}

enum err_code
flow_copy_write(struct flow_copy *copy, const struct flow_message *message, struct stage *sink,
                struct err *err)
{
    if (copy->protect)
        return flow_protect_write(copy->protect, sink, err);
    return copy_write_as_it_came(message->outbound->spool, sink, err);
}

/* ---- the outcome -------------------------------------------------------------------------------
 */

static void
describe_signature(struct flow_outcome *outcome, const struct policy_copy *copy,
                   const struct pki_key *key)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(key->certificate);

    outcome->digest = smime_digest_name(flow_names_digest(copy->algorithms.digest));
    outcome->format = copy->opaque ? "opaque" : "clear";
    if (copy->opaque && copy->sign_rule->sign_format == CONF_SIGN_CLEAR)
        outcome->note = "only-opaque";
    if (copy->domain_signature && facts->addresses && facts->addresses[0])
        snprintf(outcome->signer, sizeof(outcome->signer), "%s", facts->addresses[0]);
}

/* Algorithms of the first copy that has any; the RecipientInfos of all. */
enum err_code
flow_copy_describe(struct flow_message *message, struct err *err)
{
    const struct policy_plan *plan = &message->outbound->decision.plan;
    struct flow_outcome *outcome = &message->outcome;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < plan->copy_count; i++) {
        const struct policy_copy *policy = &plan->copies[i];
        struct flow_copy copy = { .policy = policy };

        code = copy_load_people(message->outbound, i, &copy, err);
        if (code == ERR_OK && policy->sign && !outcome->digest)
            describe_signature(outcome, policy, copy.key);
        if (code == ERR_OK && policy->encrypt) {
            if (!outcome->cipher)
                outcome->cipher = smime_cipher_name(flow_names_cipher(policy->algorithms.cipher));
            if (flow_facts_self(&message->outbound->facts) != POLICY_YES)
                outcome->note = "no-copy-for-sender";
            outcome->certificates += copy.recipient_count;
            outcome->has_certificates = true;
        }
        free(copy.recipients);
    }
    if (code != ERR_OK)
        return code;
    if (plan->copy_count > 1)
        outcome->action = "copies";
    else if (plan->copies[0].encrypt)
        outcome->action = plan->copies[0].sign ? "sign+encrypt" : "encrypt";
    else if (plan->copies[0].sign)
        outcome->action = "sign";
    return ERR_OK;
}
