#include "mime/local.h"

#include <stdint.h>

bool
mime_local_is_atext(unsigned char c)
{
    return c > ' ' && c != 0x7f && !strchr("()<>[]:;@\\,.\"", c);
}

/* Length of the UTF-8 sequence at the beginning of `s`, 0 if there is none. */
static size_t
sequence(struct span s)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char c = s.p[0];
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
    bool is_surrogate = v >= 0xd800 && v <= 0xdfff;
    return v < least[n] || v > 0x10ffff || is_surrogate ? 0 : n;
}

bool
mime_local_is_utf8(struct span text)
{
    while (text.n > 0) {
        size_t n = sequence(text);
        if (n == 0)
            return false;
        text = span_from(text, n);
    }
    return true;
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
    /* At worst every byte is escaped, and there are two quotes and a NUL. */
    if (content.n == 0 || 2 * content.n + 3 > size || !mime_local_is_utf8(content))
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
