#include "milter/callbacks.h"

#include <assert.h>
#include <string.h>

#include "flow/reply.h"
#include "milter/message.h"
#include "milter/reply.h"
#include "util/log.h"

static const unsigned long required_actions = SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_CHGBODY |
                                              SMFIF_ADDRCPT | SMFIF_DELRCPT | SMFIF_QUARANTINE |
                                              SMFIF_CHGFROM | SMFIF_SETSYMLIST;
static const unsigned long required_steps = SMFIP_SKIP | SMFIP_HDR_LEADSPC;

/* Steps that need no answer, and what their callbacks return: each answer wakes the MTA and makes
 * us wait for it. What is to be said at the end of the header is said at the first piece of the
 * body, or at the end where there is none. libmilter answers by itself where the MTA has no such
 * steps. Written once, before other threads exist. */
static const unsigned long unanswered_steps =
    SMFIP_NR_CONN | SMFIP_NR_DATA | SMFIP_NR_HDR | SMFIP_NR_EOH;
static bool has_unanswered_steps;

static sfsistat
go_on_unanswered(void)
{
    return has_unanswered_steps ? SMFIS_NOREPLY : SMFIS_CONTINUE;
}

/* NULL: there never was a connect, or no memory for its session. */
static struct milter_session *
session_of(SMFICTX *ctx)
{
    struct milter_session *session = smfi_getpriv(ctx);

    assert(!session || session->magic == MILTER_SESSION_MAGIC);
    return session;
}

static const char *
macro(SMFICTX *ctx, const char *name)
{
    return smfi_getsymval(ctx, (char *)name);
}

/* The queue-id: known from DATA on (SMTP), from MAIL on (mail that Postfix picked up, Sendmail). */
static void
set_id(SMFICTX *ctx, struct milter_message *message)
{
    const char *id = macro(ctx, "i");

    if (id)
        flow_message_set_id(message->flow, id);
}

static enum milter_result
result_of(const struct flow_answer *answer)
{
    switch (answer->kind) {
    case FLOW_REFUSE:
        return MILTER_RESULT_REFUSED;
    case FLOW_DEFER:
        return strcmp(answer->enhanced, "4.3.2") == 0 ? MILTER_RESULT_BUSY : MILTER_RESULT_DEFERRED;
    default:
        return MILTER_RESULT_DELIVERED;
    }
}

/* The status of a step that, when it is not "go on", ends the message. */
static sfsistat
answer_step(SMFICTX *ctx, struct milter_session *session, const struct flow_answer *answer)
{
    sfsistat status = milter_reply_set(ctx, answer);

    if (answer->kind == FLOW_ACCEPT_REST && session->message)
        session->message->skip = true;
    if (status != SMFIS_CONTINUE && session->message) {
        if (session->message->result == MILTER_RESULT_ABORTED)
            session->message->result = result_of(answer);
        milter_message_free(session);
    }
    return status;
}

/* A step of a message that is not there: the MTA went on after we had refused it, or memory was
 * short at connect. Nothing passes that we have not seen from its start. */
static sfsistat
answer_lost(SMFICTX *ctx)
{
    struct flow_answer answer;

    flow_reply_set(&answer, 451, "4.3.0", "The message was not seen from its start; try again");
    return milter_reply_set(ctx, &answer);
}

static sfsistat
on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long steps, unsigned long unused0,
             unsigned long unused1, unsigned long *actions_out, unsigned long *steps_out,
             unsigned long *unused0_out, unsigned long *unused1_out)
{
    static const struct {
        int stage;
        const char *names;
    } macros[] = {
        { SMFIM_CONNECT, "j {daemon_name} {client_addr}" },
        { SMFIM_ENVFROM, "i {auth_authen} {auth_type} {daemon_name}" },
        { SMFIM_DATA, "i" },
        { SMFIM_EOH, "i" },
        { SMFIM_EOM, "i" },
    };

    (void)unused0, (void)unused1;
    *unused0_out = *unused1_out = 0;
    if ((actions & required_actions) != required_actions ||
        (steps & required_steps) != required_steps) {
        log_warn(
            "negotiate", NULL,
            "the MTA offers too little of the milter protocol (actions %lx of %lx, steps %lx of "
            "%lx): Postfix needs milter_protocol = 6",
            actions & required_actions, required_actions, steps & required_steps, required_steps);
        return SMFIS_REJECT;
    }
    for (size_t i = 0; i < sizeof macros / sizeof macros[0]; i++) {
        if (smfi_setsymlist(ctx, macros[i].stage, (char *)macros[i].names) != MI_SUCCESS)
            return SMFIS_REJECT;
    }
    *actions_out = required_actions;
    /* Steps that libmilter found no callback for are in *steps_out already. */
    *steps_out = (*steps_out & steps & (SMFIP_NOHELO | SMFIP_NOUNKNOWN)) | required_steps;
    if (has_unanswered_steps)
        *steps_out |= steps & unanswered_steps;
    return SMFIS_CONTINUE;
}

static sfsistat
on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
    struct milter_session *session = session_of(ctx);

    smfi_setpriv(ctx, NULL);
    milter_session_free(&session);
    session =
        milter_session_new(host, (const struct sockaddr *)address, macro(ctx, "{daemon_name}"));
    if (session && smfi_setpriv(ctx, session) != MI_SUCCESS)
        milter_session_free(&session);
    /* Without a session every MAIL is answered 451: an answer at connect is not shown by every MTA.
     */
    return go_on_unanswered();
}

static sfsistat
on_mail(SMFICTX *ctx, char **arguments)
{
    struct milter_session *session = session_of(ctx);
    struct milter_message_macros macros = {
        .queue_id = macro(ctx, "i"),
        .daemon_name = macro(ctx, "{daemon_name}"),
        .login = macro(ctx, "{auth_authen}"),
        .auth_type = macro(ctx, "{auth_type}"),
    };
    struct flow_answer answer;

    if (!session || session->refused) {
        milter_message_busy("as many connections are open as are allowed", &answer);
        return milter_reply_set(ctx, &answer);
    }
    milter_message_new(session, &macros, &answer);
    if (session->message) {
        flow_message_sender(session->message->flow, arguments[0] ? arguments[0] : "", &answer);
        if (answer.kind == FLOW_CONTINUE && arguments[0])
            flow_message_set_parameters(session->message->flow, arguments + 1, &answer);
    }
    return answer_step(ctx, session, &answer);
}

static sfsistat
on_recipient(SMFICTX *ctx, char **arguments)
{
    struct milter_session *session = session_of(ctx);
    struct flow_answer answer;

    if (!session || !session->message)
        return answer_lost(ctx);
    /* A refused recipient is not the end of the message. */
    flow_message_recipient(session->message->flow, arguments[0] ? arguments[0] : "", &answer);
    if (answer.kind == FLOW_CONTINUE && arguments[0])
        flow_message_set_parameters(session->message->flow, arguments + 1, &answer);
    return milter_reply_set(ctx, &answer);
}

static sfsistat
on_data(SMFICTX *ctx)
{
    struct milter_session *session = session_of(ctx);

    if (session && session->message)
        set_id(ctx, session->message);
    else if (!has_unanswered_steps)
        return answer_lost(ctx);
    return go_on_unanswered();
}

static sfsistat
on_header(SMFICTX *ctx, char *name, char *value)
{
    struct milter_session *session = session_of(ctx);
    struct flow_answer answer;

    if (!session || !session->message)
        return has_unanswered_steps ? SMFIS_NOREPLY : answer_lost(ctx);
    /* A refusal is repeated by flow/ at every later step: without an answer here it is the body's.
     */
    flow_message_header(session->message->flow, span_str(name), span_str(value), &answer);
    return has_unanswered_steps ? SMFIS_NOREPLY : answer_step(ctx, session, &answer);
}

static sfsistat
on_eoh(SMFICTX *ctx)
{
    struct milter_session *session = session_of(ctx);
    struct flow_answer answer;

    if (!session || !session->message)
        return has_unanswered_steps ? SMFIS_NOREPLY : answer_lost(ctx);
    set_id(ctx, session->message);
    flow_message_eoh(session->message->flow, &answer);
    if (has_unanswered_steps) {
        session->message->skip = answer.kind == FLOW_ACCEPT_REST;
        return SMFIS_NOREPLY;
    }
    if (answer.kind == FLOW_CONTINUE)
        milter_message_check_bytes(session->message, &answer);
    return answer_step(ctx, session, &answer);
}

static sfsistat
on_body(SMFICTX *ctx, unsigned char *piece, size_t size)
{
    struct milter_session *session = session_of(ctx);
    struct flow_answer answer;

    if (!session || !session->message)
        return answer_lost(ctx);
    /* SMFIS_SKIP is allowed here and nowhere else, so an earlier wish comes true now. */
    if (session->message->skip)
        return SMFIS_SKIP;
    flow_message_write(session->message->flow, span_of(piece, size), &answer);
    if (answer.kind == FLOW_CONTINUE)
        milter_message_check_bytes(session->message, &answer);
    sfsistat status = answer_step(ctx, session, &answer);
    return answer.kind == FLOW_ACCEPT_REST ? SMFIS_SKIP : status;
}

static sfsistat
on_eom(SMFICTX *ctx)
{
    struct milter_session *session = session_of(ctx);
    struct flow_answer answer;

    if (!session || !session->message)
        return answer_lost(ctx);
    set_id(ctx, session->message);
    milter_message_finish(session->message, ctx, &answer);
    sfsistat status = milter_reply_set(ctx, &answer);
    if (session->message->result == MILTER_RESULT_ABORTED)
        session->message->result = result_of(&answer);
    milter_message_free(session);
    return status;
}

static sfsistat
on_abort(SMFICTX *ctx)
{
    struct milter_session *session = session_of(ctx);

    if (session)
        milter_message_free(session);
    return SMFIS_CONTINUE;
}

static sfsistat
on_close(SMFICTX *ctx)
{
    struct milter_session *session = session_of(ctx);

    smfi_setpriv(ctx, NULL);
    milter_session_free(&session);
    return SMFIS_CONTINUE;
}

struct smfiDesc
milter_callbacks_get(bool is_unix)
{
    has_unanswered_steps = is_unix;
    return (struct smfiDesc){
        .xxfi_name = (char *)"smimed",
        .xxfi_version = SMFI_VERSION,
        .xxfi_flags = required_actions,
        .xxfi_connect = on_connect,
        .xxfi_envfrom = on_mail,
        .xxfi_envrcpt = on_recipient,
        .xxfi_header = on_header,
        .xxfi_eoh = on_eoh,
        .xxfi_body = on_body,
        .xxfi_eom = on_eom,
        .xxfi_abort = on_abort,
        .xxfi_close = on_close,
        .xxfi_data = on_data,
        .xxfi_negotiate = on_negotiate,
    };
}
