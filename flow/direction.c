#include "flow/direction.h"

#include <string.h>

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

static bool
direction_bits_equal(const unsigned char *a, const unsigned char *b, unsigned prefix)
{
    unsigned whole = prefix / 8, rest = prefix % 8;
    unsigned char mask = (unsigned char)(0xff00 >> rest);

    return memcmp(a, b, whole) == 0 && (rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

static bool
direction_in_networks(const struct conf_networks *networks, int family, const unsigned char *bytes)
{
    size_t i;

    for (i = 0; i < networks->count; i++) {
        const struct conf_network *network = &networks->list[i];

        if (network->family == family &&
            direction_bits_equal(network->address, bytes, network->prefix))
            return true;
    }
    return false;
}

static bool
direction_is_internal(const struct conf *conf, const struct sockaddr *address)
{
    const struct conf_networks *networks = &conf->global.internal_networks;

    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, address, sizeof(in));
        return direction_in_networks(networks, AF_INET, (const unsigned char *)&in.sin_addr);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, address, sizeof(in6));
        /* A dual-stack listener shows IPv4 clients as ::ffff:a.b.c.d. */
        if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
            return direction_in_networks(networks, AF_INET, in6.sin6_addr.s6_addr + 12);
        return direction_in_networks(networks, AF_INET6, in6.sin6_addr.s6_addr);
    }
    return false;
}

enum conf_direction
flow_direction_find(const struct conf *conf, const struct flow_client *client, const char **why)
{
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
    if (direction_is_internal(conf, client->address)) {
        *why = "internal-network";
        return CONF_DIRECTION_OUT;
    }
    *why = "outside";
    return CONF_DIRECTION_IN;
}
