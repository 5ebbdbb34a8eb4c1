/*
 * libmilter as a thread, and signals in spite of it.
 *
 * libmilter starts a thread of its own that waits with sigwait(3) for HUP, TERM and INT and stops
 * the filter on each of them. A HUP that some script sends for log rotation must not do that, and a
 * TERM should let messages in flight finish; which of two threads gets a signal that both want is
 * the kernel's choice (a burst of HUPs shows it). So this module defines sigwait for the whole
 * process: it sleeps for ever, and the first thread, which does nothing but wait, is the only one
 * that leaves these signals unblocked. smfi_main runs in a second thread, which begins when the
 * handlers are in place.
 *
 *   TERM, INT   stop: no new message (451 4.3.2), those at their end finish, then the process ends
 *   HUP, USR1   reload (milter/housekeeping takes USR1)
 *
 * smfi_stop is never called: it destroys locks that libmilter's other threads still take, and waits
 * up to five seconds for its own poll(2). When nothing is in flight any more, the end of the
 * process is the better end: the MTA sees its idle connections close.
 *
 * Threads: all functions belong to the first thread.
 */
#ifndef MILTER_LISTENER_H
#define MILTER_LISTENER_H

#include "conf/conf.h"
#include "util/err.h"

/* Blocks the signals above, before any thread is made. */
ERR_CHECKED enum err_code milter_listener_init(struct err *err);

/* Opens the milter socket with mode and group, while we may still be root. */
ERR_CHECKED enum err_code milter_listener_new(const struct conf_global *global, struct err *err);

/* Starts libmilter, and from here on takes signals. */
ERR_CHECKED enum err_code milter_listener_start(struct err *err);

/* Returns when we are told to stop, or when libmilter ended by itself; then `err` says so. */
void milter_listener_wait(struct err *err);

/* Removes the socket: nobody finds us any more. */
void milter_listener_deinit(void);

#endif
