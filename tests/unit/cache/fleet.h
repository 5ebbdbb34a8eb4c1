/*
 * A master, its replica and three Sentinels, all real and on loopback. Included by one test
 * program.
 */
#ifndef TESTS_UNIT_CACHE_FLEET_H
#define TESTS_UNIT_CACHE_FLEET_H

#include "tests/unit/cache/server.h"

#include "cache/sentinel.h"

enum { SENTINELS = 3, FAILOVER_MS = 30000 };

struct fleet {
    unsigned port[2];
    pid_t pid[2];
    unsigned sentinel_port[SENTINELS];
    pid_t sentinel_pid[SENTINELS];
    struct cache_redis_server sentinels[SENTINELS];
};

/* A port that was free a moment ago. */
static inline unsigned
free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    getsockname(fd, (struct sockaddr *)&address, &size);
    close(fd);
    return ntohs(address.sin_port);
}

/* Starts `redis-server FILE MODE` with this configuration and waits for it. */
static inline pid_t
start(const char *name, unsigned port, const char *conf, const char *mode)
{
    char text[1024];
    char *argv[] = { (char *)"redis-server", (char *)(uintptr_t)server_path(name),
                     (char *)(uintptr_t)mode, NULL };
    snprintf(text, sizeof text, "port %u\nbind 127.0.0.1\ndir %s\n%s", port, scratch, conf);
    assert_int_equal(file_write(argv[1], span_str(text), 0600, NULL), ERR_OK);
    pid_t pid = server_spawn(argv);
    server_wait(&(struct cache_redis_server){ .host = "127.0.0.1", .port = port });
    return pid;
}

static inline void
fleet_start(struct fleet *fleet)
{
    char conf[512], name[32];
    fleet->port[0] = free_port();
    fleet->pid[0] = start("r0", fleet->port[0], "save \"\"\n", NULL);
    fleet->port[1] = free_port();
    snprintf(conf, sizeof conf, "save \"\"\nreplicaof 127.0.0.1 %u\nrepl-diskless-sync-delay 0\n",
             fleet->port[0]);
    fleet->pid[1] = start("r1", fleet->port[1], conf, NULL);
    for (unsigned i = 0; i < SENTINELS; i++) {
        snprintf(conf, sizeof conf,
                 "sentinel monitor mymaster 127.0.0.1 %u 2\n"
                 "sentinel down-after-milliseconds mymaster 1000\n"
                 "sentinel failover-timeout mymaster 5000\n",
                 fleet->port[0]);
        snprintf(name, sizeof name, "s%u", i);
        fleet->sentinel_port[i] = free_port();
        fleet->sentinel_pid[i] = start(name, fleet->sentinel_port[i], conf, "--sentinel");
        fleet->sentinels[i] =
            (struct cache_redis_server){ .host = "127.0.0.1", .port = fleet->sentinel_port[i] };
    }
}

static inline void
fleet_stop(struct fleet *fleet)
{
    for (unsigned i = 0; i < 2; i++)
        server_stop(fleet->pid[i]);
    for (unsigned i = 0; i < SENTINELS; i++)
        server_stop(fleet->sentinel_pid[i]);
}

/* Three Sentinels find each other and the replica by the master's channel, every two seconds. */
static inline void
fleet_wait(struct fleet *fleet)
{
    const struct span words[] = { span_str("SENTINEL"), span_str("ckquorum"),
                                  span_str("mymaster") };
    const struct span info[] = { span_str("INFO"), span_str("sentinel") };
    static const char wanted[] = "slaves=1,sentinels=3";
    unsigned ready = 0;
    for (unsigned i = 0; i < 300 && ready < SENTINELS; i++) {
        pause_ms(100);
        ready = 0;
        for (unsigned j = 0; j < SENTINELS; j++) {
            struct cache_redis *redis = NULL;
            struct cache_redis_answer answer;
            int64_t until_ms = clock_monotonic_ms() + 2000;
            struct cache_redis_question question = {
                .arguments = words, .count = 3, .limit_bytes = 8192, .deadline_ms = until_ms
            };
            if (cache_redis_new(&fleet->sentinels[j], until_ms, &redis, NULL) != ERR_OK)
                continue;
            bool good = cache_redis_ask(redis, &question, &answer, NULL) == ERR_OK &&
                        answer.kind == CACHE_REDIS_KIND_STATUS;
            question.arguments = info;
            question.count = 2;
            good = good && cache_redis_ask(redis, &question, &answer, NULL) == ERR_OK &&
                   memmem(answer.text.p, answer.text.n, wanted, sizeof wanted - 1);
            ready += good;
            cache_redis_free(&redis);
        }
    }
    assert_int_equal(ready, SENTINELS);
}

#endif
