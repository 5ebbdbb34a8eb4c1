#include "conf/parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CONF_NAME_LIMIT = 64 };

/* Where the parser is in one file. */
struct conf_reader {
    struct conf_parser *parser;
    struct conf_lexer lexer;
    size_t section;        /* index of the open one; 0 is the top of the file */
    bool skipping;         /* in a section that is not one: values are read and forgotten */
    struct conf_origin at; /* where the open section began */
    char title[CONF_NAME_LIMIT + 32];
};

static struct conf_report *
conf_reader_report(struct conf_reader *reader)
{
    return &reader->parser->report;
}

static bool
conf_reader_in_section(const struct conf_reader *reader)
{
    return reader->section != 0 || reader->skipping;
}

static void
conf_words_deinit(struct conf_words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->list[i].text);
    free(words->list);
    *words = (struct conf_words){ .count = 0 };
}

static bool
conf_words_add(struct conf_words *words, const struct conf_lexer *lexer)
{
    struct conf_word word = { .at = lexer->at, .text = strdup(buf_str(&lexer->text)) };
    struct conf_word *list = realloc(words->list, (words->count + 1) * sizeof *list);

    if (list)
        words->list = list;
    if (!list || !word.text) {
        free(word.text);
        conf_report_set_nomem(lexer->report);
        return false;
    }
    words->list[words->count++] = word;
    return true;
}

/* The words of a value and the token that ended it. A comma at the end of a line goes on with the
 * next one. */
static enum conf_token
conf_reader_get_words(struct conf_reader *reader, struct conf_words *words)
{
    struct conf_lexer *lexer = &reader->lexer;
    enum conf_token token;
    bool comma = true; /* none is expected at the start */

    lexer->in_value = true;
    for (;;) {
        token = conf_lexer_get(lexer);
        if (token == CONF_TOKEN_COMMA) {
            if (comma)
                conf_report_set(lexer->report, &lexer->at, "nothing stands before this comma");
            comma = true;
        } else if (token == CONF_TOKEN_WORD || token == CONF_TOKEN_STRING) {
            comma = false;
            if (!conf_words_add(words, lexer)) {
                token = CONF_TOKEN_BAD;
                break;
            }
        } else if (token != CONF_TOKEN_LINE || !comma || words->count == 0) {
            break;
        }
    }
    lexer->in_value = false;
    return token;
}

/* Appends the parameters of a table to a list "a|b|". */
static size_t
conf_reader_put_names(const struct conf_table *table, char *names, size_t size, size_t n)
{
    for (size_t i = 0; i < table->count && n < size; i++)
        if (table->params[i].name)
            n += (size_t)snprintf(names + n, size - n, "%s|", table->params[i].name);
    return n;
}

/* Where a parameter belongs. */
static const char *
conf_reader_place(const char *name)
{
    if (conf_table_find(conf_table_get(CONF_KIND_GLOBAL), name))
        return "to the top, outside of sections";
    if (conf_table_find(conf_table_get(CONF_KIND_RULE), name))
        return "into a section rule \"...\" { }";
    if (conf_table_find(conf_table_get(CONF_KIND_USER), name))
        return "into a section user \"...\" { } or domain \"...\" { }";
    if (conf_table_find(conf_table_get(CONF_KIND_TRUST), name))
        return "into a section trust \"...\" { }";
    return "into a section directory \"...\" { }";
}

/* "name" unknown here: is it known elsewhere, or nearly? */
static void
conf_reader_refuse_name(struct conf_reader *reader, const struct conf_section *section,
                        const struct conf_word *name)
{
    const struct conf_table *table = conf_table_get(section->kind);
    char names[16384] = "", near[64], title[CONF_TITLE_SIZE], where[CONF_TITLE_SIZE + 8] = "";
    size_t n = 0;

    if (section->kind != CONF_KIND_GLOBAL)
        snprintf(where, sizeof where, " in %s", conf_section_title(section, title));
    for (int kind = 0; kind < CONF_KINDS; kind++) {
        const struct conf_table *other = conf_table_get((enum conf_kind)kind);
        if (conf_table_find(other, name->text)) {
            conf_report_set(conf_reader_report(reader), &name->at,
                            "unknown parameter \"%s\"%s; it belongs %s", name->text, where,
                            conf_reader_place(name->text));
            return;
        }
        if (kind > CONF_KIND_GLOBAL && strcmp(other->word, name->text) == 0) {
            conf_report_set(conf_reader_report(reader), &name->at,
                            "\"%s\" opens a section; write %s%s { ... }", name->text, name->text,
                            kind == CONF_KIND_DEFAULTS ? "" : " \"name\"");
            return;
        }
    }
    n = conf_reader_put_names(table, names, sizeof names, 0);
    if (conf_report_find(names, name->text, near, sizeof near)) {
        conf_report_set(conf_reader_report(reader), &name->at,
                        "unknown parameter \"%s\"%s; did you mean \"%s\"?", name->text, where,
                        near);
        return;
    }
    /* Perhaps it is misspelt and misplaced. */
    for (int kind = 0; kind < CONF_KINDS; kind++)
        n = conf_reader_put_names(conf_table_get((enum conf_kind)kind), names, sizeof names, n);
    if (conf_report_find(names, name->text, near, sizeof near))
        conf_report_set(conf_reader_report(reader), &name->at,
                        "unknown parameter \"%s\"%s; did you mean \"%s\", which belongs %s?",
                        name->text, where, near, conf_reader_place(near));
    else
        conf_report_set(conf_reader_report(reader), &name->at,
                        "unknown parameter \"%s\"%s; smimed.conf(5) lists those there are",
                        name->text, where);
}

static void
conf_reader_set(struct conf_reader *reader, const struct conf_word *name,
                const struct conf_words *words)
{
    struct conf_section *section = &reader->parser->conf->private->sections[reader->section];
    const struct conf_table *table = conf_table_get(section->kind);
    const struct conf_param *param;
    struct conf_origin *origin;

    if (reader->skipping)
        return;
    param = conf_table_find(table, name->text);
    if (!param) {
        conf_reader_refuse_name(reader, section, name);
        return;
    }
    origin = &section->origins[param - table->params];
    if (origin->line > 0) {
        conf_report_set(conf_reader_report(reader), &name->at,
                        "\"%s\" was given before at %s:%u; give it once", name->text, origin->file,
                        origin->line);
        return;
    }
    *origin = name->at;
    if (words->count == 0)
        conf_report_set(conf_reader_report(reader), &name->at,
                        "the value of \"%s\" is missing; it wants %s", name->text,
                        conf_value_name(param->type));
    else
        (void)conf_value_parse(param, words, section->base, conf_reader_report(reader));
}

/* Behind `name =`. Returns the token that ended the value. */
static enum conf_token
conf_reader_get_value(struct conf_reader *reader, const struct conf_word *name)
{
    struct conf_words words = { .count = 0 };
    enum conf_token token = conf_reader_get_words(reader, &words);

    if (token == CONF_TOKEN_OPEN) {
        conf_report_set(conf_reader_report(reader), &reader->lexer.at,
                        "\"{\" is not expected in a value; put it into double quotes");
        token = CONF_TOKEN_BAD;
    }
    /* A line that was told about already gets no second complaint for what it lacks. */
    if (token != CONF_TOKEN_BAD)
        conf_reader_set(reader, name, &words);
    conf_words_deinit(&words);
    return token;
}

static bool
conf_reader_check_section(struct conf_reader *reader, enum conf_kind kind,
                          const struct conf_word *name)
{
    const struct conf_private *private = reader->parser->conf->private;
    const struct conf_table *table = conf_table_get(kind);
    struct conf_report *report = conf_reader_report(reader);
    size_t count = 0, n = strlen(name->text);

    if (conf_table_is_scope(kind) && !conf_scope_check_name(kind, name, report))
        return false;
    if (!conf_table_is_scope(kind) && (n == 0 || n > CONF_NAME_LIMIT)) {
        conf_report_set(report, &name->at, "the name of a section has 1 to %d octets",
                        CONF_NAME_LIMIT);
        return false;
    }
    for (size_t i = 1; i < private->section_count; i++) {
        const struct conf_section *other = &private->sections[i];
        if (other->kind != kind)
            continue;
        count++;
        /* Addresses and domains in any case are one. */
        if ((conf_table_is_scope(kind) ? strcasecmp : strcmp)(conf_section_name(other),
                                                              name->text) == 0) {
            char title[CONF_TITLE_SIZE];

            conf_report_set(report, &name->at, "there is a %s already at %s:%u; %s",
                            conf_section_title(other, title), other->at.file, other->at.line,
                            *name->text ? "names are given once" : "it is given once");
            /* Read on into a section of its own: its other errors matter as well. */
            return true;
        }
    }
    if (count >= table->sections) {
        conf_report_set(report, &name->at, "more than %zu sections %s", table->sections,
                        table->word);
        return false;
    }
    return true;
}

/* `kind` CONF_KIND_GLOBAL: no such section; what stands in it is passed over. */
static void
conf_reader_open(struct conf_reader *reader, enum conf_kind kind, const struct conf_word *word,
                 const struct conf_word *name)
{
    struct conf_section *section;
    char *copy;

    if (conf_reader_in_section(reader))
        conf_report_set(conf_reader_report(reader), &reader->at,
                        "section %s is not closed; \"}\" is missing before line %u", reader->title,
                        word->at.line);
    reader->at = word->at;
    if (kind == CONF_KIND_DEFAULTS)
        snprintf(reader->title, sizeof reader->title, "%.16s", word->text);
    else
        snprintf(reader->title, sizeof reader->title, "%.16s \"%.*s\"", word->text, CONF_NAME_LIMIT,
                 name->text);
    reader->section = 0;
    reader->skipping = true;
    if (kind == CONF_KIND_GLOBAL || !conf_reader_check_section(reader, kind, name))
        return;
    copy = strdup(name->text);
    section = copy ? conf_private_add(reader->parser->conf, kind, copy) : NULL;
    if (!section) {
        conf_report_set_nomem(conf_reader_report(reader));
        return;
    }
    section->at = word->at;
    reader->section = (size_t)(section - reader->parser->conf->private->sections);
    reader->skipping = false;
}

static enum conf_kind
conf_kind_find(const char *word)
{
    for (int kind = CONF_KIND_RULE; kind < CONF_KINDS; kind++)
        if (strcmp(conf_table_get((enum conf_kind)kind)->word, word) == 0)
            return (enum conf_kind)kind;
    return CONF_KIND_GLOBAL;
}

static void
conf_reader_refuse_section(struct conf_reader *reader, const struct conf_word *word)
{
    char near[64];

    if (conf_report_find("rule|user|domain|defaults|trust|directory", word->text, near,
                         sizeof near))
        conf_report_set(conf_reader_report(reader), &word->at,
                        "unknown section \"%s\"; did you mean \"%s\"?", word->text, near);
    else
        conf_report_set(conf_reader_report(reader), &word->at,
                        "unknown section \"%s\"; there are rule, user, domain, defaults, trust and "
                        "directory",
                        word->text);
}

/* `word` was followed by `token`, which is not '='. */
static enum conf_token
conf_reader_get_section(struct conf_reader *reader, const struct conf_word *word,
                        enum conf_token token)
{
    struct conf_report *report = conf_reader_report(reader);
    enum conf_kind kind = conf_kind_find(word->text);
    struct conf_words names = { .count = 0 };
    struct conf_word none = { .text = (char *)"", .at = word->at };
    const struct conf_word *name = &none;

    if (token == CONF_TOKEN_WORD || token == CONF_TOKEN_STRING) {
        if (!conf_words_add(&names, &reader->lexer)) {
            conf_words_deinit(&names);
            return CONF_TOKEN_BAD;
        }
        name = &names.list[0];
        token = conf_lexer_get(&reader->lexer);
    }
    if (strcmp(word->text, "include") == 0 && names.count == 1) {
        if (conf_reader_in_section(reader))
            conf_report_set(report, &word->at, "include stands outside of sections only");
        else if (token != CONF_TOKEN_BAD)
            conf_parser_include(reader->parser, name->text, &word->at);
    } else if (token == CONF_TOKEN_OPEN) {
        if (kind == CONF_KIND_GLOBAL)
            conf_reader_refuse_section(reader, word);
        else if (kind == CONF_KIND_DEFAULTS && names.count > 0)
            conf_report_set(report, &names.list[0].at,
                            "there is one section defaults, without a name; write defaults {");
        else if (kind != CONF_KIND_DEFAULTS && names.count == 0)
            conf_report_set(report, &word->at, "section %s has no name; write %s \"name\" {",
                            word->text, word->text);
        conf_reader_open(
            reader, (names.count == 0) == (kind == CONF_KIND_DEFAULTS) ? kind : CONF_KIND_GLOBAL,
            word, name);
        token = CONF_TOKEN_LINE; /* what follows may stand on the same line */
    } else if (token != CONF_TOKEN_BAD) {
        if (kind != CONF_KIND_GLOBAL)
            conf_report_set(report, &word->at, "\"{\" is missing; write %s%s {", word->text,
                            kind == CONF_KIND_DEFAULTS ? "" : " \"name\"");
        else
            conf_report_set(report, &word->at, "\"=\" is missing after \"%s\"", word->text);
        if (token != CONF_TOKEN_LINE && token != CONF_TOKEN_END && token != CONF_TOKEN_CLOSE)
            token = CONF_TOKEN_BAD;
    }
    conf_words_deinit(&names);
    return token;
}

static void
conf_reader_close(struct conf_reader *reader)
{
    if (!conf_reader_in_section(reader))
        conf_report_set(conf_reader_report(reader), &reader->lexer.at,
                        "\"}\" closes nothing; no section is open");
    reader->section = 0;
    reader->skipping = false;
}

/* One statement that begins with `token`. Returns the token that ended it. */
static enum conf_token
conf_reader_get_statement(struct conf_reader *reader, enum conf_token token)
{
    struct conf_words words = { .count = 0 };

    if (token != CONF_TOKEN_WORD) {
        if (token != CONF_TOKEN_BAD)
            conf_report_set(conf_reader_report(reader), &reader->lexer.at,
                            "a parameter or a section must begin here");
        return CONF_TOKEN_BAD;
    }
    if (!conf_words_add(&words, &reader->lexer)) {
        conf_words_deinit(&words);
        return CONF_TOKEN_BAD;
    }
    token = conf_lexer_get(&reader->lexer);
    if (token == CONF_TOKEN_EQUALS)
        token = conf_reader_get_value(reader, &words.list[0]);
    else if (token != CONF_TOKEN_BAD)
        token = conf_reader_get_section(reader, &words.list[0], token);
    conf_words_deinit(&words);
    return token;
}

void
conf_parser_read(struct conf_parser *parser, struct span text, const char *file)
{
    struct conf_reader reader = { .parser = parser };
    enum conf_token token;

    conf_lexer_init(&reader.lexer, text, file, &parser->report);
    /* A file full of errors, or no memory to read it: enough. */
    while (parser->report.code != ERR_NOMEM && parser->report.count <= CONF_REPORT_LIMIT) {
        token = conf_lexer_get(&reader.lexer);
        if (token != CONF_TOKEN_LINE && token != CONF_TOKEN_END && token != CONF_TOKEN_CLOSE)
            token = conf_reader_get_statement(&reader, token);
        if (token == CONF_TOKEN_CLOSE)
            conf_reader_close(&reader);
        else if (token == CONF_TOKEN_END)
            break;
        else if (token == CONF_TOKEN_BAD)
            conf_lexer_skip(&reader.lexer);
    }
    if (conf_reader_in_section(&reader))
        conf_report_set(&parser->report, &reader.at,
                        "section %s is not closed; \"}\" is missing before the end of the file",
                        reader.title);
    conf_lexer_deinit(&reader.lexer);
}
