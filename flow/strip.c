#include "flow/strip.h"

#include <stdlib.h>

#include "flow/inside.h"
#include "flow/lift.h"

struct flow_strip {
    struct stage *stage; /* a sink of ours */
    struct flow_inside *inside;
    struct spool *spool; /* the body of the entity */
    struct flow_lift lift;
    bool finished, too_large;
};

static enum err_code
strip_take_header(void *context, const struct mime_header *header, struct err *err)
{
    struct flow_strip *strip = context;

    return flow_lift_load(header, &strip->lift, err);
}

/* What does not fit keeps its signature. */
static enum err_code
strip_take_body(void *context, struct span piece, struct err *err)
{
    struct flow_strip *strip = context;
    struct err found = ERR_INIT;
    enum err_code code = strip->too_large ? ERR_OK : spool_write(strip->spool, piece, &found);

    strip->too_large |= code == ERR_LIMIT;
    return code == ERR_OK || code == ERR_LIMIT ? ERR_OK : err_set(err, code, "%s", found.text);
}

static enum err_code
strip_take(void *context, struct span piece, struct err *err)
{
    struct flow_strip *strip = context;

    return flow_inside_write(strip->inside, piece, err);
}

enum err_code
flow_strip_new(const struct spool_args *spool, struct flow_strip **out, struct err *err)
{
    struct flow_strip *strip = calloc(1, sizeof *strip);
    const struct flow_inside_args inside = { .header = strip_take_header,
                                             .body = strip_take_body,
                                             .context = strip };
    enum err_code code;

    *out = NULL;
    if (!strip)
        return err_set(err, ERR_NOMEM, "memory for the content of a signature");
    code = flow_inside_new(&inside, &strip->inside, err);
    if (code == ERR_OK)
        code = spool_new(spool, &strip->spool, err);
    if (code == ERR_OK)
        code = stage_sink_new(strip_take, strip, &strip->stage, err);
    if (code != ERR_OK)
        flow_strip_free(&strip);
    *out = strip;
    return code;
}

void
flow_strip_free(struct flow_strip **strip)
{
    struct flow_strip *old = *strip;

    *strip = NULL;
    if (!old)
        return;
    stage_free(&old->stage);
    flow_inside_free(&old->inside);
    spool_free(&old->spool);
    flow_lift_free(&old->lift);
    free(old);
}

struct stage *
flow_strip_stage(struct flow_strip *strip)
{
    return strip->stage;
}

enum err_code
flow_strip_finish(struct flow_strip *strip, bool *can, struct err *err)
{
    enum err_code code = flow_inside_finish(strip->inside, err);

    strip->finished = true;
    *can = false;
    if (code == ERR_OK)
        code = spool_finish(strip->spool, err);
    if (code == ERR_OK)
        *can = !strip->too_large && !strip->lift.odd && !flow_inside_get(strip->inside)->broken;
    return code;
}

enum err_code
flow_strip_edits(const struct flow_strip *strip, const struct mime_header *header,
                 struct flow_edits *edits, struct err *err)
{
    enum err_code code = flow_lift_edits(&strip->lift, header, NULL, edits, err);

    return code == ERR_OK ? flow_edits_add(edits, FLOW_EDIT_REPLACE_BODY, NULL, NULL, 0, err)
                          : code;
}

enum err_code
flow_strip_write_body(const struct flow_strip *strip, struct stage *sink, struct err *err)
{
    enum err_code code = spool_copy(strip->spool, sink, err);

    if (code == ERR_OK)
        code = stage_finish(sink, err);
    stage_free(&sink);
    return code;
}

uint64_t
flow_strip_bytes(const struct flow_strip *strip)
{
    return strip->spool ? spool_size(strip->spool) : 0;
}
