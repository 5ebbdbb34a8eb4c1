#include "policy/kind.h"

#include <stdio.h>
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

char *
policy_kind_format(unsigned content, char out[POLICY_KIND_SIZE])
{
    size_t n = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (content & 1U << i)
            n += (size_t)snprintf(out + n, POLICY_KIND_SIZE - n, "%s%s", n > 0 ? ", " : "",
                                  words[i]);
    }
    if (n == 0)
        snprintf(out, POLICY_KIND_SIZE, "none of the kinds");
    return out;
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
    unsigned kind = kind_find(content);
    int setting = kind_setting(kind, rule);

    if (!rule->smime || setting == CONF_KIND_PROTECT)
        return false;
    /* Reports have the null sender (RFC 3464 2, RFC 8098 3); what has not is no bounce to lose. */
    if (kind == POLICY_CONTENT_REPORT && setting == CONF_KIND_UNSIGNED &&
        !(content & POLICY_CONTENT_NULL))
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
