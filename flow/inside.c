#include "flow/inside.h"

#include <stdlib.h>

#include "flow/coding.h"

struct flow_inside {
    struct flow_inside_args args;
    struct flow_inside_result result;
    struct buf section; /* the header section as far as it came */
    size_t line;        /* where in it the line begins that is being read */
    bool in_body;
    bool last_cr; /* the octet before was a CR */
};

static const char inside_substitute[] = "Content-Type: text/plain\r\n";

enum err_code
flow_inside_new(const struct flow_inside_args *args, struct flow_inside **out, struct err *err)
{
    struct flow_inside *inside = calloc(1, sizeof(*inside));

    if (!inside)
        return err_set(err, ERR_NOMEM, "memory for reading an entity");
    inside->args = *args;
    buf_init(&inside->section, FLOW_INSIDE_LIMIT_HEADER);
    *out = inside;
    return ERR_OK;
}

void
flow_inside_free(struct flow_inside **inside)
{
    if (!inside || !*inside)
        return;
    buf_free(&(*inside)->section);
    free(*inside);
    *inside = NULL;
}

const struct flow_inside_result *
flow_inside_get(const struct flow_inside *inside)
{
    return &inside->result;
}

/* ---- the body ----------------------------------------------------------------------------------
 */

static enum err_code
inside_pass(struct flow_inside *inside, struct span piece, struct err *err)
{
    return piece.n > 0 ? inside->args.body(inside->args.context, piece, err) : ERR_OK;
}

/* A CR that no LF follows, within the piece or at its seam to the one before. */
static bool
inside_has_bare_cr(const struct flow_inside *inside, struct span piece)
{
    const unsigned char *at = piece.p, *end = piece.p + piece.n;

    if (inside->last_cr && piece.n > 0 && piece.p[0] != '\n')
        return true;
    for (; (at = memchr(at, '\r', (size_t)(end - at))); at++) {
        if (at + 1 < end && at[1] != '\n')
            return true;
    }
    return false;
}

static enum err_code
inside_write_body(struct flow_inside *inside, struct span piece, struct err *err)
{
    const unsigned char *start = piece.p, *end = piece.p + piece.n, *at = piece.p;
    enum err_code code = ERR_OK;

    if (piece.n == 0 || !inside->args.mend || inside->result.binary)
        return inside_pass(inside, piece, err);
    if (memchr(piece.p, 0, piece.n) || inside_has_bare_cr(inside, piece))
        inside->result.unclean = true;
    for (; code == ERR_OK && (at = memchr(at, '\n', (size_t)(end - at))); at++) {
        if (at > piece.p ? at[-1] == '\r' : inside->last_cr)
            continue;
        code = inside_pass(inside, span_of(start, (size_t)(at - start)), err);
        if (code == ERR_OK)
            code = inside_pass(inside, span_str("\r"), err);
        start = at;
    }
    inside->last_cr = end[-1] == '\r';
    return code == ERR_OK ? inside_pass(inside, span_of(start, (size_t)(end - start)), err) : code;
}

/* ---- the header section ------------------------------------------------------------------------
 */

/* A body whose octets are its own and no mail server's: one leaf, not encoded. */
static enum err_code
inside_find_binary(struct flow_inside *inside, const struct mime_header *header, struct err *err)
{
    struct mime_parameters *encoding = NULL, *type = NULL;
    const char *doubt = NULL;
    enum err_code code =
        flow_coding_parse_field(header, "Content-Transfer-Encoding", &encoding, &doubt, err);

    if (code == ERR_OK)
        code = flow_coding_parse_field(header, "Content-Type", &type, &doubt, err);
    if (code == ERR_OK && encoding && type &&
        strcmp(mime_parameter_value(encoding), "binary") == 0 &&
        strcmp(mime_parameter_type(type), "multipart") != 0 &&
        strcmp(mime_parameter_type(type), "message") != 0)
        inside->result.binary = true;
    mime_parameter_free(&encoding);
    mime_parameter_free(&type);
    return code;
}

static enum err_code
inside_parse(struct flow_inside *inside, struct span section, struct err *err)
{
    struct mime_header *header = NULL;
    enum err_code code =
        mime_header_new(FLOW_INSIDE_LIMIT_HEADER, MIME_HEADER_LIMIT_FIELDS, &header, err);

    if (code == ERR_OK)
        code = mime_header_parse(header, section, err);
    if (code == ERR_OK && mime_header_malformed(header) > 0)
        inside->result.broken = true;
    if (code == ERR_OK && inside->args.mend)
        code = inside_find_binary(inside, header, err);
    if (code == ERR_OK && inside->args.header)
        code = inside->args.header(inside->args.context, header, err);
    mime_header_free(&header);
    return code;
}

/* The octets that looked like a header are body. */
static enum err_code
inside_break(struct flow_inside *inside, struct err *err)
{
    enum err_code code;

    inside->in_body = inside->result.broken = true;
    code = inside_parse(inside, span_str(inside_substitute), err);
    if (code == ERR_OK)
        code = inside_write_body(inside, buf_span(&inside->section), err);
    buf_free(&inside->section);
    return code;
}

static enum err_code
inside_end_header(struct flow_inside *inside, struct err *err)
{
    enum err_code code;

    inside->in_body = true;
    code = inside_parse(inside, buf_span(&inside->section), err);
    buf_free(&inside->section);
    return code;
}

/* Could the line be one of a header section? Enough is asked to see at once that garbage is none.
 */
static bool
inside_is_field(struct span line)
{
    size_t colon = span_find(line, ':');

    if (line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t'))
        return true;
    for (size_t i = 0; i < colon && i < line.n; i++) {
        if (line.p[i] < ' ' || line.p[i] >= 127)
            return false;
    }
    return colon > 0 && colon < line.n;
}

/* A line of the section is there, with its line break. */
static enum err_code
inside_end_line(struct flow_inside *inside, struct err *err)
{
    struct span line = span_from(buf_span(&inside->section), inside->line);

    if (line.n == 1 || (line.n == 2 && line.p[0] == '\r')) {
        inside->section.n = inside->line;
        return inside_end_header(inside, err);
    }
    if (!inside_is_field(line))
        return inside_break(inside, err);
    inside->line = inside->section.n;
    return ERR_OK;
}

static enum err_code
inside_write_header(struct flow_inside *inside, struct span piece, size_t *used, struct err *err)
{
    enum err_code code = ERR_OK;

    while (code == ERR_OK && !inside->in_body && *used < piece.n) {
        struct span rest = span_from(piece, *used);
        size_t end = span_find(rest, '\n');
        size_t take = end < rest.n ? end + 1 : rest.n;

        if (inside->section.n + take > FLOW_INSIDE_LIMIT_HEADER)
            return inside_break(inside, err);
        code = buf_append(&inside->section, span_of(rest.p, take), err);
        *used += take;
        if (code == ERR_OK && end < rest.n)
            code = inside_end_line(inside, err);
    }
    return code;
}

enum err_code
flow_inside_write(struct flow_inside *inside, struct span piece, struct err *err)
{
    size_t used = 0;
    enum err_code code = inside_write_header(inside, piece, &used, err);

    if (code == ERR_OK && used < piece.n)
        code = inside_write_body(inside, span_from(piece, used), err);
    return code;
}

/* A section without an empty line behind it is an entity without a body. */
enum err_code
flow_inside_finish(struct flow_inside *inside, struct err *err)
{
    if (inside->in_body) {
        inside->result.unclean |= inside->args.mend && !inside->result.binary && inside->last_cr;
        return ERR_OK;
    }
    if (inside->section.n > inside->line &&
        !inside_is_field(span_from(buf_span(&inside->section), inside->line)))
        return inside_break(inside, err);
    return inside_end_header(inside, err);
}
