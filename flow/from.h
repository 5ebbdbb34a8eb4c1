/*
 * Who a message says it is from: the one mailbox of the one From field, or what is wrong with it.
 * RFC 5322 3.6.2
 *
 * Two From fields, two mailboxes, group syntax or bytes that fit no grammar are each seen
 * differently by different readers; policy refuses them outbound and never passes them inbound.
 * Plain values, no ownership.
 */
#ifndef FLOW_FROM_H
#define FLOW_FROM_H

#include "mime/address.h"
#include "mime/header.h"

struct flow_from {
    size_t fields;
    size_t mailboxes; /* of the first field */
    bool irregular;   /* group syntax, bytes that fit no grammar, an invalid address */
    char address[MIME_ADDRESS_SIZE]; /* formatted; "" unless there is exactly one field with one
                                        mailbox */
    struct mime_address_place place; /* of the address in the field's value; only with an address */
};

/* The same of another field with one mailbox. `topmost`: of several fields of that name the first
 * counts, and the others do not matter (Resent-From: the last who sent it on comes first, RFC 5322
 * 3.6.6). */
ERR_CHECKED enum err_code flow_from_load_field(const struct mime_header *header, const char *name,
                                               bool topmost, struct flow_from *out,
                                               struct err *err);

/* ERR_NOMEM only; everything else is in the result. */
ERR_CHECKED enum err_code flow_from_load(const struct mime_header *header, struct flow_from *out,
                                         struct err *err);

#endif
