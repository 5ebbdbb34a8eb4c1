#include "ctl/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/control.h"
#include "ctl/doctor_report.h"
#include "pki/crypto.h"
#include "util/clock.h"
#include "util/log.h"

enum { RUN_TIMEOUT_MS = 20000 };

static const char *const level_words[] = {
    [CTL_DOCTOR_LEVEL_OK] = "OK",
    [CTL_DOCTOR_LEVEL_WARN] = "WARN",
    [CTL_DOCTOR_LEVEL_FAIL] = "FAIL",
    [CTL_DOCTOR_LEVEL_UNKNOWN] = "UNKNOWN",
};

/* ---- report
 * -------------------------------------------------------------------------------------- */

static void
write_json(FILE *out, const char *text)
{
    putc('"', out);
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            putc('\\', out);
        putc(*p, out);
    }
    putc('"', out);
}

void
ctl_doctor_report_write(struct ctl_doctor_report *report, enum ctl_doctor_level level,
                        const char *name, const char *hint, const char *format, ...)
{
    char raw[1024], text[2048];
    bool first = true;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(raw, sizeof raw, format, arguments);
    va_end(arguments);
    log_escape(span_str(raw), text, sizeof text);
    for (size_t i = 0; i <= CTL_DOCTOR_LEVEL_UNKNOWN; i++)
        first = first && report->counts[i] == 0;
    report->counts[level]++;
    if (!report->json) {
        fprintf(report->out, "%-8s%s: %s\n", level_words[level], name, text);
        if (hint && level != CTL_DOCTOR_LEVEL_OK)
            fprintf(report->out, "        %s\n", hint);
        return;
    }
    fprintf(report->out, "%s{\"check\": ", first ? "" : ", ");
    write_json(report->out, name);
    fprintf(report->out, ", \"level\": \"%s\", \"text\": ", level_words[level]);
    write_json(report->out, text);
    if (hint && level != CTL_DOCTOR_LEVEL_OK) {
        fputs(", \"hint\": ", report->out);
        write_json(report->out, hint);
    }
    fputs("}", report->out);
}

/* ---- programs
 * ------------------------------------------------------------------------------------ */

static enum err_code
read_output(int fd, struct buf *out, struct err *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + RUN_TIMEOUT_MS;
    unsigned char piece[4096];

    for (;;) {
        struct pollfd fds = { .fd = fd, .events = POLLIN };
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            return err_set(err, ERR_TEMP, "it did not end in %d s", RUN_TIMEOUT_MS / 1000);
        if (poll(&fds, 1, (int)left_ms) <= 0)
            continue;
        ssize_t n = read(fd, piece, sizeof piece);
        if (n == 0)
            return ERR_OK;
        if (n < 0 && errno != EINTR)
            return err_set_errno(err, errno, "cannot read what it prints");
        if (n > 0 && buf_append(out, span_of(piece, (size_t)n), err))
            return err->code;
    }
}

enum err_code
ctl_doctor_report_run(char *const argv[], struct buf *out, struct err *err)
{
    enum { NOT_FOUND = 127 };
    int ends[2], status = 0;

    if (pipe2(ends, O_CLOEXEC))
        return err_set_errno(err, errno, "cannot make a pipe");
    pid_t pid = fork();
    if (pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return err_set_errno(err, errno, "cannot run %s", argv[0]);
    }
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        if (null < 0 || dup2(null, 0) < 0 || dup2(ends[1], 1) < 0 || dup2(null, 2) < 0)
            _exit(1);
        /* postconf lives in sbin, which is not in everybody's PATH. */
        setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin", 1);
        execvp(argv[0], argv);
        _exit(errno == ENOENT ? NOT_FOUND : 1);
    }
    close(ends[1]);
    if (read_output(ends[0], out, err))
        kill(pid, SIGKILL);
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (err->code)
        return err_prefix(err, "%s", argv[0]);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND)
        return err_set(err, ERR_NOTFOUND, "there is no program %s", argv[0]);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(err, ERR_PERM, "%s ended with an error", argv[0]);
    return ERR_OK;
}

/* ---- the host and the daemon
 * ---------------------------------------------------------------------- */

void
ctl_doctor_check_host(struct ctl_doctor_report *report)
{
    /* Nothing of smimed is older. */
    enum { EARLIEST = 1760000000 };
    struct timex clock_state = { .modes = 0 };
    struct pki_crypto_facts crypto;

    if (clock_now_s() < EARLIEST)
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, "clock",
                                "set the clock: validity and revocation are judged by it",
                                "the clock says %lld seconds since 1970, which is in the past",
                                (long long)clock_now_s());
    else if (adjtimex(&clock_state) == TIME_ERROR || (clock_state.status & STA_UNSYNC))
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_WARN, "clock",
                                "run a time service (systemd-timesyncd, chrony)",
                                "the kernel's clock is not synchronised");
    else
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_OK, "clock", NULL,
                                "synchronised, and not in the past");

    pki_crypto_get(&crypto);
    ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_OK, "openssl", NULL, "%s", crypto.version);
    if (crypto.secure_bytes > 0 && !crypto.secure_is_locked)
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_WARN, "secure-heap",
                                "raise LimitMEMLOCK in the unit (ulimit -l) above the size of the "
                                "secure heap; this checks smimectl's own limit",
                                "memory for keys cannot be locked: it may be swapped out");
    else
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_OK, "secure-heap", NULL, "%zu KiB",
                                crypto.secure_bytes / 1024);
}

/* The check of the configuration looks at each parameter alone. */
static void
check_sizes(struct ctl_doctor_report *report, const struct conf *conf)
{
    const struct conf_global *global = &conf->global;

    if (global->max_bytes < global->max_message)
        ctl_doctor_report_write(
            report, CTL_DOCTOR_LEVEL_WARN, "sizes", "raise max_bytes or lower max_message",
            "max_bytes is smaller than max_message: a message between the two gets 451 for ever");
    else
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_OK, "sizes", NULL,
                                "max_bytes holds a message of max_message");
}

static void
check_daemon(struct ctl_doctor_report *report, const struct conf *conf)
{
    struct buf answer = BUF_INIT(CTL_CONTROL_ANSWER);
    struct err err = ERR_INIT;

    if (ctl_control_get(conf->global.control_socket, "health", &answer, &err))
        ctl_doctor_report_write(
            report, err.code == ERR_TEMP ? CTL_DOCTOR_LEVEL_WARN : CTL_DOCTOR_LEVEL_FAIL, "daemon",
            "start smimed, or run this as root", "%s", err.text);
    else
        ctl_doctor_report_write(report,
                                ctl_control_is_ok(buf_span(&answer)) ? CTL_DOCTOR_LEVEL_OK
                                                                     : CTL_DOCTOR_LEVEL_FAIL,
                                "daemon", "see the log of smimed", "%s", buf_str(&answer));
    buf_free(&answer);
}

/* ---- all
 * ------------------------------------------------------------------------------------------ */

static void
complain(void *context, const char *file, unsigned line, unsigned column, const char *text)
{
    ctl_doctor_report_write(context, CTL_DOCTOR_LEVEL_FAIL, "configuration", NULL, "%s:%u:%u: %s",
                            file, line, column, text);
}

static int
exit_code(const struct ctl_doctor_report *report)
{
    if (report->counts[CTL_DOCTOR_LEVEL_FAIL] > 0)
        return 1;
    return report->counts[CTL_DOCTOR_LEVEL_UNKNOWN] > 0 ? 3 : 0;
}

int
ctl_doctor_run(const struct ctl_doctor_args *args, FILE *out)
{
    struct ctl_doctor_report report = { .out = out, .json = args->json };
    struct conf *conf = NULL;
    struct err err = ERR_INIT;
    int code = 2;

    if (args->json)
        fputs("{\"checks\": [", out);
    if (conf_load(args->conf_path, complain, &report, &conf, &err)) {
        if (report.counts[CTL_DOCTOR_LEVEL_FAIL] == 0)
            ctl_doctor_report_write(&report, CTL_DOCTOR_LEVEL_FAIL, "configuration", NULL, "%s",
                                    err.text);
        goto out;
    }
    ctl_doctor_report_write(&report, CTL_DOCTOR_LEVEL_OK, "configuration", NULL, "%s",
                            args->conf_path);
    check_sizes(&report, conf);
    ctl_doctor_check_host(&report);
    ctl_doctor_check_files(&report, conf);
    ctl_doctor_check_trust(&report, conf);
    ctl_doctor_check_cache(&report, conf);
    ctl_doctor_check_directories(&report, conf);
    check_daemon(&report, conf);
    ctl_doctor_check_copies(&report, conf);
    ctl_doctor_check_postfix(&report, conf, args->postfix_folder);
    ctl_doctor_check_sendmail(&report, conf, args->sendmail_file);
    code = exit_code(&report);
out:
    if (args->json)
        fprintf(out, "], \"failed\": %zu, \"warned\": %zu, \"unknown\": %zu}\n",
                report.counts[CTL_DOCTOR_LEVEL_FAIL], report.counts[CTL_DOCTOR_LEVEL_WARN],
                report.counts[CTL_DOCTOR_LEVEL_UNKNOWN]);
    conf_free(&conf);
    return code;
}
