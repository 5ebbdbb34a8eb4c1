#include "policy/choice.h"

void
policy_choice_add(struct policy_choice *choice, bool sign, bool encrypt, bool plain)
{
    choice->sign |= sign;
    choice->encrypt |= encrypt;
    choice->plain |= plain;
    choice->unclear |= choice->plain && choice->encrypt;
}

static bool
choice_separates(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',' || c == ';';
}

void
policy_choice_parse(struct span value, struct policy_choice *choice)
{
    for (size_t at = 0; at < value.n;) {
        size_t begin = at;

        while (at < value.n && !choice_separates(value.p[at]))
            at++;
        struct span word = span_of(value.p + begin, at - begin);
        bool sign = span_equal_nocase(word, "sign"), encrypt = span_equal_nocase(word, "encrypt");
        bool plain = span_equal_nocase(word, "plain");

        policy_choice_add(choice, sign, encrypt, plain);
        choice->unclear |= word.n > 0 && !sign && !encrypt && !plain;
        at += at < value.n;
    }
}

bool
policy_choice_is_made(const struct policy_choice *choice)
{
    return choice->sign || choice->encrypt || choice->plain || choice->unclear;
}

enum conf_sign
policy_choice_sign(const struct conf_rule *rule, const struct policy_choice *choice)
{
    bool may = rule->sender_may_change && !choice->unclear;

    switch (rule->sign) {
    case CONF_SIGN_NEVER:
        return CONF_SIGN_NEVER;
    case CONF_SIGN_DEFAULT_OFF:
        return may && choice->sign ? CONF_SIGN_ALWAYS : CONF_SIGN_NEVER;
    case CONF_SIGN_DEFAULT_ON:
        return may && choice->plain && !choice->sign ? CONF_SIGN_NEVER : CONF_SIGN_ALWAYS;
    default:
        return CONF_SIGN_ALWAYS;
    }
}

enum conf_encrypt
policy_choice_encrypt(const struct conf_rule *rule, const struct policy_choice *choice)
{
    bool may = rule->sender_may_change && !choice->unclear;
    bool encrypt = may && choice->encrypt, plain = may && choice->plain;

    switch (rule->encrypt) {
    case CONF_ENCRYPT_NEVER:
        return CONF_ENCRYPT_NEVER;
    case CONF_ENCRYPT_IF_POSSIBLE:
        return encrypt ? CONF_ENCRYPT_ALWAYS
               : plain ? CONF_ENCRYPT_NEVER
                       : CONF_ENCRYPT_IF_POSSIBLE;
    case CONF_ENCRYPT_DEFAULT_OFF:
        return encrypt ? CONF_ENCRYPT_ALWAYS : CONF_ENCRYPT_NEVER;
    case CONF_ENCRYPT_DEFAULT_ON:
        return plain ? CONF_ENCRYPT_NEVER : CONF_ENCRYPT_ALWAYS;
    default:
        return CONF_ENCRYPT_ALWAYS;
    }
}

const char *
policy_choice_forbidden(const struct conf_rule *rule, const struct policy_choice *choice)
{
    bool signs = rule->smime && policy_choice_sign(rule, choice) == CONF_SIGN_ALWAYS;
    enum conf_encrypt encrypts =
        rule->smime ? policy_choice_encrypt(rule, choice) : CONF_ENCRYPT_NEVER;

    if (choice->encrypt && encrypts != CONF_ENCRYPT_ALWAYS)
        return "encrypted";
    if (choice->sign && !signs)
        return "signed";
    if (choice->plain && encrypts != CONF_ENCRYPT_NEVER)
        return "plain";
    return NULL;
}
