/*
 * How a clear-signed message is taken apart.
 *
 * The preamble is dropped (and noted), the first delimiter begins part one, whose bytes go to the
 * content stage in the caller's own pieces, the second begins the signature, which is kept. What
 * comes behind is only looked at: more parts and text behind the end are how a second message is
 * hidden beside a signed one. The line break before a delimiter is the delimiter's (RFC
 * 2046 5.1.1); hashing it, or not hashing the one before it, is the classic way to reject good
 * signatures.
 *
 * Only the outer boundary is searched: inside part one nothing is parsed, so that what was signed
 * is hashed whatever it contains.
 */
#include "mime/split.h"

#include <stdlib.h>

#include "mime/boundary.h"
#include "mime/line.h"

enum { SPLIT_LIMIT_BOUNDARY = 70 }; /* RFC 2046 5.1.1 */

enum split_place { PLACE_PREAMBLE, PLACE_CONTENT, PLACE_SIGNATURE, PLACE_MORE, PLACE_EPILOGUE };

struct mime_split {
    struct mime_boundary *boundary;
    struct stage *content;
    struct buf signature;
    enum split_place place;
    struct mime_line line; /* of part one */
    bool finished;
    struct err failed;
    struct mime_split_result result;
};

enum err_code
mime_split_new(const struct mime_split_args *args, struct mime_split **out, struct err *err)
{
    struct mime_split *split;
    enum err_code code;

    if (args->boundary.n > SPLIT_LIMIT_BOUNDARY || !mime_boundary_is_usable(args->boundary))
        return err_set(err, ERR_PERM,
                       "a multipart/signed with a boundary that is not 1 to %d "
                       "printable characters",
                       SPLIT_LIMIT_BOUNDARY);
    split = calloc(1, sizeof(*split));
    if (!split)
        return err_set(err, ERR_NOMEM, "memory for a multipart/signed");
    split->content = args->content;
    buf_init(&split->signature, args->signature_limit_bytes);
    code = mime_boundary_new(&split->boundary, err);
    if (code == ERR_OK)
        code = mime_boundary_set(split->boundary, args->boundary, 0, err);
    if (code != ERR_OK)
        mime_split_free(&split);
    *out = split;
    return code;
}

void
mime_split_free(struct mime_split **split)
{
    if (!split || !*split)
        return;
    mime_boundary_free(&(*split)->boundary);
    buf_free(&(*split)->signature);
    free(*split);
    *split = NULL;
}

static void
split_doubt(struct mime_split *split, const char *why)
{
    split->result.ambiguous = true;
    if (!split->result.why)
        split->result.why = why;
}

static enum err_code
split_text(struct mime_split *split, struct span text, struct err *err)
{
    switch (split->place) {
    case PLACE_PREAMBLE:
        split->result.preamble |= span_trim(text).n > 0;
        break;
    case PLACE_CONTENT:
        split->result.content_bytes += text.n;
        mime_line_write(&split->line, text);
        return stage_write(split->content, text, err);
    case PLACE_SIGNATURE:
        if (text.n > split->signature.limit_bytes - split->signature.n)
            return err_set(err, ERR_LIMIT, "the signature part is larger than %zu octets",
                           split->signature.limit_bytes);
        return buf_append(&split->signature, text, err);
    case PLACE_MORE:
        break;
    case PLACE_EPILOGUE:
        split->result.epilogue |= span_trim(text).n > 0;
        break;
    }
    return ERR_OK;
}

static void
split_delimiter(struct mime_split *split, const struct mime_boundary_token *token)
{
    size_t i;

    for (i = 0; i < token->bytes.n; i++) {
        if (token->bytes.p[i] == '\n' && (i == 0 || token->bytes.p[i - 1] != '\r'))
            split->result.bare_line_end = true;
    }
    if (token->is_close) {
        if (split->place == PLACE_PREAMBLE)
            split_doubt(split, "a close delimiter before the first part");
        split->place = PLACE_EPILOGUE;
        split->result.closed = true;
        mime_boundary_close(split->boundary, 0);
        return;
    }
    split->result.parts++;
    if (split->place < PLACE_MORE)
        split->place++;
    if (split->place == PLACE_MORE)
        split_doubt(split, "more than two parts");
}

static enum err_code
split_token(struct mime_split *split, const struct mime_boundary_token *token, struct err *err)
{
    if (token->kind == MIME_BOUNDARY_TEXT)
        return split_text(split, token->bytes, err);
    split_delimiter(split, token);
    return ERR_OK;
}

static enum err_code
split_keep(struct mime_split *split, enum err_code code, struct err *err)
{
    if (split->failed.code == ERR_OK)
        (void)err_set(&split->failed, code, "%s", err->text);
    return err_set(err, split->failed.code, "%s", split->failed.text);
}

enum err_code
mime_split_write(struct mime_split *split, struct span piece, struct err *err)
{
    struct mime_boundary_token token;
    struct err own = ERR_INIT;
    enum err_code code = ERR_OK;

    err = err ? err : &own;
    if (split->failed.code != ERR_OK)
        return split_keep(split, split->failed.code, err);
    if (split->finished)
        return err_set(err, ERR_BUG, "a multipart/signed was written to after its end");
    while (code == ERR_OK && mime_boundary_next(split->boundary, &piece, &token))
        code = split_token(split, &token, err);
    return code == ERR_OK ? ERR_OK : split_keep(split, code, err);
}

/* Header and body of part two: the first empty line divides them. */
static void
split_divide(struct mime_split *split)
{
    struct span all = buf_span(&split->signature);
    size_t at = 0;

    split->result.signature_header = all;
    split->result.signature_body = span_from(all, all.n);
    while (at < all.n) {
        size_t n = span_find(span_from(all, at), '\n');

        if (at + n == all.n)
            return;
        if (n == 0 || (n == 1 && all.p[at] == '\r')) {
            split->result.signature_header = span_of(all.p, at + n + 1);
            split->result.signature_body = span_from(all, at + n + 1);
            return;
        }
        at += n + 1;
    }
}

enum err_code
mime_split_finish(struct mime_split *split, struct err *err)
{
    struct mime_boundary_token token;
    struct err own = ERR_INIT;
    enum err_code code = ERR_OK;

    err = err ? err : &own;
    if (split->failed.code != ERR_OK)
        return split_keep(split, split->failed.code, err);
    if (split->finished)
        return err_set(err, ERR_BUG, "a multipart/signed was finished twice");
    split->finished = true;
    while (code == ERR_OK && mime_boundary_finish(split->boundary, &token))
        code = split_token(split, &token, err);
    if (code != ERR_OK)
        return split_keep(split, code, err);
    mime_line_finish(&split->line);
    split->result.bare_line_end |= mime_line_has_bare_lf(&split->line);
    split_divide(split);
    if (mime_boundary_is_doubtful(split->boundary))
        split_doubt(split, "a line that some readers take for a boundary delimiter");
    if (split->line.cr_dashes)
        split_doubt(split, "a bare CR before dashes");
    if (split->result.parts < 2)
        split_doubt(split, "fewer than two parts");
    if (!split->result.closed)
        split_doubt(split, "no close delimiter");
    return ERR_OK;
}

const struct mime_split_result *
mime_split_get(const struct mime_split *split)
{
    return &split->result;
}
