#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/pkcs7.h>

#include "pki/certificate.h"
#include "tests/unit/testca.h"

static struct testca root, ca;
static struct testca_leaf leaf;
static char *folder;

static int
setup(void **state)
{
    (void)state;
    folder = testca_folder();
    testca_init(&root, "List Root");
    testca_init_below(&ca, &root, "List CA", NULL);
    testca_issue(&ca, &(struct testca_args){ .cn = "A", .key_type = TESTCA_P256 }, &leaf);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    testca_leaf_free(&leaf);
    testca_free(&ca);
    testca_free(&root);
    testca_folder_free(&folder);
    return 0;
}

/* A certs-only PKCS#7 with the three certificates. */
static PKCS7 *
bag_new(void)
{
    PKCS7 *bag = PKCS7_new();

    assert_true(PKCS7_set_type(bag, NID_pkcs7_signed));
    assert_true(PKCS7_content_new(bag, NID_pkcs7_data));
    assert_true(PKCS7_set_detached(bag, 1));
    assert_true(PKCS7_add_certificate(bag, leaf.x509));
    assert_true(PKCS7_add_certificate(bag, ca.x509));
    assert_true(PKCS7_add_certificate(bag, root.x509));
    return bag;
}

static enum err_code
parse_copy(const void *bytes, size_t n, size_t *count)
{
    struct pki_certificates list = { .list = NULL };
    unsigned char *copy = malloc(n ? n : 1);
    struct err err = ERR_INIT;
    enum err_code code;

    memcpy(copy, bytes, n);
    code = pki_certificates_parse(&list, span_of(copy, n), &err);
    assert_true((code != ERR_OK) == (err.text[0] != '\0'));
    assert_int_equal(ERR_peek_error(), 0);
    *count = list.count;
    free(copy);
    pki_certificates_free(&list);
    return code;
}

static void
der_pem_and_pkcs7_are_read(void **state)
{
    (void)state;
    PKCS7 *bag = bag_new();
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char *der = NULL;
    char *text;
    size_t count;
    int n;

    n = i2d_X509(leaf.x509, &der);
    assert_int_equal(parse_copy(der, (size_t)n, &count), ERR_OK);
    assert_int_equal(count, 1);
    OPENSSL_free(der);
    der = NULL;
    n = i2d_PKCS7(bag, &der);
    assert_int_equal(parse_copy(der, (size_t)n, &count), ERR_OK);
    assert_int_equal(count, 3);
    OPENSSL_free(der);
    BIO_puts(bio, "Some words that openssl x509 -text puts before\n");
    PEM_write_bio_X509(bio, leaf.x509);
    PEM_write_bio_PrivateKey(bio, leaf.key, NULL, NULL, 0, NULL, NULL);
    PEM_write_bio_PKCS7(bio, bag);
    PEM_write_bio_X509(bio, ca.x509);
    long length = BIO_get_mem_data(bio, &text);
    assert_int_equal(parse_copy(text, (size_t)length, &count), ERR_OK);
    assert_int_equal(count, 5);
    BIO_free(bio);
    PKCS7_free(bag);
}

/* Re-written with indefinite lengths around the same certificate. */
static void
pkcs7_in_ber_is_read(void **state)
{
    (void)state;
    static const unsigned char head[] = { 0x30, 0x80, 6,    9,    0x2a, 0x86, 0x48, 0x86, 0xf7,
                                          0x0d, 1,    7,    2,    0xa0, 0x80, 0x30, 0x80, 2,
                                          1,    1,    0x31, 0x80, 0,    0,    0x30, 0x80, 6,
                                          9,    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1,    7,
                                          1,    0,    0,    0xa0, 0x80 };
    static const unsigned char tail[] = { 0, 0, 0x31, 0, 0, 0, 0, 0, 0, 0 };
    unsigned char *der = NULL, *ber;
    int n = i2d_X509(leaf.x509, &der);
    size_t total = sizeof head + (size_t)n + sizeof tail, count;

    ber = malloc(total);
    memcpy(ber, head, sizeof head);
    memcpy(ber + sizeof head, der, (size_t)n);
    memcpy(ber + sizeof head + n, tail, sizeof tail);
    assert_int_equal(parse_copy(ber, total, &count), ERR_OK);
    assert_int_equal(count, 1);
    for (size_t cut = 0; cut < sizeof head; cut++)
        assert_int_not_equal(parse_copy(ber, cut, &count), ERR_OK);
    free(ber);
    OPENSSL_free(der);
}

static void
lengths_nested_without_end_are_refused(void **state)
{
    (void)state;
    enum { DEEP = 60000 };
    unsigned char *deep = malloc(DEEP);
    size_t count;

    for (size_t i = 0; i < DEEP; i += 2) {
        deep[i] = 0x30;
        deep[i + 1] = 0x80;
    }
    assert_int_equal(parse_copy(deep, DEEP, &count), ERR_PERM);
    /* Definite and nested: each sequence holds the next. */
    size_t n = DEEP;
    for (size_t i = 0; i + 4 <= n; i += 4) {
        deep[i] = 0x30;
        deep[i + 1] = 0x82;
        deep[i + 2] = (unsigned char)((n - i - 4) >> 8);
        deep[i + 3] = (unsigned char)(n - i - 4);
    }
    assert_int_equal(parse_copy(deep, n, &count), ERR_PERM);
    free(deep);
}

static void
what_holds_no_certificate_is_refused(void **state)
{
    (void)state;
    static const char key[] = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    static const char cut[] = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    size_t count;

    assert_int_equal(parse_copy("", 0, &count), ERR_PERM);
    assert_int_equal(parse_copy("hello", 5, &count), ERR_PERM);
    assert_int_equal(parse_copy(key, sizeof key - 1, &count), ERR_PERM);
    assert_int_equal(parse_copy(cut, sizeof cut - 1, &count), ERR_PERM);
}

static void
a_list_is_bounded(void **state)
{
    (void)state;
    struct pki_certificates list = { .limit = 2 };
    struct pki_certificate *c = testca_certificate(leaf.x509);
    struct err err = ERR_INIT;

    assert_int_equal(pki_certificates_add1(&list, c, &err), ERR_OK);
    assert_int_equal(pki_certificates_add1(&list, c, &err), ERR_OK);
    assert_int_equal(pki_certificates_add1(&list, c, &err), ERR_LIMIT);
    pki_certificates_free(&list);
    pki_certificates_free(&list);
    pki_certificate_free(&c);
}

static void
a_folder_is_read_without_leftovers_and_a_bad_file_is_named(void **state)
{
    (void)state;
    struct pki_certificates list = { .list = NULL };
    struct err err = ERR_INIT;
    char path[300];

    testca_pem(folder, "a.pem", 0644, NULL, leaf.x509, ca.x509, NULL);
    testca_pem(folder, "b.crt", 0644, NULL, root.x509, NULL, NULL);
    testca_file(folder, "a.pem~", 0644, "x", 1);
    testca_file(folder, ".a.pem.swp", 0644, "x", 1);
    testca_file(folder, "b.crt.dpkg-old", 0644, "x", 1);
    snprintf(path, sizeof path, "%s/sub", folder);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(pki_certificates_load(&list, folder, &err), ERR_OK);
    assert_int_equal(list.count, 3);
    pki_certificates_free(&list);
    testca_file(folder, "c.pem", 0644, "x", 1);
    assert_int_equal(pki_certificates_load(&list, folder, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "/c.pem"));
    pki_certificates_free(&list);
    err_reset(&err);
    assert_int_equal(pki_certificates_load(&list, "/nonexistent/x", &err), ERR_NOTFOUND);
    err_reset(&err);
    assert_int_equal(pki_certificates_load(&list, "/dev/zero", &err), ERR_PERM);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(der_pem_and_pkcs7_are_read),
        TEST(pkcs7_in_ber_is_read),
        TEST(lengths_nested_without_end_are_refused),
        TEST(what_holds_no_certificate_is_refused),
        TEST(a_list_is_bounded),
        TEST(a_folder_is_read_without_leftovers_and_a_bad_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
