/*
 * One header field per layer of signature and encryption, for readers and rules that want to know
 * more than the one verdict (layers_header = yes).
 *
 *     X-SMIME-Layer: 1; auth-enveloped; opened
 *     X-SMIME-Layer: 2; clear-signed; pass (ok); counts
 *
 * From the outside in. Fields of that name that came with the message are removed always: nobody
 * shall believe them.
 */
#ifndef FLOW_LAYERS_H
#define FLOW_LAYERS_H

#include "flow/message.h"

#define FLOW_LAYERS_FIELD "X-SMIME-Layer"

/* Adds the edits to those of the message. */
ERR_CHECKED enum err_code flow_layers_edits(struct flow_message *message, struct err *err);

#endif
