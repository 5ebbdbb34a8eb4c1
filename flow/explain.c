#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "flow/inbound.h"
#include "flow/names.h"
#include "flow/outbound.h"
#include "flow/state.h"
#include "pki/reason.h"
#include "policy/rule.h"
#include "util/log.h"

enum { EXPLAIN_LINE = 2000, EXPLAIN_MEMBERS = 50 };

struct explain {
    const struct flow_message *message;
    flow_message_explain_fn *each;
    void *context;
};

static void explain_say(const struct explain *explain, const char *topic, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
explain_say(const struct explain *explain, const char *topic, const char *format, ...)
{
    char line[EXPLAIN_LINE], safe[EXPLAIN_LINE * 2];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    explain->each(explain->context, topic, log_escape(span_str(line), safe, sizeof(safe)));
}

/* ---- envelope and rules ------------------------------------------------------------------------
 */

static void
explain_envelope(const struct explain *explain)
{
    const struct flow_message *message = explain->message;

    explain_say(explain, "direction", "%s (%s, client %s)",
                message->direction == CONF_DIRECTION_OUT ? "out" : "in", message->direction_why,
                message->client);
    if (message->login)
        explain_say(explain, "login", "%s", message->login);
    explain_say(explain, "sender", "%s",
                message->sender && message->sender[0] ? message->sender : "<>");
    if (message->from.address[0])
        explain_say(explain, "from", "%s", message->from.address);
    else
        explain_say(explain, "from", "not one address: %zu fields, %zu mailboxes%s",
                    message->from.fields, message->from.mailboxes,
                    message->from.irregular ? ", irregular" : "");
}

/* What rules ask of the message, as far as it is known. */
static void
explain_content(const struct explain *explain)
{
    const struct policy_rule_message *facts = flow_rules_message(explain->message);
    char text[POLICY_KIND_SIZE];

    if (facts->has_size)
        explain_say(explain, "size", "%llu octets", (unsigned long long)facts->size);
    if (facts->has_content)
        explain_say(explain, "content", "%s", policy_kind_format(facts->content, text));
}

static void
explain_setting(void *context, const char *name, const char *value, const char *from)
{
    const struct explain *explain = context;

    explain_say(explain, "setting", "%s = %s (%s)", name, value, from);
}

/* What holds where the rule or a section gives it, and what was changed after that. */
static void
explain_settings(const struct explain *explain, const struct flow_recipient *recipient,
                 const struct conf_rule *original)
{
    const struct flow_message *message = explain->message;
    struct conf_scopes scopes = conf_scope_find(message->conf, flow_state_sender(message));
    const char *kind = flow_rules_kind(message);

    conf_scope_each(message->conf, original, &scopes, explain_setting, (void *)explain);
    if (message->direction == CONF_DIRECTION_OUT &&
        policy_rule_must_encrypt(message->conf, recipient->address))
        explain_say(explain, "must encrypt", "%s: a section user or domain says so",
                    recipient->address);
    else if (recipient->must)
        explain_say(explain, "must encrypt", "%s: %s%s", recipient->address,
                    recipient->inside->must ? "a section user or domain says so of "
                                            : "nobody can say who gets it: ",
                    recipient->inside->must ? recipient->inside->must
                    : recipient->inside->group_err.code != ERR_OK
                        ? recipient->inside->group_err.text
                        : "the group has members that no directory knows");
    if (message->direction == CONF_DIRECTION_OUT && kind)
        explain_say(explain, "kind", "%s: sign %s, encrypt %s", kind,
                    recipient->rule->sign == CONF_SIGN_NEVER ? "never" : "as the rule says",
                    recipient->rule->encrypt == CONF_ENCRYPT_NEVER ? "never" : "as the rule says");
    if (message->bypass)
        explain_say(explain, "bypass", "signing and verifying are switched off");
}

/* Every rule up to the one that holds, and why the others did not. */
static void
explain_rules(const struct explain *explain, const struct flow_recipient *recipient)
{
    const struct flow_message *message = explain->message;
    const struct conf *conf = message->conf;
    struct policy_rule_question question = flow_state_question(message, recipient->address);
    const struct conf_rule *original = flow_rules_original(message, recipient->rule);
    size_t i;

    for (i = 0; i < conf->rule_count; i++) {
        const char *why = policy_rule_mismatch(conf, i, &question);
        char all[POLICY_RULE_SIZE];

        policy_rule_format(conf, i, &question, all);
        if (!why && original == &conf->rules[i]) {
            explain_say(explain, "rule", "%s: \"%s\" matches (%s)", recipient->address,
                        conf->rules[i].name, all);
            explain_settings(explain, recipient, original);
            return;
        }
        if (why == policy_rule_open)
            explain_say(explain, "rule", "%s: \"%s\" hangs on what is not known (%s)",
                        recipient->address, conf->rules[i].name, all);
        else if (why)
            explain_say(explain, "rule", "%s: \"%s\" does not match by %s (%s)", recipient->address,
                        conf->rules[i].name, why, all);
        else
            explain_say(explain, "rule",
                        "%s: \"%s\" would match, but by a From that nobody vouches for",
                        recipient->address, conf->rules[i].name);
    }
    explain_say(explain, "rule", "%s: %s", recipient->address,
                original == policy_rule_builtin() ? "no rule matches; the built-in rule holds"
                                                  : "no other rule matches");
    explain_settings(explain, recipient, original);
}

/* ---- outbound ----------------------------------------------------------------------------------
 */

static const char *
explain_known(enum policy_known known)
{
    return known == POLICY_YES ? "yes" : known == POLICY_NO ? "no" : "could not ask";
}

static void
explain_finding(const struct explain *explain, const char *topic, const char *address,
                const struct flow_finding *finding)
{
    const struct directory_lookup_result *lookup;
    size_t i;

    if (!finding) {
        explain_say(explain, topic, "%s: not there in time", address);
        return;
    }
    lookup = &finding->lookup;

    for (i = 0; i < lookup->count; i++) {
        const struct directory_candidate *one = &lookup->list[i];
        const struct pki_certificate_facts *facts = pki_certificate_get(one->certificate);

        explain_say(explain, topic, "%s: %s %s, serial %s, from %s (%s) %s", address,
                    one->selected                         ? "SELECTED"
                    : one->answer.status == PKI_STATUS_OK ? "valid"
                                                          : "REJECTED",
                    facts->subject, facts->serial, one->source,
                    one->answer.reason ? one->answer.reason : "not judged", one->answer.text);
    }
    if (!lookup->selected)
        explain_say(explain, topic, "%s: none (%s) %s", address,
                    lookup->answer.reason ? lookup->answer.reason : "no-certificate",
                    lookup->answer.text);
}

/* A group: what becomes of it, and its members: those without a certificate first, then some of the
 * others. */
static void
explain_group(const struct explain *explain, const struct flow_recipient *recipient)
{
    const struct flow_finding *group = recipient->finding;
    size_t said = 0;

    if (group->group_err.code != ERR_OK) {
        explain_say(explain, "group", "%s: %s (%s)", recipient->address, group->group_err.text,
                    recipient->reason);
        return;
    }
    explain_say(explain, "group", "%s: %zu members in %zu groups, %s%s%s", recipient->address,
                group->member_count, group->group->group_count,
                recipient->replaced ? "replaced by its members" : "kept in the envelope",
                recipient->text ? ": " : "", recipient->text ? recipient->text : "");
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < group->member_count && said < EXPLAIN_MEMBERS; i++) {
            const struct flow_finding *member = recipient->members[i];

            if ((member && member->known == POLICY_YES) != (round == 1))
                continue;
            explain_finding(explain, "member", group->members[i].address, member);
            said++;
        }
    }
    if (said < group->member_count)
        explain_say(explain, "member", "and %zu more", group->member_count - said);
}

static void
explain_structure(const struct explain *explain)
{
    const struct flow_outbound *outbound = explain->message->outbound;
    const struct flow_structure *structure = &outbound->structure;
    const struct mime_scan_facts *scan;

    explain_say(explain, "structure", "%s%s%s",
                structure->encrypted_already ? "already encrypted"
                : structure->pgp_encrypted   ? "PGP/MIME encrypted"
                : structure->signed_already  ? "already signed"
                                             : "plain",
                structure->why ? ": " : "", structure->why ? structure->why : "");
    if (!outbound->scan || !explain->message->finished)
        return;
    if (outbound->scan_err.code != ERR_OK) {
        explain_say(explain, "structure", "beyond a bound: %s", outbound->scan_err.text);
        return;
    }
    scan = mime_scan_get(outbound->scan);
    explain_say(explain, "structure", "%u parts, depth %u, %s%s%s%s", scan->parts, scan->depth,
                scan->needs_encoding ? "parts are re-encoded" : "bytes stay as they are",
                scan->malformed ? ", malformed" : "", scan->only_opaque ? ", only opaque: " : "",
                scan->only_opaque && scan->why ? scan->why : "");
}

static void
explain_choice(const struct explain *explain)
{
    const struct policy_choice *choice = &explain->message->choice;

    if (policy_choice_is_made(choice))
        explain_say(explain, "choice", "%s%s%s%s", choice->sign ? "sign " : "",
                    choice->encrypt ? "encrypt " : "", choice->plain ? "plain " : "",
                    choice->unclear ? "(unclear)" : "");
}

static void
explain_identity(const struct explain *explain)
{
    const struct flow_identity *identity = &explain->message->identity;

    if (!identity->asked)
        return;
    if (identity->facts.person == POLICY_YES)
        explain_say(explain, "person", "%s, primary address %s", identity->person->dn,
                    identity->facts.primary ? identity->facts.primary : "none");
    explain_say(explain, "identity", "%s%s%s", identity->answer.reason,
                identity->answer.text[0] ? ": " : "", identity->answer.text);
    if (identity->was[0])
        explain_say(explain, "identity", "%s becomes %s", identity->was, identity->facts.primary);
}

static void
explain_people(const struct explain *explain)
{
    const struct flow_message *message = explain->message;
    const struct flow_facts *facts = &message->outbound->facts;
    size_t i;

    explain_choice(explain);
    explain_identity(explain);
    if (facts->needs.signing) {
        explain_say(explain, "signing", "%s", explain_known(facts->policy.signing));
        if (facts->policy.from)
            explain_finding(explain, "signing", facts->policy.from, facts->signing);
        for (i = 0; i < facts->domain_count; i++)
            explain_finding(explain, "domain-signing", facts->domains[i].address,
                            facts->domains[i].finding);
    }
    if (facts->self_asked)
        explain_finding(explain, "sender-copy", facts->policy.from, facts->self);
    for (i = 0; i < message->count; i++) {
        const struct flow_recipient *recipient = &message->recipients[i];

        if (!facts->needs.certificates && !recipient->finding)
            continue;
        explain_say(explain, "certificate", "%s: %s%s", recipient->address,
                    explain_known(recipient->known),
                    recipient->in_header ? "" : " (not named in the header)");
        if (recipient->finding && recipient->finding->group)
            explain_group(explain, recipient);
        else if (recipient->valid)
            explain_finding(explain, "certificate", recipient->address, recipient->finding);
        else
            explain_say(explain, "certificate", "%s: none (%s) %s", recipient->address,
                        recipient->reason, recipient->text ? recipient->text : "");
    }
    for (i = 0; i < facts->escrow_count; i++)
        explain_finding(explain, "additional", facts->escrow[i].address, facts->escrow[i].finding);
}

static const char *
explain_treatment(const struct policy_copy *copy)
{
    return copy->sign && copy->encrypt ? "sign and encrypt"
           : copy->sign                ? "sign"
           : copy->encrypt             ? "encrypt"
                                       : "as it came";
}

/* Each recipient's copy, with its algorithms; and who gets none. */
static void
explain_plan(const struct explain *explain)
{
    const struct flow_outbound *outbound = explain->message->outbound;
    const struct policy_plan *plan = &outbound->decision.plan;
    const struct policy_recipient *recipients = outbound->facts.recipients;

    for (size_t i = 0; i < plan->copy_count; i++) {
        const struct policy_copy *copy = &plan->copies[i];
        const struct policy_algorithms *with = &copy->algorithms;

        explain_say(explain, "copy", "%zu: %s%s%s%s%s%s%s%s", i + 1, explain_treatment(copy),
                    copy->sign ? ", " : "",
                    copy->sign ? smime_digest_name(flow_names_digest(with->digest)) : "",
                    copy->sign && copy->opaque ? " opaque" : "", copy->encrypt ? ", " : "",
                    copy->encrypt ? smime_cipher_name(flow_names_cipher(with->cipher)) : "",
                    copy->encrypt && with->key_transport == SMIME_TRANSPORT_OAEP ? " oaep" : "",
                    copy->hidden ? ", of one whom the header does not name" : "");
        for (size_t k = 0; k < copy->count; k++)
            explain_say(explain, "copy", "%zu: to %s", i + 1,
                        recipients[plan->order[copy->first + k]].address);
    }
    for (size_t i = 0; i < plan->returned_count; i++) {
        const struct policy_recipient *one = &recipients[plan->order[plan->returned_first + i]];

        explain_say(explain, "returned", "%s (%s)", one->address, one->reason);
    }
}

static void
explain_outbound(const struct explain *explain)
{
    const struct flow_outbound *outbound = explain->message->outbound;
    const struct policy_outbound_decision *decision = &outbound->decision;
    const char *action;

    if (outbound->spool)
        explain_structure(explain);
    explain_people(explain);
    if (!outbound->decided)
        return;
    action = decision->action == POLICY_PASS     ? "pass"
             : decision->action == POLICY_REFUSE ? "refuse"
             : decision->action == POLICY_DEFER  ? "defer"
             : decision->plan.copy_count > 1     ? "copies"
                                                 : explain_treatment(&decision->plan.copies[0]);
    explain_say(explain, "decision", "%s (%s, rule \"%s\")%s%s", action, decision->reason,
                decision->rule ? decision->rule->name : "", decision->text[0] ? ": " : "",
                decision->text);
    explain_plan(explain);
}

/* ---- inbound -----------------------------------------------------------------------------------
 */

/* Each certificate of a path: where it came from, and by what its status is known. */
static void
explain_path(const struct explain *explain, const struct pki_path_result *path)
{
    size_t i;

    for (i = 0; i < path->count; i++) {
        const struct pki_path_step *step = &path->steps[i];
        char next[PKI_TIME_SIZE] = "";

        explain_say(explain, "path", "%zu: %s, from %s, %s%s%s%s%s%s%s%s%s%s", i,
                    pki_certificate_get(step->certificate)->subject, step->source, step->revocation,
                    step->method ? " by " : "", step->method ? step->method : "",
                    step->origin ? " from " : "", step->origin ? step->origin : "",
                    step->next_update ? ", next " : "",
                    step->next_update ? pki_time_format(step->next_update, next) : "",
                    step->stale ? ", stale" : "", step->text[0] ? ": " : "", step->text);
    }
}

/* Why a message stayed closed is said here, in debug lines and to smimectl explain: nowhere that a
 * sender could look (docs/security.md). */
static void
explain_decryption(const struct explain *explain, const struct flow_inbound *inbound)
{
    struct flow_verification_layer layers[FLOW_VERIFICATION_LAYERS];
    const struct flow_decryption *decryption = inbound->decryption;
    bool too_deep = false;
    size_t n = flow_verification_layers(inbound->verification, layers, &too_deep);

    for (size_t i = 0; i < n; i++)
        explain_say(explain, "layer", "%zu: %s, %s (%s)%s", i + 1, layers[i].kind, layers[i].state,
                    layers[i].reason, layers[i].counts ? ", counts" : "");
    if (too_deep)
        explain_say(explain, "layer", "there are more than %d", FLOW_VERIFICATION_LAYERS);
    if (decryption && flow_decryption_get(decryption) != FLOW_DECRYPTION_UNASKED)
        explain_say(explain, "decryption", "%s%s",
                    flow_decryption_get(decryption) == FLOW_DECRYPTION_OPENED ? "opened, "
                                                                              : "not opened: ",
                    flow_decryption_get(decryption) == FLOW_DECRYPTION_OPENED
                        ? flow_decryption_cipher(decryption)
                        : flow_decryption_reason(decryption));
}

static void
explain_inbound(const struct explain *explain)
{
    const struct flow_inbound *inbound = explain->message->inbound;
    const struct flow_verification_result *result;
    size_t i;

    if (!inbound->verification) {
        explain_say(explain, "decision", "pass (no recipient's rule asks for a verdict)");
        return;
    }
    if (!explain->message->finished)
        return;
    result = flow_verification_get(inbound->verification);
    explain_decryption(explain, inbound);
    for (i = 0; i < result->count; i++) {
        const struct flow_verification_signer *signer = &result->signers[i];

        explain_say(explain, "signer", "%s: signature %s, algorithm %s, leaf %s, path %s, %s",
                    signer->identifier[0] ? signer->identifier : "?", signer->smime->reason,
                    signer->algorithm.reason, signer->leaf.reason, signer->path.answer.reason,
                    signer->identity ? "is the address of From" : "is not the address of From");
        explain_path(explain, &signer->path);
    }
    explain_say(explain, "verdict", "%s (%s)%s%s", policy_result_name(result->verdict.result),
                result->verdict.reason, result->text[0] ? ": " : "", result->text);
    explain_say(explain, "decision", "%s (rule \"%s\")",
                inbound->disposition == POLICY_MARK         ? "mark"
                : inbound->disposition == POLICY_QUARANTINE ? "quarantine"
                : inbound->disposition == POLICY_REJECT     ? "refuse"
                                                            : "defer",
                inbound->rule->name);
}

void
flow_message_explain(const struct flow_message *message, flow_message_explain_fn *each,
                     void *context)
{
    struct explain explain = { .message = message, .each = each, .context = context };
    size_t i;

    explain_envelope(&explain);
    explain_content(&explain);
    for (i = 0; i < message->count; i++)
        explain_rules(&explain, &message->recipients[i]);
    if (message->outbound)
        explain_outbound(&explain);
    if (message->inbound)
        explain_inbound(&explain);
}
