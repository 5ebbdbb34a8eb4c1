/*
 * Signed attributes: those we write, and those we read.    RFC 5652 5.3, 11; RFC 8551 2.5; RFC 5035
 * 3
 *
 * Read from the DER of the attributes, where each may stand once and with one value. Belongs to the
 * thread of the signature.
 */
#ifndef SMIME_ATTRIBUTE_H
#define SMIME_ATTRIBUTE_H

#include <time.h>

#include "pki/certificate.h"
#include "smime/algorithm.h"
#include "smime/ber.h"

struct smime_attribute_args {
    const struct pki_certificate *signer;     /* borrowed */
    const struct pki_certificate *encryption; /* the sender's own; may be NULL; borrowed */
    enum smime_digest digest;
    time_t signing_time;
};

/* Appends what is signed: the SET of contentType, messageDigest, signingTime, SMIMECapabilities
 * (what we can decrypt, best first), signingCertificateV2 and, where `encryption` is not NULL,
 * encryptionKeyPreference. */
ERR_CHECKED enum err_code smime_attribute_format(const struct smime_attribute_args *args,
                                                 struct span message_digest, struct buf *out,
                                                 struct err *err);

/* Appends issuer and serial number of a certificate: the contents of an IssuerAndSerialNumber. */
ERR_CHECKED enum err_code smime_attribute_format_issuer(const struct pki_certificate *certificate,
                                                        struct buf *out, struct err *err);

/* What we read of them; spans borrow from the input, p NULL: not there. */
struct smime_attributes {
    struct span content_type;   /* contents octets of the OID */
    struct span message_digest; /* contents of the OCTET STRING */
    struct span certificate_v1; /* contents of SigningCertificate */
    struct span certificate_v2; /* contents of SigningCertificateV2 */
    struct span capabilities;   /* SMIMECapabilities, the element (RFC 8551 2.5.2) */
    struct span preference;     /* SMIMEEncryptionKeyPreference, the element (RFC 8551 2.5.3) */
    time_t signing_time;        /* 0: none */
};

/* `attributes`: the elements inside the SET. ERR_PERM: malformed, an attribute twice or with
 * several values (RFC 8551 2.5), or contentType or messageDigest missing. */
ERR_CHECKED enum err_code smime_attribute_parse(struct span attributes,
                                                struct smime_attributes *out, struct err *err);

/* Is this the certificate that encryptionKeyPreference names? */
bool smime_attribute_prefers(const struct smime_attributes *attributes,
                             const struct pki_certificate *certificate);

/* Does signingCertificate (either version), if it is there, name this certificate first (RFC 5035
 * 3, 5.4)? So nobody puts another certificate with the same key in its place. */
bool smime_attribute_check(const struct smime_attributes *attributes,
                           const struct pki_certificate *certificate);

#endif
