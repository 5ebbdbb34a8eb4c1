#include "policy/outbound.h"

#include <string.h>

#include "policy/refusal.h"
#include "policy/rule.h"

/* What the rules of all recipients say together, before anything was asked. */
struct wishes {
    const struct conf_rule *sign;    /* NULL: nobody wants a signature, or there is one already */
    const struct conf_rule *encrypt; /* NULL: nobody wants encryption, or it is there already */
    /* The first recipient whose rule says so; NULL: none. */
    const struct policy_recipient *protect;  /* smime = yes */
    const struct policy_recipient *off;      /* smime = no */
    const struct policy_recipient *sign_for; /* he is why there is a signature */
    const struct policy_recipient *always;   /* encrypt = always, and it is not yet */
    const struct policy_recipient *never;    /* encrypt = never */
};

/* Does the message as it came already satisfy this rule's wish for encryption? */
static bool
outbound_is_encrypted(const struct policy_outbound_facts *facts, const struct conf_rule *rule)
{
    return facts->already_encrypted || (facts->pgp_encrypted && rule->pgp_is_encrypted);
}

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
            outbound_is_encrypted(facts, rule))
            continue;
        if (best == NULL || outbound_encrypts(facts, rule) > outbound_encrypts(facts, best))
            best = rule;
    }
    return best;
}

/* Is the message sealed for every recipient who has a say, so that a signature around it would only
 * hide what its author made? PGP counts where every rule says so. */
static bool
outbound_is_sealed(const struct policy_outbound_facts *facts)
{
    bool sealed = facts->already_encrypted;

    for (size_t i = 0; !sealed && i < facts->count; i++) {
        const struct conf_rule *rule = facts->recipients[i].rule;

        if (rule->smime && !outbound_is_encrypted(facts, rule))
            return false;
        sealed = i + 1 == facts->count;
    }
    return sealed;
}

static void
outbound_first_of(const struct policy_recipient **slot, const struct policy_recipient *recipient)
{
    if (*slot == NULL)
        *slot = recipient;
}

static void
outbound_wishes(const struct policy_outbound_facts *facts, struct wishes *out)
{
    *out = (struct wishes){ .encrypt = policy_outbound_encrypt_rule(facts) };
    if (!facts->already_signed && !outbound_is_sealed(facts))
        out->sign = policy_outbound_sign_rule(facts);
    for (size_t i = 0; i < facts->count; i++) {
        const struct policy_recipient *recipient = &facts->recipients[i];
        const struct conf_rule *rule = recipient->rule;

        if (!rule->smime) {
            outbound_first_of(&out->off, recipient);
            continue;
        }
        outbound_first_of(&out->protect, recipient);
        if (rule == out->sign)
            outbound_first_of(&out->sign_for, recipient);
        if (outbound_encrypts(facts, rule) == CONF_ENCRYPT_NEVER)
            outbound_first_of(&out->never, recipient);
        if (outbound_encrypts(facts, rule) == CONF_ENCRYPT_ALWAYS &&
            !outbound_is_encrypted(facts, rule))
            outbound_first_of(&out->always, recipient);
    }
}

/* May the one copy be encrypted, as far as rules can tell? */
static bool
outbound_may_encrypt(const struct wishes *wishes)
{
    return wishes->encrypt != NULL && wishes->off == NULL && wishes->never == NULL;
}

/* Mail that is protected needs a sender who is who he says; and so does all mail where a rule
 * chooses by sender, since a false From would choose another one. */
static bool
outbound_asks_identity(const struct policy_outbound_facts *facts, const struct wishes *wishes)
{
    return wishes->protect != NULL || (facts->count > 0 && policy_rule_asks_sender(facts->conf));
}

bool
policy_outbound_replaces(const struct conf_rule *rule, enum policy_known certificates)
{
    return rule->groups == CONF_GROUPS_REPLACE ||
           (rule->group_fallback == CONF_GROUP_FALLBACK_REPLACE && certificates == POLICY_NO);
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

void
policy_outbound_needs(const struct policy_outbound_facts *facts, struct policy_outbound_needs *out)
{
    struct wishes wishes;

    outbound_wishes(facts, &wishes);
    *out = (struct policy_outbound_needs){
        .signing = wishes.sign != NULL && wishes.off == NULL,
        .certificates = outbound_may_encrypt(&wishes),
        .groups = outbound_asks_groups(facts),
        .identity = outbound_asks_identity(facts, &wishes) &&
                    facts->conf->global.sender_identity != CONF_IDENTITY_OFF,
    };
}

static const char *
outbound_text(const char *text)
{
    return text != NULL ? text : "";
}

static const char *
outbound_sender(const struct policy_outbound_facts *facts)
{
    return facts->from != NULL ? facts->from : "the sender";
}

/* The first recipient whose certificate is in that state; NULL: none. */
static const struct policy_recipient *
outbound_first(const struct policy_outbound_facts *facts, enum policy_known known)
{
    for (size_t i = 0; i < facts->count; i++) {
        if (facts->recipients[i].certificate == known)
            return &facts->recipients[i];
    }
    return NULL;
}

/* ---- the questions, in order; each returns true when it decided --------------------------------
 */

static bool
outbound_decide_identity(const struct policy_outbound_facts *facts, const struct wishes *wishes,
                         struct policy_outbound_decision *out)
{
    bool unknown = facts->identity == POLICY_IDENTITY_UNKNOWN;
    const char *text = facts->identity_text;

    if (facts->identity == POLICY_IDENTITY_OK || !outbound_asks_identity(facts, wishes) ||
        facts->conf->global.sender_identity != CONF_IDENTITY_ENFORCE)
        return false;
    if (text == NULL || text[0] == '\0')
        text = unknown ? "the sender cannot be identified now; try again later"
                       : "the sender is not who the message says; correct From";
    policy_refusal_set(out, unknown ? POLICY_DEFER : POLICY_REFUSE, facts->identity_reason,
                       wishes->protect ? wishes->protect->rule : facts->recipients[0].rule);
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
            outbound_is_encrypted(facts, recipient->rule) ||
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
outbound_decide_conflict(const struct wishes *wishes, struct policy_outbound_decision *out)
{
    if (wishes->always != NULL && wishes->off != NULL)
        policy_refusal_copies(out, wishes->always, "must get it encrypted", wishes->off,
                              "as it is");
    else if (wishes->always != NULL && wishes->never != NULL)
        policy_refusal_copies(out, wishes->always, "must get it encrypted", wishes->never,
                              "must not");
    else if (wishes->sign != NULL && wishes->off != NULL)
        policy_refusal_copies(out, wishes->sign_for, "must get it signed", wishes->off, "as it is");
    else
        return false;
    return true;
}

static bool
outbound_decide_unknown(const struct policy_outbound_facts *facts, const struct wishes *wishes,
                        struct policy_outbound_decision *out)
{
    const struct policy_recipient *first = outbound_first(facts, POLICY_UNKNOWN);

    if (outbound_may_encrypt(wishes) && first != NULL) {
        policy_refusal_set(out, POLICY_DEFER, first->reason, first->rule);
        policy_refusal_list(out, facts, POLICY_UNKNOWN,
                            "certificates cannot be checked at the moment: ", "; try again later");
        return true;
    }
    if (outbound_may_encrypt(wishes) && facts->escrow == POLICY_UNKNOWN) {
        policy_refusal_set(out, POLICY_DEFER, "escrow-unknown", wishes->encrypt);
        policy_refusal_write(
            out, (const char *[]){ "an additional recipient's certificate cannot be checked: ",
                                   outbound_text(facts->escrow_text), "; try again later", NULL });
        return true;
    }
    if (wishes->sign == NULL)
        return false;
    if (facts->signing == POLICY_UNKNOWN ||
        (facts->signing == POLICY_NO && facts->domain_signing == POLICY_UNKNOWN &&
         wishes->sign->no_signing_certificate == CONF_NO_SIGNING_DOMAIN)) {
        policy_refusal_set(out, POLICY_DEFER, facts->signing_reason, wishes->sign);
        policy_refusal_write(
            out, (const char *[]){ "the signing certificate of ", outbound_sender(facts),
                                   " cannot be checked: ", outbound_text(facts->signing_text),
                                   "; try again later", NULL });
        return true;
    }
    return false;
}

/* More than one recipient, and one whom the header does not name: his RecipientInfo would tell the
 * others. A group is more than one. */
static const struct policy_recipient *
outbound_hidden(const struct policy_outbound_facts *facts)
{
    for (size_t i = 0; i < facts->count; i++) {
        if ((facts->count > 1 || facts->recipients[i].members > 1) &&
            !facts->recipients[i].in_header)
            return &facts->recipients[i];
    }
    return NULL;
}

static bool
outbound_decide_encrypt(const struct policy_outbound_facts *facts, const struct wishes *wishes,
                        struct policy_outbound_decision *out)
{
    const struct policy_recipient *missing = outbound_first(facts, POLICY_NO);
    const struct policy_recipient *hidden = outbound_hidden(facts);

    if (!outbound_may_encrypt(wishes))
        return false;
    if (wishes->always == NULL && (missing != NULL || facts->escrow == POLICY_NO))
        return false; /* if-possible, and it is not */
    if (missing != NULL) {
        policy_refusal_set(out, POLICY_REFUSE, missing->reason, wishes->encrypt);
        policy_refusal_list(out, facts, POLICY_NO,
                            "must be encrypted, and there is no valid certificate for ",
                            "; send without them, or ask them or your administrator for a "
                            "certificate");
        return true;
    }
    if (facts->escrow == POLICY_NO) {
        policy_refusal_set(out, POLICY_REFUSE, "escrow-no-certificate", wishes->encrypt);
        policy_refusal_write(out, (const char *[]){ "must be encrypted to an additional recipient "
                                                    "without a valid certificate: ",
                                                    outbound_text(facts->escrow_text),
                                                    "; tell your administrator", NULL });
        return true;
    }
    if (facts->people_limit > 0 && policy_outbound_count(facts) > facts->people_limit) {
        policy_refusal_set(out, POLICY_REFUSE, "too-many-recipients", wishes->encrypt);
        policy_refusal_write(out, (const char *[]){ "more people than one encrypted copy can be "
                                                    "made for, members of groups included; send it "
                                                    "to fewer at a time",
                                                    NULL });
        return true;
    }
    if (hidden != NULL) {
        policy_refusal_set(out, POLICY_REFUSE, "copies-needed", wishes->encrypt);
        policy_refusal_write(
            out, (const char *[]){ "encrypted mail would show the other recipients that ",
                                   hidden->address,
                                   " gets it too; send to Bcc recipients separately", NULL });
        return true;
    }
    out->encrypt = true;
    return false;
}

static bool
outbound_decide_sign(const struct policy_outbound_facts *facts, const struct wishes *wishes,
                     struct policy_outbound_decision *out)
{
    int otherwise;

    if (wishes->sign == NULL)
        return false;
    otherwise = wishes->sign->no_signing_certificate;
    if (facts->signing != POLICY_YES && otherwise == CONF_NO_SIGNING_UNSIGNED)
        return false;
    out->sign = true;
    out->opaque = facts->only_opaque || wishes->sign->sign_format == CONF_SIGN_OPAQUE;
    if (facts->signing == POLICY_YES)
        return false;
    if (otherwise == CONF_NO_SIGNING_DOMAIN && facts->domain_signing == POLICY_YES) {
        out->domain_signature = true;
        return false;
    }
    policy_refusal_set(out, POLICY_REFUSE, facts->signing_reason, wishes->sign);
    policy_refusal_write(
        out, (const char *[]){ "must be signed, and there is no valid signing certificate for ",
                               outbound_sender(facts),
                               otherwise == CONF_NO_SIGNING_DOMAIN ? " nor for " : "",
                               otherwise == CONF_NO_SIGNING_DOMAIN ? wishes->sign->sign_as : "",
                               ": ", outbound_text(facts->signing_text),
                               "; ask your administrator for a certificate", NULL });
    return true;
}

/* Why a message leaves as it came. */
static const char *
outbound_pass_reason(const struct policy_outbound_facts *facts, const struct wishes *wishes)
{
    if (wishes->protect == NULL && wishes->off != NULL)
        return "smime-off";
    if (outbound_is_sealed(facts) && facts->count > 0)
        return "already-encrypted";
    if (facts->already_signed)
        return "already-signed";
    if (wishes->sign != NULL)
        return "unsigned";
    if (wishes->encrypt != NULL)
        return "not-encrypted";
    return "ok";
}

void
policy_outbound_decide(const struct policy_outbound_facts *facts,
                       struct policy_outbound_decision *out)
{
    struct wishes wishes;

    memset(out, 0, sizeof *out);
    outbound_wishes(facts, &wishes);
    out->action = POLICY_PASS;
    out->reason = "ok";
    out->enhanced = "";
    out->sign_rule = wishes.sign;
    out->encrypt_rule = wishes.encrypt;
    out->rule = facts->count > 0 ? facts->recipients[0].rule : policy_rule_builtin();
    if (wishes.encrypt != NULL)
        out->rule = wishes.encrypt;
    else if (wishes.sign != NULL)
        out->rule = wishes.sign;

    if (outbound_decide_identity(facts, &wishes, out) || outbound_decide_choice(facts, out) ||
        outbound_decide_conflict(&wishes, out) || outbound_decide_unknown(facts, &wishes, out) ||
        outbound_decide_encrypt(facts, &wishes, out) || outbound_decide_sign(facts, &wishes, out))
        return;

    if (out->sign || out->encrypt) {
        out->action = POLICY_PROTECT;
        if (!out->encrypt && wishes.sign != NULL)
            out->rule = wishes.sign;
        return;
    }
    out->reason = outbound_pass_reason(facts, &wishes);
}
