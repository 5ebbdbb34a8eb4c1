#include "policy/refusal.h"

#include <string.h>

#include "policy/text.h"

enum {
    REFUSAL_NAMED = 10,      /* recipients a reply names; the rest is counted */
    REFUSAL_COUNTS = 80,     /* room for " and N more; N of N recipients" */
    REFUSAL_PART = 100,      /* longest part that is never cut */
    REFUSAL_ADDRESS_MIN = 16 /* octets of an address that stay, whatever the reason takes */
};

void
policy_refusal_set(struct policy_outbound_decision *out, enum policy_action action,
                   const char *reason, const struct conf_rule *rule)
{
    out->action = action;
    out->code = action == POLICY_DEFER ? 451 : 550;
    out->enhanced = action == POLICY_DEFER ? "4.7.1" : "5.7.1";
    out->reason = reason != NULL ? reason : "unknown";
    out->rule = rule;
    out->plan.copy_count = out->plan.returned_count = 0;
}

void
policy_refusal_write(struct policy_outbound_decision *out, const char *const *parts)
{
    size_t count = 0, fixed = 0, shared = 0, share;
    struct policy_text text;

    while (parts[count] != NULL)
        count++;
    policy_text_init(&text, out->text, sizeof out->text);
    if (count == 1) {
        policy_text_write(&text, parts[0]);
        return;
    }
    /* Short parts are taken whole; long ones come from outside and share what is left. */
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(parts[i]);

        if (n > REFUSAL_PART)
            shared++;
        else
            fixed += n;
    }
    share = shared > 0 ? (policy_text_left(&text) - fixed) / shared : 0;
    for (size_t i = 0; i < count; i++)
        policy_text_write_short(&text, parts[i],
                                strlen(parts[i]) > REFUSAL_PART ? share : REFUSAL_PART);
}

/* One recipient of a list: address, and why in as many words as his share of the line allows. */
static void
refusal_name(struct policy_text *text, const struct policy_recipient *recipient, size_t share)
{
    const char *reason = policy_treatment_reason(recipient);
    const char *why = recipient->certificate == POLICY_YES
                          ? "can read nothing as strong as our rule asks for"
                          : recipient->text;
    size_t around = sizeof " ()" - 1;
    size_t room = strlen(recipient->address);

    if (why == NULL || why[0] == '\0' || room + strlen(why) + around > share)
        why = reason;
    /* Who it is matters more than why: the sentence gives way to the word first. */
    if (room + strlen(why) + around > share) {
        room = share > strlen(why) + around ? share - strlen(why) - around : 0;
        room = room < REFUSAL_ADDRESS_MIN ? REFUSAL_ADDRESS_MIN : room;
    }
    policy_text_write_short(text, recipient->address, room);
    policy_text_write(text, " (");
    policy_text_write_short(text, why, share - room - around);
    policy_text_write(text, ")");
}

static bool
refusal_is(const struct policy_treatments *all, size_t index, enum policy_treatment_end end)
{
    struct policy_treatment one;

    policy_treatment_get(all, index, &one);
    return one.end == end;
}

void
policy_refusal_list(struct policy_outbound_decision *out, const struct policy_treatments *all,
                    enum policy_treatment_end end, const char *head, const char *tail)
{
    const struct policy_outbound_facts *facts = all->facts;
    size_t total = 0, named = 0, share;
    struct policy_text text;

    for (size_t i = 0; i < facts->count; i++)
        total += refusal_is(all, i, end);
    policy_text_init(&text, out->text, sizeof out->text);
    policy_text_write(&text, head);
    share = policy_text_left(&text) - strlen(tail) - REFUSAL_COUNTS;
    share = share / (total < REFUSAL_NAMED ? total : REFUSAL_NAMED) - (sizeof ", " - 1);
    for (size_t i = 0; i < facts->count && named < REFUSAL_NAMED; i++) {
        if (!refusal_is(all, i, end))
            continue;
        policy_text_write(&text, named > 0 ? ", " : "");
        refusal_name(&text, &facts->recipients[i], share);
        named++;
    }
    if (total > named) {
        policy_text_write(&text, " and ");
        policy_text_write_count(&text, total - named);
        policy_text_write(&text, " more");
    }
    if (total > 1) {
        policy_text_write(&text, "; ");
        policy_text_write_count(&text, total);
        policy_text_write(&text, " of ");
        policy_text_write_count(&text, facts->count);
        policy_text_write(&text, " recipients");
    }
    policy_text_write(&text, tail);
}

void
policy_refusal_copies(struct policy_outbound_decision *out, const struct policy_recipient *one,
                      const char *one_needs, const struct policy_recipient *other,
                      const char *other_needs)
{
    policy_refusal_set(out, POLICY_REFUSE, "copies-needed", one->rule);
    policy_refusal_write(
        out, (const char *[]){ "recipients need different copies of this message: ", one->address,
                               " ", one_needs, " and ", other->address, " ", other_needs,
                               "; this gateway has no listener for copies (resubmit_server): send "
                               "it to them separately, or ask your administrator",
                               NULL });
}
