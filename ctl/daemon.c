/*
 * The commands that talk to the running daemon or look at what is around it, and the way to the
 * demonstration.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/context.h"
#include "ctl/control.h"
#include "ctl/doctor.h"

#define DEMO_SCRIPT SMIMED_SHARE "/demo/demo.py"

/* Where the control socket is stands in the configuration. `forget`: the command has that option.
 */
static int
daemon_ask(int argc, char **argv, const char *forget)
{
    struct ctl_common common = { .config = NULL };
    const char *socket = NULL;
    bool wanted = false;
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common),
                                        { "socket", 0, CTL_OPTION_VALUE, &socket },
                                        { forget ? "forget" : NULL, 0, CTL_OPTION_FLAG, &wanted },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_NONE };
    struct conf *conf = NULL;
    int code = CTL_EXIT_YES;

    if (!ctl_options_parse(&options, argc, argv))
        return CTL_EXIT_USAGE;
    if (!socket)
        code = ctl_context_load_conf(&common, &conf);
    if (code == CTL_EXIT_YES)
        code = ctl_control_run(socket ? socket : conf->global.control_socket,
                               wanted ? forget : argv[0], common.json, stdout);
    conf_free(&conf);
    return code;
}

int
ctl_poison(int argc, char **argv)
{
    return daemon_ask(argc, argv, "poison forget");
}

int
ctl_reload(int argc, char **argv)
{
    return daemon_ask(argc, argv, NULL);
}

int
ctl_stats(int argc, char **argv)
{
    return daemon_ask(argc, argv, NULL);
}

int
ctl_health(int argc, char **argv)
{
    return daemon_ask(argc, argv, NULL);
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

/* The installed demonstration, with the programs that stand beside this one. Returns only if it
 * could not be started. */
static void
daemon_run_demo(bool run)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (access(DEMO_SCRIPT, R_OK) != 0 || n <= 0)
        return;
    self[n] = '\0';
    slash = strrchr(self, '/');
    if (!slash)
        return;
    *slash = '\0';
    if (setenv("SMIMED_BUILD", self, 1) == 0)
        (void)execl("/usr/bin/python3", "python3", DEMO_SCRIPT, run ? "--run" : NULL, (char *)NULL);
}

int
ctl_demo(int argc, char **argv)
{
    struct ctl_common common = { .config = NULL };
    bool run = false;
    const struct ctl_option table[] = { CTL_COMMON_OPTIONS(common),
                                        { "run", 0, CTL_OPTION_FLAG, &run },
                                        { .name = NULL } };
    struct ctl_options options = { .table = table, .takes = CTL_OPERAND_NONE };

    if (!ctl_options_parse(&options, argc, argv))
        return CTL_EXIT_USAGE;
    daemon_run_demo(run);
    puts("The demonstration is not installed here (" DEMO_SCRIPT ", with python3). From the\n"
         "source tree it builds its own MTA and certification authority in a scratch folder on\n"
         "loopback and touches nothing else:\n\n"
         "    make demo    shows signed, encrypted, verified and tampered mail, and ends\n"
         "    make run     keeps such an instance in the foreground to try things by hand");
    return CTL_EXIT_YES;
}
