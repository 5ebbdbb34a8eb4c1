/*
 * Authentication-Results that claim to be ours and came from outside.               RFC 8601 5
 *
 * Readers believe the field whose authserv-id they know. The id can be written in many ways (case,
 * quotes, a comment before it, folding, a version behind it, a trailing dot, U-labels for
 * A-labels); all of them are found here. A field that names somebody else is not ours to remove.
 * What fits no grammar is looked at word by word up to the first semicolon: removing a field too
 * many of our own name harms nobody.
 */
#ifndef FLOW_FORGED_H
#define FLOW_FORGED_H

#include "flow/edits.h"
#include "mime/header.h"

/* Does the field value claim `authserv_id`? */
ERR_CHECKED enum err_code flow_forged_check(struct span value, const char *authserv_id,
                                            bool *forged, struct err *err);

/* Adds a deletion for every such field, the last first. *count: how many. */
ERR_CHECKED enum err_code flow_forged_find(const struct mime_header *header,
                                           const char *authserv_id, struct flow_edits *edits,
                                           size_t *count, struct err *err);

#endif
