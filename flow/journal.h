/*
 * What has been handed to the MTA already, so that a message that comes again is recognised.
 *
 * Copies that differ leave one after another. When the machine stops between them, or one is
 * deferred, the client sends the whole message again; who has had his copy must not get it twice,
 * and nobody may be left out. So each recipient whose copy the MTA has taken is noted, and the note
 * is on the disk before the next step (SQLite, synchronous = FULL).
 *
 * The same message is: equal envelope sender, equal set of recipients, equal SHA-256 over header
 * and body as they were received; for `keep_s` (5 days: as long as clients try). Only copies that
 * were resubmitted are in here. Two windows remain in which a copy may be repeated, none in which
 * one is lost: between the MTA's 250 and our note, and, for the copy in the milter's own
 * transaction, between the MTA's commit and the client's reading of its 250.
 *
 * The disk may fill between the MTA's 250 and the note. Such notes are held in memory (bounded) and
 * written before the next message begins: until they are, no copy of any message leaves. So a
 * client that tries again and again sends nobody a second copy, unless smimed ends meanwhile.
 *
 * Holds digests and times, no addresses and no content: the file tells nobody who wrote to whom
 * without guessing the message itself.
 *
 * Threads: any.
 */
#ifndef FLOW_JOURNAL_H
#define FLOW_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "util/err.h"
#include "util/span.h"

enum {
    FLOW_JOURNAL_KEY_BYTES = 32,
    FLOW_JOURNAL_KEEP_S = 5 * 24 * 3600,
    FLOW_JOURNAL_UNWRITTEN = 50000
};

struct flow_journal;

/* One message. Made by flow_journal_key. */
struct flow_journal_key {
    unsigned char bytes[FLOW_JOURNAL_KEY_BYTES];
};

struct flow_journal_message {
    const char *sender;            /* formatted; "" the null sender */
    const char *const *recipients; /* formatted; their order and repetitions do not matter */
    size_t count;
    struct span digest; /* SHA-256 of header and body as received */
};
ERR_CHECKED enum err_code flow_journal_key(const struct flow_journal_message *message,
                                           struct flow_journal_key *out, struct err *err);

/* `path` is made when it is not there. ERR_PERM: a newer schema, or not ours; ERR_TEMP. */
ERR_CHECKED enum err_code flow_journal_open(const char *path, unsigned keep_s,
                                            struct flow_journal **out, struct err *err);
/* Writes what is held in memory once more; what is lost then is logged. */
void flow_journal_close(struct flow_journal **journal);

/* Before the first copy of a message: writes a note that it was begun, and what could not be
 * written before. An error (ERR_NOMEM: the disk is full; ERR_TEMP): nothing may leave. */
ERR_CHECKED enum err_code flow_journal_begin(struct flow_journal *journal,
                                             const struct flow_journal_key *key, struct err *err);

/* Which of the recipients have had their copy: sets done[i]. After flow_journal_begin. ERR_TEMP:
 * could not ask; then nothing may leave, since it might be the second time. */
ERR_CHECKED enum err_code flow_journal_find(struct flow_journal *journal,
                                            const struct flow_journal_key *key,
                                            const char *const *recipients, size_t count, bool *done,
                                            struct err *err);

/* The MTA has taken a copy for these. On the disk when it returns ERR_OK; held in memory otherwise,
 * up to FLOW_JOURNAL_UNWRITTEN of all messages. */
ERR_CHECKED enum err_code flow_journal_add(struct flow_journal *journal,
                                           const struct flow_journal_key *key,
                                           const char *const *recipients, size_t count,
                                           struct err *err);

/* Forgets about these, and that it was begun: a message that cannot be told from a later one has
 * ended. */
ERR_CHECKED enum err_code flow_journal_remove(struct flow_journal *journal,
                                              const struct flow_journal_key *key,
                                              const char *const *recipients, size_t count,
                                              struct err *err);

/* Forgets what is older than keep_s; how many notes remain. Called now and then. */
ERR_CHECKED enum err_code flow_journal_expire(struct flow_journal *journal, int64_t *left,
                                              struct err *err);

#endif
