#include "flow/automatic.h"

#include <string.h>

#include "mime/parameter.h"

/* The value of a field without comments and parameters, judged by `is`. */
static enum err_code
automatic_ask(const struct mime_header *header, const char *name,
              bool (*is)(const struct mime_parameters *), bool *out, struct err *err)
{
    size_t count = mime_header_find_count(header, name);
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && !*out && i < count; i++) {
        struct mime_parameters *parameters = NULL;
        struct mime_header_field field;
        struct err parse_err = ERR_INIT;

        if (!mime_header_find(header, name, i, &field))
            continue;
        code = mime_parameter_parse(field.value, &parameters, &parse_err);
        if (code == ERR_OK)
            *out = is(parameters);
        else if (code == ERR_LIMIT)
            code = ERR_OK; /* no claim that anybody could read */
        else
            code = err_set(err, code, "%s", parse_err.text);
        mime_parameter_free(&parameters);
    }
    return code;
}

static bool
automatic_is_submitted(const struct mime_parameters *parameters)
{
    const char *value = mime_parameter_value(parameters);

    return value[0] != '\0' && strcmp(value, "no") != 0;
}

static bool
automatic_is_report(const struct mime_parameters *parameters)
{
    return strcmp(mime_parameter_value(parameters), "multipart/report") == 0;
}

enum err_code
flow_automatic_find(const struct mime_header *header, bool *out, struct err *err)
{
    enum err_code code;

    *out = false;
    code = automatic_ask(header, "Auto-Submitted", automatic_is_submitted, out, err);
    if (code == ERR_OK)
        code = automatic_ask(header, "Content-Type", automatic_is_report, out, err);
    return code;
}

bool
flow_automatic_is_list(const struct mime_header *header)
{
    struct mime_header_field field;

    if (mime_header_find(header, "List-Id", 0, &field) ||
        mime_header_find(header, "List-Post", 0, &field))
        return true;
    return mime_header_find(header, "Precedence", 0, &field) &&
           span_equal_nocase(span_trim(field.value), "list");
}
