/*
 * Takes a verified signature off a message (strip_signature = yes): the entity that was signed
 * takes the place of the multipart/signed or the CMS object around it.               RFC 8551 3.5
 *
 * For readers that show attachments where they know no S/MIME. Only after the verdict pass, only
 * the outermost layer, and only what all recipients' rules agree to: the result field is then all
 * that is left of the signature. What of the entity's header is taken is as for decrypted mail
 * (flow/lift): Content-* fields within bounds, nothing else.
 *
 * Holds the signed content in a spool, from the time it passes. Belongs to one message.
 */
#ifndef FLOW_STRIP_H
#define FLOW_STRIP_H

#include "flow/edits.h"
#include "mime/header.h"
#include "util/spool.h"
#include "util/stage.h"

struct flow_strip;

ERR_CHECKED enum err_code flow_strip_new(const struct spool_args *spool, struct flow_strip **out,
                                         struct err *err);
void flow_strip_free(struct flow_strip **strip);

/* For flow_verification_args.content; borrowed until free. */
struct stage *flow_strip_stage(struct flow_strip *strip);

/* The content is whole. *can: it is an entity that may take the place of the message. */
ERR_CHECKED enum err_code flow_strip_finish(struct flow_strip *strip, bool *can, struct err *err);

/* The edits, the new body among them; `header` is the message's. */
ERR_CHECKED enum err_code flow_strip_edits(const struct flow_strip *strip,
                                           const struct mime_header *header,
                                           struct flow_edits *edits, struct err *err);
/* The body into `sink` (taken), finished. */
ERR_CHECKED enum err_code flow_strip_write_body(const struct flow_strip *strip, struct stage *sink,
                                                struct err *err);
uint64_t flow_strip_bytes(const struct flow_strip *strip);

#endif
