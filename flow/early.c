#include "flow/early.h"

#include <stdio.h>
#include <string.h>

#include "flow/reply.h"
#include "flow/rules.h"
#include "flow/state.h"
#include "policy/early.h"
#include "util/clock.h"
#include "util/log.h"

/* What policy reads of him: his finding, and nothing of the message. */
static const char *
early_lacks(const struct flow_message *message, const struct flow_recipient *recipient,
            const struct conf_rule *rule, const struct flow_finding *finding)
{
    const struct policy_recipient one = {
        .address = recipient->address,
        .rule = rule,
        .certificate = finding->known,
        .reason = finding->reason,
        .said = finding->said,
    };
    const struct policy_outbound_facts facts = { .conf = message->conf,
                                                 .recipients = &one,
                                                 .count = 1 };

    return policy_outbound_lacks(&facts, 0);
}

static void
early_log(const struct flow_message *message, const char *address, const char *reason, bool unknown)
{
    char list[1200];
    const struct log_field fields[] = {
        { .name = "unreachable", .value = list },
        { .name = "at", .value = "rcpt" },
        { .name = "code", .value = unknown ? "451-4.7.1" : "550-5.7.1" },
        { .name = "client", .value = message->client },
    };

    snprintf(list, sizeof list, "%.1000s:%.60s", address, reason);
    log_fields(LOG_LEVEL_INFO, message->id[0] ? message->id : NULL, fields,
               sizeof fields / sizeof fields[0]);
}

static void
early_answer(const struct flow_message *message, const char *address, const char *reason,
             const char *why, bool unknown, struct flow_answer *answer)
{
    char text[700];

    if (!why || !why[0])
        why = reason;
    if (unknown)
        snprintf(text, sizeof text,
                 "the certificate of %.200s cannot be checked at the moment: %.300s; try again "
                 "later",
                 address, why);
    else
        snprintf(text, sizeof text,
                 "must be encrypted, and there is no valid certificate for %.200s (%.300s); send "
                 "without them, or ask them or your administrator for a certificate",
                 address, why);
    flow_reply_set(answer, unknown ? 451 : 550, unknown ? "4.7.1" : "5.7.1", text);
    early_log(message, address, reason, unknown);
}

/* Waits for what is known of him. *finding stays NULL when it is not there in time. */
static enum err_code
early_wait(struct flow_message *message, const struct flow_recipient *recipient,
           const struct flow_finding **finding, struct err *err)
{
    const struct conf_global *global = &message->conf->global;
    int64_t left = global->facts_timeout - message->rcpt_wait_ms, start = clock_monotonic_ms();
    struct err mine = ERR_INIT;
    enum err_code code = ERR_TEMP;

    if (left > global->rcpt_timeout)
        left = global->rcpt_timeout;
    if (recipient->ticket)
        code = flow_resolve_wait(recipient->ticket, start + (left > 0 ? left : 0), finding, &mine);
    message->rcpt_wait_ms += clock_monotonic_ms() - start;
    if (code == ERR_OK || code == ERR_TEMP)
        return ERR_OK;
    return err_set_reason(err, code, mine.reason, "%s", mine.text);
}

enum err_code
flow_early_check(struct flow_message *message, bool *refused, struct flow_answer *answer,
                 struct err *err)
{
    const struct flow_recipient *recipient = &message->recipients[message->count - 1];
    const struct flow_finding *finding = NULL;
    const struct conf_rule *rule;
    const char *reason;
    bool certain;
    enum err_code code;

    *refused = false;
    if (message->direction != CONF_DIRECTION_OUT || message->is_arrival ||
        strcmp(message->direction_why, "local") == 0)
        return ERR_OK;
    code = flow_rules_find(message, recipient->address, &rule, &certain, err);
    if (code != ERR_OK || !policy_early_decides(message->conf, rule, certain))
        return code;
    if (!recipient->valid || !recipient->address[0]) {
        early_answer(message, recipient->address, "no-certificate",
                     "not an address that a certificate could name", false, answer);
        *refused = true;
        return ERR_OK;
    }
    code = early_wait(message, recipient, &finding, err);
    if (code != ERR_OK || (finding && finding->group))
        return code;
    reason = finding ? early_lacks(message, recipient, rule, finding) : "deadline";
    if (!reason)
        return ERR_OK;
    early_answer(message, recipient->address, reason,
                 finding ? finding->lookup.answer.text : "finding out took too long",
                 !finding || finding->known == POLICY_UNKNOWN, answer);
    *refused = true;
    return ERR_OK;
}
