#include "flow/dispatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/mark.h"
#include "flow/resubmission.h"
#include "mime/address.h"
#include "mime/header.h"
#include "smime/hash.h"
#include "util/spool.h"

enum { DISPATCH_BODY_SLACK = 1 << 20 };

/* ---- the body, once ----------------------------------------------------------------------------
 */

struct body {
    struct spool *spool;
    struct smime_hash hash;
    bool is_8bit, ends;   /* with a line end */
    uint64_t size, asked; /* octets; how many the budget knows of */
    const struct flow_dispatch *dispatch;
};

static enum err_code
body_ask_budget(struct body *body, struct err *err)
{
    const struct flow_dispatch *dispatch = body->dispatch;

    body->asked = body->size;
    if (!dispatch->budget || dispatch->budget(dispatch->context, body->size))
        return ERR_OK;
    return err_set_reason(err, ERR_TEMP, "busy",
                          "the messages in flight hold as many octets as are allowed");
}

static bool
has_8bit(struct span piece)
{
    unsigned char seen = 0;

    for (size_t i = 0; i < piece.n; i++)
        seen |= piece.p[i];
    return seen > 127;
}

static enum err_code
body_write(void *context, struct span piece, struct err *err)
{
    struct body *body = context;

    if (piece.n == 0)
        return ERR_OK;
    body->is_8bit = body->is_8bit || has_8bit(piece);
    body->ends = piece.p[piece.n - 1] == '\n';
    body->size += piece.n;
    if (body->size - body->asked >= FLOW_DISPATCH_BUDGET_STEP &&
        body_ask_budget(body, err) != ERR_OK)
        return err->code;
    if (smime_hash_write(&body->hash, piece, err) != ERR_OK)
        return err->code;
    return spool_write(body->spool, piece, err);
}

/* The peer sees a last line that ends; so does the digest. */
static enum err_code
body_finish(struct body *body, struct err *err)
{
    if (!body->ends && body->size > 0 && body_write(body, span_str("\r\n"), err) != ERR_OK)
        return err->code;
    if (smime_hash_finish(&body->hash, err) != ERR_OK)
        return err->code;
    if (body_ask_budget(body, err) != ERR_OK)
        return err->code;
    return spool_finish(body->spool, err);
}

static enum err_code
body_load(struct body *body, const struct flow_dispatch *dispatch, struct err *err)
{
    const struct conf_global *global = &dispatch->services->conf->global;
    const struct spool_args args = { .folder = global->spool_folder,
                                     .memory_bytes = global->spool_memory,
                                     .limit_bytes = 2 * global->max_message + DISPATCH_BODY_SLACK };
    struct stage *sink = NULL;

    if (smime_hash_new(&body->hash, NID_sha256, err) != ERR_OK ||
        spool_new(&args, &body->spool, err) != ERR_OK ||
        stage_sink_new(body_write, body, &sink, err) != ERR_OK ||
        dispatch->body(dispatch->context, sink, err) != ERR_OK)
        return err->code;
    return body_finish(body, err);
}

static void
body_deinit(struct body *body)
{
    spool_free(&body->spool);
    smime_hash_deinit(&body->hash);
    if (body->asked > 0 && body->dispatch->budget)
        (void)body->dispatch->budget(body->dispatch->context, 0);
}

/* ---- the mark ----------------------------------------------------------------------------------
 */

/* As flow/message will write them down when the copy comes back. */
static char *
formatted(const char *address)
{
    char text[MIME_ADDRESS_SIZE];
    struct err ignored = ERR_INIT;

    return mime_address_format(span_str(address), text, &ignored) == ERR_OK ? strdup(text)
                                                                            : strdup(address);
}

static enum err_code
dispatch_mark(const struct flow_dispatch *dispatch, const struct body *body,
              char mark[FLOW_MARK_SIZE], struct err *err)
{
    char **recipients = calloc(dispatch->count + 1, sizeof *recipients);
    char *sender = formatted(dispatch->sender);
    struct mime_header *header = NULL;
    struct flow_mark_copy copy = { .recipients = (const char *const *)recipients,
                                   .sender = sender,
                                   .body = smime_hash_get(&body->hash, NID_sha256) };
    enum err_code code = recipients && sender ? ERR_OK : ERR_NOMEM;

    for (; code == ERR_OK && copy.count < dispatch->count; copy.count++) {
        recipients[copy.count] = formatted(dispatch->recipients[copy.count].address);
        code = recipients[copy.count] ? ERR_OK : ERR_NOMEM;
    }
    if (code != ERR_OK) {
        err_set(err, code, "no memory for a mark");
        goto out;
    }
    code = mime_header_new(dispatch->header.n + 2, MIME_HEADER_LIMIT_FIELDS * 2, &header, err);
    if (code == ERR_OK)
        code = mime_header_parse(header, dispatch->header, err);
    copy.header = header;
    if (code == ERR_OK)
        code = flow_mark_format(flow_resubmission_mark(dispatch->services->resubmission), &copy,
                                mark, err);
out:
    for (size_t i = 0; recipients && i < dispatch->count; i++)
        free(recipients[i]);
    free(recipients);
    free(sender);
    mime_header_free(&header);
    return code;
}

/* ---- the conversation --------------------------------------------------------------------------
 */

/* What the peer said to the message is an answer; else `err` stands. A listener whose milter does
 * not know our mark is set up wrongly, which is no fault of the message. */
static enum err_code
dispatch_refused(struct flow_dispatch_result *result, struct err *err)
{
    const struct flow_resubmit_reply *reply = &result->reply;

    if (strstr(reply->text, FLOW_MARK_REFUSAL)) {
        err_reset(err);
        return err_set_reason(err, ERR_TEMP, "resubmit-mark",
                              "the listener's milter refused a copy: %.300s", reply->text);
    }
    if (err->code != ERR_OK && !(err->reason && strcmp(err->reason, "resubmit-refused") == 0))
        return err->code;
    err_reset(err);
    result->end = FLOW_DISPATCH_REFUSED;
    return ERR_OK;
}

/* RCPT for all. *accepted: every one of them was. */
static enum err_code
dispatch_envelope(struct flow_dispatch *dispatch, struct flow_resubmit *resubmit,
                  struct flow_dispatch_result *result, bool *accepted, struct err *err)
{
    *accepted = true;
    for (size_t i = 0; i < dispatch->count; i++) {
        struct flow_dispatch_recipient *one = &dispatch->recipients[i];

        if (flow_resubmit_add(resubmit, one->address, one->parameters, &one->reply, err) !=
            ERR_OK) {
            result->reply = one->reply;
            return dispatch_refused(result, err);
        }
        if (one->reply.code / 100 == 2 || !*accepted)
            continue;
        *accepted = false;
        result->end = FLOW_DISPATCH_RECIPIENT;
        result->reply = one->reply;
    }
    return ERR_OK;
}

static enum err_code
dispatch_content(const struct flow_dispatch *dispatch, const struct body *body, const char *mark,
                 struct stage *sink, struct err *err)
{
    if (stage_write(sink, span_str(FLOW_MARK_FIELD ": "), err) != ERR_OK ||
        stage_write(sink, span_str(mark), err) != ERR_OK ||
        stage_write(sink, span_str("\r\n"), err) != ERR_OK ||
        stage_write(sink, dispatch->header, err) != ERR_OK ||
        stage_write(sink, span_str("\r\n"), err) != ERR_OK ||
        spool_copy(body->spool, sink, err) != ERR_OK)
        return err->code;
    return stage_finish(sink, err);
}

/* "2.0.0 Ok: queued as 4XYZ" (Postfix), "2.0.0 xyz Message accepted for delivery" (Sendmail). */
static void
find_queue_id(struct flow_dispatch_result *result)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *text = result->reply.text, *at = strstr(text, "queued as ");
    size_t n;

    if (at)
        at += strlen("queued as ");
    else if (strstr(text, " Message accepted"))
        at = strncmp(text, "2.0.0 ", 6) == 0 ? text + 6 : text;
    n = at ? strspn(at, letters) : 0;
    if (n > 0 && n < sizeof result->queue_id)
        snprintf(result->queue_id, sizeof result->queue_id, "%.*s", (int)n, at);
}

static enum err_code
dispatch_send(struct flow_dispatch *dispatch, const struct body *body,
              struct flow_resubmit *resubmit, struct flow_dispatch_result *result, struct err *err)
{
    enum flow_resubmit_end end = FLOW_RESUBMIT_REFUSED;
    struct stage *sink = NULL;
    char mark[FLOW_MARK_SIZE];
    enum err_code code = dispatch_mark(dispatch, body, mark, err);

    if (code != ERR_OK)
        return code;
    if (flow_resubmit_open(resubmit, &sink, &result->reply, err) != ERR_OK)
        return dispatch_refused(result, err);
    code = dispatch_content(dispatch, body, mark, sink, err);
    stage_free(&sink);
    explicit_bzero(mark, sizeof mark);
    if (code == ERR_OK)
        code = flow_resubmit_close(resubmit, &end, &result->reply, err);
    if (code != ERR_OK)
        return code;
    if (end == FLOW_RESUBMIT_REFUSED)
        return dispatch_refused(result, err);
    result->end = end == FLOW_RESUBMIT_TAKEN ? FLOW_DISPATCH_TAKEN : FLOW_DISPATCH_LOST;
    find_queue_id(result);
    return ERR_OK;
}

static enum err_code
dispatch_talk(struct flow_dispatch *dispatch, const struct body *body,
              struct flow_dispatch_result *result, struct err *err)
{
    const struct flow_resubmit_args args = {
        .server = dispatch->services->conf->global.resubmit_server,
        .helo = dispatch->services->hostname,
        .sender = dispatch->sender,
        .parameters = dispatch->parameters,
        .is_8bit = body->is_8bit || has_8bit(dispatch->header),
        .is_utf8 = dispatch->is_utf8,
        .deadline_ms = dispatch->deadline_ms,
    };
    struct flow_resubmit *resubmit = NULL;
    bool accepted = false;
    enum err_code code;

    if (flow_resubmit_new(&args, &resubmit, &result->reply, err) != ERR_OK)
        return dispatch_refused(result, err);
    code = dispatch_envelope(dispatch, resubmit, result, &accepted, err);
    if (code == ERR_OK && accepted && result->end == FLOW_DISPATCH_TAKEN)
        code = dispatch_send(dispatch, body, resubmit, result, err);
    flow_resubmit_free(&resubmit);
    return code;
}

enum err_code
flow_dispatch_write(struct flow_dispatch *dispatch, struct flow_dispatch_result *result,
                    struct err *err)
{
    struct body body = { .ends = true, .dispatch = dispatch };
    enum err_code code;

    *result = (struct flow_dispatch_result){ .end = FLOW_DISPATCH_TAKEN };
    for (size_t i = 0; i < dispatch->count; i++)
        dispatch->recipients[i].reply = (struct flow_resubmit_reply){ .code = 0 };
    if (!dispatch->services->conf->global.resubmit_server[0])
        return err_set_reason(err, ERR_TEMP, "resubmit-server",
                              "resubmit_server is not set: no copies and no letters can be sent");
    if (dispatch->count == 0)
        return err_set(err, ERR_BUG, "a message for nobody");
    smime_hash_init(&body.hash);
    code = body_load(&body, dispatch, err);
    result->size = body.size;
    if (code == ERR_OK)
        code = dispatch_talk(dispatch, &body, result, err);
    body_deinit(&body);
    return code;
}

/* ---- letters -----------------------------------------------------------------------------------
 */

static enum err_code
letter_write(void *context, struct stage *sink, struct err *err)
{
    const struct span *body = context;
    enum err_code code = stage_write(sink, *body, err);

    if (code == ERR_OK)
        code = stage_finish(sink, err);
    stage_free(&sink);
    return code;
}

/* The header of a letter: up to and with the CRLF in front of the empty line. */
static struct span
letter_header(struct span letter)
{
    for (size_t i = 0; i + 4 <= letter.n; i++) {
        if (memcmp(letter.p + i, "\r\n\r\n", 4) == 0)
            return span_of(letter.p, i + 2);
    }
    return span_of(letter.p, 0);
}

enum err_code
flow_dispatch_letter(struct flow_services *services, const char *to, const struct buf *letter,
                     int64_t deadline_ms, struct err *err)
{
    struct flow_dispatch_recipient recipient = { .address = to };
    struct span header = letter_header(buf_span(letter));
    struct span body = span_from(buf_span(letter), header.n + 2);
    struct flow_dispatch dispatch = {
        .services = services,
        .sender = "",
        .is_utf8 = has_8bit(span_str(to)),
        .recipients = &recipient,
        .count = 1,
        .header = header,
        .body = letter_write,
        .context = &body,
        .deadline_ms = deadline_ms,
    };
    struct flow_dispatch_result result;
    enum err_code code;

    if (header.n == 0)
        return err_set(err, ERR_BUG, "a letter without a header");
    code = flow_dispatch_write(&dispatch, &result, err);
    if (code != ERR_OK || result.end == FLOW_DISPATCH_TAKEN)
        return code;
    if (result.end == FLOW_DISPATCH_LOST)
        return err_set_reason(err, ERR_TEMP, "resubmit-lost", "a letter to %.200s: %.200s", to,
                              result.reply.text);
    return err_set_reason(err, result.reply.code >= 500 ? ERR_PERM : ERR_TEMP, "resubmit-refused",
                          "a letter to %.200s: %d %.200s", to, result.reply.code,
                          result.reply.text);
}
