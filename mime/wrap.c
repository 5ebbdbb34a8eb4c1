#include "mime/wrap.h"

#include <stdlib.h>

#include "util/wipe.h"

enum { LINE_CHARS = 76, OUT_BYTES = 16 * 1024 };

struct wrap {
    struct stage stage;
    size_t line; /* characters on the present line */
    size_t n;
    unsigned char out[OUT_BYTES];
};

static enum err_code
wrap_pass(struct wrap *wrap, struct err *err)
{
    size_t n = wrap->n;

    wrap->n = 0;
    return n ? stage_write(wrap->stage.next, span_of(wrap->out, n), err) : ERR_OK;
}

static void
put_break(struct wrap *wrap)
{
    wrap->out[wrap->n++] = '\r';
    wrap->out[wrap->n++] = '\n';
    wrap->line = 0;
}

static enum err_code
wrap_write(struct stage *stage, struct span piece, struct err *err)
{
    struct wrap *wrap = (struct wrap *)stage;
    enum err_code code = ERR_OK;
    size_t i;

    for (i = 0; i < piece.n && code == ERR_OK; i++) {
        unsigned char c = piece.p[i];

        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            continue;
        wrap->out[wrap->n++] = c;
        if (++wrap->line == LINE_CHARS)
            put_break(wrap);
        if (wrap->n > OUT_BYTES - 4)
            code = wrap_pass(wrap, err);
    }
    return code;
}

static enum err_code
wrap_finish(struct stage *stage, struct err *err)
{
    struct wrap *wrap = (struct wrap *)stage;

    if (wrap->line > 0)
        put_break(wrap);
    return wrap_pass(wrap, err);
}

static void
wrap_free(struct stage *stage)
{
    wipe_free_used(stage, sizeof(struct wrap));
}

enum err_code
mime_wrap_new(struct stage *next, struct stage **out, struct err *err)
{
    static const struct stage_ops ops = {
        .name = "base64 lines",
        .write = wrap_write,
        .finish = wrap_finish,
        .free = wrap_free,
    };
    struct wrap *wrap = calloc(1, sizeof(*wrap));

    if (!wrap)
        return err_set(err, ERR_NOMEM, "memory for base64 lines");
    stage_init(&wrap->stage, &ops, next);
    *out = &wrap->stage;
    return ERR_OK;
}
