/*
 * What the sender of an outbound message chooses: a header field, words in Subject, Sensitivity;
 * and the edits that take the choice out again before the message leaves.
 *
 * Words in Subject are found in what a reader sees (encoded words opened), and removed where they
 * stand in one piece. Belongs to one message.
 */
#ifndef FLOW_CHOICE_H
#define FLOW_CHOICE_H

#include "util/err.h"

struct flow_message;

/* At the end of the header: fills message->choice. Inbound: nothing. ERR_NOMEM. */
ERR_CHECKED enum err_code flow_choice_load(struct flow_message *message, struct err *err);

/* Adds the edits of a message that leaves. */
ERR_CHECKED enum err_code flow_choice_edit(struct flow_message *message, struct err *err);

#endif
