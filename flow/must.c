#include "flow/must.h"

#include "conf/scope.h"
#include "flow/state.h"

/* Would mail to him leave encrypted or not at all, whoever is behind the address? */
static bool
must_already(const struct flow_message *message, const struct conf_rule *rule)
{
    return rule->smime && policy_choice_encrypt(rule, &message->choice) == CONF_ENCRYPT_ALWAYS &&
           (rule->no_certificate == CONF_NO_CERTIFICATE_REFUSE ||
            rule->no_certificate == CONF_NO_CERTIFICATE_RETURN);
}

static bool
must_asks(const struct flow_message *message, const struct flow_recipient *recipient,
          const struct conf_rule *rule)
{
    return message->direction == CONF_DIRECTION_OUT && conf_scope_must(message->conf) &&
           directory_lookup_directory_count(message->services->lookup) > 0 && recipient->valid &&
           recipient->address[0] && !recipient->must && !must_already(message, rule);
}

bool
flow_must_is_open(const struct flow_message *message)
{
    for (size_t i = 0; i < message->count; i++) {
        if (must_asks(message, &message->recipients[i], message->recipients[i].rule))
            return true;
    }
    return false;
}

enum err_code
flow_must_start(const struct flow_message *message, struct flow_recipient *recipient,
                const struct conf_rule *rule, struct err *err)
{
    if (recipient->inside_ticket || !must_asks(message, recipient, rule))
        return ERR_OK;
    return flow_resolve_start(message->services,
                              &(struct flow_finding_question){
                                  .address = recipient->address, .trust = "", .members = true },
                              &recipient->inside_ticket, err);
}

/* Nobody can say who gets mail to such a group. */
static bool
must_be_anybody(const struct flow_message *message, const struct flow_finding *inside)
{
    bool skips = message->conf->global.group_unknown_member == CONF_UNKNOWN_MEMBER_SKIP;
    enum err_code code = inside->group_err.code;

    if (code == ERR_NOTFOUND)
        return false;
    return code != ERR_OK || (inside->group->unknown > 0 && !skips);
}

static enum err_code
must_wait(const struct flow_message *message, struct flow_recipient *recipient, int64_t deadline_ms,
          struct err *err)
{
    const struct flow_finding *inside = NULL;
    struct err mine = ERR_INIT;
    enum err_code code = flow_resolve_wait(recipient->inside_ticket, deadline_ms, &inside, &mine);

    if (code == ERR_OK && inside->group_err.code == ERR_TEMP && !inside->must) {
        code = ERR_TEMP;
        mine = inside->group_err;
    }
    if (code == ERR_TEMP)
        return err_set_reason(err, ERR_TEMP, mine.reason,
                              "whether mail to %.200s must be encrypted cannot be told: %.190s; "
                              "try again later",
                              recipient->address, mine.text);
    if (code != ERR_OK)
        return err_set_reason(err, code, mine.reason, "%s", mine.text);
    recipient->inside = inside;
    /* Members in the place of their group answer for themselves. */
    if (inside->group && inside->group_err.code == ERR_OK && recipient->rule->smime &&
        recipient->rule->groups == CONF_GROUPS_REPLACE)
        return ERR_OK;
    recipient->must = inside->must || must_be_anybody(message, inside);
    return ERR_OK;
}

enum err_code
flow_must_load(struct flow_message *message, int64_t deadline_ms, struct err *err)
{
    bool found = false;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < message->count; i++)
        code = flow_must_start(message, &message->recipients[i], message->recipients[i].rule, err);
    for (size_t i = 0; code == ERR_OK && i < message->count; i++) {
        struct flow_recipient *recipient = &message->recipients[i];

        if (!must_asks(message, recipient, recipient->rule))
            continue;
        code = must_wait(message, recipient, deadline_ms, err);
        found |= recipient->must;
    }
    return code == ERR_OK && found ? flow_rules_find_all(message, err) : code;
}
