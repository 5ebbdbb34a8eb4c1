/*
 * Log lines. One line, one id: the queue-id, else the client, else NOQUEUE. `info` is the outcome
 * of a message, `warn` means an operator must act and is throttled (the first, then a count),
 * `debug` is off, or on for all, one queue-id or one address.
 *
 * Each line is escaped as a whole by log_escape, so that no line can be forged by a newline in a
 * header field. Never logged: content, keys, subjects, passwords.
 *
 * Threads: any; the level and sink are process-wide and atomic.
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "util/span.h"

enum log_level { LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_sink { LOG_SINK_STDERR, LOG_SINK_SYSLOG, LOG_SINK_NONE };
enum log_form { LOG_FORM_TEXT, LOG_FORM_JSON };

struct log_args {
    enum log_sink sink;
    enum log_form form;
    enum log_level level;
    const char *facility;  /* syslog facility name: "mail", "local0".. ; NULL is mail */
    const char *ident;     /* copied */
    const char *debug_for; /* a queue-id or address for which debug is on; NULL none; copied */
};

/* Sets where lines go. May be called again (reload). */
void log_init(const struct log_args *args);

/* True for a facility name that log_init knows. */
bool log_facility_check(const char *name);

/* `id` NULL is "NOQUEUE". The formatted text is escaped and capped at 8 KiB. */
void log_info(const char *id, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_debug(const char *id, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A debug line that the caller knows is wanted: log_debug_is_on said so for an id or an address. */
void log_debug_wanted(const char *id, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* `key` names the condition ("crl-missing"): the first line of a key is written at once,
 * repetitions within 60 s are counted and the count is written with the next line. */
void log_warn(const char *key, const char *id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One line made of fields (the outcome line). In JSON form each field is a member. Values are given
 * raw; escaping and quoting happen here. A field that does not fit into 8 KiB is left out. */
struct log_field {
    const char *name;
    const char *value;
    bool is_number; /* JSON: without quotes */
};
void log_fields(enum log_level level, const char *id, const struct log_field *fields, size_t count);

/* True if a debug line for `id` or `address` (either may be NULL) would be written. */
bool log_debug_is_on(const char *id, const char *address);

/* Copies `text` into `out` (always NUL-terminated): printable ASCII and valid UTF-8 as is,
 * everything else (control characters, DEL, invalid bytes) as \xHH, backslash doubled; cut with
 * "..." when it does not fit. Returns `out`. `size` is at least 8. */
char *log_escape(struct span text, char *out, size_t size);

#endif
