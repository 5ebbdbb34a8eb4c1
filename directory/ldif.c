/*
 * The embedded default backend: an LDIF file, read whole when the configuration is loaded and
 * looked up by binary search. It is read again by a reload of the configuration, and at no other
 * time: a file that somebody is writing is never half seen.
 */
#include "directory/directory.h"

#include <pthread.h>
#include <stdlib.h>

#include "directory/dn.h"
#include "directory/filter.h"
#include "directory/person.h"
#include "directory/record.h"
#include "directory/send_as.h"
#include "directory/template.h"
#include "directory/url.h"
#include "util/clock.h"
#include "util/file.h"

enum { KEPT_VALUE = 1024 }; /* octets of a value that filters compare; certificates are none */

/* One way to an entry: an address, a login, the name of an alias, a distinguished name. */
struct key {
    const char *text; /* borrowed from the person, or from `dns` */
    uint32_t person;
};

struct keys {
    struct key *list;
    size_t count;
};

struct ldif {
    struct directory head;
    pthread_mutex_t lock; /* certificates of a person are parsed when first asked for */
    struct directory_schema *schema;
    struct directory_person **people;
    size_t count;
    size_t cap;
    char **dns;                        /* of each person, in the form of directory_dn_format */
    struct directory_attributes *kept; /* of each person, for filters */
    struct keys addresses;
    struct keys logins;
    struct keys aliases;
    struct keys names; /* distinguished ones */
};

static enum err_code
out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for a directory file");
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum err_code
make_room(struct ldif *ldif, struct err *err)
{
    if (ldif->count < ldif->cap)
        return ERR_OK;
    size_t cap = ldif->cap ? 2 * ldif->cap : 64;
    struct directory_person **people = realloc(ldif->people, cap * sizeof *people);
    if (people)
        ldif->people = people;
    char **dns = realloc(ldif->dns, cap * sizeof *dns);
    if (dns)
        ldif->dns = dns;
    struct directory_attributes *kept = realloc(ldif->kept, cap * sizeof *kept);
    if (kept)
        ldif->kept = kept;
    if (!people || !dns || !kept)
        return out_of_memory(err);
    ldif->cap = cap;
    return ERR_OK;
}

static enum err_code
append_person(void *context, const struct directory_record *record, struct err *err)
{
    struct ldif *ldif = context;
    struct directory_person *person = NULL;
    struct directory_attributes kept = { .list = NULL };
    struct buf dn = BUF_INIT(4 * DIRECTORY_DN_LIMIT);
    enum err_code code = make_room(ldif, err);
    if (code == ERR_OK)
        code = directory_person_new(ldif->schema, record, &person, err);
    /* A record that is named by something else than a DN is found by its addresses alone. */
    if (code == ERR_OK && directory_dn_format(span_str(record->dn), &dn, NULL) == ERR_NOMEM)
        code = out_of_memory(err);
    if (code == ERR_OK)
        code = directory_attributes_copy(record, KEPT_VALUE, &kept, err);
    if (code == ERR_OK) {
        ldif->dns[ldif->count] = strdup(buf_str(&dn));
        code = ldif->dns[ldif->count] ? ERR_OK : out_of_memory(err);
    }
    if (code == ERR_OK) {
        ldif->kept[ldif->count] = kept;
        ldif->people[ldif->count++] = person;
        kept = (struct directory_attributes){ .list = NULL };
        person = NULL;
    }
    buf_free(&dn);
    directory_attributes_free(&kept);
    directory_person_free(&person);
    return code;
}

/* Filters are asked for by memberURL and by send-as alone; other files need not cost twice. */
static void
drop_kept(struct ldif *ldif)
{
    bool is_wanted = ldif->schema->send_as_filter[0] || ldif->schema->send_as_attributes[0];
    for (size_t i = 0; i < ldif->count && !is_wanted; i++)
        is_wanted = ldif->people[i]->member_url_count > 0;
    for (size_t i = 0; i < ldif->count && !is_wanted; i++)
        directory_attributes_free(&ldif->kept[i]);
}

/* Without regard to ASCII case, as directories compare addresses and logins (RFC 4519,
 * caseIgnoreMatch): "Alice@corp.example" is not somebody else than the file's "alice@corp.example".
 */
static int
compare_texts(const char *a, const char *b)
{
    for (;; a++, b++) {
        unsigned char x = (unsigned char)*a, y = (unsigned char)*b;
        x = x >= 'A' && x <= 'Z' ? (unsigned char)(x + ('a' - 'A')) : x;
        y = y >= 'A' && y <= 'Z' ? (unsigned char)(y + ('a' - 'A')) : y;
        if (x != y || x == '\0')
            return (x > y) - (x < y);
    }
}

/* By text, then user before contact before group, then in file order. */
static int
compare_keys(const void *a, const void *b, void *context)
{
    const struct key *one = a, *two = b;
    const struct ldif *ldif = context;
    int order = compare_texts(one->text, two->text);
    if (order == 0)
        order = (int)ldif->people[one->person]->kind - (int)ldif->people[two->person]->kind;
    if (order == 0)
        order = (one->person > two->person) - (one->person < two->person);
    return order;
}

static enum err_code
make_keys_of(struct ldif *ldif, struct keys *keys, size_t count, struct err *err)
{
    keys->list = calloc(count + 1, sizeof(struct key));
    if (!keys->list)
        return out_of_memory(err);
    for (size_t i = 0; i < ldif->count; i++) {
        const struct directory_person *person = ldif->people[i];
        char *const *texts = &ldif->dns[i];
        size_t n = ldif->dns[i][0] != '\0';
        if (keys == &ldif->addresses) {
            texts = person->addresses;
            n = person->address_count;
        } else if (keys != &ldif->names) {
            texts = person->logins;
            n = person->is_alias == (keys == &ldif->aliases) ? person->login_count : 0;
        }
        for (size_t k = 0; k < n; k++)
            keys->list[keys->count++] = (struct key){ .text = texts[k], .person = (uint32_t)i };
    }
    qsort_r(keys->list, keys->count, sizeof(struct key), compare_keys, ldif);
    return ERR_OK;
}

static enum err_code
make_keys(struct ldif *ldif, struct err *err)
{
    size_t addresses = 0, logins = 0;
    for (size_t i = 0; i < ldif->count; i++) {
        addresses += ldif->people[i]->address_count;
        logins += ldif->people[i]->login_count;
    }
    enum err_code code = make_keys_of(ldif, &ldif->addresses, addresses, err);
    if (code == ERR_OK)
        code = make_keys_of(ldif, &ldif->logins, logins, err);
    if (code == ERR_OK)
        code = make_keys_of(ldif, &ldif->aliases, logins, err);
    if (code == ERR_OK)
        code = make_keys_of(ldif, &ldif->names, ldif->count, err);
    return code;
}

/* ---- looking up ------------------------------------------------------------------------------ */

/* The first key that is `text`, or keys->count. */
static size_t
find_key(const struct keys *keys, const char *text)
{
    size_t low = 0, high = keys->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_texts(keys->list[middle].text, text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < keys->count && compare_texts(keys->list[low].text, text) == 0 ? low : keys->count;
}

static enum err_code
get_person(struct ldif *ldif, uint32_t person, struct directory_entry **out, struct err *err)
{
    pthread_mutex_lock(&ldif->lock);
    enum err_code code = directory_person_get(ldif->people[person], out, err);
    pthread_mutex_unlock(&ldif->lock);
    return code;
}

/* SIZE_MAX: not there. */
static size_t
find_person(const struct keys *keys, const char *text)
{
    size_t at = find_key(keys, text);
    return at == keys->count ? SIZE_MAX : keys->list[at].person;
}

/* Hands out person `at` (SIZE_MAX: nobody) as the next answer. */
static enum err_code
append_answer(struct ldif *ldif, size_t at, struct directory_entries *out, struct err *err)
{
    struct directory_entry *entry = NULL;
    enum err_code code = ERR_OK;
    if (at != SIZE_MAX)
        code = get_person(ldif, (uint32_t)at, &entry, err);
    if (code == ERR_OK)
        code = directory_entries_append(out, entry, err);
    if (code != ERR_OK)
        directory_entry_free(&entry);
    return code;
}

static enum err_code
ldif_find_addresses(struct directory *directory, const struct directory_questions *questions,
                    struct directory_entries *out, struct err *err)
{
    struct ldif *ldif = (struct ldif *)directory;
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < questions->count; i++) {
        const char *text = questions->list[i];
        size_t at;
        if (strchr(text, '@')) {
            at = find_person(&ldif->addresses, text);
        } else {
            at = find_person(&ldif->aliases, text);
            if (at == SIZE_MAX)
                at = find_person(&ldif->logins, text);
        }
        code = append_answer(ldif, at, out, err);
    }
    return code;
}

static enum err_code
ldif_find_dns(struct directory *directory, const struct directory_questions *questions,
              struct directory_entries *out, struct err *err)
{
    struct ldif *ldif = (struct ldif *)directory;
    struct buf dn = BUF_INIT(4 * DIRECTORY_DN_LIMIT);
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < questions->count; i++) {
        buf_reset(&dn);
        code = directory_dn_format(span_str(questions->list[i]), &dn, NULL);
        if (code == ERR_NOMEM) {
            code = out_of_memory(err);
            break;
        }
        /* What is no distinguished name names nobody. */
        code = append_answer(
            ldif, code == ERR_OK ? find_person(&ldif->names, buf_str(&dn)) : SIZE_MAX, out, err);
    }
    buf_free(&dn);
    return code;
}

/* ---- filters --------------------------------------------------------------------------------- */

struct search {
    char *base; /* in the form of directory_dn_format */
    enum directory_scope scope;
    struct directory_filter *filter;
};

static enum err_code
search_init(struct search *search, const char *text, struct err *err)
{
    struct directory_url url;
    *search = (struct search){ .base = NULL };
    enum err_code code = directory_url_parse(span_str(text), &url, err);
    if (code != ERR_OK)
        return code;
    search->scope = url.scope;
    search->base = directory_dn_get(url.base);
    if (!search->base)
        code = err_set(err, ERR_PERM, "an LDAP URL whose base is no distinguished name");
    if (code == ERR_OK)
        code = directory_filter_new(span_str(url.filter), &search->filter, err);
    directory_url_free(&url);
    return code;
}

static void
search_deinit(struct search *search)
{
    free(search->base);
    directory_filter_free(&search->filter);
}

static bool
search_match(const struct search *search, const struct ldif *ldif, size_t at)
{
    const char *dn = ldif->dns[at];
    size_t above = strcspn(dn, ",");
    if (!directory_dn_is_below(dn, search->base))
        return false;
    if (search->scope == DIRECTORY_SCOPE_BASE && strcmp(dn, search->base) != 0)
        return false;
    if (search->scope == DIRECTORY_SCOPE_ONE &&
        strcmp(dn[above] ? dn + above + 1 : "", search->base) != 0)
        return false;
    return directory_filter_match(search->filter, ldif->kept[at].list, ldif->kept[at].count);
}

static enum err_code
ldif_find_urls(struct directory *directory, const struct directory_questions *questions,
               size_t limit, struct directory_entries *out, struct err *err)
{
    struct ldif *ldif = (struct ldif *)directory;
    bool *is_found = calloc(ldif->count + 1, 1);
    enum err_code code = is_found ? ERR_OK : out_of_memory(err);
    for (size_t i = 0; code == ERR_OK && i < questions->count; i++) {
        struct search search;
        code = search_init(&search, questions->list[i], err);
        for (size_t k = 0; code == ERR_OK && k < ldif->count; k++) {
            if (is_found[k] || !search_match(&search, ldif, k))
                continue;
            is_found[k] = true;
            if (out->count == limit)
                code = err_set(err, ERR_LIMIT, "%.200s finds more than %zu entries",
                               questions->list[i], limit);
            else
                code = append_answer(ldif, k, out, err);
            if (code == ERR_OK)
                out->list[out->count - 1]->question = i;
        }
        search_deinit(&search);
        if (code == ERR_OK && clock_monotonic_ms() >= questions->deadline_ms)
            code = err_set(err, ERR_TEMP, "no time left for %.200s", questions->list[i]);
    }
    free(is_found);
    return code;
}

static enum err_code
ldif_find_login(struct directory *directory, const char *login, int64_t deadline_ms,
                struct directory_entry **out, struct err *err)
{
    struct ldif *ldif = (struct ldif *)directory;
    (void)deadline_ms; /* nothing is waited for */
    size_t at = find_key(&ldif->logins, login);
    if (at == ldif->logins.count)
        return err_set(err, ERR_NOTFOUND, "%.200s is not in the directory", login);
    uint32_t person = ldif->logins.list[at].person;
    for (size_t i = at + 1; i < ldif->logins.count; i++) {
        const struct key *other = &ldif->logins.list[i];
        if (compare_texts(other->text, login) != 0)
            break;
        /* Who sends must be beyond doubt: nobody is chosen. */
        if (other->person != person)
            return err_set(err, ERR_PERM, "the login %.100s names both %.150s and %.150s", login,
                           ldif->people[person]->dn, ldif->people[other->person]->dn);
    }
    return get_person(ldif, person, out, err);
}

/* ---- send-as --------------------------------------------------------------------------------- */

/* ERR_OK: an entry of the directory matches the filter. */
static enum err_code
match_send_as(const struct ldif *ldif, const struct directory_template_values *values,
              struct err *err)
{
    struct buf text = BUF_INIT(DIRECTORY_FILTER_LIMIT);
    struct directory_filter *filter = NULL;
    enum err_code code =
        directory_template_format(ldif->schema->send_as_filter, values, &text, err);
    if (code == ERR_OK)
        code = directory_filter_new(buf_span(&text), &filter, err);
    size_t i = 0;
    while (code == ERR_OK && i < ldif->count &&
           !directory_filter_match(filter, ldif->kept[i].list, ldif->kept[i].count))
        i++;
    if (code == ERR_OK && i == ldif->count)
        code = err_set(err, ERR_NOTFOUND, "send_as_filter finds nothing");
    directory_filter_free(&filter);
    buf_free(&text);
    return code;
}

static enum err_code
ldif_find_send_as(struct directory *directory, const struct directory_entry *person,
                  const char *address, int64_t deadline_ms, struct err *err)
{
    struct ldif *ldif = (struct ldif *)directory;
    size_t owner = find_person(&ldif->addresses, address);
    (void)deadline_ms; /* nothing is waited for */
    if (owner != SIZE_MAX && directory_send_as_check(ldif->schema, &ldif->kept[owner], person))
        return ERR_OK;
    if (ldif->schema->send_as_filter[0])
        return match_send_as(ldif,
                             &(struct directory_template_values){
                                 .address = address, .dn = person->dn, .primary = person->primary },
                             err);
    return err_set(err, ERR_NOTFOUND, "nothing lets %.150s send as %.150s", person->dn, address);
}

/* ---- the object ------------------------------------------------------------------------------ */

static void
ldif_free(struct directory *directory)
{
    struct ldif *ldif = (struct ldif *)directory;
    for (size_t i = 0; i < ldif->count; i++) {
        directory_person_free(&ldif->people[i]);
        directory_attributes_free(&ldif->kept[i]);
        free(ldif->dns[i]);
    }
    free(ldif->people);
    free(ldif->kept);
    free(ldif->dns);
    free(ldif->addresses.list);
    free(ldif->logins.list);
    free(ldif->aliases.list);
    free(ldif->names.list);
    directory_schema_free(&ldif->schema);
    pthread_mutex_destroy(&ldif->lock);
    free(ldif->head.name);
    free(ldif);
}

static enum err_code
load(struct ldif *ldif, const struct conf_directory *conf, struct err *err)
{
    /* Others must not write it: who changes it decides who gets to read whose mail. */
    const struct file_read_args args = {
        .limit_bytes = DIRECTORY_RECORD_LIMIT_FILE,
        .forbidden_mode = 0002,
    };
    struct buf text = BUF_INIT(DIRECTORY_RECORD_LIMIT_FILE);
    struct err mine = ERR_INIT;
    enum err_code code = file_read(conf->ldif, &args, &text, &mine);
    /* A missing file is no answer about anybody. */
    if (code == ERR_NOTFOUND)
        code = ERR_TEMP;
    if (code != ERR_OK) {
        buf_free(&text);
        return err_set(err, code, "%s", mine.text);
    }
    code = directory_record_parse(conf->ldif, buf_span(&text), append_person, ldif, err);
    buf_free(&text);
    if (code == ERR_OK)
        drop_kept(ldif);
    return code == ERR_OK ? make_keys(ldif, err) : code;
}

enum err_code
directory_ldif_new(const struct conf_directory *conf, struct directory **out, struct err *err)
{
    static const struct directory_ops ops = {
        .name = "ldif",
        .find_addresses = ldif_find_addresses,
        .find_dns = ldif_find_dns,
        .find_urls = ldif_find_urls,
        .find_login = ldif_find_login,
        .find_send_as = ldif_find_send_as,
        .free = ldif_free,
    };
    struct ldif *ldif = calloc(1, sizeof *ldif);
    if (!ldif)
        return out_of_memory(err);
    ldif->head.ops = &ops;
    pthread_mutex_init(&ldif->lock, NULL);
    ldif->head.name = strdup(conf->name);
    enum err_code code =
        ldif->head.name ? directory_schema_new(conf, &ldif->schema, err) : out_of_memory(err);
    if (code == ERR_OK)
        code = load(ldif, conf, err);
    if (code != ERR_OK) {
        ldif_free(&ldif->head);
        return code;
    }
    *out = &ldif->head;
    return ERR_OK;
}
