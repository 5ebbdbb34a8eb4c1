/*
 * The network side of trust: the proxy, Redis, the key that seals.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/seal.h"
#include "ctl/doctor_report.h"
#include "flow/evidence.h"
#include "util/clock.h"

enum { CONNECT_MS = 3000, VALUE_S = 60 };

/* ---- the proxy ---------------------------------------------------------------------------------
 */

static bool
connect_to(const struct addrinfo *address, int64_t deadline_ms)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct pollfd fds = { .fd = fd, .events = POLLOUT };
    int left_ms = (int)(deadline_ms - clock_monotonic_ms()), error = 0;
    socklen_t n = sizeof error;
    bool good;

    if (fd < 0)
        return false;
    good = connect(fd, address->ai_addr, address->ai_addrlen) == 0 ||
           (errno == EINPROGRESS && left_ms > 0 && poll(&fds, 1, left_ms) == 1 &&
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == 0);
    close(fd);
    return good;
}

static void
check_proxy(struct ctl_doctor_report *report, const struct conf_global *global)
{
    static const char name[] = "proxy", hint[] = "see fetch_proxy; http://host:port";
    const char *at = strstr(global->fetch_proxy, "://");
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    char host[NETWORK_HOST_SIZE], port_text[16], server[600];
    int64_t deadline_ms = clock_monotonic_ms() + CONNECT_MS;
    struct err err = ERR_INIT;
    bool good = false;
    unsigned port;

    if (!global->fetch_proxy[0])
        return;
    snprintf(server, sizeof server, "%s", at ? at + 3 : global->fetch_proxy);
    server[strcspn(server, "/")] = '\0';
    at = strrchr(server, '@'); /* a name and a password stand before it */
    if (network_parse_server(at ? at + 1 : server, host, &port, &err)) {
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, name, hint, "%s", err.text);
        return;
    }
    snprintf(port_text, sizeof port_text, "%u", port);
    if (getaddrinfo(host, port_text, &hints, &list) != 0) {
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, name, hint,
                                "the name %s cannot be resolved", host);
        return;
    }
    for (const struct addrinfo *a = list; a && !good; a = a->ai_next)
        good = connect_to(a, deadline_ms);
    freeaddrinfo(list);
    ctl_doctor_report_write(report, good ? CTL_DOCTOR_LEVEL_OK : CTL_DOCTOR_LEVEL_FAIL, name, hint,
                            good ? "%s:%u takes connections" : "%s:%u takes no connection", host,
                            port);
    if (global->fetch_proxy_resolves)
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_OK, name, NULL,
                                "fetch_proxy_resolves: it must refuse internal addresses itself");
}

/* ---- Redis -------------------------------------------------------------------------------------
 */

/* A number that is the same where the key file is the same, and says nothing about it. */
static void
check_seal(struct ctl_doctor_report *report, const char *path)
{
    enum { HMAC_AT = 28 };
    struct cache_seal *seal = NULL;
    struct cache_seal_value value = { .name = span_str("doctor"), .bytes = span_str("doctor") };
    struct buf sealed = BUF_INIT(256);
    struct err err = ERR_INIT;

    if (cache_seal_load(path, &seal, &err) || cache_seal_write(seal, &value, &sealed, &err))
        ctl_doctor_report_write(
            report, CTL_DOCTOR_LEVEL_FAIL, "cache-key",
            "head -c 32 /dev/urandom > FILE; chmod 0600 FILE; owner is smimed's "
            "user or root",
            "%s", err.text);
    else
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_OK, "cache-key", NULL,
                                "%s; its number must be the same on all gateways: %02x%02x%02x%02x",
                                path, sealed.p[HMAC_AT], sealed.p[HMAC_AT + 1],
                                sealed.p[HMAC_AT + 2], sealed.p[HMAC_AT + 3]);
    buf_free(&sealed);
    cache_seal_free(&seal);
}

/* Everything that smimed does with it: store, find, claim, remove. */
static enum err_code
try_cache(struct cache *cache, struct err *err)
{
    const struct span key = span_str("doctor");
    struct cache_value value = { .bytes = span_str("doctor"),
                                 .fetched_s = clock_now_s(),
                                 .ttl_s = VALUE_S };
    struct cache_claim claim = { .token = "" };
    struct buf found = BUF_INIT(256);
    int64_t fetched_s = 0;
    enum err_code code = cache_set(cache, key, &value, err);

    if (code == ERR_OK)
        code = cache_get(cache, key, &found, &fetched_s, err);
    if (code == ERR_OK && !span_equal(buf_span(&found), value.bytes))
        code = err_set(err, ERR_BUG, "what comes back is not what was stored");
    if (code == ERR_OK && cache_claim(cache, key, 1000, &claim, err) == ERR_TEMP)
        code = err->code;
    if (code == ERR_OK) {
        err_reset(err);
        cache_release(cache, key, &claim);
        code = cache_remove(cache, key, err);
    }
    buf_free(&found);
    return code;
}

static void
check_redis(struct ctl_doctor_report *report, const struct conf_global *global)
{
    static const char hint[] = "see conf/redis.example: socket or address, password file, ACL user "
                               "(~PREFIX* +get +set +del +eval +getrange +select, +info with "
                               "Sentinels)";
    const char *where = global->redis_server[0] ? global->redis_server : global->redis_master;
    struct cache *cache = NULL;
    struct err err = ERR_INIT;

    if (flow_evidence_cache_new(global, &cache, &err) || try_cache(cache, &err))
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, "redis", hint,
                                "%s: %s; mail goes on without it", where, err.text);
    else
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_OK, "redis", NULL,
                                "%s stores, finds, claims and removes", where);
    cache_free(&cache);
}

void
ctl_doctor_check_cache(struct ctl_doctor_report *report, const struct conf *conf)
{
    check_proxy(report, &conf->global);
    if (conf->global.cache != CONF_CACHE_REDIS)
        return;
    check_seal(report, conf->global.cache_key_file);
    check_redis(report, &conf->global);
}
