#include "milter/edits.h"

#include <stdio.h>
#include <stdlib.h>

#include "util/clock.h"

struct body_sink {
    const struct milter_edits_args *args;
    uint64_t sent;
};

static enum err_code
body_write(void *context, struct span piece, struct err *err)
{
    struct body_sink *sink = context;

    if (piece.n == 0)
        return ERR_OK;
    int64_t allowed_ms = (int64_t)(sink->sent * 1000 / MILTER_EDITS_BODY_RATE);
    if (clock_monotonic_ms() > sink->args->deadline_ms + allowed_ms)
        return err_set_reason(err, ERR_TEMP, "timeout", "writing the body took too long");
    /* The argument is not const in libmilter's prototype; it is not written to. */
    if (smfi_replacebody(sink->args->ctx, (unsigned char *)piece.p, (int)piece.n) != MI_SUCCESS)
        return err_set_reason(err, ERR_TEMP, "edit-failed",
                              "the MTA did not take the body after %llu octets",
                              (unsigned long long)sink->sent);
    sink->sent += piece.n;
    milter_budget_reset_slot(sink->args->slot);
    return ERR_OK;
}

static enum err_code
write_body(const struct milter_edits_args *args, struct err *err)
{
    struct body_sink sink = { .args = args };
    struct stage *last = NULL, *gather = NULL;

    if (stage_sink_new(body_write, &sink, &last, err))
        goto out;
    if (stage_gather_new(MILTER_EDITS_BODY_PIECE, last, &gather, err))
        goto out;
    last = NULL;
    struct stage *taken = gather;
    gather = NULL;
    if (flow_message_write_body(args->message, taken, err))
        goto out;
    /* No octet at all: say so, or the old body stays. */
    if (sink.sent == 0 && smfi_replacebody(args->ctx, (unsigned char *)"", 0) != MI_SUCCESS)
        err_set_reason(err, ERR_TEMP, "edit-failed", "the MTA did not take an empty body");
out:
    stage_free(&gather);
    stage_free(&last);
    return err->code;
}

/* Fields go out with a leading space of their own: SMFIP_HDR_LEADSPC is negotiated, and then the
 * MTA adds none. */
static enum err_code
insert_header(SMFICTX *ctx, const struct flow_edit *edit, struct err *err)
{
    char *value = NULL;

    if (asprintf(&value, " %s", edit->value ? edit->value : "") < 0)
        return err_set(err, ERR_NOMEM, "no memory for field %s", edit->name);
    int result = smfi_insheader(ctx, (int)edit->index, edit->name, value);
    free(value);
    if (result != MI_SUCCESS)
        return err_set_reason(err, ERR_TEMP, "edit-failed", "the MTA did not take field %s",
                              edit->name);
    return ERR_OK;
}

static enum err_code
write_one(const struct milter_edits_args *args, const struct flow_edit *edit, struct err *err)
{
    char *address = edit->value ? edit->value : edit->name;
    SMFICTX *ctx = args->ctx;
    int result = MI_FAILURE;
    const char *what = "";

    switch (edit->kind) {
    case FLOW_EDIT_INSERT_HEADER:
        return insert_header(ctx, edit, err);
    case FLOW_EDIT_REPLACE_BODY:
        return write_body(args, err);
    case FLOW_EDIT_CHANGE_HEADER:
        what = "the change of a field";
        result = smfi_chgheader(ctx, edit->name, (int)edit->index, edit->value);
        break;
    case FLOW_EDIT_CHANGE_SENDER:
        what = "a new envelope sender";
        result = smfi_chgfrom(ctx, edit->value, NULL);
        break;
    case FLOW_EDIT_DELETE_HEADER:
        what = "the deletion of a field";
        result = smfi_chgheader(ctx, edit->name, (int)edit->index, NULL);
        break;
    case FLOW_EDIT_ADD_RECIPIENT:
        what = "a new recipient";
        result = smfi_addrcpt(ctx, address);
        break;
    case FLOW_EDIT_DELETE_RECIPIENT:
        what = "the removal of a recipient";
        result = smfi_delrcpt(ctx, address);
        break;
    case FLOW_EDIT_QUARANTINE:
        what = "the quarantine";
        result = smfi_quarantine(ctx, edit->value);
        break;
    }
    if (result != MI_SUCCESS)
        return err_set_reason(err, ERR_TEMP, "edit-failed", "the MTA did not take %s", what);
    return ERR_OK;
}

enum err_code
milter_edits_write(const struct milter_edits_args *args, struct err *err)
{
    const struct flow_edits *edits = flow_message_edits(args->message);

    for (size_t i = 0; edits && i < edits->count; i++) {
        if (write_one(args, &edits->list[i], err))
            return err->code;
    }
    return ERR_OK;
}
