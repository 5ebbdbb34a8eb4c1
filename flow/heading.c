#include "flow/heading.h"

#include <stdlib.h>
#include <string.h>

struct field {
    struct span name, value;
    bool inserted; /* its value has no blank behind the colon */
};

struct heading {
    struct field *list;
    size_t count, cap;
};

bool
flow_heading_leaves_out(struct span name)
{
    static const char *const names[] = { "Bcc", "Resent-Bcc", "X-Smimed-Mark", "Return-Path",
                                         "Content-Length" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (span_equal_nocase(name, names[i]))
            return true;
    }
    return false;
}

static enum err_code
heading_init(struct heading *heading, const struct mime_header *header,
             const struct flow_edits *edits, struct err *err)
{
    heading->cap = mime_header_count(header) + edits->count;
    heading->count = mime_header_count(header);
    heading->list = calloc(heading->cap + 1, sizeof *heading->list);
    if (!heading->list)
        return err_set(err, ERR_NOMEM, "no memory for the header of a copy");
    for (size_t i = 0; i < heading->count; i++) {
        struct mime_header_field field = mime_header_get(header, i);

        heading->list[i] = (struct field){ .name = field.name, .value = field.value };
    }
    return ERR_OK;
}

/* The field that an edit names; count: it is not there. */
static size_t
heading_find(const struct heading *heading, const struct flow_edit *edit)
{
    unsigned nth = edit->index;

    for (size_t i = 0; i < heading->count; i++) {
        if (span_equal_nocase(heading->list[i].name, edit->name) && --nth == 0)
            return i;
    }
    return heading->count;
}

static enum err_code
heading_edit(struct heading *heading, const struct flow_edit *edit, struct err *err)
{
    struct field *list = heading->list;
    size_t at = edit->index < heading->count ? edit->index : heading->count;

    if (edit->kind == FLOW_EDIT_INSERT_HEADER) {
        memmove(list + at + 1, list + at, (heading->count++ - at) * sizeof *list);
        list[at] = (struct field){ .name = span_str(edit->name),
                                   .value = span_str(edit->value ? edit->value : ""),
                                   .inserted = true };
        return ERR_OK;
    }
    if (edit->kind != FLOW_EDIT_CHANGE_HEADER && edit->kind != FLOW_EDIT_DELETE_HEADER)
        return ERR_OK;
    at = heading_find(heading, edit);
    if (at == heading->count)
        return err_set(err, ERR_BUG, "an edit of %.60s, which is not there", edit->name);
    if (edit->kind == FLOW_EDIT_CHANGE_HEADER)
        list[at].value = span_str(edit->value);
    else
        memmove(list + at, list + at + 1, (--heading->count - at) * sizeof *list);
    return ERR_OK;
}

/* Every line end as CRLF: a bare one would be no header any more for who reads it strictly. */
static enum err_code
append_value(struct buf *out, struct span value, struct err *err)
{
    enum err_code code = buf_reserve(out, value.n + 2, err);

    for (size_t i = 0; code == ERR_OK && i < value.n; i++) {
        unsigned char c = value.p[i];

        if (c == '\r')
            continue;
        if (c == '\n')
            code = buf_append_str(out, "\r\n", err);
        else
            code = buf_append_byte(out, c ? c : ' ', err);
    }
    return code;
}

static enum err_code
append_field(struct buf *out, const struct field *field, struct err *err)
{
    enum err_code code = buf_append(out, field->name, err);

    if (code == ERR_OK)
        code = buf_append_str(out, field->inserted ? ": " : ":", err);
    if (code == ERR_OK)
        code = append_value(out, field->value, err);
    return code == ERR_OK ? buf_append_str(out, "\r\n", err) : code;
}

enum err_code
flow_heading_format(const struct mime_header *header, const struct flow_edits *edits,
                    struct buf *out, struct err *err)
{
    struct heading heading = { .list = NULL };
    enum err_code code = heading_init(&heading, header, edits, err);

    for (size_t i = 0; code == ERR_OK && i < edits->count; i++)
        code = heading_edit(&heading, &edits->list[i], err);
    for (size_t i = 0; code == ERR_OK && i < heading.count; i++) {
        if (heading.list[i].name.n > 0 && !flow_heading_leaves_out(heading.list[i].name))
            code = append_field(out, &heading.list[i], err);
    }
    free(heading.list);
    return code;
}
