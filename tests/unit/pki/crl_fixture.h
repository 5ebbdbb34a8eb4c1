/*
 * CRLs made octet by octet: what no library would write can be written here, and still be signed.
 */
#ifndef TESTS_UNIT_PKI_CRL_FIXTURE_H
#define TESTS_UNIT_PKI_CRL_FIXTURE_H

#include "pki/crl.h"
#include "pki/crl_held.h"
#include "tests/unit/testca.h"
#include "util/buf.h"

enum { RAW_LIMIT = 80 * 1024 * 1024 };

/* Appends an element. */
static inline void
raw_put(struct buf *out, unsigned char tag, struct span content)
{
    struct err err = ERR_INIT;
    size_t count = 0;

    TESTCA_MUST(buf_append_byte(out, tag, &err) == ERR_OK);
    if (content.n >= 0x80) {
        for (size_t n = content.n; n > 0; n >>= 8)
            count++;
        TESTCA_MUST(buf_append_byte(out, (unsigned char)(0x80 | count), &err) == ERR_OK);
        while (count-- > 0)
            TESTCA_MUST(buf_append_byte(out, (unsigned char)(content.n >> (8 * count)), &err) ==
                        ERR_OK);
    } else {
        TESTCA_MUST(buf_append_byte(out, (unsigned char)content.n, &err) == ERR_OK);
    }
    TESTCA_MUST(buf_append(out, content, &err) == ERR_OK);
}

#define RAW(bytes) span_of(bytes, sizeof bytes - 1)

/* Wraps all that `inner` holds and empties it. */
static inline void
raw_wrap(struct buf *out, unsigned char tag, struct buf *inner)
{
    raw_put(out, tag, buf_span(inner));
    buf_reset(inner);
}

/* One entry: serial number (content octets), extensions (content, or none). */
static inline void
raw_entry(struct buf *list, struct span serial, struct span extensions)
{
    struct buf entry = BUF_INIT(RAW_LIMIT);

    raw_put(&entry, 0x02, serial);
    raw_put(&entry, 0x17, RAW("240101000000Z"));
    if (extensions.p)
        raw_put(&entry, 0x30, extensions);
    raw_wrap(list, 0x30, &entry);
    buf_free(&entry);
}

#define RAW_REASON(number) RAW("\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01" number)

static inline void
raw_extension(struct buf *out, struct span oid, bool critical, struct span value)
{
    struct buf extension = BUF_INIT(RAW_LIMIT);

    raw_put(&extension, 0x06, oid);
    if (critical)
        raw_put(&extension, 0x01, RAW("\xff"));
    raw_put(&extension, 0x04, value);
    raw_wrap(out, 0x30, &extension);
    buf_free(&extension);
}

/* certificateIssuer: one directory name. */
static inline void
raw_issuer_extension(struct buf *out, const X509_NAME *name)
{
    struct buf inner = BUF_INIT(RAW_LIMIT), names = BUF_INIT(RAW_LIMIT);
    unsigned char *der = NULL;
    int n = i2d_X509_NAME(name, &der);

    TESTCA_MUST(n > 0);
    raw_put(&inner, 0xa4, span_of(der, (size_t)n));
    raw_wrap(&names, 0x30, &inner);
    raw_extension(out, RAW("\x55\x1d\x1d"), true, buf_span(&names));
    OPENSSL_free(der);
    buf_free(&inner);
    buf_free(&names);
}

/* A serial number of 16 octets like those that authorities draw; `n` chooses it. */
static inline void
raw_usual_serial(uint32_t n, unsigned char out[16])
{
    uint64_t x = n;

    for (size_t i = 0; i < 16; i += 8) {
        x = (x + 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;
        x ^= x >> 29;
        memcpy(out + i, &x, 8);
    }
    out[0] = (out[0] & 0x7f) | 0x40;
}

/* Such an entry with a reason: 49 octets. By hand, since there are millions. */
static inline void
raw_usual_entry(struct buf *list, uint32_t n)
{
    unsigned char entry[49] = { 0x30, 0x2f, 0x02, 0x10 };
    struct err err = ERR_INIT;

    raw_usual_serial(n, entry + 4);
    memcpy(entry + 20,
           "\x17\x0d"
           "240101000000Z",
           15);
    memcpy(entry + 35, "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x01", 14);
    TESTCA_MUST(buf_append(list, span_of(entry, sizeof entry), &err) == ERR_OK);
}

/* Octets of this process that are in memory now. */
static inline size_t
raw_resident(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long total = 0, pages = 0;

    TESTCA_MUST(file && fscanf(file, "%lu %lu", &total, &pages) == 2);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

struct raw_crl {
    const struct testca *by;
    EVP_PKEY *key;      /* NULL: of `by` */
    const char *digest; /* NULL: SHA256; "": none, as EdDSA has it */
    bool pss;
    struct span version;             /* content octets; p NULL: v2; n 0: none */
    struct buf *entries;             /* NULL: no list at all */
    struct buf *extensions;          /* NULL: none */
    struct span algorithm;           /* of the outside; p NULL: as inside */
    time_t this_update, next_update; /* 0: an hour ago, in a week */
};

static inline void
raw_time(struct buf *out, time_t at)
{
    struct tm tm;
    char text[16];

    TESTCA_MUST(gmtime_r(&at, &tm));
    TESTCA_MUST(snprintf(text, sizeof text, "%02u%02u%02u%02u%02u%02uZ", (unsigned)tm.tm_year % 100,
                         (unsigned)tm.tm_mon % 12 + 1, (unsigned)tm.tm_mday % 32,
                         (unsigned)tm.tm_hour % 24, (unsigned)tm.tm_min % 60,
                         (unsigned)tm.tm_sec % 60) == 13);
    raw_put(out, 0x17, span_str(text));
}

/* The AlgorithmIdentifier that this key writes, taken from a signature of the library. */
static inline void
raw_algorithm(struct buf *out, EVP_PKEY *key, const EVP_MD *md, bool pss)
{
    ASN1_OCTET_STRING *something = ASN1_OCTET_STRING_new();
    ASN1_BIT_STRING *signature = ASN1_BIT_STRING_new();
    X509_ALGOR *algorithm = X509_ALGOR_new();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_ctx = NULL;
    unsigned char *der = NULL;
    struct err err = ERR_INIT;
    int n;

    TESTCA_MUST(ctx && EVP_DigestSignInit(ctx, &pkey_ctx, md, NULL, key) > 0);
    if (pss)
        TESTCA_MUST(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
                    EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_DIGEST) > 0);
    /* Frees the context's inside. */
    TESTCA_MUST(ASN1_item_sign_ctx(ASN1_ITEM_rptr(ASN1_OCTET_STRING), algorithm, NULL, signature,
                                   something, ctx) > 0);
    n = i2d_X509_ALGOR(algorithm, &der);
    TESTCA_MUST(n > 0 && buf_append(out, span_of(der, (size_t)n), &err) == ERR_OK);
    OPENSSL_free(der);
    EVP_MD_CTX_free(ctx);
    X509_ALGOR_free(algorithm);
    ASN1_BIT_STRING_free(signature);
    ASN1_OCTET_STRING_free(something);
}

static inline void
raw_sign(struct buf *out, EVP_PKEY *key, const EVP_MD *md, bool pss, struct span tbs)
{
    unsigned char signature[1024];
    size_t n = sizeof signature;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_ctx = NULL;
    struct buf bits = BUF_INIT(RAW_LIMIT);
    struct err err = ERR_INIT;

    TESTCA_MUST(ctx && EVP_DigestSignInit(ctx, &pkey_ctx, md, NULL, key) > 0);
    if (pss)
        TESTCA_MUST(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
                    EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_DIGEST) > 0);
    TESTCA_MUST(EVP_DigestSign(ctx, signature, &n, tbs.p, tbs.n) > 0);
    TESTCA_MUST(buf_append_byte(&bits, 0, &err) == ERR_OK &&
                buf_append(&bits, span_of(signature, n), &err) == ERR_OK);
    raw_wrap(out, 0x03, &bits);
    EVP_MD_CTX_free(ctx);
    buf_free(&bits);
}

/* Appends the whole CRL. */
static inline void
raw_format(const struct raw_crl *args, struct buf *out)
{
    struct buf content = BUF_INIT(RAW_LIMIT), algorithm = BUF_INIT(1024), tbs = BUF_INIT(RAW_LIMIT);
    EVP_PKEY *key = args->key ? args->key : args->by->key;
    const EVP_MD *md = args->digest && !*args->digest
                           ? NULL
                           : EVP_get_digestbyname(args->digest ? args->digest : "SHA256");
    unsigned char *name = NULL;
    struct err err = ERR_INIT;
    time_t now = time(NULL);
    int n = i2d_X509_NAME(X509_get_subject_name(args->by->x509), &name);

    TESTCA_MUST(n > 0);
    raw_algorithm(&algorithm, key, md, args->pss);
    if (!args->version.p)
        raw_put(&content, 0x02, RAW("\x01"));
    else if (args->version.n > 0)
        raw_put(&content, 0x02, args->version);
    TESTCA_MUST(buf_append(&content, buf_span(&algorithm), &err) == ERR_OK &&
                buf_append(&content, span_of(name, (size_t)n), &err) == ERR_OK);
    raw_time(&content, args->this_update ? args->this_update : now - 3600);
    raw_time(&content, args->next_update ? args->next_update : now + 7 * 86400L);
    if (args->entries)
        raw_put(&content, 0x30, buf_span(args->entries));
    if (args->extensions) {
        raw_put(&tbs, 0x30, buf_span(args->extensions));
        raw_wrap(&content, 0xa0, &tbs);
    }
    raw_wrap(&tbs, 0x30, &content);
    TESTCA_MUST(buf_append(&content, buf_span(&tbs), &err) == ERR_OK &&
                buf_append(&content, args->algorithm.p ? args->algorithm : buf_span(&algorithm),
                           &err) == ERR_OK);
    raw_sign(&content, key, md, args->pss, buf_span(&tbs));
    raw_wrap(out, 0x30, &content);
    OPENSSL_free(name);
    buf_free(&content);
    buf_free(&algorithm);
    buf_free(&tbs);
}

static inline X509_CRL *
raw_parse(const struct raw_crl *args)
{
    struct buf der = BUF_INIT(RAW_LIMIT);
    X509_CRL *crl = NULL;
    struct err err = ERR_INIT;

    raw_format(args, &der);
    if (pki_crl_parse(buf_span(&der), &crl, &err) != ERR_OK) {
        fprintf(stderr, "pki_crl_parse: %s\n", err.text);
        abort();
    }
    buf_free(&der);
    return crl;
}

/* What the library makes of the octets: with our method, or with its own. */
static inline X509_CRL *
raw_foreign(struct span der)
{
    const unsigned char *p = der.p;

    return d2i_X509_CRL(NULL, &p, (long)der.n);
}

static inline X509_CRL *
raw_library(struct span der)
{
    X509_CRL *crl;

    X509_CRL_set_default_method(NULL);
    crl = raw_foreign(der);
    X509_CRL_set_default_method(pki_crl_method_get0());
    return crl;
}

#endif
