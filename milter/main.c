/*
 * smimed: options, and the order in which a daemon that holds keys comes to life and goes.
 *
 *   what kind of process    no core, not dumpable, user checked
 *   configuration           all errors at once, on stderr
 *   background              unless -f; the parent waits until we are ready
 *   library, secure heap    sized by the number of key files
 *   sockets                 as root if it must be, with their final mode
 *   user                    root's rights are given up here
 *   snapshot                keys, certificates, trust: read by the user who reads them again on
 * reload threads                 progress, control, housekeeping, libmilter
 *
 * Exit: 0 stopped as told, 1 a failure while running or starting, 2 usage or configuration.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "flow/harvest.h"
#include "flow/bypass.h"
#include "flow/resolve.h"
#include "flow/suspect.h"
#include "milter/budget.h"
#include "milter/control.h"
#include "milter/housekeeping.h"
#include "milter/listener.h"
#include "milter/notify.h"
#include "milter/process.h"
#include "milter/progress.h"
#include "milter/reload.h"
#include "milter/watch.h"
#include "pki/crypto.h"
#include "pki/fetch.h"
#include "pki/reason.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/wipe.h"

/* libmilter frees the octets of messages without wiping them, and so do others. */
WIPE_EVERY_FREE

enum { EXIT_USAGE = 2 };

/* There in builds that measure coverage only. */
extern void __gcov_dump(void) __attribute__((weak));

/* Messages whose client still sends get this long when we stop; those at their end get eom_timeout.
 */
enum { STOP_GRACE_MS = 3000 };

struct options {
    const char *conf_path;
    const char *pid_path;
    bool foreground, check;
};

static int
usage(FILE *out)
{
    fprintf(out, "usage: smimed [-f] [-c FILE] [-p PIDFILE]\n"
                 "       smimed -t [-c FILE]\n"
                 "       smimed -V\n");
    return out == stdout ? 0 : EXIT_USAGE;
}

/* -1: go on; else the exit code. */
static int
parse_options(int argc, char **argv, struct options *out)
{
    int option;

    while ((option = getopt(argc, argv, "c:fhp:tV")) != -1) {
        switch (option) {
        case 'c':
            out->conf_path = optarg;
            break;
        case 'f':
            out->foreground = true;
            break;
        case 'h':
            return usage(stdout);
        case 'p':
            out->pid_path = optarg;
            break;
        case 't':
            out->check = true;
            break;
        case 'V':
            printf("smimed %s\n", SMIMED_VERSION);
            return 0;
        default:
            return usage(stderr);
        }
    }
    return optind == argc ? -1 : usage(stderr);
}

/* The relative path that was given must still hold after chdir, for reloads. */
static enum err_code
make_absolute(struct options *options, char **conf_path, char **pid_path, struct err *err)
{
    *conf_path = realpath(options->conf_path, NULL);
    if (!*conf_path)
        return err_set_errno(err, errno, "cannot read the configuration %s", options->conf_path);
    if (options->pid_path && options->pid_path[0] != '/') {
        char *folder = getcwd(NULL, 0);
        int n = folder ? asprintf(pid_path, "%s/%s", folder, options->pid_path) : -1;
        free(folder);
        if (n < 0)
            return err_set(err, ERR_NOMEM, "no memory for a path");
        options->pid_path = *pid_path;
    }
    options->conf_path = *conf_path;
    return ERR_OK;
}

/* What was switched off before a restart stays off until its time; what cannot be read is on. */
static void
load_bypass(const struct conf_global *global)
{
    struct err err = ERR_INIT;
    char when[PKI_TIME_SIZE];

    if (flow_bypass_load(global, &err))
        log_warn("bypass", NULL, "the state of bypass cannot be read, it is off: %s", err.text);
    else if (flow_bypass_get() != 0)
        log_warn("bypass", NULL, "bypass: signing and verifying are switched off until %s",
                 pki_time_format(flow_bypass_get(), when));
}

/* Everything up to the first thread. */
static enum err_code
open_all(const struct options *options, struct conf *conf, struct err *err)
{
    const struct conf_global *global = &conf->global;
    struct milter_process_user user;
    /* Two snapshots live at once during a reload. */
    size_t keys = 2 * milter_watch_count_keys(global->keys_folder);

    if (milter_process_find_user(global->user, &user, err) || pki_crypto_init(keys, err) ||
        pki_fetch_init(err) || milter_listener_init(err) || milter_listener_new(global, err) ||
        milter_control_new(global->control_socket, err))
        return err->code;
    /* The control socket belongs to the daemon's user, who answers on it and removes it. */
    if (user.change && lchown(global->control_socket, user.uid, user.gid))
        return err_set_errno(err, errno, "cannot give %s to user %s", global->control_socket,
                             user.name);
    if (milter_process_write_pid(options->pid_path, err) || milter_process_set_user(&user, err))
        return err->code;
    load_bypass(global);
    return milter_reload_init(options->conf_path, conf, err);
}

static enum err_code
start_all(const struct conf_global *global, struct err *err)
{
    if (flow_resolve_init((unsigned)global->resolve_threads, (size_t)global->resolve_queue, err) ||
        flow_harvest_init(err) || milter_progress_init(err) || milter_control_init(err) ||
        milter_housekeeping_init(err))
        return err->code;
    flow_suspect_init(global);
    return milter_listener_start(err);
}

static void
stop_all(const struct options *options, int64_t eom_timeout_ms)
{
    int64_t now_ms = clock_monotonic_ms();

    milter_notify_stopping();
    milter_budget_stop();
    if (!milter_budget_wait_idle(now_ms + STOP_GRACE_MS) &&
        !milter_budget_wait_slots(now_ms + eom_timeout_ms))
        log_warn("stop", NULL, "a message at its end did not finish in time");
    milter_listener_deinit();
    milter_housekeeping_deinit();
    milter_control_deinit();
    milter_progress_deinit();
    flow_harvest_deinit();
    flow_suspect_deinit();
    /* A message whose client still sends holds its snapshot; the MTA answers it 451. So does a
     * question to a directory that is still under way: nobody waits for it any more. */
    milter_reload_deinit();
    if (options->pid_path)
        (void)unlink(options->pid_path);
    log_info(NULL, "stopped");
}

static enum err_code
run(const struct options *options, struct conf *conf, int *ready_fd, struct err *err)
{
    int64_t eom_timeout_ms = conf->global.eom_timeout;

    if (open_all(options, conf, err) == ERR_OK && start_all(&conf->global, err) == ERR_OK) {
        log_info(NULL, "smimed %s is ready on %s", SMIMED_VERSION, conf->global.socket);
        milter_notify_ready("ready");
        milter_process_ready(ready_fd);
        milter_listener_wait(err);
    }
    if (err->code)
        log_warn("fatal", NULL, "smimed ends: %s", err->text);
    stop_all(options, eom_timeout_ms);
    return err->code;
}

/* The end, without destructors: libmilter's threads are still there, and its own destructor
 * destroys locks that they take. Nothing is left to do: the keys went with the last snapshot. */
static _Noreturn void
leave(int code)
{
    fflush(NULL);
    if (__gcov_dump)
        __gcov_dump();
    _exit(code);
}

int
main(int argc, char **argv)
{
    struct options options = { .conf_path = SMIMED_CONF };
    struct err err = ERR_INIT;
    struct conf *conf = NULL;
    char *conf_path = NULL, *pid_path = NULL;
    int ready_fd = -1;

    int code = parse_options(argc, argv, &options);
    if (code >= 0)
        return code;
    code = EXIT_USAGE;
    if (milter_process_init(&err) || make_absolute(&options, &conf_path, &pid_path, &err))
        goto out;
    if (conf_load(options.conf_path, milter_reload_complain, stderr, &conf, &err)) {
        if (err.code == ERR_PERM)
            err.text[0] = '\0'; /* every complaint is on stderr already */
        goto out;
    }
    if (options.check) {
        printf("%s: ok\n", options.conf_path);
        code = EXIT_SUCCESS;
        goto out;
    }
    struct milter_process_user user;
    if (milter_process_find_user(conf->global.user, &user, &err))
        goto out;
    if (!options.foreground && conf->global.log == CONF_LOG_STDERR) {
        (void)err_set(&err, ERR_PERM,
                      "log = stderr needs -f: in the background there is no stderr");
        goto out;
    }
    code = EXIT_FAILURE;
    if (!options.foreground && milter_process_detach(&ready_fd, &err))
        goto out;
    milter_notify_init();
    milter_reload_set_log(conf);
    if (run(&options, conf, &ready_fd, &err) == ERR_OK)
        code = EXIT_SUCCESS;
out:
    if (err.code && err.text[0])
        fprintf(stderr, "smimed: %s\n", err.text);
    conf_free(&conf);
    free(conf_path);
    free(pid_path);
    leave(code);
}
