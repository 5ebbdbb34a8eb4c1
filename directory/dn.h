/*
 * Distinguished names in the one form that two of them are compared in.               RFC 4514
 *
 * Servers and people write one name in many ways: "CN=Ann, O=Corp", "cn=ann,o=corp",
 * "cn=\41nn,o=corp". Who compares the octets takes one entry for two, and a group for a cycle that
 * never ends. The form: types and ASCII letters of values in lower case, no space around
 * separators, runs of spaces as one (RFC 4518 2.6.1), every special and control octet as \XX. The
 * values of one RDN keep their order.
 *
 * Threads: no state.
 */
#ifndef DIRECTORY_DN_H
#define DIRECTORY_DN_H

#include "util/buf.h"

enum { DIRECTORY_DN_LIMIT = 8192 };

/* Appends the form of `dn`. ERR_PERM: no distinguished name; ERR_LIMIT, ERR_NOMEM. */
ERR_CHECKED enum err_code directory_dn_format(struct span dn, struct buf *out, struct err *err);

/* As a string of its own, returned: free(). NULL: no distinguished name, or no memory. */
char *directory_dn_get(const char *dn);

/* Is `dn` the entry `base` or below it? Both as directory_dn_format wrote them; everything is below
 * "". */
bool directory_dn_is_below(const char *dn, const char *base);

/* A Name and Optional UID (RFC 4517 3.3.21) without its UID: "cn=a,o=b#'0101'B" is "cn=a,o=b". */
struct span directory_dn_without_uid(struct span value);

/* Appends `value` as it may stand in a DN behind "type=" (RFC 4514 2.4). ERR_PERM: it is empty. */
ERR_CHECKED enum err_code directory_dn_escape(struct span value, struct buf *out, struct err *err);

#endif
