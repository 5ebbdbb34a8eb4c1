/*
 * Recipients that name another one.
 *
 * MTAs of every age read more than one domain out of an address: "user%there@here" (the percent
 * hack), "there!user@here" (a bang path), "\"user@there\"@here" (Postfix looks inside the quotes).
 * Where "here" is a domain of its own, the MTA takes it off and sends to what is left. Rules see
 * the address as it was given: a rule that exempts our own domain would let mail out in plain to
 * anybody whose address is written so.
 */
#ifndef FLOW_ROUTE_H
#define FLOW_ROUTE_H

#include "flow/message.h"

/* ERR_PERM, reason "recipient-syntax": an outbound recipient is no addr-spec of RFC 5321 with a
 * domain (a source route, a comment, a blank, a display name, a bare name), while rules or
 * must_encrypt hang on who it is. ERR_PERM, reason "routed-recipient": an outbound recipient may be
 * read as another address, and another rule holds for that one. To be called when every recipient
 * has its rule. */
ERR_CHECKED enum err_code flow_route_check(const struct flow_message *message, struct err *err);

#endif
