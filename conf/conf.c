#include "conf/conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/parser.h"
#include "conf/scope.h"

/* Who is told of errors. */
struct conf_audience {
    conf_complaint_fn *complain;
    void *context;
};

/* The end of every load: all checks, the complaints, then the arrays. */
static enum err_code
conf_finish(struct conf_parser *parser, enum err_code rc, const struct conf_audience *audience,
            struct conf **out, struct err *err)
{
    enum err_code reported;

    if (rc == ERR_OK)
        conf_check(parser);
    reported = conf_report_finish(&parser->report, parser->conf, audience->complain,
                                  audience->context, err);
    if (rc == ERR_OK)
        rc = reported;
    if (rc == ERR_OK)
        rc = conf_private_finish(parser->conf, err);
    if (rc == ERR_OK) {
        *out = parser->conf;
        parser->conf = NULL;
    }
    conf_free(&parser->conf);
    return rc;
}

enum err_code
conf_load(const char *path, conf_complaint_fn *complain, void *context, struct conf **out,
          struct err *err)
{
    const struct conf_audience audience = { complain, context };
    struct conf_parser parser = { .conf = conf_private_new(), .in_memory = path == NULL };
    enum err_code rc = ERR_OK;

    if (!parser.conf)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (path)
        rc = conf_parser_load(&parser, path, NULL, err);
    return conf_finish(&parser, rc, &audience, out, err);
}

enum err_code
conf_parse(const char *name, const char *text, conf_complaint_fn *complain, void *context,
           struct conf **out, struct err *err)
{
    const struct conf_audience audience = { complain, context };
    struct conf_parser parser = { .conf = conf_private_new(), .in_memory = true };
    const char *file;

    if (!parser.conf)
        return err_set(err, ERR_NOMEM, "out of memory");
    file = conf_parser_keep(&parser, name);
    if (file)
        conf_parser_read(&parser, span_str(text), file);
    return conf_finish(&parser, ERR_OK, &audience, out, err);
}

/* Row `row` of `shown`, as what holds in `section`. */
static void
conf_each_param(const struct conf_section *section, const struct conf_section *shown, size_t row,
                conf_each_fn *each, void *context)
{
    const struct conf_param *param = &conf_table_get(shown->kind)->params[row];
    const struct conf_origin *origin = &shown->origins[row];
    struct buf value = BUF_INIT((size_t)CONF_FILE_LIMIT_BYTES * 4);
    struct err err = ERR_INIT;
    char title[CONF_TITLE_SIZE], from[1200] = "default";

    conf_section_title(section, title);
    if (origin->line > 0)
        snprintf(from, sizeof from, "%s:%u", origin->file, origin->line);
    if (conf_value_format(param, shown->base, &value, &err) == ERR_OK)
        each(context, title, param->name, buf_str(&value), from);
    else
        each(context, title, param->name, err.text, from);
    buf_free(&value);
}

void
conf_each(const struct conf *conf, conf_each_fn *each, void *context)
{
    for (size_t i = 0; i < conf->private->section_count; i++) {
        const struct conf_section *section = &conf->private->sections[i];
        const struct conf_table *table = conf_table_get(section->kind);

        for (size_t j = 0; j < table->count; j++) {
            const struct conf_section *shown = section;
            size_t row = j;

            if (!table->params[j].name ||
                (conf_table_is_scope(section->kind) && section->origins[j].line == 0))
                continue;
            if (section->kind == CONF_KIND_RULE && section->origins[j].line == 0)
                shown = conf_scope_find_shown(conf, section, &row);
            conf_each_param(section, shown, row, each, context);
        }
    }
}
