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
static bool
rule_list_match(const conf_list patterns, const char *address)
{
    for (size_t i = 0; patterns[i] != NULL; i++) {
        if (strcmp(patterns[i], "*") == 0)
            return true;
        if (address[0] == '\0') {
            if (strcmp(patterns[i], "<>") == 0)
                return true;
        } else if (mime_address_match(patterns[i], address)) {
            return true;
        }
    }
    return false;
}

const char *
policy_rule_mismatch(const struct conf_rule *rule, enum conf_direction direction,
                     const char *sender, const char *recipient)
{
    if (rule->direction != CONF_DIRECTION_ANY && direction != CONF_DIRECTION_ANY &&
        rule->direction != (int)direction)
        return "direction";
    if (!rule_list_match(rule->sender, sender != NULL ? sender : ""))
        return "sender";
    if (!rule_list_match(rule->recipient, recipient != NULL ? recipient : ""))
        return "recipient";
    return NULL;
}

const struct conf_rule *
policy_rule_find(const struct conf *conf, enum conf_direction direction, const char *sender,
                 const char *recipient)
{
    for (size_t i = 0; i < conf->rule_count; i++) {
        if (policy_rule_mismatch(&conf->rules[i], direction, sender, recipient) == NULL)
            return &conf->rules[i];
    }
    return &builtin;
}

const struct conf_rule *
policy_rule_builtin(void)
{
    return &builtin;
}
