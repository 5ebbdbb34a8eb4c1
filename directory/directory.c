#include "directory/directory.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "directory/remembered.h"

static void
directory_texts_free(char ***list)
{
    for (size_t i = 0; *list && (*list)[i]; i++)
        free((*list)[i]);
    free(*list);
    *list = NULL;
}

struct directory_entry *
directory_entry_add1(struct directory_entry *entry)
{
    atomic_fetch_add_explicit(&entry->others, 1, memory_order_relaxed);
    return entry;
}

void
directory_entry_free(struct directory_entry **entry)
{
    struct directory_entry *e;

    if (!entry || !*entry)
        return;
    e = *entry;
    *entry = NULL;
    if (atomic_fetch_sub_explicit(&e->others, 1, memory_order_acq_rel) != 0)
        return;
    free(e->dn);
    free(e->primary);
    directory_texts_free(&e->addresses);
    directory_texts_free(&e->member_dns);
    directory_texts_free(&e->member_addresses);
    directory_texts_free(&e->member_urls);
    pki_certificates_free(&e->certificates);
    free(e);
}

void
directory_entries_free(struct directory_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        directory_entry_free(&entries->list[i]);
    free(entries->list);
    *entries = (struct directory_entries){ .list = NULL };
}

enum err_code
directory_entries_append(struct directory_entries *entries, struct directory_entry *entry,
                         struct err *err)
{
    if (entries->count == entries->cap) {
        size_t cap = entries->cap ? 2 * entries->cap : 8;
        struct directory_entry **list = realloc(entries->list, cap * sizeof(*list));

        if (!list)
            return err_set(err, ERR_NOMEM, "no memory for directory entries");
        entries->list = list;
        entries->cap = cap;
    }
    entries->list[entries->count++] = entry;
    return ERR_OK;
}

/* Servers, and what they answered lately. */
static enum err_code
directory_new_servers(const struct conf_directory *conf, struct directory **out, struct err *err)
{
    struct directory *servers = NULL;
    enum err_code code = directory_ldap_new(conf, &servers, err);

    if (code != ERR_OK || conf->life <= 0) {
        *out = servers;
        return code;
    }
    code = directory_remembered_new(
        servers,
        &(struct directory_remembered_args){ .life_ms = conf->life,
                                             .negative_life_ms = conf->negative_life,
                                             .stale_ms = conf->stale,
                                             .limit_bytes = (size_t)conf->memory },
        out, err);
    if (code != ERR_OK)
        directory_free(&servers);
    return code;
}

enum err_code
directory_new(const struct conf_directory *conf, struct directory **out, struct err *err)
{
    enum err_code code;

    *out = NULL;
    if (conf->servers && conf->servers[0])
        code = directory_new_servers(conf, out, err);
    else
        code = directory_ldif_new(conf, out, err);
    return code == ERR_OK ? ERR_OK : err_prefix(err, "directory \"%s\"", conf->name);
}

void
directory_free(struct directory **directory)
{
    if (!directory || !*directory)
        return;
    (*directory)->ops->free(*directory);
    *directory = NULL;
}

/* An error beside entries, or an answer that is not one for each question, would be taken for
 * "found" or for "not there" somewhere above. */
static enum err_code
directory_answers(const struct directory *directory, enum err_code code, bool is_whole,
                  struct directory_entries *out, struct err *err)
{
    if (code == ERR_OK && !is_whole)
        code = err_set(err, ERR_BUG, "the backend did not answer every question");
    if (code == ERR_NOTFOUND)
        code = err_set(err, ERR_BUG, "the backend answered \"not there\" for all at once");
    if (code == ERR_OK)
        return code;
    directory_entries_free(out);
    return err_prefix(err, "directory \"%s\"", directory->name);
}

enum err_code
directory_find_addresses(struct directory *directory, const struct directory_questions *questions,
                         struct directory_entries *out, struct err *err)
{
    enum err_code code;

    *out = (struct directory_entries){ .list = NULL };
    code = directory->ops->find_addresses(directory, questions, out, err);
    return directory_answers(directory, code, out->count == questions->count, out, err);
}

enum err_code
directory_find_dns(struct directory *directory, const struct directory_questions *questions,
                   struct directory_entries *out, struct err *err)
{
    enum err_code code;

    *out = (struct directory_entries){ .list = NULL };
    code = directory->ops->find_dns(directory, questions, out, err);
    return directory_answers(directory, code, out->count == questions->count, out, err);
}

enum err_code
directory_find_urls(struct directory *directory, const struct directory_questions *questions,
                    size_t limit, struct directory_entries *out, struct err *err)
{
    bool is_whole = true;
    enum err_code code;

    *out = (struct directory_entries){ .list = NULL };
    code = directory->ops->find_urls(directory, questions, limit, out, err);
    for (size_t i = 0; i < out->count; i++)
        is_whole &= out->list[i] != NULL;
    return directory_answers(directory, code, is_whole && out->count <= limit, out, err);
}

/* An answer without an entry, or an error beside one. */
static enum err_code
directory_answer(const struct directory *directory, enum err_code code,
                 struct directory_entry **out, struct err *err)
{
    if (code == ERR_OK && *out)
        return ERR_OK;
    directory_entry_free(out);
    if (code == ERR_OK)
        code = err_set(err, ERR_BUG, "the backend answered without an entry");
    if (code != ERR_NOTFOUND)
        err_prefix(err, "directory \"%s\"", directory->name);
    return code;
}

enum err_code
directory_find_address(struct directory *directory, const char *address, int64_t deadline_ms,
                       struct directory_entry **out, struct err *err)
{
    const char *const list[] = { address };
    struct directory_entries entries;
    enum err_code code;

    *out = NULL;
    code = directory_find_addresses(
        directory,
        &(struct directory_questions){ .list = list, .count = 1, .deadline_ms = deadline_ms },
        &entries, err);
    if (code != ERR_OK)
        return code;
    *out = entries.list[0];
    entries.list[0] = NULL;
    directory_entries_free(&entries);
    return *out ? ERR_OK
                : err_set(err, ERR_NOTFOUND, "%.200s is not in the directory \"%.100s\"", address,
                          directory->name);
}

enum err_code
directory_find_login(struct directory *directory, const char *login, int64_t deadline_ms,
                     struct directory_entry **out, struct err *err)
{
    *out = NULL;
    return directory_answer(
        directory, directory->ops->find_login(directory, login, deadline_ms, out, err), out, err);
}

enum err_code
directory_find_send_as(struct directory *directory, const struct directory_entry *person,
                       const char *address, int64_t deadline_ms, struct err *err)
{
    enum err_code code = directory->ops->find_send_as(directory, person, address, deadline_ms, err);

    if (code != ERR_OK && code != ERR_NOTFOUND)
        err_prefix(err, "directory \"%s\"", directory->name);
    return code;
}

enum err_code
directory_get_url(struct directory *directory, struct span url, int64_t deadline_ms,
                  struct buf *out, struct err *err)
{
    enum err_code code;

    if (!directory->ops->get_url)
        return err_set(err, ERR_NOTFOUND, "the directory \"%.100s\" has no server",
                       directory->name);
    code = directory->ops->get_url(directory, url, deadline_ms, out, err);
    if (code != ERR_OK && code != ERR_NOTFOUND)
        err_prefix(err, "directory \"%s\"", directory->name);
    return code;
}

void
directory_get_counts(struct directory *directory, struct directory_counts *out)
{
    *out = (struct directory_counts){ .waits = 0 };
    if (directory->ops->get_counts)
        directory->ops->get_counts(directory, out);
}
