#include "flow/beside.h"

#include <stdlib.h>
#include <string.h>

#include "flow/facts.h"

const struct flow_beside *
flow_beside_find(const struct flow_beside *list, size_t count, const char *address)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].address, address) == 0)
            return &list[i];
    }
    return NULL;
}

enum err_code
flow_beside_add(struct flow_beside **list, size_t *count, const char *address, struct err *err)
{
    struct flow_beside *grown;

    if (flow_beside_find(*list, *count, address))
        return ERR_OK;
    if (*count == FLOW_LIMIT_ESCROW)
        return err_set(err, ERR_LIMIT, "the rules name more than %d additional addresses",
                       FLOW_LIMIT_ESCROW);
    grown = realloc(*list, (*count + 1) * sizeof(*grown));
    if (!grown)
        return err_set(err, ERR_NOMEM, "memory for additional recipients");
    *list = grown;
    grown[(*count)++] = (struct flow_beside){ .address = address, .known = POLICY_UNKNOWN };
    return ERR_OK;
}

/* Of additional recipients, a certain "no" weighs less than a question that is still open. */
void
flow_beside_load(struct flow_facts *facts)
{
    for (size_t i = 0; i < facts->policy.count; i++) {
        struct policy_recipient *recipient = &facts->recipients[i];
        const struct conf_rule *rule = recipient->rule;
        const struct flow_beside *beside =
            flow_beside_find(facts->domains, facts->domain_count, rule->sign_as);

        recipient->domain_signing = beside ? beside->known : POLICY_UNKNOWN;
        recipient->escrow = POLICY_YES;
        for (size_t k = 0; rule->encrypt_also[k]; k++) {
            beside = flow_beside_find(facts->escrow, facts->escrow_count, rule->encrypt_also[k]);
            if (!beside || beside->known == POLICY_YES || recipient->escrow == POLICY_UNKNOWN)
                continue;
            if (recipient->escrow == POLICY_YES || beside->known == POLICY_UNKNOWN)
                recipient->escrow_text = beside->text;
            recipient->escrow = beside->known;
        }
    }
}
