#include "mime/newline.h"

#include <stdlib.h>

struct newline {
    struct stage stage;
    bool after_cr;
};

static enum err_code
newline_write(struct stage *stage, struct span piece, struct err *err)
{
    struct newline *newline = (struct newline *)stage;
    enum err_code code = ERR_OK;
    size_t from = 0, at = 0;

    while (at < piece.n && code == ERR_OK) {
        const unsigned char *lf = memchr(piece.p + at, '\n', piece.n - at);
        size_t i = lf ? (size_t)(lf - piece.p) : piece.n;

        if (lf && !(i > 0 ? piece.p[i - 1] == '\r' : newline->after_cr)) {
            code = stage_write(stage->next, span_of(piece.p + from, i - from), err);
            if (code == ERR_OK)
                code = stage_write(stage->next, span_str("\r\n"), err);
            from = i + 1;
        }
        at = i + 1;
    }
    if (code != ERR_OK || piece.n == 0)
        return code;
    newline->after_cr = piece.p[piece.n - 1] == '\r';
    if (from < piece.n)
        code = stage_write(stage->next, span_of(piece.p + from, piece.n - from), err);
    return code;
}

static void
newline_free(struct stage *stage)
{
    free(stage);
}

enum err_code
mime_newline_new(struct stage *next, struct stage **out, struct err *err)
{
    static const struct stage_ops ops = {
        .name = "line ends",
        .write = newline_write,
        .free = newline_free,
    };
    struct newline *newline = calloc(1, sizeof(*newline));

    if (!newline)
        return err_set(err, ERR_NOMEM, "memory for line ends");
    stage_init(&newline->stage, &ops, next);
    *out = &newline->stage;
    return ERR_OK;
}
