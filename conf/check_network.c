/*
 * What hangs together of fetching, of the cache and of the times a message may wait.
 */
#include <string.h>

#include "conf/parser.h"

enum { CONF_PREFIX_BYTES = 64, CONF_SENTINELS = 16 };

/* Where it was given; NULL: it was not. */
static const struct conf_origin *
conf_network_given(const struct conf_section *section, const char *name)
{
    const struct conf_table *table = conf_table_get(section->kind);
    const struct conf_origin *origin =
        &section->origins[conf_table_find(table, name) - table->params];

    return origin->line > 0 ? origin : NULL;
}

static const struct conf_origin *
conf_network_origin(const struct conf_section *section, const char *name)
{
    const struct conf_origin *given = conf_network_given(section, name);

    return given ? given : &section->at;
}

static void
conf_network_check_server(struct conf_report *report, const struct conf_section *section,
                          const char *name, const char *value)
{
    char host[NETWORK_HOST_SIZE];
    struct err err = ERR_INIT;
    unsigned port;

    if (strncmp(value, "unix:/", 6) == 0 && strcmp(name, "redis_server") == 0)
        return;
    if (network_parse_server(value, host, &port, &err) != ERR_OK)
        conf_report_set(report, conf_network_origin(section, name),
                        "%s = %s: %s; such as %s127.0.0.1:%s", name, value, err.text,
                        strcmp(name, "redis_server") == 0 ? "unix:/run/redis/redis.sock or " : "",
                        strcmp(name, "redis_server") == 0 ? "6379" : "26379");
}

static void
conf_network_check_redis(struct conf_report *report, const struct conf_section *section,
                         const struct conf_global *global)
{
    size_t sentinels = 0;

    if (global->redis_server[0])
        conf_network_check_server(report, section, "redis_server", global->redis_server);
    for (; global->redis_sentinels[sentinels]; sentinels++)
        conf_network_check_server(report, section, "redis_sentinels",
                                  global->redis_sentinels[sentinels]);
    if (sentinels > CONF_SENTINELS)
        conf_report_set(report, conf_network_origin(section, "redis_sentinels"),
                        "redis_sentinels: %zu are given; at most %d", sentinels, CONF_SENTINELS);
    if (sentinels && global->redis_server[0])
        conf_report_set(report, conf_network_origin(section, "redis_server"),
                        "redis_server and redis_sentinels exclude each other; remove one of them");
    if (sentinels && !global->redis_master[0])
        conf_report_set(report, conf_network_origin(section, "redis_sentinels"),
                        "redis_sentinels needs redis_master; the name of the master in "
                        "sentinel.conf, such as redis_master = mymaster");
    if (!sentinels && global->redis_master[0])
        conf_report_set(report, conf_network_origin(section, "redis_master"),
                        "redis_master needs redis_sentinels; such as redis_sentinels = "
                        "192.0.2.1:26379, 192.0.2.2:26379, 192.0.2.3:26379");
    if (global->redis_user[0] && !global->redis_password_file[0])
        conf_report_set(report, conf_network_origin(section, "redis_user"),
                        "redis_user needs redis_password_file; a file that only smimed can read");
    if (strlen(global->redis_prefix) > CONF_PREFIX_BYTES)
        conf_report_set(report, conf_network_origin(section, "redis_prefix"),
                        "redis_prefix is longer than %d octets; such as redis_prefix = smimed:",
                        CONF_PREFIX_BYTES);
    if (global->cache != CONF_CACHE_REDIS)
        return;
    if (!global->cache_key_file[0])
        conf_report_set(report, conf_network_origin(section, "cache"),
                        "cache = redis needs cache_key_file; make it once with head -c 32 "
                        "/dev/urandom, mode 0600, and copy it to all gateways");
    if (!sentinels && !global->redis_server[0])
        conf_report_set(report, conf_network_origin(section, "cache"),
                        "cache = redis needs redis_server, or redis_sentinels and redis_master; "
                        "such as redis_server = unix:/run/redis/redis.sock");
}

static void
conf_network_check_fetch(struct conf_report *report, const struct conf_section *section,
                         const struct conf_global *global)
{
    const char *proxy = global->fetch_proxy;
    const struct conf_origin *at;

    if (proxy[0] && strncmp(proxy, "http://", 7) != 0 && strncmp(proxy, "https://", 8) != 0 &&
        strncmp(proxy, "socks5h://", 10) != 0)
        conf_report_set(report, conf_network_origin(section, "fetch_proxy"),
                        "fetch_proxy = %s is not a proxy; such as http://proxy.example.com:3128, "
                        "https://... or socks5h://...",
                        proxy);
    if (global->fetch_proxy_resolves && !proxy[0])
        conf_report_set(report, conf_network_origin(section, "fetch_proxy_resolves"),
                        "fetch_proxy_resolves needs fetch_proxy; such as "
                        "fetch_proxy = http://proxy.example.com:3128");
    if ((at = conf_network_given(section, "fetch_connect_timeout")) &&
        global->fetch_connect_timeout > global->fetch_timeout)
        conf_report_set(report, at,
                        "fetch_connect_timeout is longer than fetch_timeout, of which it is a "
                        "part; give less");
}

/* Both must have been given by somebody to contradict each other: defaults give way. */
static void
conf_network_check_sizes(struct conf_report *report, const struct conf_section *section,
                         const struct conf_global *global)
{
    const struct conf_origin *at = conf_network_given(section, "cache_memory");

    if (!at)
        at = conf_network_given(section, "fetch_max_crl");
    if (at && global->cache_memory / 2 < global->fetch_max_crl)
        conf_report_set(report, at,
                        "cache_memory must be at least twice fetch_max_crl, or one CRL takes all "
                        "others away; raise cache_memory or lower fetch_max_crl");
    at = conf_network_given(section, "facts_timeout");
    if (at && global->facts_timeout >= global->eom_timeout)
        conf_report_set(report, at,
                        "facts_timeout must be shorter than eom_timeout, of which it is a part; "
                        "lower it, or raise eom_timeout");
}

void
conf_check_network(struct conf_parser *parser, const struct conf_section *section)
{
    const struct conf_global *global = section->base;

    conf_network_check_fetch(&parser->report, section, global);
    conf_network_check_redis(&parser->report, section, global);
    conf_network_check_sizes(&parser->report, section, global);
}
