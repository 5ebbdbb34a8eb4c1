/*
 * What the tests of OCSP share: a root, an authority, a leaf, and a responder of our own that says
 * what a test wants, truth and nonsense alike.
 */
#ifndef TESTS_UNIT_PKI_OCSP_FIXTURE_H
#define TESTS_UNIT_PKI_OCSP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ocsp.h>

#include "pki/ocsp.h"
#include "tests/unit/testca.h"

enum { ENTRIES = 4, HOUR = 3600 };

static struct testca root, ca;
static struct testca_leaf leaf;
static time_t now;

static inline int
setup(void **state)
{
    (void)state;
    now = time(NULL);
    testca_init(&root, "OCSP Root");
    testca_init_below(&ca, &root, "OCSP CA", NULL);
    testca_issue(&ca, &(struct testca_args){ .cn = "Alice", .key_type = TESTCA_P256 }, &leaf);
    return 0;
}

static inline int
teardown(void **state)
{
    (void)state;
    testca_leaf_free(&leaf);
    testca_free(&ca);
    testca_free(&root);
    return 0;
}

struct entry {
    bool there;
    X509 *of, *by;                 /* NULL: the leaf, its authority */
    int status;                    /* V_OCSP_CERTSTATUS_... */
    int reason;                    /* CRL_REASON_..., 0: none */
    const char *digest;            /* of the CertID; NULL: SHA1 */
    long this_update, next_update; /* seconds from now; next_update 0: absent */
    const char *critical;          /* OID of a critical extension */
};

struct said {
    struct entry entries[ENTRIES];
    EVP_PKEY *key; /* NULL: the authority's */
    X509 *signer;
    STACK_OF(X509) * certs; /* carried beside the signer's */
    bool by_name, without_certs;
    long produced_at;
    const char *digest; /* of the signature; NULL: SHA256 */
    struct span nonce;
    const char *critical, *other; /* OIDs of a critical extension and of another one */
    size_t copies;                /* of the first entry, 0: one */
    int response_status;          /* OCSP_RESPONSE_STATUS_... */
};

static inline X509_EXTENSION *
extension_new(const char *oid, bool critical)
{
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 0);
    X509_EXTENSION *e;

    TESTCA_MUST(value && object && ASN1_OCTET_STRING_set(value, (const unsigned char *)"\5", 2));
    e = X509_EXTENSION_create_by_OBJ(NULL, object, critical, value);
    TESTCA_MUST(e);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(object);
    return e;
}

static inline void
entry_add(OCSP_BASICRESP *basic, const struct entry *entry)
{
    ASN1_GENERALIZEDTIME *revoked = ASN1_GENERALIZEDTIME_set(NULL, now - 5 * HOUR);
    ASN1_GENERALIZEDTIME *from = ASN1_GENERALIZEDTIME_set(NULL, now + entry->this_update);
    ASN1_GENERALIZEDTIME *until =
        entry->next_update ? ASN1_GENERALIZEDTIME_set(NULL, now + entry->next_update) : NULL;
    const EVP_MD *md = EVP_get_digestbyname(entry->digest ? entry->digest : "SHA1");
    OCSP_CERTID *id =
        OCSP_cert_to_id(md, entry->of ? entry->of : leaf.x509, entry->by ? entry->by : ca.x509);
    OCSP_SINGLERESP *single;

    single = OCSP_basic_add1_status(basic, id, entry->status,
                                    entry->reason ? entry->reason : OCSP_REVOKED_STATUS_NOSTATUS,
                                    revoked, from, until);
    TESTCA_MUST(single);
    if (entry->critical) {
        X509_EXTENSION *e = extension_new(entry->critical, true);
        TESTCA_MUST(OCSP_SINGLERESP_add_ext(single, e, -1));
        X509_EXTENSION_free(e);
    }
    OCSP_CERTID_free(id);
    ASN1_GENERALIZEDTIME_free(revoked);
    ASN1_GENERALIZEDTIME_free(from);
    ASN1_GENERALIZEDTIME_free(until);
}

/* The DER of a response; OPENSSL_free. */
static inline unsigned char *
respond(const struct said *said, size_t *n)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    X509 *signer = said->signer ? said->signer : ca.x509;
    EVP_PKEY *key = said->key ? said->key : ca.key;
    const EVP_MD *md = EVP_get_digestbyname(said->digest ? said->digest : "SHA256");
    unsigned long flags = OCSP_NOTIME | (said->by_name ? 0 : OCSP_RESPID_KEY) |
                          (said->without_certs ? OCSP_NOCERTS : 0);
    OCSP_RESPONSE *response;
    unsigned char *der = NULL;

    for (size_t i = 0; i < ENTRIES; i++) {
        for (size_t k = 0; said->entries[i].there && k < (said->copies ? said->copies : 1); k++)
            entry_add(basic, &said->entries[i]);
    }
    if (said->nonce.n > 0)
        TESTCA_MUST(
            OCSP_basic_add1_nonce(basic, (unsigned char *)said->nonce.p, (int)said->nonce.n));
    for (int i = 0; i < 2; i++) {
        const char *oid = i ? said->other : said->critical;
        X509_EXTENSION *e = oid ? extension_new(oid, i == 0) : NULL;
        if (e)
            TESTCA_MUST(OCSP_BASICRESP_add_ext(basic, e, -1));
        X509_EXTENSION_free(e);
    }
    TESTCA_MUST(ASN1_GENERALIZEDTIME_set((ASN1_GENERALIZEDTIME *)OCSP_resp_get0_produced_at(basic),
                                         now + said->produced_at));
    TESTCA_MUST(OCSP_basic_sign(basic, signer, key,
                                EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : md,
                                said->certs, flags));
    response = OCSP_response_create(said->response_status, basic);
    *n = (size_t)i2d_OCSP_RESPONSE(response, &der);
    TESTCA_MUST(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    return der;
}

/* Judges bytes in an exact-size copy; certificate and issuer are filled in where they are not. */
static inline void
judge(struct span bytes, struct pki_ocsp_args args, struct pki_ocsp_result *out)
{
    struct pki_certificate *mine = testca_certificate(leaf.x509);
    struct pki_certificate *issuer = testca_certificate(ca.x509);
    unsigned char *copy = malloc(bytes.n ? bytes.n : 1);
    struct err err = ERR_INIT;

    if (bytes.n > 0)
        memcpy(copy, bytes.p, bytes.n);
    args.response = span_of(copy, bytes.n);
    if (!args.certificate)
        args.certificate = mine;
    if (!args.issuer)
        args.issuer = issuer;
    if (!args.at)
        args.at = now;
    if (pki_ocsp_check(&args, out, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(ERR_peek_error(), 0);
    assert_true(out->answer.text[0] != '\0');
    assert_true((out->status == PKI_OCSP_GOOD) == (strcmp(out->answer.reason, "ok") == 0));
    assert_true((out->status == PKI_OCSP_REVOKED) == (strcmp(out->answer.reason, "revoked") == 0));
    free(copy);
    pki_certificate_free(&mine);
    pki_certificate_free(&issuer);
}

/* The result is left in *out when that is not NULL. */
static inline void
expect(const struct said *said, struct pki_ocsp_args args, const char *reason,
       struct pki_ocsp_result *out)
{
    struct pki_ocsp_result local;
    size_t n;
    unsigned char *der = respond(said, &n);

    judge(span_of(der, n), args, &local);
    if (strcmp(local.answer.reason, reason) != 0)
        fail_msg("expected %s, got %s: %s", reason, local.answer.reason, local.answer.text);
    OPENSSL_free(der);
    if (out)
        *out = local;
    else
        pki_ocsp_result_free(&local);
}

/* An entry with its times, and the usual one: an hour old, good for another. */
#define TIMED(from, until, ...)                                                   \
    {                                                                             \
        .there = true, .this_update = (from), .next_update = (until), __VA_ARGS__ \
    }
#define ENTRY(...) TIMED(-HOUR, HOUR, __VA_ARGS__)

#endif
