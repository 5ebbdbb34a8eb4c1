#include "directory/template.h"

#include "directory/filter.h"

static enum err_code
put_value(unsigned char place, const struct directory_template_values *values, struct buf *out,
          struct err *err)
{
    const char *name = values->address ? values->address : values->login;
    struct span value = span_str(NULL);
    switch (place) {
    case '%':
        return buf_append_byte(out, '%', err);
    case 'a':
        value = span_str(values->address);
        break;
    case 'l':
        value = span_str(values->login);
        break;
    case 'd':
        value = span_str(values->dn);
        break;
    case 'p':
        value = span_str(values->primary);
        break;
    case 'u':
        value = span_str(name);
        /* The last '@': a quoted local part may hold others. */
        for (size_t i = value.n; i-- > 0;) {
            if (value.p[i] == '@') {
                value.n = i;
                break;
            }
        }
        break;
    default:
        return err_set(err, ERR_PERM, "a filter with %%%c, which is no place for a value", place);
    }
    if (value.n == 0)
        return err_set(err, ERR_NOTFOUND, "there is no value for %%%c", place);
    return directory_filter_escape(value, out, err);
}

enum err_code
directory_template_format(const char *text, const struct directory_template_values *values,
                          struct buf *out, struct err *err)
{
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && text[i]; i++) {
        if (text[i] != '%')
            code = buf_append_byte(out, (unsigned char)text[i], err);
        else if (text[i + 1] == '\0')
            code = err_set(err, ERR_PERM, "a filter that ends in %%");
        else
            code = put_value((unsigned char)text[++i], values, out, err);
    }
    return code;
}

enum err_code
directory_template_check(const char *text, const char *places, struct err *err)
{
    static const struct directory_template_values all = { "a@b", "l", "cn=d", "p@b" };
    struct buf filter = BUF_INIT(DIRECTORY_FILTER_LIMIT);
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && text[i]; i++) {
        if (text[i] != '%' || text[i + 1] == '\0')
            continue;
        i++;
        if (text[i] != '%' && !strchr(places, text[i]))
            code =
                err_set(err, ERR_PERM, "%%%c has no value here; there are %%%s", text[i], places);
    }
    if (code == ERR_OK)
        code = directory_template_format(text, &all, &filter, err);
    /* Syntax only as far as brackets go: a server may know kinds that we do not evaluate. */
    int depth = 0;
    for (size_t i = 0; code == ERR_OK && i < filter.n; i++) {
        depth += filter.p[i] == '(' ? 1 : filter.p[i] == ')' ? -1 : 0;
        if (depth < 0 || (depth == 0 && i + 1 < filter.n))
            code = err_set(err, ERR_PERM, "a filter is one (...) as in (mail=%%a)");
    }
    if (code == ERR_OK && (filter.n == 0 || depth != 0))
        code = err_set(err, ERR_PERM, "a filter is one (...) as in (mail=%%a)");
    buf_free(&filter);
    return code;
}
