#include "flow/raw.h"

#include <stdlib.h>

enum raw_form { RAW_FORM_UNKNOWN, RAW_FORM_AS_IS, RAW_FORM_LF };

struct flow_raw {
    struct flow_raw_args args;
    struct buf section; /* header section as far as it was read */
    struct err failed;
    enum raw_form form;
    bool in_body;
    bool last_cr; /* LF form: the octet before was a CR */
    bool finished;
    size_t line; /* where in `section` the line begins that is being read */
};

enum err_code
flow_raw_new(const struct flow_raw_args *args, struct flow_raw **out, struct err *err)
{
    struct flow_raw *raw = calloc(1, sizeof(*raw));

    if (!raw)
        return err_set(err, ERR_NOMEM, "memory for reading a message");
    raw->args = *args;
    buf_init(&raw->section, args->limit_header_bytes + 2);
    *out = raw;
    return ERR_OK;
}

void
flow_raw_free(struct flow_raw **raw)
{
    if (!raw || !*raw)
        return;
    buf_free(&(*raw)->section);
    free(*raw);
    *raw = NULL;
}

/* ---- the header section ------------------------------------------------------------------------
 */

/* "From somebody Mon Jan  1 ..." of a mail store is no field. */
static struct span
raw_skip_envelope(struct span section)
{
    size_t end;

    if (section.n < 5 || memcmp(section.p, "From ", 5) != 0)
        return section;
    end = span_find(section, '\n');
    return span_from(section, end + 1);
}

static enum err_code
raw_end_header(struct flow_raw *raw, struct err *err)
{
    struct mime_header *header = NULL;
    enum err_code code;

    raw->in_body = true;
    code =
        mime_header_new(raw->args.limit_header_bytes + 2, MIME_HEADER_LIMIT_FIELDS, &header, err);
    if (code == ERR_OK)
        code = mime_header_parse(header, raw_skip_envelope(buf_span(&raw->section)), err);
    if (code == ERR_OK)
        code = raw->args.header(raw->args.context, header, err);
    mime_header_free(&header);
    buf_free(&raw->section);
    return code;
}

/* A line of the header is complete. Is it the empty one? Then it does not belong to the section. */
static enum err_code
raw_end_line(struct flow_raw *raw, struct err *err)
{
    size_t n = raw->section.n - raw->line;
    const unsigned char *line = raw->section.p + raw->line;

    if (raw->form == RAW_FORM_UNKNOWN)
        raw->form = n >= 2 && line[n - 2] == '\r' ? RAW_FORM_AS_IS : RAW_FORM_LF;
    if (n == 1 || (n == 2 && line[0] == '\r')) {
        raw->section.n = raw->line;
        return raw_end_header(raw, err);
    }
    raw->line = raw->section.n;
    return ERR_OK;
}

/* Takes as much of the piece as belongs to the header; *used says how much. */
static enum err_code
raw_write_header(struct flow_raw *raw, struct span piece, size_t *used, struct err *err)
{
    enum err_code code = ERR_OK;

    while (code == ERR_OK && !raw->in_body && *used < piece.n) {
        struct span rest = span_from(piece, *used);
        size_t end = span_find(rest, '\n');
        size_t take = end < rest.n ? end + 1 : rest.n;

        code = buf_append(&raw->section, span_of(rest.p, take), err);
        *used += take;
        if (code == ERR_OK && end < rest.n)
            code = raw_end_line(raw, err);
    }
    return code;
}

/* ---- the body ----------------------------------------------------------------------------------
 */

/* Every LF without a CR before it becomes CRLF, as SMTP would carry it. */
static enum err_code
raw_write_crlf(struct flow_raw *raw, struct span piece, struct err *err)
{
    enum err_code code = ERR_OK;
    size_t start = 0, i;

    for (i = 0; code == ERR_OK && i < piece.n; i++) {
        if (piece.p[i] == '\n' && !raw->last_cr) {
            if (i > start)
                code = raw->args.body(raw->args.context, span_of(piece.p + start, i - start), err);
            if (code == ERR_OK)
                code = raw->args.body(raw->args.context, span_str("\r\n"), err);
            start = i + 1;
        }
        raw->last_cr = piece.p[i] == '\r';
    }
    if (code == ERR_OK && start < piece.n)
        code = raw->args.body(raw->args.context, span_from(piece, start), err);
    return code;
}

enum err_code
flow_raw_write(struct flow_raw *raw, struct span piece, struct err *err)
{
    enum err_code code;
    size_t used = 0;

    if (raw->failed.code != ERR_OK)
        return err_set(err, raw->failed.code, "%s", raw->failed.text);
    code = raw_write_header(raw, piece, &used, &raw->failed);
    if (code == ERR_OK && used < piece.n)
        code = raw->form == RAW_FORM_LF
                   ? raw_write_crlf(raw, span_from(piece, used), &raw->failed)
                   : raw->args.body(raw->args.context, span_from(piece, used), &raw->failed);
    if (code == ERR_OK)
        return ERR_OK;
    if (raw->failed.code == ERR_OK)
        (void)err_set(&raw->failed, code, "the message could not be taken");
    return err_set(err, code, "%s", raw->failed.text);
}

enum err_code
flow_raw_finish(struct flow_raw *raw, struct err *err)
{
    if (raw->failed.code != ERR_OK)
        return err_set(err, raw->failed.code, "%s", raw->failed.text);
    if (raw->finished)
        return err_set(err, ERR_BUG, "a message is finished once");
    raw->finished = true;
    return raw->in_body ? ERR_OK : raw_end_header(raw, err);
}
