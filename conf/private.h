/*
 * What a configuration holds beside its values: references, and where each value came from. Private
 * to conf/.
 */
#ifndef CONF_PRIVATE_H
#define CONF_PRIVATE_H

#include <stdatomic.h>

#include "conf/conf.h"
#include "conf/table.h"

/* A place in a file. line 0: the default. */
struct conf_origin {
    const char *file; /* borrowed from conf_private.files */
    unsigned line;
    unsigned column;
};

/* The top of the file (kind CONF_KIND_GLOBAL) or one section of it. */
struct conf_section {
    enum conf_kind kind;
    void *base; /* struct conf_global, conf_rule, ...; owned while it is read, then in the arrays */
    struct conf_origin at;
    struct conf_origin *origins; /* one per parameter of the table; owned */
    bool *given;                 /* the same, once all is read: it was given; owned */
};

struct conf_private {
    atomic_uint references;
    char **files;
    size_t file_count;
    struct conf_section *sections; /* in file order; the first is the top of the file */
    size_t section_count;
    bool gives; /* a section user or domain gives a setting of a sender */
    bool must;  /* a section user or domain says must_encrypt */
    const struct conf_scope **users, **domains; /* sorted by name, in ASCII lower case */
};

/* "" for the top and defaults, else the name in quotes of the file. */
const char *conf_section_name(const struct conf_section *section);

/* `rule "x"`, `defaults`; "" for the top. Returns `out`. */
enum { CONF_TITLE_SIZE = 352 };
char *conf_section_title(const struct conf_section *section, char out[CONF_TITLE_SIZE]);

/* A configuration of defaults with its global section. NULL when memory is exhausted. */
struct conf *conf_private_new(void);

/* A new section with its defaults; `name` is taken, also on failure. NULL when memory is exhausted.
 */
struct conf_section *conf_private_add(struct conf *conf, enum conf_kind kind, char *name);

/* Moves the sections into conf->rules, trusts and so on, and sorts users and domains. */
ERR_CHECKED enum err_code conf_private_finish(struct conf *conf, struct err *err);

#endif
