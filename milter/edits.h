/*
 * The list of edits, applied in one loop at end-of-message, every return checked.
 *
 * libmilter's smfi_* functions say MI_SUCCESS when the change was sent; a header field over 64 KiB,
 * a connection that broke or a right that was not negotiated is MI_FAILURE. A message whose edits
 * did not all arrive must not be delivered: the caller answers 451, and the MTA throws away what it
 * was told so far.
 *
 * One thread at a time, inside the end-of-message callback only.
 */
#ifndef MILTER_EDITS_H
#define MILTER_EDITS_H

#include <libmilter/mfapi.h>

#include "flow/message.h"
#include "milter/budget.h"

/* libmilter cuts a body into pieces of this size anyway. */
enum { MILTER_EDITS_BODY_PIECE = 65535 };

/* `deadline_ms` bounds the work up to the first octet of a body; after that a body may take as long
 * as it moves at MILTER_EDITS_BODY_RATE octets a second or more. */
enum { MILTER_EDITS_BODY_RATE = 1 << 20 };

struct milter_edits_args {
    SMFICTX *ctx;
    struct flow_message *message;
    int64_t deadline_ms;
    struct milter_budget_slot *slot; /* told about every piece of a body that the MTA took */
};

ERR_CHECKED enum err_code milter_edits_write(const struct milter_edits_args *args, struct err *err);

#endif
