#include "pki/ocsp_request.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/ocsp.h>

#include "pki/crypto.h"

static enum err_code
request_new(const struct pki_certificate *certificate, const struct pki_certificate *issuer,
            struct span nonce, OCSP_REQUEST **out, struct err *err)
{
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), pki_certificate_get0_x509(certificate),
                                      pki_certificate_get0_x509(issuer));
    enum err_code code = ERR_OK;

    *out = NULL;
    if (!request || !id || !OCSP_request_add0_id(request, id)) {
        OCSP_CERTID_free(id);
        code = pki_crypto_fail(err, ERR_NOMEM, "an OCSP request cannot be made");
    } else if (nonce.n > 0 &&
               !OCSP_request_add1_nonce(request, (unsigned char *)nonce.p, (int)nonce.n)) {
        code = pki_crypto_fail(err, ERR_NOMEM, "an OCSP request cannot be made");
    }
    if (code == ERR_OK)
        *out = request;
    else
        OCSP_REQUEST_free(request);
    return code;
}

enum err_code
pki_ocsp_request_format(const struct pki_certificate *certificate,
                        const struct pki_certificate *issuer, struct span nonce, struct buf *out,
                        struct err *err)
{
    OCSP_REQUEST *request = NULL;
    unsigned char *der = NULL;
    enum err_code code;
    int n;

    pki_crypto_reset();
    if (nonce.n > 0 && (nonce.n < PKI_OCSP_NONCE_MIN || nonce.n > PKI_OCSP_NONCE_MAX))
        return err_set(err, ERR_PERM, "an OCSP nonce of %zu octets: it has %d to %d", nonce.n,
                       PKI_OCSP_NONCE_MIN, PKI_OCSP_NONCE_MAX);
    if ((code = request_new(certificate, issuer, nonce, &request, err)))
        return code;
    n = i2d_OCSP_REQUEST(request, &der);
    if (n <= 0)
        code = pki_crypto_fail(err, ERR_NOMEM, "an OCSP request cannot be written");
    else
        code = buf_append(out, span_of(der, (size_t)n), err);
    OPENSSL_free(der);
    OCSP_REQUEST_free(request);
    return code;
}

/* Of the base64 alphabet these three mean something else in a path or are lost on the way. */
static const char *
percent_encode(char c, char out[2])
{
    switch (c) {
    case '+':
        return "%2B";
    case '/':
        return "%2F";
    case '=':
        return "%3D";
    default:
        out[0] = c;
        out[1] = '\0';
        return out;
    }
}

enum err_code
pki_ocsp_request_url(struct span request, const char *url, struct buf *out, struct err *err)
{
    unsigned char base64[PKI_OCSP_GET_MAX * 4 / 3 + 8];
    struct buf whole = BUF_INIT(4096);
    size_t url_n = strlen(url);
    enum err_code code = ERR_OK;

    /* A query cannot have a path behind it. */
    if (url_n == 0 || strpbrk(url, "?#"))
        return err_set(err, ERR_LIMIT, "this OCSP responder's URL takes no GET");
    if (request.n > PKI_OCSP_GET_MAX * 3 / 4 || url_n > PKI_OCSP_GET_MAX)
        return err_set(err, ERR_LIMIT, "an OCSP request too long for GET");
    EVP_EncodeBlock(base64, request.p, (int)request.n);
    code = buf_append_str(&whole, url, err);
    if (code == ERR_OK && url[url_n - 1] != '/')
        code = buf_append_byte(&whole, '/', err);
    for (const char *c = (const char *)base64; code == ERR_OK && *c; c++) {
        char plain[2];
        code = buf_append_str(&whole, percent_encode(*c, plain), err);
    }
    if (code == ERR_OK && whole.n > PKI_OCSP_GET_MAX)
        code = err_set(err, ERR_LIMIT, "an OCSP request too long for GET");
    if (code == ERR_OK)
        code = buf_append(out, buf_span(&whole), err);
    buf_free(&whole);
    return code;
}
