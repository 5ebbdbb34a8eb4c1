/*
 * A double of the MTA's listener for copies: it takes messages by SMTP and keeps them, and
 * misbehaves where the test says so: another reply, the connection closed, or silence, at a step of
 * a connection.
 */
#ifndef TESTS_UNIT_FLOW_PEER_H
#define TESTS_UNIT_FLOW_PEER_H

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/buf.h"

enum { PEER_MESSAGES = 64, PEER_BYTES = 4 * 1024 * 1024 };

/* At `step` ("" greeting, else the beginning of a command, or "." the end of the content) of the
 * connection number `connection` (0: of each): `say` a reply, "" closes, "..." says nothing more.
 */
struct peer_fault {
    unsigned connection; /* 1-based */
    const char *step, *say;
};

struct peer_message {
    char envelope[8192]; /* the lines MAIL and RCPT that were accepted, with LF */
    struct buf content;  /* dot-stuffing undone */
    bool taken;          /* the dot came; what was said then is the test's fault */
};

struct peer {
    int listener;
    pthread_t thread;
    pthread_mutex_t lock;
    char server[64];
    const struct peer_fault *faults; /* ends with step NULL; NULL: none */
    unsigned connections;
    struct peer_message messages[PEER_MESSAGES]; /* of which the dot came */
    size_t count;                                /* read it by peer_count while the peer runs */
};

/* The fault of this step; NULL: none. */
static inline const char *
peer_find_fault(const struct peer *peer, unsigned connection, const char *line)
{
    for (const struct peer_fault *fault = peer->faults; fault && fault->step; fault++) {
        bool here = fault->step[0] ? strncasecmp(line, fault->step, strlen(fault->step)) == 0
                                   : line[0] == '\0';

        if ((fault->connection == 0 || fault->connection == connection) && here)
            return fault->say;
    }
    return NULL;
}

struct peer_talk {
    struct peer *peer;
    int fd;
    unsigned connection;
    struct peer_message message;
};

/* False: the connection is over. */
static inline bool
peer_answer(struct peer_talk *talk, const char *line, const char *usual, bool *good)
{
    const char *say = peer_find_fault(talk->peer, talk->connection, line);
    char c;

    *good = !say;
    if (!say)
        say = usual;
    if (strcmp(say, "...") == 0) {
        while (recv(talk->fd, &c, 1, 0) == 1)
            continue;
        return false;
    }
    return say[0] && send(talk->fd, say, strlen(say), MSG_NOSIGNAL) == (ssize_t)strlen(say) &&
           (*good || say[0] != '4' || say[1] != '2' || say[2] != '1');
}

static inline bool
peer_read_line(int fd, char *line, size_t size)
{
    for (size_t n = 0; n + 1 < size; n++) {
        if (recv(fd, line + n, 1, 0) != 1)
            return false;
        if (line[n] == '\n') {
            line[n + 1] = '\0';
            return true;
        }
    }
    return false;
}

static inline bool
peer_read_content(struct peer_talk *talk)
{
    static char line[1 << 20];
    struct err err = ERR_INIT;

    while (peer_read_line(talk->fd, line, sizeof line)) {
        if (strcmp(line, ".\r\n") == 0)
            return true;
        if (buf_append_str(&talk->message.content, line[0] == '.' ? line + 1 : line, &err) !=
            ERR_OK)
            return false;
    }
    return false;
}

static inline void
peer_keep(struct peer_talk *talk)
{
    struct peer *peer = talk->peer;

    pthread_mutex_lock(&peer->lock);
    if (peer->count < PEER_MESSAGES) {
        peer->messages[peer->count++] = talk->message;
        talk->message.content = (struct buf)BUF_INIT(PEER_BYTES);
    }
    pthread_mutex_unlock(&peer->lock);
}

/* The messages that are there by now; what they hold does not change any more. */
static inline size_t
peer_count(struct peer *peer)
{
    size_t count;

    pthread_mutex_lock(&peer->lock);
    count = peer->count;
    pthread_mutex_unlock(&peer->lock);
    return count;
}

static inline void
peer_talk(struct peer_talk *talk)
{
    char line[4096] = "";
    bool good, more = peer_answer(talk, line, "220 peer\r\n", &good);

    while (more && peer_read_line(talk->fd, line, sizeof line)) {
        struct peer_message *message = &talk->message;
        size_t used = strlen(message->envelope);

        if (strncmp(line, "EHLO", 4) == 0)
            more = peer_answer(talk, line,
                               "250-peer\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n", &good);
        else if (strncmp(line, "DATA", 4) == 0) {
            more = peer_answer(talk, line, "354 go\r\n", &good);
            if (!more || !good)
                continue;
            if (!peer_read_content(talk))
                return;
            message->taken = true;
            peer_keep(talk);
            more = peer_answer(talk, ".", "250 2.0.0 Ok: queued as 4QUEUED\r\n", &good);
        } else if (strncmp(line, "QUIT", 4) == 0) {
            return;
        } else {
            more = peer_answer(talk, line, "250 2.1.5 Ok\r\n", &good);
            if (good)
                snprintf(message->envelope + used, sizeof message->envelope - used, "%.*s\n",
                         (int)strcspn(line, "\r"), line);
        }
    }
}

static inline void *
peer_run(void *context)
{
    struct peer *peer = context;
    int fd;

    while ((fd = accept(peer->listener, NULL, NULL)) >= 0) {
        struct peer_talk talk = { .peer = peer, .fd = fd, .connection = ++peer->connections };

        talk.message.content = (struct buf)BUF_INIT(PEER_BYTES);
        peer_talk(&talk);
        buf_free(&talk.message.content);
        close(fd);
    }
    return NULL;
}

static inline void
peer_init(struct peer *peer, const struct peer_fault *faults)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;

    memset(peer, 0, sizeof *peer);
    pthread_mutex_init(&peer->lock, NULL);
    peer->faults = faults;
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(peer->listener, 16), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(peer->server, sizeof peer->server, "inet:%u@127.0.0.1", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
}

static inline void
peer_deinit(struct peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
    for (size_t i = 0; i < peer->count; i++)
        buf_free(&peer->messages[i].content);
    pthread_mutex_destroy(&peer->lock);
}

#endif
