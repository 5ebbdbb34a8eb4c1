/* PKCS#12, as it comes and with a MAC put right, so that what lies behind the MAC is reached too.
 * The password of the seeds is "fuzz". */
#include <stdint.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pkcs12.h>

#include "pki/pkcs12.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
parse(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct pki_pkcs12 out;
    enum err_code code = pki_pkcs12_parse(span_of(data, size), "fuzz", &out, &err);

    if (ERR_peek_error() != 0 || (code != ERR_OK && (out.count || out.certificates.count)))
        abort();
    pki_pkcs12_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned char *p = data;
    unsigned char *der = NULL;
    PKCS12 *p12;
    int n;

    parse(data, size);
    p12 = d2i_PKCS12(NULL, &p, (long)size);
    if (p12 && PKCS12_set_mac(p12, "fuzz", -1, NULL, 0, 1, EVP_sha256()) &&
        (n = i2d_PKCS12(p12, &der)) > 0) {
        ERR_clear_error();
        parse(der, (size_t)n);
    }
    ERR_clear_error();
    OPENSSL_free(der);
    PKCS12_free(p12);
    return 0;
}
