/*
 * Values as they would be written in the file.
 */
#include <string.h>

#include "conf/value.h"
#include "util/network.h"

static enum err_code
conf_value_format_word(const char *text, struct buf *out, struct err *err)
{
    enum err_code rc = ERR_OK;
    bool plain = *text && *text != '#' && strpbrk(text, " \t,\"\\{}=") == NULL;

    if (plain)
        return buf_append_str(out, text, err);
    rc = buf_append_byte(out, '"', err);
    for (; rc == ERR_OK && *text; text++) {
        if (*text == '"' || *text == '\\')
            rc = buf_append_byte(out, '\\', err);
        if (rc == ERR_OK)
            rc = buf_append_byte(out, (unsigned char)*text, err);
    }
    return rc == ERR_OK ? buf_append_byte(out, '"', err) : rc;
}

static enum err_code
conf_value_format_list(conf_list list, struct buf *out, struct err *err)
{
    enum err_code rc = list[0] ? ERR_OK : buf_append_str(out, "\"\"", err);

    for (size_t i = 0; rc == ERR_OK && list[i]; i++) {
        if (i > 0)
            rc = buf_append_byte(out, ' ', err);
        if (rc == ERR_OK)
            rc = conf_value_format_word(list[i], out, err);
    }
    return rc;
}

static enum err_code
conf_value_format_networks(const struct conf_networks *networks, struct buf *out, struct err *err)
{
    enum err_code rc = networks->count ? ERR_OK : buf_append_str(out, "\"\"", err);

    for (size_t i = 0; rc == ERR_OK && i < networks->count; i++) {
        char text[NETWORK_TEXT_SIZE];

        rc = buf_appendf(out, err, "%s%s", i > 0 ? " " : "",
                         network_format(&networks->list[i], text));
    }
    return rc;
}

static enum err_code
conf_value_format_enum(const struct conf_param *param, int index, struct buf *out, struct err *err)
{
    const char *words = param->words;

    for (; index > 0; index--)
        words += strcspn(words, "|") + 1;
    return buf_append(out, span_of(words, strcspn(words, "|")), err);
}

enum err_code
conf_value_format(const struct conf_param *param, const void *base, struct buf *out,
                  struct err *err)
{
    const void *field = (const char *)base + param->offset;
    char number[CONF_NUMBER_SIZE];
    uint64_t value;

    if (conf_type_is_string(param->type))
        return conf_value_format_word(*(char *const *)field, out, err);
    if (conf_type_is_list(param->type))
        return conf_value_format_list(*(const conf_list *)field, out, err);
    if (param->type == CONF_TYPE_NETWORKS)
        return conf_value_format_networks(field, out, err);
    if (param->type == CONF_TYPE_BOOL)
        return buf_append_str(out, *(const bool *)field ? "yes" : "no", err);
    if (param->type == CONF_TYPE_ENUM)
        return conf_value_format_enum(param, *(const int *)field, out, err);
    if (param->type == CONF_TYPE_MODE)
        value = *(const unsigned *)field;
    else if (param->type == CONF_TYPE_DURATION)
        value = (uint64_t) * (const int64_t *)field;
    else
        value = *(const uint64_t *)field;
    return buf_append_str(out, conf_number_format(param->type, value, number), err);
}
