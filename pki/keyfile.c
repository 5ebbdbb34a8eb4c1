#include "pki/keyfile.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "pki/crypto.h"
#include "pki/file.h"

enum { READ_BYTES = 4096, CHAIN_MAX = 10 };

/* The file's bytes in secure memory. */
static enum err_code
file_load(const char *path, bool guarded, BIO **out, struct err *err)
{
    unsigned char piece[READ_BYTES];
    size_t total = 0;
    struct stat st;
    int fd = -1;
    BIO *bio = NULL;
    enum err_code code = pki_file_find(path, PKI_KEYFILE_LIMIT_BYTES, guarded, &fd, &st, err);

    if (code != ERR_OK)
        return code;
    bio = BIO_new(BIO_s_secmem());
    if (!bio)
        code = pki_crypto_fail(err, ERR_NOMEM, "%s: no secure memory to read it", path);
    while (code == ERR_OK) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            code = err_set_errno(err, errno, "%s", path);
        else if ((total += (size_t)n) > PKI_KEYFILE_LIMIT_BYTES)
            code = err_set(err, ERR_LIMIT, "%s is larger than %d octets", path,
                           PKI_KEYFILE_LIMIT_BYTES);
        else if (BIO_write(bio, piece, (int)n) != n)
            code = pki_crypto_fail(err, ERR_NOMEM, "%s: no secure memory to read it", path);
    }
    explicit_bzero(piece, sizeof piece);
    close(fd);
    if (code == ERR_OK)
        *out = bio;
    else
        BIO_free(bio);
    return code;
}

static enum err_code
key_parse(struct pki_keyfile *file, const char *name, const char *header, struct span der,
          struct err *err)
{
    const unsigned char *p = der.p;

    if (strcmp(name, PEM_STRING_PKCS8) == 0 || strstr(header, "ENCRYPTED"))
        return err_set(err, ERR_PERM,
                       "the private key is encrypted with a password; store it without one, in a "
                       "file of mode 0600 (openssl pkey -in FILE -out NEW)");
    if (file->pkey)
        return err_set(err, ERR_PERM, "more than one private key in the file");
    file->pkey = d2i_AutoPrivateKey(NULL, &p, (long)der.n);
    if (!file->pkey)
        return pki_crypto_fail(err, ERR_PERM, "the private key cannot be read");
    pki_crypto_reset();
    return ERR_OK;
}

static enum err_code
block_parse(struct pki_keyfile *file, const char *name, const char *header, struct span der,
            struct err *err)
{
    struct pki_certificate *one = NULL;
    size_t n = strlen(name);
    enum err_code code;

    if (n >= strlen("PRIVATE KEY") && strcmp(name + n - strlen("PRIVATE KEY"), "PRIVATE KEY") == 0)
        return key_parse(file, name, header, der, err);
    if (strcmp(name, PEM_STRING_X509) != 0 && strcmp(name, PEM_STRING_X509_OLD) != 0)
        return ERR_OK; /* EC PARAMETERS and the like */
    code = pki_certificate_parse(der, &one, err);
    if (code == ERR_OK)
        code = pki_certificates_add1(&file->certificates, one, err);
    pki_certificate_free(&one);
    return code;
}

enum err_code
pki_keyfile_load(const char *path, bool guarded, struct pki_keyfile *out, struct err *err)
{
    BIO *bio = NULL;
    enum err_code code;

    *out = (struct pki_keyfile){ .pkey = NULL };
    pki_crypto_reset();
    code = file_load(path, guarded, &bio, err);
    if (code != ERR_OK)
        return code;
    while (code == ERR_OK) {
        char *name = NULL, *header = NULL;
        unsigned char *der = NULL;
        long n = 0;
        if (!PEM_read_bio_ex(bio, &name, &header, &der, &n,
                             PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE)) {
            if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                code = pki_crypto_fail(err, ERR_PERM, "malformed PEM");
            break;
        }
        code = block_parse(out, name, header, span_of(der, (size_t)n), err);
        OPENSSL_secure_free(name);
        OPENSSL_secure_free(header);
        OPENSSL_secure_clear_free(der, (size_t)n);
    }
    BIO_free(bio);
    pki_crypto_reset();
    if (code == ERR_OK && !out->pkey && out->certificates.count == 0)
        code = err_set(err, ERR_PERM, "neither a key nor a certificate in PEM");
    if (code != ERR_OK) {
        code = err_prefix(err, "%s", path);
        pki_keyfile_free(out);
    }
    return code;
}

void
pki_keyfile_free(struct pki_keyfile *file)
{
    EVP_PKEY_free(file->pkey);
    file->pkey = NULL;
    pki_certificates_free(&file->certificates);
}

enum err_code
pki_keyfile_format(EVP_PKEY *pkey, const struct pki_certificate *certificate,
                   const struct pki_certificates *chain, struct buf *into, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    long n;
    enum err_code code;
    bool good = bio &&
                (!pkey || PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL)) &&
                PEM_write_bio_X509(bio, pki_certificate_get0_x509(certificate));

    for (size_t i = 0; good && chain && i < chain->count; i++)
        good = PEM_write_bio_X509(bio, pki_certificate_get0_x509(chain->list[i])) == 1;
    if (good) {
        n = BIO_get_mem_data(bio, &text);
        code = buf_append(into, span_of(text, n > 0 ? (size_t)n : 0), err);
    } else {
        code = pki_crypto_fail(err, ERR_PERM, "the key cannot be written as PEM");
    }
    BIO_free(bio);
    pki_crypto_reset();
    return code;
}

bool
pki_keyfile_is_pair(EVP_PKEY *pkey, const struct pki_certificate *certificate)
{
    EVP_PKEY *public = X509_get0_pubkey(pki_certificate_get0_x509(certificate));
    bool same = public && pkey && EVP_PKEY_eq(public, pkey) == 1;

    pki_crypto_reset();
    return same;
}

enum err_code
pki_keyfile_find_chain(const struct pki_certificate *leaf, const struct pki_certificates *pool,
                       struct pki_certificates *chain, struct err *err)
{
    const struct pki_certificate *at = leaf;
    enum err_code code = ERR_OK;

    /* Bounded, since two authorities may have certified each other. */
    while (code == ERR_OK && chain->count < CHAIN_MAX) {
        struct pki_certificate *issuer = NULL;
        for (size_t i = 0; !issuer && i < pool->count; i++) {
            struct pki_certificate *c = pool->list[i];
            if (c != at && !pki_certificate_get(c)->self_issued &&
                X509_check_issued(pki_certificate_get0_x509(c), pki_certificate_get0_x509(at)) ==
                    X509_V_OK)
                issuer = c;
        }
        if (!issuer)
            break;
        code = pki_certificates_add1(chain, issuer, err);
        at = issuer;
    }
    pki_crypto_reset();
    return code;
}
