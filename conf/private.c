#include "conf/private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/value.h"

const char *
conf_section_name(const struct conf_section *section)
{
    /* `name` is the first member of every section's struct but the top's. */
    return section->kind == CONF_KIND_GLOBAL ? "" : *(char *const *)section->base;
}

char *
conf_section_title(const struct conf_section *section, char out[CONF_TITLE_SIZE])
{
    const char *word = conf_table_get(section->kind)->word;

    if (section->kind == CONF_KIND_GLOBAL || section->kind == CONF_KIND_DEFAULTS)
        snprintf(out, CONF_TITLE_SIZE, "%s", word);
    else
        snprintf(out, CONF_TITLE_SIZE, "%s \"%s\"", word, conf_section_name(section));
    return out;
}

static void
conf_section_free(const struct conf_section *section)
{
    const struct conf_table *table = conf_table_get(section->kind);

    for (size_t i = 0; section->base && i < table->count; i++)
        if (table->params[i].name)
            conf_value_free(&table->params[i], section->base);
    if (section->base && section->kind != CONF_KIND_GLOBAL)
        free(*(char **)section->base);
    free(section->origins);
    free(section->given);
}

struct conf_section *
conf_private_add(struct conf *conf, enum conf_kind kind, char *name)
{
    const struct conf_table *table = conf_table_get(kind);
    struct conf_private *private = conf->private;
    struct conf_section *list, *section;
    bool good = true;

    list = realloc(private->sections, (private->section_count + 1) * sizeof *list);
    if (!list) {
        free(name);
        return NULL;
    }
    private->sections = list;
    section = &list[private->section_count++];
    *section = (struct conf_section){ .kind = kind };
    section->base = kind == CONF_KIND_GLOBAL ? (void *)&conf->global : calloc(1, table->size);
    section->origins = calloc(table->count, sizeof *section->origins);
    if (section->base && kind != CONF_KIND_GLOBAL)
        *(char **)section->base = name;
    else
        free(name);
    for (size_t i = 0; section->base && i < table->count; i++)
        if (table->params[i].name)
            good = good && conf_value_init(&table->params[i], section->base);
    return good && section->base && section->origins ? section : NULL;
}

struct conf *
conf_private_new(void)
{
    struct conf *conf = calloc(1, sizeof *conf);

    if (!conf)
        return NULL;
    conf->private = calloc(1, sizeof *conf->private);
    if (!conf->private) {
        free(conf);
        return NULL;
    }
    atomic_init(&conf->private->references, 1);
    if (!conf_private_add(conf, CONF_KIND_GLOBAL, NULL))
        conf_free(&conf);
    return conf;
}

/* What was given, for conf/scope: one flag for each row. */
static bool
conf_section_finish(struct conf_section *section)
{
    const struct conf_table *table = conf_table_get(section->kind);

    section->given = calloc(table->count, sizeof *section->given);
    for (size_t i = 0; section->given && i < table->count; i++)
        section->given[i] = section->origins[i].line > 0;
    if (section->kind == CONF_KIND_RULE)
        ((struct conf_rule *)section->base)->given = section->given;
    else if (conf_table_is_scope(section->kind))
        ((struct conf_scope *)section->base)->given = section->given;
    return section->given != NULL;
}

/* A setting of a sender, given in a section of his? */
static bool
conf_section_gives(const struct conf_section *section)
{
    const struct conf_table *table = conf_table_get(section->kind);

    if (section->kind != CONF_KIND_USER && section->kind != CONF_KIND_DOMAIN)
        return false;
    for (size_t i = table->settings; i < table->count; i++)
        if (section->given[i])
            return true;
    return false;
}

static bool
conf_section_must(const struct conf_section *section)
{
    return (section->kind == CONF_KIND_USER || section->kind == CONF_KIND_DOMAIN) &&
           ((const struct conf_scope *)section->base)->must_encrypt;
}

static int
conf_scope_compare(const void *a, const void *b)
{
    const struct conf_scope *const *left = a, *const *right = b;

    return strcasecmp((*left)->name, (*right)->name);
}

static const struct conf_scope **
conf_scope_sort(const struct conf_scope *scopes, size_t count)
{
    const struct conf_scope **list = calloc(count + 1, sizeof *list);

    for (size_t i = 0; list && i < count; i++)
        list[i] = &scopes[i];
    if (list)
        qsort(list, count, sizeof *list, conf_scope_compare);
    return list;
}

enum err_code
conf_private_finish(struct conf *conf, struct err *err)
{
    struct conf_private *private = conf->private;
    struct {
        void **list;
        size_t *count;
    } arrays[CONF_KINDS] = {
        [CONF_KIND_RULE] = { (void **)&conf->rules, &conf->rule_count },
        [CONF_KIND_USER] = { (void **)&conf->users, &conf->user_count },
        [CONF_KIND_DOMAIN] = { (void **)&conf->domains, &conf->domain_count },
        [CONF_KIND_DEFAULTS] = { (void **)&conf->defaults, &conf->defaults_count },
        [CONF_KIND_TRUST] = { (void **)&conf->trusts, &conf->trust_count },
        [CONF_KIND_DIRECTORY] = { (void **)&conf->directories, &conf->directory_count },
    };

    /* All memory first: from the first move on nothing may fail. */
    for (int kind = CONF_KIND_RULE; kind < CONF_KINDS; kind++) {
        *arrays[kind].list =
            calloc(private->section_count, conf_table_get((enum conf_kind)kind)->size);
        if (!*arrays[kind].list)
            return err_set(err, ERR_NOMEM, "out of memory");
    }
    for (size_t i = 0; i < private->section_count; i++) {
        if (!conf_section_finish(&private->sections[i]))
            return err_set(err, ERR_NOMEM, "out of memory");
        private->gives |= conf_section_gives(&private->sections[i]);
        private->must |= conf_section_must(&private->sections[i]);
    }
    for (size_t i = 0; i < private->section_count; i++) {
        struct conf_section *section = &private->sections[i];
        size_t size = conf_table_get(section->kind)->size;
        void *place;

        if (section->kind == CONF_KIND_GLOBAL)
            continue;
        place = (char *)*arrays[section->kind].list + (*arrays[section->kind].count)++ * size;
        memcpy(place, section->base, size);
        free(section->base);
        section->base = place;
    }
    private->users = conf_scope_sort(conf->users, conf->user_count);
    private->domains = conf_scope_sort(conf->domains, conf->domain_count);
    if (!private->users || !private->domains)
        return err_set(err, ERR_NOMEM, "out of memory");
    return ERR_OK;
}

struct conf *
conf_add1(struct conf *conf)
{
    atomic_fetch_add_explicit(&conf->private->references, 1, memory_order_relaxed);
    return conf;
}

/* Sections own their struct until conf_private_finish has moved it into an array. */
static bool
conf_is_in_array(const struct conf *conf, const void *base)
{
    const char *p = base;
    const char *const lists[] = { (const char *)conf->rules,       (const char *)conf->trusts,
                                  (const char *)conf->directories, (const char *)conf->users,
                                  (const char *)conf->domains,     (const char *)conf->defaults };
    const size_t sizes[] = { conf->rule_count * sizeof *conf->rules,
                             conf->trust_count * sizeof *conf->trusts,
                             conf->directory_count * sizeof *conf->directories,
                             conf->user_count * sizeof *conf->users,
                             conf->domain_count * sizeof *conf->domains,
                             conf->defaults_count * sizeof *conf->defaults };

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (lists[i] && p >= lists[i] && p < lists[i] + sizes[i])
            return true;
    return false;
}

void
conf_free(struct conf **pointer)
{
    struct conf *conf = pointer ? *pointer : NULL;
    struct conf_private *private;

    if (!conf)
        return;
    *pointer = NULL;
    private = conf->private;
    if (atomic_fetch_sub_explicit(&private->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < private->section_count; i++) {
        struct conf_section *section = &private->sections[i];
        conf_section_free(section);
        if (section->kind != CONF_KIND_GLOBAL && !conf_is_in_array(conf, section->base))
            free(section->base);
    }
    for (size_t i = 0; i < private->file_count; i++)
        free(private->files[i]);
    free(private->files);
    free(private->sections);
    free(private->users);
    free(private->domains);
    free(private);
    free(conf->rules);
    free(conf->trusts);
    free(conf->directories);
    free(conf->users);
    free(conf->domains);
    free(conf->defaults);
    free(conf);
}
