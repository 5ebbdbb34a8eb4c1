/*
 * Addresses that a text shows: what a reader of a display name takes for the sender.
 *
 * "Boss <boss@our.example>" in the name of somebody else's address is the oldest trick there is.
 * This finds what looks like an address anywhere in a field value, in names, comments, quotes and
 * encoded words; it is no parser of addresses (mime/address is). Look-alikes of other scripts are
 * not found. Pure.
 */
#ifndef MIME_SHOWN_H
#define MIME_SHOWN_H

#include "util/buf.h"

enum { MIME_SHOWN_LIMIT = 50 };

struct mime_shown {
    char *list[MIME_SHOWN_LIMIT + 1]; /* as mime_address_format has them, else as they stand;
                                         NULL-terminated */
    size_t count;
    bool unreadable; /* an encoded word could not be looked into, or there were more than the limit
                      */
};

/* Fills `out` (mime_shown_free, in every case). The mailbox of the field is found too. An address
 * is something, "@" (or one of its wide forms), and a name with a dot. ERR_NOMEM, ERR_LIMIT (a
 * field of more than 1 MiB). */
ERR_CHECKED enum err_code mime_shown_load(struct span field_value, struct mime_shown *out,
                                          struct err *err);
void mime_shown_free(struct mime_shown *shown);

#endif
