/*
 * The commands that talk to the running daemon or look at what is around it, and the way to the
 * demonstration.
 */
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/context.h"
#include "ctl/control.h"
#include "ctl/doctor.h"

/* Where the control socket is stands in the configuration. */
static int
daemon_ask(int argc, char **argv)
{
    struct ctl_common common = { .config = NULL };
    const char *socket = NULL;
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common),
                                        { "socket", 0, CTL_OPTION_VALUE, &socket },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_NONE };
    struct conf *conf = NULL;
    int code = CTL_EXIT_YES;

    if (!ctl_options_parse(&options, argc, argv))
        return CTL_EXIT_USAGE;
    if (!socket)
        code = ctl_context_load_conf(&common, &conf);
    if (code == CTL_EXIT_YES)
        code = ctl_control_run(socket ? socket : conf->global.control_socket, argv[0], common.json,
                               stdout);
    conf_free(&conf);
    return code;
}

int
ctl_reload(int argc, char **argv)
{
    return daemon_ask(argc, argv);
}

int
ctl_stats(int argc, char **argv)
{
    return daemon_ask(argc, argv);
}

int
ctl_health(int argc, char **argv)
{
    return daemon_ask(argc, argv);
}

int
ctl_doctor(int argc, char **argv)
{
    struct ctl_common common = { .config = NULL };
    struct ctl_doctor_args args = { .conf_path = NULL };
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common),
                                        { "postfix", 0, CTL_OPTION_VALUE, &args.postfix_folder },
                                        { "sendmail", 0, CTL_OPTION_VALUE, &args.sendmail_file },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_NONE };

    if (!ctl_options_parse(&options, argc, argv))
        return CTL_EXIT_USAGE;
    args.conf_path = ctl_context_path(&common);
    args.json = common.json;
    return ctl_doctor_run(&args, stdout);
}

int
ctl_demo(int argc, char **argv)
{
    struct ctl_common common = { .config = NULL };
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common), { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_NONE };

    if (!ctl_options_parse(&options, argc, argv))
        return CTL_EXIT_USAGE;
    puts("The demonstration runs from the source tree, where it builds its own MTA and\n"
         "certification authority in a scratch folder on loopback and touches nothing else:\n\n"
         "    make demo    shows signed, encrypted, verified and tampered mail, and ends\n"
         "    make run     keeps such an instance in the foreground to try things by hand");
    return CTL_EXIT_YES;
}
