#include "flow/suspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "flow/digest.h"
#include "flow/patience.h"
#include "flow/poison.h"
#include "flow/reply.h"
#include "flow/result.h"
#include "flow/state.h"
#include "util/log.h"

static struct flow_poison *marks; /* set before other threads are there; NULL: nothing is marked */

static const char suspect_text[] = "this message has brought the mail gateway down before and is "
                                   "not looked at again; ask your administrator (poison)";

void
flow_suspect_init(const struct conf_global *global)
{
    struct err err = ERR_INIT;
    unsigned suspects = 0;
    char *path = NULL;

    if (asprintf(&path, "%s/poison.ring", global->state_folder) < 0)
        return;
    if (flow_poison_open(path, &marks, &suspects, &err) != ERR_OK)
        log_warn("poison", NULL, "messages that bring smimed down cannot be marked: %s", err.text);
    else if (suspects > 0)
        log_warn("poison", NULL,
                 "smimed was not stopped but ended: %u %s in flight, and not looked at again if "
                 "that happens once more",
                 suspects, suspects == 1 ? "message was" : "messages were");
    free(path);
}

void
flow_suspect_deinit(void)
{
    flow_poison_deinit(marks);
}

/* ---- the mark ----------------------------------------------------------------------------------
 */

/* Envelope and header section: what is the same when the client sends it again. Nothing of it is
 * parsed. */
static enum err_code
suspect_find_name(const struct flow_message *message, unsigned char *out, struct err *err)
{
    size_t fields = mime_header_count(message->header), count = 0;
    struct span *parts = calloc(1 + message->count + 2 * fields, sizeof *parts);
    enum err_code code;

    if (!parts)
        return err_set(err, ERR_NOMEM, "memory for the name of a message");
    parts[count++] = span_str(message->sender ? message->sender : "");
    for (size_t i = 0; i < message->count; i++)
        parts[count++] = span_str(message->recipients[i].address);
    for (size_t i = 0; i < fields; i++) {
        struct mime_header_field field = mime_header_get(message->header, i);

        parts[count++] = field.name;
        parts[count++] = field.value;
    }
    code = flow_digest_get(parts, count, out, err);
    free(parts);
    return code;
}

static void
suspect_answer(struct flow_message *message, struct flow_answer *answer)
{
    bool defer = message->conf->global.on_poison == CONF_ON_POISON_DEFER;

    flow_reply_set(&message->answer, defer ? 451 : 550, defer ? "4.7.1" : "5.6.0", suspect_text);
    message->ended = true;
    message->outcome.action = defer ? "defer" : "refuse";
    message->outcome.result = defer ? "deferred" : "refused";
    *answer = message->answer;
}

bool
flow_suspect_check(struct flow_message *message, struct flow_answer *answer)
{
    unsigned char name[FLOW_POISON_NAME_BYTES];
    struct err err = ERR_INIT;
    unsigned times;

    _Static_assert((int)FLOW_POISON_NAME_BYTES == (int)FLOW_DIGEST_BYTES, "a name is a digest");
    /* Without memory for a name it goes unmarked: whatever needs memory next will say so. */
    if (!marks || message->is_arrival || suspect_find_name(message, name, &err) != ERR_OK)
        return false;
    times = flow_poison_set(marks, name, &message->poison_slot);
    if (times > 0)
        log_warn("poison", message->id, "this message was in flight %u %s when smimed ended%s",
                 times, times == 1 ? "time" : "times",
                 times < FLOW_POISON_TIMES ? "" : ": it is not looked at");
    if (times < FLOW_POISON_TIMES)
        return false;
    message->poisoned = true;
    message->outcome.reason = "poison";
    if (message->direction == CONF_DIRECTION_OUT ||
        message->conf->global.on_poison != CONF_ON_POISON_QUARANTINE)
        suspect_answer(message, answer);
    else
        answer->kind = FLOW_ACCEPT_REST;
    return true;
}

void
flow_suspect_set_failure(struct flow_message *message, const struct err *err, int phase)
{
    bool cut;

    if (phase != FLOW_PHASE_BUILD || !err->reason || strcmp(err->reason, "deadline") != 0)
        return;
    (void)flow_patience_find(message, &cut);
    message->stalled |= !cut;
}

void
flow_suspect_set_end(struct flow_message *message)
{
    if (message->poison_slot >= 0)
        flow_poison_finish(marks, &message->poison_slot,
                           message->stalled                      ? FLOW_POISON_STALLED
                           : message->finished || message->ended ? FLOW_POISON_WELL
                                                                 : FLOW_POISON_ABORTED);
}

/* ---- quarantine --------------------------------------------------------------------------------
 */

/* Every field of that name, in whatever case and with white space behind it, the last first. */
static enum err_code
suspect_delete(struct flow_message *message, const char *name, struct err *err)
{
    enum err_code code = ERR_OK;

    for (size_t i = mime_header_find_count(message->header, name); code == ERR_OK && i > 0; i--) {
        code =
            flow_edits_add(&message->edits, FLOW_EDIT_DELETE_HEADER, name, NULL, (unsigned)i, err);
        message->outcome.forged++;
    }
    return code;
}

static enum err_code
suspect_edit(struct flow_message *message, struct err *err)
{
    struct flow_verification_result result = { .verdict = { .result = POLICY_RESULT_PERMERROR,
                                                            .reason = "poison" } };
    struct buf value = BUF_INIT(FLOW_RESULT_LIMIT_BYTES);
    enum err_code code = suspect_delete(message, FLOW_RESULT_FIELD, err);

    snprintf(result.text, sizeof result.text,
             "the message has brought the mail gateway down before and was not looked at");
    if (code == ERR_OK)
        code = flow_result_format(message->services->authserv_id, &result, &value, err);
    if (code == ERR_OK)
        code = flow_edits_add(&message->edits, FLOW_EDIT_INSERT_HEADER, FLOW_RESULT_FIELD,
                              buf_str(&value), 0, err);
    if (code == ERR_OK)
        code = flow_edits_add(&message->edits, FLOW_EDIT_QUARANTINE, NULL,
                              "brought the mail gateway down before (poison)", 0, err);
    buf_free(&value);
    return code;
}

void
flow_suspect_finish(struct flow_message *message, struct flow_answer *answer)
{
    struct err err = ERR_INIT;

    if (suspect_edit(message, &err) != ERR_OK) {
        flow_state_fail(message, &err, FLOW_PHASE_BUILD, answer);
        return;
    }
    message->outcome.action = "quarantine";
    message->outcome.result = "ok";
    message->outcome.smime = "permerror";
}

unsigned
flow_suspect_reset(void)
{
    return flow_poison_reset(marks, NULL);
}

void
flow_suspect_get(unsigned *suspects, unsigned *poisoned)
{
    flow_poison_get(marks, suspects, poisoned);
}
