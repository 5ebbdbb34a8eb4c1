#include "policy/text.h"

#include <stdio.h>
#include <string.h>

void
policy_text_init(struct policy_text *text, char *out, size_t size)
{
    *text = (struct policy_text){ .out = out, .size = size };
    out[0] = '\0';
}

size_t
policy_text_left(const struct policy_text *text)
{
    return text->size - 1 - text->n;
}

/* The largest cut at or below `n` that does not split a UTF-8 sequence. */
static size_t
text_boundary(const char *part, size_t n)
{
    while (n > 0 && ((unsigned char)part[n] & 0xC0) == 0x80)
        n--;
    return n;
}

static void
text_copy(struct policy_text *text, const char *part, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)part[i];

        text->out[text->n++] = c < 0x20 || c == 0x7F ? '?' : (char)c;
    }
    text->out[text->n] = '\0';
}

void
policy_text_write_short(struct policy_text *text, const char *part, size_t limit)
{
    static const char dots[] = "...";
    size_t n = part != NULL ? strlen(part) : 0;
    size_t left = policy_text_left(text);

    if (limit > left)
        limit = left;
    if (n <= limit) {
        text_copy(text, part, n);
        return;
    }
    if (limit >= sizeof dots - 1)
        text_copy(text, part, text_boundary(part, limit - (sizeof dots - 1)));
    /* A line that is full already keeps its end: there may be room for fewer than three dots. */
    left = policy_text_left(text);
    text_copy(text, dots, left < sizeof dots - 1 ? left : sizeof dots - 1);
}

void
policy_text_write(struct policy_text *text, const char *part)
{
    policy_text_write_short(text, part, text->size);
}

void
policy_text_write_count(struct policy_text *text, size_t count)
{
    char number[24];

    snprintf(number, sizeof number, "%zu", count);
    policy_text_write(text, number);
}
