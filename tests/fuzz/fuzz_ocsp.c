/*
 * OCSP responses: two octets of length, that many octets of a response, then a list of certificates
 * of which the first is asked about, the second its issuer, and all are candidates for the
 * responder. Nobody here holds the issuer's key, so nothing but what the seeds say can ever be
 * good.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "pki/ocsp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool fact)
{
    if (!fact)
        abort();
}

static void
judge(struct span response, const struct pki_certificates *list)
{
    struct pki_ocsp_args args = { .response = response,
                                  .certificate = list->list[0],
                                  .issuer = list->list[1],
                                  .untrusted = list,
                                  .at = 1800000000,
                                  .skew_s = PKI_OCSP_SKEW_S,
                                  .nonce = span_of("0123456789abcdef", 16) };
    struct pki_ocsp_result result;
    struct err err = ERR_INIT;

    require(pki_ocsp_check(&args, &result, &err) == ERR_OK);
    require(ERR_peek_error() == 0);
    require((result.status == PKI_OCSP_GOOD) == (strcmp(result.answer.reason, "ok") == 0));
    require(result.status == PKI_OCSP_NONE || result.produced_at != 0);
    pki_ocsp_result_free(&result);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pki_certificates list = { .limit = 20 };
    struct err err = ERR_INIT;
    size_t n;
    uint8_t *copy;

    if (size < 2)
        return 0;
    n = (size_t)data[0] << 8 | data[1];
    if (n > size - 2)
        n = size - 2;
    (void)!pki_certificates_parse(&list, span_of(data + 2 + n, size - 2 - n), &err);
    if (list.count >= 2) {
        copy = malloc(n ? n : 1);
        require(copy != NULL);
        memcpy(copy, data + 2, n);
        judge(span_of(copy, n), &list);
        free(copy);
    }
    pki_certificates_free(&list);
    return 0;
}
