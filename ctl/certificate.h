/*
 * Certificates as people and programs read them.
 *
 * Threads: one.
 */
#ifndef CTL_CERTIFICATE_H
#define CTL_CERTIFICATE_H

#include "ctl/json.h"
#include "pki/certificate.h"

/* Members of the object that is open: addresses, subject, certificate_issuer, certificate_serial,
 * fingerprint, not_before, not_after, key. */
void ctl_certificate_json(struct ctl_json *json, const struct pki_certificate *certificate);

/* Indented lines: addresses, subject, issuer and serial, validity, key. */
void ctl_certificate_print(const struct pki_certificate *certificate);

/* What the certificate may be used for, whatever the time: "sign", "encrypt", "sign encrypt",
 * "none". Static. */
const char *ctl_certificate_usage(const struct pki_certificate *certificate,
                                  const struct pki_leaf_policy *policy);

/* The addresses that count, separated by spaces, cut at `size`. */
void ctl_certificate_addresses(const struct pki_certificate *certificate, char *out, size_t size);

#endif
