/*
 * Is this mail ours (outbound) or for us (inbound)? Pure: configuration and what the MTA knows of
 * the client.
 *
 * The order is the order of trust: what the administrator says of a listener by its daemon name,
 * inbound first, then the login, then the client's network. A client without an address is a local
 * submission (sendmail command, pickup) and outbound.
 */
#ifndef FLOW_DIRECTION_H
#define FLOW_DIRECTION_H

#include "flow/message.h"

/* `why` (static): "inbound-daemon", "outbound-daemon", "authenticated", "local",
 * "internal-network", "outside". */
enum conf_direction flow_direction_find(const struct conf *conf, const struct flow_client *client,
                                        const char **why);

#endif
