/*
 * The URLs that are asked, and no others. Part of pki/fetch; pure.   RFC 3986, RFC 7230 2.7
 *
 * Every URL parser takes a little more than the standard, each of them something else, and the
 * difference is how requests are smuggled past a check. This one takes little and writes down anew
 * what it understood; only that goes on.
 */
#ifndef PKI_FETCH_URL_H
#define PKI_FETCH_URL_H

#include <stdbool.h>
#include <netinet/in.h>

#include "util/err.h"
#include "util/span.h"

enum {
    PKI_FETCH_URL_BYTES = 2048,
    PKI_FETCH_HOST_BYTES = 253, /* RFC 1035 2.3.4, without the last dot */
};

struct pki_fetch_url {
    bool https;
    unsigned port;
    /* The address that the host is (a literal, or localhost, RFC 6761 6.3), with the port; family
     * AF_UNSPEC for any other name. */
    struct sockaddr_storage address;
    char host[PKI_FETCH_HOST_BYTES + 1]; /* lower case; IPv6 without brackets */
    char text[PKI_FETCH_URL_BYTES + 16]; /* written anew */
};

/* ERR_TEMP with "fetch-refused-url" and what is wrong. Without `any_port` 80 and 443 alone. */
ERR_CHECKED enum err_code pki_fetch_url_parse(struct span text, bool any_port,
                                              struct pki_fetch_url *out, struct err *err);

#endif
