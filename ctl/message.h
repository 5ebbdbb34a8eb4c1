/*
 * A message in a file, as the commands want it: read in pieces, never held.
 *
 * ctl_message_copy hands header section and body to whoever asks, as an MTA would. ctl_message_load
 * keeps what protecting needs (the header section within its bound, the body in a spool, a record
 * per MIME part).
 *
 * Threads: one.
 */
#ifndef CTL_MESSAGE_H
#define CTL_MESSAGE_H

#include "flow/edits.h"
#include "flow/raw.h"
#include "mime/header.h"
#include "mime/scan.h"
#include "util/spool.h"

enum { CTL_MESSAGE_HEADER = 1 << 20, CTL_MESSAGE_MEMORY = 256 * 1024 };

/* `path` "-" is stdin. Errors of the file are ERR_NOTFOUND, ERR_PERM or ERR_TEMP and name it. */
ERR_CHECKED enum err_code ctl_message_copy(const char *path, flow_raw_header_fn *header,
                                           flow_raw_body_fn *body, void *context, struct err *err);

struct ctl_message {
    struct mime_header *header;
    struct buf entity_header; /* its Content-* fields and the empty line */
    struct spool *spool;      /* the body, finished */
    struct mime_scan *scan;   /* of entity header and body, finished */
};

ERR_CHECKED enum err_code ctl_message_load(const char *path, struct ctl_message *message,
                                           struct err *err);
void ctl_message_free(struct ctl_message *message); /* empties it */

/* A spool for what a command must hold back. */
ERR_CHECKED enum err_code ctl_message_spool_new(struct spool **out, struct err *err);

/* A copy of `header`, returned: mime_header_free. */
ERR_CHECKED enum err_code ctl_message_header_dup(const struct mime_header *header,
                                                 struct mime_header **out, struct err *err);

/* The header section with the edits of flow/ applied in their order, as the MTA would do it.
 * Appends it to `out` with CRLF and the empty line. */
ERR_CHECKED enum err_code ctl_message_format_edited(const struct mime_header *header,
                                                    const struct flow_edits *edits, struct buf *out,
                                                    struct err *err);

/* The mailboxes of every field of that name, formatted; those that are none are left out. `each`
 * returns an error to stop. */
typedef enum err_code ctl_message_address_fn(void *context, const char *address, struct err *err);
ERR_CHECKED enum err_code ctl_message_addresses(const struct mime_header *header, const char *name,
                                                ctl_message_address_fn *each, void *context,
                                                struct err *err);

#endif
