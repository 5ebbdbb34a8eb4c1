#include "policy/kind.h"

#include <string.h>

static const char *const words[] = { "calendar", "tnef",   "signed", "encrypted",
                                     "pgp",      "report", "list",   "automatic" };

unsigned
policy_kind_content(const char *word)
{
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], word) == 0)
            return 1U << i;
    }
    return 0;
}

/* In the order in which they decide: what a message carries before how it was sent. */
static const unsigned kinds[] = { POLICY_CONTENT_CALENDAR, POLICY_CONTENT_TNEF,
                                  POLICY_CONTENT_REPORT, POLICY_CONTENT_LIST,
                                  POLICY_CONTENT_AUTOMATIC };

static unsigned
kind_find(unsigned content)
{
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (content & kinds[i])
            return kinds[i];
    }
    return 0;
}

const char *
policy_kind_name(unsigned content)
{
    unsigned kind = kind_find(content);

    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (kind == 1U << i)
            return words[i];
    }
    return NULL;
}

static int
kind_setting(unsigned kind, const struct conf_rule *rule)
{
    switch (kind) {
    case POLICY_CONTENT_CALENDAR:
        return rule->calendar;
    case POLICY_CONTENT_TNEF:
        return rule->tnef;
    case POLICY_CONTENT_REPORT:
        return rule->report;
    case POLICY_CONTENT_LIST:
        return rule->list;
    case POLICY_CONTENT_AUTOMATIC:
        return rule->automatic;
    default:
        return CONF_KIND_PROTECT;
    }
}

bool
policy_kind_apply(unsigned content, const struct policy_choice *choice, struct conf_rule *rule)
{
    static const struct policy_choice none = { .sign = false };
    const struct policy_choice *made = choice ? choice : &none;
    int setting = kind_setting(kind_find(content), rule);

    if (!rule->smime || setting == CONF_KIND_PROTECT)
        return false;
    /* A bounce is not lost for want of a key; what it says about encryption holds. */
    if (setting == CONF_KIND_UNSIGNED) {
        bool strict = rule->no_signing_certificate == CONF_NO_SIGNING_REFUSE;

        if (strict)
            rule->no_signing_certificate = CONF_NO_SIGNING_UNSIGNED;
        return strict;
    }
    if (policy_choice_encrypt(rule, made) == CONF_ENCRYPT_ALWAYS)
        return false;
    rule->encrypt = CONF_ENCRYPT_NEVER;
    /* A signature that the sender asked for is not taken away either. */
    if (setting == CONF_KIND_PASS &&
        !(made->sign && policy_choice_sign(rule, made) == CONF_SIGN_ALWAYS))
        rule->sign = CONF_SIGN_NEVER;
    return true;
}
