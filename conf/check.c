/*
 * What no single value shows: names that refer to sections, parameters that need others.
 */
#include <string.h>

#include "conf/parser.h"

/* Where a parameter of a section was given; where the section begins if it was not. */
static const struct conf_origin *
conf_check_origin(const struct conf_section *section, const char *name)
{
    const struct conf_table *table = conf_table_get(section->kind);
    const struct conf_param *param = conf_table_find(table, name);
    const struct conf_origin *origin = &section->origins[param - table->params];

    return origin->line > 0 ? origin : &section->at;
}

static void
conf_check_required(struct conf_report *report, const struct conf_section *section)
{
    const struct conf_table *table = conf_table_get(section->kind);

    for (size_t i = 0; i < table->count; i++) {
        const struct conf_param *param = &table->params[i];
        if (param->name && strcmp(param->preset, CONF_REQUIRED) == 0 &&
            section->origins[i].line == 0)
            conf_report_set(report, &section->at, "%s \"%s\" lacks \"%s\"; it wants %s",
                            table->word, conf_section_name(section), param->name,
                            conf_value_name(param->type));
    }
}

static bool
conf_check_given(const struct conf_section *section, const char *name)
{
    const struct conf_table *table = conf_table_get(section->kind);

    return section->origins[conf_table_find(table, name) - table->params].line > 0;
}

/* The section defaults, while sections own their structs; NULL: there is none. */
static const struct conf_section *
conf_check_defaults(const struct conf_parser *parser)
{
    const struct conf_private *private = parser->conf->private;

    for (size_t i = 1; i < private->section_count; i++)
        if (private->sections[i].kind == CONF_KIND_DEFAULTS)
            return &private->sections[i];
    return NULL;
}

/* The trust set of a rule, or of settings that name one. Every rule that touches S/MIME needs one:
 * it judges the signer's own certificate, the recipients', and those of inbound mail. */
static void
conf_check_trust(struct conf_parser *parser, const struct conf_section *section, const char *trust)
{
    const struct conf_private *private = parser->conf->private;
    const struct conf_origin *at = conf_check_origin(section, "trust");
    struct buf names = BUF_INIT(CONF_FILE_LIMIT_BYTES);
    enum err_code rc = ERR_OK;
    char near[64], title[CONF_TITLE_SIZE];

    conf_section_title(section, title);
    for (size_t i = 1; i < private->section_count && rc == ERR_OK; i++) {
        const char *name = conf_section_name(&private->sections[i]);

        if (private->sections[i].kind != CONF_KIND_TRUST)
            continue;
        if (strcmp(name, trust) == 0)
            goto out;
        rc = buf_appendf(&names, NULL, "%s|", name);
    }
    if (rc != ERR_OK)
        conf_report_set_nomem(&parser->report);
    else if (conf_report_find(buf_str(&names), trust, near, sizeof near))
        conf_report_set(&parser->report, at,
                        "%s needs trust \"%s\", which is not there; did you mean \"%s\"?", title,
                        trust, near);
    else
        conf_report_set(&parser->report, at,
                        "%s needs trust \"%s\", which is not there; add trust \"%s\" { "
                        "anchors = /path }",
                        title, trust, trust);
out:
    buf_free(&names);
}

static void
conf_check_rule(struct conf_parser *parser, const struct conf_section *section)
{
    const struct conf_section *defaults = conf_check_defaults(parser);
    const struct conf_scope *scope = defaults ? defaults->base : NULL;
    const struct conf_rule *rule = section->base;
    bool open = !conf_check_given(section, "trust") && scope && conf_check_given(defaults, "trust");

    if (rule->no_signing_certificate == CONF_NO_SIGNING_DOMAIN && rule->sign_as[0] == '\0' &&
        !(scope && scope->sign_as[0]))
        conf_report_set(&parser->report, conf_check_origin(section, "no_signing_certificate"),
                        "rule \"%s\": no_signing_certificate = domain needs sign_as; such as "
                        "sign_as = gateway@example.com",
                        rule->name);
    if (rule->cipher < rule->cipher_floor)
        conf_report_set(&parser->report, conf_check_origin(section, "cipher_floor"),
                        "rule \"%s\": cipher is below cipher_floor; raise cipher, too", rule->name);
    if (rule->size_under > 0 && rule->size_over >= rule->size_under)
        conf_report_set(&parser->report, conf_check_origin(section, "size_under"),
                        "rule \"%s\": no size is over size_over and under size_under", rule->name);
    for (size_t i = 0; rule->sender_group[i]; i++)
        if (!strpbrk(rule->sender_group[i], "@="))
            conf_report_set(&parser->report, conf_check_origin(section, "sender_group"),
                            "rule \"%s\": sender_group = %s: neither an address nor a "
                            "distinguished name; such as staff@example.com",
                            rule->name, rule->sender_group[i]);
    if (rule->smime)
        conf_check_trust(parser, section, open ? scope->trust : rule->trust);
}

/* Settings: what they give has to be usable in any rule. */
static void
conf_check_scope(struct conf_parser *parser, const struct conf_section *section)
{
    const struct conf_section *defaults = conf_check_defaults(parser);
    const struct conf_scope *scope = section->base, *last = defaults ? defaults->base : scope;
    char title[CONF_TITLE_SIZE];

    if (scope->no_signing_certificate == CONF_NO_SIGNING_DOMAIN && !scope->sign_as[0] &&
        !last->sign_as[0])
        conf_report_set(&parser->report, conf_check_origin(section, "no_signing_certificate"),
                        "%s: no_signing_certificate = domain needs sign_as; such as sign_as = "
                        "gateway@example.com",
                        conf_section_title(section, title));
    if (conf_check_given(section, "trust"))
        conf_check_trust(parser, section, scope->trust);
}

/* A directory is a file or a list of servers; servers need to be told where to look and as whom. */
static void
conf_check_directory(struct conf_parser *parser, const struct conf_section *section)
{
    const struct conf_directory *directory = section->base;
    struct conf_report *report = &parser->report;
    bool has_file = directory->ldif[0] != '\0', has_servers = directory->servers[0] != NULL;

    if (has_file == has_servers)
        conf_report_set(report, &section->at,
                        "directory \"%s\" needs exactly one of ldif = /file and servers = "
                        "ldaps://host",
                        directory->name);
    if (has_servers && directory->base[0] == '\0')
        conf_report_set(report, conf_check_origin(section, "servers"),
                        "directory \"%s\" needs base, such as base = \"dc=example,dc=com\"",
                        directory->name);
    if (strcmp(directory->bind, "simple") == 0 &&
        (directory->bind_dn[0] == '\0' || directory->bind_password_file[0] == '\0'))
        conf_report_set(report, conf_check_origin(section, "bind"),
                        "directory \"%s\": bind = simple needs bind_dn and bind_password_file",
                        directory->name);
    if ((directory->tls_certificate[0] == '\0') != (directory->tls_key[0] == '\0'))
        conf_report_set(report, conf_check_origin(section, "tls_certificate"),
                        "directory \"%s\" needs tls_certificate and tls_key, or neither",
                        directory->name);
}

static bool
conf_check_lists(conf_list list, const char *name)
{
    for (; *list; list++) {
        if (strcmp(*list, name) == 0)
            return true;
    }
    return false;
}

/* The listener for copies is known by its name alone: that is of no other use. */
static void
conf_check_copies(struct conf_report *report, const struct conf_section *section)
{
    const struct conf_global *global = section->base;
    const char *name = global->resubmit_daemon;

    if (conf_check_lists(global->inbound_daemons, name) ||
        conf_check_lists(global->outbound_daemons, name))
        conf_report_set(report, conf_check_origin(section, "resubmit_daemon"),
                        "resubmit_daemon = %s is in inbound_daemons or outbound_daemons, too; the "
                        "listener for copies takes no other mail",
                        name);
}

void
conf_check(struct conf_parser *parser)
{
    const struct conf_private *private = parser->conf->private;

    for (size_t i = 0; i < private->section_count; i++) {
        const struct conf_section *section = &private->sections[i];

        if (parser->report.code == ERR_NOMEM)
            return;
        conf_check_required(&parser->report, section);
        if (section->kind == CONF_KIND_GLOBAL)
            conf_check_network(parser, section);
        if (section->kind == CONF_KIND_GLOBAL)
            conf_check_copies(&parser->report, section);
        if (section->kind == CONF_KIND_RULE)
            conf_check_rule(parser, section);
        if (conf_table_is_scope(section->kind))
            conf_check_scope(parser, section);
        if (section->kind == CONF_KIND_DIRECTORY)
            conf_check_directory(parser, section);
        if (!parser->in_memory)
            conf_check_system(parser, section);
    }
}
