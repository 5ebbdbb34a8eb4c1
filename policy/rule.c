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
    .sign_format = CONF_SIGN_CLEAR,
    .no_signing_certificate = CONF_NO_SIGNING_REFUSE,
    .sign_as = (char *)"",
    .encrypt_also = (conf_list)empty_list,
    .digest = 0,
    .rsa_signature = 0,
    .cipher = 1, /* aes256-cbc: what GnuPG 2.2 and NSS can read */
    .key_transport = 0,
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

const char *
policy_rule_mismatch(const struct conf_rule *rule, enum conf_direction direction,
                     const char *sender, const char *recipient)
{
    if (rule->direction != CONF_DIRECTION_ANY && direction != CONF_DIRECTION_ANY &&
        rule->direction != (int)direction)
        return "direction";
    enum err_code code = rule_list_match(rule->sender, sender != NULL ? sender : "");
    if (code != ERR_OK)
        return code == ERR_NOTFOUND ? "sender" : policy_rule_unknown;
    code = rule_list_match(rule->recipient, recipient != NULL ? recipient : "");
    if (code != ERR_OK)
        return code == ERR_NOTFOUND ? "recipient" : policy_rule_unknown;
    return NULL;
}

const struct conf_rule *
policy_rule_find(const struct conf *conf, enum conf_direction direction, const char *sender,
                 const char *recipient)
{
    for (size_t i = 0; i < conf->rule_count; i++) {
        const char *why = policy_rule_mismatch(&conf->rules[i], direction, sender, recipient);
        if (why == policy_rule_unknown)
            return NULL;
        if (why == NULL)
            return &conf->rules[i];
    }
    return &builtin;
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
        bool any = false;

        if (rule->direction == CONF_DIRECTION_IN || !rule->smime || !protects)
            continue;
        for (size_t k = 0; rule->sender[k] != NULL; k++)
            any = any || strcmp(rule->sender[k], "*") == 0;
        if (!any)
            return true;
    }
    return false;
}
