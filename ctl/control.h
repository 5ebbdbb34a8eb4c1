/*
 * The client side of the control socket: one line out, one line of JSON back.   milter/control.h
 *
 * Everything is bounded: the answer in octets, the whole exchange in time (a reload may have to
 * read thousands of keys, hence the long one).
 *
 * Threads: any.
 */
#ifndef CTL_CONTROL_H
#define CTL_CONTROL_H

#include <stdbool.h>
#include <stdio.h>

#include "util/buf.h"
#include "util/err.h"

enum {
    CTL_CONTROL_LINE = 4096,
    CTL_CONTROL_ANSWER = 8 << 20,
    CTL_CONTROL_TIMEOUT_MS = 60000,
};

/* Asks `command` of the daemon at `path`; the answer without its LF goes into `answer` (initialised
 * by the caller). ERR_LIMIT: a command that is too long. ERR_TEMP: no daemon, no permission, no
 * answer in time; the text says what to do.
 */
ERR_CHECKED enum err_code ctl_control_get(const char *path, const char *command, struct buf *answer,
                                          struct err *err);

/* Is the answer `{"ok": true, ...}`? */
bool ctl_control_is_ok(struct span answer);

/* The members of an answer, one a line, as "name value" for people, or as it came with `json`. */
void ctl_control_print(struct span answer, bool json, FILE *out);

/* `smimectl reload|stats|health`: asks, prints, and returns the exit code: 0 yes, 1 no, 3 could not
 * ask. */
int ctl_control_run(const char *path, const char *command, bool json, FILE *out);

#endif
