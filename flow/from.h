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
};

/* ERR_NOMEM only; everything else is in the result. */
ERR_CHECKED enum err_code flow_from_load(const struct mime_header *header, struct flow_from *out,
                                         struct err *err);

#endif
