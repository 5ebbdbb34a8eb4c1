/*
 * The LDAP backend: questions become searches, entries become answers.      RFC 4511, RFC 4515
 *
 * How a batch of addresses passes: cut into OR filters of at most 500 (directory/ldap_question),
 * sent together on one kept connection (directory/ldap_search), to another server if that one fails
 * (directory/ldap_batch). Every entry that comes back says itself which addresses it has; questions
 * and entries are matched here, so that it makes no difference which of the searches found it.
 */
#include "directory/ldap.h"

#include <stdlib.h>
#include <strings.h>

#include "directory/dn.h"
#include "directory/ldap_private.h"
#include "util/clock.h"

static enum err_code
out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for a directory");
}

struct directory_ldap_batch
directory_ldap_batch_of(struct directory_ldap *ldap, int64_t deadline_ms)
{
    return (struct directory_ldap_batch){
        .pool = ldap->pool,
        .schema = ldap->schema,
        .base = ldap->base,
        .attributes = ldap->attributes,
        .page_size = ldap->page_size,
        .request_ms = ldap->request_ms,
        .deadline_ms = deadline_ms,
        .counts = &ldap->counts,
    };
}

/* ---- questions and people -------------------------------------------------------------------- */

static int
compare_slots(const void *a, const void *b)
{
    const struct directory_ldap_slot *one = a, *two = b;
    return strcasecmp(one->text, two->text);
}

static bool
is_better(const struct directory_person *one, const struct directory_person *two, bool is_name)
{
    if (is_name && one->is_alias != two->is_alias)
        return one->is_alias;
    if (one->kind != two->kind)
        return one->kind < two->kind;
    return strcasecmp(one->dn, two->dn) < 0;
}

void
directory_ldap_slots_init(struct directory_ldap_slot *slots, size_t count)
{
    qsort(slots, count, sizeof *slots, compare_slots);
}

void
directory_ldap_slots_set(struct directory_ldap_slot *slots, size_t count, const char *text,
                         struct directory_person *person)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcasecmp(slots[middle].text, text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool is_name = strchr(text, '@') == NULL;
    for (; low < count && strcasecmp(slots[low].text, text) == 0; low++) {
        if (!slots[low].best || is_better(person, slots[low].best, is_name))
            slots[low].best = person;
    }
}

static void
offer_all(struct directory_ldap_slot *slots, size_t count, const struct directory_people *people)
{
    for (size_t i = 0; i < people->count; i++) {
        struct directory_person *person = people->list[i];
        for (size_t k = 0; k < person->address_count; k++)
            directory_ldap_slots_set(slots, count, person->addresses[k], person);
        for (size_t k = 0; k < person->login_count; k++) {
            if (!strchr(person->logins[k], '@'))
                directory_ldap_slots_set(slots, count, person->logins[k], person);
        }
    }
}

enum err_code
directory_ldap_answer(struct directory_person *const *best, size_t count,
                      struct directory_entries *out, struct err *err)
{
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        struct directory_entry *entry = NULL;
        if (best[i])
            code = directory_person_get(best[i], &entry, err);
        if (code == ERR_OK)
            code = directory_entries_append(out, entry, err);
        if (code != ERR_OK)
            directory_entry_free(&entry);
    }
    return code;
}

static struct directory_ldap_slot *
make_slots(const struct directory_questions *questions)
{
    struct directory_ldap_slot *slots = calloc(questions->count + 1, sizeof *slots);
    for (size_t i = 0; slots && i < questions->count; i++)
        slots[i] = (struct directory_ldap_slot){ .text = questions->list[i], .question = i };
    if (slots)
        directory_ldap_slots_init(slots, questions->count);
    return slots;
}

static enum err_code
ldap_find_addresses(struct directory *directory, const struct directory_questions *questions,
                    struct directory_entries *out, struct err *err)
{
    struct directory_ldap *ldap = (struct directory_ldap *)directory;
    struct directory_ldap_batch batch = directory_ldap_batch_of(ldap, questions->deadline_ms);
    struct directory_people people = { .list = NULL };
    struct directory_ldap_slot *slots = make_slots(questions);
    struct directory_person **best =
        calloc(questions->count + 1, sizeof(struct directory_person *));
    enum err_code code = slots && best ? ERR_OK : out_of_memory(err);
    if (code == ERR_OK && questions->count > 0)
        code = directory_ldap_batch_ask(&batch, directory_ldap_question_address, questions->list,
                                        questions->count, &people, err);
    if (code == ERR_OK) {
        offer_all(slots, questions->count, &people);
        for (size_t i = 0; i < questions->count; i++)
            best[slots[i].question] = slots[i].best;
        code = directory_ldap_answer(best, questions->count, out, err);
    }
    directory_people_free(&people);
    free(slots);
    free(best);
    return code;
}

/* ---- memberURL ------------------------------------------------------------------------------- */

static int
compare_people(const void *a, const void *b)
{
    const struct directory_person *const *one = a, *const *two = b;
    return strcasecmp((*one)->dn, (*two)->dn);
}

/* What several searches found, each entry once. */
static enum err_code
append_distinct(struct directory_people *people, size_t limit, struct directory_entries *out,
                struct err *err)
{
    enum err_code code = ERR_OK;
    if (people->count > 0)
        qsort(people->list, people->count, sizeof(struct directory_person *), compare_people);
    for (size_t i = 0; code == ERR_OK && i < people->count; i++) {
        struct directory_entry *entry = NULL;
        if (i > 0 && strcasecmp(people->list[i]->dn, people->list[i - 1]->dn) == 0)
            continue;
        if (out->count == limit)
            return err_set(err, ERR_LIMIT, "searches of a group find more than %zu entries", limit);
        code = directory_person_get(people->list[i], &entry, err);
        if (code == ERR_OK) {
            entry->question = people->list[i]->question;
            code = directory_entries_append(out, entry, err);
        }
        if (code != ERR_OK)
            directory_entry_free(&entry);
    }
    return code;
}

static enum err_code
ldap_find_urls(struct directory *directory, const struct directory_questions *questions,
               size_t limit, struct directory_entries *out, struct err *err)
{
    struct directory_ldap *ldap = (struct directory_ldap *)directory;
    struct directory_ldap_batch batch = directory_ldap_batch_of(ldap, questions->deadline_ms);
    struct directory_people people = { .list = NULL };
    size_t count = questions->count;
    struct directory_url *urls = calloc(count + 1, sizeof *urls);
    struct directory_ldap_search *searches = calloc(count + 1, sizeof *searches);
    enum err_code code = urls && searches ? ERR_OK : out_of_memory(err);
    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        code = directory_url_parse(span_str(questions->list[i]), &urls[i], err);
        if (code == ERR_OK)
            searches[i] = (struct directory_ldap_search){ .base = urls[i].base,
                                                          .filter = urls[i].filter,
                                                          .scope = urls[i].scope,
                                                          .limit = limit };
    }
    if (code == ERR_OK && count > 0)
        code = directory_ldap_batch_run(&batch, searches, count, err);
    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        code = directory_ldap_batch_check(&batch, &searches[i], err);
        if (code == ERR_OK && searches[i].outcome == DIRECTORY_LDAP_OVER)
            code = err_set(err, ERR_LIMIT, "%.200s finds more than %zu entries", questions->list[i],
                           limit);
        size_t first = people.count;
        if (code == ERR_OK)
            code = directory_people_append(&people, ldap->schema, &searches[i], err);
        for (size_t k = first; k < people.count; k++)
            people.list[k]->question = i;
    }
    if (code == ERR_OK)
        code = append_distinct(&people, limit, out, err);
    for (size_t i = 0; urls && searches && i < count; i++) {
        directory_ldap_search_reset(&searches[i]);
        directory_url_free(&urls[i]);
    }
    directory_people_free(&people);
    free(searches);
    free(urls);
    return code;
}

/* ---- logins ---------------------------------------------------------------------------------- */

static enum err_code
ldap_find_login(struct directory *directory, const char *login, int64_t deadline_ms,
                struct directory_entry **out, struct err *err)
{
    struct directory_ldap *ldap = (struct directory_ldap *)directory;
    struct directory_ldap_batch batch = directory_ldap_batch_of(ldap, deadline_ms);
    struct directory_people people = { .list = NULL };
    struct directory_person *found = NULL;
    struct err mine = ERR_INIT;
    enum err_code code = login[0] ? directory_ldap_batch_ask(&batch, directory_ldap_question_login,
                                                             &login, 1, &people, &mine)
                                  : ERR_NOTFOUND;
    if (code != ERR_OK && code != ERR_NOTFOUND)
        err_set_reason(err, code, mine.reason, "%s", mine.text);
    for (size_t i = 0; code == ERR_OK && i < people.count; i++) {
        if (people.list[i]->kind != DIRECTORY_USER)
            continue;
        /* Who sends must be beyond doubt: nobody is chosen. */
        if (found)
            code = err_set(err, ERR_PERM, "the login %.100s names both %.150s and %.150s", login,
                           found->dn, people.list[i]->dn);
        found = people.list[i];
    }
    if (code == ERR_OK && found)
        code = directory_person_get(found, out, err);
    else if (code == ERR_OK || code == ERR_NOTFOUND)
        code = err_set(err, ERR_NOTFOUND, "%.200s is not in the directory", login);
    directory_people_free(&people);
    return code;
}

/* ---- the object ------------------------------------------------------------------------------ */

static void
ldap_get_counts(struct directory *directory, struct directory_counts *out)
{
    const struct directory_ldap_counts *counts = &((struct directory_ldap *)directory)->counts;
    *out = (struct directory_counts){
        .waits = counts->waits,
        .searches = counts->searches,
        .entries = counts->entries,
        .connects = counts->connects,
        .failures = counts->failures,
    };
}

static void
ldap_free(struct directory *directory)
{
    struct directory_ldap *ldap = (struct directory_ldap *)directory;
    directory_ldap_pool_free(&ldap->pool);
    directory_schema_free(&ldap->schema);
    free(ldap->attributes); /* the strings are the schema's */
    free(ldap->base);
    free(ldap->base_form);
    free(ldap->head.name);
    free(ldap);
}

/* What is asked of an entry: what the schema reads. */
static enum err_code
collect_attributes(struct directory_ldap *ldap, struct err *err)
{
    static const char *const always[] = { "objectClass", "cn", NULL };
    const struct directory_schema *schema = ldap->schema;
    char *const *const lists[] = {
        (char *const *)(uintptr_t)always, schema->address_attributes,
        schema->login_attributes,         schema->certificate_attributes,
        schema->member_attributes,        schema->member_address_attributes,
        schema->member_url_attributes,
    };
    size_t count = 0;
    ldap->attributes =
        calloc(sizeof lists / sizeof lists[0] * (DIRECTORY_SCHEMA_LIMIT + 1) + 1, sizeof(char *));
    if (!ldap->attributes)
        return out_of_memory(err);
    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++) {
        for (char *const *one = lists[l]; *one; one++) {
            size_t i = 0;
            while (i < count && strcasecmp(ldap->attributes[i], *one) != 0)
                i++;
            if (i == count)
                ldap->attributes[count++] = *one;
        }
    }
    return ERR_OK;
}

enum err_code
directory_ldap_new(const struct conf_directory *conf, struct directory **out, struct err *err)
{
    static const struct directory_ops ops = {
        .name = "ldap",
        .find_addresses = ldap_find_addresses,
        .find_dns = directory_ldap_find_dns,
        .find_urls = ldap_find_urls,
        .find_login = ldap_find_login,
        .find_send_as = directory_ldap_find_send_as,
        .get_url = directory_ldap_get_url,
        .get_counts = ldap_get_counts,
        .free = ldap_free,
    };
    struct directory_ldap *ldap = calloc(1, sizeof *ldap);
    *out = NULL;
    if (!ldap)
        return out_of_memory(err);
    ldap->head.ops = &ops;
    ldap->head.name = strdup(conf->name);
    ldap->base = strdup(conf->base);
    ldap->base_form = directory_dn_get(conf->base);
    ldap->page_size = conf->page_size;
    ldap->request_ms = conf->request_timeout;
    enum err_code code = ldap->head.name && ldap->base ? ERR_OK : out_of_memory(err);
    if (code == ERR_OK && !ldap->base_form)
        code = err_set(err, ERR_PERM, "base: \"%.200s\" is not a distinguished name", conf->base);
    if (code == ERR_OK)
        code = directory_schema_new(conf, &ldap->schema, err);
    if (code == ERR_OK)
        code = collect_attributes(ldap, err);
    if (code == ERR_OK)
        code = directory_ldap_pool_new(conf, &ldap->pool, err);
    if (code != ERR_OK) {
        ldap_free(&ldap->head);
        return code;
    }
    *out = &ldap->head;
    return ERR_OK;
}

/* ---- the doctor ------------------------------------------------------------------------------ */

static enum err_code
check_search(struct directory_ldap *ldap, struct directory_ldap_connection *connection,
             struct err *err)
{
    static char *nothing[] = { (char *)LDAP_NO_ATTRS, NULL };
    const struct directory_ldap_run run = {
        .connection = connection,
        .attributes = nothing,
        .page_size = ldap->page_size,
        .deadline_ms = clock_monotonic_ms() + ldap->request_ms,
        .round_ms = ldap->request_ms,
        .counts = &ldap->counts,
    };
    struct directory_ldap_search search = {
        .base = ldap->base, .filter = "(objectClass=*)", .scope = DIRECTORY_SCOPE_BASE, .limit = 1
    };
    bool is_broken;
    enum err_code code = directory_ldap_search_run(&run, &search, 1, &is_broken, err);
    if (code == ERR_OK && search.count != 1)
        code = err_set(err, ERR_TEMP, "the base \"%.200s\" is not there, or not for us to read",
                       ldap->base);
    directory_ldap_search_reset(&search);
    return code;
}

enum err_code
directory_ldap_check(const struct conf_directory *conf, directory_ldap_finding_fn *each,
                     void *context, struct err *err)
{
    struct directory *directory = NULL;
    enum err_code code = directory_ldap_new(conf, &directory, err);
    if (code != ERR_OK)
        return code;
    struct directory_ldap *ldap = (struct directory_ldap *)directory;
    for (size_t i = 0; i < directory_ldap_pool_count(ldap->pool); i++) {
        struct directory_ldap_connection *connection = NULL;
        struct directory_ldap_finding finding = {
            .server = directory_ldap_pool_get(ldap->pool, i)->name
        };
        struct err mine = ERR_INIT;
        int64_t deadline_ms = clock_monotonic_ms() + conf->connect_timeout + ldap->request_ms;
        code =
            directory_ldap_pool_try(ldap->pool, i, deadline_ms, &connection, &finding.step, &mine);
        if (code == ERR_OK)
            code = check_search(ldap, connection, &mine);
        if (connection)
            (void)directory_ldap_connection_suspend(connection);
        directory_ldap_connection_free(&connection);
        finding.is_good = code == ERR_OK;
        finding.text = code == ERR_OK ? ldap->base : mine.text;
        each(context, &finding);
    }
    ldap_free(directory);
    return ERR_OK;
}
