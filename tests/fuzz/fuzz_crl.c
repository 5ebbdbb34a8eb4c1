/* CRLs, alone and in PEM: parsed, counted, and asked for by their own issuer. */
#include <stdint.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "pki/revocation.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pki_revocation_set *set = NULL;
    struct err err = ERR_INIT;
    const unsigned char *p = data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)size);

    ERR_clear_error();
    if (pki_revocation_new(&set, &err) != ERR_OK)
        abort();
    (void)!pki_revocation_parse(set, span_of(data, size), &err);
    if (ERR_peek_error() != 0)
        abort();
    if (crl) {
        STACK_OF(X509_CRL) *found =
            pki_revocation_find(set, &(struct pki_revocation_question){
                                         .issuer = X509_CRL_get_issuer(crl), .at = 1700000000 });
        if (!found || (size_t)sk_X509_CRL_num(found) > pki_revocation_count(set))
            abort();
        sk_X509_CRL_pop_free(found, X509_CRL_free);
    }
    ERR_clear_error();
    X509_CRL_free(crl);
    pki_revocation_free(&set);
    return 0;
}
