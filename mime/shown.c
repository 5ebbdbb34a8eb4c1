#include "mime/shown.h"

#include <stdlib.h>
#include <string.h>

#include "mime/address.h"
#include "mime/word.h"

enum { SHOWN_FIELD_BYTES = 1 << 20 };

/* Takes off backslashes (quoted-pairs show what they quote) and makes '@' of FULLWIDTH and SMALL
 * COMMERCIAL AT (U+FF20, U+FE6B), which readers of mail cannot tell from it. */
static void
shown_reduce(struct buf *text)
{
    static const unsigned char wide[] = { 0xEF, 0xBC, 0xA0 }, small[] = { 0xEF, 0xB9, 0xAB };
    size_t to = 0;

    for (size_t i = 0; i < text->n; i++) {
        if (text->p[i] == '\\')
            continue;
        if (text->n - i >= sizeof wide && (memcmp(text->p + i, wide, sizeof wide) == 0 ||
                                           memcmp(text->p + i, small, sizeof small) == 0)) {
            text->p[to++] = '@';
            i += sizeof wide - 1;
            continue;
        }
        text->p[to++] = text->p[i];
    }
    text->n = to;
}

static bool
shown_is_local(unsigned char c)
{
    return c > ' ' && c != 0x7F && !strchr("()<>[]:;@\\,\"'`", c);
}

static bool
shown_is_domain(unsigned char c)
{
    return c >= 0x80 || c == '.' || c == '-' || c == '_' || (c >= '0' && c <= '9') ||
           (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The address around the '@' at `at`; empty: none. */
static struct span
shown_around(struct span text, size_t at)
{
    size_t begin = at, end = at + 1;

    while (begin > 0 && shown_is_local(text.p[begin - 1]))
        begin--;
    while (end < text.n && shown_is_domain(text.p[end]))
        end++;
    while (end > at + 1 && strchr(".-", text.p[end - 1]))
        end--;
    while (begin < at && text.p[begin] == '.')
        begin++;
    if (begin == at || memchr(text.p + at + 1, '.', end - at - 1) == NULL)
        return span_of(NULL, 0);
    return span_of(text.p + begin, end - begin);
}

static enum err_code
shown_append(struct mime_shown *out, struct span address, struct err *err)
{
    char formatted[MIME_ADDRESS_SIZE];
    struct err found = ERR_INIT;
    enum err_code code = mime_address_format(address, formatted, &found);

    if (code == ERR_NOMEM)
        return err_set(err, code, "%s", found.text);
    if (out->count == MIME_SHOWN_LIMIT) {
        out->unreadable = true;
        return ERR_OK;
    }
    out->list[out->count] = code == ERR_OK ? strdup(formatted) : span_dup(address);
    if (out->list[out->count] == NULL)
        return err_set(err, ERR_NOMEM, "no memory for the addresses that a name shows");
    out->count++;
    return ERR_OK;
}

enum err_code
mime_shown_load(struct span field_value, struct mime_shown *out, struct err *err)
{
    struct buf text = BUF_INIT(SHOWN_FIELD_BYTES);
    unsigned flags = 0;
    enum err_code code;

    *out = (struct mime_shown){ .count = 0 };
    code = mime_word_decode(field_value, &text, &flags, err);
    out->unreadable = flags & MIME_WORD_UNREADABLE;
    shown_reduce(&text);
    for (size_t i = 0; code == ERR_OK && !out->unreadable && i < text.n; i++) {
        struct span address =
            text.p[i] == '@' ? shown_around(buf_span(&text), i) : span_of(NULL, 0);

        if (address.n > 0)
            code = shown_append(out, address, err);
    }
    buf_free(&text);
    return code;
}

void
mime_shown_free(struct mime_shown *shown)
{
    for (size_t i = 0; i < shown->count; i++)
        free(shown->list[i]);
    *shown = (struct mime_shown){ .count = 0 };
}
