#include "mime/parameter.h"

#include <stdalign.h>
#include <stdlib.h>

#include "mime/piece.h"

struct parameter {
    struct span name;
    struct span value;
};

struct mime_parameters {
    struct mime_pieces pieces;
    const char *type;
    const char *subtype;
    struct parameter *list;
    size_t count;
    alignas(max_align_t) unsigned char room[]; /* pieces, parameters, arena: one block, freed and
                                                  wiped at once */
};

static int
hex_digit(unsigned char c)
{
    c = mime_piece_lower(c);
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 2231 4. Character sets are not converted: what is compared here is octets. */
static void
put_extended(struct mime_pieces *to, struct span value, bool is_first)
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
        mime_piece_put(to, c);
    }
}

static void
put_piece(struct mime_pieces *to, const struct mime_piece *piece, bool is_first)
{
    if (piece->extended) {
        put_extended(to, piece->value, is_first);
        return;
    }
    for (size_t i = 0; i < piece->value.n; i++)
        mime_piece_put(to, piece->value.p[i]);
}

/* Joins pieces 0, 1, 2, ... of a name; what comes after a gap is dropped. */
static struct span
join(struct mime_pieces *to, struct span name)
{
    struct mime_piece *order[MIME_PARAMETER_LIMIT] = { NULL };
    for (size_t i = 0; i < to->count; i++) {
        struct mime_piece *piece = &to->list[i];
        if (piece->number == MIME_PIECE_NO_NUMBER || !span_equal(piece->name, name))
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
    struct span value = mime_piece_end(to, from);
    return count > 0 ? value : span_of(NULL, 0);
}

/* The value of the parameter that begins with this piece; p is NULL if it has none. */
static struct span
decode(struct mime_pieces *to, const struct mime_piece *piece)
{
    if (piece->number != MIME_PIECE_NO_NUMBER)
        return join(to, piece->name);
    if (!piece->extended)
        return piece->value;
    size_t from = to->arena_n;
    put_extended(to, piece->value, true);
    return mime_piece_end(to, from);
}

static void
assemble(struct mime_parameters *parameters)
{
    struct mime_pieces *from = &parameters->pieces;
    for (size_t i = 0; i < from->count; i++) {
        struct mime_piece *piece = &from->list[i];
        if (piece->used)
            continue;
        struct span value = decode(from, piece);
        if (!value.p)
            continue;
        size_t same = 0;
        while (same < parameters->count && !span_equal(parameters->list[same].name, piece->name))
            same++;
        if (same < parameters->count) {
            from->flags |= MIME_PARAMETER_DUPLICATE;
            continue;
        }
        /* The name may be the front of "name*0"; its '*' becomes the NUL. */
        from->arena[piece->name.p + piece->name.n - from->arena] = '\0';
        parameters->list[parameters->count++] =
            (struct parameter){ .name = piece->name, .value = value };
    }
}

/* "text" and "plain" of "text/plain". */
static void
split_value(struct mime_parameters *parameters)
{
    struct mime_pieces *from = &parameters->pieces;
    size_t slash = span_find(from->value, '/');
    if (slash == from->value.n)
        return;
    if (slash == 0 || slash + 1 == from->value.n)
        from->flags |= MIME_PARAMETER_SYNTAX;
    size_t mark = from->arena_n;
    for (size_t i = 0; i < slash; i++)
        mime_piece_put(from, from->value.p[i]);
    parameters->type = (const char *)mime_piece_end(from, mark).p;
    parameters->subtype = (const char *)from->value.p + slash + 1;
}

/* Every piece has a '=' of its own, so the field itself bounds them: a usual one needs a few
 * hundred octets, where the limit would be 16 KiB that are cleared and wiped for every field. */
static struct mime_parameters *
parameters_new(struct span field_value)
{
    size_t count = 0;

    for (size_t i = 0; i < field_value.n && count < MIME_PARAMETER_LIMIT; i++)
        count += field_value.p[i] == '=';
    /* Raw strings, the type once more, joined strings; a NUL for each. */
    size_t arena = 3 * field_value.n + 4 * (count + 1);
    size_t lists = count * (sizeof(struct mime_piece) + sizeof(struct parameter));
    struct mime_parameters *parameters = malloc(sizeof *parameters + lists + arena);

    if (!parameters)
        return NULL;
    memset(parameters, 0, sizeof *parameters);
    parameters->pieces.list = (struct mime_piece *)parameters->room;
    parameters->list = (struct parameter *)(parameters->pieces.list + count);
    parameters->pieces.arena = parameters->room + lists;
    parameters->pieces.arena_cap = arena;
    parameters->type = parameters->subtype = "";
    return parameters;
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
    parameters = parameters_new(field_value);
    if (!parameters) {
        code = err_set(err, ERR_NOMEM, "parameters: out of memory");
        goto out;
    }
    code = mime_piece_parse(field_value, &parameters->pieces, err);
    if (code != ERR_OK)
        goto out;
    split_value(parameters);
    assemble(parameters);
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
    free(*parameters);
    *parameters = NULL;
}

const char *
mime_parameter_value(const struct mime_parameters *parameters)
{
    return (const char *)parameters->pieces.value.p;
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
    return parameters->pieces.flags;
}
