#include "pki/crypto.h"

#include <stdarg.h>
#include <stdio.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "pki/crl.h"

#if OPENSSL_VERSION_NUMBER < 0x30000000L
#error "OpenSSL 3.0 or newer is needed"
#endif

/* The smallest piece that the secure heap hands out: a P-256 key. */
enum { SECURE_PIECE = 32 };

/* Written once, before other threads exist (header). */
static size_t secure_bytes;
static bool secure_is_locked;
static size_t
secure_size(size_t keys)
{
    size_t size = PKI_CRYPTO_SECURE_MIN;

    /* The allocator wants a power of two. */
    while (size < PKI_CRYPTO_SECURE_MAX && size / PKI_CRYPTO_KEY_BYTES < keys)
        size *= 2;
    return size;
}

static enum err_code
algorithms_check(struct err *err)
{
    static const char *const digests[] = { "SHA2-256", "SHA2-384", "SHA2-512" };
    static const char *const ciphers[] = { "AES-128-CBC", "AES-256-CBC", "AES-128-GCM",
                                           "AES-256-GCM" };

    /* openssl.cnf may have replaced the default provider (a FIPS module, say). That is the
     * administrator's right, but what we cannot do without must be known now, not per message. */
    for (size_t i = 0; i < sizeof digests / sizeof *digests; i++) {
        EVP_MD *md = EVP_MD_fetch(NULL, digests[i], NULL);
        if (!md)
            return pki_crypto_fail(err, ERR_PERM, "OpenSSL offers no %s", digests[i]);
        EVP_MD_free(md);
    }
    for (size_t i = 0; i < sizeof ciphers / sizeof *ciphers; i++) {
        EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, ciphers[i], NULL);
        if (!cipher)
            return pki_crypto_fail(err, ERR_PERM, "OpenSSL offers no %s", ciphers[i]);
        EVP_CIPHER_free(cipher);
    }
    return ERR_OK;
}

enum err_code
pki_crypto_init(size_t keys, struct err *err)
{
    size_t size = secure_size(keys);
    enum err_code code;
    int made;

    if (secure_bytes)
        return ERR_OK;
    if (OpenSSL_version_num() < 0x30000000UL)
        return err_set(err, ERR_PERM, "OpenSSL 3.0 or newer is needed, this is %s",
                       OpenSSL_version(OPENSSL_VERSION));
    if (!OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_LOAD_CONFIG, NULL))
        return pki_crypto_fail(err, ERR_PERM, "OpenSSL cannot be initialised");
    if (!CRYPTO_secure_malloc_initialized()) {
        made = CRYPTO_secure_malloc_init(size, SECURE_PIECE);
        if (made == 0)
            return pki_crypto_fail(err, ERR_NOMEM, "no secure heap of %zu bytes", size);
        secure_is_locked = made == 1;
    }
    secure_bytes = size;
    code = pki_crl_init(err);
    return code == ERR_OK ? algorithms_check(err) : code;
}

void
pki_crypto_deinit(void)
{
    if (secure_bytes) {
        OPENSSL_cleanup();
        CRYPTO_secure_malloc_done();
        secure_bytes = 0;
    }
}

void
pki_crypto_get(struct pki_crypto_facts *out)
{
    *out = (struct pki_crypto_facts){
        .version = OpenSSL_version(OPENSSL_VERSION),
        .secure_bytes = secure_bytes,
        .secure_used = secure_bytes ? CRYPTO_secure_used() : 0,
        .secure_is_locked = secure_is_locked,
    };
}

void
pki_crypto_reset(void)
{
    /* Nearly always there is nothing: emptying walks the whole queue, looking does not. */
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

bool
pki_crypto_is_short(void)
{
    unsigned long code;
    bool is_short = false;

    while ((code = ERR_get_error()) != 0)
        is_short = is_short || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
    return is_short;
}

enum err_code
pki_crypto_fail(struct err *err, enum err_code code, const char *format, ...)
{
    /* The first error is the cause; what follows are the layers that passed it on. */
    unsigned long first = ERR_peek_error();
    const char *why = first ? ERR_reason_error_string(first) : NULL;
    char text[ERR_TEXT_SIZE];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (first && ERR_GET_REASON(first) == ERR_R_MALLOC_FAILURE)
        code = ERR_NOMEM;
    ERR_clear_error();
    return why ? err_set(err, code, "%s: %s", text, why) : err_set(err, code, "%s", text);
}
