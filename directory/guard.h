/*
 * Deadlines that hold inside a library that waits where it likes.
 *
 * libldap's TLS handshake, StartTLS, and the rest of a message of which the first octet has come
 * are read without any time-out: a server that stalls there holds a thread for ever. So whoever
 * enters libldap sets a guard on the socket first. One thread waits for the earliest deadline and
 * shuts that socket down: the read or write that waits ends at once, with an error.
 *
 * The guard has a descriptor of its own (dup), so that a number that was closed and used again is
 * never shut down by mistake.
 *
 * Threads: any; one lock. The thread starts with the first deadline, and guard_free waits for it.
 */
#ifndef DIRECTORY_GUARD_H
#define DIRECTORY_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

struct directory_guard;

/* One socket under guard; lies in the owner's struct, all fields are private. */
struct directory_guard_watch {
    struct directory_guard_watch *next, **link;
    int fd; /* -1: none */
    int64_t deadline_ms;
    bool is_set, has_fired;
};

ERR_CHECKED enum err_code directory_guard_new(struct directory_guard **out, struct err *err);
void directory_guard_free(struct directory_guard **guard); /* no deadline is set any more */

/* Takes a descriptor of its own for `fd`. ERR_TEMP. */
ERR_CHECKED enum err_code directory_guard_watch_init(struct directory_guard_watch *watch, int fd,
                                                     struct err *err);
void directory_guard_watch_deinit(struct directory_guard_watch *watch);

/* From now on the socket lives until the deadline at most; set again to change it. ERR_TEMP: there
 * is no thread to hold it, then nothing may be waited for. */
ERR_CHECKED enum err_code directory_guard_set(struct directory_guard *guard,
                                              struct directory_guard_watch *watch,
                                              int64_t deadline_ms, struct err *err);
/* True if the deadline struck since it was set: the socket is dead. */
bool directory_guard_reset(struct directory_guard *guard, struct directory_guard_watch *watch);

#endif
