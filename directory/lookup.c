#include "directory/lookup.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "directory/inquiry.h"
#include "directory/store.h"

struct directory_lookup {
    atomic_uint references;
    struct pki_keyring *keyring;
    struct directory_store *store;
    struct directory_harvest *harvest;
    struct directory **directories;
    size_t directory_count;
    unsigned order[5]; /* enum directory_source; ends with 0 */
};

static enum err_code
lookup_parse_order(struct directory_lookup *lookup, const char *const *order, struct err *err)
{
    static const char *const usual[] = { "keys", "files", "harvested", "directories", NULL };
    static const char *const directory_first[] = { "directories", "keys", "files", "harvested",
                                                   NULL };
    unsigned seen = 0;
    size_t count = 0;

    if (!order || !order[0])
        order = usual;
    else if (strcmp(order[0], "directory-first") == 0 && !order[1])
        order = directory_first;
    for (; *order; order++) {
        unsigned source = strcmp(*order, "keys") == 0          ? DIRECTORY_SOURCE_KEYS
                          : strcmp(*order, "files") == 0       ? DIRECTORY_SOURCE_FILES
                          : strcmp(*order, "harvested") == 0   ? DIRECTORY_SOURCE_HARVESTED
                          : strcmp(*order, "directories") == 0 ? DIRECTORY_SOURCE_DIRECTORIES
                                                               : 0;
        if (source == 0 || (seen & source))
            return err_set(err, ERR_PERM,
                           "lookup_order: \"%.100s\" is unknown or there twice; there are keys, "
                           "files, harvested, directories, or directory-first alone",
                           *order);
        seen |= source;
        lookup->order[count++] = source;
    }
    return ERR_OK;
}

enum err_code
directory_lookup_new(const struct directory_lookup_sources *sources, struct directory_lookup **out,
                     struct err *err)
{
    struct directory_lookup *lookup = calloc(1, sizeof *lookup);
    enum err_code code;

    *out = NULL;
    if (!lookup)
        return err_set(err, ERR_NOMEM, "no memory for the certificate lookup");
    atomic_init(&lookup->references, 1);
    lookup->keyring = sources->keyring ? pki_keyring_add1(sources->keyring) : NULL;
    lookup->harvest = sources->harvest ? directory_harvest_add1(sources->harvest) : NULL;
    lookup->directories = calloc(sources->directory_count + 1, sizeof(struct directory *));
    code = lookup->directories ? lookup_parse_order(lookup, sources->order, err)
                               : err_set(err, ERR_NOMEM, "no memory for the certificate lookup");
    if (code == ERR_OK)
        code =
            directory_store_new(lookup->keyring, sources->certificate_folders, &lookup->store, err);
    if (code != ERR_OK) {
        directory_lookup_free(&lookup);
        return code;
    }
    for (size_t i = 0; i < sources->directory_count; i++)
        lookup->directories[lookup->directory_count++] = sources->directories[i];
    *out = lookup;
    return ERR_OK;
}

struct directory_lookup *
directory_lookup_add1(struct directory_lookup *lookup)
{
    atomic_fetch_add_explicit(&lookup->references, 1, memory_order_relaxed);
    return lookup;
}

void
directory_lookup_free(struct directory_lookup **lookup)
{
    struct directory_lookup *l;

    if (!lookup || !*lookup)
        return;
    l = *lookup;
    *lookup = NULL;
    if (atomic_fetch_sub_explicit(&l->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < l->directory_count; i++)
        directory_free(&l->directories[i]);
    free(l->directories);
    directory_store_free(&l->store);
    directory_harvest_close(&l->harvest);
    pki_keyring_free(&l->keyring);
    free(l);
}

size_t
directory_lookup_directory_count(const struct directory_lookup *lookup)
{
    return lookup->directory_count;
}

/* The directory, or what it said before. */
static enum err_code
lookup_ask(struct directory_lookup *lookup, struct directory_inquiry *inquiry, size_t directory,
           struct err *err)
{
    const struct directory_found *found = inquiry->question->found;

    if (!found || directory > found->directory)
        return directory_inquiry_ask_directory(inquiry, lookup->store,
                                               lookup->directories[directory], err);
    if (directory == 0 && found->temp)
        directory_inquiry_set_temp(inquiry, found->text);
    if (directory < found->directory || !found->entry)
        return ERR_OK;
    return directory_inquiry_ask_entry(inquiry, lookup->store, found->entry,
                                       lookup->directories[directory]->name, err);
}

/* What is held here in one source: for the address, and for the primary address of the person if a
 * directory has named another one. */
static enum err_code
lookup_ask_held(struct directory_lookup *lookup, struct directory_inquiry *inquiry, unsigned source,
                struct err *err)
{
    enum err_code code = directory_inquiry_ask_store(inquiry, lookup->store,
                                                     inquiry->question->address, source, err);

    if (code == ERR_OK && inquiry->primary[0] && !directory_inquiry_is_done(inquiry))
        code = directory_inquiry_ask_store(inquiry, lookup->store, inquiry->primary, source, err);
    return code;
}

static bool
lookup_order_has(const struct directory_lookup *lookup, unsigned source)
{
    for (const unsigned *one = lookup->order; *one; one++) {
        if (*one == source)
            return true;
    }
    return false;
}

enum err_code
directory_lookup_certificate(struct directory_lookup *lookup,
                             const struct directory_lookup_question *question,
                             struct directory_lookup_result *result, struct err *err)
{
    struct directory_inquiry inquiry;
    enum err_code code = ERR_OK;

    directory_inquiry_init(&inquiry, question, PKI_USE_ENCRYPT, result);
    inquiry.harvest = lookup->harvest;
    for (const unsigned *source = lookup->order;
         code == ERR_OK && *source && !directory_inquiry_is_done(&inquiry); source++) {
        if (*source == DIRECTORY_SOURCE_DIRECTORIES && question->found && question->found->unasked)
            break;
        if (*source != DIRECTORY_SOURCE_DIRECTORIES)
            code = lookup_ask_held(lookup, &inquiry, *source, err);
        for (size_t i = 0; *source == DIRECTORY_SOURCE_DIRECTORIES && code == ERR_OK &&
                           !directory_inquiry_is_done(&inquiry) && i < lookup->directory_count;
             i++)
            code = lookup_ask(lookup, &inquiry, i, err);
        inquiry.passed |= *source;
    }
    if (code == ERR_OK && lookup_order_has(lookup, DIRECTORY_SOURCE_HARVESTED))
        code = directory_inquiry_load_capabilities(&inquiry, err);
    return code == ERR_OK ? directory_inquiry_finish(&inquiry, err) : code;
}

enum err_code
directory_lookup_key(struct directory_lookup *lookup,
                     const struct directory_lookup_question *question,
                     struct directory_lookup_result *result, struct err *err)
{
    struct directory_inquiry inquiry;
    enum err_code code;

    directory_inquiry_init(&inquiry, question, PKI_USE_SIGN, result);
    code = directory_inquiry_ask_store(&inquiry, lookup->store, question->address,
                                       DIRECTORY_SOURCE_KEYS, err);
    return code == ERR_OK ? directory_inquiry_finish(&inquiry, err) : code;
}

void
directory_lookup_result_free(struct directory_lookup_result *result)
{
    for (size_t i = 0; i < result->count; i++)
        pki_certificate_free(&result->list[i].certificate);
    free(result->list);
    buf_free(&result->capabilities);
    *result = (struct directory_lookup_result){ .list = NULL };
}

/* What one directory answered. ERR_NOTFOUND: the next one is asked, and `temp` keeps it if this one
 * could not be. Everything else is the answer. */
static enum err_code
lookup_go_on(enum err_code code, const struct err *mine, struct err *temp, struct err *err)
{
    if (code == ERR_OK || code == ERR_NOTFOUND)
        return code;
    if (code != ERR_TEMP)
        return err_set_reason(err, code, mine->reason, "%s", mine->text);
    (void)err_set(temp, code, "%s", mine->text);
    return ERR_NOTFOUND;
}

enum err_code
directory_lookup_person(struct directory_lookup *lookup, const char *address, const char *login,
                        int64_t deadline_ms, struct directory_entry **out, struct err *err)
{
    struct err temp = ERR_INIT;

    *out = NULL;
    for (size_t i = 0; i < lookup->directory_count; i++) {
        struct err mine = ERR_INIT;
        enum err_code code =
            login
                ? directory_find_login(lookup->directories[i], login, deadline_ms, out, &mine)
                : directory_find_address(lookup->directories[i], address, deadline_ms, out, &mine);

        code = lookup_go_on(code, &mine, &temp, err);
        if (code != ERR_NOTFOUND)
            return code;
    }
    if (temp.code != ERR_OK)
        return err_set_reason(err, ERR_TEMP, "directory-unreachable", "%s", temp.text);
    return err_set(err, ERR_NOTFOUND, "%.200s is in no directory", login ? login : address);
}

/* What could not be asked is not held: the directories are asked beside it. */
static bool
lookup_holds_harvested(const struct directory_lookup *lookup, const char *address)
{
    struct pki_certificates found = { .list = NULL };
    struct err ignored = ERR_INIT;
    bool holds = lookup->harvest &&
                 directory_harvest_find(lookup->harvest, address, &found, NULL, &ignored) == ERR_OK;

    pki_certificates_free(&found);
    return holds;
}

bool
directory_lookup_holds(const struct directory_lookup *lookup, const char *address)
{
    size_t count = 0;
    const struct directory_store_item *items = directory_store_find(lookup->store, address, &count);
    unsigned before = 0;

    for (const unsigned *source = lookup->order; *source && *source != DIRECTORY_SOURCE_DIRECTORIES;
         source++)
        before |= *source;
    for (size_t i = 0; i < count; i++) {
        if (before & (items[i].key ? DIRECTORY_SOURCE_KEYS : DIRECTORY_SOURCE_FILES))
            return true;
    }
    return (before & DIRECTORY_SOURCE_HARVESTED) && lookup_holds_harvested(lookup, address);
}

/* One directory, about those that were not found yet; `texts` and `index` have room for all. */
static enum err_code
lookup_find_in(struct directory_lookup *lookup, size_t directory,
               struct directory_questions *questions, const size_t *index,
               struct directory_found *out, struct err *err)
{
    struct directory_entries entries = { .list = NULL };
    struct err asked = ERR_INIT;
    enum err_code code =
        directory_find_addresses(lookup->directories[directory], questions, &entries, &asked);

    for (size_t i = 0; i < questions->count; i++) {
        struct directory_found *found = &out[index[i]];

        if (code == ERR_OK && entries.list[i]) {
            found->entry = entries.list[i];
            found->directory = directory;
            entries.list[i] = NULL;
        } else if (code != ERR_OK && code != ERR_NOTFOUND && !found->temp) {
            found->temp = true;
            snprintf(found->text, sizeof found->text, "%.190s", asked.text);
        }
    }
    directory_entries_free(&entries);
    if (code == ERR_NOMEM || code == ERR_BUG)
        return err_set(err, code, "%s", asked.text);
    return ERR_OK;
}

enum err_code
directory_lookup_find(struct directory_lookup *lookup, const char *const *addresses, size_t count,
                      int64_t deadline_ms, struct directory_found *out, struct err *err)
{
    const char **texts = calloc(count + 1, sizeof *texts);
    size_t *index = calloc(count + 1, sizeof *index);
    enum err_code code = ERR_OK;

    for (size_t i = 0; i < count; i++)
        out[i] = (struct directory_found){ .directory = lookup->directory_count };
    if (!texts || !index)
        code = err_set(err, ERR_NOMEM, "no memory to look addresses up");
    for (size_t d = 0; code == ERR_OK && d < lookup->directory_count; d++) {
        struct directory_questions questions = { .list = texts, .deadline_ms = deadline_ms };

        for (size_t i = 0; i < count; i++) {
            if (out[i].entry)
                continue;
            texts[questions.count] = addresses[i];
            index[questions.count++] = i;
        }
        if (questions.count > 0)
            code = lookup_find_in(lookup, d, &questions, index, out, err);
    }
    for (size_t i = 0; code != ERR_OK && i < count; i++)
        directory_entry_free(&out[i].entry);
    free(texts);
    free(index);
    return code;
}

enum err_code
directory_lookup_find_dn(struct directory_lookup *lookup, const char *dn, int64_t deadline_ms,
                         struct directory_found *out, struct err *err)
{
    const struct directory_questions questions = { .list = &dn,
                                                   .count = 1,
                                                   .deadline_ms = deadline_ms };
    struct err temp = ERR_INIT;

    *out = (struct directory_found){ .directory = lookup->directory_count };
    for (size_t i = 0; !out->entry && i < lookup->directory_count; i++) {
        struct directory_entries entries = { .list = NULL };
        struct err mine = ERR_INIT;
        enum err_code code =
            directory_find_dns(lookup->directories[i], &questions, &entries, &mine);

        if (code == ERR_OK && entries.count == 1 && entries.list[0]) {
            out->entry = entries.list[0];
            out->directory = i;
            entries.list[0] = NULL;
        }
        directory_entries_free(&entries);
        if (code == ERR_NOMEM || code == ERR_BUG)
            return err_set(err, code, "%s", mine.text);
        if (code != ERR_OK && code != ERR_NOTFOUND)
            (void)err_set(&temp, ERR_TEMP, "%s", mine.text);
    }
    if (out->entry)
        return ERR_OK;
    if (temp.code != ERR_OK)
        return err_set_reason(err, ERR_TEMP, "directory-unreachable", "%s", temp.text);
    return err_set(err, ERR_NOTFOUND, "%.200s is in no directory", dn);
}

enum err_code
directory_lookup_expand(struct directory_lookup *lookup, const struct directory_group_args *args,
                        struct directory_entry *entry, struct directory_group **out,
                        struct err *err)
{
    struct directory_group_args mine = *args;

    mine.directories = lookup->directories;
    mine.directory_count = lookup->directory_count;
    return directory_group_expand(&mine, entry, out, err);
}

enum err_code
directory_lookup_get_url(struct directory_lookup *lookup, struct span url, int64_t deadline_ms,
                         struct buf *out, struct err *err)
{
    struct err temp = ERR_INIT;

    for (size_t i = 0; i < lookup->directory_count; i++) {
        struct err mine = ERR_INIT;
        enum err_code code =
            directory_get_url(lookup->directories[i], url, deadline_ms, out, &mine);

        code = lookup_go_on(code, &mine, &temp, err);
        if (code != ERR_NOTFOUND)
            return code;
    }
    if (temp.code != ERR_OK)
        return err_set_reason(err, ERR_TEMP, "directory-unreachable", "%s", temp.text);
    return err_set(err, ERR_NOTFOUND, "it is in no directory");
}

void
directory_lookup_get_counts(const struct directory_lookup *lookup, size_t index, const char **name,
                            struct directory_counts *out)
{
    *name = lookup->directories[index]->name;
    directory_get_counts(lookup->directories[index], out);
}

enum err_code
directory_lookup_send_as(struct directory_lookup *lookup, const struct directory_entry *person,
                         const char *address, int64_t deadline_ms, struct err *err)
{
    struct err temp = ERR_INIT;

    for (size_t i = 0; i < lookup->directory_count; i++) {
        struct err mine = ERR_INIT;
        enum err_code code =
            directory_find_send_as(lookup->directories[i], person, address, deadline_ms, &mine);

        code = lookup_go_on(code, &mine, &temp, err);
        if (code != ERR_NOTFOUND)
            return code;
    }
    if (temp.code != ERR_OK)
        return err_set_reason(err, ERR_TEMP, "directory-unreachable", "%s", temp.text);
    return err_set(err, ERR_NOTFOUND, "no directory lets %.100s send as %.100s", person->dn,
                   address);
}
