#include "flow/direction.h"

#include <string.h>

#include "util/network.h"

static bool
direction_listed(conf_list list, const char *name)
{
    size_t i;

    if (!name || !*name)
        return false;
    for (i = 0; list[i]; i++) {
        if (strcmp(list[i], name) == 0)
            return true;
    }
    return false;
}

enum conf_direction
flow_direction_find(const struct conf *conf, const struct flow_client *client, const char **why)
{
    const struct conf_networks *networks = &conf->global.internal_networks;
    bool local = !client->address || client->address->sa_family == AF_UNIX;

    if (direction_listed(conf->global.inbound_daemons, client->daemon_name)) {
        *why = "inbound-daemon";
        return CONF_DIRECTION_IN;
    }
    if (direction_listed(conf->global.outbound_daemons, client->daemon_name)) {
        *why = "outbound-daemon";
        return CONF_DIRECTION_OUT;
    }
    if (conf->global.authenticated_is_outbound && client->login && *client->login) {
        *why = "authenticated";
        return CONF_DIRECTION_OUT;
    }
    if (local) {
        *why = "local";
        return CONF_DIRECTION_OUT;
    }
    if (network_find_sockaddr(networks->list, networks->count, client->address)) {
        *why = "internal-network";
        return CONF_DIRECTION_OUT;
    }
    *why = "outside";
    return CONF_DIRECTION_IN;
}
