#include "policy/treatment.h"

#include "policy/algorithm.h"

bool
policy_treatment_is_encrypted(const struct policy_outbound_facts *facts,
                              const struct conf_rule *rule)
{
    return facts->already_encrypted || (facts->pgp_encrypted && rule->pgp_is_encrypted);
}

bool
policy_treatment_is_sealed(const struct policy_outbound_facts *facts)
{
    bool sealed = facts->already_encrypted;

    for (size_t i = 0; !sealed && i < facts->count; i++) {
        const struct conf_rule *rule = facts->recipients[i].rule;

        if (rule->smime && !policy_treatment_is_encrypted(facts, rule))
            return false;
        sealed = i + 1 == facts->count;
    }
    return sealed;
}

/* ---- one recipient by himself ------------------------------------------------------------------
 */

static bool
treatment_wants_encryption(const struct policy_outbound_facts *facts, const struct conf_rule *rule)
{
    return rule->smime && policy_choice_encrypt(rule, &facts->choice) != CONF_ENCRYPT_NEVER &&
           !policy_treatment_is_encrypted(facts, rule);
}

static bool
treatment_must_encrypt(const struct policy_outbound_facts *facts, const struct conf_rule *rule)
{
    return treatment_wants_encryption(facts, rule) &&
           policy_choice_encrypt(rule, &facts->choice) == CONF_ENCRYPT_ALWAYS;
}

static bool
treatment_wants_signature(const struct policy_outbound_facts *facts, const struct conf_rule *rule)
{
    return rule->smime && !facts->already_signed && !policy_treatment_is_encrypted(facts, rule) &&
           policy_choice_sign(rule, &facts->choice) == CONF_SIGN_ALWAYS;
}

bool
policy_treatment_is_below_floor(const struct policy_recipient *recipient)
{
    struct policy_reading reading;

    policy_algorithm_get(recipient->rule, &recipient->said, recipient->key, false, &reading);
    return reading.ciphers == 0;
}

const char *
policy_treatment_reason(const struct policy_recipient *recipient)
{
    if (recipient->certificate == POLICY_YES)
        return "algorithm-floor";
    return recipient->reason != NULL ? recipient->reason : "unknown";
}

/* A recipient and the additional ones of his rule: the worst answer of both. */
static enum policy_known
treatment_reads(const struct policy_recipient *recipient)
{
    if (recipient->certificate == POLICY_UNKNOWN || recipient->escrow == POLICY_UNKNOWN)
        return POLICY_UNKNOWN;
    if (recipient->certificate == POLICY_NO || policy_treatment_is_below_floor(recipient))
        return POLICY_NO;
    return recipient->escrow;
}

/* May it leave without encryption where there is no certificate? Who chose encryption himself never
 * gets less by a setting that he does not know of. */
static bool
treatment_allows_less(const struct policy_outbound_facts *facts, const struct conf_rule *rule)
{
    return !facts->choice.encrypt && (rule->no_certificate == CONF_NO_CERTIFICATE_PLAIN ||
                                      rule->no_certificate == CONF_NO_CERTIFICATE_SIGN);
}

/* Must be encrypted, and cannot. */
static void
treatment_without_certificate(const struct policy_outbound_facts *facts,
                              const struct policy_recipient *recipient,
                              struct policy_treatment *out)
{
    const struct conf_rule *rule = recipient->rule;

    out->encrypt = false;
    out->end = POLICY_TREATMENT_REFUSE;
    if (recipient->certificate == POLICY_YES && !policy_treatment_is_below_floor(recipient)) {
        out->end = POLICY_TREATMENT_REFUSE_ESCROW;
        return;
    }
    if (rule->no_certificate == CONF_NO_CERTIFICATE_RETURN)
        out->end = POLICY_TREATMENT_RETURN;
    else if (treatment_allows_less(facts, rule))
        out->end = POLICY_TREATMENT_COPY;
}

/* He gets it signed in the place of encrypted. */
static bool
treatment_demands_signature(const struct policy_outbound_facts *facts,
                            const struct policy_treatment *one, const struct conf_rule *rule)
{
    return one->end == POLICY_TREATMENT_COPY && one->must && !one->encrypt &&
           rule->no_certificate == CONF_NO_CERTIFICATE_SIGN && !facts->already_signed;
}

/* What his own rule says, but for the sender's signing certificate. */
static void
treatment_alone(const struct policy_outbound_facts *facts, size_t index,
                struct policy_treatment *out)
{
    const struct policy_recipient *recipient = &facts->recipients[index];
    const struct conf_rule *rule = recipient->rule;
    enum policy_known reads = treatment_reads(recipient);

    *out = (struct policy_treatment){ .encrypt = treatment_wants_encryption(facts, rule),
                                      .must = treatment_must_encrypt(facts, rule) };
    if (out->encrypt && reads == POLICY_NO && !out->must)
        out->encrypt = false;
    else if (out->encrypt && reads == POLICY_NO)
        treatment_without_certificate(facts, recipient, out);
    out->sign =
        treatment_wants_signature(facts, rule) || treatment_demands_signature(facts, out, rule);
    out->sign_rule = out->sign ? rule : NULL;
}

/* ---- all of them -------------------------------------------------------------------------------
 */

/* refuse is stricter than domain, domain than unsigned; a signature in the place of encryption is
 * made or the message is refused. */
static int
treatment_strictness(const struct conf_rule *rule, bool demanded)
{
    switch (rule->no_signing_certificate) {
    case CONF_NO_SIGNING_REFUSE:
        return demanded ? 4 : 3;
    case CONF_NO_SIGNING_DOMAIN:
        return 2;
    default:
        return demanded ? 1 : 0;
    }
}

static void
treatment_first(const struct policy_recipient **slot, const struct policy_recipient *recipient,
                bool says)
{
    if (says && *slot == NULL)
        *slot = recipient;
}

static void
treatment_note_rule(struct policy_treatments *all, const struct policy_recipient *recipient)
{
    const struct policy_outbound_facts *facts = all->facts;
    const struct conf_rule *rule = recipient->rule;
    bool must = treatment_must_encrypt(facts, rule), less = treatment_allows_less(facts, rule);

    treatment_first(&all->off, recipient, !rule->smime);
    treatment_first(&all->protect, recipient, rule->smime);
    treatment_first(&all->sign_for, recipient, treatment_wants_signature(facts, rule));
    treatment_first(&all->wants, recipient, treatment_wants_encryption(facts, rule));
    treatment_first(&all->must, recipient, must);
    treatment_first(&all->always, recipient, must && !less);
    treatment_first(&all->in_place, recipient,
                    must && less && rule->no_certificate == CONF_NO_CERTIFICATE_SIGN &&
                        !facts->already_signed);
    treatment_first(&all->never, recipient,
                    rule->smime &&
                        policy_choice_encrypt(rule, &facts->choice) == CONF_ENCRYPT_NEVER);
}

/* The signature that everybody gets: the strictest wish, of equal ones the first. */
static void
treatment_join_sign(struct policy_treatments *all, const struct policy_treatment *one, size_t index)
{
    const struct conf_rule *rule = one->sign_rule;
    bool demanded = treatment_demands_signature(all->facts, one, rule);

    if (all->sign_all != NULL && treatment_strictness(rule, demanded) <=
                                     treatment_strictness(all->sign_all, all->sign_demanded))
        return;
    all->sign_all = rule;
    all->sign_index = index;
    all->sign_demanded = demanded;
}

void
policy_treatment_init(const struct policy_outbound_facts *facts, struct policy_treatments *out)
{
    const char *server = facts->conf->global.resubmit_server;
    bool must = false, some = false, all_read = true;

    *out = (struct policy_treatments){ .facts = facts, .joined = server == NULL || !server[0] };
    for (size_t i = 0; i < facts->count; i++)
        treatment_note_rule(out, &facts->recipients[i]);
    if (!out->joined)
        return;
    out->considers = out->wants != NULL && out->off == NULL && out->never == NULL;
    for (size_t i = 0; i < facts->count; i++) {
        struct policy_treatment one;

        treatment_alone(facts, i, &one);
        must |= one.encrypt && one.must;
        some |= one.encrypt;
        all_read = all_read && treatment_reads(&facts->recipients[i]) != POLICY_NO;
        if (one.sign && out->off == NULL)
            treatment_join_sign(out, &one, i);
    }
    out->encrypt_all = out->considers && some && all_read;
    out->encrypt_none = some && !out->encrypt_all && !must;
}

/* ---- the sender's certificate ------------------------------------------------------------------
 */

static void
treatment_sign(const struct policy_treatments *all, size_t index, bool demanded,
               struct policy_treatment *out)
{
    const struct policy_outbound_facts *facts = all->facts;
    const struct conf_rule *rule = out->sign_rule;
    enum policy_known domain = facts->recipients[index].domain_signing;
    enum policy_treatment_end end = POLICY_TREATMENT_COPY;

    if (facts->signing == POLICY_UNKNOWN)
        end = POLICY_TREATMENT_DEFER_SIGNING;
    else if (facts->signing == POLICY_NO) {
        switch (rule->no_signing_certificate) {
        case CONF_NO_SIGNING_UNSIGNED:
            out->sign = false;
            if (demanded)
                end = POLICY_TREATMENT_REFUSE_SIGNING;
            break;
        case CONF_NO_SIGNING_DOMAIN:
            out->domain_signature = domain == POLICY_YES;
            if (domain != POLICY_YES)
                end = domain == POLICY_NO ? POLICY_TREATMENT_REFUSE_SIGNING
                                          : POLICY_TREATMENT_DEFER_SIGNING;
            break;
        default:
            end = POLICY_TREATMENT_REFUSE_SIGNING;
            break;
        }
    }
    if (out->end == POLICY_TREATMENT_COPY ||
        (end == POLICY_TREATMENT_DEFER_SIGNING && out->end < POLICY_TREATMENT_DEFER))
        out->end = end;
    out->opaque = out->sign && (facts->only_opaque || rule->sign_format == CONF_SIGN_OPAQUE);
}

/* What could not be asked comes before everything: the next attempt may know. */
static void
treatment_ask(const struct policy_treatments *all, const struct policy_recipient *recipient,
              struct policy_treatment *out)
{
    bool wants = treatment_wants_encryption(all->facts, recipient->rule);
    bool considers = all->joined ? all->considers || (wants && all->must != NULL) : wants;

    if (considers && recipient->certificate == POLICY_UNKNOWN)
        out->end = POLICY_TREATMENT_DEFER;
    else if (considers && recipient->escrow == POLICY_UNKNOWN)
        out->end = POLICY_TREATMENT_DEFER_ESCROW;
    if (out->end >= POLICY_TREATMENT_DEFER || recipient->expanded == POLICY_YES ||
        policy_treatment_is_encrypted(all->facts, recipient->rule))
        return;
    /* Kept after all it would leave by the group's rule, and a member's may want more. */
    if (recipient->expanded == POLICY_UNKNOWN)
        out->end = POLICY_TREATMENT_DEFER_GROUP;
    else if (out->end == POLICY_TREATMENT_COPY || out->end == POLICY_TREATMENT_RETURN)
        out->end = POLICY_TREATMENT_REFUSE_GROUP;
}

void
policy_treatment_get(const struct policy_treatments *all, size_t index,
                     struct policy_treatment *out)
{
    const struct policy_outbound_facts *facts = all->facts;
    const struct policy_recipient *recipient = &facts->recipients[index];
    size_t signs = index;
    bool demanded;

    treatment_alone(facts, index, out);
    demanded = out->sign && treatment_demands_signature(facts, out, recipient->rule);
    if (all->encrypt_all)
        out->encrypt = true;
    else if (all->encrypt_none)
        out->encrypt = false;
    if (all->sign_all != NULL) {
        out->sign = true;
        out->sign_rule = all->sign_all;
        signs = all->sign_index;
        demanded = all->sign_demanded;
    }
    treatment_ask(all, recipient, out);
    if (out->end == POLICY_TREATMENT_RETURN) {
        out->sign = false;
        out->sign_rule = NULL;
        return;
    }
    if (out->sign)
        treatment_sign(all, signs, demanded, out);
    out->encrypt_rule = out->encrypt ? recipient->rule : NULL;
    out->hidden = out->encrypt && !recipient->in_header;
}
