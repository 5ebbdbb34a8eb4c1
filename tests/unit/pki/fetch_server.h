/*
 * An HTTP server for tests, on loopback, on a port that the kernel chooses. The path says how it
 * misbehaves. Each connection has a thread; fetch_server_free waits for all.
 */
#ifndef TESTS_UNIT_PKI_FETCH_SERVER_H
#define TESTS_UNIT_PKI_FETCH_SERVER_H

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fetch_server {
    int fd;
    unsigned port;
    pthread_t thread;
    atomic_int accepted, requests, connections;
    atomic_bool stop;
    _Atomic unsigned tripwire_port; /* where /to-tripwire leads */
};

struct fetch_server_connection {
    struct fetch_server *server;
    int fd;
};

static inline int
fetch_server_listen(int family, int backlog, unsigned *port)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    bool six = family == AF_INET6;
    socklen_t n = six ? sizeof in6 : sizeof in;
    struct sockaddr *address = six ? (struct sockaddr *)&in6 : (struct sockaddr *)&in;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (six)
        in6.sin6_port = htons((uint16_t)*port);
    if (fd < 0 || bind(fd, address, n) != 0 || listen(fd, backlog) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    getsockname(fd, address, &n);
    *port = ntohs(six ? in6.sin6_port : in.sin_port);
    return fd;
}

static inline bool
fetch_server_send(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static inline bool
fetch_server_say(int fd, const char *text)
{
    return fetch_server_send(fd, text, strlen(text));
}

static inline void
fetch_server_pause(unsigned ms)
{
    poll(NULL, 0, (int)ms);
}

/* Sends `piece` again and again until the client has had enough; every `pause_ms`. */
static inline void
fetch_server_repeat(struct fetch_server *s, int fd, const char *piece, unsigned pause_ms)
{
    for (int i = 0; i < 2000000 && !s->stop && fetch_server_say(fd, piece); i++)
        if (pause_ms)
            fetch_server_pause(pause_ms);
}

static inline void
fetch_server_redirect(int fd, int status, const char *target)
{
    char text[4096];

    snprintf(text, sizeof text,
             "HTTP/1.1 %d Elsewhere\r\nLocation: %s\r\nContent-Length: 6\r\n\r\nignore", status,
             target);
    fetch_server_say(fd, text);
}

static inline void
fetch_server_misbehave(struct fetch_server *s, int fd, const char *path)
{
    struct linger reset = { .l_onoff = 1, .l_linger = 0 };
    char target[200];

    if (strcmp(path, "/slow") == 0) {
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n");
        fetch_server_repeat(s, fd, "x", 1000);
    } else if (strcmp(path, "/silent") == 0) {
        for (int i = 0; i < 100 && !s->stop; i++)
            fetch_server_pause(50);
    } else if (strcmp(path, "/reset") == 0) {
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
        fetch_server_pause(50);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    } else if (strcmp(path, "/endless") == 0) {
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\n\r\n");
        fetch_server_repeat(s, fd, "0123456789012345678901234567890123456789", 0);
    } else if (strcmp(path, "/endless-header") == 0) {
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\n");
        fetch_server_repeat(s, fd, "X-Filler: 0123456789012345678901234567890123456789\r\n", 0);
    } else if (strcmp(path, "/endless-100") == 0) {
        fetch_server_repeat(s, fd, "HTTP/1.1 100 Continue\r\n\r\n", 0);
    } else if (strcmp(path, "/endless-404") == 0) {
        fetch_server_say(fd, "HTTP/1.1 404 No\r\n\r\n");
        fetch_server_repeat(s, fd, "no no no no no", 0);
    } else if (strcmp(path, "/huge") == 0) {
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 209715200\r\n\r\n");
        fetch_server_repeat(s, fd, "0123456789", 0);
    } else if (strcmp(path, "/short") == 0) {
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    } else if (strcmp(path, "/gzip") == 0) {
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
                             "Content-Length: 4\r\n\r\n\x1f\x8b\x08!");
    } else if (strcmp(path, "/te-gzip") == 0) {
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n");
    } else if (strcmp(path, "/chunked") == 0) {
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
    } else if (strcmp(path, "/chunked-endless") == 0) {
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        fetch_server_repeat(s, fd, "10\r\n0123456789abcdef\r\n", 0);
    } else if (strcmp(path, "/empty") == 0) {
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    } else if (strcmp(path, "/garbage") == 0) {
        fetch_server_say(fd, "220 mail.example.org ESMTP\r\n");
    } else if (strcmp(path, "/loop") == 0) {
        fetch_server_redirect(fd, 302, "/loop");
    } else if (strcmp(path, "/to-good") == 0) {
        fetch_server_redirect(fd, 301, "../good");
    } else if (strcmp(path, "/to-post") == 0) {
        fetch_server_redirect(fd, 307, "/good");
    } else if (strcmp(path, "/to-file") == 0) {
        fetch_server_redirect(fd, 302, "file:///etc/passwd");
    } else if (strcmp(path, "/to-private") == 0) {
        fetch_server_redirect(fd, 302, "http://10.0.0.1/latest/meta-data/");
    } else if (strcmp(path, "/to-tripwire") == 0) {
        snprintf(target, sizeof target, "http://localhost:%u/", s->tripwire_port);
        fetch_server_redirect(fd, 302, target);
    } else if (strcmp(path, "/to-nowhere") == 0) {
        fetch_server_say(fd, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
    } else if (strcmp(path, "/410") == 0) {
        fetch_server_say(fd, "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n");
    } else if (strcmp(path, "/500") == 0) {
        fetch_server_say(fd, "HTTP/1.1 500 Broken\r\nContent-Length: 4\r\n\r\noops");
    } else if (strcmp(path, "/shared") == 0) {
        fetch_server_pause(300);
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nshared");
    } else if (strncmp(path, "/good", 5) == 0) {
        fetch_server_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    } else {
        fetch_server_say(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    }
}

static inline void *
fetch_server_converse(void *context)
{
    struct fetch_server_connection *c = context;
    char request[4096], path[200] = "";
    size_t n = 0;

    while (n < sizeof request - 1) {
        struct pollfd p = { .fd = c->fd, .events = POLLIN };
        ssize_t got;
        if (poll(&p, 1, 50) == 0 && !c->server->stop)
            continue;
        got = c->server->stop ? 0 : recv(c->fd, request + n, sizeof request - 1 - n, 0);
        if (got <= 0)
            break;
        n += (size_t)got;
        request[n] = '\0';
        if (!strstr(request, "\r\n\r\n"))
            continue;
        c->server->requests++;
        /* A path, or the whole URL as a proxy is told. */
        if (sscanf(request, "GET http://%*[^/]%199s", path) == 1 ||
            sscanf(request, "%*s %199s", path) == 1)
            fetch_server_misbehave(c->server, c->fd, path);
        break;
    }
    close(c->fd);
    c->server->connections--;
    free(c);
    return NULL;
}

static inline void *
fetch_server_accept(void *context)
{
    struct fetch_server *s = context;

    while (!s->stop) {
        struct pollfd p = { .fd = s->fd, .events = POLLIN };
        struct fetch_server_connection *c;
        pthread_t thread;
        int fd;
        if (poll(&p, 1, 20) <= 0 || (fd = accept(s->fd, NULL, NULL)) < 0)
            continue;
        s->accepted++;
        s->connections++;
        c = malloc(sizeof *c);
        *c = (struct fetch_server_connection){ .server = s, .fd = fd };
        if (pthread_create(&thread, NULL, fetch_server_converse, c) != 0)
            abort();
        pthread_detach(thread);
    }
    return NULL;
}

static inline void
fetch_server_init(struct fetch_server *s, int family, unsigned port)
{
    memset(s, 0, sizeof *s);
    s->port = port;
    s->fd = fetch_server_listen(family, 64, &s->port);
    if (s->fd >= 0 && pthread_create(&s->thread, NULL, fetch_server_accept, s) != 0)
        abort();
}

static inline void
fetch_server_deinit(struct fetch_server *s)
{
    if (s->fd < 0)
        return;
    s->stop = true;
    pthread_join(s->thread, NULL);
    while (s->connections > 0)
        fetch_server_pause(10);
    close(s->fd);
}

#endif
