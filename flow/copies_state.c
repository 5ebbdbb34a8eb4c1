/*
 * flow/copies between two attempts: which message it is, who has had his copy, and what the sender
 * is told by a letter.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/copies_private.h"
#include "flow/digest.h"
#include "flow/dispatch.h"
#include "flow/letters.h"
#include "flow/notice.h"
#include "flow/outbound.h"
#include "flow/resubmission.h"
#include "flow/state.h"
#include "smime/hash.h"

/* ---- which message -----------------------------------------------------------------------------
 */

/* Message-ID is the client's own, not one that the MTA made for this attempt: that holds the
 * queue-id. */
static bool
has_own_message_id(const struct flow_message *message)
{
    struct mime_header_field field;
    size_t n = strlen(message->id);

    if (!mime_header_find(message->header, "Message-ID", 0, &field))
        return false;
    for (size_t i = 0; n > 0 && i + n <= field.value.n; i++) {
        if (memcmp(field.value.p + i, message->id, n) == 0)
            return false;
    }
    return span_trim(field.value).n > 0;
}

static enum err_code
hash_field(struct smime_hash *hash, struct mime_header_field field, struct err *err)
{
    if (smime_hash_write(hash, field.name, err) != ERR_OK ||
        smime_hash_write(hash, span_str(":"), err) != ERR_OK ||
        smime_hash_write(hash, field.value, err) != ERR_OK)
        return err->code;
    return smime_hash_write(hash, span_str("\n"), err);
}

static enum err_code
hash_piece(void *context, struct span piece, struct err *err)
{
    return smime_hash_write(context, piece, err);
}

static enum err_code
hash_body(struct smime_hash *hash, const struct spool *spool, struct err *err)
{
    struct stage *sink = NULL;
    enum err_code code = spool ? stage_sink_new(hash_piece, hash, &sink, err)
                               : err_set(err, ERR_BUG, "copies of a message without a body");

    if (code == ERR_OK)
        code = spool_copy(spool, sink, err);
    stage_free(&sink);
    return code;
}

/* Header and body as received, without what the MTA may have written anew at this attempt: Date,
 * which it adds where the client wrote none (equal Message-IDs say enough), and a Message-ID of its
 * own. */
static enum err_code
hash_message(const struct copies *copies, struct smime_hash *hash, struct err *err)
{
    const struct flow_message *message = copies->message;
    enum err_code code = smime_hash_new(hash, NID_sha256, err);

    for (size_t i = 0; code == ERR_OK && i < mime_header_count(message->header); i++) {
        struct mime_header_field field = mime_header_get(message->header, i);

        if (span_equal_nocase(field.name, "Date") ||
            (copies->is_ephemeral && span_equal_nocase(field.name, "Message-ID")))
            continue;
        code = hash_field(hash, field, err);
    }
    if (code == ERR_OK)
        code = smime_hash_write(hash, span_str("\n"), err);
    if (code == ERR_OK)
        code = hash_body(hash, message->outbound->spool, err);
    return code == ERR_OK ? smime_hash_finish(hash, err) : code;
}

static enum err_code
identify(struct copies *copies, struct err *err)
{
    const struct flow_message *message = copies->message;
    const char **recipients = calloc(message->count + 1, sizeof *recipients);
    struct flow_journal_message question = { .sender = message->sender,
                                             .recipients = recipients,
                                             .count = message->count };
    struct smime_hash hash;
    enum err_code code;

    if (!recipients)
        return err_set(err, ERR_NOMEM, "memory for copies");
    for (size_t i = 0; i < message->count; i++)
        recipients[i] = message->recipients[i].address;
    smime_hash_init(&hash);
    code = hash_message(copies, &hash, err);
    if (code == ERR_OK) {
        question.digest = smime_hash_get(&hash, NID_sha256);
        code = flow_journal_key(&question, &copies->key, err);
    }
    smime_hash_deinit(&hash);
    free(recipients);
    return code;
}

/* ---- the journal -------------------------------------------------------------------------------
 */

static enum err_code
journal_fail(struct err *err, const struct err *why)
{
    return err_set_reason(err, why->code == ERR_NOMEM ? ERR_NOMEM : ERR_TEMP, "copies-journal",
                          "%s", why->text);
}

static enum err_code
find_done(struct copies *copies, struct err *err)
{
    bool *done = calloc(copies->count + 1, sizeof *done);
    struct err why = ERR_INIT;

    if (!done)
        return err_set(err, ERR_NOMEM, "memory for copies");
    /* The note comes first: on a full disk nothing leaves that could not be remembered. */
    if (flow_journal_begin(copies->journal, &copies->key, &why) == ERR_OK)
        (void)!flow_journal_find(copies->journal, &copies->key, copies->addresses, copies->count,
                                 done, &why);
    for (size_t i = 0; i < copies->count; i++) {
        copies->people[i].done = done[i];
        copies->has_left = copies->has_left || done[i];
    }
    free(done);
    return why.code == ERR_OK ? ERR_OK : journal_fail(err, &why);
}

enum err_code
flow_copies_note(struct copies *copies, const size_t *indices, size_t count, struct err *err)
{
    const char **addresses = calloc(count + 1, sizeof *addresses);
    struct err why = ERR_INIT;

    if (!addresses)
        return err_set(err, ERR_NOMEM, "memory for copies");
    for (size_t i = 0; i < count; i++) {
        addresses[i] = copies->addresses[indices[i]];
        copies->people[indices[i]].done = true;
    }
    (void)!flow_journal_add(copies->journal, &copies->key, addresses, count, &why);
    free(addresses);
    return why.code == ERR_OK ? ERR_OK : journal_fail(err, &why);
}

enum err_code
flow_copies_end(struct copies *copies, struct err *err)
{
    struct err why = ERR_INIT;

    if (!copies->is_ephemeral)
        return ERR_OK;
    (void)!flow_journal_remove(copies->journal, &copies->key, copies->addresses, copies->count,
                               &why);
    return why.code == ERR_OK ? ERR_OK : journal_fail(err, &why);
}

/* ---- begin and end -----------------------------------------------------------------------------
 */

/* Those who are returned are told of, unless they were at an earlier attempt. */
static enum err_code
begin_letter(struct copies *copies, struct err *err)
{
    const struct flow_message *message = copies->message;
    const struct policy_plan *plan = copies->plan;
    size_t count = 0, first = 0;

    for (size_t i = 0; i < plan->returned_count; i++) {
        size_t at = plan->order[plan->returned_first + i];

        copies->people[at].told = !copies->people[at].done;
        if (copies->people[at].told && count++ == 0)
            first = at;
    }
    if (count == 0 ||
        (flow_notice_may_answer(copies->sender, message->header) && message->services->notices))
        return ERR_OK;
    return err_set_reason(
        err, ERR_PERM, "notice-impossible",
        "%.200s%s cannot be sent this message (%s), and nobody can be told by a letter",
        copies->addresses[first], count > 1 ? " and others" : "",
        message->outbound->facts.recipients[first].reason);
}

enum err_code
flow_copies_begin(struct copies *copies, struct err *err)
{
    struct flow_message *message = copies->message;
    const struct flow_facts *facts = &message->outbound->facts;
    struct flow_resubmission *resubmission = message->services->resubmission;
    enum err_code code;

    copies->count = facts->policy.count;
    copies->people = calloc(copies->count + 1, sizeof *copies->people);
    copies->addresses = calloc(copies->count + 1, sizeof *copies->addresses);
    if (!copies->people || !copies->addresses)
        return err_set(err, ERR_NOMEM, "memory for copies");
    for (size_t i = 0; i < copies->count; i++)
        copies->addresses[i] = facts->recipients[i].address;
    copies->is_ephemeral = !has_own_message_id(message);
    code = identify(copies, err);
    if (code == ERR_OK)
        code = flow_resubmission_begin(resubmission, &copies->key, err);
    copies->has_key = code == ERR_OK;
    if (code == ERR_OK)
        code = flow_resubmission_journal(resubmission, &copies->journal, err);
    if (code == ERR_PERM)
        err->code = code = ERR_TEMP; /* a newer smimed wrote it: the message is not to blame */
    if (code == ERR_OK)
        code = find_done(copies, err);
    return code == ERR_OK ? begin_letter(copies, err) : code;
}

void
flow_copies_free(struct copies *copies)
{
    if (copies->has_key)
        flow_resubmission_end(copies->message->services->resubmission, &copies->key);
    for (size_t i = 0; copies->people && i < copies->count; i++)
        free(copies->people[i].reason);
    free(copies->people);
    free(copies->addresses);
}

/* ---- the letter --------------------------------------------------------------------------------
 */

enum err_code
flow_copies_tell(struct copies *copies, size_t index, const char *reason, struct err *err)
{
    copies->people[index].told = true;
    copies->people[index].reason = strdup(reason);
    return copies->people[index].reason ? ERR_OK : err_set(err, ERR_NOMEM, "memory for copies");
}

static const char *
reason_of(const struct copies *copies, size_t index)
{
    const struct policy_recipient *recipient = &copies->message->outbound->facts.recipients[index];

    if (copies->people[index].reason)
        return copies->people[index].reason;
    return recipient->text && recipient->text[0] ? recipient->text : recipient->reason;
}

/* The value of a field as a text of its own; "" where there is none. */
static enum err_code
format_letter(const struct copies *copies, const size_t *indices, size_t count, struct buf *letter,
              struct err *err)
{
    struct flow_notice_recipient *list = calloc(count, sizeof *list);
    enum err_code code = list ? ERR_OK : err_set(err, ERR_NOMEM, "memory for a letter");

    for (size_t i = 0; code == ERR_OK && i < count; i++)
        list[i] = (struct flow_notice_recipient){ .address = copies->addresses[indices[i]],
                                                  .reason = reason_of(copies, indices[i]) };
    if (code == ERR_OK)
        code = flow_letters_format(copies->message, FLOW_NOTICE_REMOVED, copies->sender, list,
                                   count, letter, err);
    free(list);
    return code;
}

/* No letter can be had: then the sender is told by the refusal of his message, and nobody is left
 * out in silence. Who has had his copy keeps it. */
static enum err_code
refuse_instead(const struct copies *copies, const size_t *indices, size_t count,
               const struct err *why, struct err *err)
{
    char text[400];

    snprintf(text, sizeof text, "%.200s%s did not get this message (%.150s)",
             copies->addresses[indices[0]], count > 1 ? " and others" : "",
             reason_of(copies, indices[0]));
    return err_set_reason(err, ERR_PERM, "notice-impossible", "%s; no letter could be sent: %.200s",
                          text, why->text);
}

static enum err_code
send_letter(struct copies *copies, const size_t *indices, size_t count, struct err *err)
{
    struct flow_message *message = copies->message;
    struct buf letter = BUF_INIT(FLOW_NOTICE_BYTES);
    struct err why = ERR_INIT;

    if (!message->services->notices || !flow_notice_may_answer(copies->sender, message->header))
        (void)err_set(&why, ERR_PERM, "the message is automatic, or there are no templates");
    else if (format_letter(copies, indices, count, &letter, &why) == ERR_OK)
        (void)!flow_dispatch_letter(message->services, copies->sender, &letter, copies->deadline_ms,
                                    &why);
    buf_free(&letter);
    if (why.code == ERR_PERM)
        return refuse_instead(copies, indices, count, &why, err);
    if (why.code != ERR_OK)
        return err_set_reason(err, why.code, why.reason, "%s", why.text);
    message->outcome.returned = count;
    return flow_copies_note(copies, indices, count, err);
}

enum err_code
flow_copies_write_letter(struct copies *copies, struct err *err)
{
    size_t *indices = calloc(copies->count + 1, sizeof *indices), count = 0;
    enum err_code code = ERR_OK;

    if (!indices)
        return err_set(err, ERR_NOMEM, "memory for copies");
    for (size_t i = 0; i < copies->count; i++) {
        if (copies->people[i].told)
            indices[count++] = i;
    }
    if (count > 0)
        code = send_letter(copies, indices, count, err);
    free(indices);
    return code;
}
