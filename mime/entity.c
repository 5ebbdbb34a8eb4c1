/*
 * How an entity passes.
 *
 * A part begins with its header section, gathered line by line: every line may be a delimiter of a
 * multipart around it, the empty line that ends the section, a field, or something that is none.
 * The section then says what the part is. A leaf's body goes straight through mime/boundary to the
 * handler. A multipart opens its boundary: what comes is its preamble, until its delimiter begins a
 * part inside it. A message begins a part inside it at once. The parts that we are in, from the
 * root to the innermost, are a stack of frames; a delimiter of frame k ends all frames above it.
 *
 * Why the structure is not built as a tree: a tree of hostile mail is memory without a bound (25 MB
 * of empty parts have cost a well-known library 3.2 GB), and who needs to write the same bytes out
 * again needs their order, not their tree. The same parser runs twice, once for mime/scan to
 * decide, once for mime/canonical to act, so that both see the same parts under the same numbers.
 *
 * Why a line that is no field ends a header section: that is what Python's email does, and Postfix
 * too. But Postfix then puts an empty line in between when it converts for the next hop, and a
 * signature over it is broken; such places, and only such, are called fragile here:
 *   - a header section that no empty line ends (Postfix inserts one);
 *   - "name :" (Postfix drops the space);
 *   - a line that begins like a delimiter and goes on (Postfix takes it for one, and reads what
 *     follows as a header section).
 */
#include "mime/entity.h"

#include <stdlib.h>

#include "mime/boundary.h"
#include "mime/line.h"
#include "mime/part.h"
#include "util/buf.h"
#include "util/wipe.h"

enum entity_place { PLACE_INSIDE, PLACE_PREAMBLE, PLACE_PARTS, PLACE_EPILOGUE };

struct frame {
    struct mime_entity_part part;
    enum entity_place place;
    bool is_digest;
};

struct mime_entity {
    mime_entity_handler_fn *handler;
    void *context;
    struct mime_boundary *boundary;
    struct frame frames[MIME_ENTITY_LIMIT_DEPTH];
    uint32_t count; /* of frames */
    bool in_header; /* of the innermost part */
    bool finished;
    struct buf header;
    size_t line; /* where its present line begins in `header` */
    struct mime_entity_result result;
    struct err failed;
};

enum {
    /* A line that is judged only when it is seen to be none may still lie behind the limit. */
    ENTITY_HEADER_ROOM = MIME_ENTITY_LIMIT_HEADER + 8 * 1024,
    ENTITY_STEP = 4 * 1024,
};

static void
entity_doubt(struct mime_entity *entity, const char *why)
{
    if (!entity->result.doubt)
        entity->result.doubt = why;
}

static void
entity_fragile(struct mime_entity *entity, const char *why)
{
    if (!entity->result.fragile)
        entity->result.fragile = why;
}

static struct frame *
entity_top(struct mime_entity *entity)
{
    return &entity->frames[entity->count - 1];
}

static enum err_code
entity_emit(struct mime_entity *entity, enum mime_entity_event_kind kind, const struct frame *frame,
            struct span bytes, struct err *err)
{
    struct mime_entity_event event = { .kind = kind, .part = &frame->part, .bytes = bytes };

    if (bytes.n == 0 && kind != MIME_ENTITY_HEADER && kind != MIME_ENTITY_END)
        return ERR_OK;
    return entity->handler(entity->context, &event, err);
}

/* ---- parts begin and end -----------------------------------------------------------------------
 */

static enum err_code
entity_begin(struct mime_entity *entity, bool is_message_root, struct err *err)
{
    struct frame *frame;

    if (entity->result.parts == MIME_ENTITY_LIMIT_PARTS)
        return err_set(err, ERR_LIMIT, "the message has more than %d parts",
                       MIME_ENTITY_LIMIT_PARTS);
    if (entity->count == MIME_ENTITY_LIMIT_DEPTH)
        return err_set(err, ERR_LIMIT, "parts of the message lie inside each other deeper than %d",
                       MIME_ENTITY_LIMIT_DEPTH);
    frame = &entity->frames[entity->count++];
    *frame = (struct frame){ .part = { .index = entity->result.parts++,
                                       .depth = entity->count,
                                       .is_message_root = is_message_root } };
    if (entity->count > entity->result.depth)
        entity->result.depth = entity->count;
    entity->in_header = true;
    buf_reset(&entity->header);
    entity->line = 0;
    return ERR_OK;
}

/* Ends the innermost parts until `count` are left. */
static enum err_code
entity_end(struct mime_entity *entity, uint32_t count, struct err *err)
{
    enum err_code code = ERR_OK;

    while (entity->count > count && code == ERR_OK) {
        const struct frame *frame = entity_top(entity);

        if (frame->part.kind == MIME_ENTITY_MULTIPART && frame->place == PLACE_PREAMBLE)
            entity_doubt(entity, "a multipart without a single part");
        else if (frame->part.kind == MIME_ENTITY_MULTIPART && frame->place != PLACE_EPILOGUE)
            entity_doubt(entity, "a multipart without its close delimiter");
        code = entity_emit(entity, MIME_ENTITY_END, frame, span_of(NULL, 0), err);
        entity->count--;
        mime_boundary_drop(entity->boundary, entity->count);
    }
    return code;
}

static enum err_code
entity_delimiter(struct mime_entity *entity, const struct mime_boundary_token *token,
                 struct err *err)
{
    struct frame *frame = &entity->frames[token->level];
    enum err_code code = entity_end(entity, token->level + 1, err);

    entity->in_header = false;
    if (code == ERR_OK)
        code = entity_emit(entity, MIME_ENTITY_DELIMITER, frame, token->bytes, err);
    if (code != ERR_OK)
        return code;
    if (token->is_close) {
        if (frame->place == PLACE_PREAMBLE)
            entity_doubt(entity, "a multipart without a single part");
        frame->place = PLACE_EPILOGUE;
        mime_boundary_close(entity->boundary, token->level);
        return ERR_OK;
    }
    frame->place = PLACE_PARTS;
    return entity_begin(entity, false, err);
}

/* ---- header sections ---------------------------------------------------------------------------
 */

/* The first `n` bytes of what was gathered are the section of the innermost part. */
static enum err_code
entity_end_header(struct mime_entity *entity, size_t n, struct err *err)
{
    struct frame *frame = entity_top(entity);
    struct span section = span_of(entity->header.p, n);
    struct mime_part_facts facts;
    bool in_digest = entity->count > 1 && frame[-1].is_digest;
    enum err_code code = mime_part_load(section, in_digest, &frame->part, &facts, err);

    entity->in_header = false;
    mime_boundary_reset(entity->boundary);
    if (code != ERR_OK)
        goto out;
    if (facts.doubt)
        entity_doubt(entity, facts.doubt);
    frame->is_digest = facts.is_digest;
    frame->part.type = facts.type;
    code = entity_emit(entity, MIME_ENTITY_HEADER, frame, section, err);
    frame->part.type = NULL;
    if (code == ERR_OK && frame->part.kind == MIME_ENTITY_MULTIPART) {
        frame->place = PLACE_PREAMBLE;
        code = mime_boundary_set(entity->boundary, facts.boundary, entity->count - 1, err);
    } else if (code == ERR_OK && frame->part.kind == MIME_ENTITY_MESSAGE) {
        code = entity_begin(entity, true, err);
    }
out:
    mime_part_free(&facts);
    return code;
}

static enum err_code entity_feed(struct mime_entity *entity, struct span piece, struct err *err);

/* The present line belongs to the body: the section ends before it, without an empty line. */
static enum err_code
entity_cut_header(struct mime_entity *entity, struct err *err)
{
    size_t n = entity->header.n - entity->line;
    unsigned char *copy = malloc(n);
    enum err_code code;

    if (!copy)
        return err_set(err, ERR_NOMEM, "memory for a line");
    memcpy(copy, entity->header.p + entity->line, n);
    entity_fragile(entity, "a header section that does not end with an empty line");
    entity_doubt(entity, "a header section that does not end with an empty line");
    code = entity_end_header(entity, entity->line, err);
    if (code == ERR_OK)
        code = entity_feed(entity, span_of(copy, n), err);
    wipe_free_used(copy, n);
    return code;
}

static enum err_code
entity_header_delimiter(struct mime_entity *entity, struct mime_boundary_token *token,
                        struct err *err)
{
    unsigned char line[MIME_LINE_LIMIT_BYTES + 2];
    size_t n = entity->header.n - entity->line;
    enum err_code code;

    memcpy(line, entity->header.p + entity->line, n);
    entity_fragile(entity, "a header section that does not end with an empty line");
    if (entity->line == 0)
        entity_doubt(entity, "a boundary delimiter directly behind another one");
    code = entity_end_header(entity, entity->line, err);
    /* A message inside of which not even the header section begins. */
    if (code == ERR_OK && entity->in_header)
        code = entity_end_header(entity, 0, err);
    token->bytes = span_of(line, n);
    return code == ERR_OK ? entity_delimiter(entity, token, err) : code;
}

static enum err_code
entity_check_limit(const struct mime_entity *entity, struct err *err)
{
    if (entity->header.n <= MIME_ENTITY_LIMIT_HEADER)
        return ERR_OK;
    return err_set(err, ERR_LIMIT, "the header section of a part is larger than %d octets",
                   MIME_ENTITY_LIMIT_HEADER);
}

/* The present line is complete, with or without a line break. */
static enum err_code
entity_header_line(struct mime_entity *entity, struct err *err)
{
    struct span line = span_of(entity->header.p + entity->line, entity->header.n - entity->line);
    struct mime_boundary_token token;
    bool is_obsolete = false, is_blank;

    if (line.n > 0 && line.p[line.n - 1] == '\n')
        line.n -= line.n > 1 && line.p[line.n - 2] == '\r' ? 2 : 1;
    if (line.n == 0)
        return entity_end_header(entity, entity->header.n, err);
    if (line.n <= MIME_LINE_LIMIT_BYTES && mime_boundary_check(entity->boundary, line, &token))
        return entity_header_delimiter(entity, &token, err);
    is_blank = line.p[0] == ' ' || line.p[0] == '\t';
    if (is_blank ? entity->line == 0 : !mime_part_is_field(line, &is_obsolete))
        return entity_cut_header(entity, err);
    if (is_blank && span_trim(line).n == 0)
        entity_doubt(entity, "a line of white space in a header section");
    if (is_obsolete) {
        entity_fragile(entity, "a header field with white space before its colon");
        entity_doubt(entity, "a header field with white space before its colon");
    }
    entity->line = entity->header.n;
    return entity_check_limit(entity, err);
}

/* A line so long that its first octets must say what it is: nothing may depend on the pieces. */
static enum err_code
entity_header_part_line(struct mime_entity *entity, struct err *err)
{
    struct span line = span_of(entity->header.p + entity->line, entity->header.n - entity->line);
    bool is_obsolete;

    if (line.n <= MIME_LINE_LIMIT_BYTES + 2)
        return ERR_OK;
    if (line.p[0] == ' ' || line.p[0] == '\t' ? entity->line == 0
                                              : !mime_part_is_field(line, &is_obsolete))
        return entity_cut_header(entity, err);
    return entity_check_limit(entity, err);
}

static enum err_code
entity_feed_header(struct mime_entity *entity, struct span *piece, struct err *err)
{
    size_t n = piece->n < ENTITY_STEP ? piece->n : ENTITY_STEP;
    const unsigned char *lf = memchr(piece->p, '\n', n);
    enum err_code code;

    if (lf)
        n = (size_t)(lf - piece->p) + 1;
    code = buf_append(&entity->header, span_of(piece->p, n), err);
    *piece = span_from(*piece, n);
    if (code != ERR_OK)
        return code;
    return lf ? entity_header_line(entity, err) : entity_header_part_line(entity, err);
}

/* ---- bodies ------------------------------------------------------------------------------------
 */

static enum err_code
entity_text(struct mime_entity *entity, struct span bytes, struct err *err)
{
    const struct frame *frame = entity_top(entity);
    enum mime_entity_event_kind kind = MIME_ENTITY_BODY;

    if (frame->part.kind == MIME_ENTITY_MULTIPART)
        kind = frame->place == PLACE_EPILOGUE ? MIME_ENTITY_EPILOGUE : MIME_ENTITY_PREAMBLE;
    return entity_emit(entity, kind, frame, bytes, err);
}

static enum err_code
entity_token(struct mime_entity *entity, const struct mime_boundary_token *token, struct err *err)
{
    return token->kind == MIME_BOUNDARY_TEXT ? entity_text(entity, token->bytes, err)
                                             : entity_delimiter(entity, token, err);
}

static enum err_code
entity_feed(struct mime_entity *entity, struct span piece, struct err *err)
{
    struct mime_boundary_token token;
    enum err_code code = ERR_OK;

    while (piece.n > 0 && code == ERR_OK) {
        if (entity->in_header)
            code = entity_feed_header(entity, &piece, err);
        else if (mime_boundary_next(entity->boundary, &piece, &token))
            code = entity_token(entity, &token, err);
    }
    return code;
}

/* ---- the object --------------------------------------------------------------------------------
 */

enum err_code
mime_entity_new(mime_entity_handler_fn *handler, void *context, struct mime_entity **out,
                struct err *err)
{
    struct mime_entity *entity = calloc(1, sizeof(*entity));
    enum err_code code;

    if (!entity)
        return err_set(err, ERR_NOMEM, "memory for the parser of an entity");
    entity->handler = handler;
    entity->context = context;
    buf_init(&entity->header, ENTITY_HEADER_ROOM);
    code = mime_boundary_new(&entity->boundary, err);
    if (code == ERR_OK)
        code = entity_begin(entity, false, err);
    if (code != ERR_OK)
        mime_entity_free(&entity);
    *out = entity;
    return code;
}

void
mime_entity_free(struct mime_entity **entity)
{
    if (!entity || !*entity)
        return;
    mime_boundary_free(&(*entity)->boundary);
    buf_free(&(*entity)->header);
    free(*entity);
    *entity = NULL;
}

/* The first error stays. */
static enum err_code
entity_keep(struct mime_entity *entity, enum err_code code, struct err *err)
{
    if (entity->failed.code == ERR_OK)
        (void)err_set(&entity->failed, code, "%s", err->text);
    return err_set(err, entity->failed.code, "%s", entity->failed.text);
}

enum err_code
mime_entity_write(struct mime_entity *entity, struct span piece, struct err *err)
{
    struct err own = ERR_INIT;
    enum err_code code;

    err = err ? err : &own;
    if (entity->failed.code != ERR_OK)
        return entity_keep(entity, entity->failed.code, err);
    if (entity->finished)
        return err_set(err, ERR_BUG, "an entity was written to after its end");
    code = entity_feed(entity, piece, err);
    return code == ERR_OK ? ERR_OK : entity_keep(entity, code, err);
}

static enum err_code
entity_finish(struct mime_entity *entity, struct err *err)
{
    struct mime_boundary_token token;
    enum err_code code = ERR_OK;

    if (entity->in_header && entity->header.n > entity->line)
        code = entity_header_line(entity, err);
    while (code == ERR_OK && entity->in_header) {
        entity_fragile(entity, "a header section that does not end with an empty line");
        code = entity_end_header(entity, entity->header.n, err);
    }
    while (code == ERR_OK && !entity->in_header && mime_boundary_finish(entity->boundary, &token))
        code = entity_token(entity, &token, err);
    while (code == ERR_OK && entity->in_header) { /* the last line of a body was a delimiter */
        entity_fragile(entity, "a header section that does not end with an empty line");
        code = entity_end_header(entity, 0, err);
    }
    if (code == ERR_OK)
        code = entity_end(entity, 0, err);
    if (mime_boundary_is_doubtful(entity->boundary)) {
        entity_doubt(entity, "a line that some readers take for a boundary delimiter");
        entity_fragile(entity, "a line that some readers take for a boundary delimiter");
    }
    return code;
}

enum err_code
mime_entity_finish(struct mime_entity *entity, struct err *err)
{
    struct err own = ERR_INIT;
    enum err_code code;

    err = err ? err : &own;
    if (entity->failed.code != ERR_OK)
        return entity_keep(entity, entity->failed.code, err);
    if (entity->finished)
        return err_set(err, ERR_BUG, "an entity was finished twice");
    entity->finished = true;
    code = entity_finish(entity, err);
    return code == ERR_OK ? ERR_OK : entity_keep(entity, code, err);
}

const struct mime_entity_result *
mime_entity_get(const struct mime_entity *entity)
{
    return &entity->result;
}
