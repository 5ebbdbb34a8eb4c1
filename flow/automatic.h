/*
 * Does a message say that nobody wrote it, or that a list sent it?                          RFC
 * 3834 5, RFC 3464, RFC 8098
 *
 * Auto-Submitted with anything but "no", or a report (multipart/report: DSN, MDN and the like). All
 * of it is the message's own claim. Plain values; pure.
 */
#ifndef FLOW_AUTOMATIC_H
#define FLOW_AUTOMATIC_H

#include "mime/header.h"

/* ERR_NOMEM only. */
ERR_CHECKED enum err_code flow_automatic_find(const struct mime_header *header, bool *out,
                                              struct err *err);

/* A post of a mailing list: List-Id, List-Post, or Precedence: list (RFC 2919, RFC 2369). */
bool flow_automatic_is_list(const struct mime_header *header);

#endif
