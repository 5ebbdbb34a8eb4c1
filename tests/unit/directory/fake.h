/*
 * A directory as a test wants it: entries in memory, found by DN, address, name or URL, with a
 * count of the waits that a server behind a network would cost, and ways to fail.
 *
 * A pipelined batch is one wait, and one more for every 500 questions.
 */
#ifndef TESTS_UNIT_DIRECTORY_FAKE_H
#define TESTS_UNIT_DIRECTORY_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "directory/directory.h"
#include "directory/dn.h"
#include "util/clock.h"

enum { FAKE_NAME = 200 };

struct fake_entry {
    enum directory_kind kind;
    char dn[FAKE_NAME], address[FAKE_NAME], name[FAKE_NAME], url[FAKE_NAME];
    char **dns, **addresses, **urls; /* of a group; NULL-terminated */
    size_t dn_count, address_count, url_count;
};

struct fake {
    struct directory head;
    struct fake_entry *entries;
    size_t count, cap;
    size_t *order; /* by DN */
    size_t waits, questions, largest;
    size_t calls[3];    /* DNs, addresses, URLs */
    enum err_code code; /* what every question ends with */
    size_t fail_at;     /* the call that fails with it, counted from 1; 0: all */
    bool is_slow;       /* ... after its deadline */
};

static inline struct fake *
fake_new(const char *name)
{
    struct fake *fake = calloc(1, sizeof *fake);

    assert_non_null(fake);
    fake->head.name = strdup(name);
    return fake;
}

static inline struct fake_entry *
fake_add(struct fake *fake, enum directory_kind kind, const char *dn, const char *address)
{
    struct fake_entry *entry;

    if (fake->count == fake->cap) {
        fake->cap = fake->cap ? 2 * fake->cap : 16;
        fake->entries = realloc(fake->entries, fake->cap * sizeof *fake->entries);
        assert_non_null(fake->entries);
    }
    entry = &fake->entries[fake->count++];
    *entry = (struct fake_entry){ .kind = kind };
    snprintf(entry->dn, sizeof entry->dn, "%s", dn);
    snprintf(entry->address, sizeof entry->address, "%s", address ? address : "");
    free(fake->order);
    fake->order = NULL;
    return entry;
}

static inline void
fake_append(char ***list, size_t *count, const char *text)
{
    if ((*count & (*count + 1)) == 0) {
        *list = realloc(*list, (2 * *count + 2) * sizeof **list);
        assert_non_null(*list);
    }
    (*list)[(*count)++] = strdup(text);
    (*list)[*count] = NULL;
}

/* A member of the last group with that DN: what looks like a URL or an address is one. */
static inline void
fake_member(struct fake *fake, const char *group, const char *member)
{
    for (size_t i = fake->count; i > 0; i--) {
        struct fake_entry *entry = &fake->entries[i - 1];

        if (strcmp(entry->dn, group) != 0)
            continue;
        if (strncmp(member, "ldap:", 5) == 0)
            fake_append(&entry->urls, &entry->url_count, member);
        else if (strchr(member, '='))
            fake_append(&entry->dns, &entry->dn_count, member);
        else
            fake_append(&entry->addresses, &entry->address_count, member);
        return;
    }
    fail_msg("no group %s", group);
}

static inline char **
fake_copy(char *const *list, size_t count)
{
    char **copy = count ? calloc(count + 1, sizeof *copy) : NULL;

    for (size_t i = 0; i < count; i++)
        copy[i] = strdup(list[i]);
    return copy;
}

static inline struct directory_entry *
fake_entry_new(const struct fake_entry *from)
{
    struct directory_entry *entry = calloc(1, sizeof *entry);

    assert_non_null(entry);
    entry->kind = from->kind;
    entry->dn = strdup(from->dn);
    entry->primary = from->address[0] ? strdup(from->address) : NULL;
    entry->addresses = calloc(2, sizeof *entry->addresses);
    entry->addresses[0] = from->address[0] ? strdup(from->address) : NULL;
    entry->member_dns = fake_copy(from->dns, from->dn_count);
    entry->member_addresses = fake_copy(from->addresses, from->address_count);
    entry->member_urls = fake_copy(from->urls, from->url_count);
    return entry;
}

static inline enum err_code
fake_begin(struct fake *fake, int kind, const struct directory_questions *questions,
           struct err *err)
{
    size_t call = ++fake->calls[kind];

    call = fake->calls[0] + fake->calls[1] + fake->calls[2];
    fake->waits += 1 + questions->count / DIRECTORY_LIMIT_BATCH;
    fake->questions += questions->count;
    if (questions->count > fake->largest)
        fake->largest = questions->count;
    if (fake->code == ERR_OK || (fake->fail_at && fake->fail_at != call))
        return ERR_OK;
    while (fake->is_slow && clock_monotonic_ms() < questions->deadline_ms)
        ;
    return err_set(err, fake->code, "the server does not answer");
}

static inline int
fake_compare(const void *a, const void *b, void *context)
{
    const struct fake *fake = context;

    return strcasecmp(fake->entries[*(const size_t *)a].dn, fake->entries[*(const size_t *)b].dn);
}

static inline const struct fake_entry *
fake_find(struct fake *fake, const char *dn)
{
    size_t low = 0, high = fake->count;

    if (!fake->order) {
        fake->order = calloc(fake->count, sizeof *fake->order);
        for (size_t i = 0; i < fake->count; i++)
            fake->order[i] = i;
        qsort_r(fake->order, fake->count, sizeof *fake->order, fake_compare, fake);
    }
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcasecmp(fake->entries[fake->order[middle]].dn, dn);

        if (order == 0)
            return &fake->entries[fake->order[middle]];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static inline enum err_code
fake_find_dns(struct directory *directory, const struct directory_questions *questions,
              struct directory_entries *out, struct err *err)
{
    struct fake *fake = (struct fake *)directory;
    enum err_code code = fake_begin(fake, 0, questions, err);

    for (size_t i = 0; code == ERR_OK && i < questions->count; i++) {
        char *form = directory_dn_get(questions->list[i]);
        const struct fake_entry *found = form ? fake_find(fake, form) : NULL;

        free(form);
        code = directory_entries_append(out, found ? fake_entry_new(found) : NULL, err);
    }
    return code;
}

static inline enum err_code
fake_find_addresses(struct directory *directory, const struct directory_questions *questions,
                    struct directory_entries *out, struct err *err)
{
    struct fake *fake = (struct fake *)directory;
    enum err_code code = fake_begin(fake, 1, questions, err);

    for (size_t i = 0; code == ERR_OK && i < questions->count; i++) {
        const struct fake_entry *found = NULL;

        for (size_t k = 0; !found && k < fake->count; k++) {
            const struct fake_entry *entry = &fake->entries[k];

            if ((entry->address[0] && strcasecmp(entry->address, questions->list[i]) == 0) ||
                (entry->name[0] && strcmp(entry->name, questions->list[i]) == 0))
                found = entry;
        }
        code = directory_entries_append(out, found ? fake_entry_new(found) : NULL, err);
    }
    return code;
}

static inline enum err_code
fake_find_urls(struct directory *directory, const struct directory_questions *questions,
               size_t limit, struct directory_entries *out, struct err *err)
{
    struct fake *fake = (struct fake *)directory;
    enum err_code code = fake_begin(fake, 2, questions, err);

    for (size_t i = 0; code == ERR_OK && i < questions->count; i++) {
        if (strstr(questions->list[i], "malformed"))
            return err_set(err, ERR_PERM, "not a URL");
        for (size_t k = 0; code == ERR_OK && k < fake->count; k++) {
            if (strcmp(fake->entries[k].url, questions->list[i]) != 0)
                continue;
            if (out->count == limit)
                return err_set(err, ERR_LIMIT, "too many");
            code = directory_entries_append(out, fake_entry_new(&fake->entries[k]), err);
            out->list[out->count - 1]->question = i;
        }
    }
    return code;
}

static inline enum err_code
fake_find_login(struct directory *directory, const char *login, int64_t deadline_ms,
                struct directory_entry **out, struct err *err)
{
    (void)directory, (void)deadline_ms, (void)out;
    return err_set(err, ERR_NOTFOUND, "%s is not here", login);
}

static inline void
fake_list_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

static inline void
fake_free(struct directory *directory)
{
    struct fake *fake = (struct fake *)directory;

    for (size_t i = 0; i < fake->count; i++) {
        fake_list_free(fake->entries[i].dns);
        fake_list_free(fake->entries[i].addresses);
        fake_list_free(fake->entries[i].urls);
    }
    free(fake->entries);
    free(fake->order);
    free(fake->head.name);
    free(fake);
}

static const struct directory_ops fake_ops = { .name = "fake",
                                               .find_addresses = fake_find_addresses,
                                               .find_dns = fake_find_dns,
                                               .find_urls = fake_find_urls,
                                               .find_login = fake_find_login,
                                               .free = fake_free };

#endif
