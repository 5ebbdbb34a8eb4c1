#include "milter/control_bypass.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flow/bypass.h"
#include "flow/services.h"
#include "milter/control_json.h"
#include "pki/reason.h"
#include "util/clock.h"
#include "util/log.h"

static long long
left_s(time_t until)
{
    long long left = (long long)(until - clock_now_s());

    return until != 0 && left > 0 ? left : 0;
}

enum err_code
milter_control_bypass_append(struct buf *out, struct err *err)
{
    return buf_appendf(out, err, ", \"bypass_left_s\": %lld", left_s(flow_bypass_get()));
}

static enum err_code
format_error(const char *text, struct buf *out, struct err *err)
{
    if (buf_append_str(out, "{\"ok\": false, \"error\": ", err) ||
        milter_control_append_string(out, text, err))
        return err->code;
    return buf_append_str(out, "}\n", err);
}

static enum err_code
format_state(struct buf *out, struct err *err)
{
    time_t until = flow_bypass_get();
    char when[PKI_TIME_SIZE];

    if (until == 0)
        return buf_append_str(out, "{\"ok\": true, \"bypass\": false}\n", err);
    return buf_appendf(out, err,
                       "{\"ok\": true, \"bypass\": true, \"until\": \"%s\", \"left_s\": %lld}\n",
                       pki_time_format(until, when), left_s(until));
}

static void
tell(uid_t uid)
{
    time_t until = flow_bypass_get();
    char when[PKI_TIME_SIZE];

    if (until == 0)
        log_info(NULL, "bypass: user %lu switched signing and verifying on again",
                 (unsigned long)uid);
    else
        log_info(NULL,
                 "bypass: user %lu switched signing and verifying off until %s; what must be "
                 "encrypted still is",
                 (unsigned long)uid, pki_time_format(until, when));
}

enum err_code
milter_control_bypass_format(const char *words, uid_t uid, struct buf *out, struct err *err)
{
    struct flow_services *services;
    struct err why = ERR_INIT;
    long long seconds = 0;
    char *end = NULL;
    enum err_code code;

    if (words[0] == '\0')
        return format_state(out, err);
    if (uid != 0 && uid != geteuid())
        return format_error("only root and the user of smimed may switch bypass", out, err);
    if (strcmp(words, " off") != 0) {
        seconds = strtoll(words + 1, &end, 10);
        if (words[0] != ' ' || end == words + 1 || *end || seconds <= 0 || seconds > 86400)
            return format_error("bypass takes off, or seconds up to 86400", out, err);
    }
    services = flow_services_get1();
    if (!services)
        return format_error("stopping", out, err);
    code = flow_bypass_set(&services->conf->global, seconds * 1000, &why);
    flow_services_free(&services);
    if (code != ERR_OK)
        return format_error(why.text, out, err);
    tell(uid);
    return format_state(out, err);
}
