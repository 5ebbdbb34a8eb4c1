#include "directory/url.h"

#include <stdlib.h>

static int
hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The octets behind percent-encoding, as a C string; returned: free(). */
static enum err_code
decode(struct span part, char **out, struct err *err)
{
    char *text = malloc(part.n + 1);
    size_t n = 0;
    if (!text)
        return err_set(err, ERR_NOMEM, "no memory for an LDAP URL");
    for (size_t i = 0; i < part.n; i++) {
        unsigned char c = part.p[i];
        if (c == '%') {
            bool is_hex =
                part.n - i > 2 && hex_value(part.p[i + 1]) >= 0 && hex_value(part.p[i + 2]) >= 0;
            c = is_hex ? (unsigned char)(hex_value(part.p[i + 1]) * 16 + hex_value(part.p[i + 2]))
                       : 0;
            i += 2;
        }
        if (c == '\0') {
            free(text);
            return err_set(err, ERR_PERM, "a NUL or a broken escape in an LDAP URL");
        }
        text[n++] = (char)c;
    }
    text[n] = '\0';
    *out = text;
    return ERR_OK;
}

static struct span
take_part(struct span *rest)
{
    size_t at = span_find(*rest, '?');
    struct span part = span_of(rest->p, at);
    *rest = span_from(*rest, at < rest->n ? at + 1 : at);
    return part;
}

static enum err_code
parse_scope(struct span word, enum directory_scope *scope, struct err *err)
{
    static const struct {
        const char *word;
        enum directory_scope scope;
    } words[] = { { "", DIRECTORY_SCOPE_BASE },
                  { "base", DIRECTORY_SCOPE_BASE },
                  { "one", DIRECTORY_SCOPE_ONE },
                  { "sub", DIRECTORY_SCOPE_SUB } };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (span_equal_nocase(word, words[i].word)) {
            *scope = words[i].scope;
            return ERR_OK;
        }
    }
    return err_set(err, ERR_PERM, "an LDAP URL with a scope that is not base, one or sub");
}

static enum err_code
parse_parts(struct span rest, struct directory_url *out, struct err *err)
{
    struct span base = take_part(&rest), attributes = take_part(&rest), scope = take_part(&rest),
                filter = take_part(&rest);
    attributes.n = span_find(attributes, ',');
    /* RFC 4516 2: a critical extension that is not known ends the matter; we know none. */
    if (rest.n > 0 && (rest.p[0] == '!' || memmem(rest.p, rest.n, ",!", 2)))
        return err_set(err, ERR_PERM, "an LDAP URL with a critical extension");
    enum err_code code = parse_scope(scope, &out->scope, err);
    if (code == ERR_OK)
        code = decode(base, &out->base, err);
    if (code == ERR_OK)
        code = decode(attributes, &out->attribute, err);
    if (code == ERR_OK)
        code = decode(filter.n > 0 ? filter : span_str("(objectClass=*)"), &out->filter, err);
    return code;
}

enum err_code
directory_url_parse(struct span text, struct directory_url *out, struct err *err)
{
    *out = (struct directory_url){ .base = NULL };
    if (text.n > DIRECTORY_URL_LIMIT)
        return err_set(err, ERR_LIMIT, "an LDAP URL of more than %d octets", DIRECTORY_URL_LIMIT);
    if (span_starts_nocase(text, "ldap://"))
        text = span_from(text, strlen("ldap://"));
    else if (span_starts_nocase(text, "ldaps://"))
        text = span_from(text, strlen("ldaps://"));
    else
        return err_set(err, ERR_PERM, "not an LDAP URL");
    size_t slash = span_find(text, '/');
    enum err_code code = parse_parts(span_from(text, slash < text.n ? slash + 1 : slash), out, err);
    if (code != ERR_OK)
        directory_url_free(out);
    return code;
}

void
directory_url_free(struct directory_url *url)
{
    free(url->base);
    free(url->attribute);
    free(url->filter);
    *url = (struct directory_url){ .base = NULL };
}
