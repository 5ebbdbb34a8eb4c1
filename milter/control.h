/*
 * The control socket: `smimectl reload`, `stats`, `health`, `cache`, and whoever else speaks one
 * line.
 *
 * A client sends one line ("reload", "stats", "health", "cache ..." as milter/control_cache.h has
 * it, or "bypass ..." as milter/control_bypass.h) and gets one JSON object on one line, then the
 * connection is closed. Answers have "ok": true, or "ok": false with "error". One thread serves one
 * client at a time; a line has at most MILTER_CONTROL_LINE octets, and a client that takes longer
 * than MILTER_CONTROL_TIMEOUT_MS for its line or for taking the answer is dropped. Who may connect
 * is a matter of the socket's mode (0660, our own user and group, and root); there is nothing
 * secret in the answers, reload does nothing that the files do not say, what is flushed is fetched
 * again, and bypass asks who it is.
 *
 * Threads: one of its own.
 */
#ifndef MILTER_CONTROL_H
#define MILTER_CONTROL_H

#include <sys/types.h>

#include "util/buf.h"
#include "util/err.h"

enum {
    MILTER_CONTROL_MODE = 0660,
    MILTER_CONTROL_LINE = 4096,
    MILTER_CONTROL_TIMEOUT_MS = 3000,
    MILTER_CONTROL_ANSWER = 8 << 20
};

/* Opens the socket (may need rights that are given up later). */
ERR_CHECKED enum err_code milter_control_new(const char *path, struct err *err);

/* Starts the thread. */
ERR_CHECKED enum err_code milter_control_init(struct err *err);

/* Ends the thread, closes and removes the socket. */
void milter_control_deinit(void);

/* The answer to a line without its line end, asked by `uid`; a JSON object and LF. */
ERR_CHECKED enum err_code milter_control_format(const char *line, uid_t uid, struct buf *out,
                                                struct err *err);

#endif
