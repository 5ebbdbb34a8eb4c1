/*
 * conf/params.def as data: what the parser, the dump, the sample and the manual walk over.
 * Constant; any thread.
 */
#ifndef CONF_TABLE_H
#define CONF_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum conf_kind {
    CONF_KIND_GLOBAL,
    CONF_KIND_RULE,
    CONF_KIND_USER, /* these three: struct conf_scope */
    CONF_KIND_DOMAIN,
    CONF_KIND_DEFAULTS, /* has no name */
    CONF_KIND_TRUST,
    CONF_KIND_DIRECTORY
};
enum { CONF_KINDS = 7 };

enum conf_type {
    CONF_TYPE_GROUP_TITLE, /* not a parameter: the title of those that follow, in `meaning` */
    CONF_TYPE_BOOL,
    CONF_TYPE_COUNT,
    CONF_TYPE_DURATION,
    CONF_TYPE_SIZE,
    CONF_TYPE_MODE,
    CONF_TYPE_ENUM,
    /* One string. */
    CONF_TYPE_STRING,
    CONF_TYPE_WORD,
    CONF_TYPE_HOST,
    CONF_TYPE_USER,
    CONF_TYPE_GROUP,
    CONF_TYPE_PATH,
    CONF_TYPE_FILE,
    CONF_TYPE_FILE_SECRET,
    CONF_TYPE_FOLDER_PRIVATE,
    CONF_TYPE_FOLDER_DROP,
    CONF_TYPE_SOCKET,
    CONF_TYPE_ADDRESS,
    /* Many strings. */
    CONF_TYPE_LIST,
    CONF_TYPE_PATHS,
    CONF_TYPE_PATTERNS,
    CONF_TYPE_ADDRESSES,
    CONF_TYPE_DOMAINS,
    CONF_TYPE_WORDS,
    CONF_TYPE_HEADERS,
    CONF_TYPE_NETWORKS,
};

struct conf_param {
    const char *name; /* NULL for a title */
    enum conf_type type;
    const char *words;
    const char *preset; /* as it would stand in the file; "" none; CONF_REQUIRED */
    uint64_t min;
    uint64_t max;
    const char *meaning;
    size_t offset; /* of the field in its struct */
};

#define CONF_REQUIRED "REQUIRED"

struct conf_table {
    const char *word; /* that opens the section; "" for the top of the file */
    const char *meaning;
    const char *example; /* a name for the sample */
    const struct conf_param *params;
    size_t count;
    size_t settings; /* the first row of those that rule, user, domain and defaults have in common,
                        in the same order; count: none */
    size_t size;     /* of the struct */
    size_t sections; /* most of this kind */
};

/* user, domain or defaults? */
bool conf_table_is_scope(enum conf_kind kind);

const struct conf_table *conf_table_get(enum conf_kind kind);

/* The row called `name`, or NULL. */
const struct conf_param *conf_table_find(const struct conf_table *table, const char *name);

#endif
