#include "directory/dn.h"

#include <stdlib.h>

struct reader {
    struct span in;
    size_t at;
    struct buf *out;
    struct err *err;
};

static enum err_code
bad_dn(const struct reader *reader)
{
    return err_set(reader->err, ERR_PERM, "\"%.*s\" is not a distinguished name",
                   reader->in.n > 200 ? 200 : (int)reader->in.n, (const char *)reader->in.p);
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
fold(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

static bool
is_special(unsigned char c)
{
    return c < 0x20 || c == 0x7f || (c && strchr(",+\"\\<>;=#", c) != NULL);
}

static enum err_code
put(struct buf *out, unsigned char c, struct err *err)
{
    if (is_special(c))
        return buf_appendf(out, err, "\\%02x", c);
    return buf_append_byte(out, c, err);
}

static bool
at_end(const struct reader *reader)
{
    return reader->at == reader->in.n;
}

static unsigned char
peek(const struct reader *reader)
{
    return at_end(reader) ? 0 : reader->in.p[reader->at];
}

static void
skip_spaces(struct reader *reader)
{
    while (!at_end(reader) && peek(reader) == ' ')
        reader->at++;
}

/* descr or numericoid, folded; "OID." of older writers is dropped. */
static enum err_code
take_type(struct reader *reader)
{
    skip_spaces(reader);
    if (span_starts_nocase(span_from(reader->in, reader->at), "oid."))
        reader->at += 4;
    size_t from = reader->at;
    enum err_code code = ERR_OK;
    while (code == ERR_OK && !at_end(reader)) {
        unsigned char c = fold(peek(reader));
        bool is_name = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
        if (!is_name)
            break;
        code = buf_append_byte(reader->out, c, reader->err);
        reader->at++;
    }
    if (code != ERR_OK)
        return code;
    if (reader->at == from)
        return bad_dn(reader);
    skip_spaces(reader);
    if (peek(reader) != '=')
        return bad_dn(reader);
    reader->at++;
    skip_spaces(reader);
    return buf_append_byte(reader->out, '=', reader->err);
}

/* One octet of a value behind its escape. False: a backslash before nothing. */
static bool
take_escape(struct reader *reader, unsigned char *c)
{
    struct span rest = span_from(reader->in, reader->at + 1);
    if (rest.n >= 2 && hex_value(rest.p[0]) >= 0 && hex_value(rest.p[1]) >= 0) {
        *c = (unsigned char)(hex_value(rest.p[0]) * 16 + hex_value(rest.p[1]));
        reader->at += 3;
        return true;
    }
    if (rest.n < 1)
        return false;
    *c = rest.p[0];
    reader->at += 2;
    return true;
}

/* `spaces`: how many stand before the next octet and are not written yet; those at the end of a
 * value never are. */
static enum err_code
put_folded(struct reader *reader, unsigned char c, bool *space, size_t start)
{
    enum err_code code = ERR_OK;
    if (c == ' ') {
        *space = reader->out->n > start;
        return ERR_OK;
    }
    if (*space)
        code = buf_append_byte(reader->out, ' ', reader->err);
    *space = false;
    return code == ERR_OK ? put(reader->out, fold(c), reader->err) : code;
}

static bool
is_separator(unsigned char c)
{
    return c == ',' || c == ';' || c == '+';
}

/* A string, a quoted string (RFC 2253), or "#hex", which is text to us. */
static enum err_code
take_value(struct reader *reader)
{
    size_t start = reader->out->n;
    bool is_quoted = peek(reader) == '"' && !at_end(reader), space = false;
    enum err_code code = ERR_OK;
    reader->at += is_quoted;
    while (code == ERR_OK && !at_end(reader)) {
        unsigned char c = peek(reader);
        if (is_quoted ? c == '"' : is_separator(c))
            break;
        if (c == '\\') {
            if (!take_escape(reader, &c))
                return bad_dn(reader);
        } else if (c == '\0' || (!is_quoted && c == '"')) {
            return bad_dn(reader);
        } else {
            reader->at++;
        }
        code = put_folded(reader, c, &space, start);
    }
    if (code == ERR_OK && is_quoted) {
        if (at_end(reader))
            return bad_dn(reader);
        reader->at++;
        skip_spaces(reader);
    }
    return code;
}

enum err_code
directory_dn_format(struct span dn, struct buf *out, struct err *err)
{
    struct reader reader = { .in = dn, .out = out, .err = err };
    enum err_code code = ERR_OK;
    if (dn.n > DIRECTORY_DN_LIMIT)
        return err_set(err, ERR_LIMIT, "a distinguished name of more than %d octets",
                       DIRECTORY_DN_LIMIT);
    skip_spaces(&reader);
    while (code == ERR_OK && !at_end(&reader)) {
        code = take_type(&reader);
        if (code == ERR_OK)
            code = take_value(&reader);
        if (code != ERR_OK || at_end(&reader))
            break;
        unsigned char separator = peek(&reader);
        if (!is_separator(separator) || reader.at + 1 == dn.n)
            return bad_dn(&reader);
        reader.at++;
        code = buf_append_byte(out, separator == '+' ? '+' : ',', err);
    }
    return code;
}

char *
directory_dn_get(const char *dn)
{
    struct buf out = BUF_INIT(4 * DIRECTORY_DN_LIMIT);
    struct err ignored = ERR_INIT;
    char *text = NULL;
    if (directory_dn_format(span_str(dn), &out, &ignored) == ERR_OK)
        text = strdup(buf_str(&out));
    buf_free(&out);
    return text;
}

bool
directory_dn_is_below(const char *dn, const char *base)
{
    size_t n = strlen(dn), m = strlen(base);
    if (m == 0)
        return true;
    /* The comma of the form is a separator always: one inside a value is written \2c. */
    return n >= m && strcmp(dn + n - m, base) == 0 && (n == m || dn[n - m - 1] == ',');
}

struct span
directory_dn_without_uid(struct span value)
{
    if (value.n < 4 || value.p[value.n - 1] != 'B' || value.p[value.n - 2] != '\'')
        return value;
    size_t at = value.n - 2;
    while (at > 0 && (value.p[at - 1] == '0' || value.p[at - 1] == '1'))
        at--;
    if (at < 2 || value.p[at - 1] != '\'' || value.p[at - 2] != '#')
        return value;
    return span_of(value.p, at - 2);
}

enum err_code
directory_dn_escape(struct span value, struct buf *out, struct err *err)
{
    enum err_code code = value.n > 0 ? ERR_OK : err_set(err, ERR_PERM, "an empty value in a DN");
    for (size_t i = 0; code == ERR_OK && i < value.n; i++) {
        bool is_edge = i == 0 || i + 1 == value.n;
        if (value.p[i] == ' ' && is_edge)
            code = buf_append_str(out, "\\20", err);
        else
            code = put(out, value.p[i], err);
    }
    return code;
}
