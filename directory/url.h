/*
 * ldap:///base?attributes?scope?filter: memberURL of dynamic groups, and what AD CS writes into
 * certificates as CRL and issuer addresses.                                            RFC 4516
 *
 * The host is read and ignored: we ask the directories of the configuration, and no other server
 * because somebody wrote its name into an entry or a certificate.
 *
 * Threads: no state.
 */
#ifndef DIRECTORY_URL_H
#define DIRECTORY_URL_H

#include "util/buf.h"

enum directory_scope { DIRECTORY_SCOPE_BASE, DIRECTORY_SCOPE_ONE, DIRECTORY_SCOPE_SUB };

enum { DIRECTORY_URL_LIMIT = 8192 };

struct directory_url {
    char *base; /* "" for none */
    enum directory_scope scope;
    char *attribute; /* the first one; "" for none */
    char *filter;    /* "(objectClass=*)" where none is given */
};

/* ERR_PERM: no URL of ldap or ldaps, a critical extension, a NUL; ERR_LIMIT, ERR_NOMEM. */
ERR_CHECKED enum err_code directory_url_parse(struct span text, struct directory_url *out,
                                              struct err *err);
void directory_url_free(struct directory_url *url);

#endif
