#include "mime/piece.h"

struct parser {
    struct span in;
    size_t at;
    struct mime_pieces *to;
};

static bool
is_white(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* RFC 2045 5.1: token characters. */
static bool
is_token(unsigned char c)
{
    return c > ' ' && c < 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

static bool
at_end(const struct parser *parser)
{
    return parser->at >= parser->in.n;
}

static unsigned char
peek(const struct parser *parser)
{
    return parser->in.p[parser->at];
}

static bool
at_separator(const struct parser *parser)
{
    return at_end(parser) || peek(parser) == ';';
}

/* RFC 5322 3.2.2: comments nest and have quoted pairs. A counter, no recursion. */
static void
skip_comment(struct parser *parser)
{
    size_t depth = 0;
    while (!at_end(parser)) {
        unsigned char c = peek(parser);
        parser->at++;
        if (c == '\\' && !at_end(parser))
            parser->at++;
        else if (c == '(')
            depth++;
        else if (c == ')' && --depth == 0) {
            parser->to->flags |= MIME_PARAMETER_COMMENT;
            return;
        }
    }
    parser->to->flags |= MIME_PARAMETER_COMMENT | MIME_PARAMETER_SYNTAX;
}

static void
skip_white(struct parser *parser)
{
    while (!at_end(parser)) {
        if (peek(parser) == '(')
            skip_comment(parser);
        else if (is_white(peek(parser)))
            parser->at++;
        else
            return;
    }
}

/* Puts one byte of a value, without the line breaks of folding. */
static void
put_folded(struct parser *parser, unsigned char c)
{
    bool before_lf = parser->at < parser->in.n && peek(parser) == '\n';
    if (c == '\n' || (c == '\r' && before_lf))
        return;
    if (c == '\0' || c == '\r')
        parser->to->flags |= MIME_PARAMETER_SYNTAX;
    mime_piece_put(parser->to, c);
}

/* RFC 5322 3.2.4; at the opening quote. Without a closing one the value is all the rest. */
static struct span
take_quoted(struct parser *parser)
{
    size_t from = parser->to->arena_n;
    parser->at++;
    while (!at_end(parser)) {
        unsigned char c = peek(parser);
        parser->at++;
        if (c == '"')
            return mime_piece_end(parser->to, from);
        if (c == '\\' && !at_end(parser)) {
            c = peek(parser);
            parser->at++;
            if (c != '"' && c != '\\')
                parser->to->flags |= MIME_PARAMETER_ESCAPE;
        }
        put_folded(parser, c);
    }
    parser->to->flags |= MIME_PARAMETER_SYNTAX;
    return mime_piece_end(parser->to, from);
}

/* An unquoted value: a token, or what mail systems write without the quotes it needs ("name=my
 * file.pdf"); that one goes up to the next ';'. */
static struct span
take_unquoted(struct parser *parser)
{
    size_t begin = parser->at;
    bool needs_quotes = false;
    while (!at_separator(parser) && !is_white(peek(parser)) && peek(parser) != '(') {
        needs_quotes |= !is_token(peek(parser)) && peek(parser) < 0x80;
        parser->at++;
    }
    size_t end = parser->at;
    unsigned flags = parser->to->flags;
    skip_white(parser);
    if (!at_separator(parser)) {
        /* What looked like a comment is text of the value. */
        parser->to->flags = flags;
        needs_quotes = true;
        while (!at_separator(parser))
            parser->at++;
        end = parser->at;
        while (end > begin && is_white(parser->in.p[end - 1]))
            end--;
    }
    if (needs_quotes)
        parser->to->flags |= MIME_PARAMETER_UNQUOTED;
    if (end == begin)
        parser->to->flags |= MIME_PARAMETER_SYNTAX;

    size_t from = parser->to->arena_n;
    size_t resume = parser->at;
    for (parser->at = begin; parser->at < end;) {
        unsigned char c = peek(parser);
        parser->at++;
        put_folded(parser, c);
    }
    parser->at = resume;
    return mime_piece_end(parser->to, from);
}

/* RFC 2231: "name*", "name*0", "name*0*". A '*' that is none of these stays in the name. */
static void
split_name(struct mime_piece *piece)
{
    struct span name = piece->name;
    size_t star = span_find(name, '*');
    if (star == 0 || star == name.n)
        return;
    size_t at = star + 1;
    int number = MIME_PIECE_NO_NUMBER;
    if (at < name.n && name.p[at] != '*') {
        size_t first = at;
        for (number = 0; at < name.n && name.p[at] >= '0' && name.p[at] <= '9'; at++) {
            if (at - first == 3)
                return;
            number = number * 10 + (name.p[at] - '0');
        }
        if (at == first || (name.p[first] == '0' && at - first > 1))
            return;
        piece->extended = at < name.n && name.p[at] == '*';
        at += piece->extended;
    } else if (at == name.n) {
        piece->extended = true;
    }
    if (at != name.n) {
        piece->extended = false;
        return;
    }
    piece->number = number;
    piece->name.n = star;
}

/* The bytes up to the next ';' fit no grammar. Quotes and comments are honoured, so that a ';' in
 * them does not begin a parameter that a stricter reader would not see. */
static void
skip_rest(struct parser *parser)
{
    parser->to->flags |= MIME_PARAMETER_SYNTAX;
    while (!at_separator(parser)) {
        if (peek(parser) == '(') {
            skip_comment(parser);
        } else if (peek(parser) == '"') {
            size_t mark = parser->to->arena_n;
            take_quoted(parser);
            parser->to->arena_n = mark;
        } else {
            parser->at++;
        }
    }
}

/* name "=" value; at a byte that is neither white space nor ';'. */
static enum err_code
take_piece(struct parser *parser, struct err *err)
{
    size_t mark = parser->to->arena_n;
    while (!at_separator(parser) && is_token(peek(parser))) {
        mime_piece_put(parser->to, mime_piece_lower(peek(parser)));
        parser->at++;
    }
    struct span name = mime_piece_end(parser->to, mark);
    skip_white(parser);
    if (name.n == 0 || at_end(parser) || peek(parser) != '=') {
        parser->to->arena_n = mark;
        skip_rest(parser);
        return ERR_OK;
    }
    if (parser->to->count == MIME_PARAMETER_LIMIT)
        return err_set(err, ERR_LIMIT, "more than %d parameters", MIME_PARAMETER_LIMIT);
    struct mime_piece *piece = &parser->to->list[parser->to->count++];
    *piece = (struct mime_piece){ .name = name, .number = MIME_PIECE_NO_NUMBER };
    split_name(piece);

    parser->at++;
    skip_white(parser);
    bool quoted = !at_end(parser) && peek(parser) == '"';
    if (quoted && piece->extended)
        parser->to->flags |= MIME_PARAMETER_SYNTAX;
    piece->value = quoted ? take_quoted(parser) : take_unquoted(parser);
    skip_white(parser);
    /* A missing ';': the next parameter begins here. */
    if (!at_separator(parser))
        parser->to->flags |= MIME_PARAMETER_SYNTAX;
    return ERR_OK;
}

/* One word of the value before the first ';'. */
static void
put_word(struct parser *parser)
{
    bool quoted = peek(parser) == '"';
    parser->at += quoted;
    while (!at_separator(parser) && !is_white(peek(parser)) && peek(parser) != '(') {
        unsigned char c = mime_piece_lower(peek(parser));
        if (c == '"' && quoted) {
            parser->at++;
            parser->to->flags |= MIME_PARAMETER_SYNTAX;
            return;
        }
        if (c == '/' && !quoted)
            return;
        parser->at++;
        if (!is_token(c) && (c != '/' || !quoted))
            parser->to->flags |= MIME_PARAMETER_SYNTAX;
        if (c != '\0')
            mime_piece_put(parser->to, c);
    }
    if (quoted)
        parser->to->flags |= MIME_PARAMETER_SYNTAX;
}

/* word ["/" word] */
static void
take_value(struct parser *parser)
{
    struct mime_pieces *to = parser->to;
    size_t from = to->arena_n;
    skip_white(parser);
    if (!at_separator(parser) && peek(parser) != '/')
        put_word(parser);
    skip_white(parser);
    if (!at_end(parser) && peek(parser) == '/') {
        mime_piece_put(to, '/');
        parser->at++;
        skip_white(parser);
        if (!at_separator(parser) && peek(parser) != '/')
            put_word(parser);
        skip_white(parser);
    }
    to->value = mime_piece_end(to, from);
    if (!at_separator(parser))
        to->flags |= MIME_PARAMETER_SYNTAX;
    if (!at_end(parser) && peek(parser) == '/')
        skip_rest(parser);
}

enum err_code
mime_piece_parse(struct span field_value, struct mime_pieces *to, struct err *err)
{
    struct parser parser = { .in = field_value, .to = to };
    for (size_t i = 0; i < field_value.n; i++) {
        if (field_value.p[i] >= 0x80)
            to->flags |= MIME_PARAMETER_EIGHTBIT;
    }
    take_value(&parser);
    while (!at_end(&parser)) {
        enum err_code code = ERR_OK;
        if (peek(&parser) == ';')
            parser.at++;
        else
            code = take_piece(&parser, err);
        if (code != ERR_OK)
            return code;
        skip_white(&parser);
    }
    return ERR_OK;
}
