#include "policy/rule.h"

#include <string.h>

#include "mime/address.h"

/* An empty list of the type the configuration uses; nobody writes through it. */
static char *const empty_list[] = { NULL };
static char *const any_list[] = { (char *)"*", NULL };

/* The defaults of conf/params.def, but sign = never: a fresh installation signs nothing that
 * nobody asked it to sign. A unit test compares it with what the parser makes of an empty rule. */
static const struct conf_rule builtin = {
    .name = (char *)"built-in",
    .direction = CONF_DIRECTION_ANY,
    .sender = (conf_list)any_list,
    .recipient = (conf_list)any_list,
    .smime = true,
    .sign = CONF_SIGN_NEVER,
    .encrypt = CONF_ENCRYPT_NEVER,
    .sender_may_change = true,
    .forbidden_choice = CONF_FORBIDDEN_REFUSE,
    .sign_format = CONF_SIGN_CLEAR,
    .no_signing_certificate = CONF_NO_SIGNING_REFUSE,
    .sign_as = (char *)"",
    .encrypt_also = (conf_list)empty_list,
    .digest = 0,
    .rsa_signature = 0,
    .cipher = 1, /* aes256-cbc: what GnuPG 2.2 and NSS can read */
    .key_transport = 0,
    .algorithms = CONF_ALGORITHMS_LEARNT,
    .cipher_floor = 0,
    .no_certificate = CONF_NO_CERTIFICATE_REFUSE,
    .pgp_is_encrypted = false,
    .trust = (char *)"default",
    .on_fail = CONF_ON_MARK,
    .on_policy = CONF_ON_MARK,
    .on_permerror = CONF_ON_MARK,
    .on_neutral = CONF_ON_MARK,
    .on_none = CONF_ON_MARK,
    .on_temperror = CONF_ON_MARK,
};

/* `address` "" is the null path: only "*" and "<>" match it, so that a rule for a domain never
 * decides about bounces. */
static enum err_code
rule_list_match(const conf_list patterns, const char *address)
{
    struct err ignored = ERR_INIT;

    for (size_t i = 0; patterns[i] != NULL; i++) {
        if (strcmp(patterns[i], "*") == 0)
            return ERR_OK;
        if (address[0] == '\0') {
            if (strcmp(patterns[i], "<>") == 0)
                return ERR_OK;
            continue;
        }
        enum err_code code = mime_address_match(patterns[i], address, &ignored);
        if (code != ERR_NOTFOUND)
            return code;
    }
    return ERR_NOTFOUND;
}

const char policy_rule_unknown[] = "unknown";

static bool
rule_lists(const conf_list patterns, const char *word)
{
    for (size_t i = 0; patterns[i] != NULL; i++) {
        if (strcmp(patterns[i], word) == 0)
            return true;
    }
    return false;
}

/* Does it ask who the sender is? */
static bool
rule_asks_sender(const struct conf_rule *rule)
{
    return !rule_lists(rule->sender, "*");
}

static bool
rule_encrypts(const struct conf_rule *rule)
{
    return rule->smime && rule->encrypt == CONF_ENCRYPT_ALWAYS;
}

const char *
policy_rule_mismatch(const struct conf_rule *rule, const struct policy_rule_question *question)
{
    const char *sender = question->sender != NULL ? question->sender : "";
    const char *recipient = question->recipient != NULL ? question->recipient : "";
    enum err_code code = ERR_OK;

    if (rule->direction != CONF_DIRECTION_ANY && question->direction != CONF_DIRECTION_ANY &&
        rule->direction != (int)question->direction)
        return "direction";
    if (!question->unvouched || !(rule_encrypts(rule) || rule_lists(rule->sender, "<>")))
        code = rule_list_match(rule->sender, sender);
    if (code != ERR_OK)
        return code == ERR_NOTFOUND ? "sender" : policy_rule_unknown;
    code = rule_list_match(rule->recipient, recipient);
    if (code != ERR_OK)
        return code == ERR_NOTFOUND ? "recipient" : policy_rule_unknown;
    return NULL;
}

const struct conf_rule *
policy_rule_find(const struct conf *conf, const struct policy_rule_question *question)
{
    const struct conf_rule *claimed = NULL; /* it matches because of what From claims */

    for (size_t i = 0; i < conf->rule_count; i++) {
        const struct conf_rule *rule = &conf->rules[i];
        const char *why = policy_rule_mismatch(rule, question);

        if (why == policy_rule_unknown)
            return NULL;
        if (why != NULL)
            continue;
        if (!question->unvouched || rule_encrypts(rule))
            return rule;
        if (!rule_asks_sender(rule) || rule_lists(rule->sender, "<>"))
            return claimed != NULL ? claimed : rule;
        if (claimed == NULL)
            claimed = rule;
    }
    return claimed != NULL ? claimed : &builtin;
}

const struct conf_rule *
policy_rule_builtin(void)
{
    return &builtin;
}

bool
policy_rule_asks_sender(const struct conf *conf)
{
    for (size_t i = 0; i < conf->rule_count; i++) {
        const struct conf_rule *rule = &conf->rules[i];
        bool protects = rule->sign != CONF_SIGN_NEVER || rule->encrypt != CONF_ENCRYPT_NEVER;

        if (rule->direction != CONF_DIRECTION_IN && rule->smime && protects &&
            rule_asks_sender(rule))
            return true;
    }
    return false;
}
