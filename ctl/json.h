/*
 * JSON as it is written, never read.                                                     RFC 8259
 *
 * Values go straight to the file; nothing is held but the nesting. Text is checked: what is not
 * valid UTF-8 becomes U+FFFD, one for each byte, control characters are escaped; so the output is
 * always valid, whatever a certificate or a header field holds.
 *
 * Threads: one per writer.
 */
#ifndef CTL_JSON_H
#define CTL_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "util/span.h"

enum { CTL_JSON_DEPTH = 16 };

struct ctl_json {
    FILE *out;
    unsigned depth;
    char kinds[CTL_JSON_DEPTH];  /* '{' or '[' */
    bool filled[CTL_JSON_DEPTH]; /* a value was written at that depth */
};

void ctl_json_init(struct ctl_json *json, FILE *out);

/* `name` is NULL inside an array and for the root. `kind` is '{' or '['. The root's end writes a
 * LF. */
void ctl_json_open(struct ctl_json *json, const char *name, char kind);
void ctl_json_close(struct ctl_json *json);

/* NULL is null. */
void ctl_json_text(struct ctl_json *json, const char *name, const char *value);
void ctl_json_span(struct ctl_json *json, const char *name, struct span value);
void ctl_json_number(struct ctl_json *json, const char *name, int64_t value);
void ctl_json_bool(struct ctl_json *json, const char *name, bool value);

/* "2026-11-24T00:29:00Z"; 0 is null. */
void ctl_json_time(struct ctl_json *json, const char *name, time_t value);

#endif
