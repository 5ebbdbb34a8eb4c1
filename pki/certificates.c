/*
 * Lists of certificates, out of DER, PEM, PKCS#7 and Microsoft's serialized stores. PKCS#7 bags are
 * taken apart by our own bounded reader: what is wanted are the certificates as they stand there,
 * and the library's PKCS#7 code is where most of its memory bugs were.
 */
#include "pki/certificate.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "pki/crypto.h"
#include "pki/der.h"
#include "pki/file.h"
#include "pki/sst.h"

enum { LIMIT_DEFAULT = 1000, FILE_LIMIT_BYTES = 16 * 1024 * 1024 };

enum err_code
pki_certificates_add1(struct pki_certificates *certificates, struct pki_certificate *one,
                      struct err *err)
{
    size_t limit = certificates->limit ? certificates->limit : LIMIT_DEFAULT;

    if (certificates->count >= limit)
        return err_set(err, ERR_LIMIT, "more than %zu certificates", limit);
    if (certificates->count == certificates->cap) {
        size_t cap = certificates->cap ? 2 * certificates->cap : 8;
        struct pki_certificate **list = realloc(certificates->list, cap * sizeof(*list));
        if (!list)
            return err_set(err, ERR_NOMEM, "no memory for a list of certificates");
        certificates->list = list;
        certificates->cap = cap;
    }
    certificates->list[certificates->count++] = pki_certificate_add1(one);
    return ERR_OK;
}

enum err_code
pki_certificates_add1_once(struct pki_certificates *certificates, struct pki_certificate *one,
                           struct err *err)
{
    for (size_t i = 0; i < certificates->count; i++) {
        if (pki_certificate_is(certificates->list[i], one))
            return ERR_OK;
    }
    return pki_certificates_add1(certificates, one, err);
}

void
pki_certificates_free(struct pki_certificates *certificates)
{
    for (size_t i = 0; i < certificates->count; i++)
        pki_certificate_free(&certificates->list[i]);
    free(certificates->list);
    certificates->list = NULL;
    certificates->count = certificates->cap = 0;
}

static enum err_code
certificate_add(struct pki_certificates *certificates, struct span der, struct err *err)
{
    struct pki_certificate *one = NULL;
    enum err_code code = pki_certificate_parse(der, &one, err);

    if (code == ERR_OK)
        code = pki_certificates_add1(certificates, one, err);
    pki_certificate_free(&one);
    return code;
}

/* ContentInfo { OID signedData, [0] SignedData }: SEQUENCE { version, digestAlgorithms SET,
 * encapContentInfo, certificates [0] IMPLICIT SET OPTIONAL, ... }.   RFC 5652 5.1 */
static enum err_code
pkcs7_parse(struct pki_certificates *certificates, struct span bytes, struct err *err)
{
    static const unsigned char signed_data[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2 };
    struct span rest = bytes;
    struct pki_der e;
    enum err_code code;

    if ((code = pki_der_find(&rest, PKI_DER_SEQUENCE, &e, err)) ||
        (rest = e.content, code = pki_der_find(&rest, PKI_DER_OID, &e, err)))
        return code;
    if (!span_equal(e.content, span_of(signed_data, sizeof signed_data)))
        return err_set(err, ERR_PERM, "PKCS#7, but not signed data: no certificates in it");
    if ((code = pki_der_find(&rest, PKI_DER_CONTEXT_0, &e, err)) ||
        (rest = e.content, code = pki_der_find(&rest, PKI_DER_SEQUENCE, &e, err)))
        return code;
    rest = e.content;
    for (int i = 0; i < 3 && code == ERR_OK; i++) /* version, digestAlgorithms, encapContentInfo */
        code = pki_der_get(&rest, &e, err);
    if (code == ERR_OK && rest.n > 0)
        code = pki_der_get(&rest, &e, err);
    if (code != ERR_OK || e.tag != PKI_DER_CONTEXT_0)
        return code;
    rest = e.content;
    while (code == ERR_OK && rest.n > 0) {
        code = pki_der_get(&rest, &e, err);
        /* CertificateChoices: attribute certificates and the like have context tags. */
        if (code == ERR_OK && e.tag == PKI_DER_SEQUENCE)
            code = certificate_add(certificates, e.whole, err);
    }
    return code;
}

/* DER of a certificate or of PKCS#7: in the latter an OID comes first. */
static enum err_code
der_parse(struct pki_certificates *certificates, struct span bytes, struct err *err)
{
    struct span rest = bytes;
    struct pki_der outer, inner;
    struct err ignored = ERR_INIT;

    if (pki_der_find(&rest, PKI_DER_SEQUENCE, &outer, &ignored) == ERR_OK &&
        (rest = outer.content, pki_der_get(&rest, &inner, &ignored)) == ERR_OK &&
        inner.tag == PKI_DER_OID)
        return pkcs7_parse(certificates, bytes, err);
    return certificate_add(certificates, bytes, err);
}

static enum err_code
pem_parse(struct pki_certificates *certificates, struct span bytes, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(bytes.p, (int)bytes.n);
    enum err_code code = ERR_OK;
    size_t before = certificates->count;

    if (!bio)
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for PEM");
    while (code == ERR_OK) {
        char *name = NULL, *header = NULL;
        unsigned char *der = NULL;
        long n = 0;
        if (!PEM_read_bio(bio, &name, &header, &der, &n)) {
            if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                code = pki_crypto_fail(err, ERR_PERM, "malformed PEM");
            else if (certificates->count == before)
                code = err_set(err, ERR_PERM, "PEM without a certificate");
            break;
        }
        if (strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0)
            code = certificate_add(certificates, span_of(der, (size_t)n), err);
        else if (strcmp(name, PEM_STRING_PKCS7) == 0 || strcmp(name, PEM_STRING_CMS) == 0)
            code = pkcs7_parse(certificates, span_of(der, (size_t)n), err);
        OPENSSL_free(name);
        OPENSSL_free(header);
        /* A key may stand beside its certificate. */
        OPENSSL_clear_free(der, (size_t)n);
    }
    BIO_free(bio);
    pki_crypto_reset();
    return code;
}

/* On failure the list holds what stood before the failure, as with the other forms. */
static enum err_code
sst_parse(struct pki_certificates *certificates, struct span bytes, struct err *err)
{
    size_t before = certificates->count;
    struct err end = ERR_INIT;
    struct pki_sst sst;
    struct span der;
    enum err_code code = pki_sst_init(&sst, bytes, err);

    while (code == ERR_OK && (code = pki_sst_get(&sst, &der, &end)) == ERR_OK)
        code = certificate_add(certificates, der, err);
    if (code == ERR_NOTFOUND && end.code == ERR_NOTFOUND)
        return certificates->count > before
                   ? ERR_OK
                   : err_set(err, ERR_PERM, "a serialized certificate store without a certificate");
    return end.code != ERR_OK ? err_set(err, end.code, "%s", end.text) : code;
}

enum err_code
pki_certificates_parse(struct pki_certificates *certificates, struct span bytes, struct err *err)
{
    pki_crypto_reset();
    if (bytes.n == 0)
        return err_set(err, ERR_PERM, "no certificate: nothing there");
    if (bytes.n > FILE_LIMIT_BYTES)
        return err_set(err, ERR_LIMIT, "certificates of more than %d octets", FILE_LIMIT_BYTES);
    if (bytes.p[0] == PKI_DER_SEQUENCE)
        return der_parse(certificates, bytes, err);
    if (pki_sst_is(bytes))
        return sst_parse(certificates, bytes, err);
    return pem_parse(certificates, bytes, err);
}

static enum err_code
file_load(struct pki_certificates *certificates, const char *path, struct err *err)
{
    struct buf bytes = BUF_INIT(FILE_LIMIT_BYTES);
    enum err_code code = pki_file_load(path, &bytes, err);

    if (code == ERR_OK && (code = pki_certificates_parse(certificates, buf_span(&bytes), err)))
        code = err_prefix(err, "%s", path);
    buf_free(&bytes);
    return code;
}

enum err_code
pki_certificates_load(struct pki_certificates *certificates, const char *path, struct err *err)
{
    struct pki_file_names names = { .list = NULL };
    struct stat st;
    enum err_code code;

    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return file_load(certificates, path, err);
    code = pki_file_names_load(path, 0, &names, err);
    for (size_t i = 0; code == ERR_OK && i < names.count; i++)
        code = file_load(certificates, names.list[i], err);
    pki_file_names_free(&names);
    return code;
}
