/*
 * Search filters of the configuration, with places for values:                       RFC 4515
 *
 *   %a  the address that is asked for      %l  the login
 *   %d  the person's distinguished name    %p  the person's primary SMTP address
 *   %u  what stands before the '@' of the address or the login
 *   %%  a per cent sign
 *
 * Whatever a mail or a login brings is escaped for filters on its way in: it can be a value, and
 * never a piece of the filter.
 *
 * Threads: no state.
 */
#ifndef DIRECTORY_TEMPLATE_H
#define DIRECTORY_TEMPLATE_H

#include "util/buf.h"

/* What there is; NULL: not. */
struct directory_template_values {
    const char *address, *login, *dn, *primary;
};

/* Appends `text` with its places filled. ERR_PERM: an unknown place; ERR_NOTFOUND: one whose value
 * there is not (nothing can match it); ERR_LIMIT, ERR_NOMEM. */
ERR_CHECKED enum err_code directory_template_format(const char *text,
                                                    const struct directory_template_values *values,
                                                    struct buf *out, struct err *err);

/* Is it a filter, with places out of `places` ("ald")? ERR_PERM says what is wrong. */
ERR_CHECKED enum err_code directory_template_check(const char *text, const char *places,
                                                   struct err *err);

#endif
