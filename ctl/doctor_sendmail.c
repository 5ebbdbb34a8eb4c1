/*
 * Sendmail's configuration file: a filter without F=T is skipped when it is dead, and mail passes.
 *
 * sendmail.cf says "Xname, S=local:/path, F=T, T=..."; sendmail.mc INPUT_MAIL_FILTER(`name',
 * `S=..., F=T').
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "ctl/doctor_report.h"
#include "flow/patience.h"

static const char default_file[] = "/etc/mail/sendmail.cf";

struct filter {
    char socket[512];
    char flags[32];
    char times[256];
};

/* The value of an equate ("S=", "F=") in the rest of a line, up to a comma or quote. */
static void
get_equate(const char *line, char name, char *out, size_t size)
{
    for (const char *p = line; *p; p++) {
        if (*p == name && p[1] == '=' && (p == line || strchr(", \t`", p[-1]))) {
            p += 2;
            snprintf(out, size, "%.*s", (int)strcspn(p, ",'\r\n"), p);
            return;
        }
    }
    out[0] = '\0';
}

/* Is it our socket? libmilter's and Sendmail's notations agree but for "local" and "unix". */
static bool
is_ours(const char *socket, const char *ours)
{
    const char *a = strchr(socket, ':'), *b = strchr(ours, ':');

    if (!a || !b)
        return strcmp(socket, ours) == 0;
    bool inet_a = strncasecmp(socket, "inet", 4) == 0, inet_b = strncasecmp(ours, "inet", 4) == 0;
    return inet_a == inet_b && strcmp(a, b) == 0;
}

static void
check_filter(struct ctl_doctor_report *report, const struct conf *conf, const char *file,
             const struct filter *filter)
{
    bool safe = strchr(filter->flags, 'T') != NULL;

    ctl_doctor_report_write(report, safe ? CTL_DOCTOR_LEVEL_OK : CTL_DOCTOR_LEVEL_FAIL,
                            "sendmail.flags",
                            "set F=T: without it Sendmail lets mail pass when smimed is dead (F=R "
                            "would refuse it for good)",
                            "%s: the filter at %s has F=%s", file, filter->socket,
                            filter->flags[0] ? filter->flags : "nothing");
    const char *end_time = strstr(filter->times, "E:");
    if (!end_time)
        return;
    char *unit;
    long long seconds = strtoll(end_time + 2, &unit, 10);
    seconds *= *unit == 'm' ? 60 : *unit == 'h' ? 3600 : 1;
    int64_t takes_ms =
        flow_patience_get(conf->global.eom_timeout, (uint64_t)conf->global.max_message, NULL);
    ctl_doctor_report_write(
        report, seconds * 1000 > takes_ms ? CTL_DOCTOR_LEVEL_OK : CTL_DOCTOR_LEVEL_WARN,
        "sendmail.timeout", "raise E: in T= above it, or lower eom_timeout or max_message",
        "%s: E:%llds, the end of a message may take %lld s", file, seconds,
        (long long)takes_ms / 1000);
}

void
ctl_doctor_check_sendmail(struct ctl_doctor_report *report, const struct conf *conf,
                          const char *file)
{
    const char *path = file ? file : default_file;
    char line[4096];
    size_t filters = 0, ours = 0;

    FILE *in = fopen(path, "re");
    if (!in) {
        if (file || access(path, F_OK) == 0)
            ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_UNKNOWN, "sendmail", NULL,
                                    "cannot read %s", path);
        return;
    }
    while (fgets(line, sizeof line, in)) {
        struct filter filter;
        bool is_filter = (line[0] == 'X' && strchr(line, ',')) ||
                         strncmp(line, "INPUT_MAIL_FILTER(", 18) == 0 ||
                         strncmp(line, "MAIL_FILTER(", 12) == 0;
        if (!is_filter)
            continue;
        filters++;
        get_equate(line, 'S', filter.socket, sizeof filter.socket);
        get_equate(line, 'F', filter.flags, sizeof filter.flags);
        get_equate(line, 'T', filter.times, sizeof filter.times);
        if (!is_ours(filter.socket, conf->global.socket))
            continue;
        ours++;
        check_filter(report, conf, path, &filter);
    }
    fclose(in);
    if (ours == 0)
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_WARN, "sendmail.filter",
                                "add the lines of the example file, if Sendmail is your MTA",
                                "%s has %zu filters, none of them at %s", path, filters,
                                conf->global.socket);
}
