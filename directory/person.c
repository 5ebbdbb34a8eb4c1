#include "directory/person.h"

#include <stdlib.h>
#include <strings.h>

#include "directory/dn.h"
#include "mime/address.h"
#include "util/log.h"

/* ---- attributes ------------------------------------------------------------------------------ */

/* The same attribute type, whatever its options ("userCertificate;binary" is userCertificate). */
static bool
has_type(const struct directory_attribute *attribute, const char *type)
{
    size_t n = strcspn(attribute->name, ";");
    return n == strcspn(type, ";") && strncasecmp(attribute->name, type, n) == 0;
}

/* The file, or the name of an entry that came from a server. */
static const char *
place_of(const struct directory_record *record)
{
    return record->file ? record->file : record->dn;
}

static bool
has_class(const struct directory_record *record, char *const *classes)
{
    for (size_t i = 0; i < record->count; i++) {
        if (!has_type(&record->list[i], "objectClass"))
            continue;
        for (size_t k = 0; classes[k]; k++) {
            if (span_equal_nocase(span_trim(record->list[i].value), classes[k]))
                return true;
        }
    }
    return false;
}

static enum directory_kind
kind_of(const struct directory_schema *schema, const struct directory_record *record)
{
    if (has_class(record, schema->group_classes))
        return DIRECTORY_GROUP;
    return has_class(record, schema->contact_classes) ? DIRECTORY_CONTACT : DIRECTORY_USER;
}

static enum err_code
out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for a directory entry");
}

/* Appends a copy to a list of strings; grows by doubling at powers of two. */
static enum err_code
append_text(char ***list, size_t *count, const char *text, struct err *err)
{
    if ((*count & (*count - 1)) == 0) {
        char **grown = realloc(*list, (*count ? 2 * *count : 1) * sizeof *grown);
        if (!grown)
            return out_of_memory(err);
        *list = grown;
    }
    (*list)[*count] = strdup(text);
    if (!(*list)[*count])
        return out_of_memory(err);
    ++*count;
    return ERR_OK;
}

/* ---- addresses and logins -------------------------------------------------------------------- */

/* Active Directory writes "SMTP:a@b" (primary), "smtp:a@b", and addresses of other systems. False:
 * one of those. */
static bool
take_scheme(struct span *value, bool *is_primary)
{
    size_t colon = span_find(*value, ':');
    if (colon == value->n || colon > span_find(*value, '@') || value->p[0] == '"')
        return true;
    if (!span_equal_nocase(span_of(value->p, colon), "smtp"))
        return false;
    *is_primary = memcmp(value->p, "SMTP", 4) == 0;
    *value = span_from(*value, colon + 1);
    return true;
}

static enum err_code
append_address(struct directory_person *person, const struct directory_record *record,
               const struct directory_attribute *attribute, bool *has_primary, struct err *err)
{
    char formatted[MIME_ADDRESS_SIZE];
    char shown[200];
    struct span value = attribute->value;
    struct err mine = ERR_INIT;
    bool is_primary = false;
    if (has_type(attribute, "proxyAddresses") && !take_scheme(&value, &is_primary))
        return ERR_OK;
    enum err_code code = mime_address_format(value, formatted, &mine);
    if (code == ERR_NOMEM)
        return err_set(err, code, "%s", mine.text);
    if (code != ERR_OK && !record->file)
        return ERR_OK;
    if (code != ERR_OK)
        return err_set(err, ERR_PERM, "%.200s:%u: %.100s: \"%s\" is not a mail address",
                       record->file, attribute->line, attribute->name,
                       log_escape(value, shown, sizeof shown));
    size_t at = 0;
    while (at < person->address_count && strcmp(person->addresses[at], formatted) != 0)
        at++;
    if (at == DIRECTORY_LIMIT_ADDRESSES)
        return err_set(err, ERR_LIMIT, "%.200s:%u: more than %d addresses", place_of(record),
                       attribute->line, DIRECTORY_LIMIT_ADDRESSES);
    if (at == person->address_count)
        code = append_text(&person->addresses, &person->address_count, formatted, err);
    if (code == ERR_OK && is_primary && !*has_primary) {
        char *first = person->addresses[at];
        memmove(person->addresses + 1, person->addresses, at * sizeof *person->addresses);
        person->addresses[0] = first;
        *has_primary = true;
    }
    return code;
}

static enum err_code
append_login(struct directory_person *person, struct span value, struct err *err)
{
    char *login = span_dup(value);
    if (!login)
        return memchr(value.p, '\0', value.n) ? ERR_OK : out_of_memory(err);
    enum err_code code = append_text(&person->logins, &person->login_count, login, err);
    free(login);
    return code;
}

/* In the order of the configuration, and of the file within each attribute. */
static enum err_code
take_names(struct directory_person *person, const struct directory_schema *schema,
           const struct directory_record *record, struct err *err)
{
    enum err_code code = ERR_OK;
    bool has_primary = false;
    for (char **type = schema->address_attributes; *type; type++) {
        for (size_t i = 0; i < record->count && code == ERR_OK; i++) {
            if (has_type(&record->list[i], *type))
                code = append_address(person, record, &record->list[i], &has_primary, err);
        }
    }
    static char *const alias[] = { (char *)"nisMailAlias", NULL };
    person->is_alias = has_class(record, alias);
    for (size_t i = 0; i < record->count && code == ERR_OK && person->is_alias; i++) {
        if (has_type(&record->list[i], "cn") && record->list[i].value.n > 0)
            code = append_login(person, record->list[i].value, err);
    }
    if (person->kind != DIRECTORY_USER)
        return code;
    for (char **type = schema->login_attributes; *type; type++) {
        for (size_t i = 0; i < record->count && code == ERR_OK; i++) {
            if (has_type(&record->list[i], *type) && record->list[i].value.n > 0)
                code = append_login(person, record->list[i].value, err);
        }
    }
    return code;
}

/* ---- members --------------------------------------------------------------------------------- */

struct members {
    char *const *types;
    char ***list;
    size_t *count;
};

static enum err_code
append_member(const struct members *members, const struct directory_record *record,
              const struct directory_attribute *attribute, struct err *err)
{
    struct span value = attribute->value;
    /* A Name and Optional UID: the UID is no part of the name. */
    if (has_type(attribute, "uniqueMember"))
        value = directory_dn_without_uid(value);
    if (*members->count == DIRECTORY_LIMIT_MEMBERS)
        return err_set(err, ERR_LIMIT, "%.200s: %.100s: more than %d members", record->dn,
                       attribute->name, DIRECTORY_LIMIT_MEMBERS);
    if (value.n == 0 || memchr(value.p, '\0', value.n))
        return err_set(err, ERR_PERM, "%.200s: %.100s: a member without a name", record->dn,
                       attribute->name);
    char *text = span_dup(value);
    enum err_code code =
        text ? append_text(members->list, members->count, text, err) : out_of_memory(err);
    free(text);
    return code;
}

static enum err_code
take_members(struct directory_person *person, const struct directory_schema *schema,
             const struct directory_record *record, struct err *err)
{
    const struct members kinds[] = {
        { schema->member_attributes, &person->member_dns, &person->member_dn_count },
        { schema->member_address_attributes, &person->member_addresses,
          &person->member_address_count },
        { schema->member_url_attributes, &person->member_urls, &person->member_url_count },
    };
    enum err_code code = ERR_OK;
    if (person->kind != DIRECTORY_GROUP)
        return ERR_OK;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        for (char *const *type = kinds[k].types; *type; type++) {
            for (size_t i = 0; i < record->count && code == ERR_OK; i++) {
                if (has_type(&record->list[i], *type))
                    code = append_member(&kinds[k], record, &record->list[i], err);
            }
        }
    }
    return code;
}

/* ---- certificates ---------------------------------------------------------------------------- */

static enum err_code
append_value(struct directory_person *person, const struct directory_record *record,
             const struct directory_attribute *attribute, struct err *err)
{
    size_t count = person->value_count;
    if (count == DIRECTORY_LIMIT_CERTIFICATES)
        return err_set(err, ERR_LIMIT, "%.200s:%u: more than %d certificates", place_of(record),
                       attribute->line, DIRECTORY_LIMIT_CERTIFICATES);
    struct span *grown = realloc(person->values, (count + 1) * sizeof *grown);
    if (!grown)
        return out_of_memory(err);
    person->values = grown;
    unsigned char *bytes = malloc(attribute->value.n + 1);
    if (!bytes)
        return out_of_memory(err);
    memcpy(bytes, attribute->value.p, attribute->value.n);
    person->values[person->value_count++] = span_of(bytes, attribute->value.n);
    return ERR_OK;
}

static enum err_code
take_values(struct directory_person *person, const struct directory_schema *schema,
            const struct directory_record *record, struct err *err)
{
    enum err_code code = ERR_OK;
    for (char **type = schema->certificate_attributes; *type; type++) {
        for (size_t i = 0; i < record->count && code == ERR_OK; i++) {
            if (has_type(&record->list[i], *type))
                code = append_value(person, record, &record->list[i], err);
        }
    }
    return code;
}

/* Once per entry. A value that is no certificate is counted; only our own troubles are errors. */
static enum err_code
parse_values(struct directory_person *person, struct err *err)
{
    if (person->parsed)
        return ERR_OK;
    pki_certificates_free(&person->certificates);
    person->certificates.limit = DIRECTORY_LIMIT_CERTIFICATES;
    person->bad = 0;
    for (size_t i = 0; i < person->value_count; i++) {
        struct err mine = ERR_INIT;
        enum err_code code =
            pki_certificates_parse(&person->certificates, person->values[i], &mine);
        if (code == ERR_PERM)
            person->bad++;
        else if (code != ERR_OK)
            return err_set(err, code, "%.200s: %.200s", person->dn, mine.text);
    }
    person->parsed = true;
    return ERR_OK;
}

/* ---- the object ------------------------------------------------------------------------------ */

enum err_code
directory_person_new(const struct directory_schema *schema, const struct directory_record *record,
                     struct directory_person **out, struct err *err)
{
    enum err_code code = ERR_OK;
    struct directory_person *person = calloc(1, sizeof *person);

    *out = NULL;
    if (!person)
        return out_of_memory(err);
    person->kind = kind_of(schema, record);
    person->dn = strdup(record->dn);
    if (!person->dn) {
        code = out_of_memory(err);
        goto out;
    }
    code = take_names(person, schema, record, err);
    if (code == ERR_OK)
        code = take_members(person, schema, record, err);
    if (code == ERR_OK)
        code = take_values(person, schema, record, err);
    if (code == ERR_OK) {
        *out = person;
        person = NULL;
    }
out:
    directory_person_free(&person);
    return code;
}

static void
free_texts(char **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

void
directory_person_free(struct directory_person **person)
{
    if (!person || !*person)
        return;
    struct directory_person *p = *person;
    free_texts(p->addresses, p->address_count);
    free_texts(p->logins, p->login_count);
    free_texts(p->member_dns, p->member_dn_count);
    free_texts(p->member_addresses, p->member_address_count);
    free_texts(p->member_urls, p->member_url_count);
    for (size_t i = 0; i < p->value_count; i++)
        free((void *)p->values[i].p);
    free(p->values);
    free(p->dn);
    pki_certificates_free(&p->certificates);
    free(p);
    *person = NULL;
}

static enum err_code
copy_list(char *const *list, size_t count, char ***out, struct err *err)
{
    char **copy = *out = calloc(count + 1, sizeof *copy);
    if (!copy)
        return out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        copy[i] = strdup(list[i]);
        if (!copy[i])
            return out_of_memory(err);
    }
    return ERR_OK;
}

static enum err_code
copy_texts(const struct directory_person *person, struct directory_entry *entry, struct err *err)
{
    enum err_code code =
        copy_list(person->addresses, person->address_count, &entry->addresses, err);
    if (code == ERR_OK && person->member_dn_count > 0)
        code = copy_list(person->member_dns, person->member_dn_count, &entry->member_dns, err);
    if (code == ERR_OK && person->member_address_count > 0)
        code = copy_list(person->member_addresses, person->member_address_count,
                         &entry->member_addresses, err);
    if (code == ERR_OK && person->member_url_count > 0)
        code = copy_list(person->member_urls, person->member_url_count, &entry->member_urls, err);
    if (code == ERR_OK)
        entry->dn = strdup(person->dn);
    if (code == ERR_OK && person->address_count > 0)
        entry->primary = strdup(person->addresses[0]);
    if (code == ERR_OK && (!entry->dn || (person->address_count > 0 && !entry->primary)))
        code = out_of_memory(err);
    return code;
}

enum err_code
directory_person_get(struct directory_person *person, struct directory_entry **out, struct err *err)
{
    struct directory_entry *entry = calloc(1, sizeof *entry);
    enum err_code code = entry ? ERR_OK : out_of_memory(err);
    if (code == ERR_OK)
        code = parse_values(person, err);
    if (code == ERR_OK)
        code = copy_texts(person, entry, err);
    for (size_t i = 0; code == ERR_OK && i < person->certificates.count; i++)
        code = pki_certificates_add1(&entry->certificates, person->certificates.list[i], err);
    if (code == ERR_OK) {
        entry->kind = person->kind;
        entry->bad_certificates = person->bad;
        *out = entry;
        entry = NULL;
    }
    directory_entry_free(&entry);
    return code;
}
