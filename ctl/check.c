/*
 * smimectl check and dump: the configuration alone, without asking anybody.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/command.h"
#include "ctl/context.h"
#include "ctl/json.h"
#include "flow/services.h"

struct complaints {
    struct ctl_json json;
    bool as_json;
    size_t count;
};

static void
check_complain(void *context, const char *file, unsigned line, unsigned column, const char *text)
{
    struct complaints *complaints = context;
    char place[40];

    complaints->count++;
    if (complaints->as_json) {
        ctl_json_open(&complaints->json, NULL, '{');
        ctl_json_text(&complaints->json, "file", file);
        ctl_json_number(&complaints->json, "line", line);
        ctl_json_number(&complaints->json, "column", column);
        ctl_json_text(&complaints->json, "text", text);
        ctl_json_close(&complaints->json);
        return;
    }
    snprintf(place, sizeof place, ":%u:%u: ", line, column);
    ctl_print(file);
    fputs(place, stdout);
    ctl_print(text);
    putchar('\n');
}

static void
check_warn(void *context, const char *text)
{
    (void)context;
    ctl_say("warning: %s", text);
}

/* What a message would be refused for without a listener for copies, by rules alone. */
static void
check_copies(const struct conf *conf)
{
    const struct conf_rule *encrypts = NULL, *leaves = NULL;

    if (conf->global.resubmit_server[0])
        return;
    for (size_t i = 0; i < conf->rule_count; i++) {
        const struct conf_rule *rule = &conf->rules[i];

        if (rule->direction == CONF_DIRECTION_IN)
            continue;
        if (rule->smime && rule->no_certificate != CONF_NO_CERTIFICATE_REFUSE &&
            rule->encrypt != CONF_ENCRYPT_NEVER)
            ctl_say("warning: rule \"%s\": what no_certificate says needs a listener for copies "
                    "(resubmit_server) where one recipient has a certificate and another has not; "
                    "without it such messages are refused",
                    rule->name);
        if (rule->smime && rule->encrypt != CONF_ENCRYPT_NEVER)
            encrypts = rule;
        else
            leaves = rule;
    }
    if (encrypts && leaves)
        ctl_say("warning: a message to recipients of rule \"%s\" and of rule \"%s\" may need "
                "different copies, and is refused then: resubmit_server is not set",
                encrypts->name, leaves->name);
}

/* What the daemon loads at its start: keys, certificates, trust, directories. Nothing is connected
 * to. */
static enum err_code
check_services(struct conf *conf, struct err *err)
{
    struct flow_services *services = NULL;
    enum err_code code = flow_services_new(conf, check_warn, NULL, &services, err);

    flow_services_free(&services);
    return code;
}

static int
check_run(const char *path, bool as_json)
{
    struct complaints complaints = { .as_json = as_json };
    struct conf *conf = NULL;
    struct err err = ERR_INIT;
    enum err_code code;

    if (as_json) {
        ctl_json_init(&complaints.json, stdout);
        ctl_json_open(&complaints.json, NULL, '{');
        ctl_json_text(&complaints.json, "file", path);
        ctl_json_open(&complaints.json, "errors", '[');
    }
    code = conf_load(path, check_complain, &complaints, &conf, &err);
    if (code == ERR_OK)
        code = check_services(conf, &err);
    if (code == ERR_OK)
        check_copies(conf);
    /* Whatever went wrong without a complaint (no such file) is one error more. */
    if (code != ERR_OK && complaints.count == 0) {
        if (as_json) {
            ctl_json_open(&complaints.json, NULL, '{');
            ctl_json_text(&complaints.json, "text", err.text);
            ctl_json_close(&complaints.json);
        } else {
            ctl_say("%s", err.text);
        }
    }
    if (as_json) {
        ctl_json_close(&complaints.json);
        ctl_json_text(&complaints.json, "result", code == ERR_OK ? "ok" : "error");
        ctl_json_close(&complaints.json);
    } else if (code == ERR_OK) {
        ctl_print(path);
        puts(": ok");
    }
    conf_free(&conf);
    if (code == ERR_OK)
        return CTL_EXIT_YES;
    return code == ERR_PERM || code == ERR_NOTFOUND || code == ERR_LIMIT ? CTL_EXIT_USAGE
                                                                         : CTL_EXIT_TEMP;
}

int
ctl_check(int argc, char **argv)
{
    struct ctl_common common = { .config = NULL };
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common), { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_MAYBE };

    if (!ctl_options_parse(&options, argc, argv))
        return CTL_EXIT_USAGE;
    if (options.operand)
        common.config = options.operand;
    return check_run(ctl_context_path(&common), common.json);
}

struct dump {
    struct ctl_json json;
    bool as_json, changed_only;
    char section[300]; /* that is open in the text form; "" none */
};

static void
dump_section(struct dump *dump, const char *section)
{
    if (strcmp(dump->section, section) == 0)
        return;
    if (dump->section[0])
        puts("}");
    if (section[0]) {
        putchar('\n');
        ctl_print(section);
        puts(" {");
    }
    snprintf(dump->section, sizeof dump->section, "%s", section);
}

static void
dump_each(void *context, const char *section, const char *name, const char *value, const char *from)
{
    struct dump *dump = context;

    if (dump->changed_only && strcmp(from, "default") == 0)
        return;
    if (dump->as_json) {
        ctl_json_open(&dump->json, NULL, '{');
        ctl_json_text(&dump->json, "section", section);
        ctl_json_text(&dump->json, "name", name);
        ctl_json_text(&dump->json, "value", value);
        ctl_json_text(&dump->json, "from", from);
        ctl_json_close(&dump->json);
        return;
    }
    dump_section(dump, section);
    printf("%s%s = ", section[0] ? "    " : "", name);
    ctl_print(value);
    fputs("    # ", stdout);
    ctl_print(from);
    putchar('\n');
}

int
ctl_dump(int argc, char **argv)
{
    struct ctl_common common = { .config = NULL };
    struct dump dump = { .as_json = false };
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common),
                                        { "changed", 'n', CTL_OPTION_FLAG, &dump.changed_only },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_NONE };
    struct conf *conf = NULL;
    int code = CTL_EXIT_USAGE;

    if (!ctl_options_parse(&options, argc, argv) ||
        (code = ctl_context_load_conf(&common, &conf)) != CTL_EXIT_YES)
        return code;
    dump.as_json = common.json;
    ctl_json_init(&dump.json, stdout);
    if (dump.as_json)
        ctl_json_open(&dump.json, NULL, '[');
    conf_each(conf, dump_each, &dump);
    if (dump.as_json)
        ctl_json_close(&dump.json);
    else
        dump_section(&dump, "");
    conf_free(&conf);
    return CTL_EXIT_YES;
}
