#include "ctl/json.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

void
ctl_json_init(struct ctl_json *json, FILE *out)
{
    *json = (struct ctl_json){ .out = out };
}

/* The length of the UTF-8 sequence at the start of `s`, 0 when there is none (RFC 3629 4: no
 * overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t
json_utf8(struct span s)
{
    unsigned char c = s.p[0];
    size_t n = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : 4;

    if (n == 1)
        return 1;
    if (c < 0xC2 || c > 0xF4 || s.n < n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s.p[i] & 0xC0) != 0x80)
            return 0;
    }
    if ((c == 0xE0 && s.p[1] < 0xA0) || (c == 0xED && s.p[1] > 0x9F) ||
        (c == 0xF0 && s.p[1] < 0x90) || (c == 0xF4 && s.p[1] > 0x8F))
        return 0;
    return n;
}

static void
json_string(struct ctl_json *json, struct span value)
{
    fputc('"', json->out);
    while (value.n > 0) {
        unsigned char c = value.p[0];
        size_t n = json_utf8(value);

        if (n == 0) {
            fputs("\\ufffd", json->out);
            n = 1;
        } else if (c == '"' || c == '\\') {
            fputc('\\', json->out);
            fputc(c, json->out);
        } else if (c < 0x20 || c == 0x7F) {
            fprintf(json->out, "\\u%04x", c);
        } else {
            fwrite(value.p, 1, n, json->out);
        }
        value = span_from(value, n);
    }
    fputc('"', json->out);
}

/* What stands before a value: the comma, and the name inside an object. */
static void
json_begin(struct ctl_json *json, const char *name)
{
    if (json->depth == 0)
        return;
    if (json->filled[json->depth - 1])
        fputs(", ", json->out);
    json->filled[json->depth - 1] = true;
    assert((json->kinds[json->depth - 1] == '{') == (name != NULL));
    if (name) {
        json_string(json, span_str(name));
        fputs(": ", json->out);
    }
}

void
ctl_json_open(struct ctl_json *json, const char *name, char kind)
{
    assert(json->depth < CTL_JSON_DEPTH);
    json_begin(json, name);
    json->kinds[json->depth] = kind;
    json->filled[json->depth++] = false;
    fputc(kind, json->out);
}

void
ctl_json_close(struct ctl_json *json)
{
    assert(json->depth > 0);
    fputc(json->kinds[--json->depth] == '{' ? '}' : ']', json->out);
    if (json->depth == 0)
        fputc('\n', json->out);
}

void
ctl_json_text(struct ctl_json *json, const char *name, const char *value)
{
    json_begin(json, name);
    if (value)
        json_string(json, span_str(value));
    else
        fputs("null", json->out);
}

void
ctl_json_span(struct ctl_json *json, const char *name, struct span value)
{
    json_begin(json, name);
    json_string(json, value);
}

void
ctl_json_number(struct ctl_json *json, const char *name, int64_t value)
{
    json_begin(json, name);
    fprintf(json->out, "%" PRId64, value);
}

void
ctl_json_bool(struct ctl_json *json, const char *name, bool value)
{
    json_begin(json, name);
    fputs(value ? "true" : "false", json->out);
}

void
ctl_json_time(struct ctl_json *json, const char *name, time_t value)
{
    char text[40];
    struct tm tm;

    if (value == 0 || !gmtime_r(&value, &tm) ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        ctl_json_text(json, name, NULL);
    else
        ctl_json_text(json, name, text);
}
