#include "policy/requirement.h"

#include <string.h>

static enum policy_disposition
requirement_disposition(const struct conf_rule *rule)
{
    return rule->on_require == CONF_ON_REJECT       ? POLICY_REJECT
           : rule->on_require == CONF_ON_QUARANTINE ? POLICY_QUARANTINE
                                                    : POLICY_MARK;
}

void
policy_requirement_check(const struct conf_rule *rule, const struct policy_verdict *verdict,
                         bool encrypted, struct policy_requirement *out)
{
    bool wants_signature =
        rule->require == CONF_REQUIRE_SIGNED || rule->require == CONF_REQUIRE_BOTH;
    bool wants_encryption =
        rule->require == CONF_REQUIRE_ENCRYPTED || rule->require == CONF_REQUIRE_BOTH;

    *out = (struct policy_requirement){ .disposition = POLICY_MARK };
    if (!rule->smime)
        return;
    if (wants_encryption && !encrypted)
        *out = (struct policy_requirement){ requirement_disposition(rule), "encryption-required" };
    else if (wants_signature && verdict->result == POLICY_RESULT_TEMPERROR)
        *out = (struct policy_requirement){ POLICY_HOLD_BACK, "signature-required" };
    else if (wants_signature && verdict->result != POLICY_RESULT_PASS)
        *out = (struct policy_requirement){ requirement_disposition(rule), "signature-required" };
}

/* Without regard to ASCII case. */
static bool
requirement_holds(struct span text, struct span word)
{
    for (size_t i = 0; word.n > 0 && i + word.n <= text.n; i++) {
        size_t k = 0;

        while (k < word.n && (text.p[i + k] | 0x20) == (word.p[k] | 0x20))
            k++;
        if (k == word.n)
            return true;
    }
    return false;
}

bool
policy_requirement_concerns(const struct conf_rule *rule, struct span from)
{
    if (rule->require == CONF_REQUIRE_NONE || rule->direction == CONF_DIRECTION_OUT)
        return false;
    if (!rule->sender || !rule->sender[0])
        return true;
    for (size_t i = 0; rule->sender[i]; i++) {
        const char *at = strrchr(rule->sender[i], '@');
        const char *domain = at ? at + 1 : rule->sender[i];

        domain += strspn(domain, "*.");
        if (!*domain || requirement_holds(from, span_str(domain)))
            return true;
    }
    return false;
}
