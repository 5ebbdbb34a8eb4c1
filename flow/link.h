/*
 * One connection, with one deadline: connect, send, read a line. Part of flow/resubmit.
 *
 * Names are resolved by the C library, whose own time-outs then count: give an address, or a name
 * of /etc/hosts.
 */
#ifndef FLOW_LINK_H
#define FLOW_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "util/span.h"

enum { FLOW_LINK_BYTES = 16384 };

struct flow_link {
    int fd; /* -1: none */
    int64_t deadline_ms;
    size_t in_from, in_n; /* what was read and not yet asked for */
    size_t out_n;         /* what was written and not yet sent */
    unsigned char in[4096];
    unsigned char out[FLOW_LINK_BYTES];
};

/* "unix:/path" or "inet:port@host", "inet6:port@host". ERR_PERM: not a server's name. ERR_TEMP. */
ERR_CHECKED enum err_code flow_link_init(struct flow_link *link, const char *server,
                                         int64_t deadline_ms, struct err *err);
void flow_link_deinit(struct flow_link *link);

/* Buffered; ERR_TEMP: the peer is gone, or takes nothing until the deadline. */
ERR_CHECKED enum err_code flow_link_write(struct flow_link *link, struct span bytes,
                                          struct err *err);
ERR_CHECKED enum err_code flow_link_flush(struct flow_link *link, struct err *err);

/* One line without its line end, NUL-terminated. ERR_TEMP: gone, or nothing until the deadline.
 * ERR_LIMIT: longer than `size`. */
ERR_CHECKED enum err_code flow_link_read_line(struct flow_link *link, char *line, size_t size,
                                              size_t *n, struct err *err);

#endif
