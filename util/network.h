/*
 * Networks in CIDR notation and whether an address lies in one. An IPv4 address that arrives mapped
 * into IPv6 (::ffff:192.0.2.1, RFC 4291 2.5.5.2) is the IPv4 address: a listener on :: must not
 * decide otherwise than one on 0.0.0.0.
 *
 * Plain values; any thread.
 */
#ifndef UTIL_NETWORK_H
#define UTIL_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "util/err.h"

struct network {
    int family; /* AF_INET or AF_INET6 */
    unsigned char address[16];
    unsigned prefix; /* bits */
};

/* "192.0.2.0/24", "2001:db8::/32", or an address alone. ERR_PERM: not an address, prefix too long,
 * or bits set behind the prefix (192.0.2.1/24: which one was meant?); err says what is wrong. */
ERR_CHECKED enum err_code network_parse(const char *text, struct network *out, struct err *err);

/* Is `address` (4 octets of AF_INET, 16 of AF_INET6) in the network? */
bool network_find(const struct network *list, size_t count, int family,
                  const unsigned char *address);

/* The same for a socket address; other families are in no network. */
bool network_find_sockaddr(const struct network *list, size_t count,
                           const struct sockaddr *address);

/* "192.0.2.0/24"; `out` has NETWORK_TEXT_SIZE octets. Returns it. */
enum { NETWORK_TEXT_SIZE = 64 };
char *network_format(const struct network *network, char *out);

/* "host:port" or "[2001:db8::1]:port", as written for a server. `host` has NETWORK_HOST_SIZE octets
 * and is not resolved. ERR_PERM: no port, or not a name that a host can have. */
enum { NETWORK_HOST_SIZE = 256 };
ERR_CHECKED enum err_code network_parse_server(const char *text, char *host, unsigned *port,
                                               struct err *err);

#endif
