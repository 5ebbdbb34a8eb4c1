/*
 * Servers for the tests of the shared cache: a real redis-server of our own in a scratch folder,
 * ended by its pid, and false ones that misbehave. Included by one test program.
 */
#ifndef TESTS_UNIT_CACHE_SERVER_H
#define TESTS_UNIT_CACHE_SERVER_H

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <netinet/in.h>

#include <cmocka.h>

#include "cache/store.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/log.h"

static char scratch[] = "/tmp/smimed-redis-XXXXXX";

static inline const char *
server_path(const char *name)
{
    static char path[8][128];
    static unsigned next;
    char *p = path[next++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", scratch, name);
    return p;
}

static inline void
pause_ms(long ms)
{
    nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

static inline pid_t
server_spawn(char *const argv[])
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        unsetenv("LD_PRELOAD");
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(126);
        execvp(argv[0], argv);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

/* Waits until it answers PING, with whatever: also NOAUTH is an answer. */
static inline void
server_wait(const struct cache_redis_server *server)
{
    for (unsigned i = 0; i < 400; i++) {
        struct cache_redis *redis = NULL;
        if (cache_redis_new(server, clock_monotonic_ms() + 1000, &redis, NULL) == ERR_OK) {
            cache_redis_free(&redis);
            return;
        }
        pause_ms(25);
    }
    fail_msg("no server came up");
}

/* A redis-server on the Unix socket `name` in the scratch folder, which keeps nothing on disk. */
static inline pid_t
server_start(const char *name)
{
    char *argv[] = { (char *)"redis-server",
                     (char *)"--port",
                     (char *)"0",
                     (char *)"--unixsocket",
                     (char *)(uintptr_t)server_path(name),
                     (char *)"--save",
                     (char *)"",
                     (char *)"--dir",
                     scratch,
                     NULL };
    pid_t pid = server_spawn(argv);
    server_wait(&(struct cache_redis_server){ .socket = server_path(name) });
    return pid;
}

static inline void
server_stop(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* A command of somebody who can write to Redis and has no key file. */
static inline enum cache_redis_kind
raw(const char *name, const struct span *words, size_t count, struct buf *out)
{
    struct err err = ERR_INIT;
    struct cache_redis *redis = NULL;
    struct cache_redis_answer answer;
    int64_t deadline_ms = clock_monotonic_ms() + 20000;
    const struct cache_redis_question question = {
        .arguments = words, .count = count, .limit_bytes = 128 << 20, .deadline_ms = deadline_ms
    };
    if (cache_redis_new(&(struct cache_redis_server){ .socket = server_path(name) }, deadline_ms,
                        &redis, &err) != ERR_OK ||
        cache_redis_ask(redis, &question, &answer, &err) != ERR_OK)
        fail_msg("%s", err.text);
    if (answer.kind == CACHE_REDIS_KIND_ERROR)
        print_message("raw: %.*s\n", SPAN_ARG(answer.text));
    if (out)
        assert_int_equal(buf_append(out, answer.text, NULL), ERR_OK);
    if (answer.kind == CACHE_REDIS_KIND_INTEGER && out)
        assert_int_equal(buf_appendf(out, NULL, "%lld", (long long)answer.integer), ERR_OK);
    enum cache_redis_kind kind = answer.kind;
    cache_redis_free(&redis);
    return kind;
}

#define RAW(name, ...)                              \
    raw(name, (const struct span[]){ __VA_ARGS__ }, \
        sizeof((const struct span[]){ __VA_ARGS__ }) / sizeof(struct span), NULL)

/* A false server: answers each question by `say`, `pause` milliseconds between octets when it
 * drips. */
struct liar {
    struct span say;
    bool drips, resets, silent;
    int listener;
    pthread_t thread;
    _Atomic unsigned asked;
    _Atomic bool ends;
};

static inline void
liar_talk(struct liar *liar, int fd)
{
    char question[4096];
    while (recv(fd, question, sizeof question, 0) > 0) {
        liar->asked++;
        if (liar->resets) {
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
                       sizeof(struct linger));
            return;
        }
        if (liar->silent)
            continue;
        if (!liar->drips) {
            send(fd, liar->say.p, liar->say.n, MSG_NOSIGNAL);
            continue;
        }
        for (size_t i = 0; i < liar->say.n && !liar->ends; i++) {
            if (send(fd, liar->say.p + i, 1, MSG_NOSIGNAL) != 1)
                return;
            pause_ms(20);
        }
    }
}

static inline void *
liar_run(void *context)
{
    struct liar *liar = context;
    while (!liar->ends) {
        int fd = accept(liar->listener, NULL, NULL);
        if (fd < 0)
            break;
        if (!liar->ends)
            liar_talk(liar, fd);
        close(fd);
    }
    return NULL;
}

/* On TCP, since a reset is one there; returns the port. */
static inline unsigned
liar_start(struct liar *liar)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    liar->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(liar->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(liar->listener, 64), 0);
    getsockname(liar->listener, (struct sockaddr *)&address, &size);
    assert_int_equal(pthread_create(&liar->thread, NULL, liar_run, liar), 0);
    return ntohs(address.sin_port);
}

/* When the client's connections are closed. */
static inline void
liar_stop(struct liar *liar)
{
    liar->ends = true;
    shutdown(liar->listener, SHUT_RDWR);
    pthread_join(liar->thread, NULL);
    close(liar->listener);
}

#endif
