#include "policy/outbound.h"

#include <string.h>

#include "policy/obstacle.h"
#include "policy/refusal.h"
#include "policy/rule.h"
#include "policy/treatment.h"

/* What the rule says about encryption, with the sender's choice. */
static enum conf_encrypt
outbound_encrypts(const struct policy_outbound_facts *facts, const struct conf_rule *rule)
{
    return policy_choice_encrypt(rule, &facts->choice);
}

/* refuse is stricter than domain, domain than unsigned. */
static int
outbound_strictness(const struct conf_rule *rule)
{
    switch (rule->no_signing_certificate) {
    case CONF_NO_SIGNING_REFUSE:
        return 2;
    case CONF_NO_SIGNING_DOMAIN:
        return 1;
    default:
        return 0;
    }
}

const struct conf_rule *
policy_outbound_sign_rule(const struct policy_outbound_facts *facts)
{
    const struct conf_rule *best = NULL;

    for (size_t i = 0; i < facts->count; i++) {
        const struct conf_rule *rule = facts->recipients[i].rule;

        if (!rule->smime || policy_choice_sign(rule, &facts->choice) != CONF_SIGN_ALWAYS)
            continue;
        if (best == NULL || outbound_strictness(rule) > outbound_strictness(best))
            best = rule;
    }
    return best;
}

const struct conf_rule *
policy_outbound_encrypt_rule(const struct policy_outbound_facts *facts)
{
    const struct conf_rule *best = NULL;

    for (size_t i = 0; i < facts->count; i++) {
        const struct conf_rule *rule = facts->recipients[i].rule;

        if (!rule->smime || outbound_encrypts(facts, rule) == CONF_ENCRYPT_NEVER ||
            policy_treatment_is_encrypted(facts, rule))
            continue;
        if (best == NULL || outbound_encrypts(facts, rule) > outbound_encrypts(facts, best))
            best = rule;
    }
    return best;
}

/* Mail that is protected needs a sender who is who he says; and so does all mail where a rule
 * chooses by sender, since a false From would choose another one. */
static bool
outbound_asks_identity(const struct policy_outbound_facts *facts,
                       const struct policy_treatments *all)
{
    return all->protect != NULL || (facts->count > 0 && policy_rule_asks_sender(facts->conf));
}

bool
policy_outbound_replaces(const struct policy_outbound_facts *facts,
                         const struct policy_recipient *group)
{
    const struct conf_rule *rule = group->rule;
    bool listener = facts->conf->global.resubmit_server[0] != '\0';
    bool shows = listener && !group->in_header && group->members > 1 &&
                 outbound_encrypts(facts, rule) != CONF_ENCRYPT_NEVER &&
                 !policy_treatment_is_encrypted(facts, rule);

    if (!rule->smime)
        return false;
    return rule->groups == CONF_GROUPS_REPLACE ||
           (rule->group_fallback == CONF_GROUP_FALLBACK_REPLACE &&
            (group->certificate == POLICY_NO || (shows && group->certificate == POLICY_YES)));
}

const struct conf_rule *
policy_outbound_member_rule(const struct conf_rule *group, const struct conf_rule *own,
                            const struct policy_choice *choice)
{
    bool encrypts = policy_choice_encrypt(group, choice) == CONF_ENCRYPT_ALWAYS;

    return group->smime && encrypts ? group : own;
}

size_t
policy_outbound_count(const struct policy_outbound_facts *facts)
{
    size_t count = 0;

    for (size_t i = 0; i < facts->count; i++)
        count += facts->recipients[i].members > 0 ? facts->recipients[i].members : 1;
    return count;
}

const char *
policy_outbound_lacks(const struct policy_outbound_facts *facts, size_t index)
{
    const struct policy_recipient *recipient = &facts->recipients[index];
    const struct conf_rule *rule = recipient->rule;

    if (!rule->smime || outbound_encrypts(facts, rule) == CONF_ENCRYPT_NEVER ||
        policy_treatment_is_encrypted(facts, rule))
        return NULL;
    if (recipient->certificate == POLICY_YES && !policy_treatment_is_below_floor(recipient))
        return NULL;
    return policy_treatment_reason(recipient);
}

static bool
outbound_asks_groups(const struct policy_outbound_facts *facts)
{
    for (size_t i = 0; i < facts->count; i++) {
        const struct conf_rule *rule = facts->recipients[i].rule;

        if (rule->smime && rule->groups == CONF_GROUPS_REPLACE && !facts->recipients[i].replaces)
            return true;
    }
    return false;
}

/* One copy for all, and rules alone rule it out. */
static bool
outbound_conflicts(const struct policy_treatments *all)
{
    return all->joined && ((all->always != NULL && (all->off != NULL || all->never != NULL)) ||
                           (all->sign_for != NULL && all->off != NULL));
}

void
policy_outbound_needs(const struct policy_outbound_facts *facts, struct policy_outbound_needs *out)
{
    struct policy_treatments all;
    bool conflict, considers;

    policy_treatment_init(facts, &all);
    conflict = outbound_conflicts(&all);
    considers = all.joined ? all.considers || all.must != NULL : all.wants != NULL;
    *out = (struct policy_outbound_needs){
        .signing = !conflict && (all.sign_for != NULL || all.in_place != NULL),
        .certificates = !conflict && considers,
        .groups = outbound_asks_groups(facts),
        .identity = outbound_asks_identity(facts, &all) &&
                    facts->conf->global.sender_identity != CONF_IDENTITY_OFF,
    };
}

/* ---- the questions, in order; each returns true when it decided --------------------------------
 */

static bool
outbound_decide_identity(const struct policy_outbound_facts *facts,
                         const struct policy_treatments *all, struct policy_outbound_decision *out)
{
    bool unknown = facts->identity == POLICY_IDENTITY_UNKNOWN;
    const char *text = facts->identity_text;

    if (facts->identity == POLICY_IDENTITY_OK || !outbound_asks_identity(facts, all) ||
        facts->conf->global.sender_identity != CONF_IDENTITY_ENFORCE)
        return false;
    if (text == NULL || text[0] == '\0')
        text = unknown ? "the sender cannot be identified now; try again later"
                       : "the sender is not who the message says; correct From";
    policy_refusal_set(out, unknown ? POLICY_DEFER : POLICY_REFUSE, facts->identity_reason,
                       all->protect ? all->protect->rule : facts->recipients[0].rule);
    policy_refusal_write(out, (const char *[]){ text, NULL });
    return true;
}

/* The sender chose what a rule does not follow. What is protected already, by himself, satisfies.
 */
static bool
outbound_decide_choice(const struct policy_outbound_facts *facts,
                       struct policy_outbound_decision *out)
{
    if (facts->count > 0 && facts->choice.unclear &&
        facts->recipients[0].rule->forbidden_choice == CONF_FORBIDDEN_REFUSE) {
        policy_refusal_set(out, POLICY_REFUSE, "choice-unclear", facts->recipients[0].rule);
        policy_refusal_write(
            out,
            (const char *[]){ "the message chooses what cannot be: sign, encrypt and plain are "
                              "known, and plain does not go with encrypt; correct it",
                              NULL });
        return true;
    }
    for (size_t i = 0; i < facts->count; i++) {
        const struct policy_recipient *recipient = &facts->recipients[i];
        const char *what = policy_choice_forbidden(recipient->rule, &facts->choice);

        if (what == NULL || recipient->rule->forbidden_choice == CONF_FORBIDDEN_IGNORE ||
            policy_treatment_is_encrypted(facts, recipient->rule) ||
            (facts->already_signed && strcmp(what, "signed") == 0))
            continue;
        policy_refusal_set(out, POLICY_REFUSE, "choice-forbidden", recipient->rule);
        policy_refusal_write(
            out, (const char *[]){ "you chose that the message be ", what, ", and mail to ",
                                   recipient->address,
                                   " may not be; take the choice back and send again", NULL });
        return true;
    }
    return false;
}

/* What no answer of anybody could change. */
static bool
outbound_decide_conflict(const struct policy_treatments *all, struct policy_outbound_decision *out)
{
    if (!outbound_conflicts(all))
        return false;
    if (all->always != NULL && all->off != NULL)
        policy_refusal_copies(out, all->always, "must get it encrypted", all->off, "as it is");
    else if (all->always != NULL && all->never != NULL)
        policy_refusal_copies(out, all->always, "must get it encrypted", all->never, "must not");
    else
        policy_refusal_copies(out, all->sign_for, "must get it signed", all->off, "as it is");
    return true;
}

/* ---- what leaves -------------------------------------------------------------------------------
 */

/* Why a message leaves as it came. */
static const char *
outbound_pass_reason(const struct policy_outbound_facts *facts, const struct policy_treatments *all)
{
    if (all->protect == NULL && all->off != NULL)
        return "smime-off";
    if (policy_treatment_is_sealed(facts) && facts->count > 0)
        return "already-encrypted";
    if (facts->already_signed)
        return "already-signed";
    if (all->sign_for != NULL)
        return "unsigned";
    if (all->wants != NULL)
        return "not-encrypted";
    return "ok";
}

/* Which rule weighed most: of encryption where something is encrypted, then of signing. */
static const struct conf_rule *
outbound_find_rule(const struct policy_outbound_facts *facts, const struct policy_plan *plan)
{
    const struct conf_rule *encrypt = policy_outbound_encrypt_rule(facts);
    const struct conf_rule *sign = facts->already_signed || policy_treatment_is_sealed(facts)
                                       ? NULL
                                       : policy_outbound_sign_rule(facts);
    bool encrypts = plan->copy_count == 0, signs = plan->copy_count == 0;

    for (size_t i = 0; i < plan->copy_count; i++) {
        encrypts |= plan->copies[i].encrypt;
        signs |= plan->copies[i].sign;
    }
    if (encrypt != NULL && (encrypts || !signs))
        return encrypt;
    if (sign != NULL)
        return sign;
    return facts->count > 0 ? facts->recipients[0].rule : policy_rule_builtin();
}

static bool
outbound_protects(const struct policy_plan *plan)
{
    for (size_t i = 0; i < plan->copy_count; i++) {
        if (plan->copies[i].sign || plan->copies[i].encrypt)
            return true;
    }
    return plan->returned_count > 0;
}

void
policy_outbound_decide(const struct policy_outbound_facts *facts, size_t *order,
                       struct policy_outbound_decision *out)
{
    struct policy_treatments all;

    memset(out, 0, sizeof *out);
    policy_treatment_init(facts, &all);
    out->action = POLICY_PASS;
    out->reason = "ok";
    out->enhanced = "";
    out->rule = outbound_find_rule(facts, &out->plan);
    if (outbound_decide_identity(facts, &all, out) || outbound_decide_choice(facts, out) ||
        outbound_decide_conflict(&all, out) || policy_obstacle_find(&all, out) ||
        policy_obstacle_plan(&all, order, out))
        return;
    out->rule = outbound_find_rule(facts, &out->plan);
    if (outbound_protects(&out->plan))
        out->action = POLICY_PROTECT;
    else
        out->reason = outbound_pass_reason(facts, &all);
}
