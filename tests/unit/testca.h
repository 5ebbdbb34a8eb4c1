/*
 * A certification authority for tests, made with the library's API at run time: no key or
 * certificate lies in the tree. Every function aborts on failure, so a test reads as what it is
 * about.
 *
 *     struct testca ca;
 *     struct testca_leaf alice;
 *     testca_init(&ca, "Test Root");
 *     testca_issue(&ca, &(struct testca_args){ .cn = "Alice", .san = "email:alice@example.org" },
 * &alice);
 *     ... alice.key, alice.x509, testca_certificate(alice.x509) ...
 *     testca_leaf_free(&alice);
 *     testca_free(&ca);
 *
 * Authorities have P-256 keys (fast); leaves RSA-2048 by default, whose keys are made once per
 * process and shared by all leaves of the same `key_index`. Validity is [now - 1 h, now + 365 d]
 * unless given.
 */
#ifndef TESTS_UNIT_TESTCA_H
#define TESTS_UNIT_TESTCA_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "pki/certificate.h"

#define TESTCA_MUST(what)                                                      \
    do {                                                                       \
        if (!(what)) {                                                         \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #what); \
            ERR_print_errors_fp(stderr);                                       \
            abort();                                                           \
        }                                                                      \
    } while (0)

enum testca_key {
    TESTCA_RSA2048, /* the default */
    TESTCA_RSA1024,
    TESTCA_RSA3072,
    TESTCA_RSAPSS,
    TESTCA_P256,
    TESTCA_P384,
    TESTCA_P521,
    TESTCA_BRAINPOOL, /* brainpoolP256r1 */
    TESTCA_ED25519,
    TESTCA_X25519,
};

enum { TESTCA_KEYS = 4, TESTCA_TYPES = TESTCA_X25519 + 1, TESTCA_EXTRA = 6 };

struct testca {
    EVP_PKEY *key;
    X509 *x509;
    long serial; /* of the certificate issued last */
};

struct testca_leaf {
    EVP_PKEY *key;
    X509 *x509;
};

/* Extension values are written as in openssl.cnf; NULL leaves the extension out. */
struct testca_args {
    const char *cn;
    const char *subject_email; /* emailAddress of the subject */
    const char *san;           /* "email:a@example.org,email:b@example.org" */
    const char *key_usage;     /* "critical,digitalSignature" */
    const char *ext_key_usage; /* "emailProtection" */
    const char *basic;         /* "critical,CA:TRUE,pathlen:0" */
    struct {
        const char *name, *value;
    } extra[TESTCA_EXTRA]; /* "nameConstraints", "permitted;email:example.org", ... */
    enum testca_key key_type;
    unsigned key_index; /* which of the shared keys, below TESTCA_KEYS */
    EVP_PKEY *key;      /* this key instead; borrowed */
    time_t not_before, not_after;
    const char *digest; /* "SHA256" */
    bool version1;      /* no extensions then */
    bool self_signed;
};

/* A key of that kind and number: made once, borrowed. */
static inline EVP_PKEY *
testca_key(enum testca_key type, unsigned index)
{
    static EVP_PKEY *made[TESTCA_TYPES][TESTCA_KEYS];

    TESTCA_MUST((unsigned)type < TESTCA_TYPES && index < TESTCA_KEYS);
    if (made[type][index])
        return made[type][index];
    EVP_PKEY *key = NULL;
    switch (type) {
    case TESTCA_RSA2048:
    case TESTCA_RSA1024:
    case TESTCA_RSA3072:
        key = EVP_RSA_gen(type == TESTCA_RSA2048 ? 2048U : type == TESTCA_RSA1024 ? 1024U : 3072U);
        break;
    case TESTCA_RSAPSS: {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
        TESTCA_MUST(ctx && EVP_PKEY_keygen_init(ctx) > 0);
        TESTCA_MUST(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) > 0);
        TESTCA_MUST(EVP_PKEY_keygen(ctx, &key) > 0);
        EVP_PKEY_CTX_free(ctx);
        break;
    }
    case TESTCA_P256:
        key = EVP_EC_gen("P-256");
        break;
    case TESTCA_P384:
        key = EVP_EC_gen("P-384");
        break;
    case TESTCA_P521:
        key = EVP_EC_gen("P-521");
        break;
    case TESTCA_BRAINPOOL:
        key = EVP_EC_gen("brainpoolP256r1");
        break;
    case TESTCA_ED25519:
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        break;
    case TESTCA_X25519:
        key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
        break;
    }
    TESTCA_MUST(key);
    return made[type][index] = key;
}

static inline void
testca_extension(X509 *x509, X509 *issuer, const char *name, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;
    CONF *conf;

    if (!value)
        return;
    /* An empty one: certificatePolicies and others insist on a database. */
    conf = NCONF_new(NULL);
    TESTCA_MUST(conf);
    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    X509V3_set_nconf(&ctx, conf);
    extension = X509V3_EXT_nconf(conf, &ctx, name, value);
    TESTCA_MUST(extension);
    NCONF_free(conf);
    TESTCA_MUST(X509_add_ext(x509, extension, -1));
    X509_EXTENSION_free(extension);
}

static inline void
testca_subject(X509_NAME *name, const char *cn, const char *email)
{
    TESTCA_MUST(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                                           (const unsigned char *)"Testca", -1, -1, 0));
    if (cn)
        TESTCA_MUST(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn,
                                               -1, -1, 0));
    if (email)
        TESTCA_MUST(X509_NAME_add_entry_by_txt(name, "emailAddress", MBSTRING_UTF8,
                                               (const unsigned char *)email, -1, -1, 0));
}

static inline void
testca_sign(X509 *x509, EVP_PKEY *key, const char *digest)
{
    int id = EVP_PKEY_get_base_id(key);
    const EVP_MD *md = EVP_get_digestbyname(digest ? digest : "SHA256");

    TESTCA_MUST(X509_sign(x509, key, id == EVP_PKEY_ED25519 ? NULL : md));
}

/* Issues a certificate; issuer NULL or args->self_signed: signed by its own key. */
static inline void
testca_issue(struct testca *issuer, const struct testca_args *args, struct testca_leaf *out)
{
    static long self_serial = 1000;
    EVP_PKEY *key = args->key ? args->key : testca_key(args->key_type, args->key_index);
    bool self = !issuer || args->self_signed;
    X509 *x509 = X509_new();
    time_t now = time(NULL);

    TESTCA_MUST(x509 && EVP_PKEY_up_ref(key));
    TESTCA_MUST(X509_set_version(x509, args->version1 ? X509_VERSION_1 : X509_VERSION_3));
    TESTCA_MUST(
        ASN1_INTEGER_set(X509_get_serialNumber(x509), issuer ? ++issuer->serial : ++self_serial));
    testca_subject(X509_get_subject_name(x509), args->cn, args->subject_email);
    TESTCA_MUST(X509_set_issuer_name(x509, X509_get_subject_name(self ? x509 : issuer->x509)));
    TESTCA_MUST(
        ASN1_TIME_set(X509_getm_notBefore(x509), args->not_before ? args->not_before : now - 3600));
    TESTCA_MUST(ASN1_TIME_set(X509_getm_notAfter(x509),
                              args->not_after ? args->not_after : now + 365 * 86400L));
    TESTCA_MUST(X509_set_pubkey(x509, key));
    if (!args->version1) {
        X509 *parent = self ? x509 : issuer->x509;
        testca_extension(x509, parent, "basicConstraints", args->basic);
        testca_extension(x509, parent, "keyUsage", args->key_usage);
        testca_extension(x509, parent, "extendedKeyUsage", args->ext_key_usage);
        testca_extension(x509, parent, "subjectAltName", args->san);
        testca_extension(x509, parent, "subjectKeyIdentifier", "hash");
        if (!self)
            testca_extension(x509, parent, "authorityKeyIdentifier", "keyid");
        for (size_t i = 0; i < TESTCA_EXTRA && args->extra[i].name; i++)
            testca_extension(x509, parent, args->extra[i].name, args->extra[i].value);
    }
    testca_sign(x509, self ? key : issuer->key, args->digest);
    *out = (struct testca_leaf){ .key = key, .x509 = x509 };
}

static inline void
testca_leaf_free(struct testca_leaf *leaf)
{
    EVP_PKEY_free(leaf->key);
    X509_free(leaf->x509);
    *leaf = (struct testca_leaf){ .key = NULL };
}

/* An authority below `parent` (NULL: a root) with what `args` adds or replaces; NULL: the usual. */
static inline void
testca_init_below(struct testca *ca, struct testca *parent, const char *cn,
                  const struct testca_args *args)
{
    struct testca_args all = args ? *args : (struct testca_args){ .cn = NULL };
    struct testca_leaf leaf;

    all.cn = cn;
    if (!all.basic)
        all.basic = "critical,CA:TRUE";
    if (!all.key_usage)
        all.key_usage = "critical,keyCertSign,cRLSign";
    if (!all.not_after)
        all.not_after = time(NULL) + 3650 * 86400L;
    if (!all.key && all.key_type == TESTCA_RSA2048)
        all.key = EVP_EC_gen("P-256");
    else if (!all.key)
        all.key = testca_key(all.key_type, all.key_index), EVP_PKEY_up_ref(all.key);
    else
        EVP_PKEY_up_ref(all.key);
    TESTCA_MUST(all.key);
    testca_issue(parent, &all, &leaf);
    EVP_PKEY_free(all.key);
    *ca = (struct testca){ .key = leaf.key, .x509 = leaf.x509, .serial = 1 };
}

static inline void
testca_init(struct testca *ca, const char *cn)
{
    testca_init_below(ca, NULL, cn, NULL);
}

static inline void
testca_free(struct testca *ca)
{
    EVP_PKEY_free(ca->key);
    X509_free(ca->x509);
    *ca = (struct testca){ .key = NULL };
}

struct testca_crl_args {
    X509 *const *revoked; /* NULL-terminated, or NULL */
    time_t this_update;   /* 0: an hour ago */
    time_t next_update;   /* 0: in seven days */
    long number;          /* crlNumber, 0: none */
    long delta_base;      /* deltaCRLIndicator, 0: a complete CRL */
    int reason;           /* CRL_REASON_... of each entry, 0: none */
    EVP_PKEY *key;        /* signs instead of the authority; borrowed */
};

static inline X509_CRL *
testca_crl(const struct testca *ca, const struct testca_crl_args *args)
{
    static const struct testca_crl_args usual = { .number = 1 };
    X509_CRL *crl = X509_CRL_new();
    time_t now = time(NULL);
    ASN1_TIME *at;

    args = args ? args : &usual;
    TESTCA_MUST(crl && X509_CRL_set_version(crl, X509_CRL_VERSION_2));
    TESTCA_MUST(X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->x509)));
    at = ASN1_TIME_set(NULL, args->this_update ? args->this_update : now - 3600);
    TESTCA_MUST(at && X509_CRL_set1_lastUpdate(crl, at));
    ASN1_TIME_free(at);
    at = ASN1_TIME_set(NULL, args->next_update ? args->next_update : now + 7 * 86400L);
    TESTCA_MUST(at && X509_CRL_set1_nextUpdate(crl, at));
    for (X509 *const *x = args->revoked; x && *x; x++) {
        X509_REVOKED *entry = X509_REVOKED_new();
        TESTCA_MUST(X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(*x)));
        TESTCA_MUST(X509_REVOKED_set_revocationDate(entry, at));
        if (args->reason) {
            ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();
            TESTCA_MUST(ASN1_ENUMERATED_set(reason, args->reason));
            TESTCA_MUST(X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, reason, 0, 0));
            ASN1_ENUMERATED_free(reason);
        }
        TESTCA_MUST(X509_CRL_add0_revoked(crl, entry));
    }
    ASN1_TIME_free(at);
    for (int i = 0; i < 2; i++) {
        long value = i ? args->delta_base : args->number;
        ASN1_INTEGER *number = ASN1_INTEGER_new();
        TESTCA_MUST(number && ASN1_INTEGER_set(number, value));
        if (value)
            TESTCA_MUST(
                X509_CRL_add1_ext_i2d(crl, i ? NID_delta_crl : NID_crl_number, number, i, 0));
        ASN1_INTEGER_free(number);
    }
    TESTCA_MUST(X509_CRL_sort(crl));
    TESTCA_MUST(X509_CRL_sign(crl, args->key ? args->key : ca->key, EVP_sha256()));
    return crl;
}

/* The shared form of the house; freed with pki_certificate_free. */
static inline struct pki_certificate *
testca_certificate(X509 *x509)
{
    unsigned char *der = NULL;
    int n = i2d_X509(x509, &der);
    struct pki_certificate *certificate = NULL;
    struct err err = ERR_INIT;

    TESTCA_MUST(n > 0);
    if (pki_certificate_parse(span_of(der, (size_t)n), &certificate, &err) != ERR_OK) {
        fprintf(stderr, "pki_certificate_parse: %s\n", err.text);
        abort();
    }
    OPENSSL_free(der);
    return certificate;
}

/* A scratch folder, returned: free(). testca_folder_free removes it with all that is in it. */
static inline char *
testca_folder(void)
{
    char *path = strdup("/tmp/smimed-test-XXXXXX");

    TESTCA_MUST(path && mkdtemp(path));
    return path;
}

static inline void
testca_folder_free(char **path)
{
    char command[256];

    TESTCA_MUST(strncmp(*path, "/tmp/smimed-test-", 17) == 0);
    snprintf(command, sizeof command, "rm -rf '%s'", *path);
    TESTCA_MUST(system(command) == 0);
    free(*path);
    *path = NULL;
}

static inline void
testca_file(const char *folder, const char *name, mode_t mode, const void *bytes, size_t n)
{
    char path[512];
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    TESTCA_MUST(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && fchmod(fd, mode) == 0);
    close(fd);
}

/* PEM of a key (NULL: none) and of up to three certificates (NULL: none), into one file. */
static inline void
testca_pem(const char *folder, const char *name, mode_t mode, EVP_PKEY *key, X509 *first,
           X509 *second, X509 *third)
{
    BIO *bio = BIO_new(BIO_s_mem());
    X509 *const list[] = { first, second, third };
    char *text;
    long n;

    if (key)
        TESTCA_MUST(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    for (size_t i = 0; i < 3; i++) {
        if (list[i])
            TESTCA_MUST(PEM_write_bio_X509(bio, list[i]));
    }
    n = BIO_get_mem_data(bio, &text);
    testca_file(folder, name, mode, text, (size_t)n);
    BIO_free(bio);
}

static inline void
testca_crl_file(const char *folder, const char *name, X509_CRL *crl)
{
    unsigned char *der = NULL;
    int n = i2d_X509_CRL(crl, &der);

    TESTCA_MUST(n > 0);
    testca_file(folder, name, 0644, der, (size_t)n);
    OPENSSL_free(der);
}

#endif
