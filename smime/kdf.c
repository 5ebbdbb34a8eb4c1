#include "smime/kdf.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "pki/crypto.h"

bool
smime_kdf_get(const struct smime_kdf_args *args, unsigned char *out, size_t n)
{
    OSSL_PARAM list[5];
    size_t count = 0;
    list[count++] =
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(size_t)args->digest, 0);
    list[count++] = OSSL_PARAM_construct_octet_string(
        OSSL_KDF_PARAM_KEY, (void *)(size_t)args->secret.p, args->secret.n);
    if (args->salt.p != NULL)
        list[count++] = OSSL_PARAM_construct_octet_string(
            OSSL_KDF_PARAM_SALT, (void *)(size_t)args->salt.p, args->salt.n);
    list[count++] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO,
                                                      (void *)(size_t)args->info.p, args->info.n);
    list[count] = OSSL_PARAM_construct_end();
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, args->hkdf ? "HKDF" : "X963KDF", NULL);
    EVP_KDF_CTX *context = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    bool good = context != NULL && EVP_KDF_derive(context, out, n, list) > 0;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    pki_crypto_reset();
    return good;
}
