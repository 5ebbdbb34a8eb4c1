#include "milter/message.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flow/arrival.h"
#include "flow/harvest.h"
#include "flow/patience.h"
#include "flow/reply.h"
#include "milter/edits.h"
#include "milter/progress.h"
#include "util/clock.h"
#include "util/log.h"

enum { COPIES_PATIENCE_MS = 1000 };

static socklen_t
address_size(const struct sockaddr *address)
{
    switch (address->sa_family) {
    case AF_INET:
        return sizeof(struct sockaddr_in);
    case AF_INET6:
        return sizeof(struct sockaddr_in6);
    default:
        return 0; /* a Unix socket or something new: a client we know nothing of */
    }
}

struct milter_session *
milter_session_new(const char *host, const struct sockaddr *address, const char *daemon_name)
{
    struct milter_session *session = calloc(1, sizeof *session);
    struct flow_services *services = flow_services_get1();

    if (!session || !services)
        goto fail;
    session->magic = MILTER_SESSION_MAGIC;
    if (host && !(session->host = strdup(host)))
        goto fail;
    if (address && address_size(address) > 0) {
        memcpy(&session->address, address, address_size(address));
        session->has_address = true;
    }
    session->is_arrival = flow_arrival_is(services->conf, daemon_name);
    session->refused = session->is_arrival
                           ? !milter_budget_take_arrival(services->conf->global.max_connections)
                           : !milter_budget_take_connection(services->conf->global.max_connections);
    flow_services_free(&services);
    return session;
fail:
    flow_services_free(&services);
    if (session)
        free(session->host);
    free(session);
    return NULL;
}

void
milter_session_free(struct milter_session **session)
{
    if (!session || !*session)
        return;
    milter_message_free(*session);
    if (!(*session)->refused && (*session)->is_arrival)
        milter_budget_release_arrival();
    else if (!(*session)->refused)
        milter_budget_release_connection();
    (*session)->magic = 0;
    free((*session)->host);
    free(*session);
    *session = NULL;
}

void
milter_message_busy(const char *reason, struct flow_answer *answer)
{
    struct err err = ERR_INIT;

    err_set_reason(&err, ERR_LIMIT, "busy", "%s", reason);
    flow_reply_error(&err, FLOW_PHASE_BUDGET, answer);
    log_warn("busy", NULL, "mail is deferred: %s", reason);
}

/* flow_message_budget_fn */
static bool
copy_fits(void *context, uint64_t more)
{
    struct milter_message *message = context;

    return milter_budget_set_bytes_to_end(&message->held_bytes,
                                          flow_message_bytes(message->flow) + more,
                                          message->services->conf->global.max_bytes);
}

void
milter_message_new(struct milter_session *session, const struct milter_message_macros *macros,
                   struct flow_answer *answer)
{
    struct err err = ERR_INIT;
    struct milter_message *message = NULL;
    struct flow_services *services = flow_services_get1();
    struct flow_client client = {
        .address = session->has_address ? (const struct sockaddr *)&session->address : NULL,
        .host = session->host,
        .daemon_name = macros->daemon_name,
        .login = macros->login,
        .auth_type = macros->auth_type,
    };

    milter_message_free(session);
    if (!services) {
        milter_message_busy("the configuration is not there", answer);
        return;
    }
    const struct conf_global *global = &services->conf->global;
    /* Who got the budgets of that listener is held to its rules, whatever a reload made of its
     * name. */
    if (session->is_arrival)
        client.daemon_name = global->resubmit_daemon;
    if (!session->is_arrival &&
        !milter_budget_take_message(global->max_messages, global->max_bytes)) {
        milter_message_busy("as many messages are in flight as are allowed", answer);
        flow_services_free(&services);
        return;
    }
    message = calloc(1, sizeof *message);
    if (!message) {
        err_set(&err, ERR_NOMEM, "memory for a message");
        goto fail;
    }
    message->result = MILTER_RESULT_ABORTED;
    message->is_arrival = session->is_arrival;
    if (flow_message_new(services, &client, &message->flow, &err))
        goto fail;
    message->services = services;
    flow_message_set_budget(message->flow, copy_fits, message);
    if (macros->queue_id)
        flow_message_set_id(message->flow, macros->queue_id);
    session->message = message;
    flow_reply_continue(answer);
    return;
fail:
    flow_reply_error(&err, FLOW_PHASE_ENVELOPE, answer);
    log_warn("message-new", NULL, "no message could begin: %s", err.text);
    if (!session->is_arrival)
        milter_budget_release_message(MILTER_RESULT_FAILED);
    free(message);
    flow_services_free(&services);
}

void
milter_message_free(struct milter_session *session)
{
    struct milter_message *message = session->message;

    if (!message)
        return;
    session->message = NULL;
    flow_message_log(message->flow);
    flow_message_free(&message->flow);
    flow_services_free(&message->services);
    (void)milter_budget_set_bytes(&message->held_bytes, 0, 0);
    if (!message->is_arrival)
        milter_budget_release_message(message->result);
    free(message);
}

void
milter_message_check_bytes(struct milter_message *message, struct flow_answer *answer)
{
    uint64_t limit = message->services->conf->global.max_bytes;

    if (message->is_arrival ||
        milter_budget_set_bytes(&message->held_bytes, flow_message_bytes(message->flow), limit))
        return;
    milter_message_busy("the messages in flight hold as many octets as are allowed", answer);
    flow_message_set_failed(message->flow, "busy");
}

static uint64_t processors = 1;

/* Once: the C library opens a file for each question. */
static void
count_processors(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    if (count > 0)
        processors = (uint64_t)count;
}

static uint64_t
slot_limit(const struct conf_global *global)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, count_processors);
    return global->max_crypto > 0 ? global->max_crypto : processors;
}

static void
write_edits(struct milter_message *message, const struct milter_edits_args *edits,
            struct flow_answer *answer)
{
    struct err err = ERR_INIT;

    if (milter_edits_write(edits, &err) == ERR_OK)
        return;
    /* Whatever the reason, it is ours and not the message's: 451, and the MTA forgets the edits. */
    flow_message_set_failed(message->flow, err.reason ? err.reason : err_code_name(err.code));
    log_warn("edits", NULL, "a message was deferred at its end: %s", err.text);
    flow_reply_set(answer, 451, "4.3.0", "The message could not be written; try again later");
    message->result = MILTER_RESULT_FAILED;
}

/* Copies are waited for more than computed: a listener that hangs must not keep the slots from the
 * messages of others. One that has not moved for a while no longer counts. */
static void
write_copies(struct milter_message *message, struct milter_budget_slot *slot, int64_t deadline_ms,
             struct flow_answer *answer)
{
    int64_t patience_ms = slot->patience_ms;

    slot->patience_ms = patience_ms < COPIES_PATIENCE_MS ? patience_ms : COPIES_PATIENCE_MS;
    milter_budget_reset_slot(slot);
    flow_message_write_copies(message->flow, deadline_ms, answer);
    slot->patience_ms = patience_ms;
    milter_budget_reset_slot(slot);
}

void
milter_message_finish(struct milter_message *message, SMFICTX *ctx, struct flow_answer *answer)
{
    const struct conf_global *global = &message->services->conf->global;
    int64_t now_ms = clock_monotonic_ms();
    int64_t patience_ms = flow_patience_find(message->flow, NULL);
    int64_t deadline_ms = now_ms + patience_ms;
    struct milter_budget_slot slot = { .patience_ms = patience_ms };
    struct milter_edits_args edits = {
        .ctx = ctx, .message = message->flow, .deadline_ms = deadline_ms, .slot = &slot
    };
    struct milter_progress progress;

    /* A copy of ours needs no processor: a slot may be what its own message holds. */
    if (message->is_arrival) {
        flow_message_finish(message->flow, deadline_ms, answer);
        if (answer->kind == FLOW_CONTINUE)
            write_edits(message, &edits, answer);
        return;
    }
    /* The MTA is kept patient while we wait, too. Whoever waits for a directory holds no slot: the
     * slots are for those who compute. */
    milter_progress_begin(&progress, ctx);
    flow_message_load(message->flow, now_ms + global->eom_timeout, answer);
    bool over = answer->kind == FLOW_REFUSE || answer->kind == FLOW_DEFER;
    bool taken = !over && milter_budget_take_slot(&slot, slot_limit(global), deadline_ms);
    if (taken)
        flow_message_finish(message->flow, deadline_ms, answer);
    if (taken && answer->kind == FLOW_COPIES)
        write_copies(message, &slot, deadline_ms, answer);
    milter_progress_end(&progress);
    if (over)
        return;
    if (!taken) {
        milter_message_busy("no end-of-message slot came free in time", answer);
        flow_message_set_failed(message->flow, "busy");
        message->result = MILTER_RESULT_BUSY;
        return;
    }
    if (answer->kind == FLOW_CONTINUE)
        write_edits(message, &edits, answer);
    if (answer->kind == FLOW_CONTINUE)
        flow_harvest_add(message->flow);
    milter_budget_release_slot(&slot);
}
