#include "util/stage.h"

#include <stdlib.h>

void
stage_init(struct stage *stage, const struct stage_ops *ops, struct stage *next)
{
    stage->ops = ops;
    stage->next = next;
    stage->finished = false;
    err_reset(&stage->failed);
}

/* Remembers the first error of a stage and hands it to the caller. */
static enum err_code
stage_fail(struct stage *stage, enum err_code code, struct err *err)
{
    if (stage->failed.code == ERR_OK) {
        if (err && err->code == code)
            stage->failed = *err;
        else
            (void)err_set(&stage->failed, code, "%s failed", stage->ops->name);
    }
    /* A stage that returned a code without a text still leaves a filled err behind. */
    return err_set_reason(err, stage->failed.code, stage->failed.reason, "%s", stage->failed.text);
}

enum err_code
stage_write(struct stage *stage, struct span piece, struct err *err)
{
    enum err_code rc;

    if (!err) { /* its 500 octets are not cleared for every piece of a caller that has one */
        struct err own = ERR_INIT;
        return stage_write(stage, piece, &own);
    }
    if (stage->failed.code != ERR_OK)
        return stage_fail(stage, stage->failed.code, err);
    if (stage->finished)
        rc = err_set(err, ERR_BUG, "%s: written to after its end", stage->ops->name);
    else
        rc = stage->ops->write(stage, piece, err);
    return rc == ERR_OK ? ERR_OK : stage_fail(stage, rc, err);
}

static enum err_code
stage_finish_one(struct stage *stage, struct err *err)
{
    enum err_code rc;

    if (stage->failed.code != ERR_OK)
        return stage_fail(stage, stage->failed.code, err);
    if (stage->finished)
        return err_set(err, ERR_BUG, "%s: finished twice", stage->ops->name);
    stage->finished = true;
    rc = stage->ops->finish ? stage->ops->finish(stage, err) : ERR_OK;
    return rc == ERR_OK ? ERR_OK : stage_fail(stage, rc, err);
}

enum err_code
stage_finish(struct stage *stage, struct err *err)
{
    struct err own = ERR_INIT;
    enum err_code rc = ERR_OK;

    if (!err)
        err = &own;
    for (struct stage *s = stage; s && rc == ERR_OK; s = s->next)
        rc = stage_finish_one(s, err);
    /* The caller knows the head only: what failed behind it must show there too. */
    if (rc != ERR_OK && stage->failed.code == ERR_OK)
        rc = stage_fail(stage, rc, err);
    return rc;
}

void
stage_free(struct stage **stage)
{
    struct stage *s = stage ? *stage : NULL;

    while (s) {
        struct stage *next = s->next;
        if (s->ops && s->ops->free)
            s->ops->free(s);
        else
            free(s);
        s = next;
    }
    if (stage)
        *stage = NULL;
}
