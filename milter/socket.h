/*
 * The sockets of the daemon: mode, group, and what an earlier run left behind.
 *
 * Unix socket permissions are the first support question of every milter. The mode is there from
 * the first moment (the umask is set around bind, not chmod behind it), and a socket that nobody
 * listens on any more is removed, while anything else in its place (a file, a link, the socket of a
 * daemon that runs) is an error that says what it is.
 *
 * Threads: at start, before any other thread; the umask belongs to the process.
 */
#ifndef MILTER_SOCKET_H
#define MILTER_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/err.h"

/* The path of "unix:/path" or "local:/path" or "/path"; NULL for an inet socket. Borrowed. */
const char *milter_socket_path(const char *name);

/* Makes way for a new Unix socket: nothing there is ERR_OK; a stale socket is removed. ERR_PERM:
 * there is something else, or somebody listens. */
ERR_CHECKED enum err_code milter_socket_reset(const char *path, struct err *err);

/* The umask under which a socket of that mode is made; returns the one before. */
mode_t milter_socket_set_umask(unsigned mode);

/* Group by name; "" leaves it. ERR_PERM: no such group, or not ours to give. */
ERR_CHECKED enum err_code milter_socket_set_group(const char *path, const char *group,
                                                  struct err *err);

/* A listening Unix stream socket of that mode, close-on-exec. */
ERR_CHECKED enum err_code milter_socket_new(const char *path, unsigned mode, int *fd,
                                            struct err *err);

/* libmilter keeps its listening socket to itself. For TCP, small answers wait for delayed ACKs (22
 * messages a second instead of hundreds) unless TCP_NODELAY is set, and accepted sockets inherit
 * it: so every listening TCP socket of this process gets it. */
void milter_socket_set_nodelay(void);

#endif
