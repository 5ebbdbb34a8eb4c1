#include "flow/message.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "flow/arrival.h"
#include "flow/bypass.h"
#include "flow/choice.h"
#include "flow/copies.h"
#include "flow/direction.h"
#include "flow/early.h"
#include "flow/inbound.h"
#include "flow/letters.h"
#include "flow/outbound.h"
#include "flow/reply.h"
#include "flow/route.h"
#include "flow/state.h"
#include "flow/suspect.h"
#include "policy/rule.h"
#include "util/clock.h"
#include "util/log.h"

static void
message_check(const struct flow_message *message)
{
    assert(message->magic == FLOW_MESSAGE_MAGIC);
    (void)message;
}

/* "host [address]" for log lines of messages without a queue-id. */
static void
message_set_client(struct flow_message *message, const struct flow_client *client)
{
    char address[INET6_ADDRSTRLEN] = "";

    if (client->address && client->address->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, client->address, sizeof(in));
        inet_ntop(AF_INET, &in.sin_addr, address, sizeof(address));
    } else if (client->address && client->address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, client->address, sizeof(in6));
        inet_ntop(AF_INET6, &in6.sin6_addr, address, sizeof(address));
    }
    snprintf(message->client, sizeof(message->client), "%.200s%s%s%s",
             client->host ? client->host : "", address[0] ? "[" : "", address,
             address[0] ? "]" : "");
    if (!message->client[0])
        snprintf(message->client, sizeof(message->client), "local");
}

enum err_code
flow_message_new(struct flow_services *services, const struct flow_client *client,
                 struct flow_message **out, struct err *err)
{
    struct flow_message *message = calloc(1, sizeof(*message));
    enum err_code code;

    if (!message)
        return err_set(err, ERR_NOMEM, "memory for a message");
    message->magic = FLOW_MESSAGE_MAGIC;
    message->poison_slot = -1;
    message->services = flow_services_add1(services);
    message->conf = services->conf;
    message->is_arrival = flow_arrival_is(message->conf, client->daemon_name);
    message->direction = CONF_DIRECTION_IN;
    message->direction_why = "copies";
    if (!message->is_arrival)
        message->direction = flow_direction_find(message->conf, client, &message->direction_why);
    message->bypass = flow_bypass_get() != 0;
    message->outcome.result = "aborted";
    message_set_client(message, client);
    code = mime_header_new(message->conf->global.max_header, MIME_HEADER_LIMIT_FIELDS,
                           &message->header, err);
    if (code == ERR_OK)
        code = flow_rules_new(message->conf, &message->rules, err);
    if (code == ERR_OK && client->login && *client->login) {
        message->login = strdup(client->login);
        if (!message->login)
            code = err_set(err, ERR_NOMEM, "memory for a message");
    }
    if (code != ERR_OK) {
        flow_message_free(&message);
        return code;
    }
    *out = message;
    return ERR_OK;
}

static void
message_free_recipient(struct flow_recipient *recipient)
{
    flow_resolve_free_ticket(&recipient->ticket);
    flow_resolve_free_ticket(&recipient->inside_ticket);
    free(recipient->address);
    free(recipient->as_came);
    free(recipient->parameters);
    free(recipient->members);
    free(recipient->text);
}

void
flow_message_free(struct flow_message **message)
{
    struct flow_message *old = message ? *message : NULL;

    if (!old)
        return;
    *message = NULL;
    message_check(old);
    flow_suspect_set_end(old);
    flow_outbound_free(&old->outbound);
    flow_inbound_free(&old->inbound);
    flow_arrival_free(&old->arrival);
    flow_identity_free(&old->identity);
    for (size_t i = 0; i < old->count; i++)
        message_free_recipient(&old->recipients[i]);
    free(old->recipients);
    flow_rules_free(&old->rules);
    flow_edits_free(&old->edits);
    mime_header_free(&old->header);
    free(old->sender);
    free(old->parameters);
    free(old->login);
    flow_services_free(&old->services);
    old->magic = 0;
    free(old);
}

void
flow_message_set_id(struct flow_message *message, const char *queue_id)
{
    message_check(message);
    if (queue_id && *queue_id)
        snprintf(message->id, sizeof(message->id), "%s", queue_id);
}

/* ---- state shared by the files of flow/ --------------------------------------------------------
 */

const char *
flow_state_sender(const struct flow_message *message)
{
    if (message->from.address[0])
        return message->from.address;
    return message->sender ? message->sender : "";
}

struct policy_rule_question
flow_state_question(const struct flow_message *message, const char *recipient)
{
    return (struct policy_rule_question){ .direction = message->direction,
                                          .sender = flow_state_sender(message),
                                          .recipient = recipient,
                                          .message = flow_rules_message(message),
                                          .unvouched = message->identity.unvouched };
}

void
flow_state_fail(struct flow_message *message, const struct err *err, int phase,
                struct flow_answer *answer)
{
    struct flow_outcome *outcome = &message->outcome;

    flow_reply_error(err, (enum flow_phase)phase, &message->answer);
    message->ended = true;
    flow_suspect_set_failure(message, err, phase);
    outcome->action = message->answer.kind == FLOW_REFUSE ? "refuse" : "defer";
    outcome->result = message->answer.kind == FLOW_REFUSE ? "refused" : "deferred";
    outcome->reason = err->reason ? err->reason : err_code_name(err->code);
    snprintf(outcome->detail, sizeof(outcome->detail), "%s", err->text);
    flow_edits_free(&message->edits);
    *answer = message->answer;
}

/* True: an earlier step ended the message, and this one repeats its answer. */
static bool
message_has_ended(const struct flow_message *message, struct flow_answer *answer)
{
    message_check(message);
    flow_reply_continue(answer);
    if (message->ended)
        *answer = message->answer;
    return message->ended;
}

/* ---- envelope ----------------------------------------------------------------------------------
 */

/* An address of the envelope, without its brackets, formatted where it can be: returned in *out.
 * That it cannot be is an answer; that there is no memory to try is not. */
static enum err_code
message_format_address(const char *address, char **out, bool *valid, struct err *err)
{
    char formatted[MIME_ADDRESS_SIZE];
    struct err found = ERR_INIT;
    struct span bare = span_trim(span_str(address));
    enum err_code code = ERR_OK;

    if (bare.n >= 2 && bare.p[0] == '<' && bare.p[bare.n - 1] == '>')
        bare = span_of(bare.p + 1, bare.n - 2);
    /* MTAs deliver to <user@domain.> as to <user@domain>: so rules have to see it, or the dot would
     * be a way around the one for that domain. */
    if (bare.n > 1 && bare.p[bare.n - 1] == '.' && memchr(bare.p, '@', bare.n))
        bare.n--;
    if (bare.n >= FLOW_LIMIT_ADDRESS)
        code = ERR_LIMIT;
    else if (bare.n > 0)
        code = mime_address_format(bare, formatted, &found);
    if (code != ERR_OK && code != ERR_PERM && code != ERR_LIMIT)
        return err_set(err, code, "%s", found.text);
    *valid = code == ERR_OK;
    if (bare.n > FLOW_LIMIT_ADDRESS)
        bare.n = FLOW_LIMIT_ADDRESS;
    if (bare.n == 0)
        *out = strdup("");
    else
        *out = *valid ? strdup(formatted) : span_dup(bare);
    return *out ? ERR_OK : err_set(err, ERR_NOMEM, "memory for the envelope");
}

void
flow_message_sender(struct flow_message *message, const char *address, struct flow_answer *answer)
{
    struct err err = ERR_INIT;

    if (message_has_ended(message, answer))
        return;
    free(message->sender);
    message->sender = NULL;
    if (message_format_address(address, &message->sender, &message->sender_valid, &err) != ERR_OK)
        flow_state_fail(message, &err, FLOW_PHASE_ENVELOPE, answer);
}

static enum err_code
message_add_recipient(struct flow_message *message, const char *address, struct err *err)
{
    struct flow_recipient *list = message->recipients, *one;
    size_t cap = message->cap ? message->cap * 2 : 8;
    enum err_code code;

    if (message->count >= message->conf->global.max_recipients)
        return err_set(err, ERR_LIMIT, "more than %llu recipients",
                       (unsigned long long)message->conf->global.max_recipients);
    if (message->count == message->cap) {
        list = realloc(list, cap * sizeof(*list));
        if (!list)
            return err_set(err, ERR_NOMEM, "memory for the envelope");
        message->recipients = list;
        message->cap = cap;
    }
    one = &list[message->count];
    *one = (struct flow_recipient){ .known = POLICY_UNKNOWN, .reason = "not-asked" };
    one->rule = policy_rule_builtin();
    code = message_format_address(address, &one->address, &one->valid, err);
    one->as_came = code == ERR_OK ? strdup(address) : NULL;
    if (code == ERR_OK && !one->as_came) {
        free(one->address);
        code = err_set(err, ERR_NOMEM, "memory for the envelope");
    }
    message->count += code == ERR_OK;
    if (code != ERR_OK || message->is_arrival)
        return code;
    return flow_facts_start(message, message->count - 1, err);
}

void
flow_message_recipient(struct flow_message *message, const char *address,
                       struct flow_answer *answer)
{
    struct err err = ERR_INIT;
    bool local = strcmp(message->direction_why, "local") == 0;

    if (message_has_ended(message, answer)) {
        /* Postfix gives a local submission up when a filter refuses at RCPT: the answer waits for
         * the end of the header. */
        if (local)
            flow_reply_continue(answer);
        return;
    }
    if (message_add_recipient(message, address, &err) == ERR_OK) {
        bool refused = false;

        if (flow_early_check(message, &refused, answer, &err) == ERR_OK) {
            /* The message goes to the others. */
            if (refused)
                message_free_recipient(&message->recipients[--message->count]);
            return;
        }
    }
    if (err.code == ERR_LIMIT && !local) {
        /* The recipients before this one are served; the client sends the rest again (RFC 5321
         * 4.5.3.1.10). */
        flow_reply_error(&err, FLOW_PHASE_ENVELOPE, answer);
        return;
    }
    flow_state_fail(message, &err, FLOW_PHASE_ENVELOPE, answer);
    if (local)
        flow_reply_continue(answer);
}

void
flow_message_set_parameters(struct flow_message *message, char *const *arguments,
                            struct flow_answer *answer)
{
    char **at = message->count > 0 ? &message->recipients[message->count - 1].parameters
                                   : &message->parameters;
    struct buf text = BUF_INIT(FLOW_LIMIT_PARAMETERS);
    struct err err = ERR_INIT;
    enum err_code code = ERR_OK;

    if (message_has_ended(message, answer) || !arguments || !arguments[0])
        return;
    for (size_t i = 0; code == ERR_OK && arguments[i]; i++)
        code = buf_appendf(&text, &err, "%s%s", i > 0 ? " " : "", arguments[i]);
    free(*at);
    *at = code == ERR_OK ? strdup(buf_str(&text)) : NULL;
    if (code == ERR_OK && !*at)
        code = err_set(&err, ERR_NOMEM, "memory for the envelope");
    buf_free(&text);
    if (code != ERR_OK)
        flow_state_fail(message, &err, FLOW_PHASE_ENVELOPE, answer);
}

void
flow_message_header(struct flow_message *message, struct span name, struct span value,
                    struct flow_answer *answer)
{
    struct err err = ERR_INIT;

    if (message_has_ended(message, answer))
        return;
    message->header_bytes += name.n + value.n + 3;
    if (mime_header_set(message->header, name, value, &err) != ERR_OK)
        flow_state_fail(message, &err, FLOW_PHASE_HEADER, answer);
}

/* The header of a copy of ours, on the listener for copies. */
static void
message_begin_arrival(struct flow_message *message, struct flow_answer *answer)
{
    struct err err = ERR_INIT;

    message->wants_body = true;
    if (flow_arrival_new(message, &message->arrival, &err) != ERR_OK)
        flow_arrival_fail(message, &err, answer);
}

void
flow_message_eoh(struct flow_message *message, struct flow_answer *answer)
{
    struct err err = ERR_INIT;
    enum err_code code;

    if (message_has_ended(message, answer) || flow_suspect_check(message, answer))
        return;
    code = flow_from_load(message->header, &message->from, &err);
    if (code == ERR_OK && !message->sender) {
        message->sender = strdup("");
        message->sender_valid = true;
        if (!message->sender)
            code = err_set(&err, ERR_NOMEM, "memory for the envelope");
    }
    if (code == ERR_OK && message->is_arrival) {
        message_begin_arrival(message, answer);
        return;
    }
    if (code == ERR_OK)
        code = flow_arrival_check(message, &err);
    if (code == ERR_OK)
        code = flow_identity_new(message, &err);
    if (code == ERR_OK)
        code = flow_choice_load(message, &err);
    if (code == ERR_OK)
        code = flow_rules_load_header(message, &err);
    if (code == ERR_OK)
        code = flow_rules_find_all(message, &err);
    if (code == ERR_OK)
        code = flow_route_check(message, &err);
    if (code == ERR_PERM) {
        flow_state_fail(message, &err, FLOW_PHASE_ENVELOPE, answer);
        return;
    }
    if (code == ERR_OK)
        code = message->direction == CONF_DIRECTION_OUT ? flow_outbound_new(message, &err)
                                                        : flow_inbound_new(message, &err);
    if (code != ERR_OK) {
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
        return;
    }
    /* Size counts all of it. */
    message->wants_body |= flow_rules_are_open(message);
    if (!message->wants_body)
        answer->kind = FLOW_ACCEPT_REST;
}

void
flow_message_write(struct flow_message *message, struct span piece, struct flow_answer *answer)
{
    struct err err = ERR_INIT;
    enum err_code code = ERR_OK;

    if (message_has_ended(message, answer))
        return;
    message->body_bytes += piece.n;
    if (message->arrival) {
        if (flow_arrival_write(message->arrival, piece, &err) != ERR_OK)
            flow_arrival_fail(message, &err, answer);
        return;
    }
    if (message->header_bytes + message->body_bytes > message->conf->global.max_message) {
        (void)err_set_reason(&err, ERR_LIMIT, "too-large", "the message is larger than %llu octets",
                             (unsigned long long)message->conf->global.max_message);
        flow_state_fail(message, &err, FLOW_PHASE_BODY, answer);
        return;
    }
    if (!message->wants_body) {
        answer->kind = FLOW_ACCEPT_REST;
        return;
    }
    code = message->outbound ? flow_outbound_write(message->outbound, piece, &err)
                             : flow_inbound_write(message->inbound, piece, &err);
    if (code != ERR_OK)
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
}

/* ---- the end -----------------------------------------------------------------------------------
 */

/* What ended a message at its end is repeated to whoever asks again. */
static void
message_keep_answer(struct flow_message *message, const struct flow_answer *answer)
{
    if (answer->kind != FLOW_REFUSE && answer->kind != FLOW_DEFER)
        return;
    message->ended = true;
    message->answer = *answer;
    flow_edits_free(&message->edits);
}

void
flow_message_load(struct flow_message *message, int64_t deadline_ms, struct flow_answer *answer)
{
    if (message_has_ended(message, answer) || message->loaded)
        return;
    message->loaded = message->finished = true;
    message->outcome.size = message->header_bytes + message->body_bytes;
    if (message->outbound)
        flow_outbound_load(message, deadline_ms, answer);
    else if (message->inbound)
        flow_inbound_load(message, deadline_ms, answer);
    message_keep_answer(message, answer);
}

void
flow_message_finish(struct flow_message *message, int64_t deadline_ms, struct flow_answer *answer)
{
    struct err err = ERR_INIT;

    flow_message_load(message, deadline_ms, answer);
    if (message_has_ended(message, answer))
        return;
    if (message->outbound) {
        flow_outbound_finish(message, answer);
    } else if (message->inbound) {
        flow_inbound_finish(message, deadline_ms, answer);
    } else if (message->poisoned) {
        flow_suspect_finish(message, answer);
    } else if (message->arrival) {
        flow_arrival_finish(message, answer);
    } else {
        (void)err_set(&err, ERR_BUG, "end of message before the end of its header");
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
    }
    if (!message->ended && !message->arrival && flow_arrival_edit(message, &err) != ERR_OK)
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
    message->copies_wait = answer->kind == FLOW_COPIES;
    message_keep_answer(message, answer);
}

void
flow_message_write_copies(struct flow_message *message, int64_t deadline_ms,
                          struct flow_answer *answer)
{
    struct err err = ERR_INIT;

    if (message_has_ended(message, answer))
        return;
    if (!message->outbound || !message->copies_wait) {
        (void)err_set(&err, ERR_BUG, "no copies wait");
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
        return;
    }
    message->copies_wait = false;
    flow_copies_write(message, deadline_ms, answer);
    message_keep_answer(message, answer);
}

const struct flow_edits *
flow_message_edits(const struct flow_message *message)
{
    message_check(message);
    return &message->edits;
}

enum err_code
flow_message_write_body(struct flow_message *message, struct stage *sink, struct err *err)
{
    int64_t start = clock_monotonic_ms();
    enum err_code code;

    message_check(message);
    if ((!message->outbound && !message->inbound) || !message->finished || message->ended ||
        message->copies_wait) {
        stage_free(&sink);
        return err_set(err, ERR_BUG, "there is no body to write");
    }
    code = message->outbound ? flow_outbound_write_body(message, sink, err)
                             : flow_inbound_write_body(message->inbound, sink, err);
    message->outcome.crypto_ms += clock_monotonic_ms() - start;
    message->outcome.has_crypto = true;
    if (code != ERR_OK) {
        struct flow_answer ignored;

        flow_state_fail(message, err, FLOW_PHASE_BUILD, &ignored);
        message->outcome.result = "failed";
    }
    return code;
}

uint64_t
flow_message_bytes(const struct flow_message *message)
{
    uint64_t bytes = message->header_bytes;

    message_check(message);
    if (message->outbound)
        bytes += flow_outbound_bytes(message->outbound);
    if (message->inbound)
        bytes += flow_inbound_bytes(message->inbound);
    return bytes;
}

void
flow_message_set_budget(struct flow_message *message, flow_message_budget_fn *budget, void *context)
{
    message_check(message);
    message->budget = budget;
    message->budget_context = context;
}

void
flow_message_set_failed(struct flow_message *message, const char *reason)
{
    message_check(message);
    message->outcome.result = "failed";
    snprintf(message->outcome.detail, sizeof(message->outcome.detail), "%s", reason);
}

static bool
message_debug_is_on(const struct flow_message *message)
{
    if (log_debug_is_on(message->id[0] ? message->id : NULL, message->sender) ||
        log_debug_is_on(NULL, message->from.address))
        return true;
    for (size_t i = 0; i < message->count; i++) {
        if (log_debug_is_on(NULL, message->recipients[i].address))
            return true;
    }
    return false;
}

static void
message_log_debug(void *context, const char *topic, const char *text)
{
    const struct flow_message *message = context;

    log_debug_wanted(message->id[0] ? message->id : NULL, "%s: %s", topic, text);
}

void
flow_message_log(struct flow_message *message)
{
    message_check(message);
    if (message->outcome.logged)
        return;
    message->outcome.logged = true;
    flow_letters_refuse(message);
    /* Only a message that came to its end has facts and a decision to tell. */
    if (message->finished && message_debug_is_on(message))
        flow_message_explain(message, message_log_debug, message);
    flow_outcome_log(message);
}
