/*
 * The control socket's words about the emergency switch: "bypass" (is it on?), "bypass SECONDS",
 * "bypass off". Only root and the daemon's own user may turn it; everybody else who may connect is
 * told how it stands.
 *
 * Threads: the control socket's.
 */
#ifndef MILTER_CONTROL_BYPASS_H
#define MILTER_CONTROL_BYPASS_H

#include <sys/types.h>

#include "util/buf.h"
#include "util/err.h"

/* The answer to `words`, what stands behind "bypass" ("" or " off" or " SECONDS"), asked by `uid`
 * ((uid_t)-1: not known). */
ERR_CHECKED enum err_code milter_control_bypass_format(const char *words, uid_t uid,
                                                       struct buf *out, struct err *err);

/* Appends the member "bypass_left_s" (0: off), for stats and health. */
ERR_CHECKED enum err_code milter_control_bypass_append(struct buf *out, struct err *err);

#endif
