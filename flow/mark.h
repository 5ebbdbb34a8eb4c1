/*
 * The mark on a copy that we hand to the MTA, by which it is known when it comes back through the
 * listener.                                                                          RFC 2104
 *
 *     X-Smimed-Mark: v1 NONCE
 *      BASE64(time, HMAC-SHA-256, digest)
 *
 * The listener of the MTA through which copies go lets through only what carries one: else anybody
 * who can reach it could send past policy. What the mark binds, and what that prevents:
 *
 *   key       random, made by this process when it starts, or the octets of a file that several
 *             smimed beside one MTA share. Nobody else can make a mark (cache/seal: HMAC).
 *   digest    SHA-256 over envelope sender, the set of recipients, every field of the header in its
 *             order, and the body. A mark that was seen cannot be put on another message, and no
 *             recipient can be added. The body is known before the header is sent because a copy is
 *             made into a spool first (flow/dispatch): an HMAC over a digest that comes later would
 *             need a trailer, which SMTP does not have, or a second run of the chain, which gives
 *             other octets each time.
 *   nonce     128 random bits, sealed in the name: each mark is used once. The process that checks
 *             remembers the ones it has seen for as long as they are fresh.
 *   time      sealed: fresh for FLOW_MARK_FRESH_S, after which the memory may forget it. What was
 * made before a process with a key file began is deferred by it, not taken: it may have been used
 * before. host      sealed in the name: two gateways that were given the same key file by mistake,
 * with an MTA each, do not take each other's copies.
 *
 * White space in fields is folded before they are digested: MTAs fold anew. An MTA that adds fields
 * to a copy or changes them makes the mark invalid (docs/operations.md says which settings do).
 *
 * Threads: any; one lock around the memory of nonces.
 */
#ifndef FLOW_MARK_H
#define FLOW_MARK_H

#include <stdbool.h>
#include <stddef.h>

#include "mime/header.h"
#include "util/err.h"
#include "util/span.h"

#define FLOW_MARK_FIELD "X-Smimed-Mark"

/* What the listener's refusal begins with, so that we know it when it comes from our own. */
#define FLOW_MARK_REFUSAL "not a copy that smimed made"

enum {
    FLOW_MARK_FRESH_S = 300,       /* an end-of-message takes 250 s at most (eom_timeout) */
    FLOW_MARK_LIMIT_USED = 100000, /* marks remembered; beyond it copies are deferred */
    FLOW_MARK_SIZE = 256,
};

struct flow_mark;

/* `key_file` NULL or "": a random key. `host` is copied. ERR_PERM, ERR_NOTFOUND, ERR_TEMP: the key
 * file, as cache_seal_load. */
ERR_CHECKED enum err_code flow_mark_new(const char *key_file, const char *host,
                                        struct flow_mark **out, struct err *err);
void flow_mark_free(struct flow_mark **mark);

/* What is sealed; all borrowed for the call. Addresses formatted; the null sender is "". Fields
 * named FLOW_MARK_FIELD do not count. */
struct flow_mark_copy {
    const char *sender;
    const char *const *recipients;
    size_t count;
    const struct mime_header *header;
    struct span body; /* its SHA-256 */
};

/* The value of the field, with CRLF folding, no space before. ERR_NOMEM, ERR_TEMP. */
ERR_CHECKED enum err_code flow_mark_format(struct flow_mark *mark,
                                           const struct flow_mark_copy *copy,
                                           char out[FLOW_MARK_SIZE], struct err *err);

/* Is this a mark of ours that is fresh, whatever it stands on? For mail on other paths. ERR_OK;
 * ERR_PERM "mark-forged", "mark-late"; ERR_NOMEM. */
ERR_CHECKED enum err_code flow_mark_find(struct flow_mark *mark, struct span value,
                                         struct err *err);

/* Takes the mark on a copy: ERR_OK once. ERR_PERM, reason "mark-forged", "mark-late",
 * "mark-changed" (the envelope, the header or the body is another one), "mark-used"; ERR_TEMP
 * "mark-early" (made before this process began), "mark-many"; ERR_NOMEM. */
ERR_CHECKED enum err_code flow_mark_check(struct flow_mark *mark, struct span value,
                                          const struct flow_mark_copy *copy, struct err *err);

#endif
