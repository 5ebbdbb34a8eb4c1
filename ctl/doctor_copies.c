/*
 * The MTA's listener for copies (resubmit_server): does it answer, offer what copies need, refuse
 * what is not a copy, and can nobody reach it from outside?
 *
 * The last but one is tried: a message without a mark, to our own postmaster. It has to be refused
 * by smimed; a listener that takes it would let anybody send past policy.
 */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/doctor_report.h"
#include "flow/link.h"
#include "flow/mark.h"
#include "flow/resubmit.h"
#include "util/clock.h"

enum { PROBE_MS = 10000, REACH_MS = 1000, NAME_SIZE = 256, REACH_LIMIT = 64 };

static const char check_name[] = "copies.listener";

/* ---- from outside ------------------------------------------------------------------------------
 */

/* "inet:PORT@ADDRESS" of an interface that is not the loopback; false: it is none. */
static bool
format_server(const struct sockaddr *address, const char *port, char out[NAME_SIZE])
{
    char text[INET6_ADDRSTRLEN];

    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, address, sizeof in);
        if (ntohl(in.sin_addr.s_addr) >> 24 == 127)
            return false;
        inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
        snprintf(out, NAME_SIZE, "inet:%s@%s", port, text);
        return true;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, address, sizeof in6);
        if (IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) || IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr))
            return false;
        inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof text);
        snprintf(out, NAME_SIZE, "inet6:%s@%s", port, text);
        return true;
    }
    return false;
}

static bool
is_reachable(const char *server)
{
    struct flow_link *link = malloc(sizeof *link);
    struct err ignored = ERR_INIT;
    bool reached =
        link && flow_link_init(link, server, clock_monotonic_ms() + REACH_MS, &ignored) == ERR_OK;

    if (reached)
        flow_link_deinit(link);
    free(link);
    return reached;
}

static void
check_outside(struct ctl_doctor_report *report, const char *server)
{
    const char *at = strchr(server, '@');
    struct ifaddrs *list = NULL;
    char port[8], name[NAME_SIZE];
    size_t reached = 0, tried = 0;

    if (!at || getifaddrs(&list) != 0)
        return;
    snprintf(port, sizeof port, "%.*s", (int)strcspn(strchr(server, ':') + 1, "@"),
             strchr(server, ':') + 1);
    for (const struct ifaddrs *one = list; one && tried < REACH_LIMIT; one = one->ifa_next) {
        if (!one->ifa_addr || !format_server(one->ifa_addr, port, name))
            continue;
        tried++;
        if (!is_reachable(name))
            continue;
        reached++;
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, "copies.outside",
                                "bind it to loopback: 127.0.0.1:PORT in master.cf, Addr=127.0.0.1 "
                                "in sendmail.mc",
                                "the listener for copies answers at %s", name);
    }
    freeifaddrs(list);
    if (reached == 0)
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_OK, "copies.outside", NULL,
                                "the listener for copies answers at no address but loopback");
}

/* ---- a message without a mark ------------------------------------------------------------------
 */

static void
judge_probe(struct ctl_doctor_report *report, const struct flow_resubmit_reply *reply)
{
    if (strstr(reply->text, FLOW_MARK_REFUSAL))
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_OK, "copies.mark", NULL,
                                "a message without a mark was refused: %d %s", reply->code,
                                reply->text);
    else if (reply->code / 100 == 2)
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, "copies.mark",
                                "name smimed in its smtpd_milters, and resubmit_daemon in "
                                "milter_macro_daemon_name (Sendmail: Name=); see the example file",
                                "the listener took a message without a mark, which postmaster gets "
                                "now: whoever reaches it sends past smimed");
    else
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_UNKNOWN, "copies.mark",
                                "is smimed running, and the listener's milter?",
                                "a message without a mark was not refused by smimed: %d %s",
                                reply->code, reply->text);
}

static enum err_code
send_probe(struct flow_resubmit *resubmit, const char *recipient, struct flow_resubmit_reply *reply,
           struct err *err)
{
    static const char text[] = "Subject: a probe of smimectl doctor\r\n"
                               "Auto-Submitted: auto-generated\r\n\r\n"
                               "The listener for copies took this, and should not have.\r\n";
    enum flow_resubmit_end end;
    struct stage *sink = NULL;
    enum err_code code = flow_resubmit_add(resubmit, recipient, "NOTIFY=NEVER", reply, err);

    if (code != ERR_OK || reply->code / 100 != 2)
        return code;
    code = flow_resubmit_open(resubmit, &sink, reply, err);
    if (code == ERR_OK)
        code = stage_write(sink, span_str(text), err);
    if (code == ERR_OK)
        code = stage_finish(sink, err);
    if (code == ERR_OK)
        code = flow_resubmit_close(resubmit, &end, reply, err);
    stage_free(&sink);
    return code;
}

static void
check_probe(struct ctl_doctor_report *report, const char *server, const char *host)
{
    const struct flow_resubmit_args args = {
        .server = server,
        .helo = host,
        .sender = "",
        .is_8bit = true,
        .is_utf8 = true,
        .deadline_ms = clock_monotonic_ms() + PROBE_MS,
    };
    struct flow_resubmit_reply reply = { .code = 0 };
    struct flow_resubmit *resubmit = NULL;
    struct err err = ERR_INIT;
    char recipient[NAME_SIZE + 12];

    snprintf(recipient, sizeof recipient, "postmaster@%s", host);
    if (flow_resubmit_new(&args, &resubmit, &reply, &err) != ERR_OK) {
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, check_name,
                                "see the example file for the listener; messages that need copies "
                                "are deferred",
                                "%s", err.text);
        return;
    }
    if (!flow_resubmit_has_dsn(resubmit))
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_WARN, check_name,
                                "do not take DSN away (smtpd_discard_ehlo_keywords)",
                                "%s offers no DSN: what senders want to be told of is lost",
                                server);
    else
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_OK, check_name, NULL,
                                "%s offers 8BITMIME, SMTPUTF8 and DSN", server);
    if (send_probe(resubmit, recipient, &reply, &err) == ERR_OK || reply.code > 0)
        judge_probe(report, &reply);
    else
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_UNKNOWN, "copies.mark", NULL, "%s",
                                err.text);
    flow_resubmit_free(&resubmit);
}

void
ctl_doctor_check_copies(struct ctl_doctor_report *report, const struct conf *conf)
{
    const struct conf_global *global = &conf->global;
    char host[NAME_SIZE];

    if (!global->resubmit_server[0])
        return;
    if (global->hostname[0])
        snprintf(host, sizeof host, "%s", global->hostname);
    else if (gethostname(host, sizeof host - 1) != 0)
        snprintf(host, sizeof host, "localhost");
    host[sizeof host - 1] = '\0';
    check_probe(report, global->resubmit_server, host);
    check_outside(report, global->resubmit_server);
}
