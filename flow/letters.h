/*
 * Letters that wait to be sent: what a message has caused is written down here, and sent in the
 * background, never in the message's way (milter/letters).
 *
 * A bounded queue in memory, and a file that housekeeping writes of it: a letter that could not be
 * sent yet survives a restart, and a crash but for those of the last round (import_interval). After
 * a crash one may be sent twice. What the queue does not take, and what cannot be written at the
 * end, is lost with a line in the log for each, "letter: lost"; the reply of SMTP has said the
 * same.
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

/* Back to the front: it could not be sent now. Both are taken. */
void flow_letters_return(char *to, struct buf *letter);

/* What waits, as `path` (0600; addresses and texts of letters); without any the file goes. Nothing
 * is done where nothing changed. Errors of file_write. */
ERR_CHECKED enum err_code flow_letters_write(const char *path, struct err *err);

/* Adds what such a file holds; that there is none is no error. ERR_PERM: not ours, or unsafe. */
ERR_CHECKED enum err_code flow_letters_load(const char *path, struct err *err);

/* Empties the queue. `kept`: the file has them; else each is logged as lost. */
void flow_letters_reset(bool kept);

#endif
