/*
 * Whose is it: the names by which CMS calls a certificate.         RFC
 * 5652 5.3, 6.2.1, 6.2.2, 10.2.4
 *
 * Any thread; nothing is kept.
 */
#ifndef SMIME_IDENTIFIER_H
#define SMIME_IDENTIFIER_H

#include <stdbool.h>

#include "pki/certificate.h"

/* `element`: SEQUENCE IssuerAndSerialNumber, [0] SubjectKeyIdentifier, or [0]
 * RecipientKeyIdentifier. Anything else names nobody. */
bool smime_identifier_is(struct span element, const struct pki_certificate *certificate);

#endif
