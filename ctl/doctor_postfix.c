/*
 * Postfix as it is configured, by postconf: does every way in lead past smimed, and what happens to
 * mail when smimed is not there?
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "ctl/doctor_report.h"
#include "flow/patience.h"

enum { OUTPUT_LIMIT = 1 << 20, VALUE_SIZE = 4096, PATH_SIZE = 4200 };

struct postfix {
    struct ctl_doctor_report *report;
    const struct conf *conf;
    const char *folder;   /* -c, or NULL */
    struct buf main_text; /* "name = value" lines */
    struct buf master_text, override_text;
    char queue_folder[VALUE_SIZE], user[64];
    size_t listeners, protected_listeners;
};

/* ---- asking postconf
 * ------------------------------------------------------------------------------ */

/* The arguments end with the first NULL. */
static enum err_code
ask(const struct postfix *postfix, const char *option, struct buf *out, struct err *err)
{
    static const char *const names[] = {
        "milter_default_action",  "milter_protocol",
        "smtpd_milters",          "non_smtpd_milters",
        "smtpd_milter_maps",      "milter_connect_timeout",
        "milter_command_timeout", "milter_content_timeout",
        "queue_directory",        "mail_owner",
        "compatibility_level",    "internal_mail_filter_classes",
    };
    enum { NAMES = sizeof names / sizeof names[0] };
    const char *argv[NAMES + 6] = { "postconf" };
    size_t n = 1;

    if (postfix->folder) {
        argv[n++] = "-c";
        argv[n++] = postfix->folder;
    }
    argv[n++] = option;
    for (size_t i = 0; strcmp(option, "-x") == 0 && i < NAMES; i++)
        argv[n++] = names[i];
    argv[n] = NULL;
    return ctl_doctor_report_run((char *const *)argv, out, err);
}

/* Copies the rest of the line that starts with `name` and " = ". False: there is none. */
static bool
get_value(const struct buf *text, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);

    for (const char *line = buf_str(text); line && *line;) {
        const char *end = strchr(line, '\n');
        size_t length = end ? (size_t)(end - line) : strlen(line);
        if (length >= n && strncmp(line, name, n) == 0) {
            const char *value = line + n;
            value += strspn(value, " ");
            if (*value == '=') {
                value++;
                value += strspn(value, " \t");
                snprintf(out, size, "%.*s", (int)(line + length - value), value);
                return true;
            }
        }
        line = end ? end + 1 : NULL;
    }
    out[0] = '\0';
    return false;
}

static bool
get_main(const struct postfix *postfix, const char *name, char *out, size_t size)
{
    return get_value(&postfix->main_text, name, out, size);
}

/* "30s", "5m", "1h", "2" (seconds) as milliseconds; -1: none of these. postconf(5) */
static int64_t
parse_time(const char *text)
{
    char *end;
    long long number = strtoll(text, &end, 10);

    if (end == text || number < 0)
        return -1;
    switch (*end) {
    case '\0':
    case 's':
        return number * 1000;
    case 'm':
        return number * 60000;
    case 'h':
        return number * 3600000;
    case 'd':
        return number * 86400000;
    case 'w':
        return number * 604800000;
    default:
        return -1;
    }
}

/* ---- is an entry of smtpd_milters ours?
 * ------------------------------------------------------------ */

/* Where a Unix socket of Postfix's lies for everybody else: relative to the queue folder, and
 * absolute ones too when the service is chrooted. */
static void
set_path(const struct postfix *postfix, const char *path, bool chroot, char out[PATH_SIZE])
{
    if (path[0] != '/')
        snprintf(out, PATH_SIZE, "%s/%s", postfix->queue_folder, path);
    else
        snprintf(out, PATH_SIZE, "%s%s", chroot ? postfix->queue_folder : "", path);
}

static bool
is_same_file(const char *a, const char *b)
{
    struct stat sa, sb;

    if (stat(a, &sa) || stat(b, &sb))
        return strcmp(a, b) == 0;
    return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* Postfix writes inet:host:port, libmilter inet:port@host: the port has to do. */
static bool
is_same_port(const char *theirs, const char *ours)
{
    const char *their_port = strrchr(theirs, ':');
    const char *our_port = strchr(ours, ':');

    if (strncasecmp(theirs, "inet", 4) || strncasecmp(ours, "inet", 4) || !their_port)
        return false;
    size_t n = strspn(++their_port, "0123456789");
    return n > 0 && strncmp(their_port, our_port + 1, n) == 0 &&
           !isdigit((unsigned char)our_port[1 + n]);
}

static bool
is_ours(const struct postfix *postfix, const char *name, bool chroot)
{
    const char *ours = postfix->conf->global.socket;
    const char *our_path = strchr(ours, ':');
    char path[PATH_SIZE];

    if (strncasecmp(name, "unix:", 5) == 0 || strncasecmp(name, "local:", 6) == 0) {
        set_path(postfix, strchr(name, ':') + 1, chroot, path);
        return our_path && is_same_file(path, our_path + 1);
    }
    return is_same_port(name, ours);
}

/* Finds our entry in a list of milters, "{name, key=value, ...}" or "name"; copies its name and the
 * options behind it. */
static bool
find_ours(const struct postfix *postfix, const char *list, bool chroot, char entry[VALUE_SIZE])
{
    const char *p = list;

    while (*p) {
        p += strspn(p, ", \t{");
        size_t n = strcspn(p, ", \t}");
        char name[VALUE_SIZE];
        if (n == 0)
            break;
        snprintf(name, sizeof name, "%.*s", (int)n, p);
        bool braced = p > list && strchr("{ \t", p[-1]) && memchr(list, '{', (size_t)(p - list));
        const char *end = p + n;
        if (braced && strchr(end, '}'))
            end = strchr(end, '}');
        if (is_ours(postfix, name, chroot)) {
            snprintf(entry, VALUE_SIZE, "%.*s", (int)(end - p), p);
            return true;
        }
        p = end + strspn(end, "}");
    }
    return false;
}

/* An option inside the braces of an entry ("default_action=accept"). */
static bool
get_option(const char *entry, const char *name, char out[64])
{
    const char *p = strstr(entry, name);

    if (!p)
        return false;
    p += strlen(name);
    p += strspn(p, " \t");
    if (*p != '=')
        return false;
    p++;
    p += strspn(p, " \t");
    snprintf(out, 64, "%.*s", (int)strcspn(p, ", \t}"), p);
    return true;
}

/* ---- checks
 * ---------------------------------------------------------------------------------------- */

static void
check_action(const struct postfix *postfix, const char *where, const char *entry)
{
    char action[64];

    if (!get_option(entry, "default_action", action))
        get_main(postfix, "milter_default_action", action, sizeof action);
    bool good = strcmp(action, "tempfail") == 0;
    ctl_doctor_report_write(postfix->report, good ? CTL_DOCTOR_LEVEL_OK : CTL_DOCTOR_LEVEL_FAIL,
                            "postfix.default-action",
                            "set milter_default_action = tempfail: with accept, mail leaves "
                            "unprotected whenever smimed is not there",
                            "%s: milter_default_action is %s", where, action);
}

static void
check_time(const struct postfix *postfix, const char *name, const char *option, const char *entry,
           int64_t least_ms)
{
    char value[64];

    if (!get_option(entry, option, value))
        get_main(postfix, name, value, sizeof value);
    int64_t has_ms = parse_time(value);
    if (has_ms < 0)
        ctl_doctor_report_write(postfix->report, CTL_DOCTOR_LEVEL_UNKNOWN, "postfix.timeout", NULL,
                                "%s = %s is not understood", name, value);
    else
        ctl_doctor_report_write(
            postfix->report, has_ms >= least_ms ? CTL_DOCTOR_LEVEL_OK : CTL_DOCTOR_LEVEL_WARN,
            "postfix.timeout",
            "raise it, or lower eom_timeout or max_message: a time-out is answered 451",
            "%s is %s; smimed may take %lld s", name, value, (long long)least_ms / 1000);
}

/* One process that calls milters: a listener, or cleanup for mail that is not from SMTP. */
static void
check_service(struct postfix *postfix, const char *where, const char *list, bool chroot)
{
    const char *path = strchr(postfix->conf->global.socket, ':');
    char entry[VALUE_SIZE], name[VALUE_SIZE];

    postfix->listeners++;
    if (!find_ours(postfix, list, chroot, entry)) {
        ctl_doctor_report_write(
            postfix->report, CTL_DOCTOR_LEVEL_WARN, "postfix.listener",
            "mail that enters here is neither signed nor verified: name the socket "
            "of smimed in its milters, or make sure that nobody can use it",
            "%s does not use smimed (%s)", where, list[0] ? list : "no milters");
        return;
    }
    postfix->protected_listeners++;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(entry, ", \t}"), entry);
    ctl_doctor_report_write(postfix->report, CTL_DOCTOR_LEVEL_OK, "postfix.listener", NULL,
                            "%s uses smimed at %s%s", where, name, chroot ? ", chrooted" : "");
    check_action(postfix, where, entry);
    if (postfix->protected_listeners == 1) {
        check_time(postfix, "milter_command_timeout", "command_timeout", entry, 10000);
        check_time(postfix, "milter_content_timeout", "content_timeout", entry,
                   flow_patience_get(postfix->conf->global.eom_timeout,
                                     (uint64_t)postfix->conf->global.max_message, NULL) +
                       10000);
    }
    if (path && strncasecmp(name, "inet", 4) != 0)
        ctl_doctor_check_access(postfix->report, "postfix.socket",
                                chroot ? postfix->queue_folder : "", path + 1, postfix->user);
}

/* What `-o name=value` of a service says; false: nothing. */
static bool
get_override(const struct postfix *postfix, const char *service, const char *name, char *out,
             size_t size)
{
    char key[256];

    snprintf(key, sizeof key, "%s/%s", service, name);
    return get_value(&postfix->override_text, key, out, size);
}

static void
check_listener(struct postfix *postfix, const char *service, const char *type, bool chroot)
{
    char name[160], list[VALUE_SIZE], options[VALUE_SIZE];

    snprintf(name, sizeof name, "%s/%s", service, type);
    if (!get_override(postfix, name, "smtpd_milters", list, sizeof list))
        get_main(postfix, "smtpd_milters", list, sizeof list);
    if (get_override(postfix, name, "receive_override_options", options, sizeof options) &&
        strstr(options, "no_milters"))
        list[0] = '\0';
    check_service(postfix, name, list, chroot);
}

/* Lines of master.cf as postconf -M prints them:
 * name type private unprivileged chroot wakeup maxproc command. */
static void
check_services(struct postfix *postfix)
{
    char compatibility[64];

    /* "-" in the chroot column: no since compatibility level 1. */
    get_main(postfix, "compatibility_level", compatibility, sizeof compatibility);
    bool chroot_default = atoi(compatibility) < 1;
    for (const char *line = buf_str(&postfix->master_text); line && *line;) {
        char service[100], type[20], chroot[8], command[32];
        const char *end = strchr(line, '\n');
        if (sscanf(line, "%99s %19s %*s %*s %7s %*s %*s %31s", service, type, chroot, command) ==
            4) {
            bool inside = chroot[0] == 'y' || (chroot[0] == '-' && chroot_default);
            if (strcmp(command, "smtpd") == 0) {
                check_listener(postfix, service, type, inside);
            } else if (strcmp(command, "cleanup") == 0 && strcmp(service, "cleanup") == 0) {
                char list[VALUE_SIZE];
                get_main(postfix, "non_smtpd_milters", list, sizeof list);
                check_service(postfix, "local submission (non_smtpd_milters)", list, inside);
            }
        }
        line = end ? end + 1 : NULL;
    }
}

static void
check_rest(struct postfix *postfix)
{
    char value[VALUE_SIZE];

    if (postfix->listeners > 0 && postfix->protected_listeners == 0)
        ctl_doctor_report_write(postfix->report, CTL_DOCTOR_LEVEL_FAIL, "postfix.milters",
                                "set smtpd_milters and non_smtpd_milters; see the example file",
                                "no way into Postfix leads past smimed at %s",
                                postfix->conf->global.socket);
    get_main(postfix, "milter_protocol", value, sizeof value);
    ctl_doctor_report_write(
        postfix->report, atoi(value) >= 6 ? CTL_DOCTOR_LEVEL_OK : CTL_DOCTOR_LEVEL_FAIL,
        "postfix.protocol", "set milter_protocol = 6", "milter_protocol is %s", value);
    get_main(postfix, "internal_mail_filter_classes", value, sizeof value);
    ctl_doctor_report_write(
        postfix->report, strstr(value, "bounce") ? CTL_DOCTOR_LEVEL_OK : CTL_DOCTOR_LEVEL_WARN,
        "postfix.bounces",
        "set internal_mail_filter_classes = bounce, notify: what Postfix writes "
        "itself passes no milter otherwise",
        "internal_mail_filter_classes is %s", value[0] ? value : "empty");
    if (get_main(postfix, "smtpd_milter_maps", value, sizeof value) && value[0])
        ctl_doctor_report_write(postfix->report, CTL_DOCTOR_LEVEL_WARN, "postfix.milter-maps",
                                "clients that the map exempts get past smimed; look at its entries",
                                "smtpd_milter_maps is %s", value);
}

void
ctl_doctor_check_postfix(struct ctl_doctor_report *report, const struct conf *conf,
                         const char *folder)
{
    struct postfix postfix = { .report = report, .conf = conf, .folder = folder };
    struct err err = ERR_INIT;

    buf_init(&postfix.main_text, OUTPUT_LIMIT);
    buf_init(&postfix.master_text, OUTPUT_LIMIT);
    buf_init(&postfix.override_text, OUTPUT_LIMIT);
    if (ask(&postfix, "-x", &postfix.main_text, &err) ||
        ask(&postfix, "-M", &postfix.master_text, &err) ||
        ask(&postfix, "-P", &postfix.override_text, &err)) {
        if (err.code == ERR_NOTFOUND && !folder)
            ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_OK, "postfix", NULL,
                                    "not installed here");
        else
            ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_UNKNOWN, "postfix",
                                    "is its configuration readable? -C names its folder", "%s",
                                    err.text);
        goto out;
    }
    get_main(&postfix, "queue_directory", postfix.queue_folder, sizeof postfix.queue_folder);
    get_main(&postfix, "mail_owner", postfix.user, sizeof postfix.user);
    check_services(&postfix);
    check_rest(&postfix);
out:
    buf_free(&postfix.main_text);
    buf_free(&postfix.master_text);
    buf_free(&postfix.override_text);
}
