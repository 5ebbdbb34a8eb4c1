#include "mime/address.h"

#include <stdlib.h>

#include "mime/local.h"

/*
 * Two layers: tokens (atom, quoted string, one special character; comments and white space between
 * them are skipped), and on top of them the grammar of address-list. Both go from left to right,
 * once, with counters in the place of recursion: 45,000 groups or comments 45,000 deep cost
 * what their bytes cost.
 *
 * What fits no grammar is never repaired into an address: the element is dropped up to the next
 * separator and the list is flagged. The one exception is text before a well-formed "<...>": there
 * the angle brackets say which address is meant, and the text is a display name whatever it holds.
 */

enum { PART_MAX = 512 };

enum kind { KIND_END, KIND_ATOM, KIND_QUOTED, KIND_SPECIAL };

struct token {
    enum kind kind;
    unsigned char special;
    bool white;       /* white space or a comment stood before it */
    struct span text; /* of a quoted string: raw, between the quotes */
    size_t begin;     /* in the field value; its end is parser.at */
};

struct mime_addresses {
    char **list;
    struct mime_address_place *places;
    size_t count;
    size_t cap;
    size_t groups;
    size_t limit;
    unsigned flags;
};

struct parser {
    struct span in;
    size_t at; /* behind `token` */
    struct token token;
    bool in_group;
    struct mime_addresses *to;

    /* Words read so far: they are a local part if an '@' follows, else a phrase. */
    size_t words;
    bool is_local;
    bool after_dot;
    bool obsolete;
    struct mime_address_place place; /* of the words, then of the addr-spec */
    unsigned char local[PART_MAX];
    size_t local_n;
    char domain[PART_MAX];
    size_t domain_n;
};

static void
flag(struct parser *parser, unsigned bits)
{
    parser->to->flags |= bits;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* Judges a byte where any text may stand. A line break that is no folding, a bare CR or a NUL in a
 * field is somebody's attempt at another field. */
static void
check_text(struct parser *parser, size_t at)
{
    unsigned char c = parser->in.p[at];
    unsigned char next = at + 1 < parser->in.n ? parser->in.p[at + 1] : ' ';
    if (c == '\0' || (c == '\r' && next != '\n') || (c == '\n' && next != ' ' && next != '\t'))
        flag(parser, MIME_ADDRESS_SYNTAX);
}

static void
skip_comment(struct parser *parser)
{
    size_t depth = 0;
    for (; parser->at < parser->in.n; parser->at++) {
        unsigned char c = parser->in.p[parser->at];
        if (c == '\\' && parser->at + 1 < parser->in.n) {
            c = parser->in.p[++parser->at];
        } else if (c == '(') {
            depth++;
        } else if (c == ')' && --depth == 0) {
            parser->at++;
            return;
        }
        check_text(parser, parser->at);
    }
    flag(parser, MIME_ADDRESS_SYNTAX);
}

static bool
skip_white(struct parser *parser)
{
    size_t begin = parser->at;
    while (parser->at < parser->in.n) {
        unsigned char c = parser->in.p[parser->at];
        if (c == '(') {
            skip_comment(parser);
            continue;
        }
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
            break;
        check_text(parser, parser->at);
        parser->at++;
    }
    return parser->at > begin;
}

/* At the opening quote. */
static struct span
take_quoted(struct parser *parser)
{
    size_t begin = ++parser->at;
    for (; parser->at < parser->in.n; parser->at++) {
        unsigned char c = parser->in.p[parser->at];
        if (c == '"') {
            parser->at++;
            return span_of(parser->in.p + begin, parser->at - 1 - begin);
        }
        if (c == '\\' && parser->at + 1 < parser->in.n)
            parser->at++;
        check_text(parser, parser->at);
    }
    flag(parser, MIME_ADDRESS_SYNTAX);
    return span_from(parser->in, begin);
}

static void
advance(struct parser *parser)
{
    struct token *token = &parser->token;
    *token = (struct token){ .white = skip_white(parser) };
    if (parser->at >= parser->in.n)
        return;
    unsigned char c = parser->in.p[parser->at];
    size_t begin = token->begin = parser->at;
    if (c == '"') {
        token->kind = KIND_QUOTED;
        token->text = take_quoted(parser);
    } else if (mime_local_is_atext(c)) {
        token->kind = KIND_ATOM;
        while (parser->at < parser->in.n && mime_local_is_atext(parser->in.p[parser->at]))
            parser->at++;
        token->text = span_of(parser->in.p + begin, parser->at - begin);
    } else {
        token->kind = KIND_SPECIAL;
        token->special = c;
        parser->at++;
    }
}

static bool
at_special(const struct parser *parser, unsigned char c)
{
    return parser->token.kind == KIND_SPECIAL && parser->token.special == c;
}

static bool
at_separator(const struct parser *parser)
{
    return parser->token.kind == KIND_END || at_special(parser, ',') || at_special(parser, ';');
}

/* Drops what is left of an element. */
static void
skip_rest(struct parser *parser)
{
    flag(parser, MIME_ADDRESS_SYNTAX);
    while (!at_separator(parser))
        advance(parser);
}

/* ---- addr-spec ------------------------------------------------------------------------------- */

static void
put_local(struct parser *parser, unsigned char c)
{
    if (parser->local_n == PART_MAX)
        parser->is_local = false;
    else
        parser->local[parser->local_n++] = c;
}

static void
put_word(struct parser *parser)
{
    struct span text = parser->token.text;
    bool quoted = parser->token.kind == KIND_QUOTED;
    for (size_t i = 0; i < text.n && parser->is_local; i++) {
        unsigned char c = text.p[i];
        if (quoted && (c == '\r' || c == '\n'))
            continue;
        if (quoted && c == '\\' && i + 1 < text.n)
            c = text.p[++i];
        put_local(parser, c);
    }
    if (quoted && text.n == 0)
        parser->is_local = false; /* an empty word */
}

/* word *(["."] word), as long as it lasts. */
static void
take_words(struct parser *parser)
{
    parser->words = 0;
    parser->is_local = true;
    parser->after_dot = true;
    parser->obsolete = false;
    parser->local_n = 0;
    bool mixed = false;
    for (;; advance(parser)) {
        bool is_dot = at_special(parser, '.');
        bool is_word = parser->token.kind == KIND_ATOM || parser->token.kind == KIND_QUOTED;
        if (!is_dot && !is_word)
            break;
        parser->obsolete |= parser->token.white && parser->words > 0;
        if (parser->words == 0)
            parser->place.begin = parser->token.begin;
        if (is_dot == parser->after_dot)
            parser->is_local = false; /* two words without a dot, or a dot too many */
        parser->after_dot = is_dot;
        parser->words++;
        mixed |= parser->token.kind == KIND_QUOTED;
        if (is_dot)
            put_local(parser, '.');
        else
            put_word(parser);
    }
    if (parser->after_dot)
        parser->is_local = false;
    parser->obsolete |= mixed && parser->words > 1;
}

static bool
put_domain(struct parser *parser, struct span text)
{
    if (text.n > PART_MAX - 1 - parser->domain_n)
        return false;
    memcpy(parser->domain + parser->domain_n, text.p, text.n);
    parser->domain_n += text.n;
    parser->domain[parser->domain_n] = '\0';
    return true;
}

/* "[" *dtext "]"; the '[' is the present token. */
static bool
take_literal(struct parser *parser)
{
    bool good = put_domain(parser, span_str("["));
    for (; good && parser->at < parser->in.n; parser->at++) {
        unsigned char c = parser->in.p[parser->at];
        if (c == ']') {
            parser->place.end = ++parser->at;
            advance(parser);
            return put_domain(parser, span_str("]"));
        }
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            check_text(parser, parser->at);
            parser->obsolete = true;
            continue;
        }
        good =
            c > ' ' && c < 0x7f && !strchr("[\\<>@\"(),;", c) && put_domain(parser, span_of(&c, 1));
    }
    return false;
}

/* Behind the '@'. False: no domain. */
static bool
take_domain(struct parser *parser)
{
    parser->domain_n = 0;
    parser->obsolete |= parser->token.white;
    if (at_special(parser, '['))
        return take_literal(parser);
    for (;;) {
        if (parser->token.kind != KIND_ATOM || !put_domain(parser, parser->token.text))
            return false;
        parser->place.end = parser->at;
        advance(parser);
        if (!at_special(parser, '.'))
            break;
        parser->obsolete |= parser->token.white;
        if (!put_domain(parser, span_str(".")))
            return false;
        advance(parser);
        parser->obsolete |= parser->token.white;
    }
    return mime_local_is_utf8(span_of(parser->domain, parser->domain_n));
}

/* RFC 2047 5: an encoded word is no part of an addr-spec. Readers that decode it there would see
 * another address than we do. */
static bool
has_encoded_word(const void *text, size_t n)
{
    const unsigned char *begin = memmem(text, n, "=?", 2);
    return begin &&
           memmem(begin + 2, n - 2 - (size_t)(begin - (const unsigned char *)text), "?=", 2);
}

/* "@" domain, behind the words; writes the address into `out`. */
static bool
take_address(struct parser *parser, char out[MIME_ADDRESS_SIZE])
{
    if (!at_special(parser, '@') || !parser->is_local)
        return false;
    parser->obsolete |= parser->token.white;
    advance(parser);
    if (!take_domain(parser))
        return false;
    size_t n = mime_local_format(span_of(parser->local, parser->local_n), out, MIME_ADDRESS_SIZE);
    if (n == 0 || n + 1 + parser->domain_n + 1 > MIME_ADDRESS_SIZE ||
        has_encoded_word(parser->local, parser->local_n) ||
        has_encoded_word(parser->domain, parser->domain_n))
        return false;
    out[n] = '@';
    memcpy(out + n + 1, parser->domain, parser->domain_n + 1);
    if (parser->obsolete)
        flag(parser, MIME_ADDRESS_OBSOLETE);
    return true;
}

/* ---- address-list ---------------------------------------------------------------------------- */

static enum err_code
check_limit(const struct mime_addresses *to, struct err *err)
{
    if (to->count + to->groups >= to->limit)
        return err_set(err, ERR_LIMIT, "more than %zu addresses in a header field", to->limit);
    return ERR_OK;
}

static enum err_code
grow(struct mime_addresses *to, struct err *err)
{
    size_t cap = to->cap ? to->cap * 2 : 8;
    char **list = realloc(to->list, cap * sizeof *list);
    if (list)
        to->list = list;
    struct mime_address_place *places = list ? realloc(to->places, cap * sizeof *places) : NULL;
    if (!places)
        return err_set(err, ERR_NOMEM, "addresses: out of memory");
    to->places = places;
    to->cap = cap;
    return ERR_OK;
}

static enum err_code
append_address(struct mime_addresses *to, const char *address, struct mime_address_place place,
               struct err *err)
{
    enum err_code code = check_limit(to, err);
    if (code == ERR_OK && to->count == to->cap)
        code = grow(to, err);
    if (code != ERR_OK)
        return code;
    to->places[to->count] = place;
    to->list[to->count] = strdup(address);
    if (!to->list[to->count])
        return err_set(err, ERR_NOMEM, "addresses: out of memory");
    to->count++;
    return ERR_OK;
}

/* obs-route: "@a,@b:". False: something else. */
static bool
skip_route(struct parser *parser)
{
    flag(parser, MIME_ADDRESS_OBSOLETE);
    while (!at_special(parser, ':')) {
        if (at_special(parser, ',')) {
            advance(parser);
            continue;
        }
        if (!at_special(parser, '@'))
            return false;
        advance(parser);
        if (!take_domain(parser))
            return false;
    }
    advance(parser);
    return true;
}

/* "<" [route] addr-spec ">" and then a separator. */
static enum err_code
take_angle(struct parser *parser, struct err *err)
{
    char address[MIME_ADDRESS_SIZE];
    advance(parser);
    if ((at_special(parser, '@') || at_special(parser, ',')) && !skip_route(parser)) {
        skip_rest(parser);
        return ERR_OK;
    }
    take_words(parser);
    if (!take_address(parser, address) || !at_special(parser, '>')) {
        skip_rest(parser);
        return ERR_OK;
    }
    advance(parser);
    if (!at_separator(parser)) {
        skip_rest(parser);
        return ERR_OK;
    }
    return append_address(parser->to, address, parser->place, err);
}

/* A mailbox, or a group up to its ':'. */
static enum err_code
take_element(struct parser *parser, struct err *err)
{
    char address[MIME_ADDRESS_SIZE];
    take_words(parser);
    if (at_separator(parser)) {
        flag(parser, parser->words ? MIME_ADDRESS_SYNTAX : MIME_ADDRESS_EMPTY);
        return ERR_OK;
    }
    if (at_special(parser, '<'))
        return take_angle(parser, err);
    if (at_special(parser, ':') && parser->words > 0 && !parser->in_group) {
        enum err_code code = check_limit(parser->to, err);
        parser->to->groups++;
        parser->in_group = true;
        flag(parser, MIME_ADDRESS_GROUP);
        advance(parser);
        return code;
    }
    if (at_special(parser, '@') && take_address(parser, address) && at_separator(parser))
        return append_address(parser->to, address, parser->place, err);
    /* Whatever it was, it is a display name if angle brackets follow. */
    flag(parser, MIME_ADDRESS_SYNTAX);
    while (!at_special(parser, '<') && !at_separator(parser))
        advance(parser);
    return at_special(parser, '<') ? take_angle(parser, err) : ERR_OK;
}

/* Behind a ';'. */
static void
end_group(struct parser *parser)
{
    if (!parser->in_group)
        flag(parser, MIME_ADDRESS_SYNTAX);
    parser->in_group = false;
    advance(parser);
    if (at_special(parser, ','))
        advance(parser);
    else if (parser->token.kind != KIND_END)
        flag(parser, MIME_ADDRESS_SYNTAX);
}

static enum err_code
take_list(struct parser *parser, struct err *err)
{
    advance(parser);
    for (;;) {
        size_t groups = parser->to->groups;
        enum err_code code = take_element(parser, err);
        if (code != ERR_OK)
            return code;
        bool opened = parser->to->groups > groups;
        if (opened && !at_special(parser, ';'))
            continue;
        if (at_special(parser, ';')) {
            end_group(parser);
            if (parser->token.kind == KIND_END)
                return ERR_OK;
        } else if (at_special(parser, ',')) {
            advance(parser);
        } else {
            if (parser->in_group)
                flag(parser, MIME_ADDRESS_SYNTAX);
            return ERR_OK;
        }
    }
}

enum err_code
mime_address_parse(struct span field_value, size_t limit, struct mime_addresses **out,
                   struct err *err)
{
    struct parser parser = { .in = field_value };
    parser.to = calloc(1, sizeof *parser.to);
    if (!parser.to)
        return err_set(err, ERR_NOMEM, "addresses: out of memory");
    parser.to->limit = limit;
    enum err_code code = take_list(&parser, err);
    if (code == ERR_OK) {
        *out = parser.to;
        parser.to = NULL;
    }
    mime_address_free(&parser.to);
    return code;
}

void
mime_address_free(struct mime_addresses **addresses)
{
    if (!addresses || !*addresses)
        return;
    for (size_t i = 0; i < (*addresses)->count; i++)
        free((*addresses)->list[i]);
    free((*addresses)->list);
    free((*addresses)->places);
    free(*addresses);
    *addresses = NULL;
}

size_t
mime_address_count(const struct mime_addresses *addresses)
{
    return addresses->count;
}

const char *
mime_address_get(const struct mime_addresses *addresses, size_t index)
{
    return index < addresses->count ? addresses->list[index] : NULL;
}

unsigned
mime_address_flags(const struct mime_addresses *addresses)
{
    return addresses->flags;
}

struct mime_address_place
mime_address_find_place(const struct mime_addresses *addresses, size_t index)
{
    return index < addresses->count ? addresses->places[index]
                                    : (struct mime_address_place){ .begin = 0 };
}
