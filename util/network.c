#include "util/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const unsigned char network_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static unsigned
network_bits(int family)
{
    return family == AF_INET ? 32 : 128;
}

static bool
network_equal_bits(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned octets = bits / 8, rest = bits % 8;

    if (memcmp(a, b, octets) != 0)
        return false;
    return rest == 0 || ((a[octets] ^ b[octets]) & (0xff00u >> rest) & 0xffu) == 0;
}

/* The prefix length behind the slash: digits only, since strtoul would take " +8". */
static bool
network_parse_prefix(const char *text, unsigned most, unsigned *out)
{
    unsigned value = 0;

    if (*text == '\0' || strlen(text) > 3)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (unsigned)(*text - '0');
    }
    *out = value;
    return value <= most;
}

enum err_code
network_parse(const char *text, struct network *out, struct err *err)
{
    char address[INET6_ADDRSTRLEN];
    size_t n = strcspn(text, "/");
    struct network network = { .family = AF_INET };
    static const unsigned char zero[16];
    unsigned char behind[16];

    if (n >= sizeof address)
        return err_set(err, ERR_PERM, "not an IP address");
    memcpy(address, text, n);
    address[n] = '\0';
    if (inet_pton(AF_INET, address, network.address) != 1) {
        network.family = AF_INET6;
        if (inet_pton(AF_INET6, address, network.address) != 1)
            return err_set(err, ERR_PERM, "not an IP address");
    }
    network.prefix = network_bits(network.family);
    if (text[n] == '/' && !network_parse_prefix(text + n + 1, network.prefix, &network.prefix))
        return err_set(err, ERR_PERM, "the prefix length must be a number from 0 to %u",
                       network_bits(network.family));
    /* ::ffff:192.0.2.0/120 is 192.0.2.0/24, else it would never match. */
    if (network.family == AF_INET6 && network.prefix >= 96 &&
        memcmp(network.address, network_mapped, sizeof network_mapped) == 0) {
        network.family = AF_INET;
        network.prefix -= 96;
        memmove(network.address, network.address + 12, 4);
        memset(network.address + 4, 0, 12);
    }
    memcpy(behind, network.address, sizeof behind);
    for (unsigned bit = 0; bit < network.prefix; bit++)
        behind[bit / 8] &= (unsigned char)~(0x80u >> bit % 8);
    if (memcmp(behind, zero, sizeof zero) != 0)
        return err_set(err, ERR_PERM, "bits are set behind the prefix of %u", network.prefix);
    *out = network;
    return ERR_OK;
}

bool
network_find(const struct network *list, size_t count, int family, const unsigned char *address)
{
    if (family == AF_INET6 && memcmp(address, network_mapped, sizeof network_mapped) == 0) {
        family = AF_INET;
        address += sizeof network_mapped;
    }
    for (size_t i = 0; i < count; i++)
        if (list[i].family == family &&
            network_equal_bits(list[i].address, address, list[i].prefix))
            return true;
    return false;
}

bool
network_find_sockaddr(const struct network *list, size_t count, const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        return network_find(list, count, AF_INET, (const unsigned char *)&in->sin_addr);
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
        return network_find(list, count, AF_INET6, in6->sin6_addr.s6_addr);
    }
    return false;
}

char *
network_format(const struct network *network, char *out)
{
    char address[INET6_ADDRSTRLEN] = "";

    inet_ntop(network->family, network->address, address, sizeof address);
    if (network->prefix == network_bits(network->family))
        snprintf(out, NETWORK_TEXT_SIZE, "%s", address);
    else
        snprintf(out, NETWORK_TEXT_SIZE, "%s/%u", address, network->prefix);
    return out;
}

enum err_code
network_parse_server(const char *text, char *host, unsigned *port, struct err *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-._";
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    bool six = n > 2 && text[0] == '[' && text[n - 1] == ']';
    unsigned char address[16];

    *port = 0;
    for (const char *p = colon ? colon + 1 : ""; *p >= '0' && *p <= '9' && *port <= 65535; p++) {
        *port = *port * 10 + (unsigned)(*p - '0');
        if (p[1] == '\0' && *port >= 1 && *port <= 65535)
            goto host;
    }
    return err_set(err, ERR_PERM, "a server is written host:port");
host:
    if (n - 2 * six == 0 || n - 2 * six >= NETWORK_HOST_SIZE)
        return err_set(err, ERR_PERM, "a server is written host:port");
    memcpy(host, text + six, n - 2 * six);
    host[n - 2 * six] = '\0';
    if (six ? inet_pton(AF_INET6, host, address) != 1 : strspn(host, letters) != n)
        return err_set(err, ERR_PERM, "not the name or address of a server");
    return ERR_OK;
}
