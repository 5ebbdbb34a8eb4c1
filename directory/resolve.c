#include "directory/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "util/clock.h"

/* ---- names ----------------------------------------------------------------------------------- */

/* Shared by the thread that resolves and the caller; the last one frees it. */
struct question {
    pthread_mutex_t lock;
    pthread_cond_t done;
    unsigned holders;
    bool is_done;
    int code; /* of getaddrinfo */
    struct addrinfo *addresses;
    char port[8];
    char host[];
};

static void
question_release(struct question *question)
{
    pthread_mutex_lock(&question->lock);
    bool is_last = --question->holders == 0;
    pthread_mutex_unlock(&question->lock);
    if (!is_last)
        return;
    if (question->addresses)
        freeaddrinfo(question->addresses);
    pthread_cond_destroy(&question->done);
    pthread_mutex_destroy(&question->lock);
    free(question);
}

static const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };

static void *
question_answer(void *context)
{
    struct question *question = context;
    struct addrinfo *addresses = NULL;
    int code = getaddrinfo(question->host, question->port, &hints, &addresses);
    pthread_mutex_lock(&question->lock);
    question->code = code;
    question->addresses = code == 0 ? addresses : NULL;
    question->is_done = true;
    pthread_cond_signal(&question->done);
    pthread_mutex_unlock(&question->lock);
    question_release(question);
    return NULL;
}

static struct question *
question_new(const struct directory_server *server)
{
    size_t n = strlen(server->host) + 1;
    struct question *question = calloc(1, sizeof *question + n);
    pthread_condattr_t attributes;
    if (!question)
        return NULL;
    memcpy(question->host, server->host, n);
    snprintf(question->port, sizeof question->port, "%u", server->port);
    question->holders = 2;
    pthread_mutex_init(&question->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&question->done, &attributes);
    pthread_condattr_destroy(&attributes);
    return question;
}

/* False: the deadline is over. */
static bool
question_wait(struct question *question, int64_t deadline_ms)
{
    const struct timespec until = { .tv_sec = deadline_ms / 1000,
                                    .tv_nsec = deadline_ms % 1000 * 1000000 };
    int code = 0;
    pthread_mutex_lock(&question->lock);
    while (!question->is_done && code != ETIMEDOUT)
        code = pthread_cond_timedwait(&question->done, &question->lock, &until);
    bool is_done = question->is_done;
    pthread_mutex_unlock(&question->lock);
    return is_done;
}

static enum err_code
resolve(const struct directory_server *server, int64_t deadline_ms, struct addrinfo **out,
        struct err *err)
{
    struct addrinfo figures = hints;
    char port[8];
    pthread_t thread;
    figures.ai_flags = AI_NUMERICHOST;
    snprintf(port, sizeof port, "%u", server->port);
    if (getaddrinfo(server->host, port, &figures, out) == 0)
        return ERR_OK;
    *out = NULL;
    struct question *question = question_new(server);
    if (!question)
        return err_set(err, ERR_NOMEM, "no memory to resolve %.200s", server->host);
    int code = pthread_create(&thread, NULL, question_answer, question);
    if (code != 0) {
        question->holders = 1;
        question_release(question);
        return err_set_errno(err, code, "cannot resolve %.200s", server->host);
    }
    pthread_detach(thread);
    enum err_code rc = ERR_OK;
    if (!question_wait(question, deadline_ms)) {
        rc = err_set(err, ERR_TEMP, "%.200s could not be resolved in time", server->host);
    } else if (question->code != 0) {
        rc = err_set(err, ERR_TEMP, "%.200s cannot be resolved: %s", server->host,
                     gai_strerror(question->code));
    } else {
        *out = question->addresses;
        question->addresses = NULL;
    }
    question_release(question);
    return rc;
}

/* ---- sockets --------------------------------------------------------------------------------- */

/* 0, or an errno. */
static int
finish_connect(int fd, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd fds = { .fd = fd, .events = POLLOUT };
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        int error = 0;
        socklen_t n = sizeof error;
        if (left_ms <= 0)
            return ETIMEDOUT;
        int count = poll(&fds, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        if (count < 0 && errno != EINTR)
            return errno;
        if (count <= 0)
            continue;
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) ? errno : error;
    }
}

/* 0 and a connected socket, or an errno. */
static int
connect_to(const struct sockaddr *address, socklen_t size, int64_t deadline_ms, int *out)
{
    const int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int error = connect(fd, address, size) == 0 ? 0 : errno;
    if (error == EINPROGRESS || error == EINTR)
        error = finish_connect(fd, deadline_ms);
    if (error == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK))
        error = errno;
    if (error != 0) {
        close(fd);
        return error;
    }
    if (address->sa_family != AF_UNIX) {
        /* Best efforts: a connection is one without them too. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    *out = fd;
    return 0;
}

static enum err_code
connect_unix(const struct directory_server *server, int64_t deadline_ms, int *out, struct err *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t n = strlen(server->socket);
    if (n >= sizeof address.sun_path)
        return err_set(err, ERR_PERM, "the path of a socket is too long");
    memcpy(address.sun_path, server->socket, n + 1);
    int error = connect_to((const struct sockaddr *)&address, sizeof address, deadline_ms, out);
    return error == 0 ? ERR_OK : err_set_errno(err, error, "cannot connect to %s", server->socket);
}

enum err_code
directory_resolve_connect(const struct directory_server *server, int64_t deadline_ms, int *out,
                          struct err *err)
{
    struct addrinfo *addresses = NULL;
    int64_t left = 0;
    int error = EADDRNOTAVAIL;
    *out = -1;
    if (server->socket)
        return connect_unix(server, deadline_ms, out, err);
    enum err_code code = resolve(server, deadline_ms, &addresses, err);
    if (code != ERR_OK)
        return code;
    for (const struct addrinfo *one = addresses; one; one = one->ai_next)
        left++;
    for (const struct addrinfo *one = addresses; one && *out < 0; one = one->ai_next, left--) {
        int64_t now_ms = clock_monotonic_ms();
        error =
            connect_to(one->ai_addr, one->ai_addrlen, now_ms + (deadline_ms - now_ms) / left, out);
    }
    freeaddrinfo(addresses);
    return *out >= 0 ? ERR_OK : err_set_errno(err, error, "cannot connect");
}
