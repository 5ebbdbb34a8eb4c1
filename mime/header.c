#include "mime/header.h"

#include <stdlib.h>

struct field {
    unsigned char *bytes; /* name, then value; a NUL behind */
    size_t name_n;
    size_t value_n;
};

struct mime_header {
    struct field *fields;
    size_t count;
    size_t cap;
    size_t malformed;
    size_t irregular;
    size_t bytes; /* of all names and values */
    size_t limit_bytes;
    size_t limit_fields;
};

static bool
is_blank(unsigned char c)
{
    return c == ' ' || c == '\t';
}

enum err_code
mime_header_new(size_t limit_bytes, size_t limit_fields, struct mime_header **out, struct err *err)
{
    struct mime_header *header = calloc(1, sizeof *header);
    if (!header)
        return err_set(err, ERR_NOMEM, "header: out of memory");
    header->limit_bytes = limit_bytes;
    header->limit_fields = limit_fields;
    *out = header;
    return ERR_OK;
}

void
mime_header_free(struct mime_header **header)
{
    if (!header || !*header)
        return;
    for (size_t i = 0; i < (*header)->count; i++)
        free((*header)->fields[i].bytes);
    free((*header)->fields);
    free(*header);
    *header = NULL;
}

static enum err_code
make_room(struct mime_header *header, struct err *err)
{
    if (header->count < header->cap)
        return ERR_OK;
    size_t cap = header->cap ? header->cap * 2 : 32;
    if (cap > header->limit_fields)
        cap = header->limit_fields;
    struct field *fields = realloc(header->fields, cap * sizeof *fields);
    if (!fields)
        return err_set(err, ERR_NOMEM, "header: out of memory");
    header->fields = fields;
    header->cap = cap;
    return ERR_OK;
}

static bool
is_irregular(const struct mime_header *header, struct span name, struct span value)
{
    if (name.n == 0)
        return !(header->count == 1 && value.n >= 5 && memcmp(value.p, "From ", 5) == 0);
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] <= 0x20 || name.p[i] >= 0x7f)
            return true;
    }
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '\r' && (i + 1 == value.n || value.p[i + 1] != '\n'))
            return true;
    }
    return false;
}

/* Appends without judging; an empty name is a malformed line. */
static enum err_code
append_field(struct mime_header *header, struct span name, struct span value, struct err *err)
{
    size_t room = header->limit_bytes - header->bytes;
    if (name.n > room || value.n > room - name.n)
        return err_set(err, ERR_LIMIT, "header section exceeds %zu bytes", header->limit_bytes);
    if (header->count >= header->limit_fields)
        return err_set(err, ERR_LIMIT, "header section exceeds %zu fields", header->limit_fields);
    enum err_code code = make_room(header, err);
    if (code != ERR_OK)
        return code;

    unsigned char *bytes = malloc(name.n + value.n + 1);
    if (!bytes)
        return err_set(err, ERR_NOMEM, "header: out of memory");
    if (name.n > 0)
        memcpy(bytes, name.p, name.n);
    if (value.n > 0)
        memcpy(bytes + name.n, value.p, value.n);
    bytes[name.n + value.n] = '\0';

    header->fields[header->count++] = (struct field){
        .bytes = bytes,
        .name_n = name.n,
        .value_n = value.n,
    };
    header->bytes += name.n + value.n;
    header->malformed += name.n == 0;
    header->irregular += is_irregular(header, name, value);
    return ERR_OK;
}

enum err_code
mime_header_set(struct mime_header *header, struct span name, struct span value, struct err *err)
{
    bool blank = name.n > 0 && is_blank(name.p[name.n - 1]);

    while (name.n > 0 && is_blank(name.p[name.n - 1]))
        name.n--;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = name.p[i];
        if (c == ':' || c == '\r' || c == '\n' || c == 0)
            return err_set(err, ERR_PERM, "header field name with byte 0x%02x", c);
    }
    /* A line break that is no folding would be the start of another field: injection. */
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '\n' && (i + 1 == value.n || !is_blank(value.p[i + 1])))
            return err_set(err, ERR_PERM,
                           "header field value with a line break that is no folding");
    }
    enum err_code code = append_field(header, name, value, err);
    header->irregular += code == ERR_OK && blank;
    return code;
}

/* The line at `at`, without its line break; *next is where the following one begins. */
static struct span
take_line(struct span section, size_t at, size_t *next)
{
    struct span rest = span_from(section, at);
    size_t n = span_find(rest, '\n');
    *next = at + n + (n < rest.n);
    if (n < rest.n && n > 0 && rest.p[n - 1] == '\r')
        n--;
    return span_of(rest.p, n);
}

/* Splits "name WSP* : value". False: no field (RFC 5322 2.2, obsolete blanks of 4.5.8 allowed). */
static bool
split_line(struct span line, struct span *name, struct span *value)
{
    size_t n = 0;
    while (n < line.n && line.p[n] > 0x20 && line.p[n] < 0x7f && line.p[n] != ':')
        n++;
    size_t colon = n;
    while (colon < line.n && is_blank(line.p[colon]))
        colon++;
    if (n == 0 || colon == line.n || line.p[colon] != ':')
        return false;
    *name = span_of(line.p, n);
    *value = span_from(line, colon + 1);
    return true;
}

enum err_code
mime_header_parse(struct mime_header *header, struct span section, struct err *err)
{
    size_t at = 0;
    while (at < section.n) {
        struct span name, value;
        size_t next;
        struct span line = take_line(section, at, &next);
        if (line.n == 0)
            break;
        if (!split_line(line, &name, &value)) {
            name = span_of(line.p, 0);
            value = line;
        }
        /* The lines that begin with white space are the same field. */
        while (next < section.n && is_blank(section.p[next])) {
            line = take_line(section, next, &next);
            value.n = (size_t)(line.p + line.n - value.p);
        }
        enum err_code code = append_field(header, name, value, err);
        if (code != ERR_OK)
            return code;
        header->irregular += name.n > 0 && is_blank(name.p[name.n]);
        at = next;
    }
    return ERR_OK;
}

size_t
mime_header_count(const struct mime_header *header)
{
    return header->count;
}

size_t
mime_header_malformed(const struct mime_header *header)
{
    return header->malformed;
}

size_t
mime_header_irregular(const struct mime_header *header)
{
    return header->irregular;
}

struct mime_header_field
mime_header_get(const struct mime_header *header, size_t index)
{
    if (index >= header->count)
        return (struct mime_header_field){ .name = { 0 } };
    const struct field *field = &header->fields[index];
    return (struct mime_header_field){
        .name = span_of(field->bytes, field->name_n),
        .value = span_of(field->bytes + field->name_n, field->value_n),
    };
}

bool
mime_header_find(const struct mime_header *header, const char *name, size_t nth,
                 struct mime_header_field *out)
{
    for (size_t i = 0; i < header->count; i++) {
        struct mime_header_field field = mime_header_get(header, i);
        if (field.name.n == 0 || !span_equal_nocase(field.name, name))
            continue;
        if (nth-- == 0) {
            *out = field;
            return true;
        }
    }
    return false;
}

size_t
mime_header_find_count(const struct mime_header *header, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < header->count; i++) {
        struct mime_header_field field = mime_header_get(header, i);
        count += field.name.n > 0 && span_equal_nocase(field.name, name);
    }
    return count;
}

/* Length of the line break at `at`: 2 for CRLF, 1 for LF, 0 for anything else. */
static size_t
line_break_at(struct span value, size_t at)
{
    if (value.p[at] == '\n')
        return 1;
    return value.p[at] == '\r' && at + 1 < value.n && value.p[at + 1] == '\n' ? 2 : 0;
}

/* Appends `value` with every line break replaced by `line_break`, and a bare CR by `bare_cr`. */
static enum err_code
append_value(struct buf *out, struct span value, const char *line_break, const char *bare_cr,
             struct err *err)
{
    enum err_code code = ERR_OK;
    size_t from = 0;
    for (size_t i = 0; i < value.n && code == ERR_OK;) {
        if (value.p[i] != '\r' && value.p[i] != '\n') {
            i++;
            continue;
        }
        size_t n = line_break_at(value, i);
        code = buf_append(out, span_of(value.p + from, i - from), err);
        if (code == ERR_OK)
            code = buf_append_str(out, n ? line_break : bare_cr, err);
        i += n ? n : 1;
        from = i;
    }
    if (code != ERR_OK)
        return code;
    return buf_append(out, span_from(value, from), err);
}

enum err_code
mime_header_unfold(struct span value, struct buf *out, struct err *err)
{
    return append_value(out, span_trim(value), "", "\r", err);
}

enum err_code
mime_header_format(const struct mime_header *header, struct buf *out, struct err *err)
{
    for (size_t i = 0; i < header->count; i++) {
        struct mime_header_field field = mime_header_get(header, i);
        enum err_code code = ERR_OK;
        if (field.name.n > 0) {
            code = buf_append(out, field.name, err);
            if (code == ERR_OK)
                code = buf_append_byte(out, ':', err);
        }
        /* In a malformed line a space could make a field of it, or a continuation of the one
         * before. */
        if (code == ERR_OK)
            code = append_value(out, field.value, "\r\n", field.name.n ? " " : "?", err);
        if (code == ERR_OK)
            code = buf_append_str(out, "\r\n", err);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}
