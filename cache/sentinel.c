#include "cache/sentinel.h"

#include <stdlib.h>

#include "util/clock.h"

enum { CACHE_SENTINEL_INFO_BYTES = 16384 };

/* A port in decimal digits and nothing else; 0: it is none. */
static unsigned
cache_sentinel_parse_port(struct span text)
{
    unsigned port = 0;

    if (text.n == 0 || text.n > 5)
        return 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return 0;
        port = port * 10 + (unsigned)(text.p[i] - '0');
    }
    return port > 65535 ? 0 : port;
}

static enum err_code
cache_sentinel_ask(const struct cache_redis_server *server, const char *master, int64_t deadline_ms,
                   struct cache_sentinel_answer *out, struct err *err)
{
    const struct span arguments[] = { span_str("SENTINEL"), span_str("get-master-addr-by-name"),
                                      span_str(master) };
    const struct cache_redis_question question = {
        .arguments = arguments,
        .count = 3,
        .limit_bytes = CACHE_SENTINEL_HOST_SIZE,
        .deadline_ms = deadline_ms,
    };
    struct cache_redis_answer answer;
    struct cache_redis *redis = NULL;
    enum err_code rc = cache_redis_new(server, deadline_ms, &redis, err);

    if (rc == ERR_OK)
        rc = cache_redis_ask(redis, &question, &answer, err);
    if (rc == ERR_OK) {
        struct span host = answer.elements[0];

        out->port = answer.kind == CACHE_REDIS_KIND_ARRAY && answer.count == 2
                        ? cache_sentinel_parse_port(answer.elements[1])
                        : 0;
        if (out->port == 0 || host.n == 0 || host.n >= sizeof out->host ||
            span_find(host, '\0') < host.n) {
            rc = err_set(err, ERR_TEMP, "a Sentinel does not know the master %.100s", master);
        } else {
            memcpy(out->host, host.p, host.n);
            out->host[host.n] = '\0';
        }
    }
    cache_redis_free(&redis);
    return rc;
}

enum err_code
cache_sentinel_find(const struct cache_sentinel *sentinel, int64_t deadline_ms,
                    struct cache_sentinel_answer *answer, struct err *err)
{
    struct err last = ERR_INIT;
    enum err_code rc = ERR_TEMP;

    for (size_t i = 0; i < sentinel->count && i < CACHE_SENTINEL_COUNT && rc != ERR_OK; i++) {
        int64_t now_ms = clock_monotonic_ms();
        /* A silent one has its share, so that there is time for the next and for the master. */
        int64_t share_ms = (deadline_ms - now_ms) / (int64_t)(sentinel->count - i + 1);

        err_reset(&last);
        rc = cache_sentinel_ask(&sentinel->sentinels[i], sentinel->master, now_ms + share_ms,
                                answer, &last);
    }
    if (rc == ERR_OK)
        return ERR_OK;
    return err_set(err, ERR_TEMP, "no Sentinel answers: %.400s", last.text);
}

enum err_code
cache_sentinel_check(struct cache_redis *redis, int64_t deadline_ms, struct err *err)
{
    const struct span arguments[] = { span_str("INFO"), span_str("replication") };
    const struct cache_redis_question question = {
        .arguments = arguments,
        .count = 2,
        .limit_bytes = CACHE_SENTINEL_INFO_BYTES,
        .deadline_ms = deadline_ms,
    };
    static const char wanted[] = "\nrole:master\r";
    struct cache_redis_answer answer;
    enum err_code rc = cache_redis_ask(redis, &question, &answer, err);

    if (rc != ERR_OK)
        return rc == ERR_LIMIT ? ERR_TEMP : rc;
    if (answer.kind != CACHE_REDIS_KIND_STRING ||
        !memmem(answer.text.p, answer.text.n, wanted, sizeof wanted - 1))
        return err_set(err, ERR_TEMP, "the server that Sentinel names says it is no master%s",
                       answer.kind == CACHE_REDIS_KIND_ERROR ? " (INFO is refused)" : "");
    return ERR_OK;
}
