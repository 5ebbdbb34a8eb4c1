#include "ctl/context.h"

#include <stdlib.h>

#include "ctl/command.h"

const char *
ctl_context_path(const struct ctl_common *common)
{
    return common->config ? common->config : SMIMED_CONF;
}

static void
context_complain(void *context, const char *file, unsigned line, unsigned column, const char *text)
{
    (void)context;
    ctl_say("%s:%u:%u: %s", file, line, column, text);
}

static void
context_warn(void *context, const char *text)
{
    (void)context;
    ctl_say("warning: %s", text);
}

int
ctl_context_load_conf(const struct ctl_common *common, struct conf **out)
{
    struct err err = ERR_INIT;
    enum err_code code = conf_load(ctl_context_path(common), context_complain, NULL, out, &err);

    switch (code) {
    case ERR_OK:
        return CTL_EXIT_YES;
    case ERR_PERM:
    case ERR_LIMIT:
        return CTL_EXIT_USAGE; /* every complaint was said */
    case ERR_NOTFOUND:
        ctl_say("there is no configuration %s; name one with -c FILE", ctl_context_path(common));
        return CTL_EXIT_USAGE;
    default:
        return ctl_fail(&err);
    }
}

int
ctl_context_load(const struct ctl_common *common, struct flow_services **out)
{
    struct conf *conf = NULL;
    struct err err = ERR_INIT;
    int code = ctl_context_load_conf(common, &conf);

    if (code == CTL_EXIT_YES && flow_services_new(conf, context_warn, NULL, out, &err) != ERR_OK) {
        code = ctl_fail(&err);
        /* What the configuration names cannot be used: that is not an answer to the question. */
        code = code == CTL_EXIT_NO ? CTL_EXIT_USAGE : code;
    }
    conf_free(&conf);
    return code;
}

const char *
ctl_context_scratch(void)
{
    const char *folder = getenv("TMPDIR");

    return folder && folder[0] == '/' ? folder : "/tmp";
}
