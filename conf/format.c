/*
 * The table as text: the annotated sample file and the parameter part of smimed.conf(5).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/value.h"

enum { CONF_SAMPLE_COLUMNS = 96, CONF_MDOC_COLUMNS = 79, CONF_NOTE_BYTES = 512 };

/* What the value must be: its words or its bounds. "" where the type's name says it all. */
static void
conf_format_bounds(const struct conf_param *param, char *out, size_t size)
{
    char min[CONF_NUMBER_SIZE], max[CONF_NUMBER_SIZE], words[CONF_NOTE_BYTES - 16];
    size_t n = 0;

    out[0] = '\0';
    if (param->type == CONF_TYPE_COUNT || param->type == CONF_TYPE_DURATION ||
        param->type == CONF_TYPE_SIZE) {
        snprintf(out, size, "From %s to %s.", conf_number_format(param->type, param->min, min),
                 conf_number_format(param->type, param->max, max));
        return;
    }
    if (param->type != CONF_TYPE_ENUM && param->type != CONF_TYPE_WORD &&
        param->type != CONF_TYPE_WORDS)
        return;
    for (const char *p = param->words; *p && n + 3 < sizeof words; p++) {
        if (*p == '|') {
            words[n++] = ',';
            words[n++] = ' ';
        } else {
            words[n++] = *p;
        }
    }
    words[n] = '\0';
    snprintf(out, size, "%s: %s.", param->type == CONF_TYPE_WORDS ? "Some of" : "One of", words);
}

/* Comment lines of at most CONF_SAMPLE_COLUMNS columns. */
static void
conf_format_comment(FILE *out, const char *indent, const char *text)
{
    size_t room = CONF_SAMPLE_COLUMNS - strlen(indent) - 2;

    while (*text) {
        size_t n = strlen(text);

        if (n > room) {
            for (n = room; n > 0 && text[n] != ' '; n--)
                ;
            if (n == 0)
                n = strcspn(text, " ");
        }
        fprintf(out, "%s# %.*s\n", indent, (int)n, text);
        text += n;
        text += strspn(text, " ");
    }
}

/* The value to show: the default, or for what must be given a path that is usual. */
static void
conf_format_preset(FILE *out, const struct conf_param *param)
{
    if (strcmp(param->preset, CONF_REQUIRED) == 0)
        fprintf(out, "/etc/smimed/%s", param->name);
    else
        fputs(*param->preset ? param->preset : "\"\"", out);
}

static void
conf_format_sample_param(FILE *out, const struct conf_param *param, const char *indent)
{
    char bounds[CONF_NOTE_BYTES], text[2048];

    conf_format_bounds(param, bounds, sizeof bounds);
    snprintf(text, sizeof text, "%s%s%s%s", param->meaning, *bounds ? " " : "", bounds,
             strcmp(param->preset, CONF_REQUIRED) == 0 ? " Must be given." : "");
    fputc('\n', out);
    conf_format_comment(out, indent, text);
    fprintf(out, "%s#%s = ", indent, param->name);
    conf_format_preset(out, param);
    fputc('\n', out);
}

/* The rows that are told: settings are told once, where rules are. */
static size_t
conf_format_count(const struct conf_table *table)
{
    bool settings = table->settings < table->count && table != conf_table_get(CONF_KIND_RULE);

    return settings ? table->settings : table->count;
}

static void
conf_format_sample_section(FILE *out, const struct conf_table *table)
{
    fputs("\n\n", out);
    conf_format_comment(out, "", table->meaning);
    fprintf(out, *table->example ? "\n#%s \"%s\" {\n" : "\n#%s {\n", table->word, table->example);
    for (size_t i = 0; i < conf_format_count(table); i++)
        conf_format_sample_param(out, &table->params[i], "    ");
    if (conf_format_count(table) < table->count)
        fputs("    # ... and settings of a rule\n", out);
    fputs("\n#}\n", out);
}

void
conf_format_sample(FILE *out)
{
    const struct conf_table *top = conf_table_get(CONF_KIND_GLOBAL);

    fputs("# The configuration of smimed: every parameter with its meaning, at its default. A "
          "default is\n"
          "# changed by taking the # away. smimectl check tells every error; smimed.conf(5) "
          "explains.\n",
          out);
    for (size_t i = 0; i < top->count; i++) {
        if (top->params[i].name)
            conf_format_sample_param(out, &top->params[i], "");
        else
            fprintf(out, "\n\n# ---- %s ----\n", top->params[i].meaning);
    }
    for (int kind = CONF_KIND_RULE; kind < CONF_KINDS; kind++)
        conf_format_sample_section(out, conf_table_get((enum conf_kind)kind));
}

/* Text for mdoc: each sentence begins a line (the rule of mandoc), lines are short, and no word at
 * the start of one is taken for a request. */
static void
conf_format_mdoc_text(FILE *out, const char *text)
{
    size_t column = 0;
    bool sentence = false;

    while (*text) {
        size_t n = strcspn(text, " ");

        if (column > 0 && (sentence || column + n >= CONF_MDOC_COLUMNS)) {
            fputc('\n', out);
            column = 0;
        } else if (column > 0) {
            fputc(' ', out);
        }
        if (column == 0 && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        for (size_t i = 0; i < n; i++) {
            if (text[i] == '\\')
                fputs("\\e", out);
            else
                fputc(text[i], out);
        }
        column += n + 1;
        sentence = n > 0 && text[n - 1] == '.';
        text += n + strspn(text + n, " ");
    }
    fputc('\n', out);
}

static void
conf_format_mdoc_value(FILE *out, const struct conf_param *param)
{
    char text[CONF_NOTE_BYTES];

    snprintf(text, sizeof text, "The value is %s.", conf_value_name(param->type));
    conf_format_mdoc_text(out, text);
}

static void
conf_format_mdoc_param(FILE *out, const struct conf_param *param)
{
    char bounds[CONF_NOTE_BYTES];

    conf_format_bounds(param, bounds, sizeof bounds);
    fprintf(out, ".It Ic %s\n", param->name);
    conf_format_mdoc_text(out, param->meaning);
    if (*bounds)
        conf_format_mdoc_text(out, bounds);
    else
        conf_format_mdoc_value(out, param);
    if (strcmp(param->preset, CONF_REQUIRED) == 0)
        fputs("Must be given.\n", out);
    else if (*param->preset)
        fprintf(out, "The default is\n.Ql %s .\n", param->preset);
    else
        fputs("There is no default.\n", out);
}

static void
conf_format_mdoc_list(FILE *out, const struct conf_table *table)
{
    bool open = false;

    for (size_t i = 0; i < conf_format_count(table); i++) {
        const struct conf_param *param = &table->params[i];

        if (open && !param->name)
            fputs(".El\n", out);
        if (!param->name)
            fprintf(out, ".Ss %s\n", param->meaning);
        if (!open || !param->name)
            fputs(".Bl -tag -width Ds\n", out);
        open = true;
        if (param->name)
            conf_format_mdoc_param(out, param);
    }
    if (open)
        fputs(".El\n", out);
}

void
conf_format_mdoc(FILE *out)
{
    for (int kind = 0; kind < CONF_KINDS; kind++) {
        const struct conf_table *table = conf_table_get((enum conf_kind)kind);

        if (kind != CONF_KIND_GLOBAL) {
            fprintf(out, ".Ss Sections %s\n", table->word);
            conf_format_mdoc_text(out, table->meaning);
        }
        conf_format_mdoc_list(out, table);
    }
}
