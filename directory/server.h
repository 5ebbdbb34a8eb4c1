/*
 * Where a directory server is, out of the forms that people write:              RFC 4516, RFC 4513
 *
 *   ldaps://host  ldap://host  ldap://host:389  ldaps://host:636  host  host:389  host:636
 *   ldapi:///run/slapd/ldapi  ldapi://%2Frun%2Fslapd%2Fldapi
 *
 * One parser for configuration, daemon and doctor. Ports 636 and 3269 (global catalog) are TLS from
 * the first octet, whatever is written before them; ldaps is TLS on any port. An IPv6 address
 * stands in brackets.
 *
 * Threads: no state.
 */
#ifndef DIRECTORY_SERVER_H
#define DIRECTORY_SERVER_H

#include <stdbool.h>

#include "util/err.h"

enum {
    DIRECTORY_SERVER_PORT = 389,
    DIRECTORY_SERVER_PORT_TLS = 636,
    DIRECTORY_SERVER_PORT_CATALOG_TLS = 3269,
    DIRECTORY_SERVER_NAME = 600,
};

struct directory_server {
    char *host;   /* without brackets; of a socket "" */
    char *socket; /* path; NULL: host and port */
    unsigned port;
    bool is_tls;                      /* from the first octet */
    char name[DIRECTORY_SERVER_NAME]; /* "ldaps://host:636": the one form, also for libldap */
};

/* ERR_PERM: none of the forms; ERR_NOMEM. */
ERR_CHECKED enum err_code directory_server_parse(const char *text, struct directory_server *out,
                                                 struct err *err);
void directory_server_free(struct directory_server *server);

#endif
