/*
 * Addresses: mailboxes of a header field, and the one way to compare two addresses.
 *                                                        RFC 5322 3.4, RFC 6532, RFC 5891, RFC 9598
 * Only a mailbox that stands where the grammar puts one is an address: not what a display name, a
 * comment or an encoded word shows. libidn2 has its home here.
 */
#ifndef MIME_ADDRESS_H
#define MIME_ADDRESS_H

#include "util/buf.h"

enum mime_address_flag {
    MIME_ADDRESS_GROUP = 1 << 0,    /* group syntax was used */
    MIME_ADDRESS_SYNTAX = 1 << 1,   /* something fits no grammar: the list is not to be trusted */
    MIME_ADDRESS_OBSOLETE = 1 << 2, /* source routes, white space or comments inside an addr-spec */
    MIME_ADDRESS_EMPTY = 1 << 3,    /* empty elements between commas, or nothing at all */
};

enum { MIME_ADDRESS_LIMIT = 5000, MIME_ADDRESS_SIZE = 1100 };

struct mime_addresses;

/* Parses the value of From, Sender, To, Cc, Reply-To. Bad syntax is a flag, not an error; ERR_LIMIT
 * beyond `limit` mailboxes and groups together, ERR_NOMEM. Linear in the length of the value.
 * An element that fits no grammar gives no address, but for a display name with specials before
 * "<...>": `a@b <c@d>` is c@d with SYNTAX. 8-bit bytes in display names and comments are not
 * judged; in an addr-spec they are UTF-8 or it is none. "undisclosed-recipients:;" is not EMPTY. */
ERR_CHECKED enum err_code mime_address_parse(struct span field_value, size_t limit,
                                             struct mime_addresses **out, struct err *err);
void mime_address_free(struct mime_addresses **addresses);
size_t mime_address_count(const struct mime_addresses *addresses);

/* addr-spec of mailbox `index` as "local@domain": quotes that are not needed are taken off the
 * local part, comments and white space removed; case kept. Borrowed, a C string; NULL beyond the
 * last. Its domain has not been checked: mime_address_format does. */
const char *mime_address_get(const struct mime_addresses *addresses, size_t index);
unsigned mime_address_flags(const struct mime_addresses *addresses);

/* Where the addr-spec of mailbox `index` stands in the field value: from its first octet to behind
 * its last one, without brackets, comments and white space around it. Only for a list without
 * SYNTAX and OBSOLETE, where nothing else stands in between. Empty beyond the last. */
struct mime_address_place {
    size_t begin, end;
};
struct mime_address_place mime_address_find_place(const struct mime_addresses *addresses,
                                                  size_t index);

/* The form two addresses are compared in: domain as A-label in lower case, local part with its
 * case, in NFC (RFC 9598 3), with quotes only where it needs them. `out` has MIME_ADDRESS_SIZE
 * bytes. ERR_PERM: no '@', an empty side, a NUL, more than 30 combining marks in a row, a control
 * character, white space outside quotes, '<' or '>', an invalid domain. Nothing is trimmed:
 * trimming is how certificates with "victim@x \n" passed elsewhere. ERR_NOMEM: possible only where
 * the domain is not ASCII, so never for an address that was formatted before. */
ERR_CHECKED enum err_code mime_address_format(struct span address, char *out, struct err *err);

/* Same mailbox? Both are formatted first; an invalid one equals nothing. Give it addresses that
 * were formatted before: it has no answer for "no memory", and for those it needs none.
 * `fold_local`: compare local parts without regard to ASCII case (RFC 8550 leaves it to policy). */
bool mime_address_is(struct span a, struct span b, bool fold_local);

/* Does `address` match `pattern`: "*" (anything at all, an unusable address too), "user@dom",
 * "@dom" or "*@dom" (that domain), "*@*.dom", "*.dom" or ".dom" (its subdomains), or '*' and '?'
 * anywhere in local part or domain ('*' goes over dots, never over the '@'). Domain by A-label; the
 * local part without regard to ASCII case, so that a rule cannot be got around by writing CEO@dom.
 * Time is bounded by the product of the lengths. Any other pattern, and an address that
 * mime_address_format refuses, matches nothing. ERR_OK, ERR_NOTFOUND (it does not match), or
 * ERR_NOMEM: not known, and never to be taken for "no", since then a rule that encrypts would not
 * hold. */
ERR_CHECKED enum err_code mime_address_match(const char *pattern, const char *address,
                                             struct err *err);

#endif
