/*
 * What all copies of this process share: the key of their marks with the memory of those that were
 * used, and the journal of what the MTA has taken.
 *
 * Belongs to no snapshot: a new one takes that of the current one where hostname, key file and
 * folder are the same, since marks that are under way and notes in the journal outlive a reload.
 *
 * Threads: any. One lock, around the messages under way, and held while the journal is opened, the
 * first time that it is asked for: smimectl, which asks for none, makes no file.
 */
#ifndef FLOW_RESUBMISSION_H
#define FLOW_RESUBMISSION_H

#include "conf/conf.h"
#include "flow/journal.h"
#include "flow/mark.h"

struct flow_resubmission;

/* `current` (may be NULL) is taken over, with a reference, where it fits. ERR_PERM, ERR_TEMP,
 * ERR_NOTFOUND: the key file. */
ERR_CHECKED enum err_code flow_resubmission_new(const struct conf_global *global, const char *host,
                                                struct flow_resubmission *current,
                                                struct flow_resubmission **out, struct err *err);
void flow_resubmission_free(struct flow_resubmission **resubmission);

/* Borrowed until free. */
struct flow_mark *flow_resubmission_mark(const struct flow_resubmission *resubmission);

/* Borrowed until free. ERR_TEMP, ERR_PERM as flow_journal_open, reason "copies-journal": without it
 * nobody knows who has had his copy, and none may leave. Asked again, it tries again. */
ERR_CHECKED enum err_code flow_resubmission_journal(struct flow_resubmission *resubmission,
                                                    struct flow_journal **out, struct err *err);

/* One message is worked on once at a time: a client that gave up waiting may come again while its
 * copies still leave. ERR_TEMP, reason "copies-busy"; ERR_NOMEM. `key` is copied; end what began.
 */
ERR_CHECKED enum err_code flow_resubmission_begin(struct flow_resubmission *resubmission,
                                                  const struct flow_journal_key *key,
                                                  struct err *err);
void flow_resubmission_end(struct flow_resubmission *resubmission,
                           const struct flow_journal_key *key);

/* Forgets old notes, if the journal is there. */
ERR_CHECKED enum err_code flow_resubmission_expire(struct flow_resubmission *resubmission,
                                                   struct err *err);

#endif
