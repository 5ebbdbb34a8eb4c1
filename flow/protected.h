/*
 * Header fields that the sender put under his signature or into his envelope.
 *                                                     RFC 9788, RFC 8551 3.1 (message/rfc822)
 *
 * The header section of the entity inside all layers may repeat the fields of the message: where
 * its Content-Type says hp="clear" or hp="cipher" (RFC 9788 2.1.1), or protected-headers="v1" (the
 * draft before it), or the entity is a whole message (message/rfc822: "it can be assumed that the
 * intent was to provide header protection"). They are read, compared, and by rule put in the place
 * of those outside, which anybody on the way may have written.
 *
 * Who answers is led by To, Cc, Reply-To and their like. What anybody added to those of a message
 * whose header is protected is not the sender's (RFC 9788 2.2: he repeats all of them inside), and
 * an answer that quotes what was decrypted would go there. RFC 9788 6.1.2 has the reader's program
 * look at protected ones alone; it cannot tell them apart behind us, so with `restore` they alone
 * are left. Not with the draft before, which repeated some fields only.
 *
 * HP-Outer (RFC 9788 2.2) says which fields the sender hid outside. It changes nothing here: what
 * is inside is restored, hidden or not, and the fields that nobody protected are known without it.
 * It never leaves the entity (flow/lift).
 *
 * Only fields that people read. Never From: the verdict is about the one outside; if the one inside
 * is another's, nothing is restored. Never for routing: envelope and rules know nothing of them. A
 * field that comes twice, inside or outside, is left alone, but for those that lead an answer:
 * where there is one inside, there is one outside.
 *
 * Plain values; flow_protected_free gives the memory back.
 */
#ifndef FLOW_PROTECTED_H
#define FLOW_PROTECTED_H

#include "flow/edits.h"
#include "flow/from.h"
#include "mime/header.h"

enum {
    FLOW_PROTECTED_FIELDS = 9,
    FLOW_PROTECTED_ANSWERS = 5,
    FLOW_PROTECTED_LIMIT_VALUE = 16 * 1024
};

struct flow_protected {
    bool there;                           /* the sender protected his header */
    bool whole;                           /* all of it, and not some fields */
    bool answers[FLOW_PROTECTED_ANSWERS]; /* those that lead an answer are inside, however often */
    char *values[FLOW_PROTECTED_FIELDS];  /* in the order of a private table; NULL: not there */
    bool wrapped; /* the entity is a whole message: it may be a forwarded one, too */
    struct flow_from from;
};

/* Does the sender say, under his protection, that he is another than outside? Programs that know
 * protected headers show the one inside. Not of a whole message: that may be one he forwards. */
bool flow_protected_is_other(const struct flow_protected *protected, const struct flow_from *from);

/* Is the entity a whole message, whose header section is the one to load? */
ERR_CHECKED enum err_code flow_protected_is_wrapper(const struct mime_header *header,
                                                    bool *is_wrapper, struct err *err);

/* `header`: of the entity, or with `wrapped` of the message that the entity is. ERR_NOMEM only. */
ERR_CHECKED enum err_code flow_protected_load(const struct mime_header *header, bool wrapped,
                                              struct flow_protected *out, struct err *err);
void flow_protected_free(struct flow_protected *protected);

/* *differ: how many fields outside say something else than inside, or are not there; those become
 * edits where `restore`. `from` and `header` are the message's. */
ERR_CHECKED enum err_code flow_protected_edits(const struct flow_protected *protected,
                                               const struct flow_from *from,
                                               const struct mime_header *header, bool restore,
                                               struct flow_edits *edits, size_t *differ,
                                               struct err *err);

#endif
