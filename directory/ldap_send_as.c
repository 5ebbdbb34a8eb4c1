/*
 * Send-as: the owner of an address says who may speak for him, or a filter does.
 */

#include "directory/filter.h"
#include "directory/ldap_private.h"
#include "directory/send_as.h"
#include "directory/template.h"

enum { LIMIT_OWNERS = 20 };

/* The owners of an address with what they say about others. */
static enum err_code
check_owners(struct directory_ldap *ldap, const struct directory_entry *person, const char *address,
             int64_t deadline_ms, struct err *err)
{
    struct directory_ldap_batch batch = directory_ldap_batch_of(ldap, deadline_ms);
    struct directory_ldap_search search = { .base = ldap->base,
                                            .scope = DIRECTORY_SCOPE_SUB,
                                            .limit = LIMIT_OWNERS };
    char *filter = NULL;
    size_t taken;
    bool is_named = false;
    enum err_code code = directory_ldap_question_format(
        ldap->schema, directory_ldap_question_address, &address, 1, &taken, &filter, err);
    batch.attributes = ldap->schema->send_as_attributes;
    search.filter = filter;
    if (code == ERR_OK)
        code = directory_ldap_batch_run(&batch, &search, 1, err);
    if (code == ERR_OK && search.outcome != DIRECTORY_LDAP_ANSWERED)
        code = err_set_reason(err, ERR_TEMP, "directory-unreachable",
                              "the owner of %.200s could not be asked for", address);
    for (size_t i = 0; code == ERR_OK && i < search.count; i++)
        is_named |= directory_send_as_check(ldap->schema, &search.list[i].attributes, person);
    if (code == ERR_OK && !is_named)
        code = directory_ldap_batch_check(&batch, &search, err);
    if (code == ERR_OK && !is_named)
        code = err_set(err, ERR_NOTFOUND, "no owner of %.200s names %.200s", address, person->dn);
    directory_ldap_search_reset(&search);
    free(filter);
    return code;
}

static enum err_code
check_filter(struct directory_ldap *ldap, const struct directory_entry *person, const char *address,
             int64_t deadline_ms, struct err *err)
{
    static char *nothing[] = { (char *)LDAP_NO_ATTRS, NULL };
    struct directory_ldap_batch batch = directory_ldap_batch_of(ldap, deadline_ms);
    struct buf filter = BUF_INIT(DIRECTORY_FILTER_LIMIT);
    enum err_code code = directory_template_format(
        ldap->schema->send_as_filter,
        &(struct directory_template_values){
            .address = address, .dn = person->dn, .primary = person->primary },
        &filter, err);
    struct directory_ldap_search search = { .base = ldap->base,
                                            .filter = buf_str(&filter),
                                            .scope = DIRECTORY_SCOPE_SUB,
                                            .limit = DIRECTORY_LIMIT_MEMBERS };
    batch.attributes = nothing;
    if (code == ERR_OK)
        code = directory_ldap_batch_run(&batch, &search, 1, err);
    if (code == ERR_OK && search.outcome == DIRECTORY_LDAP_ANSWERED && search.count == 0) {
        code = directory_ldap_batch_check(&batch, &search, err);
        if (code == ERR_OK)
            code = err_set(err, ERR_NOTFOUND, "send_as_filter finds nothing");
    } else if (code == ERR_OK && search.outcome == DIRECTORY_LDAP_NO_OBJECT) {
        code = err_set_reason(err, ERR_TEMP, "directory-unreachable",
                              "the base \"%.200s\" is not in the directory", ldap->base);
    }
    directory_ldap_search_reset(&search);
    buf_free(&filter);
    return code;
}

enum err_code
directory_ldap_find_send_as(struct directory *directory, const struct directory_entry *person,
                            const char *address, int64_t deadline_ms, struct err *err)
{
    struct directory_ldap *ldap = (struct directory_ldap *)directory;
    struct err mine = ERR_INIT;
    enum err_code code = ERR_NOTFOUND;
    if (ldap->schema->send_as_attributes[0])
        code = check_owners(ldap, person, address, deadline_ms, &mine);
    if (code == ERR_NOTFOUND && ldap->schema->send_as_filter[0]) {
        err_reset(&mine);
        code = check_filter(ldap, person, address, deadline_ms, &mine);
    }
    if (code == ERR_OK)
        return ERR_OK;
    if (code == ERR_NOTFOUND)
        return err_set(err, code, "nothing lets %.150s send as %.150s", person->dn, address);
    return err_set_reason(err, code, mine.reason, "%s", mine.text);
}
