#include "util/log_escape.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util/log.h"

/* Code points that are valid UTF-8 and yet not for a log: C1 controls (0x9B starts a terminal
 * escape), line and paragraph separators, and the directional marks that reorder what an operator
 * sees. */
static bool
log_code_is_safe(uint32_t code)
{
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f))
        return false;
    if (code >= 0x200b && code <= 0x200f)
        return false;
    if (code >= 0x2028 && code <= 0x202e)
        return false;
    return !(code >= 0x2060 && code <= 0x206f) && code != 0xfeff && code != 0x061c;
}

/* Octets of the safe character at the start of `s`, or 0 when its first octet must be escaped
 * (RFC 3629: no overlong forms, no surrogates, nothing above 10FFFF). */
static size_t
log_safe_octets(struct span s)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    uint32_t code = s.p[0];
    size_t n = code < 0x80 ? 1 : code < 0xc2 ? 0 : code < 0xe0 ? 2 : code < 0xf0 ? 3 : 4;

    if (n == 0 || code > 0xf4 || n > s.n)
        return 0;
    if (n > 1)
        code &= 0xffu >> (n + 1);
    for (size_t i = 1; i < n; i++) {
        if ((s.p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s.p[i] & 0x3fu);
    }
    if (code < smallest[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return log_code_is_safe(code) ? n : 0;
}

/* Nearly everything is printable ASCII that stands for itself: how much of it `text` begins with,
 * `limit` octets at most. */
static size_t
log_plain_octets(struct span text, size_t limit)
{
    size_t n = 0;

    if (limit > text.n)
        limit = text.n;
    while (n < limit && text.p[n] >= ' ' && text.p[n] < 0x7f && text.p[n] != '\\')
        n++;
    return n;
}

char *
log_escape(struct span text, char *out, size_t size)
{
    size_t used = 0;
    size_t keep = 0; /* where "..." can go: the last place that leaves room for it */

    while (text.n > 0) {
        char piece[8];
        size_t plain = log_plain_octets(text, used + 4 < size ? size - 4 - used : 0);
        size_t octets, n;

        if (plain > 0) {
            memcpy(out + used, text.p, plain);
            used += plain;
            text = span_from(text, plain);
            continue;
        }
        n = octets = log_safe_octets(text);
        if (octets == 0) {
            octets = 1;
            n = (size_t)snprintf(piece, sizeof piece, "\\x%02X", text.p[0]);
        } else if (text.p[0] == '\\') {
            n = (size_t)snprintf(piece, sizeof piece, "\\\\");
        } else {
            memcpy(piece, text.p, octets);
        }
        if (used + 4 <= size)
            keep = used;
        if (used + n + 1 > size) {
            memcpy(out + keep, "...", 4);
            return out;
        }
        memcpy(out + used, piece, n);
        used += n;
        text = span_from(text, octets);
    }
    out[used] = '\0';
    return out;
}

void
log_text_put_n(struct log_text *line, const char *p, size_t n)
{
    if (line->full || n >= line->size - line->n) {
        line->full = true;
        return;
    }
    memcpy(line->p + line->n, p, n);
    line->n += n;
    line->p[line->n] = '\0';
}

void
log_text_put(struct log_text *line, const char *text)
{
    log_text_put_n(line, text, strlen(text));
}

void
log_text_put_json(struct log_text *line, struct span text)
{
    while (text.n > 0) {
        char piece[8];
        size_t octets = log_safe_octets(text);

        if (octets == 0) {
            octets = 1;
            if (text.p[0] < 0x80)
                snprintf(piece, sizeof piece, "\\u%04X", text.p[0]);
            else
                snprintf(piece, sizeof piece, "\\\\x%02X", text.p[0]);
            log_text_put(line, piece);
        } else if (text.p[0] == '"' || text.p[0] == '\\') {
            log_text_put(line, text.p[0] == '"' ? "\\\"" : "\\\\");
        } else {
            log_text_put_n(line, (const char *)text.p, octets);
        }
        text = span_from(text, octets);
    }
}

void
log_text_cut(struct log_text *line, size_t n)
{
    line->n = n;
    line->p[n] = '\0';
    line->full = false;
}
