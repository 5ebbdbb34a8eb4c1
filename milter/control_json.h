/*
 * Members of the JSON objects that the control socket answers with. Private to milter/control*.c.
 *                                                                                        RFC 8259
 *
 * Threads: no state.
 */
#ifndef MILTER_CONTROL_JSON_H
#define MILTER_CONTROL_JSON_H

#include <stdint.h>

#include "util/buf.h"
#include "util/err.h"

/* A string of text that may hold anything: what is not printable or not UTF-8 is escaped twice, so
 * that it is as harmless to a terminal as to a parser. */
ERR_CHECKED enum err_code milter_control_append_string(struct buf *out, const char *text,
                                                       struct err *err);

/* The same of what log_escape has made already. */
ERR_CHECKED enum err_code milter_control_append_escaped(struct buf *out, const char *text,
                                                        struct err *err);

/* `, "name": value`. */
ERR_CHECKED enum err_code milter_control_append_number(struct buf *out, const char *name,
                                                       int64_t value, struct err *err);

/* `, "name": "value"`; NULL is null. */
ERR_CHECKED enum err_code milter_control_append_text(struct buf *out, const char *name,
                                                     const char *value, struct err *err);

#endif
