#include "flow/reply.h"

#include <stdio.h>
#include <string.h>

void
flow_reply_text(const char *text, char *out, size_t size)
{
    size_t used = 0;

    for (; text && *text && used + 1 < size; text++) {
        unsigned char c = (unsigned char)*text;

        /* A line break would let the text of a certificate or an address end the reply and begin
         * another one. */
        out[used++] = c == '\n' || c == '\r' || c == '\t' ? ' ' : c < 32 || c > 126 ? '?' : (char)c;
    }
    out[used] = 0;
    if (text && *text && size > 4)
        memcpy(out + size - 4, "...", 4);
}

void
flow_reply_continue(struct flow_answer *answer)
{
    *answer = (struct flow_answer){ .kind = FLOW_CONTINUE };
}

void
flow_reply_set(struct flow_answer *answer, int code, const char *enhanced, const char *text)
{
    bool sane = (code >= 400 && code <= 599) && enhanced && enhanced[0] == '0' + code / 100;

    if (code == 0) {
        flow_reply_continue(answer);
        return;
    }
    *answer = (struct flow_answer){ .code = sane ? code : 451 };
    answer->kind = answer->code >= 500 ? FLOW_REFUSE : FLOW_DEFER;
    snprintf(answer->enhanced, sizeof(answer->enhanced), "%s", sane ? enhanced : "4.3.0");
    flow_reply_text(text && *text ? text : "try again later", answer->text, sizeof(answer->text));
}

/* One row per (code, phase) where the message itself is to blame, or where a temporary failure
 * deserves another status than 4.3.0. What is not here is 451 4.3.0. */
static const struct {
    enum err_code code;
    enum flow_phase phase;
    int smtp;
    const char *enhanced;
} reply_rows[] = {
    { ERR_LIMIT, FLOW_PHASE_ENVELOPE, 452, "4.5.3" },
    { ERR_PERM, FLOW_PHASE_ENVELOPE, 553, "5.1.3" },
    { ERR_LIMIT, FLOW_PHASE_HEADER, 552, "5.3.4" },
    { ERR_LIMIT, FLOW_PHASE_BODY, 552, "5.3.4" },
    { ERR_LIMIT, FLOW_PHASE_STRUCTURE, 554, "5.6.0" },
    { ERR_PERM, FLOW_PHASE_STRUCTURE, 554, "5.6.0" },
    { ERR_PERM, FLOW_PHASE_MARK, 550, "5.7.1" },
    { ERR_PERM, FLOW_PHASE_COPIES, 550, "5.7.1" },
    { ERR_TEMP, FLOW_PHASE_COPIES, 451, "4.4.1" },
    { ERR_TEMP, FLOW_PHASE_FACTS, 451, "4.7.1" },
    { ERR_NOTFOUND, FLOW_PHASE_FACTS, 451, "4.7.1" },
};

void
flow_reply_error(const struct err *err, enum flow_phase phase, struct flow_answer *answer)
{
    size_t i;

    if (phase == FLOW_PHASE_BUDGET) {
        flow_reply_set(answer, 451, "4.3.2", "too much mail in work, try again later");
        return;
    }
    for (i = 0; i < sizeof(reply_rows) / sizeof(reply_rows[0]); i++) {
        if (reply_rows[i].code == err->code && reply_rows[i].phase == phase) {
            flow_reply_set(answer, reply_rows[i].smtp, reply_rows[i].enhanced, err->text);
            return;
        }
    }
    /* Our own failure: its text is for the log, not for whoever sent the message. */
    flow_reply_set(answer, 451, "4.3.0", "the message cannot be processed now, try again later");
}
