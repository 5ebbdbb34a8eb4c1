#include "util/log.h"

#include "util/clock.h"

#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <syslog.h>
#include <unistd.h>

#include "util/log_escape.h"

enum {
    LOG_LINE_BYTES = 8192,
    LOG_VALUE_BYTES = 4096,
    LOG_ID_BYTES = 256,
    LOG_JSON_END_BYTES = 8, /* kept free for what closes the line */
    LOG_KEYS = 64,          /* conditions that are throttled at once; the oldest gives way */
    LOG_KEY_BYTES = 48,
    LOG_THROTTLE_MS = 60000,
};

struct log_key {
    char name[LOG_KEY_BYTES];
    int64_t written_ms;
    uint64_t turn; /* the lowest is the oldest */
    unsigned held; /* lines not written since */
};

/* The one process-wide state of this module. `lock` guards all but the atomics, and is never held
 * while a line is written; but for syslog, whose own lock is. */
static struct {
    pthread_mutex_t lock;
    pthread_rwlock_t whole; /* of stderr: a line that a pipe would cut is alone */
    atomic_int level;
    atomic_bool has_debug_for;
    _Atomic(enum log_sink) sink;
    _Atomic(enum log_form) form;
    atomic_int facility;
    char ident[64];
    char debug_for[LOG_ID_BYTES];
    struct log_key keys[LOG_KEYS];
    uint64_t turns;
} log_state = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .whole = PTHREAD_RWLOCK_INITIALIZER,
    .level = LOG_LEVEL_INFO,
    .facility = LOG_MAIL,
    .ident = "smimed",
};

static const struct {
    const char *name;
    int value;
} log_facilities[] = {
    { "mail", LOG_MAIL },     { "daemon", LOG_DAEMON }, { "user", LOG_USER },
    { "auth", LOG_AUTH },     { "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 },
    { "local2", LOG_LOCAL2 }, { "local3", LOG_LOCAL3 }, { "local4", LOG_LOCAL4 },
    { "local5", LOG_LOCAL5 }, { "local6", LOG_LOCAL6 }, { "local7", LOG_LOCAL7 },
};

bool
log_facility_check(const char *name)
{
    for (size_t i = 0; i < sizeof log_facilities / sizeof log_facilities[0]; i++)
        if (strcmp(name, log_facilities[i].name) == 0)
            return true;
    return false;
}

void
log_init(const struct log_args *args)
{
    int facility = LOG_MAIL;

    for (size_t i = 0; i < sizeof log_facilities / sizeof log_facilities[0]; i++)
        if (args->facility && strcmp(args->facility, log_facilities[i].name) == 0)
            facility = log_facilities[i].value;
    pthread_mutex_lock(&log_state.lock);
    log_state.sink = args->sink;
    log_state.form = args->form;
    log_state.facility = facility;
    snprintf(log_state.ident, sizeof log_state.ident, "%s", args->ident ? args->ident : "smimed");
    snprintf(log_state.debug_for, sizeof log_state.debug_for, "%s",
             args->debug_for ? args->debug_for : "");
    atomic_store(&log_state.has_debug_for, log_state.debug_for[0] != '\0');
    atomic_store(&log_state.level, (int)args->level);
    /* The C library keeps the pointer: log_state.ident lives as long as the process. */
    if (args->sink == LOG_SINK_SYSLOG)
        openlog(log_state.ident, LOG_PID | LOG_NDELAY, facility);
    pthread_mutex_unlock(&log_state.lock);
}

bool
log_debug_is_on(const char *id, const char *address)
{
    bool on;

    if (atomic_load_explicit(&log_state.level, memory_order_relaxed) >= LOG_LEVEL_DEBUG)
        return true;
    if (!atomic_load_explicit(&log_state.has_debug_for, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&log_state.lock);
    on = (id && strcmp(id, log_state.debug_for) == 0) ||
         (address && strcasecmp(address, log_state.debug_for) == 0);
    pthread_mutex_unlock(&log_state.lock);
    return on;
}

static bool
log_is_on(enum log_level level, const char *id)
{
    if (level == LOG_LEVEL_DEBUG)
        return log_debug_is_on(id, NULL);
    return (int)level <= atomic_load_explicit(&log_state.level, memory_order_relaxed);
}

/* One write(2) for a line, so that lines do not mix; only a pipe takes more than PIPE_BUF octets
 * piece by piece. */
static void
log_put_stderr(char *line, size_t n)
{
    size_t done = 0;

    line[n++] = '\n'; /* in the place of the NUL */
    if (n > PIPE_BUF)
        pthread_rwlock_wrlock(&log_state.whole);
    else
        pthread_rwlock_rdlock(&log_state.whole);
    while (done < n) {
        ssize_t w = write(STDERR_FILENO, line + done, n - done);
        if (w <= 0)
            break; /* nobody to tell */
        done += (size_t)w;
    }
    pthread_rwlock_unlock(&log_state.whole);
}

/* Writes a finished line. The caller does not hold the lock. */
static void
log_put(enum log_level level, char *line)
{
    static const int priorities[] = {
        [LOG_LEVEL_WARN] = LOG_WARNING,
        [LOG_LEVEL_INFO] = LOG_INFO,
        [LOG_LEVEL_DEBUG] = LOG_DEBUG,
    };

    switch ((enum log_sink)log_state.sink) {
    case LOG_SINK_STDERR:
        log_put_stderr(line, strlen(line));
        break;
    case LOG_SINK_SYSLOG:
        /* log_init changes what syslog reads. */
        pthread_mutex_lock(&log_state.lock);
        syslog(log_state.facility | priorities[level], "%s", line);
        pthread_mutex_unlock(&log_state.lock);
        break;
    case LOG_SINK_NONE:
        break;
    }
}

static const char *
log_level_name(enum log_level level)
{
    return level == LOG_LEVEL_WARN ? "warning" : level == LOG_LEVEL_DEBUG ? "debug" : "info";
}

/* One member after the others, whole or not at all: a cut value would make the line unreadable. */
static void
log_json_member(struct log_text *line, const char *name, const char *value, bool is_number)
{
    size_t before = line->n;

    /* A value that is no number after all must not break the line for whoever reads it. */
    if (is_number && (!value || !*value || value[strspn(value, "0123456789")]))
        is_number = false;
    log_text_put(line, line->n > 1 ? ",\"" : "\"");
    log_text_put_json(line, span_str(name));
    log_text_put(line, is_number ? "\":" : "\":\"");
    log_text_put_json(line, span_str(value));
    log_text_put(line, is_number ? "" : "\"");
    if (line->full)
        log_text_cut(line, before);
}

static void
log_json_open(struct log_text *line, enum log_level level, const char *id)
{
    time_t now = clock_now_s();
    char when[32];
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    log_text_put(line, "{");
    log_json_member(line, "time", when, false);
    log_json_member(line, "level", log_level_name(level), false);
    log_json_member(line, "id", id, false);
}

/* The prose of a line. Other than a field it is cut where the line is full. */
static void
log_json_message(struct log_text *line, const char *text)
{
    log_text_put(line, ",\"message\":\"");
    log_text_put_json(line, span_str(text));
    line->size += LOG_JSON_END_BYTES - 2;
    if (line->full) {
        line->full = false;
        log_text_put(line, "...");
    }
    log_text_put(line, "\"");
    line->size -= LOG_JSON_END_BYTES - 2;
}

static void
log_json_close(struct log_text *line)
{
    line->size += LOG_JSON_END_BYTES;
    line->full = false;
    log_text_put(line, "}");
}

/* An id comes from the MTA, but may be an address of a client that chose its name. */
static void
log_text_open(struct log_text *line, enum log_level level, const char *id)
{
    char safe[LOG_ID_BYTES];

    log_text_put(line, log_escape(span_str(id), safe, sizeof safe));
    log_text_put(line, ":");
    if (level != LOG_LEVEL_INFO) {
        log_text_put(line, " ");
        log_text_put(line, log_level_name(level));
        log_text_put(line, ":");
    }
}

/* A line of prose. `held` lines like it were not written. */
static void
log_put_text(enum log_level level, const char *id, const char *key, const char *text, unsigned held)
{
    char bytes[LOG_LINE_BYTES + 2], number[16];
    struct log_text line = { .p = bytes, .size = LOG_LINE_BYTES };

    snprintf(number, sizeof number, "%u", held);
    if (log_state.form == LOG_FORM_JSON) {
        line.size -= LOG_JSON_END_BYTES;
        log_json_open(&line, level, id);
        if (key)
            log_json_member(&line, "key", key, false);
        if (held)
            log_json_member(&line, "repeated", number, true);
        log_json_message(&line, text);
        log_json_close(&line);
    } else {
        char safe[LOG_LINE_BYTES - LOG_ID_BYTES - 64];

        log_text_open(&line, level, id);
        log_text_put(&line, " ");
        log_text_put(&line, log_escape(span_str(text), safe, sizeof safe));
        if (held) {
            log_text_put(&line, " (and ");
            log_text_put(&line, number);
            log_text_put(&line, " like it before)");
        }
    }
    log_put(level, bytes);
}

static void __attribute__((format(printf, 3, 0)))
log_line(enum log_level level, const char *id, const char *format, va_list args)
{
    char text[LOG_LINE_BYTES];

    vsnprintf(text, sizeof text, format, args);
    log_put_text(level, id ? id : "NOQUEUE", NULL, text, 0);
}

void
log_info(const char *id, const char *format, ...)
{
    va_list args;

    if (!log_is_on(LOG_LEVEL_INFO, id))
        return;
    va_start(args, format);
    log_line(LOG_LEVEL_INFO, id, format, args);
    va_end(args);
}

void
log_debug(const char *id, const char *format, ...)
{
    va_list args;

    if (!log_is_on(LOG_LEVEL_DEBUG, id))
        return;
    va_start(args, format);
    log_line(LOG_LEVEL_DEBUG, id, format, args);
    va_end(args);
}

void
log_debug_wanted(const char *id, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_line(LOG_LEVEL_DEBUG, id, format, args);
    va_end(args);
}

/* The row of `name`, or the oldest one made new for it. The caller holds the lock. */
static struct log_key *
log_key_get(const char *name)
{
    struct log_key *oldest = &log_state.keys[0];

    for (size_t i = 0; i < LOG_KEYS; i++) {
        struct log_key *key = &log_state.keys[i];
        if (strncmp(key->name, name, LOG_KEY_BYTES - 1) == 0)
            return key;
        if (key->name[0] == '\0' || key->turn < oldest->turn)
            oldest = key;
        if (key->name[0] == '\0')
            break; /* rows fill from the front */
    }
    memset(oldest, 0, sizeof *oldest);
    snprintf(oldest->name, sizeof oldest->name, "%s", name);
    oldest->written_ms = INT64_MIN;
    return oldest;
}

/* True: the line of this key is only counted. *held: how many were, since the last that was
 * written. */
static bool
log_key_holds(const char *name, unsigned *held)
{
    int64_t now = clock_monotonic_ms();
    bool holds;

    pthread_mutex_lock(&log_state.lock);
    struct log_key *row = log_key_get(name);
    holds = row->written_ms != INT64_MIN && now - row->written_ms < LOG_THROTTLE_MS;
    *held = row->held;
    if (holds) {
        row->held++;
    } else {
        row->written_ms = now;
        row->turn = ++log_state.turns;
        row->held = 0;
    }
    pthread_mutex_unlock(&log_state.lock);
    return holds;
}

void
log_warn(const char *key, const char *id, const char *format, ...)
{
    char text[LOG_LINE_BYTES];
    unsigned held;
    va_list args;

    if (log_key_holds(key, &held))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_put_text(LOG_LEVEL_WARN, id ? id : "NOQUEUE", key, text, held);
}

/* Text form: a value with blanks or quotes, or none at all, stands in double quotes. */
static void
log_text_field(struct log_text *line, const struct log_field *field)
{
    char safe[LOG_VALUE_BYTES];
    bool quoted;
    size_t before = line->n;

    log_escape(span_str(field->value), safe, sizeof safe);
    quoted = safe[0] == '\0' || strpbrk(safe, " \"") != NULL;
    log_text_put(line, " ");
    log_text_put(line, field->name);
    log_text_put(line, quoted ? "=\"" : "=");
    for (const char *p = safe, *quote; *p; p = quote) {
        quote = strchrnul(p, '"');
        if (*p == '"') {
            log_text_put(line, "\\\"");
            quote = p + 1;
            continue;
        }
        log_text_put_n(line, p, (size_t)(quote - p));
    }
    if (quoted)
        log_text_put(line, "\"");
    if (line->full)
        log_text_cut(line, before);
}

void
log_fields(enum log_level level, const char *id, const struct log_field *fields, size_t count)
{
    char bytes[LOG_LINE_BYTES + 2];
    struct log_text line = { .p = bytes, .size = LOG_LINE_BYTES };

    if (!log_is_on(level, id))
        return;
    if (log_state.form == LOG_FORM_JSON) {
        line.size -= LOG_JSON_END_BYTES;
        log_json_open(&line, level, id ? id : "NOQUEUE");
        for (size_t i = 0; i < count; i++)
            log_json_member(&line, fields[i].name, fields[i].value, fields[i].is_number);
        log_json_close(&line);
    } else {
        log_text_open(&line, level, id ? id : "NOQUEUE");
        for (size_t i = 0; i < count; i++)
            log_text_field(&line, &fields[i]);
    }
    log_put(level, bytes);
}
