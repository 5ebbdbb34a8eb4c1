/*
 * The addresses a certificate is for.                       RFC 5280 4.2.1.6, RFC 8550 3, RFC 9598
 *
 * OpenSSL's own look-ups are not used: X509_check_email folds no case and falls back to the
 * subject, X509_get1_email mixes subject and SAN and hands out embedded newlines. Here each name is
 * taken as the bytes it is: a name with a NUL, a control character or white space is refused and
 * never trimmed, since "victim@example.org\n" in a certificate is not an address but an attempt.
 * commonName is never an address.
 *
 * Threads: any.
 */
#ifndef PKI_SAN_H
#define PKI_SAN_H

#include <stdbool.h>

#include <openssl/x509.h>

#include "util/err.h"

/* More names than this in one certificate are not a person's. */
enum { PKI_SAN_LIMIT = 1000 };

struct pki_san {
    char **list; /* NULL-terminated once it is not NULL */
    size_t count;
    bool bad; /* at least one name was refused */
};

/* rfc822Name and SmtpUTF8Mailbox of the subjectAltName, normalised. ERR_LIMIT, ERR_NOMEM. */
ERR_CHECKED enum err_code pki_san_parse(const X509 *x509, struct pki_san *out, struct err *err);

/* emailAddress attributes of the subject, kept apart since they count only where policy says so. */
ERR_CHECKED enum err_code pki_san_parse_subject(const X509 *x509, struct pki_san *out,
                                                struct err *err);
void pki_san_free(struct pki_san *san); /* empties it */

#endif
