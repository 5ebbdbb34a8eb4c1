#include "flow/link.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/clock.h"

static enum err_code
link_wait(const struct flow_link *link, short events, struct err *err)
{
    struct pollfd fd = { .fd = link->fd, .events = events };

    for (;;) {
        int64_t left_ms = link->deadline_ms - clock_monotonic_ms();
        int n;

        if (left_ms <= 0)
            return err_set_reason(err, ERR_TEMP, "resubmit-timeout", "no answer in time");
        n = poll(&fd, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        if (n > 0)
            return ERR_OK;
        if (n < 0 && errno != EINTR)
            return err_set_errno(err, errno, "waiting for the peer");
    }
}

static enum err_code
link_connect(struct flow_link *link, const struct sockaddr *address, socklen_t size,
             struct err *err)
{
    int on = 1, code = 0;
    socklen_t n = sizeof code;

    link->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->fd < 0)
        return err_set_errno(err, errno, "cannot make a socket");
    /* Commands are small and each waits for its answer. */
    if (address->sa_family != AF_UNIX)
        (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(link->fd, address, size) == 0)
        return ERR_OK;
    if (errno != EINPROGRESS)
        return err_set_errno(err, errno, "cannot connect");
    if (link_wait(link, POLLOUT, err) != ERR_OK)
        return err->code;
    if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &code, &n) != 0)
        code = errno;
    return code == 0 ? ERR_OK : err_set_errno(err, code, "cannot connect");
}

static enum err_code
link_connect_unix(struct flow_link *link, const char *path, struct err *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof address.sun_path)
        return err_set(err, ERR_PERM, "the path of the socket is too long");
    memcpy(address.sun_path, path, strlen(path) + 1);
    return link_connect(link, (const struct sockaddr *)&address, sizeof address, err);
}

/* "port@host": each address of the host in turn. */
static enum err_code
link_connect_inet(struct flow_link *link, int family, const char *text, struct err *err)
{
    const struct addrinfo hints = { .ai_family = family,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_NUMERICSERV };
    struct addrinfo *list = NULL;
    struct err why = ERR_INIT;
    const char *at = strchr(text, '@');
    char port[8];
    int code;

    if (!at || at == text || (size_t)(at - text) >= sizeof port || !at[1])
        return err_set(err, ERR_PERM, "not the name of a server: port@host is expected");
    memcpy(port, text, (size_t)(at - text));
    port[at - text] = '\0';
    code = getaddrinfo(at + 1, port, &hints, &list);
    if (code != 0)
        return err_set(err, ERR_TEMP, "%.200s cannot be resolved: %s", at + 1, gai_strerror(code));
    for (const struct addrinfo *one = list; one; one = one->ai_next) {
        err_reset(&why);
        if (link_connect(link, one->ai_addr, one->ai_addrlen, &why) == ERR_OK)
            break;
        flow_link_deinit(link);
    }
    freeaddrinfo(list);
    return link->fd >= 0 ? ERR_OK : err_set_reason(err, why.code, why.reason, "%s", why.text);
}

enum err_code
flow_link_init(struct flow_link *link, const char *server, int64_t deadline_ms, struct err *err)
{
    enum err_code code;

    link->fd = -1;
    link->deadline_ms = deadline_ms;
    link->in_from = link->in_n = link->out_n = 0;
    if (strncmp(server, "unix:", 5) == 0)
        code = link_connect_unix(link, server + 5, err);
    else if (strncmp(server, "inet:", 5) == 0)
        code = link_connect_inet(link, AF_INET, server + 5, err);
    else if (strncmp(server, "inet6:", 6) == 0)
        code = link_connect_inet(link, AF_INET6, server + 6, err);
    else
        code = err_set(err, ERR_PERM, "not the name of a server");
    if (code != ERR_OK) {
        flow_link_deinit(link);
        return err_prefix(err, "%.200s", server);
    }
    return ERR_OK;
}

void
flow_link_deinit(struct flow_link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
    explicit_bzero(link->out, sizeof link->out);
}

static enum err_code
link_send(struct flow_link *link, struct span bytes, struct err *err)
{
    while (bytes.n > 0) {
        ssize_t n = send(link->fd, bytes.p, bytes.n, MSG_NOSIGNAL);

        if (n >= 0) {
            bytes = span_from(bytes, (size_t)n);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (link_wait(link, POLLOUT, err) != ERR_OK)
                return err->code;
        } else if (errno != EINTR) {
            /* Not our shortage, whatever the number says. */
            return err_set_reason(err, ERR_TEMP, "resubmit-broken", "the peer is gone: %s",
                                  strerror(errno));
        }
    }
    return ERR_OK;
}

enum err_code
flow_link_flush(struct flow_link *link, struct err *err)
{
    size_t n = link->out_n;

    link->out_n = 0;
    return link_send(link, span_of(link->out, n), err);
}

enum err_code
flow_link_write(struct flow_link *link, struct span bytes, struct err *err)
{
    if (bytes.n > sizeof link->out - link->out_n && flow_link_flush(link, err) != ERR_OK)
        return err->code;
    if (bytes.n >= sizeof link->out)
        return link_send(link, bytes, err);
    if (bytes.n > 0)
        memcpy(link->out + link->out_n, bytes.p, bytes.n);
    link->out_n += bytes.n;
    return ERR_OK;
}

static enum err_code
link_fill(struct flow_link *link, struct err *err)
{
    for (;;) {
        ssize_t n = recv(link->fd, link->in, sizeof link->in, 0);

        if (n > 0) {
            link->in_from = 0;
            link->in_n = (size_t)n;
            return ERR_OK;
        }
        if (n == 0)
            return err_set_reason(err, ERR_TEMP, "resubmit-broken",
                                  "the peer closed the connection");
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (link_wait(link, POLLIN, err) != ERR_OK)
                return err->code;
        } else if (errno != EINTR) {
            return err_set_reason(err, ERR_TEMP, "resubmit-broken", "the peer is gone: %s",
                                  strerror(errno));
        }
    }
}

enum err_code
flow_link_read_line(struct flow_link *link, char *line, size_t size, size_t *n, struct err *err)
{
    for (*n = 0; *n + 1 < size;) {
        unsigned char c;

        if (link->in_from == link->in_n && link_fill(link, err) != ERR_OK)
            return err->code;
        c = link->in[link->in_from++];
        if (c == '\n') {
            if (*n > 0 && line[*n - 1] == '\r')
                --*n;
            line[*n] = '\0';
            return ERR_OK;
        }
        line[(*n)++] = (char)c;
    }
    return err_set(err, ERR_LIMIT, "a line of more than %zu octets", size - 1);
}
