/*
 * One file cut into words: names, values, braces, line ends, each with its place. Columns count
 * characters, from 1. A UTF-8 byte order mark at the start and CR LF line ends are accepted; NUL,
 * other control characters and what is not UTF-8 are not.
 */
#ifndef CONF_LEXER_H
#define CONF_LEXER_H

#include "conf/report.h"
#include "util/buf.h"
#include "util/span.h"

enum conf_token {
    CONF_TOKEN_END,
    CONF_TOKEN_LINE, /* end of a line */
    CONF_TOKEN_WORD,
    CONF_TOKEN_STRING, /* a word that stood in quotes */
    CONF_TOKEN_EQUALS,
    CONF_TOKEN_COMMA,
    CONF_TOKEN_OPEN,
    CONF_TOKEN_CLOSE,
    CONF_TOKEN_BAD, /* told already; the line is best skipped */
};

struct conf_lexer {
    struct span rest;
    struct conf_origin next; /* place of the first character of `rest` */
    struct conf_report *report;
    bool in_value;         /* '=' is a letter there: cn=..., inet:... */
    struct conf_origin at; /* of the token */
    struct buf text;       /* of a word or string */
};

/* `text` is borrowed until conf_lexer_deinit; `file` until the configuration is freed. */
void conf_lexer_init(struct conf_lexer *lexer, struct span text, const char *file,
                     struct conf_report *report);
void conf_lexer_deinit(struct conf_lexer *lexer);

enum conf_token conf_lexer_get(struct conf_lexer *lexer);

/* Goes on behind the end of this line. */
void conf_lexer_skip(struct conf_lexer *lexer);

#endif
