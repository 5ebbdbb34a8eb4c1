#include "flow/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/must.h"
#include "flow/names.h"
#include "flow/people.h"
#include "flow/state.h"
#include "policy/rule.h"
#include "smime/encrypt.h"
#include "util/clock.h"

/* ---- before anybody is asked -------------------------------------------------------------------
 */

static void
facts_fill_policy(const struct flow_message *message, struct flow_facts *facts)
{
    facts->policy.conf = message->conf;
    facts->policy.from = message->from.address[0] ? message->from.address : NULL;
    facts->policy.envelope_sender = message->sender;
    facts->policy.choice = message->choice;
    /* What is switched off cannot be chosen; encryption can. */
    if (message->bypass)
        facts->policy.choice.sign = false;
    facts->policy.identity = POLICY_IDENTITY_OK;
    facts->policy.signing = POLICY_UNKNOWN;
    facts->policy.signing_reason = "not-asked";
}

void
flow_facts_free(struct flow_facts *facts)
{
    for (size_t i = 0; i < facts->ticket_count; i++)
        flow_resolve_free_ticket(&facts->tickets[i]);
    free(facts->tickets);
    free(facts->escrow);
    free(facts->domains);
    free(facts->recipients);
    free(facts->people);
    *facts = (struct flow_facts){ 0 };
}

/* ---- questions ---------------------------------------------------------------------------------
 */

/* The trust set for our own certificates: see flow/facts.h. */
static const char *
facts_find_own_trust(const struct flow_message *message, const struct conf_rule *rule)
{
    return flow_services_trust(message->services, "default") || !rule ? "default" : rule->trust;
}

/* One more ticket for the message; one that asks the same is used again. */
static enum err_code
facts_ask(struct flow_message *message, struct flow_facts *facts,
          const struct flow_finding_question *question, struct flow_resolve_ticket **out,
          struct err *err)
{
    enum err_code code;

    for (size_t i = 0; i < facts->ticket_count && i < 2 * FLOW_LIMIT_ESCROW; i++) {
        if (flow_resolve_is(facts->tickets[i], question)) {
            *out = facts->tickets[i];
            return ERR_OK;
        }
    }
    if (facts->ticket_count == facts->ticket_cap) {
        size_t cap = facts->ticket_cap ? 2 * facts->ticket_cap : 8;
        struct flow_resolve_ticket **grown = realloc(facts->tickets, cap * sizeof(*grown));

        if (!grown)
            return err_set(err, ERR_NOMEM, "memory for the facts about a message");
        facts->tickets = grown;
        facts->ticket_cap = cap;
    }
    code =
        flow_resolve_start(message->services, question, &facts->tickets[facts->ticket_count], err);
    if (code != ERR_OK)
        return code;
    *out = facts->tickets[facts->ticket_count++];
    return ERR_OK;
}

/* *out stays NULL when it is not there in time: a fact like others. */
static enum err_code
facts_wait(const struct flow_facts *facts, struct flow_resolve_ticket *ticket,
           const struct flow_finding **out, struct err *err)
{
    struct err mine = ERR_INIT;
    enum err_code code = flow_resolve_wait(ticket, facts->deadline_ms, out, &mine);

    if (code == ERR_OK || code == ERR_TEMP)
        return ERR_OK;
    return err_set_reason(err, code, mine.reason, "%s", mine.text);
}

static const char facts_late[] = "finding out took too long";

static enum err_code
facts_ask_and_wait(struct flow_message *message, struct flow_facts *facts,
                   const struct flow_finding_question *question, const struct flow_finding **out,
                   struct err *err)
{
    struct flow_resolve_ticket *ticket = NULL;
    enum err_code code = facts_ask(message, facts, question, &ticket, err);

    return code == ERR_OK ? facts_wait(facts, ticket, out, err) : code;
}

static struct flow_finding_question
facts_key_question(const struct flow_message *message, const struct flow_facts *facts)
{
    return (struct flow_finding_question){
        .address = facts->policy.from,
        .trust = facts_find_own_trust(message, policy_outbound_sign_rule(&facts->policy)),
        .key = true,
    };
}

static struct flow_finding_question
facts_self_question(const struct flow_message *message, const struct flow_facts *facts)
{
    const struct conf_rule *rule = policy_outbound_encrypt_rule(&facts->policy);

    if (!rule)
        rule = policy_outbound_sign_rule(&facts->policy);
    return (struct flow_finding_question){
        .address = facts->policy.from,
        .trust = facts_find_own_trust(message, rule),
        .sender = facts->policy.from,
    };
}

/* ---- who is the sender -------------------------------------------------------------------------
 */

/* Other rules may hold (another sender, more is known of the message), and other additional
 * recipients. What was asked under the old ones is asked again where it differs. */
static enum err_code
facts_reset_rules(struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    enum err_code code;

    free(facts->escrow);
    facts->escrow = NULL;
    facts->escrow_count = 0;
    facts->policy.envelope_sender = message->sender;
    code =
        facts->policy.already_encrypted ? ERR_OK : flow_must_load(message, facts->deadline_ms, err);
    if (code == ERR_OK)
        code = flow_people_load(message, facts, err);
    if (code == ERR_OK)
        policy_outbound_needs(&facts->policy, &facts->needs);
    return code;
}

static enum err_code
facts_load_identity(struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    const struct policy_sender_answer *answer = &message->identity.answer;
    enum err_code code = flow_identity_load(message, facts->deadline_ms, err);

    if (code == ERR_OK)
        code = flow_identity_write(message, err);
    if (code == ERR_OK && message->identity.was[0])
        code = facts_reset_rules(message, facts, err);
    facts->policy.identity = answer->identity;
    facts->policy.identity_reason = answer->reason;
    facts->policy.identity_text = answer->text;
    return code;
}

/* ---- which key signs ---------------------------------------------------------------------------
 */

/* The certificate of every sign_as that may have to sign in the sender's place. */
static enum err_code
facts_load_domains(struct flow_message *message, struct flow_facts *facts,
                   struct flow_finding_question *question, struct err *err)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < facts->policy.count; i++) {
        const struct conf_rule *rule = facts->recipients[i].rule;
        size_t known = facts->domain_count;

        if (!rule->smime || rule->no_signing_certificate != CONF_NO_SIGNING_DOMAIN ||
            !rule->sign_as[0])
            continue;
        code = flow_beside_add(&facts->domains, &facts->domain_count, rule->sign_as, err);
        if (code != ERR_OK || known == facts->domain_count)
            continue;
        question->address = rule->sign_as;
        code = facts_ask_and_wait(message, facts, question, &facts->domains[known].finding, err);
        facts->domains[known].known =
            facts->domains[known].finding ? facts->domains[known].finding->known : POLICY_UNKNOWN;
    }
    return code;
}

static enum err_code
facts_load_signing(struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    struct flow_finding_question question = facts_key_question(message, facts);
    enum err_code code;

    if (!facts->policy.from) {
        facts->policy.signing = POLICY_NO;
        facts->policy.signing_reason = message->from.fields == 0 ? "from-missing" : "from-syntax";
        facts->policy.signing_text = "From does not name exactly one address";
    } else {
        code = facts_ask_and_wait(message, facts, &question, &facts->signing, err);
        if (code != ERR_OK)
            return code;
        facts->policy.signing = facts->signing ? facts->signing->known : POLICY_UNKNOWN;
        facts->policy.signing_reason = facts->signing ? facts->signing->reason : "deadline";
        facts->policy.signing_text =
            facts->signing ? facts->signing->lookup.answer.text : facts_late;
        facts->signer = flow_identity_get_signer(
            message, facts->signing, &facts->policy.signing_reason, &facts->policy.signing_text);
        if (facts->policy.signing == POLICY_YES && !facts->signer)
            facts->policy.signing = POLICY_NO;
    }
    if (facts->policy.signing != POLICY_NO)
        return ERR_OK;
    return facts_load_domains(message, facts, &question, err);
}

/* ---- to whom it is encrypted -------------------------------------------------------------------
 */

static struct flow_finding_question
facts_recipient_question(const struct flow_message *message, const struct flow_recipient *recipient,
                         const struct conf_rule *rule)
{
    return (struct flow_finding_question){
        .address = recipient->address,
        .trust = rule->trust,
        .sender = flow_state_sender(message),
        .expand = rule->smime && rule->groups == CONF_GROUPS_REPLACE,
    };
}

/* May mail to him have to be encrypted? */
static bool
facts_encrypts(const struct conf_rule *rule, const struct policy_choice *choice)
{
    return rule->smime && policy_choice_encrypt(rule, choice) != CONF_ENCRYPT_NEVER;
}

/* Is there something to find out about him? */
static bool
facts_asks(const struct flow_recipient *recipient, const struct conf_rule *rule,
           const struct policy_choice *choice, bool certificates)
{
    return recipient->valid && recipient->address[0] && rule->smime &&
           ((certificates && facts_encrypts(rule, choice)) || rule->groups == CONF_GROUPS_REPLACE);
}

static enum err_code
facts_start_recipient(struct flow_message *message, struct flow_recipient *recipient,
                      const struct conf_rule *rule, struct err *err)
{
    struct flow_finding_question question = facts_recipient_question(message, recipient, rule);

    if (recipient->ticket && flow_resolve_is(recipient->ticket, &question))
        return ERR_OK;
    flow_resolve_free_ticket(&recipient->ticket);
    return flow_resolve_start(message->services, &question, &recipient->ticket, err);
}

/* That the queue is full is known at the end, if it still is. */
static enum err_code
facts_forgive_busy(enum err_code code, struct err *err)
{
    if (code != ERR_LIMIT)
        return code;
    err_reset(err);
    return ERR_OK;
}

enum err_code
flow_facts_start(struct flow_message *message, size_t index, struct err *err)
{
    struct flow_recipient *recipient = &message->recipients[index];
    const struct conf_rule *rule;

    if (message->direction != CONF_DIRECTION_OUT)
        return ERR_OK;
    if (flow_rules_find(message, recipient->address, &rule, NULL, err) != ERR_OK ||
        facts_forgive_busy(flow_must_start(message, recipient, rule, err), err) != ERR_OK)
        return err->code;
    /* The sender's choice is not known yet. */
    if (!facts_asks(recipient, rule, &(struct policy_choice){ .sign = false }, true))
        return ERR_OK;
    return facts_forgive_busy(facts_start_recipient(message, recipient, rule, err), err);
}

/* The members of a group, each judged by the trust set of the rule that would hold for him: where
 * the finding used another one (the sender was not known yet, another message asked), he is asked
 * for again. */
static enum err_code
facts_load_members(struct flow_message *message, struct flow_facts *facts,
                   struct flow_recipient *recipient, struct err *err)
{
    const struct flow_finding *group = recipient->finding;
    size_t first = facts->ticket_count, late = 0;
    enum err_code code = ERR_OK;

    free(recipient->members);
    recipient->members = calloc(group->member_count + 1, sizeof(*recipient->members));
    if (!recipient->members)
        return err_set(err, ERR_NOMEM, "memory for the members of a group");
    for (size_t i = 0; code == ERR_OK && i < group->member_count; i++) {
        const struct flow_finding_member *member = &group->members[i];
        const struct conf_rule *rule = recipient->rule;
        struct flow_resolve_ticket *ticket = NULL;

        recipient->members[i] = member->finding;
        if (message->conf->trust_count <= 1)
            continue;
        if (flow_rules_find(message, member->address, &rule, NULL, err) != ERR_OK)
            return err->code;
        if (strcmp(rule->trust, member->trust) == 0)
            continue;
        recipient->members[i] = NULL;
        code = facts_ask(message, facts,
                         &(struct flow_finding_question){ .address = member->address,
                                                          .trust = rule->trust,
                                                          .sender = flow_state_sender(message) },
                         &ticket, err);
        late++;
    }
    /* All are under way: now wait for them, in the same order. */
    for (size_t i = 0; code == ERR_OK && late > 0 && i < group->member_count; i++) {
        if (recipient->members[i])
            continue;
        code = facts_wait(facts, facts->tickets[first++], &recipient->members[i], err);
    }
    return code;
}

static enum err_code
facts_load_recipient(struct flow_message *message, struct flow_facts *facts,
                     struct flow_recipient *recipient, struct err *err)
{
    enum err_code code;

    if (!recipient->valid || !recipient->address[0]) {
        recipient->known = POLICY_NO;
        recipient->reason = "no-certificate";
        free(recipient->text);
        recipient->text = strdup("not an address that a certificate could name");
        return recipient->text ? ERR_OK : err_set(err, ERR_NOMEM, "memory for a recipient");
    }
    code = facts_wait(facts, recipient->ticket, &recipient->finding, err);
    if (code != ERR_OK || recipient->finding == NULL) {
        recipient->reason = "deadline";
        return code;
    }
    if (recipient->finding->group && recipient->finding->group_err.code == ERR_OK)
        code = facts_load_members(message, facts, recipient, err);
    return code;
}

static enum err_code
facts_find_escrow(const struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < facts->policy.count; i++) {
        const struct conf_rule *rule = facts->recipients[i].rule;

        if (!facts_encrypts(rule, &message->choice) ||
            (i > 0 && rule == facts->recipients[i - 1].rule))
            continue;
        for (size_t k = 0; code == ERR_OK && rule->encrypt_also[k]; k++)
            code =
                flow_beside_add(&facts->escrow, &facts->escrow_count, rule->encrypt_also[k], err);
    }
    return code;
}

/* One additional recipient: his ticket, NULL where his address is none. */
static enum err_code
facts_ask_escrow(struct flow_message *message, struct flow_facts *facts, size_t index,
                 struct flow_resolve_ticket **out, struct err *err)
{
    const struct conf_rule *rule = policy_outbound_encrypt_rule(&facts->policy);
    char formatted[MIME_ADDRESS_SIZE];
    struct err found = ERR_INIT;
    enum err_code code =
        mime_address_format(span_str(facts->escrow[index].address), formatted, &found);

    *out = NULL;
    if (code == ERR_PERM || code == ERR_LIMIT)
        return ERR_OK;
    if (code != ERR_OK)
        return err_set(err, code, "%s", found.text);
    return facts_ask(message, facts,
                     &(struct flow_finding_question){ .address = formatted,
                                                      .trust = facts_find_own_trust(message, rule),
                                                      .sender = facts->policy.from },
                     out, err);
}

static enum err_code
facts_load_escrow(struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    enum err_code code = facts_find_escrow(message, facts, err);

    for (size_t i = 0; code == ERR_OK && i < facts->escrow_count; i++) {
        struct flow_beside *beside = &facts->escrow[i];
        struct flow_resolve_ticket *ticket = NULL;
        const char *text = "not an address that a certificate could name";

        beside->known = POLICY_NO;
        code = facts_ask_escrow(message, facts, i, &ticket, err);
        if (code == ERR_OK && ticket) {
            code = facts_wait(facts, ticket, &beside->finding, err);
            beside->known = beside->finding ? beside->finding->known : POLICY_UNKNOWN;
            text = beside->finding ? beside->finding->lookup.answer.text : facts_late;
        }
        snprintf(beside->text, sizeof(beside->text), "%.100s: %.180s", beside->address, text);
    }
    return code;
}

/* The sender's own encryption certificate: a signature tells it to those who answer
 * (encryptionKeyPreference, RFC 8551 2.5.3), and an encrypted message is encrypted to it, so that
 * who wrote it can read it (3.3). Having none is no reason to keep the message back (the outcome
 * line says so); not knowing is one for encryption, since the next attempt may know. */
static enum err_code
facts_load_self(struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    struct flow_finding_question question = facts_self_question(message, facts);

    if (!facts->policy.from)
        return ERR_OK;
    facts->self_asked = true;
    return facts_ask_and_wait(message, facts, &question, &facts->self, err);
}

enum policy_known
flow_facts_self(const struct flow_facts *facts)
{
    if (!facts->self_asked)
        return POLICY_NO;
    return facts->self ? facts->self->known : POLICY_UNKNOWN;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

/* What rules and envelope say is needed is asked for while the body arrives. */
static enum err_code
facts_start_all(struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    struct flow_finding_question question;
    struct flow_resolve_ticket *ticket = NULL;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < message->count; i++) {
        struct flow_recipient *recipient = &message->recipients[i];

        if (facts_asks(recipient, recipient->rule, &message->choice, facts->needs.certificates))
            code = facts_forgive_busy(
                facts_start_recipient(message, recipient, recipient->rule, err), err);
        else
            flow_resolve_free_ticket(&recipient->ticket);
        if (code == ERR_OK)
            code =
                facts_forgive_busy(flow_must_start(message, recipient, recipient->rule, err), err);
    }
    if (code == ERR_OK && facts->policy.from && facts->needs.signing) {
        question = facts_key_question(message, facts);
        code = facts_forgive_busy(facts_ask(message, facts, &question, &ticket, err), err);
    }
    if (code == ERR_OK && facts->policy.from &&
        (facts->needs.signing || facts->needs.certificates)) {
        question = facts_self_question(message, facts);
        code = facts_forgive_busy(facts_ask(message, facts, &question, &ticket, err), err);
    }
    if (code == ERR_OK && facts->needs.certificates)
        code = facts_find_escrow(message, facts, err);
    for (size_t i = 0; code == ERR_OK && i < facts->escrow_count; i++)
        code = facts_forgive_busy(facts_ask_escrow(message, facts, i, &ticket, err), err);
    return code;
}

enum err_code
flow_facts_new(struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    enum err_code code;

    *facts = (struct flow_facts){ 0 };
    facts_fill_policy(message, facts);
    code = flow_people_load(message, facts, err);
    if (code != ERR_OK)
        return code;
    policy_outbound_needs(&facts->policy, &facts->needs);
    code = flow_rules_start(message, err);
    return code == ERR_OK ? facts_start_all(message, facts, err) : code;
}

static enum err_code
facts_check_deadline(int64_t deadline_ms, struct err *err)
{
    if (clock_monotonic_ms() <= deadline_ms)
        return ERR_OK;
    return err_set_reason(err, ERR_TEMP, "deadline",
                          "finding out about sender and recipients took too long");
}

/* Recipients, and who is behind them. All are under way before the first is waited for. */
static enum err_code
facts_load_recipients(struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    bool certificates = facts->needs.certificates;
    enum err_code code = flow_names_load_visible(message, err);

    for (size_t i = 0; code == ERR_OK && i < message->count; i++) {
        struct flow_recipient *recipient = &message->recipients[i];

        if (facts_asks(recipient, recipient->rule, &message->choice, certificates))
            code = facts_start_recipient(message, recipient, recipient->rule, err);
    }
    for (size_t i = 0; code == ERR_OK && i < message->count; i++) {
        struct flow_recipient *recipient = &message->recipients[i];

        if (certificates ? facts_encrypts(recipient->rule, &message->choice) || recipient->ticket
                         : facts_asks(recipient, recipient->rule, &message->choice, false))
            code = facts_load_recipient(message, facts, recipient, err);
    }
    return code == ERR_OK ? flow_people_load(message, facts, err) : code;
}

static enum err_code
facts_load_people(struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    bool certificates = facts->needs.certificates;
    enum err_code code = facts_load_recipients(message, facts, err);

    if (code != ERR_OK)
        return code;
    /* The rules of members who took the place of their group may want more than the envelope's. */
    policy_outbound_needs(&facts->policy, &facts->needs);
    if (facts->needs.certificates && !certificates)
        code = facts_load_recipients(message, facts, err);
    return code;
}

enum err_code
flow_facts_load(struct flow_message *message, struct flow_facts *facts, int64_t deadline_ms,
                struct err *err)
{
    int64_t budget_ms = clock_monotonic_ms() + message->conf->global.facts_timeout;
    enum err_code code = ERR_OK;
    bool changed = false;

    facts->deadline_ms = budget_ms < deadline_ms ? budget_ms : deadline_ms;
    /* What the message already is changes what must be asked. */
    policy_outbound_needs(&facts->policy, &facts->needs);
    if (facts->needs.identity)
        code = facts_load_identity(message, facts, err);
    /* Now all is known that rules ask. */
    if (code == ERR_OK)
        code = flow_rules_load(message, facts->deadline_ms, &changed, err);
    if (code == ERR_OK && (changed || flow_must_is_open(message)))
        code = facts_reset_rules(message, facts, err);
    if (code == ERR_OK && (facts->needs.certificates || facts->needs.groups))
        code = facts_load_people(message, facts, err);
    /* The rule of a member may be the first that asks who the sender is. */
    if (code == ERR_OK && facts->needs.identity && !message->identity.asked) {
        code = facts_load_identity(message, facts, err);
        if (code == ERR_OK && message->identity.was[0] &&
            (facts->needs.certificates || facts->needs.groups))
            code = facts_load_people(message, facts, err);
    }
    if (code == ERR_OK && facts->needs.signing)
        code = facts_load_signing(message, facts, err);
    if (code == ERR_OK && facts->needs.certificates)
        code = facts_load_escrow(message, facts, err);
    if (code == ERR_OK && (facts->needs.signing || facts->needs.certificates))
        code = facts_load_self(message, facts, err);
    flow_beside_load(facts);
    facts->policy.people_limit = SMIME_ENCRYPT_RECIPIENTS - facts->escrow_count - 1;
    if (code == ERR_OK)
        code = facts_check_deadline(deadline_ms, err);
    return code;
}
