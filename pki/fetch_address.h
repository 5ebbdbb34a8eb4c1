/*
 * The addresses that are never asked for the sake of a certificate: this machine, the networks
 * behind it, and what is not one host of the Internet. Part of pki/fetch; pure, constant data.
 * RFC 6890
 */
#ifndef PKI_FETCH_ADDRESS_H
#define PKI_FETCH_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "pki/fetch.h"

/* May `address` (with its port) be asked? Borrows the lists of `args`. Other families: never. */
bool pki_fetch_address_check(const struct pki_fetch_args *args, const struct sockaddr *address);

/* "192.0.2.1 port 80"; `out` has PKI_FETCH_ADDRESS_SIZE octets. Returns it. */
enum { PKI_FETCH_ADDRESS_SIZE = 64 };
char *pki_fetch_address_format(const struct sockaddr *address, char *out);

#endif
