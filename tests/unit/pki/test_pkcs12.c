#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/pkcs12.h"
#include "tests/unit/testca.h"

static const char password[] = "correct horse";

static struct testca root, ca;

static int
group_setup(void **state)
{
    (void)state;
    testca_init(&root, "PKCS#12 Root");
    testca_init_below(&ca, &root, "PKCS#12 CA", NULL);
    return 0;
}

static int
group_teardown(void **state)
{
    (void)state;
    testca_free(&ca);
    testca_free(&root);
    return 0;
}

/* One pair with its issuers. */
static PKCS12 *
p12_new(struct testca_args args, const char *with, int mac_iterations)
{
    struct testca_leaf leaf;
    STACK_OF(X509) *issuers = sk_X509_new_null();
    PKCS12 *p12;

    testca_issue(&ca, &args, &leaf);
    sk_X509_push(issuers, ca.x509);
    sk_X509_push(issuers, root.x509);
    p12 = PKCS12_create(with, "name", leaf.key, leaf.x509, issuers, 0, 0, 2048, mac_iterations, 0);
    assert_non_null(p12);
    sk_X509_free(issuers);
    testca_leaf_free(&leaf);
    return p12;
}

static void
keys_and_certificates_are_read_from_der_and_pem(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct pki_pkcs12 out;
    PKCS12 *p12 = p12_new((struct testca_args){ .cn = "A" }, password, 2048);
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char *der = NULL;
    char *text;
    int n = i2d_PKCS12(p12, &der);
    long length;

    assert_int_equal(pki_pkcs12_parse(span_of(der, (size_t)n), password, &out, &err), ERR_OK);
    assert_int_equal(out.count, 1);
    assert_int_equal(out.certificates.count, 3);
    pki_pkcs12_free(&out);
    assert_true(PEM_write_bio(bio, "PKCS12", "", der, n) > 0);
    length = BIO_get_mem_data(bio, &text);
    assert_int_equal(pki_pkcs12_parse(span_of(text, (size_t)length), password, &out, &err), ERR_OK);
    assert_int_equal(out.count, 1);
    pki_pkcs12_free(&out);
    BIO_free(bio);
    OPENSSL_free(der);
    PKCS12_free(p12);
}

static void
nothing_and_too_much_are_refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct pki_pkcs12 out;
    unsigned char *big = calloc(1, PKI_PKCS12_LIMIT_BYTES + 1);

    assert_int_equal(pki_pkcs12_parse(span_of(big, 0), password, &out, &err), ERR_PERM);
    err_reset(&err);
    assert_int_equal(
        pki_pkcs12_parse(span_of(big, PKI_PKCS12_LIMIT_BYTES + 1), password, &out, &err),
        ERR_LIMIT);
    err_reset(&err);
    assert_int_equal(pki_pkcs12_parse(span_of(big, 10), "", &out, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "empty password"));
    free(big);
}

/* Takes at most a second of processor time. */
static enum err_code
parse_quickly(PKCS12 *p12, struct err *err)
{
    unsigned char *der = NULL;
    int n = i2d_PKCS12(p12, &der);
    struct pki_pkcs12 out;
    clock_t before = clock();
    enum err_code code = pki_pkcs12_parse(span_of(der, (size_t)n), password, &out, err);

    assert_true((clock() - before) / CLOCKS_PER_SEC < 2);
    pki_pkcs12_free(&out);
    OPENSSL_free(der);
    return code;
}

static void
iteration_bombs_are_refused_before_they_go_off(void **state)
{
    (void)state;
    const ASN1_INTEGER *iterations = NULL;
    struct err err = ERR_INIT;
    PKCS12 *p12 =
        p12_new((struct testca_args){ .cn = "A", .key_type = TESTCA_P256 }, password, 2048);
    PKCS12 *patched;
    unsigned char *der = NULL;
    int n;

    PKCS12_get0_mac(NULL, NULL, NULL, &iterations, p12);
    assert_true(ASN1_INTEGER_set((ASN1_INTEGER *)iterations, 0x7fffffff));
    assert_int_equal(parse_quickly(p12, &err), ERR_LIMIT);
    err_reset(&err);
    assert_true(ASN1_INTEGER_set((ASN1_INTEGER *)iterations, -5));
    assert_int_equal(parse_quickly(p12, &err), ERR_LIMIT);
    PKCS12_free(p12);

    /* The same in the encryption of the contents, under a good MAC: 65536 is three octets long. */
    EVP_PKEY *key = testca_key(TESTCA_P256, 0);
    struct testca_leaf leaf;
    testca_issue(&ca, &(struct testca_args){ .cn = "A", .key_type = TESTCA_P256 }, &leaf);
    for (int which = 0; which < 2; which++) {
        static const unsigned char before[] = { 2, 3, 1, 0, 0 },
                                   after[] = { 2, 3, 0x7f, 0xff, 0xff };
        unsigned char *at;
        p12 = PKCS12_create(password, NULL, key, leaf.x509, NULL, which ? NID_aes_256_cbc : -1,
                            which ? -1 : NID_aes_256_cbc, 65536, 2048, 0);
        n = i2d_PKCS12(p12, &der);
        at = memmem(der, (size_t)n, before, sizeof before);
        assert_non_null(at);
        memcpy(at, after, sizeof after);
        const unsigned char *p = der;
        patched = d2i_PKCS12(NULL, &p, n);
        assert_non_null(patched);
        assert_true(PKCS12_set_mac(patched, password, -1, NULL, 0, 2048, EVP_sha256()));
        err_reset(&err);
        assert_int_equal(parse_quickly(patched, &err), ERR_LIMIT);
        PKCS12_free(patched);
        PKCS12_free(p12);
        OPENSSL_free(der);
        der = NULL;
    }
    testca_leaf_free(&leaf);
}

static void
scrypt_is_refused(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(testca_key(TESTCA_P256, 0));
    X509_ALGOR *scrypt = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 8, NULL, 1024, 8, 1);
    X509_SIG *sig = PKCS8_set0_pbe(password, -1, info, scrypt);
    STACK_OF(PKCS12_SAFEBAG) *bags = sk_PKCS12_SAFEBAG_new_null();
    STACK_OF(PKCS7) *safes = NULL;

    assert_non_null(sig);
    sk_PKCS12_SAFEBAG_push(bags, PKCS12_SAFEBAG_create0_pkcs8(sig));
    assert_true(PKCS12_add_safe(&safes, bags, -1, 0, NULL));
    PKCS12 *p12 = PKCS12_add_safes(safes, 0);
    assert_true(PKCS12_set_mac(p12, password, -1, NULL, 0, 2048, EVP_sha256()));
    assert_int_equal(parse_quickly(p12, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "PBKDF2"));
    PKCS12_free(p12);
    sk_PKCS7_pop_free(safes, PKCS7_free);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    PKCS8_PRIV_KEY_INFO_free(info);
}

static void
damaged_files_are_refused(void **state)
{
    (void)state;
    PKCS12 *p12 = p12_new((struct testca_args){ .cn = "A", .key_type = TESTCA_P256 }, password, 1);
    unsigned char *der = NULL, *copy;
    int n = i2d_PKCS12(p12, &der);
    struct pki_pkcs12 out;

    for (int i = 0; i < n; i += 1 + i / 16) {
        struct err err = ERR_INIT;
        copy = malloc((size_t)i ? (size_t)i : 1);
        memcpy(copy, der, (size_t)i);
        assert_int_not_equal(pki_pkcs12_parse(span_of(copy, (size_t)i), password, &out, &err),
                             ERR_OK);
        assert_int_equal(out.count, 0);
        free(copy);
    }
    for (int i = 4; i < n; i += 13) {
        struct err err = ERR_INIT;
        copy = malloc((size_t)n);
        memcpy(copy, der, (size_t)n);
        copy[i] ^= 0x41;
        if (pki_pkcs12_parse(span_of(copy, (size_t)n), password, &out, &err) == ERR_OK)
            pki_pkcs12_free(&out);
        assert_int_equal(ERR_peek_error(), 0);
        free(copy);
    }
    OPENSSL_free(der);
    PKCS12_free(p12);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_and_certificates_are_read_from_der_and_pem),
        cmocka_unit_test(nothing_and_too_much_are_refused),
        cmocka_unit_test(iteration_bombs_are_refused_before_they_go_off),
        cmocka_unit_test(scrypt_is_refused),
        cmocka_unit_test(damaged_files_are_refused),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
