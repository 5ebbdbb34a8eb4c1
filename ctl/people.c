#include "ctl/people.h"

#include "flow/names.h"
#include "policy/rule.h"
#include "util/clock.h"

enum err_code
ctl_people_find(struct flow_services *services, const char *address, enum pki_use use,
                const char *trust, struct directory_lookup_result *result, struct err *err)
{
    const struct conf_global *global = &services->conf->global;
    struct pki_fetch_budget budget;
    const struct directory_lookup_question question = {
        .address = address,
        .trust = flow_services_trust(services, trust),
        .revocation = flow_names_revocation(global, CONF_DIRECTION_OUT),
        .evidence = services->evidence,
        .budget = &budget,
        .policy = &services->leaf_policy,
        .now = clock_now_s(),
        .deadline_ms = clock_monotonic_ms() + CTL_PEOPLE_TIMEOUT_MS,
    };

    flow_names_budget_init(&budget, global);
    /* Without a trust set the lookup would ask for no path at all: here that is a wrong
     * configuration. */
    if (!question.trust) {
        *result = (struct directory_lookup_result){ .list = NULL };
        return err_set(err, ERR_PERM, "there is no trust \"%s\" to judge certificates with", trust);
    }
    if (use == PKI_USE_SIGN)
        return directory_lookup_key(services->lookup, &question, result, err);
    return directory_lookup_certificate(services->lookup, &question, result, err);
}

enum err_code
ctl_people_find_rule(const struct flow_services *services, const char *sender,
                     const char *recipient, struct conf_rule *out, struct err *err)
{
    const struct policy_rule_question question = { .direction = CONF_DIRECTION_OUT,
                                                   .sender = sender,
                                                   .recipient = recipient };
    struct policy_rule_answer answer;
    struct policy_rule_settings settings = {
        .sender = sender,
        .must_encrypt = policy_rule_must_encrypt(services->conf, recipient),
    };

    if (policy_rule_find(services->conf, &question, &answer) != ERR_OK)
        return err_set(err, ERR_NOMEM, "no memory to find the rule");
    settings.rule = answer.rule;
    (void)policy_rule_merge(services->conf, &settings, out);
    return ERR_OK;
}

const char *
ctl_people_own_trust(const struct flow_services *services, const struct conf_rule *rule)
{
    return flow_services_trust(services, "default") ? "default" : rule->trust;
}
