#include "pki/fetch_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const struct network address_refused[] = {
    { AF_INET, { 0 }, 8 },             /* this host, RFC 1122 */
    { AF_INET, { 10 }, 8 },            /* private, RFC 1918 */
    { AF_INET, { 100, 64 }, 10 },      /* carriers' own, RFC 6598; also some clouds' metadata */
    { AF_INET, { 127 }, 8 },           /* loopback */
    { AF_INET, { 169, 254 }, 16 },     /* link-local, RFC 3927: cloud metadata services */
    { AF_INET, { 172, 16 }, 12 },      /* private */
    { AF_INET, { 192, 0, 0 }, 24 },    /* protocol assignments, RFC 6890 */
    { AF_INET, { 192, 0, 2 }, 24 },    /* documentation, RFC 5737 */
    { AF_INET, { 192, 88, 99 }, 24 },  /* 6to4 relays, RFC 7526 */
    { AF_INET, { 192, 168 }, 16 },     /* private */
    { AF_INET, { 198, 18 }, 15 },      /* benchmarks, RFC 2544 */
    { AF_INET, { 198, 51, 100 }, 24 }, /* documentation */
    { AF_INET, { 203, 0, 113 }, 24 },  /* documentation */
    { AF_INET, { 224 }, 4 },           /* multicast */
    { AF_INET, { 240 }, 4 },           /* reserved, broadcast */
    { AF_INET6, { 0 }, 96 },           /* ::, ::1, IPv4-compatible (RFC 4291 2.5.5.1) */
    { AF_INET6, { 0, 0x64, 0xff, 0x9b }, 96 },       /* NAT64, RFC 6052 */
    { AF_INET6, { 0, 0x64, 0xff, 0x9b, 0, 1 }, 48 }, /* NAT64 of one's own, RFC 8215 */
    { AF_INET6, { 0x01 }, 64 },                      /* discard, RFC 6666 */
    { AF_INET6, { 0x20, 0x01, 0, 0 }, 32 },          /* Teredo, RFC 4380 */
    { AF_INET6, { 0x20, 0x01, 0x0d, 0xb8 }, 32 },    /* documentation, RFC 3849 */
    { AF_INET6, { 0x20, 0x02 }, 16 },                /* 6to4: any IPv4 address inside */
    { AF_INET6, { 0xfc }, 7 },                       /* unique local, RFC 4193 */
    { AF_INET6, { 0xfe, 0x80 }, 10 },                /* link-local */
    { AF_INET6, { 0xfe, 0xc0 }, 10 },                /* site-local, RFC 3879 */
    { AF_INET6, { 0xff }, 8 },                       /* multicast */
};

static unsigned
address_port(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
}

/* The IPv4 address that an address of the networks NAT64 or 6to4 stands for. An exception for such
 * a network (a machine that has IPv6 alone) must not open the way to 127.0.0.1 through it. */
static bool
address_find_inner(const struct sockaddr *address, struct sockaddr_in *inner)
{
    static const struct network nat64 = { AF_INET6, { 0, 0x64, 0xff, 0x9b }, 96 },
                                six_to_four = { AF_INET6, { 0x20, 0x02 }, 16 };
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
    unsigned at;

    if (address->sa_family != AF_INET6)
        return false;
    if (network_find_sockaddr(&nat64, 1, address))
        at = 12;
    else if (network_find_sockaddr(&six_to_four, 1, address))
        at = 2;
    else
        return false;
    *inner = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = in6->sin6_port };
    memcpy(&inner->sin_addr, in6->sin6_addr.s6_addr + at, 4);
    return true;
}

static bool
address_is_open(const struct pki_fetch_args *args, const struct sockaddr *address)
{
    unsigned port = address_port(address);

    if (!network_find_sockaddr(address_refused, sizeof address_refused / sizeof *address_refused,
                               address))
        return true;
    for (size_t i = 0; i < args->exception_count; i++)
        if ((args->exceptions[i].port == 0 || args->exceptions[i].port == port) &&
            network_find_sockaddr(&args->exceptions[i].network, 1, address))
            return true;
    return false;
}

bool
pki_fetch_address_check(const struct pki_fetch_args *args, const struct sockaddr *address)
{
    struct sockaddr_in inner;

    if (address->sa_family != AF_INET && address->sa_family != AF_INET6)
        return false;
    if (args->only_count > 0 && !network_find_sockaddr(args->only, args->only_count, address))
        return false;
    if (!address_is_open(args, address))
        return false;
    return !address_find_inner(address, &inner) ||
           address_is_open(args, (const struct sockaddr *)(const void *)&inner);
}

char *
pki_fetch_address_format(const struct sockaddr *address, char *out)
{
    char text[INET6_ADDRSTRLEN] = "an address of no known family";
    const void *octets = NULL;

    if (address->sa_family == AF_INET)
        octets = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    else if (address->sa_family == AF_INET6)
        octets = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (octets)
        inet_ntop(address->sa_family, octets, text, sizeof text);
    snprintf(out, PKI_FETCH_ADDRESS_SIZE, "%s port %u", text, octets ? address_port(address) : 0);
    return out;
}
