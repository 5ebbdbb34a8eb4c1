#include "policy/verdict.h"

/*
 * How several signers become one word. Each signer ends in one result of his own; then, in this
 * order:
 *
 *   fail       a signature does not fit the bytes, whoever else signed
 *   the word   of a signer whose signature could not be checked at all: "every signer verifies" is
 * a condition pass       one signer holds in everything and is the From address else       the best
 * that is left: temperror (it may still become pass), policy, fail, permerror, neutral. Adding a
 * second, worthless SignerInfo to a message never makes "fail" milder.
 *
 * What makes the structure doubtful is applied last and never hides fail or policy.
 */

struct outcome {
    enum policy_result result;
    const char *reason;
};

static struct outcome
verdict_of_signer(const struct policy_signer_facts *signer, bool from_usable)
{
    const struct {
        enum policy_trust trust;
        const char *reason;
    } steps[] = {
        { signer->algorithm, signer->algorithm_reason },
        { signer->leaf, signer->leaf_reason },
        { signer->path, signer->path_reason },
    };
    const size_t count = sizeof steps / sizeof steps[0];

    switch (signer->signature) {
    case POLICY_SIGNATURE_OK:
        break;
    case POLICY_SIGNATURE_BAD:
        return (struct outcome){ POLICY_RESULT_FAIL, signer->signature_reason };
    case POLICY_SIGNATURE_UNSUPPORTED:
        return (struct outcome){ POLICY_RESULT_NEUTRAL, signer->signature_reason };
    case POLICY_SIGNATURE_NO_SIGNER:
    case POLICY_SIGNATURE_NONE:
        return (struct outcome){ POLICY_RESULT_PERMERROR, signer->signature_reason };
    }
    /* A final "no" first, then our own policy, then what may change: a weak signature of an
     * untrusted signer is fail, so that nobody chooses the milder word by signing badly. */
    for (size_t i = 0; i < count; i++) {
        if (steps[i].trust == POLICY_TRUST_INVALID)
            return (struct outcome){ POLICY_RESULT_FAIL, steps[i].reason };
    }
    if (from_usable && !signer->identity)
        return (struct outcome){ POLICY_RESULT_FAIL, "identity-mismatch" };
    for (size_t i = 0; i < count; i++) {
        if (steps[i].trust == POLICY_TRUST_POLICY)
            return (struct outcome){ POLICY_RESULT_POLICY, steps[i].reason };
    }
    for (size_t i = 0; i < count; i++) {
        if (steps[i].trust == POLICY_TRUST_TEMP)
            return (struct outcome){ POLICY_RESULT_TEMPERROR, steps[i].reason };
    }
    return (struct outcome){ POLICY_RESULT_PASS, "ok" };
}

/* Which of two signers' outcomes speaks for the message: the smaller number. */
static int
verdict_order(enum policy_result result)
{
    switch (result) {
    case POLICY_RESULT_PASS:
        return 0;
    case POLICY_RESULT_TEMPERROR:
        return 1;
    case POLICY_RESULT_POLICY:
        return 2;
    case POLICY_RESULT_FAIL:
        return 3;
    case POLICY_RESULT_PERMERROR:
        return 4;
    case POLICY_RESULT_NEUTRAL:
    case POLICY_RESULT_NONE:
        break;
    }
    return 5;
}

static void
verdict_set(struct policy_verdict *out, struct outcome outcome, size_t signer)
{
    out->result = outcome.result;
    out->reason = outcome.reason;
    out->signer = signer;
}

static void
verdict_of_signers(const struct policy_verdict_facts *facts, bool from_usable,
                   struct policy_verdict *out)
{
    size_t unchecked = facts->count;
    bool first = true;

    for (size_t i = 0; i < facts->count; i++) {
        const struct policy_signer_facts *signer = &facts->signers[i];
        struct outcome outcome = verdict_of_signer(signer, from_usable);

        if (signer->signature == POLICY_SIGNATURE_BAD) {
            verdict_set(out, outcome, i);
            return;
        }
        if (signer->signature != POLICY_SIGNATURE_OK && unchecked == facts->count)
            unchecked = i;
        if (first || verdict_order(outcome.result) < verdict_order(out->result))
            verdict_set(out, outcome, i);
        first = false;
    }
    if (out->result == POLICY_RESULT_PASS && unchecked < facts->count)
        verdict_set(out, verdict_of_signer(&facts->signers[unchecked], from_usable), unchecked);
}

/* One From field with one well-formed mailbox: else nobody can say whose signature to expect. */
static bool
verdict_from_usable(const struct policy_verdict_facts *facts, struct outcome *doubt)
{
    if (facts->from_fields == 0 || (facts->from_mailboxes == 0 && !facts->from_irregular))
        *doubt = (struct outcome){ POLICY_RESULT_PERMERROR, "from-missing" };
    else if (facts->from_fields > 1)
        *doubt = (struct outcome){ POLICY_RESULT_PERMERROR, "from-several" };
    else if (facts->from_irregular)
        *doubt = (struct outcome){ POLICY_RESULT_NEUTRAL, "from-syntax" };
    else if (facts->from_mailboxes > 1)
        *doubt = (struct outcome){ POLICY_RESULT_NEUTRAL, "from-several" };
    else
        return true;
    return false;
}

void
policy_verdict_decide(const struct policy_verdict_facts *facts, struct policy_verdict *out)
{
    struct outcome doubt = { POLICY_RESULT_NONE, "ok" };
    bool from_usable;

    *out = (struct policy_verdict){ .result = POLICY_RESULT_NONE, .reason = "not-signed" };
    if (facts->envelope) {
        out->reason = facts->envelope;
        return;
    }
    if (!facts->claimed)
        return;
    if (!facts->structure_ok) {
        verdict_set(out, (struct outcome){ POLICY_RESULT_PERMERROR, facts->structure_reason }, 0);
        return;
    }
    if (facts->count == 0) {
        verdict_set(out, (struct outcome){ POLICY_RESULT_PERMERROR, "no-signer" }, 0);
        return;
    }
    from_usable = verdict_from_usable(facts, &doubt);
    verdict_of_signers(facts, from_usable, out);
    if (out->result == POLICY_RESULT_FAIL || out->result == POLICY_RESULT_POLICY)
        return;
    if (facts->structure_ambiguous && doubt.result != POLICY_RESULT_PERMERROR)
        doubt = (struct outcome){ POLICY_RESULT_NEUTRAL, facts->structure_reason };
    else if (facts->micalg_mismatch && doubt.result != POLICY_RESULT_PERMERROR)
        doubt = (struct outcome){ POLICY_RESULT_NEUTRAL, "micalg-mismatch" };
    if (doubt.result != POLICY_RESULT_NONE)
        verdict_set(out, doubt, out->signer);
}

const char *
policy_result_name(enum policy_result result)
{
    switch (result) {
    case POLICY_RESULT_NONE:
        return "none";
    case POLICY_RESULT_PASS:
        return "pass";
    case POLICY_RESULT_FAIL:
        return "fail";
    case POLICY_RESULT_POLICY:
        return "policy";
    case POLICY_RESULT_NEUTRAL:
        return "neutral";
    case POLICY_RESULT_TEMPERROR:
        return "temperror";
    case POLICY_RESULT_PERMERROR:
        break;
    }
    return "permerror";
}

static enum policy_disposition
verdict_on(int on)
{
    switch (on) {
    case CONF_ON_QUARANTINE:
        return POLICY_QUARANTINE;
    case CONF_ON_REJECT:
        return POLICY_REJECT;
    default:
        return POLICY_MARK;
    }
}

enum policy_disposition
policy_verdict_disposition(const struct policy_verdict *verdict, const struct conf_rule *rule)
{
    enum policy_disposition disposition;

    if (!rule->smime)
        return POLICY_MARK;
    switch (verdict->result) {
    case POLICY_RESULT_PASS:
        return POLICY_MARK;
    case POLICY_RESULT_NONE:
        return verdict_on(rule->on_none);
    case POLICY_RESULT_FAIL:
        return verdict_on(rule->on_fail);
    case POLICY_RESULT_POLICY:
        return verdict_on(rule->on_policy);
    case POLICY_RESULT_NEUTRAL:
        return verdict_on(rule->on_neutral);
    case POLICY_RESULT_PERMERROR:
        return verdict_on(rule->on_permerror);
    case POLICY_RESULT_TEMPERROR:
        break;
    }
    /* The third word of on_temperror is "defer", not "reject". */
    disposition = verdict_on(rule->on_temperror);
    return disposition == POLICY_REJECT ? POLICY_HOLD_BACK : disposition;
}
