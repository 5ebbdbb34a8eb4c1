#include "flow/copies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "flow/copies_private.h"
#include "flow/copy.h"
#include "flow/dispatch.h"
#include "flow/heading.h"
#include "flow/notice.h"
#include "flow/outbound.h"
#include "flow/people.h"
#include "flow/reply.h"
#include "flow/state.h"
#include "util/clock.h"
#include "util/log.h"

/* A copy whose recipients are refused is sent to the others; one more refusal in the second round
 * is an MTA that does not know what it wants. */
enum { COPIES_ROUNDS = 3, COPIES_RECEIVED_SIZE = 800 };

bool
flow_copies_are_needed(const struct flow_message *message)
{
    const struct policy_plan *plan = &message->outbound->decision.plan;

    return plan->copy_count > 1 || plan->returned_count > 0;
}

/* ---- one copy ----------------------------------------------------------------------------------
 */

/* The MTA writes its own line about the connection from us; this one tells where the message came
 * from before. */
static enum err_code
append_received(const struct flow_message *message, struct buf *out, struct err *err)
{
    time_t now = clock_now_s();
    struct tm parts;
    char date[64], client[300];

    gmtime_r(&now, &parts);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &parts);
    flow_reply_text(message->client, client, sizeof client);
    for (char *c = client; *c; c++) {
        if (*c == '(' || *c == ')' || *c == '\\' || *c == ';')
            *c = '?';
    }
    return buf_appendf(out, err, "Received: (from %s)\r\n\tby %s (smimed)%s%.60s;\r\n\t%s\r\n",
                       client, message->services->hostname, message->id[0] ? " id " : "",
                       message->id, date);
}

/* The header of a copy: what all copies have in common, then its own. */
static enum err_code
format_header(const struct flow_message *message, const struct flow_edits *own, struct buf *out,
              struct err *err)
{
    struct flow_edits all = { .list = NULL };
    enum err_code code;

    all.count = all.cap = message->outbound->common + own->count;
    all.list = calloc(all.cap + 1, sizeof *all.list);
    if (!all.list)
        return err_set(err, ERR_NOMEM, "memory for the header of a copy");
    if (message->outbound->common > 0)
        memcpy(all.list, message->edits.list, message->outbound->common * sizeof *all.list);
    if (own->count > 0)
        memcpy(all.list + message->outbound->common, own->list, own->count * sizeof *all.list);
    code = append_received(message, out, err);
    if (code == ERR_OK)
        code = flow_heading_format(message->header, &all, out, err);
    free(all.list); /* the texts belong to the two */
    return code;
}

struct body {
    struct flow_copy *copy;
    const struct flow_message *message;
};

static enum err_code
write_body(void *context, struct stage *sink, struct err *err)
{
    const struct body *body = context;

    return flow_copy_write(body->copy, body->message, sink, err);
}

static bool
ask_budget(void *context, uint64_t bytes)
{
    const struct body *body = context;
    const struct flow_message *message = body->message;

    return !message->budget || message->budget(message->budget_context, bytes);
}

static bool
has_parameter(const char *parameters, const char *word)
{
    for (const char *p = parameters ? parameters : ""; *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");

        if (n == strlen(word) && strncasecmp(p, word, n) == 0)
            return true;
        p += n;
    }
    return false;
}

/* Builds copy `index` and hands it over to `recipients`. */
static enum err_code
hand_over(struct copies *copies, size_t index, struct flow_dispatch_recipient *recipients,
          size_t count, struct flow_dispatch_result *result, struct err *err)
{
    struct flow_message *message = copies->message;
    struct flow_edits own = { .list = NULL };
    struct buf header = BUF_INIT(2 * message->conf->global.max_header + COPIES_RECEIVED_SIZE);
    struct flow_copy *copy = NULL;
    enum err_code code = flow_copy_new(message, index, &own, &copy, err);

    if (code == ERR_OK)
        code = format_header(message, &own, &header, err);
    if (code == ERR_OK) {
        struct body body = { .copy = copy, .message = message };
        struct flow_dispatch dispatch = {
            .services = message->services,
            .sender = copies->sender,
            .parameters = message->parameters,
            .is_utf8 = has_parameter(message->parameters, "SMTPUTF8"),
            .recipients = recipients,
            .count = count,
            .header = buf_span(&header),
            .body = write_body,
            .budget = ask_budget,
            .context = &body,
            .deadline_ms = copies->deadline_ms,
        };

        code = flow_dispatch_write(&dispatch, result, err);
    }
    /* That we cannot make a copy, or that a listener offers too little, is no fault of the message.
     */
    if (code == ERR_PERM && (!copy || (err->reason && strncmp(err->reason, "resubmit", 8) == 0)))
        err->code = code = ERR_TEMP;
    flow_copy_free(&copy);
    flow_edits_free(&own);
    buf_free(&header);
    return code;
}

/* ---- what the MTA says -------------------------------------------------------------------------
 */

static void
note_taken(struct copies *copies, const struct flow_dispatch_result *result, size_t count)
{
    struct flow_outcome *outcome = &copies->message->outcome;
    size_t used = strlen(outcome->copy_ids);

    outcome->resubmitted += count;
    if (result->queue_id[0] && used + strlen(result->queue_id) + 2 < sizeof outcome->copy_ids)
        snprintf(outcome->copy_ids + used, sizeof outcome->copy_ids - used, "%s%s",
                 used > 0 ? "," : "", result->queue_id);
}

/* The MTA will not have these: they are refused with the message as long as nothing has left, else
 * the letter names them. */
static enum err_code
note_refused(struct copies *copies, const size_t *indices,
             const struct flow_dispatch_recipient *recipients, size_t count,
             const struct flow_dispatch_result *result, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        bool own = result->end == FLOW_DISPATCH_RECIPIENT;
        const struct flow_resubmit_reply *reply = own ? &recipients[i].reply : &result->reply;

        if (reply->code < 500)
            continue;
        if (!copies->has_left) {
            copies->refusal = *reply;
            return err_set_reason(err, ERR_PERM, "resubmit-refused", "%.200s: %.300s",
                                  recipients[i].address, reply->text);
        }
        if (flow_copies_tell(copies, indices[i], reply->text, err) != ERR_OK)
            return err->code;
    }
    return ERR_OK;
}

static bool
is_deferred(const struct flow_dispatch_recipient *recipients, size_t count,
            const struct flow_dispatch_result *result)
{
    if (result->end != FLOW_DISPATCH_RECIPIENT)
        return result->reply.code < 500;
    for (size_t i = 0; i < count; i++) {
        if (recipients[i].reply.code / 100 == 4)
            return true;
    }
    return false;
}

/* After one attempt. *over: nothing is left to do for these. */
static enum err_code
judge(struct copies *copies, const size_t *indices,
      const struct flow_dispatch_recipient *recipients, size_t count,
      const struct flow_dispatch_result *result, bool *over, struct err *err)
{
    *over = true;
    if (result->end == FLOW_DISPATCH_TAKEN) {
        copies->has_left = true;
        note_taken(copies, result, count);
        return flow_copies_note(copies, indices, count, err);
    }
    if (result->end == FLOW_DISPATCH_LOST)
        return err_set_reason(err, ERR_TEMP, "resubmit-lost",
                              "the MTA did not say whether it took the copy for %.200s%s",
                              recipients[0].address, count > 1 ? " and others" : "");
    if (is_deferred(recipients, count, result))
        return err_set_reason(err, ERR_TEMP, "resubmit-refused", "the copy for %.200s%s: %d %.300s",
                              recipients[0].address, count > 1 ? " and others" : "",
                              result->reply.code, result->reply.text);
    *over = result->end != FLOW_DISPATCH_RECIPIENT;
    return note_refused(copies, indices, recipients, count, result, err);
}

/* Those of copy `index` who have neither had it nor are to be told that they will not. */
static size_t
list_waiting(const struct copies *copies, size_t index, size_t *indices,
             struct flow_dispatch_recipient *recipients)
{
    const struct policy_plan *plan = copies->plan;
    const struct flow_facts *facts = &copies->message->outbound->facts;
    size_t count = 0;

    for (size_t i = 0; i < plan->copies[index].count; i++) {
        size_t at = plan->order[plan->copies[index].first + i];

        if (copies->people[at].done || copies->people[at].told)
            continue;
        indices[count] = at;
        recipients[count++] = (struct flow_dispatch_recipient){
            .address = facts->recipients[at].address,
            .parameters = facts->people[at].recipient->parameters,
        };
    }
    return count;
}

static enum err_code
write_copy(struct copies *copies, size_t index, struct err *err)
{
    size_t room = copies->plan->copies[index].count, count;
    struct flow_dispatch_recipient *recipients = calloc(room + 1, sizeof *recipients);
    size_t *indices = calloc(room + 1, sizeof *indices);
    bool over = false;
    enum err_code code = recipients && indices ? ERR_OK : ERR_NOMEM;

    if (code != ERR_OK)
        err_set(err, code, "memory for a copy");
    for (unsigned round = 0; code == ERR_OK && !over; round++) {
        struct flow_dispatch_result result;

        count = list_waiting(copies, index, indices, recipients);
        if (count == 0)
            break;
        if (round == COPIES_ROUNDS)
            code = err_set_reason(err, ERR_TEMP, "resubmit-refused",
                                  "the MTA refuses other recipients each time");
        if (code == ERR_OK)
            code = hand_over(copies, index, recipients, count, &result, err);
        if (code == ERR_OK)
            code = judge(copies, indices, recipients, count, &result, &over, err);
    }
    free(recipients);
    free(indices);
    return code;
}

/* ---- the transaction ---------------------------------------------------------------------------
 */

/* Does copies[0] go to that address, to somebody who has not had it? */
static bool
stays(const struct copies *copies, const struct flow_recipient *recipient, const char *address)
{
    const struct policy_plan *plan = copies->plan;
    const struct flow_facts *facts = &copies->message->outbound->facts;

    for (size_t i = 0; i < plan->copies[0].count; i++) {
        size_t at = plan->order[plan->copies[0].first + i];

        if (!copies->people[at].done && (!recipient || facts->people[at].recipient == recipient) &&
            strcasecmp(facts->recipients[at].address, address) == 0)
            return true;
    }
    return false;
}

/* Is he a recipient of the transaction by his own name? */
static bool
is_direct(const struct copies *copies, const char *address)
{
    const struct flow_message *message = copies->message;

    for (size_t i = 0; i < message->count; i++) {
        if (!message->recipients[i].replaced &&
            strcasecmp(message->recipients[i].address, address) == 0)
            return stays(copies, &message->recipients[i], address);
    }
    return false;
}

static enum err_code
edit_envelope(struct copies *copies, size_t *left, struct err *err)
{
    struct flow_message *message = copies->message;
    const struct flow_facts *facts = &message->outbound->facts;
    const struct policy_copy *first = &copies->plan->copies[0];
    enum err_code code = ERR_OK;

    *left = 0;
    for (size_t i = 0; code == ERR_OK && i < message->count; i++) {
        const struct flow_recipient *one = &message->recipients[i];

        if (!one->replaced && stays(copies, one, one->address))
            ++*left;
        else
            code = flow_edits_add(&message->edits, FLOW_EDIT_DELETE_RECIPIENT, NULL, one->as_came,
                                  0, err);
    }
    for (size_t i = 0; code == ERR_OK && i < first->count; i++) {
        size_t at = copies->plan->order[first->first + i];
        const struct policy_recipient *member = &facts->recipients[at];

        if (!member->replaces || copies->people[at].done || is_direct(copies, member->address))
            continue;
        ++*left;
        code =
            flow_edits_add(&message->edits, FLOW_EDIT_ADD_RECIPIENT, NULL, member->address, 0, err);
    }
    return code;
}

/* What no copy has is not in this one either (an MTA may leave Bcc to us). */
static enum err_code
edit_hidden_fields(struct flow_message *message, struct err *err)
{
    static const char *const names[] = { "Bcc", "Resent-Bcc" };
    enum err_code code = ERR_OK;

    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        for (size_t i = mime_header_find_count(message->header, names[k]); code == ERR_OK && i > 0;
             i--)
            code = flow_edits_add(&message->edits, FLOW_EDIT_DELETE_HEADER, names[k], NULL,
                                  (unsigned)i, err);
    }
    return code;
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

static void
copies_fail(struct copies *copies, const struct err *err, struct flow_answer *answer)
{
    const struct flow_resubmit_reply *refusal = &copies->refusal;
    const char *reason = err->reason ? err->reason : "";
    /* What the MTA said may be told; what happened on our own disk may not. */
    enum flow_phase phase = err->code == ERR_PERM || strncmp(reason, "resubmit", 8) == 0
                                ? FLOW_PHASE_COPIES
                            : strcmp(reason, "busy") == 0 ? FLOW_PHASE_BUDGET
                                                          : FLOW_PHASE_BUILD;
    bool journal = strcmp(reason, "copies-journal") == 0;

    flow_state_fail(copies->message, err, phase, answer);
    if (refusal->code >= 500 && err->code == ERR_PERM) {
        flow_reply_set(answer, refusal->code, refusal->enhanced[0] ? refusal->enhanced : "5.0.0",
                       err->text);
        copies->message->answer = *answer;
    }
    if (journal) {
        flow_reply_set(
            answer, 451, "4.3.0",
            "which copies of this message have left cannot be noted on the gateway's disk "
            "at the moment, and nothing more of it leaves; try again later");
        copies->message->answer = *answer;
    }
    if (err->code == ERR_TEMP || journal)
        log_warn(err->reason ? err->reason : "copies", copies->message->id,
                 "a message was deferred with %llu of its copies handed over: %s",
                 (unsigned long long)copies->message->outcome.resubmitted, err->text);
}

static enum err_code
copies_run(struct copies *copies, size_t *left, struct err *err)
{
    enum err_code code = flow_copies_begin(copies, err);

    for (size_t i = 1; code == ERR_OK && i < copies->plan->copy_count; i++)
        code = write_copy(copies, i, err);
    if (code == ERR_OK)
        code = flow_copies_write_letter(copies, err);
    if (code == ERR_OK)
        code = edit_hidden_fields(copies->message, err);
    if (code == ERR_OK)
        code = edit_envelope(copies, left, err);
    if (code == ERR_OK)
        code = flow_copies_end(copies, err);
    return code;
}

void
flow_copies_write(struct flow_message *message, int64_t deadline_ms, struct flow_answer *answer)
{
    int64_t now_ms = clock_monotonic_ms();
    struct copies copies = {
        .message = message,
        .plan = &message->outbound->decision.plan,
        /* The rest is for the transaction. */
        .deadline_ms = deadline_ms - (deadline_ms - now_ms) / 10,
        .sender = message->sender,
    };
    struct err err = ERR_INIT;
    size_t left = 0;

    flow_reply_continue(answer);
    for (size_t i = 0; i < message->edits.count; i++) {
        if (message->edits.list[i].kind == FLOW_EDIT_CHANGE_SENDER)
            copies.sender = message->edits.list[i].value;
    }
    if (copies_run(&copies, &left, &err) != ERR_OK)
        copies_fail(&copies, &err, answer);
    else if (left == 0)
        answer->kind = FLOW_DISCARD;
    flow_copies_free(&copies);
}
