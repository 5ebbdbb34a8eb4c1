/*
 * From text to sections: the grammar of the file, included files, and the bookkeeping of one load.
 *
 * The parser goes on after every complaint, at the next line, so that an operator sees all errors
 * of a file at once.
 */
#ifndef CONF_PARSER_H
#define CONF_PARSER_H

#include "conf/lexer.h"
#include "conf/private.h"
#include "conf/report.h"
#include "conf/value.h"

enum {
    CONF_FILE_LIMIT_BYTES = 1048576,
    CONF_INCLUDE_DEPTH = 5, /* files within files, the first one counted as 0 */
    CONF_FILES_LIMIT = 256, /* of one configuration */
};

struct conf_parser {
    struct conf *conf;
    struct conf_report report;
    bool in_memory;                                 /* conf_parse: no file is opened */
    const char *open_files[CONF_INCLUDE_DEPTH + 1]; /* canonical names, to see loops */
    unsigned depth;                                 /* files open */
};

/* Reads the text of one file into parser->conf; `file` as it appears in complaints, kept by conf.
 */
void conf_parser_read(struct conf_parser *parser, struct span text, const char *file);

/* Opens a file and reads it. `from` is the place that asked for it, NULL for the first file.
 * ERR_NOTFOUND and ERR_TEMP, in err, for the first file only; all else is a complaint. */
ERR_CHECKED enum err_code conf_parser_load(struct conf_parser *parser, const char *path,
                                           const struct conf_origin *from, struct err *err);

/* `include`: a file or a pattern, relative to the folder of the file that says it. */
void conf_parser_include(struct conf_parser *parser, const char *pattern,
                         const struct conf_origin *at);

/* A copy of `name` that lives as long as the configuration; NULL: memory is exhausted. */
const char *conf_parser_keep(struct conf_parser *parser, const char *name);

/* The name of a section user, domain or defaults: false after a complaint. */
bool conf_scope_check_name(enum conf_kind kind, const struct conf_word *name,
                           struct conf_report *report);

/* What no single value shows: references, requirements, and (unless in_memory) the system. */
void conf_check(struct conf_parser *parser);
void conf_check_network(struct conf_parser *parser, const struct conf_section *section);
void conf_check_system(struct conf_parser *parser, const struct conf_section *section);

#endif
