#include "flow/arrival.h"

#include <stdlib.h>
#include <string.h>

#include "flow/mark.h"
#include "flow/reply.h"
#include "flow/resubmission.h"
#include "flow/state.h"
#include "smime/hash.h"
#include "util/log.h"

/* A message may be full of marks; one that is ours stands at its top, where flow/dispatch wrote it.
 */
enum { ARRIVAL_LIMIT_LOOK = 20 };

struct flow_arrival {
    struct smime_hash hash;
};

bool
flow_arrival_is(const struct conf *conf, const char *daemon_name)
{
    const char *name = conf->global.resubmit_daemon;

    return name[0] && daemon_name && strcmp(daemon_name, name) == 0;
}

static struct flow_mark *
mark_of(const struct flow_message *message)
{
    return flow_resubmission_mark(message->services->resubmission);
}

/* ---- on the listener ---------------------------------------------------------------------------
 */

enum err_code
flow_arrival_new(const struct flow_message *message, struct flow_arrival **out, struct err *err)
{
    struct mime_header_field field;
    struct flow_arrival *arrival;
    enum err_code code;

    *out = NULL;
    if (!mime_header_find(message->header, FLOW_MARK_FIELD, 0, &field))
        return err_set_reason(err, ERR_PERM, "mark-missing", "no mark");
    if (mime_header_find_count(message->header, FLOW_MARK_FIELD) > 1)
        return err_set_reason(err, ERR_PERM, "mark-forged", "more than one mark");
    code = flow_mark_find(mark_of(message), field.value, err);
    if (code != ERR_OK)
        return code;
    arrival = calloc(1, sizeof *arrival);
    if (!arrival)
        return err_set(err, ERR_NOMEM, "memory for a copy");
    smime_hash_init(&arrival->hash);
    code = smime_hash_new(&arrival->hash, NID_sha256, err);
    if (code != ERR_OK)
        flow_arrival_free(&arrival);
    *out = arrival;
    return code;
}

void
flow_arrival_free(struct flow_arrival **arrival)
{
    if (!arrival || !*arrival)
        return;
    smime_hash_deinit(&(*arrival)->hash);
    free(*arrival);
    *arrival = NULL;
}

enum err_code
flow_arrival_write(struct flow_arrival *arrival, struct span piece, struct err *err)
{
    return smime_hash_write(&arrival->hash, piece, err);
}

void
flow_arrival_fail(struct flow_message *message, struct err *err, struct flow_answer *answer)
{
    if (err->code == ERR_PERM) {
        log_warn("mark-refused", message->id[0] ? message->id : NULL,
                 "mail on the listener for copies was refused: %s (%s)", err->text, err->reason);
        (void)!err_prefix(err, FLOW_MARK_REFUSAL);
    }
    flow_state_fail(message, err, FLOW_PHASE_MARK, answer);
}

static enum err_code
arrival_check(struct flow_message *message, struct err *err)
{
    struct smime_hash *hash = &message->arrival->hash;
    const char **recipients = calloc(message->count + 1, sizeof *recipients);
    struct flow_mark_copy copy = { .sender = message->sender,
                                   .recipients = recipients,
                                   .count = message->count,
                                   .header = message->header };
    struct mime_header_field field = { .name = span_of(NULL, 0) };
    enum err_code code =
        recipients ? smime_hash_finish(hash, err) : err_set(err, ERR_NOMEM, "memory for a copy");

    if (code == ERR_OK) {
        for (size_t i = 0; i < message->count; i++)
            recipients[i] = message->recipients[i].address;
        copy.body = smime_hash_get(hash, NID_sha256);
        (void)mime_header_find(message->header, FLOW_MARK_FIELD, 0, &field);
        code = flow_mark_check(mark_of(message), field.value, &copy, err);
    }
    free(recipients);
    return code;
}

void
flow_arrival_finish(struct flow_message *message, struct flow_answer *answer)
{
    struct err err = ERR_INIT;
    enum err_code code = arrival_check(message, &err);

    if (code == ERR_OK)
        code = flow_arrival_edit(message, &err);
    if (code != ERR_OK) {
        flow_arrival_fail(message, &err, answer);
        return;
    }
    message->outcome.action = "pass";
    message->outcome.result = "ok";
}

/* ---- elsewhere ---------------------------------------------------------------------------------
 */

enum err_code
flow_arrival_check(const struct flow_message *message, struct err *err)
{
    struct mime_header_field field;

    for (size_t i = 0; i < ARRIVAL_LIMIT_LOOK; i++) {
        struct err why = ERR_INIT;

        if (!mime_header_find(message->header, FLOW_MARK_FIELD, i, &field))
            break;
        (void)!flow_mark_find(mark_of(message), field.value, &why);
        if (why.code == ERR_PERM)
            continue;
        if (why.code != ERR_OK)
            return err_set(err, why.code, "%s", why.text);
        log_warn("copy-elsewhere", message->id[0] ? message->id : NULL,
                 "a copy of ours did not come by the listener named %s: set "
                 "milter_macro_daemon_name=%s (Sendmail: Name=) where resubmit_server leads to",
                 message->conf->global.resubmit_daemon, message->conf->global.resubmit_daemon);
        return err_set_reason(err, ERR_TEMP, "copy-elsewhere",
                              "a copy of ours on its way by another listener");
    }
    return ERR_OK;
}

enum err_code
flow_arrival_edit(struct flow_message *message, struct err *err)
{
    enum err_code code = ERR_OK;

    /* From the last to the first: each deletion shifts only what is behind it. */
    for (size_t i = mime_header_find_count(message->header, FLOW_MARK_FIELD);
         code == ERR_OK && i > 0; i--)
        code = flow_edits_add(&message->edits, FLOW_EDIT_DELETE_HEADER, FLOW_MARK_FIELD, NULL,
                              (unsigned)i, err);
    return code;
}
