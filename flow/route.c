#include "flow/route.h"

#include <stdio.h>
#include <string.h>

#include "conf/scope.h"
#include "flow/state.h"
#include "mime/address.h"
#include "policy/rule.h"

enum {
    /* Separators in one local part: every one of them is looked at with every rule. */
    ROUTE_LIMIT_SEPARATORS = 8,
    ROUTE_SIZE = FLOW_LIMIT_ADDRESS + 2
};

static const char separators[] = "%!@";

/* The local part without its quotes; all of it where there is no '@'. */
static void
route_load_local(const char *address, char out[ROUTE_SIZE])
{
    const char *at = strrchr(address, '@');
    size_t n = at ? (size_t)(at - address) : strlen(address), used = 0, i;

    for (i = 0; i < n && used + 1 < ROUTE_SIZE; i++) {
        if (address[i] == '"' || (address[i] == '\\' && i + 1 < n && ++i == n))
            continue;
        out[used++] = address[i];
    }
    out[used] = 0;
}

/* What stands on both sides of the separator at `at`, as "user@domain". */
static void
route_format(const char *local, size_t at, char out[ROUTE_SIZE])
{
    const char *user = local, *domain = local + at + 1;
    size_t user_n = at, domain_n = strcspn(domain, separators);

    if (local[at] == '!') {
        for (domain = local + at; domain > local && !strchr(separators, domain[-1]); domain--)
            continue;
        domain_n = (size_t)(local + at - domain);
        user = local + at + 1;
        user_n = strlen(user);
    }
    snprintf(out, ROUTE_SIZE, "%.*s@%.*s", (int)user_n, user, (int)domain_n, domain);
}

/* Does anything hang on who the recipient is? */
static bool
route_matters(const struct conf *conf)
{
    if (conf_scope_must(conf))
        return true;
    for (size_t i = 0; i < conf->rule_count; i++) {
        const conf_list patterns = conf->rules[i].recipient;
        bool any = false;

        for (size_t k = 0; patterns[k]; k++)
            any |= strcmp(patterns[k], "*") == 0;
        if (!any && conf->rules[i].direction != CONF_DIRECTION_IN)
            return true;
    }
    return false;
}

/* MTAs read more than RFC 5321 writes: source routes, comments, blanks, a display name, a name
 * whose domain they know. Which address that becomes is theirs to say, and no rule of ours sees it.
 */
static enum err_code
route_check_syntax(const struct flow_message *message, const struct flow_recipient *recipient,
                   struct err *err)
{
    if (recipient->valid || !route_matters(message->conf))
        return ERR_OK;
    return err_set_reason(err, ERR_PERM, "recipient-syntax",
                          "%.200s is no address of the form user@domain that rules could be found "
                          "for; write it so",
                          recipient->address);
}

/* Does the rule of `recipient` hold for every address that may be read out of this one? */
static enum err_code
route_check_one(const struct flow_message *message, const struct flow_recipient *recipient,
                struct err *err)
{
    char local[ROUTE_SIZE], other[ROUTE_SIZE];
    const struct conf_rule *rule = recipient->rule;
    size_t count = 0, at;

    if (route_check_syntax(message, recipient, err) != ERR_OK)
        return err->code;
    route_load_local(recipient->address, local);
    for (at = strcspn(local, separators); local[at] && rule == recipient->rule;
         at += 1 + strcspn(local + at + 1, separators)) {
        if (++count > ROUTE_LIMIT_SEPARATORS)
            break;
        route_format(local, at, other);
        if (flow_rules_find(message, other, &rule, NULL, err) != ERR_OK)
            return err->code;
    }
    if (rule == recipient->rule && count <= ROUTE_LIMIT_SEPARATORS)
        return ERR_OK;
    return err_set_reason(err, ERR_PERM, "routed-recipient",
                          "%.200s may be read as another address, for which another rule holds; "
                          "write to that address itself",
                          recipient->address);
}

enum err_code
flow_route_check(const struct flow_message *message, struct err *err)
{
    enum err_code code = ERR_OK;
    size_t i;

    for (i = 0; code == ERR_OK && message->direction == CONF_DIRECTION_OUT && i < message->count;
         i++)
        code = route_check_one(message, &message->recipients[i], err);
    return code;
}
