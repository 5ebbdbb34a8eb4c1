#include "mime/parameter.h"

#include <stdlib.h>

/*
 * Two steps. The first walks over the field once, from left to right, and notes raw pieces: name,
 * number, value without quotes. The second makes parameters of them, joining the pieces of RFC
 * 2231. No step looks at a byte twice but for the joining, and that is bounded by the number of
 * pieces: a hostile field costs linear time.
 */

enum { NO_NUMBER = -1 };

struct piece {
    struct span name; /* lower case, without '*' and number */
    struct span value;
    int number;    /* of a continuation, or NO_NUMBER */
    bool extended; /* percent-encoded; the first one has charset'language' before it */
    bool used;
};

struct parameter {
    struct span name;
    struct span value;
};

struct mime_parameters {
    const char *value;
    const char *type;
    const char *subtype;
    struct parameter list[MIME_PARAMETER_LIMIT];
    size_t count;
    unsigned flags;
    unsigned char *arena; /* every string above, each with a NUL behind */
    size_t arena_n;
    size_t arena_cap;
};

struct parser {
    struct span in;
    size_t at;
    struct mime_parameters *to;
    struct piece pieces[MIME_PARAMETER_LIMIT];
    size_t count;
};

/* ---- what both steps need ------------------------------------------------------------------- */

static unsigned char
lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

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

/* The arena is as large as all strings can become, so this cannot fail; the bound is checked all
 * the same, because what is parsed is hostile. */
static void
put(struct mime_parameters *to, unsigned char c)
{
    if (to->arena_n < to->arena_cap)
        to->arena[to->arena_n++] = c;
}

static struct span
put_end(struct mime_parameters *to, size_t from)
{
    size_t n = to->arena_n - from;
    put(to, '\0');
    return span_of(to->arena + from, n);
}

/* ---- first step: pieces ------------------------------------------------------------------------
 */

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
    put(parser->to, c);
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
            return put_end(parser->to, from);
        if (c == '\\' && !at_end(parser)) {
            c = peek(parser);
            parser->at++;
        }
        put_folded(parser, c);
    }
    parser->to->flags |= MIME_PARAMETER_SYNTAX;
    return put_end(parser->to, from);
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
    return put_end(parser->to, from);
}

/* RFC 2231: "name*", "name*0", "name*0*". A '*' that is none of these stays in the name. */
static void
split_name(struct piece *piece)
{
    struct span name = piece->name;
    size_t star = span_find(name, '*');
    if (star == 0 || star == name.n)
        return;
    size_t at = star + 1;
    int number = NO_NUMBER;
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
        put(parser->to, lower(peek(parser)));
        parser->at++;
    }
    struct span name = put_end(parser->to, mark);
    skip_white(parser);
    if (name.n == 0 || at_end(parser) || peek(parser) != '=') {
        parser->to->arena_n = mark;
        skip_rest(parser);
        return ERR_OK;
    }
    if (parser->count == MIME_PARAMETER_LIMIT)
        return err_set(err, ERR_LIMIT, "more than %d parameters", MIME_PARAMETER_LIMIT);
    struct piece *piece = &parser->pieces[parser->count++];
    *piece = (struct piece){ .name = name, .number = NO_NUMBER };
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
        unsigned char c = lower(peek(parser));
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
            put(parser->to, c);
    }
    if (quoted)
        parser->to->flags |= MIME_PARAMETER_SYNTAX;
}

/* word ["/" word] */
static void
take_value(struct parser *parser)
{
    struct mime_parameters *to = parser->to;
    size_t from = to->arena_n;
    skip_white(parser);
    if (!at_separator(parser) && peek(parser) != '/')
        put_word(parser);
    skip_white(parser);
    if (!at_end(parser) && peek(parser) == '/') {
        put(to, '/');
        parser->at++;
        skip_white(parser);
        if (!at_separator(parser) && peek(parser) != '/')
            put_word(parser);
        skip_white(parser);
    }
    struct span value = put_end(to, from);
    to->value = (const char *)value.p;
    if (!at_separator(parser))
        to->flags |= MIME_PARAMETER_SYNTAX;
    if (!at_end(parser) && peek(parser) == '/')
        skip_rest(parser);

    size_t slash = span_find(value, '/');
    if (slash == value.n)
        return;
    if (slash == 0 || slash + 1 == value.n)
        to->flags |= MIME_PARAMETER_SYNTAX;
    from = to->arena_n;
    for (size_t i = 0; i < slash; i++)
        put(to, value.p[i]);
    to->type = (const char *)put_end(to, from).p;
    to->subtype = to->value + slash + 1;
}

/* ---- second step: parameters -------------------------------------------------------------------
 */

static int
hex_digit(unsigned char c)
{
    c = lower(c);
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 2231 4. Character sets are not converted: what is compared here is octets. */
static void
put_extended(struct mime_parameters *to, struct span value, bool is_first)
{
    to->flags |= MIME_PARAMETER_EXTENDED;
    if (is_first) {
        size_t charset = span_find(value, '\'');
        size_t language = charset + 1 + span_find(span_from(value, charset + 1), '\'');
        if (language < value.n)
            value = span_from(value, language + 1);
        else
            to->flags |= MIME_PARAMETER_SYNTAX;
    }
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = value.p[i];
        if (c == '%') {
            int high = i + 2 < value.n ? hex_digit(value.p[i + 1]) : -1;
            int low = i + 2 < value.n ? hex_digit(value.p[i + 2]) : -1;
            if (high >= 0 && low >= 0) {
                c = (unsigned char)(high << 4 | low);
                i += 2;
            } else {
                to->flags |= MIME_PARAMETER_SYNTAX;
            }
        }
        put(to, c);
    }
}

static void
put_piece(struct mime_parameters *to, const struct piece *piece, bool is_first)
{
    if (piece->extended) {
        put_extended(to, piece->value, is_first);
        return;
    }
    for (size_t i = 0; i < piece->value.n; i++)
        put(to, piece->value.p[i]);
}

/* Joins pieces 0, 1, 2, ... of a name; what comes after a gap is dropped. */
static struct span
join(struct parser *parser, struct span name)
{
    struct mime_parameters *to = parser->to;
    struct piece *order[MIME_PARAMETER_LIMIT] = { NULL };
    for (size_t i = 0; i < parser->count; i++) {
        struct piece *piece = &parser->pieces[i];
        if (piece->number == NO_NUMBER || !span_equal(piece->name, name))
            continue;
        piece->used = true;
        if (piece->number >= MIME_PARAMETER_LIMIT)
            to->flags |= MIME_PARAMETER_SYNTAX;
        else if (order[piece->number])
            to->flags |= MIME_PARAMETER_DUPLICATE;
        else
            order[piece->number] = piece;
    }
    to->flags |= MIME_PARAMETER_CONTINUATION;
    size_t from = to->arena_n;
    size_t count = 0;
    for (; count < MIME_PARAMETER_LIMIT && order[count]; count++)
        put_piece(to, order[count], count == 0);
    for (size_t i = count; i < MIME_PARAMETER_LIMIT; i++) {
        if (order[i])
            to->flags |= MIME_PARAMETER_SYNTAX;
    }
    struct span value = put_end(to, from);
    return count > 0 ? value : span_of(NULL, 0);
}

static void
assemble(struct parser *parser)
{
    struct mime_parameters *to = parser->to;
    for (size_t i = 0; i < parser->count; i++) {
        struct piece *piece = &parser->pieces[i];
        struct span value = piece->value;
        if (piece->used)
            continue;
        if (piece->number != NO_NUMBER) {
            value = join(parser, piece->name);
        } else if (piece->extended) {
            size_t from = to->arena_n;
            put_extended(to, piece->value, true);
            value = put_end(to, from);
        }
        if (!value.p)
            continue;
        size_t same = 0;
        while (same < to->count && !span_equal(to->list[same].name, piece->name))
            same++;
        if (same < to->count) {
            to->flags |= MIME_PARAMETER_DUPLICATE;
            continue;
        }
        /* The name may be the front of "name*0"; the '*' becomes its end. */
        to->arena[piece->name.p + piece->name.n - to->arena] = '\0';
        to->list[to->count++] = (struct parameter){ .name = piece->name, .value = value };
    }
}

/* ---- the object --------------------------------------------------------------------------------
 */

static enum err_code
parse_into(struct mime_parameters *to, struct span field_value, struct err *err)
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
    assemble(&parser);
    return ERR_OK;
}

enum err_code
mime_parameter_parse(struct span field_value, struct mime_parameters **out, struct err *err)
{
    enum err_code code = ERR_OK;
    struct mime_parameters *parameters = NULL;

    if (field_value.n > MIME_PARAMETER_LIMIT_BYTES) {
        code = err_set(err, ERR_LIMIT, "field with parameters exceeds %d bytes",
                       MIME_PARAMETER_LIMIT_BYTES);
        goto out;
    }
    parameters = calloc(1, sizeof *parameters);
    /* Raw strings, the type once more, joined strings; a NUL for each. */
    size_t cap = 3 * field_value.n + 4 * (MIME_PARAMETER_LIMIT + 1);
    if (parameters)
        parameters->arena = malloc(cap);
    if (!parameters || !parameters->arena) {
        code = err_set(err, ERR_NOMEM, "parameters: out of memory");
        goto out;
    }
    parameters->arena_cap = cap;
    parameters->value = parameters->type = parameters->subtype = "";
    code = parse_into(parameters, field_value, err);
    if (code != ERR_OK)
        goto out;
    *out = parameters;
    parameters = NULL;
out:
    mime_parameter_free(&parameters);
    return code;
}

void
mime_parameter_free(struct mime_parameters **parameters)
{
    if (!parameters || !*parameters)
        return;
    free((*parameters)->arena);
    free(*parameters);
    *parameters = NULL;
}

const char *
mime_parameter_value(const struct mime_parameters *parameters)
{
    return parameters->value;
}

const char *
mime_parameter_type(const struct mime_parameters *parameters)
{
    return parameters->type;
}

const char *
mime_parameter_subtype(const struct mime_parameters *parameters)
{
    return parameters->subtype;
}

struct span
mime_parameter_find(const struct mime_parameters *parameters, const char *name)
{
    for (size_t i = 0; i < parameters->count; i++) {
        if (span_equal(parameters->list[i].name, span_str(name)))
            return parameters->list[i].value;
    }
    return span_of(NULL, 0);
}

bool
mime_parameter_is(const struct mime_parameters *parameters, const char *name, const char *value)
{
    struct span found = mime_parameter_find(parameters, name);
    return found.p && span_equal_nocase(found, value);
}

size_t
mime_parameter_count(const struct mime_parameters *parameters)
{
    return parameters->count;
}

const char *
mime_parameter_name(const struct mime_parameters *parameters, size_t index)
{
    return index < parameters->count ? (const char *)parameters->list[index].name.p : "";
}

struct span
mime_parameter_get(const struct mime_parameters *parameters, size_t index)
{
    return index < parameters->count ? parameters->list[index].value : span_of(NULL, 0);
}

unsigned
mime_parameter_flags(const struct mime_parameters *parameters)
{
    return parameters->flags;
}
