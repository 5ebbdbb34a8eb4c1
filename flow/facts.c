#include "flow/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/names.h"
#include "flow/state.h"
#include "util/clock.h"

/* ---- before anybody is asked -------------------------------------------------------------------
 */

static void
facts_fill_policy(const struct flow_message *message, struct flow_facts *facts)
{
    facts->policy.conf = message->conf;
    facts->policy.recipients = facts->recipients;
    facts->policy.count = message->count;
    facts->policy.from = message->from.address[0] ? message->from.address : NULL;
    facts->policy.envelope_sender = message->sender;
    facts->policy.identity = POLICY_IDENTITY_OK;
    facts->policy.signing = POLICY_UNKNOWN;
    facts->policy.signing_reason = "not-asked";
    facts->policy.domain_signing = POLICY_UNKNOWN;
    facts->policy.escrow = POLICY_YES;
}

enum err_code
flow_facts_new(struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    size_t i;

    *facts = (struct flow_facts){ .self_known = POLICY_UNKNOWN };
    facts->recipients = calloc(message->count + 1, sizeof(*facts->recipients));
    if (!facts->recipients)
        return err_set(err, ERR_NOMEM, "memory for the facts about recipients");
    for (i = 0; i < message->count; i++) {
        facts->recipients[i].address = message->recipients[i].address;
        facts->recipients[i].rule = message->recipients[i].rule;
        facts->recipients[i].certificate = POLICY_UNKNOWN;
        facts->recipients[i].reason = "not-asked";
    }
    facts_fill_policy(message, facts);
    policy_outbound_needs(&facts->policy, &facts->needs);
    return ERR_OK;
}

void
flow_facts_free(struct flow_facts *facts)
{
    size_t i;

    directory_lookup_result_free(&facts->signing);
    directory_lookup_result_free(&facts->domain);
    directory_lookup_result_free(&facts->self);
    for (i = 0; i < facts->escrow_count; i++)
        directory_lookup_result_free(&facts->escrow[i]);
    free(facts->escrow);
    free(facts->escrow_addresses);
    free(facts->recipients);
    *facts = (struct flow_facts){ 0 };
}

/* ---- one question ------------------------------------------------------------------------------
 */

/* The trust set for our own certificates: see flow/facts.h. */
static const struct pki_trust *
facts_find_own_trust(const struct flow_message *message, const struct conf_rule *rule)
{
    const struct pki_trust *trust = flow_services_trust(message->services, "default");

    return trust || !rule ? trust : flow_services_trust(message->services, rule->trust);
}

/* ERR_OK, ERR_NOTFOUND and ERR_TEMP are the three answers; the rest is our own failure. */
static enum err_code
facts_answer(enum err_code code, const struct err *asked, struct directory_lookup_result *result,
             enum policy_known *known, struct err *err)
{
    if (code == ERR_OK && result->selected) {
        *known = POLICY_YES;
        return ERR_OK;
    }
    if (code == ERR_NOMEM || code == ERR_BUG)
        return err_set(err, code, "%s", asked->text);
    *known = code == ERR_NOTFOUND ? POLICY_NO : POLICY_UNKNOWN;
    if (!result->answer.reason) {
        result->answer.reason = code == ERR_NOTFOUND ? "no-certificate" : "directory-unreachable";
        snprintf(result->answer.text, sizeof(result->answer.text), "%.250s", asked->text);
    }
    return ERR_OK;
}

struct facts_question {
    const char *address; /* formatted */
    const struct pki_trust *trust;
    int64_t deadline_ms;
    bool key; /* a signing pair, not an encryption certificate */
};

static enum err_code
facts_ask(const struct flow_message *message, const struct facts_question *question,
          struct directory_lookup_result *result, enum policy_known *known, struct err *err)
{
    const struct flow_services *services = message->services;
    struct err asked = ERR_INIT;
    enum err_code code;
    struct directory_lookup_question lookup = {
        .address = question->address,
        .trust = question->trust,
        .revocation = flow_names_revocation(message->conf->global.revocation_outbound),
        .policy = &services->leaf_policy,
        .now = clock_now_s(),
        .deadline_ms = question->deadline_ms,
    };

    /* The lookup takes a missing trust set for "do not ask": here it means that nothing is trusted.
     */
    if (!question->trust) {
        *known = POLICY_NO;
        result->answer = (struct pki_answer){ .status = PKI_STATUS_INVALID, .reason = "untrusted" };
        snprintf(result->answer.text, sizeof(result->answer.text),
                 "there is no trust set to judge certificates by");
        return ERR_OK;
    }
    code = question->key ? directory_lookup_key(services->lookup, &lookup, result, &asked)
                         : directory_lookup_certificate(services->lookup, &lookup, result, &asked);
    return facts_answer(code, &asked, result, known, err);
}

/* ---- who is the sender -------------------------------------------------------------------------
 */

static enum err_code
facts_load_identity(const struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    struct directory_lookup *lookup = message->services->lookup;
    struct directory_entry *person = NULL;
    struct err asked = ERR_INIT;
    enum err_code code = ERR_NOTFOUND;
    struct policy_sender_facts sender = {
        .from_fields = message->from.fields,
        .from_mailboxes = message->from.mailboxes,
        .from_irregular = message->from.irregular,
        .from = facts->policy.from,
        .envelope_sender = message->sender,
        .login = message->login,
        .directory = directory_lookup_directory_count(lookup) > 0,
        .person = POLICY_NO,
        .fold_local = message->conf->global.fold_local_part,
    };

    if (sender.directory && (message->login || message->sender[0]))
        code = directory_lookup_person(lookup, message->login ? NULL : message->sender,
                                       message->login, facts->deadline_ms, &person, &asked);
    if (code == ERR_NOMEM || code == ERR_BUG)
        return err_set(err, code, "%s", asked.text);
    if (code == ERR_OK) {
        sender.person = POLICY_YES;
        sender.primary = person->primary;
        sender.addresses = (const char *const *)person->addresses;
    } else if (code != ERR_NOTFOUND) {
        sender.person = POLICY_UNKNOWN;
    }
    policy_sender_decide(&sender, &facts->identity);
    facts->identity_asked = true;
    facts->policy.identity = facts->identity.identity;
    facts->policy.identity_reason = facts->identity.reason;
    facts->policy.identity_text = facts->identity.text;
    directory_entry_free(&person);
    return ERR_OK;
}

/* ---- which key signs ---------------------------------------------------------------------------
 */

static enum err_code
facts_load_signing(const struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    const struct conf_rule *rule = policy_outbound_sign_rule(&facts->policy);
    struct facts_question question = { .address = facts->policy.from,
                                       .deadline_ms = facts->deadline_ms,
                                       .trust = facts_find_own_trust(message, rule),
                                       .key = true };
    enum err_code code;

    if (!facts->policy.from) {
        facts->policy.signing = POLICY_NO;
        facts->policy.signing_reason = message->from.fields == 0 ? "from-missing" : "from-syntax";
        facts->policy.signing_text = "From does not name exactly one address";
    } else {
        code = facts_ask(message, &question, &facts->signing, &facts->policy.signing, err);
        if (code != ERR_OK)
            return code;
        facts->policy.signing_reason = facts->signing.answer.reason;
        facts->policy.signing_text = facts->signing.answer.text;
    }
    if (facts->policy.signing != POLICY_NO || !rule || !rule->sign_as[0] ||
        rule->no_signing_certificate != CONF_NO_SIGNING_DOMAIN)
        return ERR_OK;
    question.address = rule->sign_as;
    return facts_ask(message, &question, &facts->domain, &facts->policy.domain_signing, err);
}

/* ---- to whom it is encrypted -------------------------------------------------------------------
 */

static enum err_code
facts_load_recipient(struct flow_message *message, struct flow_facts *facts, size_t index,
                     struct err *err)
{
    struct flow_recipient *recipient = &message->recipients[index];
    struct policy_recipient *policy = &facts->recipients[index];
    struct facts_question question = { .address = recipient->address,
                                       .deadline_ms = facts->deadline_ms,
                                       .trust = flow_services_trust(message->services,
                                                                    recipient->rule->trust) };
    enum err_code code = ERR_OK;

    if (!recipient->valid || !recipient->address[0]) {
        recipient->known = POLICY_NO;
        recipient->lookup.answer.reason = "no-certificate";
        snprintf(recipient->lookup.answer.text, sizeof(recipient->lookup.answer.text),
                 "not an address that a certificate could name");
    } else {
        code = facts_ask(message, &question, &recipient->lookup, &recipient->known, err);
    }
    recipient->reason = recipient->known == POLICY_YES ? "ok" : recipient->lookup.answer.reason;
    policy->certificate = recipient->known;
    policy->reason = recipient->reason;
    policy->text = recipient->lookup.answer.text;
    return code;
}

/* Every address once, whatever number of rules names it. */
static enum err_code
facts_find_escrow(const struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    size_t i, j, k;

    facts->escrow_addresses = calloc(FLOW_LIMIT_ESCROW, sizeof(*facts->escrow_addresses));
    facts->escrow = calloc(FLOW_LIMIT_ESCROW, sizeof(*facts->escrow));
    if (!facts->escrow_addresses || !facts->escrow)
        return err_set(err, ERR_NOMEM, "memory for additional recipients");
    for (i = 0; i < message->count; i++) {
        const conf_list list = message->recipients[i].rule->encrypt_also;

        if (i > 0 && message->recipients[i].rule == message->recipients[i - 1].rule)
            continue;
        for (j = 0; list[j]; j++) {
            for (k = 0; k < facts->escrow_count; k++) {
                if (strcmp(facts->escrow_addresses[k], list[j]) == 0)
                    break;
            }
            if (k < facts->escrow_count)
                continue;
            if (facts->escrow_count == FLOW_LIMIT_ESCROW)
                return err_set(err, ERR_LIMIT, "encrypt_also names more than %d addresses",
                               FLOW_LIMIT_ESCROW);
            facts->escrow_addresses[facts->escrow_count++] = list[j];
        }
    }
    return ERR_OK;
}

static enum err_code
facts_load_escrow(struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    const struct conf_rule *rule = policy_outbound_encrypt_rule(&facts->policy);
    enum err_code code = facts_find_escrow(message, facts, err);
    size_t i;

    for (i = 0; code == ERR_OK && i < facts->escrow_count; i++) {
        struct directory_lookup_result *result = &facts->escrow[i];
        enum policy_known known = POLICY_UNKNOWN;
        char formatted[MIME_ADDRESS_SIZE];
        struct err found = ERR_INIT;
        struct facts_question question = { .address = formatted,
                                           .deadline_ms = facts->deadline_ms,
                                           .trust = facts_find_own_trust(message, rule) };

        code = mime_address_format(span_str(facts->escrow_addresses[i]), formatted, &found);
        if (code == ERR_OK)
            code = facts_ask(message, &question, result, &known, err);
        else if (code != ERR_PERM && code != ERR_LIMIT)
            return err_set(err, code, "%s", found.text);
        else {
            known = POLICY_NO;
            code = ERR_OK;
        }
        if (code != ERR_OK || known == POLICY_YES)
            continue;
        /* A certain "no" weighs less than a question that is still open. */
        if (facts->policy.escrow != POLICY_UNKNOWN)
            facts->policy.escrow = known;
        if (!facts->escrow_text[0])
            snprintf(facts->escrow_text, sizeof(facts->escrow_text), "%.100s: %.180s",
                     facts->escrow_addresses[i], result->answer.text);
    }
    facts->policy.escrow_text = facts->escrow_text;
    return code;
}

/* The sender's own encryption certificate: a signature tells it to those who answer
 * (encryptionKeyPreference, RFC 8551 2.5.3), and an encrypted message is encrypted to it, so that
 * who wrote it can read it (3.3). Having none is no reason to keep the message back (the outcome
 * line says so); not knowing is one for encryption, since the next attempt may know. */
static enum err_code
facts_load_self(const struct flow_message *message, struct flow_facts *facts, struct err *err)
{
    const struct conf_rule *rule = policy_outbound_encrypt_rule(&facts->policy);
    struct facts_question question = { .address = facts->policy.from,
                                       .deadline_ms = facts->deadline_ms };

    if (!rule)
        rule = policy_outbound_sign_rule(&facts->policy);
    question.trust = facts_find_own_trust(message, rule);
    facts->self_known = POLICY_NO;
    if (!facts->policy.from)
        return ERR_OK;
    return facts_ask(message, &question, &facts->self, &facts->self_known, err);
}

static enum err_code
facts_check_deadline(int64_t deadline_ms, struct err *err)
{
    if (clock_monotonic_ms() <= deadline_ms)
        return ERR_OK;
    return err_set_reason(err, ERR_TEMP, "deadline",
                          "finding out about sender and recipients took too long");
}

static enum err_code
facts_load_certificates(struct flow_message *message, struct flow_facts *facts, int64_t deadline_ms,
                        struct err *err)
{
    enum err_code code = flow_names_load_visible(message, err);
    size_t i;

    for (i = 0; code == ERR_OK && i < message->count; i++) {
        facts->recipients[i].in_header = message->recipients[i].in_header;
        code = facts_check_deadline(deadline_ms, err);
        if (code == ERR_OK)
            code = facts_load_recipient(message, facts, i, err);
    }
    if (code == ERR_OK)
        code = facts_load_escrow(message, facts, err);
    return code;
}

enum err_code
flow_facts_load(struct flow_message *message, struct flow_facts *facts, int64_t deadline_ms,
                struct err *err)
{
    enum err_code code = ERR_OK;

    facts->deadline_ms = deadline_ms;
    /* What the message already is changes what must be asked. */
    policy_outbound_needs(&facts->policy, &facts->needs);
    if (facts->needs.identity)
        code = facts_load_identity(message, facts, err);
    if (code == ERR_OK)
        code = facts_check_deadline(deadline_ms, err);
    if (code == ERR_OK && facts->needs.signing)
        code = facts_load_signing(message, facts, err);
    if (code == ERR_OK)
        code = facts_check_deadline(deadline_ms, err);
    if (code == ERR_OK && facts->needs.certificates)
        code = facts_load_certificates(message, facts, deadline_ms, err);
    if (code == ERR_OK && (facts->needs.signing || facts->needs.certificates))
        code = facts_load_self(message, facts, err);
    if (code == ERR_OK)
        code = facts_check_deadline(deadline_ms, err);
    return code;
}
