/*
 * Text that may stand in a log line: what is escaped, and a bounded line being put together.
 * Private to util/log.c but for log_escape, which util/log.h declares.
 *
 * An attacker who gets a newline, a terminal escape or a bidirectional override into a log line
 * writes the log himself; hence everything that is not printable is shown as \xHH.
 *
 * Threads: no state.
 */
#ifndef UTIL_LOG_ESCAPE_H
#define UTIL_LOG_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "util/span.h"

/* A line of at most size - 1 octets, always NUL-terminated after the first put. When something does
 * not fit, nothing of it is put and `full` is set until log_text_cut. */
struct log_text {
    char *p;
    size_t size;
    size_t n;
    bool full;
};

void log_text_put(struct log_text *line, const char *text);
void log_text_put_n(struct log_text *line, const char *p, size_t n);

/* As the inside of a JSON string (RFC 8259 7); bytes that are not UTF-8 as \\xHH. */
void log_text_put_json(struct log_text *line, struct span text);

/* Takes back everything after `n`. */
void log_text_cut(struct log_text *line, size_t n);

#endif
