#include "conf/table.h"

#include <string.h>

#include "conf/conf.h"

#define CONF_COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#define CONF_ROW(owner, f, t, w, d, lo, hi, text) \
    { .name = #f,                                 \
      .type = CONF_TYPE_##t,                      \
      .words = (w),                               \
      .preset = (d),                              \
      .min = (lo),                                \
      .max = (hi),                                \
      .meaning = (text),                          \
      .offset = offsetof(struct owner, f) },

static const struct conf_param conf_global_params[] = {
#define CONF_GLOBAL_GROUP(title) { .type = CONF_TYPE_GROUP_TITLE, .meaning = (title) },
#define CONF_GLOBAL(f, ...) CONF_ROW(conf_global, f, __VA_ARGS__)
#include "conf/params.def"
};

static const struct conf_param conf_rule_params[] = {
#define CONF_MATCH(f, ...) CONF_ROW(conf_rule, f, __VA_ARGS__)
#include "conf/params.def"
#define CONF_RULE(f, ...) CONF_ROW(conf_rule, f, __VA_ARGS__)
#include "conf/params.def"
};

/* user and domain; defaults begins with the first setting. */
static const struct conf_param conf_scope_params[] = {
#define CONF_SCOPE(f, ...) CONF_ROW(conf_scope, f, __VA_ARGS__)
#include "conf/params.def"
#define CONF_RULE(f, ...) CONF_ROW(conf_scope, f, __VA_ARGS__)
#include "conf/params.def"
};

#define CONF_ONE(...) +1

enum {
    CONF_MATCHES = 0
#define CONF_MATCH(...) CONF_ONE()
#include "conf/params.def"
    ,
    CONF_SCOPES = 0
#define CONF_SCOPE(...) CONF_ONE()
#include "conf/params.def"
};

static const struct conf_param conf_trust_params[] = {
#define CONF_TRUST(f, ...) CONF_ROW(conf_trust, f, __VA_ARGS__)
#include "conf/params.def"
};

static const struct conf_param conf_directory_params[] = {
#define CONF_DIRECTORY(f, ...) CONF_ROW(conf_directory, f, __VA_ARGS__)
#include "conf/params.def"
};

static const struct conf_table conf_tables[CONF_KINDS] = {
    [CONF_KIND_GLOBAL] = {
        .word = "",
        .meaning = "",
        .params = conf_global_params,
        .count = CONF_COUNT_OF(conf_global_params),
        .settings = CONF_COUNT_OF(conf_global_params),
        .size = sizeof(struct conf_global),
        .sections = 1,
    },
    [CONF_KIND_RULE] = {
        .word = "rule",
        .meaning = "Rules are tried in the order they stand in; the first one that matches "
                   "decides. What it leaves open comes from the section user of the sender, then "
                   "from that of the sender's domain, then from defaults, then it is the default "
                   "given here.",
        .example = "everyone",
        .params = conf_rule_params,
        .count = CONF_COUNT_OF(conf_rule_params),
        .settings = CONF_MATCHES,
        .size = sizeof(struct conf_rule),
        .sections = 1000,
    },
    [CONF_KIND_USER] = {
        .word = "user",
        .meaning = "Settings for one address, in ASCII and without quotes: as a sender, where the "
                   "rule leaves a parameter open, every parameter of a rule from smime on; as a "
                   "recipient, what follows.",
        .example = "alice@example.org",
        .params = conf_scope_params,
        .count = CONF_COUNT_OF(conf_scope_params),
        .settings = CONF_SCOPES,
        .size = sizeof(struct conf_scope),
        .sections = 10000,
    },
    [CONF_KIND_DOMAIN] = {
        .word = "domain",
        .meaning = "The same for a domain, with A-labels; *.example.org is all of its subdomains. "
                   "The closest one counts, and a section user before it.",
        .example = "example.org",
        .params = conf_scope_params,
        .count = CONF_COUNT_OF(conf_scope_params),
        .settings = CONF_SCOPES,
        .size = sizeof(struct conf_scope),
        .sections = 10000,
    },
    [CONF_KIND_DEFAULTS] = {
        .word = "defaults",
        .meaning = "Settings for all senders where nothing else gives them: every parameter of a "
                   "rule from smime on. The section has no name.",
        .example = "",
        .params = conf_scope_params + CONF_SCOPES,
        .count = CONF_COUNT_OF(conf_scope_params) - CONF_SCOPES,
        .settings = 0,
        .size = sizeof(struct conf_scope),
        .sections = 1,
    },
    [CONF_KIND_TRUST] = {
        .word = "trust",
        .meaning = "A trust set says whose certificates are believed. Rules name it; the one "
                   "called \"default\" serves those that name none.",
        .example = "default",
        .params = conf_trust_params,
        .count = CONF_COUNT_OF(conf_trust_params),
        .settings = CONF_COUNT_OF(conf_trust_params),
        .size = sizeof(struct conf_trust),
        .sections = 100,
    },
    [CONF_KIND_DIRECTORY] = {
        .word = "directory",
        .meaning = "Directories know people, groups and certificates; they are asked in the "
                   "order they stand in.",
        .example = "local",
        .params = conf_directory_params,
        .count = CONF_COUNT_OF(conf_directory_params),
        .settings = CONF_COUNT_OF(conf_directory_params),
        .size = sizeof(struct conf_directory),
        .sections = 100,
    },
};

bool
conf_table_is_scope(enum conf_kind kind)
{
    return kind == CONF_KIND_USER || kind == CONF_KIND_DOMAIN || kind == CONF_KIND_DEFAULTS;
}

const struct conf_table *
conf_table_get(enum conf_kind kind)
{
    return &conf_tables[kind];
}

const struct conf_param *
conf_table_find(const struct conf_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->params[i].name && strcmp(table->params[i].name, name) == 0)
            return &table->params[i];
    return NULL;
}
