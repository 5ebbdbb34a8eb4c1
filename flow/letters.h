/*
 * Letters that wait to be sent: what a message has caused is written down here, and sent in the
 * background, never in the message's way (milter/letters).
 *
 * A bounded queue in memory: what it does not take, and what a restart finds in it, is lost, since
 * the reply of SMTP has said the same.
 *
 * Threads: any; one lock, held while pointers move.
 */
#ifndef FLOW_LETTERS_H
#define FLOW_LETTERS_H

#include "flow/notice.h"
#include "util/buf.h"

struct flow_message;

enum { FLOW_LETTERS_LIMIT = 1000, FLOW_LETTERS_BYTES = 32 << 20 };

/* notice_refused: the message was refused because it must be encrypted and somebody has no valid
 * certificate. A letter to its sender that names them all; none to automatic mail, to the null
 * sender, or to somebody who is not who he says. */
void flow_letters_refuse(const struct flow_message *message);

/* The letter itself, about a message and those in `list`: FLOW_NOTICE_REFUSED or _REMOVED, to `to`.
 * The templates are there. Errors as flow_notice_format. */
ERR_CHECKED enum err_code flow_letters_format(const struct flow_message *message,
                                              enum flow_notice_kind kind, const char *to,
                                              const struct flow_notice_recipient *list,
                                              size_t count, struct buf *letter, struct err *err);

/* The first that waits: address (free it) and letter (buf_free). False: none. */
bool flow_letters_take(char **to, struct buf *letter);

void flow_letters_reset(void);

#endif
