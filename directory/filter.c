#include "directory/filter.h"

#include <stdlib.h>

enum kind { KIND_AND, KIND_OR, KIND_NOT, KIND_EQUAL, KIND_PRESENT, KIND_SUBSTRINGS };

struct directory_filter {
    enum kind kind;
    struct directory_filter *first; /* of and, or, not */
    struct directory_filter *next;  /* of the one above */
    char *type;                     /* of the others */
    struct span *pieces; /* the value; of substrings initial, any..., final: first and last may be
                            empty */
    size_t count;
};

struct reader {
    struct span in;
    size_t at;
    unsigned depth;
    struct err *err;
};

enum err_code
directory_filter_escape(struct span value, struct buf *out, struct err *err)
{
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < value.n; i++) {
        unsigned char c = value.p[i];
        bool is_plain = c >= 0x20 && c < 0x7f && c != '(' && c != ')' && c != '*' && c != '\\';
        code = is_plain ? buf_append_byte(out, c, err) : buf_appendf(out, err, "\\%02x", c);
    }
    return code;
}

/* ---- parsing --------------------------------------------------------------------------------- */

static enum err_code
bad_filter(const struct reader *reader, const char *what)
{
    return err_set(reader->err, ERR_PERM, "a filter with %s at octet %zu", what, reader->at + 1);
}

static enum err_code
out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for a filter");
}

static int
hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static unsigned char
peek(const struct reader *reader)
{
    return reader->at < reader->in.n ? reader->in.p[reader->at] : 0;
}

static enum err_code
expect(struct reader *reader, unsigned char c)
{
    if (peek(reader) != c)
        return bad_filter(reader, c == '(' ? "no '('" : "no ')'");
    reader->at++;
    return ERR_OK;
}

/* One piece of a value up to '*' or ')'. */
static enum err_code
take_piece(struct reader *reader, struct directory_filter *filter)
{
    struct span *grown = realloc(filter->pieces, (filter->count + 1) * sizeof *grown);
    if (!grown)
        return out_of_memory(reader->err);
    filter->pieces = grown;
    unsigned char *bytes = malloc(reader->in.n - reader->at + 1);
    if (!bytes)
        return out_of_memory(reader->err);
    size_t n = 0;
    filter->pieces[filter->count++] = span_of(bytes, 0);
    while (reader->at < reader->in.n && peek(reader) != '*' && peek(reader) != ')') {
        unsigned char c = peek(reader);
        if (c == '(' || c == '\0')
            return bad_filter(reader, "an octet that has to be escaped");
        if (c == '\\') {
            struct span rest = span_from(reader->in, reader->at + 1);
            if (rest.n < 2 || hex_value(rest.p[0]) < 0 || hex_value(rest.p[1]) < 0)
                return bad_filter(reader, "a broken escape");
            c = (unsigned char)(hex_value(rest.p[0]) * 16 + hex_value(rest.p[1]));
            reader->at += 2;
        }
        reader->at++;
        bytes[n++] = c;
    }
    filter->pieces[filter->count - 1].n = n;
    return ERR_OK;
}

static enum err_code
take_item(struct reader *reader, struct directory_filter *filter)
{
    size_t from = reader->at;
    while (reader->at < reader->in.n && !strchr("=<>~:()*", peek(reader)))
        reader->at++;
    if (peek(reader) != '=' || reader->at == from)
        return bad_filter(reader, "a comparison that is not evaluated here");
    filter->type = span_dup(span_trim(span_of(reader->in.p + from, reader->at - from)));
    if (!filter->type)
        return out_of_memory(reader->err);
    reader->at++;
    enum err_code code = take_piece(reader, filter);
    while (code == ERR_OK && peek(reader) == '*') {
        reader->at++;
        code = take_piece(reader, filter);
    }
    filter->kind = KIND_SUBSTRINGS;
    if (filter->count == 1)
        filter->kind = KIND_EQUAL;
    else if (filter->count == 2 && filter->pieces[0].n == 0 && filter->pieces[1].n == 0)
        filter->kind = KIND_PRESENT;
    return code;
}

static enum err_code take_filter(struct reader *reader, struct directory_filter **out);

static enum err_code
take_list(struct reader *reader, struct directory_filter *filter)
{
    struct directory_filter **last = &filter->first;
    enum err_code code = ERR_OK;
    while (code == ERR_OK && peek(reader) == '(') {
        code = take_filter(reader, last);
        if (*last)
            last = &(*last)->next;
        if (filter->kind == KIND_NOT)
            break;
    }
    if (code == ERR_OK && filter->kind == KIND_NOT && !filter->first)
        return bad_filter(reader, "nothing behind '!'");
    return code;
}

/* What was made is linked in *out at once, so that a failure frees it with the rest. */
static enum err_code
take_filter(struct reader *reader, struct directory_filter **out)
{
    enum err_code code = expect(reader, '(');
    if (code != ERR_OK)
        return code;
    if (reader->depth == DIRECTORY_FILTER_LIMIT_DEPTH)
        return err_set(reader->err, ERR_LIMIT, "a filter nested deeper than %d",
                       DIRECTORY_FILTER_LIMIT_DEPTH);
    struct directory_filter *filter = *out = calloc(1, sizeof *filter);
    if (!filter)
        return out_of_memory(reader->err);
    reader->depth++;
    const unsigned char kind = peek(reader);
    if (kind == '&' || kind == '|' || kind == '!') {
        filter->kind = kind == '&' ? KIND_AND : kind == '|' ? KIND_OR : KIND_NOT;
        reader->at++;
        code = take_list(reader, filter);
    } else {
        code = take_item(reader, filter);
    }
    reader->depth--;
    return code == ERR_OK ? expect(reader, ')') : code;
}

enum err_code
directory_filter_new(struct span text, struct directory_filter **out, struct err *err)
{
    struct reader reader = { .in = text, .err = err };
    *out = NULL;
    if (text.n > DIRECTORY_FILTER_LIMIT)
        return err_set(err, ERR_LIMIT, "a filter of more than %d octets", DIRECTORY_FILTER_LIMIT);
    enum err_code code = take_filter(&reader, out);
    if (code == ERR_OK && reader.at < text.n)
        code = bad_filter(&reader, "something behind its end");
    if (code != ERR_OK)
        directory_filter_free(out);
    return code;
}

void
directory_filter_free(struct directory_filter **filter)
{
    while (filter && *filter) {
        struct directory_filter *f = *filter;
        *filter = f->next;
        directory_filter_free(&f->first);
        for (size_t i = 0; i < f->count; i++)
            free((void *)f->pieces[i].p);
        free(f->pieces);
        free(f->type);
        free(f);
    }
}

/* ---- judging --------------------------------------------------------------------------------- */

static unsigned char
fold(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

static bool
starts_with(struct span value, struct span piece)
{
    if (value.n < piece.n)
        return false;
    for (size_t i = 0; i < piece.n; i++) {
        if (fold(value.p[i]) != fold(piece.p[i]))
            return false;
    }
    return true;
}

static bool
match_value(const struct directory_filter *filter, struct span value)
{
    if (filter->kind == KIND_EQUAL)
        return value.n == filter->pieces[0].n && starts_with(value, filter->pieces[0]);
    struct span last = filter->pieces[filter->count - 1];
    if (!starts_with(value, filter->pieces[0]))
        return false;
    value = span_from(value, filter->pieces[0].n);
    for (size_t i = 1; i + 1 < filter->count; i++) {
        while (value.n > 0 && !starts_with(value, filter->pieces[i]))
            value = span_from(value, 1);
        if (!starts_with(value, filter->pieces[i]))
            return false;
        value = span_from(value, filter->pieces[i].n);
    }
    return value.n >= last.n && starts_with(span_from(value, value.n - last.n), last);
}

static bool
match_item(const struct directory_filter *filter, const struct directory_attribute *list,
           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct span type = span_of(list[i].name, strcspn(list[i].name, ";"));
        if (span_equal_nocase(type, filter->type) &&
            (filter->kind == KIND_PRESENT || match_value(filter, list[i].value)))
            return true;
    }
    return false;
}

bool
directory_filter_match(const struct directory_filter *filter,
                       const struct directory_attribute *list, size_t count)
{
    const struct directory_filter *one = filter->first;
    switch (filter->kind) {
    case KIND_NOT:
        return !directory_filter_match(one, list, count);
    case KIND_AND:
    case KIND_OR:
        /* RFC 4526: and of nothing is true, or of nothing false. */
        while (one && directory_filter_match(one, list, count) == (filter->kind == KIND_AND))
            one = one->next;
        return (one == NULL) == (filter->kind == KIND_AND);
    default:
        return match_item(filter, list, count);
    }
}
