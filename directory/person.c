#include "directory/person.h"

#include <stdlib.h>

#include "mime/address.h"
#include "util/log.h"

/* ---- attributes ------------------------------------------------------------------------------ */

/* The same attribute type, whatever its options ("userCertificate;binary" is userCertificate). */
static bool
has_type(const struct directory_attribute *attribute, const char *type)
{
    return span_equal_nocase(span_of(attribute->name, strcspn(attribute->name, ";")), type);
}

static bool
has_class(const struct directory_record *record, const char *const *classes)
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
kind_of(const struct directory_record *record)
{
    static const char *const groups[] = {
        "group",        "groupOfNames", "groupOfUniqueNames", "groupOfURLs",
        "nisMailAlias", "posixGroup",   "groupOfEntries",     NULL
    };
    static const char *const contacts[] = { "contact", NULL };
    if (has_class(record, groups))
        return DIRECTORY_GROUP;
    return has_class(record, contacts) ? DIRECTORY_CONTACT : DIRECTORY_USER;
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
    if (code != ERR_OK)
        return err_set(err, ERR_PERM, "%.200s:%u: %.100s: \"%s\" is not a mail address",
                       record->file, attribute->line, attribute->name,
                       log_escape(value, shown, sizeof shown));
    size_t at = 0;
    while (at < person->address_count && strcmp(person->addresses[at], formatted) != 0)
        at++;
    if (at == DIRECTORY_LIMIT_ADDRESSES)
        return err_set(err, ERR_LIMIT, "%.200s:%u: more than %d addresses", record->file,
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
take_names(struct directory_person *person, const struct conf_directory *conf,
           const struct directory_record *record, struct err *err)
{
    enum err_code code = ERR_OK;
    bool has_primary = false;
    for (char **type = conf->address_attributes; *type; type++) {
        for (size_t i = 0; i < record->count && code == ERR_OK; i++) {
            if (has_type(&record->list[i], *type))
                code = append_address(person, record, &record->list[i], &has_primary, err);
        }
    }
    if (person->kind != DIRECTORY_USER)
        return code;
    for (char **type = conf->login_attributes; *type; type++) {
        for (size_t i = 0; i < record->count && code == ERR_OK; i++) {
            if (has_type(&record->list[i], *type) && record->list[i].value.n > 0)
                code = append_login(person, record->list[i].value, err);
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
        return err_set(err, ERR_LIMIT, "%.200s:%u: more than %d certificates", record->file,
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
take_values(struct directory_person *person, const struct directory_record *record, struct err *err)
{
    static const char *const types[] = { "userSMIMECertificate", "userCertificate", NULL };
    enum err_code code = ERR_OK;
    for (size_t k = 0; types[k]; k++) {
        for (size_t i = 0; i < record->count && code == ERR_OK; i++) {
            if (has_type(&record->list[i], types[k]))
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
directory_person_new(const struct conf_directory *conf, const struct directory_record *record,
                     struct directory_person **out, struct err *err)
{
    enum err_code code = ERR_OK;
    struct directory_person *person = calloc(1, sizeof *person);

    *out = NULL;
    if (!person)
        return out_of_memory(err);
    person->kind = kind_of(record);
    person->dn = strdup(record->dn);
    if (!person->dn) {
        code = out_of_memory(err);
        goto out;
    }
    code = take_names(person, conf, record, err);
    if (code == ERR_OK && (person->address_count > 0 || person->login_count > 0))
        code = take_values(person, record, err);
    if (code == ERR_OK && (person->address_count > 0 || person->login_count > 0)) {
        *out = person;
        person = NULL;
    }
out:
    directory_person_free(&person);
    return code;
}

void
directory_person_free(struct directory_person **person)
{
    if (!person || !*person)
        return;
    struct directory_person *p = *person;
    for (size_t i = 0; i < p->address_count; i++)
        free(p->addresses[i]);
    for (size_t i = 0; i < p->login_count; i++)
        free(p->logins[i]);
    for (size_t i = 0; i < p->value_count; i++)
        free((void *)p->values[i].p);
    free(p->addresses);
    free(p->logins);
    free(p->values);
    free(p->dn);
    pki_certificates_free(&p->certificates);
    free(p);
    *person = NULL;
}

static enum err_code
copy_texts(const struct directory_person *person, struct directory_entry *entry, struct err *err)
{
    entry->dn = strdup(person->dn);
    entry->addresses = calloc(person->address_count + 1, sizeof *entry->addresses);
    if (!entry->dn || !entry->addresses)
        return out_of_memory(err);
    for (size_t i = 0; i < person->address_count; i++) {
        entry->addresses[i] = strdup(person->addresses[i]);
        if (!entry->addresses[i])
            return out_of_memory(err);
    }
    if (person->address_count == 0)
        return ERR_OK;
    entry->primary = strdup(person->addresses[0]);
    return entry->primary ? ERR_OK : out_of_memory(err);
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
