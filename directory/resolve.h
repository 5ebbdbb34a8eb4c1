/*
 * A socket that is connected, by a deadline that holds: getaddrinfo(3) has none (resolv.conf(5) has
 * its own), and connect(2) has the kernel's two minutes.
 *
 * A name is resolved by a detached thread of its own that outlives a caller who gave up; it holds
 * nothing of the caller. Addresses in figures need none.
 *
 * Threads: any.
 */
#ifndef DIRECTORY_RESOLVE_H
#define DIRECTORY_RESOLVE_H

#include <stdint.h>

#include "directory/server.h"

/* *out is a blocking socket with TCP_NODELAY and keep-alive, the caller's to close; each address of
 * the host gets its share of the time. ERR_TEMP: no connection, and why; ERR_NOMEM. */
ERR_CHECKED enum err_code directory_resolve_connect(const struct directory_server *server,
                                                    int64_t deadline_ms, int *out, struct err *err);

#endif
