#include "directory/ldap_question.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "directory/filter.h"
#include "directory/template.h"

/* "(type=prefix value)" */
static enum err_code
append_equal(struct buf *out, const char *type, const char *prefix, const char *value,
             struct err *err)
{
    enum err_code code = buf_appendf(out, err, "(%s=%s", type, prefix);
    if (code == ERR_OK)
        code = directory_filter_escape(span_str(value), out, err);
    return code == ERR_OK ? buf_append_byte(out, ')', err) : code;
}

/* Any of the attributes; more than one needs the brackets of its owner. */
static enum err_code
append_any(struct buf *out, char *const *types, const char *value, struct err *err)
{
    enum err_code code = ERR_OK;
    for (; *types && code == ERR_OK; types++) {
        const char *prefix = strcasecmp(*types, "proxyAddresses") == 0 ? "smtp:" : "";
        code = append_equal(out, *types, prefix, value, err);
    }
    return code;
}

enum err_code
directory_ldap_question_address(const struct directory_schema *schema, const char *address,
                                struct buf *out, struct err *err)
{
    if (strchr(address, '@') && schema->address_filter[0])
        return directory_template_format(schema->address_filter,
                                         &(struct directory_template_values){ .address = address },
                                         out, err);
    if (strchr(address, '@'))
        return append_any(out, schema->address_attributes, address, err);
    enum err_code code = buf_append_str(out, "(&(objectClass=nisMailAlias)", err);
    if (code == ERR_OK)
        code = append_equal(out, "cn", "", address, err);
    if (code == ERR_OK)
        code = buf_append_byte(out, ')', err);
    return code == ERR_OK ? append_any(out, schema->login_attributes, address, err) : code;
}

enum err_code
directory_ldap_question_dn(const struct directory_schema *schema, const char *dn, struct buf *out,
                           struct err *err)
{
    return append_equal(out, schema->dn_attribute, "", dn, err);
}

enum err_code
directory_ldap_question_login(const struct directory_schema *schema, const char *login,
                              struct buf *out, struct err *err)
{
    if (schema->login_filter[0])
        return directory_template_format(
            schema->login_filter, &(struct directory_template_values){ .login = login }, out, err);
    return append_any(out, schema->login_attributes, login, err);
}

enum err_code
directory_ldap_question_format(const struct directory_schema *schema,
                               directory_ldap_question_fn *one, const char *const *questions,
                               size_t count, size_t *taken, char **out, struct err *err)
{
    struct buf text = BUF_INIT(2 * DIRECTORY_LDAP_FILTER_BYTES);
    enum err_code code = buf_append_str(&text, "(|", err);
    *taken = 0;
    while (code == ERR_OK && *taken < count && *taken < DIRECTORY_LIMIT_BATCH) {
        size_t before = text.n;
        code = one(schema, questions[*taken], &text, err);
        if (code == ERR_OK && text.n > DIRECTORY_LDAP_FILTER_BYTES && *taken > 0) {
            text.n = before;
            break;
        }
        ++*taken;
    }
    if (code == ERR_OK)
        code = buf_append_byte(&text, ')', err);
    *out = code == ERR_OK ? strdup(buf_str(&text)) : NULL;
    if (code == ERR_OK && !*out)
        code = err_set(err, ERR_NOMEM, "no memory for a search filter");
    buf_free(&text);
    return code;
}
