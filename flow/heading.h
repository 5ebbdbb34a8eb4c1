/*
 * A header as it leaves: the fields that came, and the edits applied to them, as the MTA applies
 * them to the message in its transaction.                                           RFC
 * 5322 2.2, 3.6.3
 *
 * For copies that are handed to the MTA by SMTP (flow/copy). Some fields are left out whatever the
 * edits say: Bcc and Resent-Bcc, which would name to one recipient what is hidden from him, a mark
 * of ours, and Return-Path and Content-Length, which MTAs take out and which would break the mark.
 *
 * Pure. Memory: a list of pointers to the fields, and the output.
 */
#ifndef FLOW_HEADING_H
#define FLOW_HEADING_H

#include "flow/edits.h"
#include "mime/header.h"

/* Is that one of those that no copy has? */
bool flow_heading_leaves_out(struct span name);

/* Appends fields with CRLF, without the empty line. Edits of envelope and body are passed over.
 * ERR_BUG: an edit of a field that is not there; ERR_LIMIT, ERR_NOMEM. */
ERR_CHECKED enum err_code flow_heading_format(const struct mime_header *header,
                                              const struct flow_edits *edits, struct buf *out,
                                              struct err *err);

#endif
