/*
 * The chain that makes the protected body, and the header edits that go with it.    RFC
 * 8551 3.3-3.5
 *
 *     spool -> canonical form -> sign -> encrypt -> outlet -> the caller's sink
 *
 * It is built at the end of the message, before the answer: every certificate and key is tried
 * while the message can still be deferred, and the new header fields are known. It runs when the
 * milter asks for the body, and its output is stored nowhere.
 *
 * The entity that goes in is what RFC 8551 3.1 calls the MIME entity: the Content-* fields of the
 * message, the empty line, the body. All other fields stay outside.
 */
#ifndef FLOW_PROTECT_H
#define FLOW_PROTECT_H

#include "flow/edits.h"
#include "mime/canonical.h"
#include "mime/header.h"
#include "policy/plan.h"
#include "smime/encrypt.h"
#include "smime/sign.h"
#include "util/spool.h"

struct flow_protect;

struct flow_protect_args {
    const struct policy_copy *copy;    /* read by new only */
    const struct mime_scan *scan;      /* borrowed until free */
    const struct spool *spool;         /* borrowed until free */
    struct span entity_header;         /* with the empty line; borrowed until free */
    const struct pki_key *key;         /* copy->sign; borrowed until free */
    const struct pki_certificate *own; /* the signer's encryption certificate, or NULL */
    time_t signing_time;
    struct pki_certificate *const *recipients; /* copy->encrypt; borrowed until free */
    size_t count;
};

ERR_CHECKED enum err_code flow_protect_new(const struct flow_protect_args *args,
                                           struct flow_protect **out, struct err *err);
void flow_protect_free(struct flow_protect **protect);

/* Takes every Content-* and MIME-Version field out of `header` but those that the new ones need,
 * changes these in their place (each edit wakes the MTA; a field that says what it should is left
 * alone), inserts what is missing, replaces the body. */
ERR_CHECKED enum err_code flow_protect_edits(const struct flow_protect *protect,
                                             const struct mime_header *header,
                                             struct flow_edits *edits, struct err *err);

/* Runs the chain, once. `sink` is taken whatever happens; it is finished after the last byte. */
ERR_CHECKED enum err_code flow_protect_write(struct flow_protect *protect, struct stage *sink,
                                             struct err *err);

/* Octets written to the sink. */
uint64_t flow_protect_size(const struct flow_protect *protect);

#endif
