#include "milter/control_json.h"

#include "util/log.h"

enum { STRING_BYTES = 16384 };

enum err_code
milter_control_append_escaped(struct buf *out, const char *text, struct err *err)
{
    if (buf_append_byte(out, '"', err))
        return err->code;
    for (const char *p = text; *p; p++) {
        if ((*p == '"' || *p == '\\') && buf_append_byte(out, '\\', err))
            return err->code;
        if (buf_append_byte(out, (unsigned char)*p, err))
            return err->code;
    }
    return buf_append_byte(out, '"', err);
}

enum err_code
milter_control_append_string(struct buf *out, const char *text, struct err *err)
{
    char safe[STRING_BYTES];

    log_escape(span_str(text), safe, sizeof safe); /* no control characters, valid UTF-8 */
    return milter_control_append_escaped(out, safe, err);
}

enum err_code
milter_control_append_number(struct buf *out, const char *name, int64_t value, struct err *err)
{
    return buf_appendf(out, err, ", \"%s\": %lld", name, (long long)value);
}

enum err_code
milter_control_append_text(struct buf *out, const char *name, const char *value, struct err *err)
{
    if (!value)
        return buf_appendf(out, err, ", \"%s\": null", name);
    if (buf_appendf(out, err, ", \"%s\": ", name))
        return err->code;
    return milter_control_append_string(out, value, err);
}
