#include "policy/early.h"

#include <string.h>

#include "conf/scope.h"

static bool
early_names_sender(const struct conf_rule *rule)
{
    if (rule->sender_group[0] != NULL)
        return true;
    for (size_t i = 0; rule->sender[i] != NULL; i++) {
        if (strcmp(rule->sender[i], "*") == 0)
            return false;
    }
    return true;
}

bool
policy_early_decides(const struct conf *conf, const struct conf_rule *rule, bool certain)
{
    if (!certain || !rule->smime || rule->encrypt != CONF_ENCRYPT_ALWAYS ||
        rule->no_certificate != CONF_NO_CERTIFICATE_REFUSE || !rule->no_certificate_at_rcpt ||
        conf_scope_gives(conf))
        return false;
    for (size_t i = 0; i < conf->rule_count; i++) {
        if (conf->rules[i].direction != CONF_DIRECTION_IN && early_names_sender(&conf->rules[i]))
            return false;
    }
    return true;
}
