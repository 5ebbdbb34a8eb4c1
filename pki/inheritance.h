/*
 * DSA keys without parameters: they are those of the key that signed the certificate.
 *                                                                              RFC 3279 2.3.2
 * The library cannot read such a key: its owner is no issuer and no signer to it. Here the
 * certificate is parsed once more with the parameters of its issuer, who is found by name and
 * proved by the signature on the certificate, so that a wrong one lends nothing. The octets stay
 * those that were signed. Whether DSA is trusted is the business of the algorithm floor.
 *
 * Bounded: at most PKI_INHERITANCE_SIGNATURES are checked for one list, of keys of at most
 * PKI_INHERITANCE_BITS. Any thread.
 */
#ifndef PKI_INHERITANCE_H
#define PKI_INHERITANCE_H

#include "pki/certificate.h"

enum { PKI_INHERITANCE_SIGNATURES = 16, PKI_INHERITANCE_BITS = 4096 };

/* Has it a DSA key without parameters? */
bool pki_inheritance_is_open(const struct pki_certificate *certificate);

/* Replaces each certificate of `list` with such a key by one that can be used. Issuers are looked
 * for in the list itself and in those of `more` (NULL-terminated; may be NULL). Where there is none
 * the certificate stays as it is. ERR_NOMEM. */
ERR_CHECKED enum err_code pki_inheritance_set(struct pki_certificates *list,
                                              const struct pki_certificates *const *more,
                                              struct err *err);

#endif
