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

enum {
    SPLIT_LIMIT_BOUNDARY = 70, /* RFC 2046 5.1.1 */
    SPLIT_LIMIT_HEAD = 64 * 1024
};

enum split_place { PLACE_PREAMBLE, PLACE_CONTENT, PLACE_SIGNATURE, PLACE_MORE, PLACE_EPILOGUE };

/* What is shown by programs that know no MIME, and by nobody else. Whatever else stands there was
 * put there by somebody who wants it to be read. */
static const char *const usual_preambles[] = {
    "This is an S/MIME signed message", /* OpenSSL; ours */
    "This is a cryptographically signed message in MIME format.",
    "This is a multi-part message in MIME format.",
    "This is a multi-part message in MIME format",
    "This is a multipart message in MIME format.",
    "This is a multipart message in MIME format",
    "This is a message with multiple parts in MIME format.",
    "This is a MIME-encapsulated message",
    "This is a MIME-encapsulated message.",
    "This message is in MIME format.",
};

struct mime_split {
    unsigned char preamble[96]; /* the beginning of it, without leading white space */
    size_t preamble_n;
    bool preamble_long;
    struct mime_boundary *boundary;
    unsigned char name[70]; /* of the boundary */
    size_t name_n;
    struct buf head;  /* header section of part one, while it has not ended */
    size_t head_seen; /* no empty line ends before this */
    bool head_ended;
    struct stage *content;
    struct buf signature;
    enum split_place place;
    struct mime_line line; /* of part one */
    uint64_t bytes;        /* of tokens so far */
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
    memcpy(split->name, args->boundary.p, args->boundary.n);
    split->name_n = args->boundary.n;
    buf_init(&split->head, SPLIT_LIMIT_HEAD);
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
    buf_free(&(*split)->head);
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

static void
split_preamble(struct mime_split *split, struct span text)
{
    for (size_t i = 0; i < text.n; i++) {
        bool white =
            text.p[i] == ' ' || text.p[i] == '\t' || text.p[i] == '\r' || text.p[i] == '\n';

        if (white && split->preamble_n == 0)
            continue;
        split->result.preamble = true;
        if (split->preamble_n < sizeof split->preamble)
            split->preamble[split->preamble_n++] = text.p[i];
        else
            split->preamble_long |= !white;
    }
}

static void
split_judge_preamble(struct mime_split *split)
{
    struct span text = span_trim(span_of(split->preamble, split->preamble_n));

    for (size_t i = 0; i < sizeof usual_preambles / sizeof *usual_preambles; i++)
        split->result.preamble_usual |=
            !split->preamble_long && span_equal(text, span_str(usual_preambles[i]));
}

/*
 * Part one may be a multipart with the same boundary, or with one that ours begins with. Then a
 * delimiter of ours is one of its own to readers that look for the inner one first: they see the
 * signature inside of what is signed, and no second part.
 */
static enum err_code
split_judge_head(struct mime_split *split, struct err *err)
{
    struct mime_header *header = NULL;
    struct mime_parameters *type = NULL;
    struct mime_header_field field;
    struct err found = ERR_INIT;
    enum err_code code =
        mime_header_new(SPLIT_LIMIT_HEAD, MIME_HEADER_LIMIT_FIELDS, &header, &found);

    split->head_ended = true;
    if (code == ERR_OK)
        code = mime_header_parse(header, buf_span(&split->head), &found);
    for (size_t i = 0; code == ERR_OK && mime_header_find(header, "Content-Type", i, &field); i++) {
        struct span inner;

        mime_parameter_free(&type);
        code = mime_parameter_parse(field.value, &type, &found);
        if (code != ERR_OK)
            break;
        inner = mime_parameter_find(type, "boundary");
        if (inner.n > 0 && inner.n <= split->name_n && memcmp(split->name, inner.p, inner.n) == 0)
            split_doubt(split, "a multipart with the same boundary inside");
    }
    mime_parameter_free(&type);
    mime_header_free(&header);
    buf_free(&split->head);
    if (code == ERR_LIMIT)
        split_doubt(split, "a header section beyond every bound inside");
    else if (code != ERR_OK)
        return err_set(err, code, "%s", found.text);
    return ERR_OK;
}

/* Keeps the header section of part one until its empty line. */
static enum err_code
split_head(struct mime_split *split, struct span text, struct err *err)
{
    size_t room = split->head.limit_bytes - split->head.n, n = text.n < room ? text.n : room;
    const unsigned char *p;
    enum err_code code;

    if (split->head_ended)
        return ERR_OK;
    if (n < text.n && n == 0) {
        split_doubt(split, "a header section beyond every bound inside");
        return split_judge_head(split, err);
    }
    code = buf_append(&split->head, span_of(text.p, n), err);
    if (code != ERR_OK)
        return code;
    p = split->head.p;
    for (size_t i = split->head_seen; i < split->head.n; i++) {
        if (p[i] != '\n')
            continue;
        split->head_seen = i;
        if (i == 0 || p[i - 1] == '\n' || (p[i - 1] == '\r' && (i == 1 || p[i - 2] == '\n'))) {
            split->head.n = i + 1;
            return split_judge_head(split, err);
        }
    }
    return ERR_OK;
}

static enum err_code
split_text(struct mime_split *split, struct span text, struct err *err)
{
    enum err_code code;

    switch (split->place) {
    case PLACE_PREAMBLE:
        split_preamble(split, text);
        break;
    case PLACE_CONTENT:
        split->result.content_bytes += text.n;
        mime_line_write(&split->line, text);
        code = split_head(split, text, err);
        return code == ERR_OK ? stage_write(split->content, text, err) : code;
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
    split->bytes += token->bytes.n;
    if (token->kind == MIME_BOUNDARY_TEXT)
        return split_text(split, token->bytes, err);
    split_delimiter(split, token);
    if (split->place == PLACE_CONTENT)
        split->result.content_offset = split->bytes;
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
    split_judge_preamble(split);
    if (!split->head_ended)
        code = split_judge_head(split, err);
    if (code != ERR_OK)
        return split_keep(split, code, err);
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
