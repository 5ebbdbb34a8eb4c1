#include "flow/lift.h"

#include <stdlib.h>
#include <strings.h>

enum { LIFT_AT_END = 1000 }; /* behind every field, as in flow/protect */

/* RFC 5322 2.2 with 8-bit text (RFC 6532 3.2): printable characters, tabs, and folding. */
static bool
lift_is_sane(const char *value)
{
    size_t line = 0;
    bool text = false; /* this line has more than white space */

    for (const char *c = value;; c++) {
        if (*c == '\n' || *c == '\0') {
            if (!text || line > FLOW_LIFT_LIMIT_LINE - FLOW_LIFT_LIMIT_NAME)
                return false;
            if (*c == '\0')
                return true;
            if (c[1] != ' ' && c[1] != '\t')
                return false;
            line = 0;
            text = false;
            continue;
        }
        if ((unsigned char)*c < ' ' && *c != '\t')
            return false;
        if (*c == 127)
            return false;
        text |= *c != ' ' && *c != '\t';
        line++;
    }
}

enum err_code
flow_lift_format(struct span value, size_t limit_bytes, char **out, struct err *err)
{
    char *copy;
    size_t used = 0;

    *out = NULL;
    value = span_trim(value);
    if (value.n == 0 || value.n > limit_bytes || memchr(value.p, 0, value.n))
        return ERR_OK;
    copy = malloc(value.n + 1);
    if (!copy)
        return err_set(err, ERR_NOMEM, "memory for a header field");
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '\r' && i + 1 < value.n && value.p[i + 1] == '\n')
            continue;
        copy[used++] = (char)value.p[i];
    }
    copy[used] = 0;
    if (lift_is_sane(copy))
        *out = copy;
    else
        free(copy);
    return ERR_OK;
}

static bool
lift_is_content(struct span name)
{
    return span_starts_nocase(name, "Content-");
}

static bool
lift_is_name(struct span name)
{
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = name.p[i];

        if (c != '-' && (c < '0' || c > '9') && ((c | 32) < 'a' || (c | 32) > 'z'))
            return false;
    }
    return name.n > 8 && name.n < FLOW_LIFT_LIMIT_NAME;
}

static bool
lift_is_there(const struct flow_lift *lift, struct span name)
{
    for (size_t i = 0; i < lift->count; i++) {
        if (span_equal_nocase(name, lift->list[i].name))
            return true;
    }
    return false;
}

static enum err_code
lift_add(struct flow_lift *lift, const struct mime_header_field *field, struct err *err)
{
    char *value = NULL, *name;
    enum err_code code;

    if (!lift_is_name(field->name) || lift_is_there(lift, field->name) ||
        lift->count == FLOW_LIFT_LIMIT_FIELDS) {
        lift->odd = true;
        return ERR_OK;
    }
    code = flow_lift_format(field->value, FLOW_LIFT_LIMIT_VALUE, &value, err);
    if (code != ERR_OK)
        return code;
    if (!value) {
        lift->odd = true;
        return ERR_OK;
    }
    name = span_dup(field->name);
    if (!name) {
        free(value);
        return err_set(err, ERR_NOMEM, "memory for a header field");
    }
    lift->has_type |= strcasecmp(name, "Content-Type") == 0;
    lift->list[lift->count].name = name;
    lift->list[lift->count].value = value;
    lift->count++;
    return ERR_OK;
}

enum err_code
flow_lift_load(const struct mime_header *header, struct flow_lift *out, struct err *err)
{
    enum err_code code = ERR_OK;

    *out = (struct flow_lift){ .count = 0 };
    for (size_t i = 0; code == ERR_OK && i < mime_header_count(header); i++) {
        struct mime_header_field field = mime_header_get(header, i);

        if (lift_is_content(field.name))
            code = lift_add(out, &field, err);
    }
    return code;
}

void
flow_lift_free(struct flow_lift *lift)
{
    for (size_t i = 0; i < lift->count; i++) {
        free(lift->list[i].name);
        free(lift->list[i].value);
    }
    *lift = (struct flow_lift){ .count = 0 };
}

enum err_code
flow_lift_edits(const struct flow_lift *lift, const struct mime_header *header,
                const char *encoding, struct flow_edits *edits, struct err *err)
{
    unsigned end = (unsigned)mime_header_count(header) + LIFT_AT_END;
    bool said = false;
    enum err_code code = flow_edits_add_deletions(edits, header, lift_is_content, err);

    if (code == ERR_OK && mime_header_find_count(header, "MIME-Version") == 0)
        code = flow_edits_add(edits, FLOW_EDIT_INSERT_HEADER, "MIME-Version", "1.0", end, err);
    for (size_t i = 0; code == ERR_OK && i < lift->count; i++) {
        bool is_encoding = strcasecmp(lift->list[i].name, "Content-Transfer-Encoding") == 0;

        said |= is_encoding;
        code = flow_edits_add(edits, FLOW_EDIT_INSERT_HEADER, lift->list[i].name,
                              is_encoding && encoding ? encoding : lift->list[i].value, end, err);
    }
    if (code == ERR_OK && encoding && !said)
        code = flow_edits_add(edits, FLOW_EDIT_INSERT_HEADER, "Content-Transfer-Encoding", encoding,
                              end, err);
    return code;
}
