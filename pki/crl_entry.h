/*
 * One entry of a CRL.                                                     RFC 5280 5.1.2.6, 5.3
 *
 * Private to pki/. Strict DER, nothing copied.
 */
#ifndef PKI_CRL_ENTRY_H
#define PKI_CRL_ENTRY_H

#include <openssl/x509v3.h>

#include "pki/crl_entries.h"

struct pki_crl_entry_parts {
    struct span serial;     /* content octets, in their shortest form */
    struct span date;       /* element */
    struct span extensions; /* content */
    bool has_extensions;
};

/* Takes one entry off `rest`. */
bool pki_crl_entry_parse(struct span *rest, struct pki_crl_entry_parts *out);

struct pki_crl_entry_extras {
    int reason;          /* CRLReason, -1: none given */
    struct span issuers; /* the octets of certificateIssuer: GENERAL_NAMES; p NULL: none */
    const char *fault;   /* static; NULL: none */
};

/* false: not extensions at all. What cannot be understood in one of them is a fault. */
bool pki_crl_entry_parse_extras(struct span extensions, struct pki_crl_entry_extras *out);

/* Of an entry that was parsed before and begins at `from`. */
struct span pki_crl_entry_serial(struct span from);
void pki_crl_entry_get(struct span from, struct pki_crl_found *out);

#endif
