#include "policy/obstacle.h"

#include "policy/refusal.h"

static const char *
obstacle_text(const char *text)
{
    return text != NULL ? text : "";
}

static const char *
obstacle_sender(const struct policy_outbound_facts *facts)
{
    return facts->from != NULL ? facts->from : "the sender";
}

/* ---- answers that are not there ----------------------------------------------------------------
 */

static void
obstacle_defer_escrow(const struct policy_recipient *recipient,
                      struct policy_outbound_decision *out)
{
    policy_refusal_set(out, POLICY_DEFER, "escrow-unknown", recipient->rule);
    policy_refusal_write(
        out, (const char *[]){ "an additional recipient's certificate cannot be checked: ",
                               obstacle_text(recipient->escrow_text), "; try again later", NULL });
}

static void
obstacle_defer_signing(const struct policy_outbound_facts *facts, const struct conf_rule *rule,
                       struct policy_outbound_decision *out)
{
    policy_refusal_set(out, POLICY_DEFER, facts->signing_reason, rule);
    policy_refusal_write(
        out, (const char *[]){ "the signing certificate of ", obstacle_sender(facts),
                               " cannot be checked: ", obstacle_text(facts->signing_text),
                               "; try again later", NULL });
}

/* ---- certificates that are not there -----------------------------------------------------------
 */

static const char obstacle_head[] = "must be encrypted, and there is no valid certificate for ";
static const char obstacle_tail[] = "; send without them, or ask them or your administrator for a "
                                    "certificate";

static void
obstacle_refuse_escrow(const struct policy_recipient *recipient,
                       struct policy_outbound_decision *out)
{
    policy_refusal_set(out, POLICY_REFUSE, "escrow-no-certificate", recipient->rule);
    policy_refusal_write(out, (const char *[]){ "must be encrypted to an additional recipient "
                                                "without a valid certificate: ",
                                                obstacle_text(recipient->escrow_text),
                                                "; tell your administrator", NULL });
}

static void
obstacle_refuse_signing(const struct policy_outbound_facts *facts, const struct conf_rule *rule,
                        struct policy_outbound_decision *out)
{
    bool domain = rule->no_signing_certificate == CONF_NO_SIGNING_DOMAIN;

    policy_refusal_set(out, POLICY_REFUSE, facts->signing_reason, rule);
    policy_refusal_write(
        out,
        (const char *[]){ "must be signed, and there is no valid signing certificate for ",
                          obstacle_sender(facts), domain ? " nor for " : "",
                          domain ? rule->sign_as : "", ": ", obstacle_text(facts->signing_text),
                          "; ask your administrator for a certificate", NULL });
}

static void
obstacle_decide_group(const struct policy_recipient *group, struct policy_outbound_decision *out)
{
    bool unknown = group->expanded == POLICY_UNKNOWN;

    policy_refusal_set(out, unknown ? POLICY_DEFER : POLICY_REFUSE, group->group_reason,
                       group->rule);
    policy_refusal_write(
        out, (const char *[]){ "the members of ", group->address,
                               " cannot take its place: ", obstacle_text(group->group_text),
                               unknown ? "; try again later" : "; ask your administrator", NULL });
}

/* In this order, whoever comes first in the envelope. */
static const enum policy_treatment_end obstacle_order[] = {
    POLICY_TREATMENT_DEFER,         POLICY_TREATMENT_DEFER_ESCROW,  POLICY_TREATMENT_DEFER_GROUP,
    POLICY_TREATMENT_DEFER_SIGNING, POLICY_TREATMENT_REFUSE,        POLICY_TREATMENT_REFUSE_ESCROW,
    POLICY_TREATMENT_REFUSE_GROUP,  POLICY_TREATMENT_REFUSE_SIGNING
};

bool
policy_obstacle_find(const struct policy_treatments *all, struct policy_outbound_decision *out)
{
    const struct policy_outbound_facts *facts = all->facts;
    enum { KINDS = sizeof obstacle_order / sizeof obstacle_order[0] };
    const struct policy_recipient *recipient = NULL;
    struct policy_treatment found = { .end = POLICY_TREATMENT_COPY }, one;
    size_t worst = KINDS;

    for (size_t i = 0; i < facts->count; i++) {
        policy_treatment_get(all, i, &one);
        for (size_t k = 0; k < worst; k++) {
            if (one.end != obstacle_order[k])
                continue;
            worst = k;
            found = one;
            recipient = &facts->recipients[i];
        }
    }
    if (worst == KINDS)
        return false;
    switch (found.end) {
    case POLICY_TREATMENT_DEFER:
        policy_refusal_set(out, POLICY_DEFER, recipient->reason, recipient->rule);
        policy_refusal_list(out, all, found.end,
                            "certificates cannot be checked at the moment: ", "; try again later");
        break;
    case POLICY_TREATMENT_DEFER_ESCROW:
        obstacle_defer_escrow(recipient, out);
        break;
    case POLICY_TREATMENT_DEFER_SIGNING:
        obstacle_defer_signing(facts, found.sign_rule, out);
        break;
    case POLICY_TREATMENT_REFUSE:
        policy_refusal_set(out, POLICY_REFUSE, policy_treatment_reason(recipient), recipient->rule);
        policy_refusal_list(out, all, found.end, obstacle_head, obstacle_tail);
        break;
    case POLICY_TREATMENT_REFUSE_ESCROW:
        obstacle_refuse_escrow(recipient, out);
        break;
    case POLICY_TREATMENT_DEFER_GROUP:
    case POLICY_TREATMENT_REFUSE_GROUP:
        obstacle_decide_group(recipient, out);
        break;
    default:
        obstacle_refuse_signing(facts, found.sign_rule, out);
        break;
    }
    return true;
}

/* ---- the plan ----------------------------------------------------------------------------------
 */

/* What a recipient gets, in words. */
static const char *
obstacle_describe(const struct policy_treatments *all, size_t index)
{
    const struct policy_recipient *recipient = &all->facts->recipients[index];
    struct policy_treatment one;

    policy_treatment_get(all, index, &one);
    if (one.encrypt)
        return one.must ? "must get it encrypted" : "gets it encrypted";
    if (!recipient->rule->smime)
        return "as it is";
    if (one.must)
        return "not encrypted, for want of a certificate";
    if (policy_choice_encrypt(recipient->rule, &all->facts->choice) == CONF_ENCRYPT_NEVER)
        return "must not";
    return one.encrypt_rule == NULL && recipient->certificate == POLICY_NO
               ? "cannot, for want of a certificate"
           : one.sign ? "gets it signed"
                      : "not signed";
}

static void
obstacle_refuse_copies(const struct policy_treatments *all, size_t one, size_t other,
                       struct policy_outbound_decision *out)
{
    const struct policy_recipient *recipients = all->facts->recipients;
    struct policy_treatment a, b;

    policy_treatment_get(all, one, &a);
    policy_treatment_get(all, other, &b);
    if (!a.encrypt || !b.encrypt || !(a.hidden || b.hidden)) {
        policy_refusal_copies(out, &recipients[one], obstacle_describe(all, one),
                              &recipients[other],
                              a.encrypt && b.encrypt ? "can read nothing that the other can"
                                                     : obstacle_describe(all, other));
        return;
    }
    policy_refusal_set(out, POLICY_REFUSE, "copies-needed", recipients[one].rule);
    policy_refusal_write(
        out, (const char *[]){ "encrypted mail would show the other recipients that ",
                               recipients[b.hidden ? other : one].address,
                               " gets it too, and this gateway has no listener for copies "
                               "(resubmit_server); send to Bcc recipients separately",
                               NULL });
}

static void
obstacle_refuse_return(const struct policy_recipient *recipient,
                       struct policy_outbound_decision *out)
{
    policy_refusal_set(out, POLICY_REFUSE, "copies-needed", recipient->rule);
    policy_refusal_write(
        out, (const char *[]){ "must be encrypted, and there is no valid certificate for ",
                               recipient->address, " (", policy_treatment_reason(recipient),
                               "); to send it to the others alone, this gateway would need a "
                               "listener for copies (resubmit_server): send without them",
                               NULL });
}

static void
obstacle_refuse_group(const struct policy_recipient *group, struct policy_outbound_decision *out)
{
    policy_refusal_set(out, POLICY_REFUSE, "copies-needed", group->rule);
    policy_refusal_write(out, (const char *[]){ "encrypted mail would show the members of ",
                                                group->address,
                                                " to each other, since To and Cc do not name the "
                                                "group; name it there, or ask your administrator "
                                                "(group_fallback = replace)",
                                                NULL });
}

bool
policy_obstacle_plan(const struct policy_treatments *all, size_t *order,
                     struct policy_outbound_decision *out)
{
    const struct policy_recipient *recipients = all->facts->recipients;
    size_t one = 0, other = 0;

    switch (policy_plan_find(all, order, &out->plan, &one, &other)) {
    case POLICY_PLAN_OK:
        return false;
    case POLICY_PLAN_COPIES_NEEDED:
        obstacle_refuse_copies(all, one, other, out);
        break;
    case POLICY_PLAN_RETURN_NEEDED:
        obstacle_refuse_return(&recipients[one], out);
        break;
    case POLICY_PLAN_HIDDEN_GROUP:
        obstacle_refuse_group(&recipients[one], out);
        break;
    case POLICY_PLAN_TOO_MANY_COPIES:
        policy_refusal_set(out, POLICY_REFUSE, "too-many-copies", out->rule);
        policy_refusal_write(out, (const char *[]){ "the recipients need more copies that differ "
                                                    "than may be made of one message (max_copies); "
                                                    "send it to fewer at a time, Bcc recipients "
                                                    "above all",
                                                    NULL });
        break;
    case POLICY_PLAN_TOO_MANY_PEOPLE:
        policy_refusal_set(out, POLICY_REFUSE, "too-many-recipients", out->rule);
        policy_refusal_write(out, (const char *[]){ "more people than one encrypted copy can be "
                                                    "made for, members of groups included; send it "
                                                    "to fewer at a time",
                                                    NULL });
        break;
    case POLICY_PLAN_NOBODY:
        policy_refusal_set(out, POLICY_REFUSE, policy_treatment_reason(&recipients[0]), out->rule);
        policy_refusal_list(out, all, POLICY_TREATMENT_RETURN, obstacle_head, obstacle_tail);
        break;
    }
    return true;
}
