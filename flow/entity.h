/*
 * The entity that will be protected: what of the message's header section goes into it.
 *                                                                                    RFC 8551 3.1
 * Pure.
 */
#ifndef FLOW_ENTITY_H
#define FLOW_ENTITY_H

#include "mime/header.h"
#include "util/buf.h"

/* Appends the Content-* fields as they were written, with CRLF and the empty line. The bound is
 * that of `out`: ERR_LIMIT. */
ERR_CHECKED enum err_code flow_entity_format_header(const struct mime_header *header,
                                                    struct buf *out, struct err *err);

#endif
