#include "mime/local.h"

#include <stdint.h>
#include <stdlib.h>

#include <unictype.h>
#include <uninorm.h>

enum {
    MARKS_MAX = 30,    /* in a row; UAX #15 13 */
    NFC_GROWTH = 3,    /* the same, 9: NFC of UTF-8 is at most three times as long */
    CONTENT_MAX = 1024 /* what mime/address looks at */
};

bool
mime_local_is_atext(unsigned char c)
{
    switch (c) {
    case '(':
    case ')':
    case '<':
    case '>':
    case '[':
    case ']':
    case ':':
    case ';':
    case '@':
    case '\\':
    case ',':
    case '.':
    case '"':
        return false;
    default:
        return c > ' ' && c != 0x7f;
    }
}

/* Length of the UTF-8 sequence at the beginning of `s`, 0 if there is none, and its character. */
static size_t
sequence(struct span s, uint32_t *character)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char c = s.p[0];
    *character = c;
    if (c < 0x80)
        return 1;
    size_t n = c >= 0xf8 ? 0 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 0;
    if (n == 0 || n > s.n)
        return 0;
    uint32_t v = c & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s.p[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (s.p[i] & 0x3f);
    }
    *character = v;
    bool is_surrogate = v >= 0xd800 && v <= 0xdfff;
    return v < least[n] || v > 0x10ffff || is_surrogate ? 0 : n;
}

bool
mime_local_is_utf8(struct span text)
{
    uint32_t ignored;
    while (text.n > 0) {
        size_t n = sequence(text, &ignored);
        if (n == 0)
            return false;
        text = span_from(text, n);
    }
    return true;
}

/* UTF-8 with a bound on the combining marks in a row. */
static bool
is_stream_safe(struct span text)
{
    unsigned marks = 0;
    while (text.n > 0) {
        uint32_t character;
        size_t n = sequence(text, &character);
        if (n == 0)
            return false;
        marks = character >= 0x80 && uc_combining_class(character) != 0 ? marks + 1 : 0;
        if (marks > MARKS_MAX)
            return false;
        text = span_from(text, n);
    }
    return true;
}

bool
mime_local_is_ascii(struct span text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] >= 0x80)
            return false;
    }
    return true;
}

size_t
mime_local_normalise(struct span text, char *out, size_t size)
{
    uint8_t normal[NFC_GROWTH * CONTENT_MAX];
    size_t n = sizeof normal;
    if (text.n == 0 || text.n > CONTENT_MAX)
        return 0;
    /* Nearly all addresses are; ASCII is its own NFC. */
    if (mime_local_is_ascii(text)) {
        if (text.n > size)
            return 0;
        memcpy(out, text.p, text.n);
        return text.n;
    }
    if (!is_stream_safe(text))
        return 0;
    uint8_t *result = u8_normalize(UNINORM_NFC, text.p, text.n, normal, &n);
    if (!result)
        return 0;
    if (n <= size)
        memcpy(out, result, n);
    if (result != normal)
        free(result);
    return n <= size ? n : 0;
}

/* dot-atom-text of RFC 5322 3.2.3. */
static bool
is_dot_atom(struct span content)
{
    bool after_dot = true;
    for (size_t i = 0; i < content.n; i++) {
        bool is_dot = content.p[i] == '.';
        if (is_dot ? after_dot : !mime_local_is_atext(content.p[i]))
            return false;
        after_dot = is_dot;
    }
    return !after_dot;
}

size_t
mime_local_format(struct span content, char *out, size_t size)
{
    char normal[CONTENT_MAX];
    content = span_of(normal, mime_local_normalise(content, normal, sizeof normal));
    /* At worst every byte is escaped, and there are two quotes and a NUL. */
    if (content.n == 0 || 2 * content.n + 3 > size)
        return 0;
    for (size_t i = 0; i < content.n; i++) {
        if (content.p[i] < ' ' || content.p[i] == 0x7f)
            return 0;
    }
    size_t n = 0;
    bool quotes = !is_dot_atom(content);
    if (quotes)
        out[n++] = '"';
    for (size_t i = 0; i < content.n; i++) {
        if (quotes && (content.p[i] == '"' || content.p[i] == '\\'))
            out[n++] = '\\';
        out[n++] = (char)content.p[i];
    }
    if (quotes)
        out[n++] = '"';
    out[n] = '\0';
    return n;
}
