/*
 * The LDAP backend, for who has to look inside: the doctor.
 */
#ifndef DIRECTORY_LDAP_H
#define DIRECTORY_LDAP_H

#include "directory/directory.h"
#include "directory/ldap_pool.h"

struct directory_ldap_finding {
    const char *server;            /* "ldaps://host:636" */
    enum directory_ldap_step step; /* where it ended */
    bool is_good;
    const char *text; /* what went wrong, or what was found */
};
typedef void directory_ldap_finding_fn(void *context, const struct directory_ldap_finding *finding);

/* Asks each server by itself, as the daemon would: connection, TLS, bind, and a search for the
 * base. Findings are borrowed for the call. ERR_PERM: the section cannot be used. */
ERR_CHECKED enum err_code directory_ldap_check(const struct conf_directory *conf,
                                               directory_ldap_finding_fn *each, void *context,
                                               struct err *err);

#endif
