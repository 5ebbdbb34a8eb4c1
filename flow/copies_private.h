/*
 * What flow/copies and flow/copies_state know of a run between them. Private to the two.
 */
#ifndef FLOW_COPIES_PRIVATE_H
#define FLOW_COPIES_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/journal.h"
#include "flow/resubmit.h"
#include "policy/plan.h"

struct flow_message;

/* One for each recipient that policy knows. */
struct copies_person {
    bool done;    /* he has had his copy, or his sender the letter: by the journal, or now */
    bool told;    /* to be named in the letter */
    char *reason; /* what the letter says of him; NULL: what policy knows of him */
};

struct copies {
    struct flow_message *message;
    const struct policy_plan *plan;
    const char *sender; /* of the envelope as it leaves */
    int64_t deadline_ms;
    struct copies_person *people;
    const char **addresses; /* of the same; borrowed from the facts */
    size_t count;
    struct flow_journal *journal;
    struct flow_journal_key key;
    bool has_key;                       /* this message is under way with us */
    bool is_ephemeral;                  /* without a Message-ID of its own */
    bool has_left;                      /* something: now, or at an earlier attempt */
    struct flow_resubmit_reply refusal; /* ends the message where code is not 0 */
};

/* Identifies the message, asks the journal, tries whether it can be written. ERR_TEMP,
 * "copies-busy", "copies-journal"; ERR_PERM, "notice-impossible": recipients are to be returned,
 * and no letter may or can be written. */
ERR_CHECKED enum err_code flow_copies_begin(struct copies *copies, struct err *err);

/* These have had theirs: on the disk when it returns ERR_OK. */
ERR_CHECKED enum err_code flow_copies_note(struct copies *copies, const size_t *indices,
                                           size_t count, struct err *err);

/* The letter names him, with that reason (copied). */
ERR_CHECKED enum err_code flow_copies_tell(struct copies *copies, size_t index, const char *reason,
                                           struct err *err);

/* Sends the letter to the sender if somebody is to be named, and notes that it was sent. */
ERR_CHECKED enum err_code flow_copies_write_letter(struct copies *copies, struct err *err);

/* All that is to leave by SMTP has left. */
ERR_CHECKED enum err_code flow_copies_end(struct copies *copies, struct err *err);
void flow_copies_free(struct copies *copies);

#endif
