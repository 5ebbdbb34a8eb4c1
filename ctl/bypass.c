/*
 * smimectl bypass: how the emergency switch stands, on for a while (--for), off (--off).
 */
#include <inttypes.h>
#include <stdio.h>

#include "conf/value.h"
#include "ctl/command.h"
#include "ctl/context.h"
#include "ctl/control.h"

/* "2h" in milliseconds; false: it is none, or longer than a day. */
static bool
bypass_parse(const char *text, uint64_t *out)
{
    const struct conf_param param = {
        .name = "--for", .type = CONF_TYPE_DURATION, .words = "", .min = 1000, .max = 86400000
    };
    struct conf_word word = { .text = (char *)text };

    return conf_number_parse(&param, &word, out, NULL);
}

int
ctl_bypass(int argc, char **argv)
{
    struct ctl_common common = { .config = NULL };
    const char *socket = NULL, *duration = NULL;
    bool off = false;
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common),
                                        { "socket", 0, CTL_OPTION_VALUE, &socket },
                                        { "for", 0, CTL_OPTION_VALUE, &duration },
                                        { "off", 0, CTL_OPTION_FLAG, &off },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_NONE };
    struct conf *conf = NULL;
    char command[64] = "bypass";
    uint64_t for_ms = 0;
    int code = CTL_EXIT_YES;

    if (!ctl_options_parse(&options, argc, argv))
        return CTL_EXIT_USAGE;
    if (duration && (off || !bypass_parse(duration, &for_ms))) {
        ctl_say("bypass takes --off, or --for with a time from 1s to 24h, such as 2h");
        return CTL_EXIT_USAGE;
    }
    if (off)
        snprintf(command, sizeof command, "bypass off");
    else if (duration)
        snprintf(command, sizeof command, "bypass %" PRIu64, for_ms / 1000);
    if (!socket)
        code = ctl_context_load_conf(&common, &conf);
    if (code == CTL_EXIT_YES)
        code = ctl_control_run(socket ? socket : conf->global.control_socket, command, common.json,
                               stdout);
    conf_free(&conf);
    return code;
}
