/*
 * How a directory writes people down: attributes, object classes and filters, out of a preset and
 * what the configuration overrides.          RFC 4519, RFC 2798, RFC 4524, RFC 4523; MS-ADA1..3
 *
 *   ad        Active Directory and Exchange: proxyAddresses, userPrincipalName, sAMAccountName
 *   openldap  inetOrgPerson: mail, uid
 *   plain     both, as far as they do not collide: for a directory file
 *
 * A copy of its own: the configuration may be gone when the questions come. Immutable. Threads:
 * any.
 */
#ifndef DIRECTORY_SCHEMA_H
#define DIRECTORY_SCHEMA_H

#include <stdbool.h>

#include "conf/conf.h"
#include "util/err.h"

enum { DIRECTORY_SCHEMA_LIMIT = 50 }; /* attributes of a kind */

/* Lists are NULL-terminated, never NULL. Strings "" when there is none. */
struct directory_schema {
    char **address_attributes; /* the order of primary, too */
    char **login_attributes;
    char **certificate_attributes; /* the better ones first */
    char **member_attributes;      /* distinguished names */
    char **member_address_attributes;
    char **member_url_attributes;
    char **group_classes;
    char **contact_classes;
    char **send_as_attributes;
    char *address_filter; /* with %a */
    char *login_filter;   /* with %l */
    char *send_as_filter;
    char *dn_attribute; /* an attribute that holds an entry's own name: many in one search; "": one
                           search for each */
    bool ignores_references;
};

/* ERR_PERM: a filter or an attribute that is none; ERR_NOMEM. */
ERR_CHECKED enum err_code directory_schema_new(const struct conf_directory *conf,
                                               struct directory_schema **out, struct err *err);
void directory_schema_free(struct directory_schema **schema);

#endif
