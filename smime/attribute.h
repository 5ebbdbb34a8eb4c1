/*
 * The signed attributes of what we sign.           RFC 8551 2.5, RFC 5652 11, RFC 5035 3
 *
 * contentType and messageDigest come from the library, which knows them at the end. Belongs to the
 * thread of the signature.
 */
#ifndef SMIME_ATTRIBUTE_H
#define SMIME_ATTRIBUTE_H

#include <time.h>

#include <openssl/cms.h>

#include "pki/certificate.h"

/* signingTime, SMIMECapabilities (what we can decrypt, best first) and, where `encryption` is not
 * NULL, encryptionKeyPreference. */
ERR_CHECKED enum err_code smime_attribute_set(CMS_SignerInfo *signer, time_t signing_time,
                                              const struct pki_certificate *encryption,
                                              struct err *err);

#endif
