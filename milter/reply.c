#include "milter/reply.h"

#include <stdio.h>
#include <string.h>

/* How much of `text` goes into one line: up to the last space that fits, or all that fits. */
static size_t
line_length(const char *text, size_t n)
{
    if (n <= MILTER_REPLY_LINE)
        return n;
    for (size_t i = MILTER_REPLY_LINE; i > MILTER_REPLY_LINE / 2; i--) {
        if (text[i] == ' ')
            return i;
    }
    return MILTER_REPLY_LINE;
}

static void
line_copy(const char *text, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c < ' ' || c > '~')
            c = '?';
        if (c == '%')
            *out++ = '%';
        *out++ = c;
    }
    *out = '\0';
}

void
milter_reply_format(const struct flow_answer *answer, struct milter_reply *out)
{
    const char *text = answer->text;
    size_t n = strnlen(text, sizeof answer->text);

    memset(out, 0, sizeof *out);
    snprintf(out->code, sizeof out->code, "%03u", (unsigned)answer->code % 1000);
    snprintf(out->enhanced, sizeof out->enhanced, "%s", answer->enhanced);
    do {
        size_t length = line_length(text, n);
        line_copy(text, length, out->lines[out->count++]);
        text += length;
        n -= length;
        while (n > 0 && *text == ' ') {
            text++;
            n--;
        }
    } while (n > 0 && out->count < MILTER_REPLY_LINES);
}

sfsistat
milter_reply_set(SMFICTX *ctx, const struct flow_answer *answer)
{
    struct milter_reply reply;
    char *l[MILTER_REPLY_LINES] = { NULL };

    if (answer->kind == FLOW_CONTINUE || answer->kind == FLOW_ACCEPT_REST)
        return SMFIS_CONTINUE;
    if (answer->kind == FLOW_DISCARD)
        return SMFIS_DISCARD;
    sfsistat status = answer->kind == FLOW_REFUSE ? SMFIS_REJECT : SMFIS_TEMPFAIL;
    milter_reply_format(answer, &reply);
    for (size_t i = 0; i < reply.count; i++)
        l[i] = reply.lines[i];
    /* The list ends at the first NULL. A code of the other class would be ignored by libmilter,
     * which then sends its own text: the kind still holds. */
    (void)smfi_setmlreply(ctx, reply.code, reply.enhanced[0] ? reply.enhanced : NULL, l[0], l[1],
                          l[2], l[3], l[4], l[5], l[6], l[7], NULL);
    return status;
}
