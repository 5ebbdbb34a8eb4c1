/*
 * A message that brings us down again and again is not tried for ever.
 *
 * The client sends a message again after a crash (451, or a broken connection), and a message that
 * crashes a parser crashes it again: one letter then stops the mail of a house. So a mark is set
 * before a message is looked at and taken away when it has ended, however it ended. Marks lie in a
 * file that is mapped into memory: they survive the process without a write or an fsync on the way
 * of a message (after a power cut they may be gone, which costs a further crash). What is found
 * marked at the start was in flight when we fell: each such message is a suspect once more, and
 * one that was a suspect FLOW_POISON_TIMES times is not looked at again (policy: on_poison). A
 * message that made us miss its deadline counts the same, and so does one of the same name that
 * has been in flight for FLOW_POISON_STUCK_S: a thread that never came back.
 *
 * Innocents that were in flight beside the culprit are suspects too, and are cleared by the first
 * try that ends well. A message is known by the SHA-256 of its envelope and header section.
 *
 * Holds FLOW_POISON_SLOTS marks of 64 octets; when all are in use the oldest that is not in flight
 * goes. Without a file (disk full, no rights) nothing is marked and mail flows; main says so.
 *
 * Threads: any; one lock, held for a few instructions.
 */
#ifndef FLOW_POISON_H
#define FLOW_POISON_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"

enum {
    FLOW_POISON_SLOTS = 4096,
    FLOW_POISON_TIMES = 2,
    FLOW_POISON_NAME_BYTES = 32,
    FLOW_POISON_STUCK_S = 900 /* longer than any message may take from its header to its answer */
};

struct flow_poison;

/* Maps the file, which is made when it is not there; one process at a time (a lock on it).
 * *suspects: marks that were found in flight. ERR_PERM: not ours; ERR_TEMP: in use, or cannot be
 * mapped. A file of another layout is made anew. */
ERR_CHECKED enum err_code flow_poison_open(const char *path, struct flow_poison **out,
                                           unsigned *suspects, struct err *err);
void flow_poison_close(struct flow_poison **poison);

/* Sets the mark of a message. Returns how often it brought us down before; from FLOW_POISON_TIMES
 * on no mark is set, and the caller must not look at the message. *slot is for finish; -1: no mark
 * is set. `poison` may be NULL. */
unsigned flow_poison_set(struct flow_poison *poison,
                         const unsigned char name[FLOW_POISON_NAME_BYTES], int *slot);

enum flow_poison_end {
    FLOW_POISON_WELL,    /* it ended: forgotten */
    FLOW_POISON_ABORTED, /* the client went away before we were asked to do anything: as it was */
    FLOW_POISON_STALLED, /* it missed its deadline: counts like a crash */
};

/* Takes the mark away; *slot is -1 afterwards. */
void flow_poison_finish(struct flow_poison *poison, int *slot, enum flow_poison_end end);

/* The program ends as it should: what is in flight now is as it was before, and nothing is marked
 * any more. The marks stay open: others may still be about to take theirs away. `poison` may be
 * NULL. */
void flow_poison_deinit(struct flow_poison *poison);

/* Forgets a message, or all (name NULL): for the administrator who has mended the cause. How many
 * were forgotten. */
unsigned flow_poison_reset(struct flow_poison *poison, const unsigned char *name);

/* Marks of messages that are not in flight, and those of them that are not looked at any more.
 * `poison` may be NULL: none. */
void flow_poison_get(struct flow_poison *poison, unsigned *suspects, unsigned *poisoned);

#endif
