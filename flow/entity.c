#include "flow/entity.h"

enum err_code
flow_entity_format_header(const struct mime_header *header, struct buf *out, struct err *err)
{
    struct mime_header *content = NULL;
    enum err_code code;
    size_t i;

    code = mime_header_new(out->limit_bytes, MIME_HEADER_LIMIT_FIELDS, &content, err);
    for (i = 0; code == ERR_OK && i < mime_header_count(header); i++) {
        struct mime_header_field field = mime_header_get(header, i);

        if (span_starts_nocase(field.name, "Content-"))
            code = mime_header_set(content, field.name, field.value, err);
    }
    if (code == ERR_OK)
        code = mime_header_format(content, out, err);
    if (code == ERR_OK)
        code = buf_append_str(out, "\r\n", err);
    mime_header_free(&content);
    return code;
}
