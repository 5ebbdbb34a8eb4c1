#include "conf/scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/parser.h"
#include "conf/private.h"

/* ---- names --------------------------------------------------------------------------------------
 */

/* They are compared with addresses as mime/address formats them, octet by octet but for the case of
 * ASCII letters: what that would spell in another way is refused here, since a section that never
 * holds would leave in plain what it says must be encrypted. */
static bool
scope_is_plain(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~' || strchr("\"\\()<>[],;:", *text))
            return false;
    return true;
}

/* Letters, digits, '.', '-', '_', in labels. */
static bool
scope_is_domain(const char *text)
{
    size_t n = strlen(text);

    if (n == 0 || n > 253 || text[0] == '.' || text[n - 1] == '.' || strstr(text, ".."))
        return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == n;
}

bool
conf_scope_check_name(enum conf_kind kind, const struct conf_word *name, struct conf_report *report)
{
    const char *text = name->text, *at = strchr(text, '@');
    bool wild = kind == CONF_KIND_DOMAIN && strncmp(text, "*.", 2) == 0;

    if (kind == CONF_KIND_DEFAULTS)
        return true;
    if (kind == CONF_KIND_USER && at && at != text && at - text <= 255 && !strpbrk(text, "*?") &&
        scope_is_plain(text) && scope_is_domain(at + 1))
        return true;
    if (kind == CONF_KIND_DOMAIN && scope_is_domain(text + (wild ? 2 : 0)))
        return true;
    if (kind == CONF_KIND_USER)
        conf_report_set(report, &name->at,
                        "user \"%s\": no address in ASCII without quotes and wildcards; such as "
                        "alice@example.org (domains with A-labels; a rule takes all others)",
                        text);
    else
        conf_report_set(report, &name->at,
                        "domain \"%s\": no domain with A-labels; such as example.org, or "
                        "*.example.org for its subdomains",
                        text);
    return false;
}

static int
scope_compare(const void *key, const void *element)
{
    const struct conf_scope *const *scope = element;

    return strcasecmp(key, (*scope)->name);
}

static const struct conf_scope *
scope_find(const struct conf_scope *const *list, size_t count, const char *name)
{
    const struct conf_scope *const *found =
        count > 0 ? bsearch(name, list, count, sizeof *list, scope_compare) : NULL;

    return found ? *found : NULL;
}

struct conf_scopes
conf_scope_find(const struct conf *conf, const char *address)
{
    const struct conf_private *private = conf->private;
    const char *at = address ? strrchr(address, '@') : NULL;
    struct conf_scopes scopes = { .user = NULL };
    char parent[256];

    if (!at || (conf->user_count == 0 && conf->domain_count == 0))
        return scopes;
    scopes.user = scope_find(private->users, conf->user_count, address);
    scopes.domain = scope_find(private->domains, conf->domain_count, at + 1);
    for (const char *dot = strchr(at, '.'); !scopes.domain && dot && conf->domain_count > 0;
         dot = strchr(dot + 1, '.')) {
        if (snprintf(parent, sizeof parent, "*%s", dot) < (int)sizeof parent)
            scopes.domain = scope_find(private->domains, conf->domain_count, parent);
    }
    return scopes;
}

/* must_encrypt is the first row of the table: the only one before the settings. */
bool
conf_scope_must_encrypt(const struct conf_scopes *scopes)
{
    if (scopes->user && scopes->user->given[0])
        return scopes->user->must_encrypt;
    return scopes->domain && scopes->domain->must_encrypt;
}

/* ---- settings -----------------------------------------------------------------------------------
 */

struct scope_layer {
    const struct conf_scope *scope; /* NULL: there is none */
    const struct conf_table *table;
};

enum { SCOPE_LAYERS = 3 };

static void
scope_layers(const struct conf *conf, const struct conf_scopes *scopes,
             struct scope_layer layers[SCOPE_LAYERS])
{
    layers[0] = (struct scope_layer){ scopes->user, conf_table_get(CONF_KIND_USER) };
    layers[1] = (struct scope_layer){ scopes->domain, conf_table_get(CONF_KIND_DOMAIN) };
    layers[2] = (struct scope_layer){ conf->defaults_count > 0 ? conf->defaults : NULL,
                                      conf_table_get(CONF_KIND_DEFAULTS) };
}

/* The layer that gives setting `index` (0 is the first); NULL: none does. */
static const struct scope_layer *
scope_find_layer(const struct scope_layer layers[SCOPE_LAYERS], size_t index)
{
    for (size_t i = 0; i < SCOPE_LAYERS; i++)
        if (layers[i].scope && layers[i].scope->given[layers[i].table->settings + index])
            return &layers[i];
    return NULL;
}

bool
conf_scope_gives(const struct conf *conf)
{
    return conf->private && conf->private->gives;
}

bool
conf_scope_must(const struct conf *conf)
{
    return conf->private && conf->private->must;
}

bool
conf_scope_merge(const struct conf *conf, const struct conf_rule *rule,
                 const struct conf_scopes *scopes, struct conf_rule *out)
{
    const struct conf_table *rules = conf_table_get(CONF_KIND_RULE);
    struct scope_layer layers[SCOPE_LAYERS];
    bool changed = false;

    *out = *rule;
    if (!scopes->user && !scopes->domain && conf->defaults_count == 0)
        return false;
    scope_layers(conf, scopes, layers);
    for (size_t i = rules->settings; i < rules->count; i++) {
        const struct scope_layer *layer;

        if (rule->given && rule->given[i])
            continue;
        layer = scope_find_layer(layers, i - rules->settings);
        if (!layer)
            continue;
        conf_value_copy(&layer->table->params[layer->table->settings + i - rules->settings],
                        layer->scope, &rules->params[i], out);
        changed = true;
    }
    return changed;
}

void
conf_scope_each(const struct conf *conf, const struct conf_rule *rule,
                const struct conf_scopes *scopes, conf_scope_each_fn *each, void *context)
{
    const struct conf_table *rules = conf_table_get(CONF_KIND_RULE);
    struct scope_layer layers[SCOPE_LAYERS];
    struct conf_rule merged;

    (void)conf_scope_merge(conf, rule, scopes, &merged);
    scope_layers(conf, scopes, layers);
    for (size_t i = rules->settings; i < rules->count; i++) {
        bool own = rule->given && rule->given[i];
        const struct scope_layer *layer =
            own ? NULL : scope_find_layer(layers, i - rules->settings);
        struct buf value = BUF_INIT(CONF_FILE_LIMIT_BYTES);
        struct err err = ERR_INIT;
        char from[CONF_TITLE_SIZE] = "rule";

        if (!own && !layer)
            continue;
        if (layer)
            snprintf(from, sizeof from, *layer->scope->name ? "%s \"%.100s\"" : "%s",
                     layer->table->word, layer->scope->name);
        if (conf_value_format(&rules->params[i], &merged, &value, &err) == ERR_OK)
            each(context, rules->params[i].name, buf_str(&value), from);
        buf_free(&value);
    }
}

const struct conf_section *
conf_scope_find_shown(const struct conf *conf, const struct conf_section *section, size_t *row)
{
    const struct conf_private *private = conf->private;
    size_t first = conf_table_get(CONF_KIND_RULE)->settings;

    for (size_t i = 1; *row >= first && i < private->section_count; i++) {
        const struct conf_section *other = &private->sections[i];

        if (other->kind == CONF_KIND_DEFAULTS && other->origins[*row - first].line > 0) {
            *row -= first;
            return other;
        }
    }
    return section;
}
