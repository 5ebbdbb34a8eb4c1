/*
 * An answer of the flow's as libmilter wants to hear it.                     RFC 5321 4.5.3.1.5
 *
 * libmilter takes reply texts as format strings ("%" must be doubled), refuses CR and LF, cuts
 * lines at 980 octets and allows 32 of them. SMTP allows 512 octets a line, code and CRLF included,
 * so that is where a long text is folded here.
 *
 * Plain values; any thread.
 */
#ifndef MILTER_REPLY_H
#define MILTER_REPLY_H

#include "flow/message.h"

#include <libmilter/mfapi.h>

enum {
    MILTER_REPLY_LINE = 480, /* octets of text a line, before '%' is doubled */
    MILTER_REPLY_LINES = 8
};

struct milter_reply {
    char code[4];
    char enhanced[12];
    size_t count;
    char lines[MILTER_REPLY_LINES][2 * MILTER_REPLY_LINE + 1];
};

/* Splits at spaces where there are some. What is not printable ASCII becomes '?'. A text too long
 * for all lines is cut. */
void milter_reply_format(const struct flow_answer *answer, struct milter_reply *out);

/* Hands code and text of a refusal or deferral to libmilter and returns what the callback returns.
 * If libmilter does not want the text, the answer goes out without it: its kind always holds. */
sfsistat milter_reply_set(SMFICTX *ctx, const struct flow_answer *answer);

#endif
