/*
 * CRLs and certificates of CAs by ldap:/// URL, as AD CS writes them.              RFC 4516, RFC
 * 4523
 */
#include <strings.h>

#include "directory/ldap_private.h"
#include "mime/base64.h"

/* A certificate of a stranger writes these URLs: only what is public and cheap is asked. */
static bool
is_public(const char *attribute)
{
    static const char *const types[] = { "certificateRevocationList", "deltaRevocationList",
                                         "authorityRevocationList", "cACertificate" };
    size_t n = strcspn(attribute, ";");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strlen(types[i]) == n && strncasecmp(types[i], attribute, n) == 0)
            return true;
    }
    return false;
}

/* One value as it is; several certificates as PEM, which holds many. */
static enum err_code
append_values(const struct directory_attributes *attributes, const char *type, struct buf *out,
              struct err *err)
{
    size_t n = strcspn(type, ";"), count = 0;
    enum err_code code = ERR_OK;
    const struct directory_attribute *last = NULL;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; code == ERR_OK && i < attributes->count; i++) {
            const struct directory_attribute *one = &attributes->list[i];
            if (strcspn(one->name, ";") != n || strncasecmp(one->name, type, n) != 0 ||
                one->value.n == 0)
                continue;
            last = one;
            count += pass == 0;
            if (pass == 0 || count == 1)
                continue;
            code = buf_append_str(out, "-----BEGIN CERTIFICATE-----\n", err);
            if (code == ERR_OK)
                code = mime_base64_format(one->value, out, err);
            if (code == ERR_OK)
                code = buf_append_str(out, "\n-----END CERTIFICATE-----\n", err);
        }
        if (code == ERR_OK && pass == 0 && (count == 1 || strncasecmp(type, "cA", 2) != 0))
            return last ? buf_append(out, last->value, err)
                        : err_set(err, ERR_NOTFOUND, "there is no %.100s", type);
    }
    return code;
}

enum err_code
directory_ldap_get_url(struct directory *directory, struct span text, int64_t deadline_ms,
                       struct buf *out, struct err *err)
{
    struct directory_ldap *ldap = (struct directory_ldap *)directory;
    struct directory_ldap_batch batch = directory_ldap_batch_of(ldap, deadline_ms);
    struct directory_url url;
    enum err_code code = directory_url_parse(text, &url, err);
    if (code != ERR_OK)
        return code;
    char *attributes[] = { url.attribute, NULL };
    struct directory_ldap_search search = {
        .base = url.base, .filter = url.filter, .scope = DIRECTORY_SCOPE_BASE, .limit = 1
    };
    if (url.scope != DIRECTORY_SCOPE_BASE || !is_public(url.attribute) || url.base[0] == '\0')
        code = err_set(err, ERR_PERM, "an LDAP URL that names no CRL and no certificate of a CA");
    batch.attributes = attributes;
    if (code == ERR_OK)
        code = directory_ldap_batch_run(&batch, &search, 1, err);
    if (code == ERR_OK)
        code = directory_ldap_batch_check(&batch, &search, err);
    if (code == ERR_OK && search.count == 0)
        code = err_set(err, ERR_NOTFOUND, "%.200s is not in the directory", url.base);
    else if (code == ERR_OK)
        code = append_values(&search.list[0].attributes, url.attribute, out, err);
    directory_ldap_search_reset(&search);
    directory_url_free(&url);
    return code;
}
