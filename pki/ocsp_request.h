/*
 * OCSP requests as the lightweight profile has them: one certificate, CertID over SHA-1, unsigned.
 *                                                     RFC 5019 2.1, 5; RFC 6960 4.1, A.1; RFC 9654
 *
 * SHA-1 names a certificate here and protects nothing: who collides it learns the status of
 * another certificate of the same issuer and serial number, and there is none. Responders that
 * produce in advance know no other CertID.
 *
 * Any thread; nothing is kept.
 */
#ifndef PKI_OCSP_REQUEST_H
#define PKI_OCSP_REQUEST_H

#include "pki/certificate.h"

enum {
    PKI_OCSP_NONCE_MIN = 16, /* octets; RFC 9654 2.1: 32 are recommended */
    PKI_OCSP_NONCE_MAX = 128,
    PKI_OCSP_GET_MAX = 255, /* a whole URL; longer ones are POSTed. RFC 5019 5 */
};

/* Appends the DER of a request. A nonce (n 0: none) defeats replay and every cache between here
 * and the responder; many responders ignore it. ERR_PERM: a nonce of another length than above. */
ERR_CHECKED enum err_code pki_ocsp_request_format(const struct pki_certificate *certificate,
                                                  const struct pki_certificate *issuer,
                                                  struct span nonce, struct buf *out,
                                                  struct err *err);

/* Appends the URL of the same as a GET: URL of the responder, "/", percent-encoded base64.
 * ERR_LIMIT: it must be POSTed (longer than PKI_OCSP_GET_MAX, or `url` has a query); `out` is then
 * as it was. */
ERR_CHECKED enum err_code pki_ocsp_request_url(struct span request, const char *url,
                                               struct buf *out, struct err *err);

#endif
