/*
 * smimectl explain: a message goes through the flow as it would from the MTA, up to the answer and
 * the edits; nothing is delivered, logged or kept.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/command.h"
#include "ctl/context.h"
#include "ctl/json.h"
#include "ctl/message.h"
#include "flow/bypass.h"
#include "flow/message.h"
#include "flow/patience.h"
#include "util/clock.h"

struct explain {
    struct ctl_common common;
    const char *from, *login, *client, *daemon;
    struct ctl_list recipients;
    struct flow_services *services;
    struct flow_message *message;
    struct flow_answer answer;
    struct flow_answer *replies; /* to each recipient, in the order of `recipients` */
    bool rest_skipped;           /* the flow wants no more of the body */
    struct ctl_json json;
};

/* Has the flow said its last word before the end of the message? */
static bool
explain_is_over(const struct explain *explain)
{
    return explain->answer.kind == FLOW_REFUSE || explain->answer.kind == FLOW_DEFER;
}

static enum err_code
explain_header(void *context, const struct mime_header *header, struct err *err)
{
    struct explain *explain = context;

    (void)err;
    for (size_t i = 0; !explain_is_over(explain) && i < mime_header_count(header); i++) {
        struct mime_header_field field = mime_header_get(header, i);

        flow_message_header(explain->message, field.name, field.value, &explain->answer);
    }
    if (!explain_is_over(explain))
        flow_message_eoh(explain->message, &explain->answer);
    explain->rest_skipped = explain->answer.kind == FLOW_ACCEPT_REST;
    return ERR_OK;
}

static enum err_code
explain_body(void *context, struct span piece, struct err *err)
{
    struct explain *explain = context;

    (void)err;
    if (explain->rest_skipped || explain_is_over(explain))
        return ERR_OK;
    flow_message_write(explain->message, piece, &explain->answer);
    explain->rest_skipped = explain->answer.kind == FLOW_ACCEPT_REST;
    return ERR_OK;
}

/* Without a FILE: the smallest message with that sender and these recipients in its header. */
static enum err_code
explain_write_sample(struct explain *explain, struct err *err)
{
    struct mime_header *header = NULL;
    struct buf to = BUF_INIT(CTL_MESSAGE_HEADER);
    struct buf from = BUF_INIT(CTL_MESSAGE_HEADER);
    enum err_code code =
        mime_header_new(CTL_MESSAGE_HEADER, MIME_HEADER_LIMIT_FIELDS, &header, err);

    for (size_t i = 0; code == ERR_OK && i < explain->recipients.count; i++)
        code = buf_appendf(&to, err, "%s%s", i > 0 ? ",\n " : " ", explain->recipients.list[i]);
    if (code == ERR_OK)
        code = buf_appendf(&from, err, " %s", explain->from);
    if (code == ERR_OK)
        code = mime_header_set(header, span_str("From"), buf_span(&from), err);
    if (code == ERR_OK)
        code = mime_header_set(header, span_str("To"), buf_span(&to), err);
    if (code == ERR_OK)
        code = mime_header_set(header, span_str("Subject"), span_str(" smimectl explain"), err);
    if (code == ERR_OK)
        code = explain_header(explain, header, err);
    if (code == ERR_OK)
        code = explain_body(explain, span_str("smimectl explain\r\n"), err);
    mime_header_free(&header);
    buf_free(&to);
    buf_free(&from);
    return code;
}

/* --client: false when it is no IP address. */
static bool
explain_find_client(const char *text, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
        v4->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
        v6->sin6_family = AF_INET6;
    else
        return false;
    return true;
}

/* A recipient who is refused is not the end of the message, as long as one is taken. */
static bool
explain_walk_recipients(struct explain *explain)
{
    bool taken = false;

    explain->replies = calloc(explain->recipients.count + 1, sizeof *explain->replies);
    for (size_t i = 0; explain->replies && i < explain->recipients.count; i++) {
        struct flow_answer *reply = &explain->replies[i];

        flow_message_recipient(explain->message, explain->recipients.list[i], reply);
        if (reply->kind == FLOW_CONTINUE)
            taken = true;
        else
            explain->answer = *reply;
    }
    if (taken)
        explain->answer = (struct flow_answer){ .kind = FLOW_CONTINUE };
    return taken;
}

static enum err_code
explain_walk(struct explain *explain, const struct flow_client *client, const char *path,
             struct err *err)
{
    enum err_code code = flow_message_new(explain->services, client, &explain->message, err);

    if (code != ERR_OK)
        return code;
    flow_message_set_id(explain->message, "explain");
    flow_message_sender(explain->message, explain->from, &explain->answer);
    if (explain_is_over(explain))
        return ERR_OK;
    if (!explain_walk_recipients(explain))
        return explain->replies ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for replies");
    code = path ? ctl_message_copy(path, explain_header, explain_body, explain, err)
                : explain_write_sample(explain, err);
    if (code == ERR_OK && !explain_is_over(explain))
        flow_message_finish(explain->message,
                            clock_monotonic_ms() + flow_patience_find(explain->message, NULL),
                            &explain->answer);
    return code;
}

static const char *
explain_kind(enum flow_answer_kind kind)
{
    switch (kind) {
    case FLOW_REFUSE:
        return "refuse";
    case FLOW_DEFER:
        return "defer";
    case FLOW_CONTINUE:
    case FLOW_ACCEPT_REST:
    case FLOW_COPIES:
    case FLOW_DISCARD:
        break;
    }
    return "accept";
}

static const char *
explain_edit_kind(enum flow_edit_kind kind)
{
    static const char *const names[] = {
        [FLOW_EDIT_DELETE_HEADER] = "delete-header",
        [FLOW_EDIT_INSERT_HEADER] = "insert-header",
        [FLOW_EDIT_CHANGE_HEADER] = "change-header",
        [FLOW_EDIT_CHANGE_SENDER] = "change-sender",
        [FLOW_EDIT_ADD_RECIPIENT] = "add-recipient",
        [FLOW_EDIT_DELETE_RECIPIENT] = "delete-recipient",
        [FLOW_EDIT_REPLACE_BODY] = "replace-body",
        [FLOW_EDIT_QUARANTINE] = "quarantine",
    };

    return names[kind];
}

static void
explain_each_json(void *context, const char *topic, const char *text)
{
    struct explain *explain = context;

    ctl_json_open(&explain->json, NULL, '{');
    ctl_json_text(&explain->json, "topic", topic);
    ctl_json_text(&explain->json, "text", text);
    ctl_json_close(&explain->json);
}

/* Numbers, too, as the log has them. */
static void
explain_outcome_json(void *context, const char *name, const char *value, bool is_number)
{
    struct explain *explain = context;

    (void)is_number;
    ctl_json_text(&explain->json, name, value);
}

static void
explain_outcome_text(void *context, const char *name, const char *value, bool is_number)
{
    (void)context;
    (void)is_number;
    printf(" %s=", name);
    ctl_print(value);
}

static void
explain_print_json(struct explain *explain)
{
    const struct flow_edits *edits = flow_message_edits(explain->message);
    struct ctl_json *json = &explain->json;

    ctl_json_init(json, stdout);
    ctl_json_open(json, NULL, '{');
    ctl_json_text(json, "answer", explain_kind(explain->answer.kind));
    ctl_json_number(json, "code", explain->answer.code);
    ctl_json_text(json, "enhanced", explain->answer.enhanced);
    ctl_json_text(json, "text", explain->answer.text);
    ctl_json_open(json, "lines", '[');
    flow_message_explain(explain->message, explain_each_json, explain);
    ctl_json_close(json);
    ctl_json_open(json, "edits", '[');
    for (size_t i = 0; !explain_is_over(explain) && i < edits->count; i++) {
        ctl_json_open(json, NULL, '{');
        ctl_json_text(json, "kind", explain_edit_kind(edits->list[i].kind));
        ctl_json_text(json, "name", edits->list[i].name);
        ctl_json_text(json, "value", edits->list[i].value);
        ctl_json_number(json, "index", edits->list[i].index);
        ctl_json_close(json);
    }
    ctl_json_close(json);
    ctl_json_open(json, "refused", '[');
    for (size_t i = 0; explain->replies && i < explain->recipients.count; i++) {
        if (explain->replies[i].kind == FLOW_CONTINUE)
            continue;
        ctl_json_open(json, NULL, '{');
        ctl_json_text(json, "recipient", explain->recipients.list[i]);
        ctl_json_number(json, "code", explain->replies[i].code);
        ctl_json_text(json, "text", explain->replies[i].text);
        ctl_json_close(json);
    }
    ctl_json_close(json);
    ctl_json_open(json, "outcome", '{');
    flow_message_outcome(explain->message, explain_outcome_json, explain);
    ctl_json_close(json);
    ctl_json_close(json);
}

static void
explain_each_text(void *context, const char *topic, const char *text)
{
    (void)context;
    ctl_print(topic);
    fputs(": ", stdout);
    ctl_print(text);
    putchar('\n');
}

static void
explain_print_text(struct explain *explain)
{
    const struct flow_edits *edits = flow_message_edits(explain->message);

    flow_message_explain(explain->message, explain_each_text, NULL);
    for (size_t i = 0; explain->replies && i < explain->recipients.count; i++) {
        if (explain->replies[i].kind == FLOW_CONTINUE)
            continue;
        fputs("recipient: ", stdout);
        ctl_print(explain->recipients.list[i]);
        printf(" is refused: %d %s ", explain->replies[i].code, explain->replies[i].enhanced);
        ctl_print(explain->replies[i].text);
        putchar('\n');
    }
    for (size_t i = 0; !explain_is_over(explain) && i < edits->count; i++) {
        const struct flow_edit *edit = &edits->list[i];

        printf("edit: %s", explain_edit_kind(edit->kind));
        if (edit->name) {
            putchar(' ');
            ctl_print(edit->name);
        }
        if (edit->value) {
            fputs(": ", stdout);
            ctl_print(edit->value);
        }
        putchar('\n');
    }
    if (explain_is_over(explain)) {
        printf("answer: %d %s ", explain->answer.code, explain->answer.enhanced);
        ctl_print(explain->answer.text);
        putchar('\n');
    } else {
        puts("answer: accept");
    }
    fputs("outcome:", stdout);
    flow_message_outcome(explain->message, explain_outcome_text, NULL);
    putchar('\n');
}

static int
explain_run(struct explain *explain, const char *path)
{
    struct sockaddr_storage address;
    struct flow_client client = { .daemon_name = explain->daemon, .login = explain->login };
    struct err err = ERR_INIT;
    int code;

    if (!explain->from || explain->recipients.count == 0) {
        ctl_say("explain needs --from and --rcpt");
        return CTL_EXIT_USAGE;
    }
    if (explain->client) {
        if (!explain_find_client(explain->client, &address)) {
            ctl_say("--client needs an IP address, not \"%s\"", explain->client);
            return CTL_EXIT_USAGE;
        }
        client.address = (struct sockaddr *)&address;
    }
    code = ctl_context_load(&explain->common, &explain->services);
    if (code != CTL_EXIT_YES)
        return code;
    /* As the daemon would: what is switched off is off here. */
    if (flow_bypass_load(&explain->services->conf->global, &err) != ERR_OK)
        err_reset(&err);
    if (explain_walk(explain, &client, path, &err) != ERR_OK)
        return ctl_fail(&err);
    if (explain->common.json)
        explain_print_json(explain);
    else
        explain_print_text(explain);
    switch (explain->answer.kind) {
    case FLOW_REFUSE:
        return CTL_EXIT_NO;
    case FLOW_DEFER:
        return CTL_EXIT_TEMP;
    default:
        return CTL_EXIT_YES;
    }
}

int
ctl_explain(int argc, char **argv)
{
    struct explain explain = { .from = NULL };
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(explain.common),
                                        { "from", 0, CTL_OPTION_VALUE, &explain.from },
                                        { "rcpt", 0, CTL_OPTION_LIST, &explain.recipients },
                                        { "login", 0, CTL_OPTION_VALUE, &explain.login },
                                        { "client", 0, CTL_OPTION_VALUE, &explain.client },
                                        { "daemon", 0, CTL_OPTION_VALUE, &explain.daemon },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_MAYBE };
    int code = CTL_EXIT_USAGE;

    if (ctl_options_parse(&options, argc, argv))
        code = explain_run(&explain, options.operand);
    free(explain.replies);
    flow_message_free(&explain.message);
    flow_services_free(&explain.services);
    ctl_options_free(&options);
    return code;
}
