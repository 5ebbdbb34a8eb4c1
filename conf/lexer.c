#include "conf/lexer.h"

#include <string.h>

enum { CONF_WORD_LIMIT = 8192 };

void
conf_lexer_init(struct conf_lexer *lexer, struct span text, const char *file,
                struct conf_report *report)
{
    *lexer = (struct conf_lexer){ .rest = text,
                                  .next = { .file = file, .line = 1, .column = 1 },
                                  .report = report };
    buf_init(&lexer->text, CONF_WORD_LIMIT);
    if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0) {
        lexer->rest = span_from(text, 3);
    } else if (text.n >= 2 &&
               (memcmp(text.p, "\xff\xfe", 2) == 0 || memcmp(text.p, "\xfe\xff", 2) == 0)) {
        conf_report_set(report, &lexer->next, "the file is UTF-16; save it as UTF-8");
        lexer->rest = span_from(text, text.n);
    }
}

void
conf_lexer_deinit(struct conf_lexer *lexer)
{
    buf_free(&lexer->text);
}

/* Octets of the character at the start of `s`; 0 when it is not UTF-8. */
static size_t
conf_lexer_octets(struct span s)
{
    unsigned char c = s.p[0];
    size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

    if (n > s.n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s.p[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && s.p[1] < 0xa0) || (c == 0xed && s.p[1] > 0x9f) ||
        (c == 0xf0 && s.p[1] < 0x90) || (c == 0xf4 && s.p[1] > 0x8f))
        return 0;
    return n;
}

static void
conf_lexer_step(struct conf_lexer *lexer, size_t octets)
{
    lexer->rest = span_from(lexer->rest, octets);
    lexer->next.column++;
}

/* Octets of the line end here (LF or CR LF), 0 if none. */
static size_t
conf_lexer_line_end(const struct conf_lexer *lexer)
{
    struct span s = lexer->rest;

    if (s.n >= 1 && s.p[0] == '\n')
        return 1;
    return s.n >= 2 && s.p[0] == '\r' && s.p[1] == '\n' ? 2 : 0;
}

/* Octets of the next character if it may stand in a file; else says so and gives 0. */
static size_t
conf_lexer_check(struct conf_lexer *lexer)
{
    unsigned char c = lexer->rest.p[0];
    size_t n = conf_lexer_octets(lexer->rest);

    if (n == 0)
        conf_report_set(lexer->report, &lexer->next,
                        "octet 0x%02X is not UTF-8; save the file as UTF-8", c);
    else if (c == '\0')
        conf_report_set(lexer->report, &lexer->next, "NUL octet; the file is not a text file");
    else if ((c < ' ' && c != '\t') || c == 0x7f) {
        conf_report_set(lexer->report, &lexer->next, "control character 0x%02X; remove it", c);
        n = 0;
    }
    return c == '\0' ? 0 : n;
}

static enum conf_token
conf_lexer_keep(struct conf_lexer *lexer, size_t octets)
{
    struct err err = ERR_INIT;
    enum err_code rc = buf_append(&lexer->text, span_of(lexer->rest.p, octets), &err);

    if (rc == ERR_LIMIT)
        conf_report_set(lexer->report, &lexer->at,
                        "longer than %d octets; is a quote or a blank missing?", CONF_WORD_LIMIT);
    else if (rc != ERR_OK)
        conf_report_set_nomem(lexer->report);
    if (rc != ERR_OK)
        return CONF_TOKEN_BAD;
    conf_lexer_step(lexer, octets);
    return CONF_TOKEN_WORD;
}

static enum conf_token
conf_lexer_string(struct conf_lexer *lexer)
{
    conf_lexer_step(lexer, 1);
    while (lexer->rest.n > 0 && !conf_lexer_line_end(lexer)) {
        size_t n;

        if (lexer->rest.p[0] == '"') {
            conf_lexer_step(lexer, 1);
            return CONF_TOKEN_STRING;
        }
        if (lexer->rest.p[0] == '\\') {
            unsigned char c = lexer->rest.n > 1 ? lexer->rest.p[1] : '\0';
            if (c != '"' && c != '\\') {
                conf_report_set(lexer->report, &lexer->next,
                                "unknown escape; in quotes a backslash stands before a quote or "
                                "another backslash");
                return CONF_TOKEN_BAD;
            }
            conf_lexer_step(lexer, 1);
        }
        n = conf_lexer_check(lexer);
        if (n == 0 || conf_lexer_keep(lexer, n) == CONF_TOKEN_BAD)
            return CONF_TOKEN_BAD;
    }
    conf_report_set(lexer->report, &lexer->at,
                    "the quote is not closed; a string ends with \" on the same line");
    return CONF_TOKEN_BAD;
}

static bool
conf_lexer_ends_word(const struct conf_lexer *lexer)
{
    unsigned char c = lexer->rest.p[0];

    return c == ' ' || c == '\t' || c == ',' || c == '"' || c == '{' || c == '}' ||
           (c == '=' && !lexer->in_value) || conf_lexer_line_end(lexer);
}

static enum conf_token
conf_lexer_word(struct conf_lexer *lexer)
{
    do {
        size_t n = conf_lexer_check(lexer);
        if (n == 0 || conf_lexer_keep(lexer, n) == CONF_TOKEN_BAD)
            return CONF_TOKEN_BAD;
    } while (lexer->rest.n > 0 && !conf_lexer_ends_word(lexer));
    return CONF_TOKEN_WORD;
}

/* Blanks and a comment. Even a comment is looked at: a NUL means that this is no text file. */
static bool
conf_lexer_blank(struct conf_lexer *lexer)
{
    bool comment = false;

    while (lexer->rest.n > 0 && !conf_lexer_line_end(lexer)) {
        unsigned char c = lexer->rest.p[0];
        size_t n;

        if (c == '#')
            comment = true;
        else if (!comment && c != ' ' && c != '\t')
            break;
        n = conf_lexer_check(lexer);
        if (n == 0)
            return false;
        conf_lexer_step(lexer, n);
    }
    return true;
}

enum conf_token
conf_lexer_get(struct conf_lexer *lexer)
{
    static const struct {
        unsigned char c;
        enum conf_token token;
    } single[] = { { '{', CONF_TOKEN_OPEN },
                   { '}', CONF_TOKEN_CLOSE },
                   { ',', CONF_TOKEN_COMMA },
                   { '=', CONF_TOKEN_EQUALS } };
    bool clean = conf_lexer_blank(lexer);
    size_t n;

    lexer->at = lexer->next;
    buf_reset(&lexer->text);
    if (!clean)
        return CONF_TOKEN_BAD;
    if (lexer->rest.n == 0)
        return CONF_TOKEN_END;
    n = conf_lexer_line_end(lexer);
    if (n > 0) {
        lexer->rest = span_from(lexer->rest, n);
        lexer->next.line++;
        lexer->next.column = 1;
        return CONF_TOKEN_LINE;
    }
    if (lexer->rest.p[0] == '"')
        return conf_lexer_string(lexer);
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++)
        if (lexer->rest.p[0] == single[i].c &&
            !(single[i].token == CONF_TOKEN_EQUALS && lexer->in_value)) {
            conf_lexer_step(lexer, 1);
            return single[i].token;
        }
    return conf_lexer_word(lexer);
}

void
conf_lexer_skip(struct conf_lexer *lexer)
{
    size_t n = span_find(lexer->rest, '\n');

    lexer->rest = span_from(lexer->rest, n + 1);
    lexer->next.line++;
    lexer->next.column = 1;
}
