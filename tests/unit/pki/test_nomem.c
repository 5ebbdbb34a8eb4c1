/*
 * Every allocation of the library fails once while a certificate or a CRL is read: it is read as it
 * is, or there is no memory. Never is it another certificate: "unsupported-algorithm" for want of
 * memory would be the sender's fault for ever. Never is it another CRL: one that lost its scope
 * would speak of everybody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/crypto.h>

#include "pki/certificate.h"
#include "pki/crypto.h"
#include "tests/unit/pki/crl_fixture.h"

static bool is_counting;
static long calls, failing = -1;

static bool
fails(void)
{
    return is_counting && calls++ == failing;
}

static void *
count_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails() ? NULL : malloc(size);
}

static void *
count_realloc(void *block, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails() ? NULL : realloc(block, size);
}

static void
count_free(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    free(block);
}

static enum err_code
parse(struct span der, long nth, struct pki_certificate **out)
{
    struct err err = ERR_INIT;

    calls = 0;
    failing = nth;
    is_counting = true;
    enum err_code code = pki_certificate_parse(der, out, &err);
    is_counting = false;
    if (code != ERR_OK && code != ERR_NOMEM)
        print_message("allocation %ld: %s\n", nth, err.text);
    return code;
}

static void
torture(enum testca_key key, const char *san)
{
    struct testca ca;
    struct testca_leaf leaf;
    struct pki_certificate *whole = NULL, *certificate = NULL;
    unsigned char *der = NULL;
    long total, unknown = 0;

    testca_init(&ca, "Unit Root");
    testca_issue(&ca, &(struct testca_args){ .cn = "Alice", .key_type = key, .san = san }, &leaf);
    struct span span = { .n = (size_t)i2d_X509(leaf.x509, &der) };
    span.p = der;
    assert_int_equal(parse(span, -1, &whole), ERR_OK);
    assert_int_equal(parse(span, -1, &certificate), ERR_OK);
    pki_certificate_free(&certificate);
    total = calls;
    assert_true(total > 100);
    for (long nth = 0; nth < total; nth++) {
        enum err_code code = parse(span, nth, &certificate);
        assert_int_equal(ERR_peek_error(), 0);
        assert_true(code == ERR_OK || code == ERR_NOMEM);
        unknown += code == ERR_NOMEM;
        if (code == ERR_OK) {
            const struct pki_certificate_facts *a = pki_certificate_get(whole);
            const struct pki_certificate_facts *b = pki_certificate_get(certificate);
            assert_string_equal(a->key_algorithm, b->key_algorithm);
            assert_int_equal(a->key_bits, b->key_bits);
            assert_string_equal(a->subject, b->subject);
            assert_string_equal(a->addresses[0], b->addresses[0]);
            assert_null(b->addresses[1]);
            assert_int_equal(a->ca, b->ca);
            assert_int_equal(a->bad_address, b->bad_address);
            assert_int_equal(a->self_issued, b->self_issued);
        }
        pki_certificate_free(&certificate);
    }
    assert_true(unknown > 0);
    pki_certificate_free(&whole);
    OPENSSL_free(der);
    testca_leaf_free(&leaf);
    testca_free(&ca);
}

static void
no_memory_makes_no_other_certificate(void **state)
{
    (void)state;
    torture(TESTCA_RSA2048, "email:alice@example.org");
    torture(TESTCA_P256, "email:alice@example.org");
}

/* What the library says of the leaf with this CRL. */
static int
library_says(X509_CRL *crl, X509 *authority, X509 *leaf)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509_CRL) *crls = sk_X509_CRL_new_null();
    int error;

    assert_true(store && ctx && crls && X509_STORE_add_cert(store, authority) &&
                sk_X509_CRL_push(crls, crl) && X509_STORE_CTX_init(ctx, store, leaf, NULL));
    X509_STORE_CTX_set0_crls(ctx, crls);
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_EXTENDED_CRL_SUPPORT);
    error = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    sk_X509_CRL_free(crls);
    ERR_clear_error();
    return error;
}

static enum err_code
crl_parse(struct span der, long nth, X509_CRL **out)
{
    struct err err = ERR_INIT;

    calls = 0;
    failing = nth;
    is_counting = true;
    enum err_code code = pki_crl_parse(der, out, &err);
    is_counting = false;
    if (code != ERR_OK && code != ERR_NOMEM)
        print_message("allocation %ld: %s\n", nth, err.text);
    return code;
}

/* A CRL about authorities alone, with an entry of another issuer. */
static void
crl_make(const struct testca *ca, const struct testca *other, struct buf *der)
{
    struct buf list = BUF_INIT(4096), extensions = BUF_INIT(4096), issuer = BUF_INIT(4096);

    raw_extension(&extensions, RAW("\x55\x1d\x1c"), true, RAW("\x30\x03\x82\x01\xff"));
    raw_extension(&extensions, RAW("\x55\x1d\x14"), false, RAW("\x02\x01\x07"));
    raw_issuer_extension(&issuer, X509_get_subject_name(other->x509));
    raw_entry(&list, RAW("\x02"), RAW_REASON("\x01"));
    raw_entry(&list, RAW("\x03"), buf_span(&issuer));
    raw_format(&(struct raw_crl){ .by = ca, .entries = &list, .extensions = &extensions }, der);
    buf_free(&list);
    buf_free(&extensions);
    buf_free(&issuer);
}

static void
no_memory_makes_no_other_crl(void **state)
{
    (void)state;
    struct testca ca, other;
    struct testca_leaf leaf, his;
    struct buf der = BUF_INIT(65536);
    struct pki_crl_entry entry;
    X509_CRL *crl = NULL;
    long total, unknown = 0;
    int wanted;

    testca_init(&ca, "Unit Root");
    testca_init(&other, "Other Root");
    testca_issue(&ca, &(struct testca_args){ .cn = "Alice" }, &leaf); /* serial number 2 */
    other.serial = 2;
    testca_issue(&other, &(struct testca_args){ .cn = "Bob" }, &his);
    crl_make(&ca, &other, &der);
    assert_int_equal(crl_parse(buf_span(&der), -1, &crl), ERR_OK);
    wanted = library_says(crl, ca.x509, leaf.x509);
    assert_int_equal(wanted, X509_V_ERR_DIFFERENT_CRL_SCOPE);
    X509_CRL_free(crl);
    assert_int_equal(crl_parse(buf_span(&der), -1, &crl), ERR_OK);
    total = calls;
    X509_CRL_free(crl);
    assert_true(total > 50);
    for (long nth = 0; nth < total; nth++) {
        enum err_code code = crl_parse(buf_span(&der), nth, &crl);
        assert_int_equal(ERR_peek_error(), 0);
        assert_true(code == ERR_OK || code == ERR_NOMEM);
        unknown += code == ERR_NOMEM;
        if (code != ERR_OK) {
            assert_null(crl);
            continue;
        }
        if (library_says(crl, ca.x509, leaf.x509) != wanted)
            fail_msg("allocation %ld: the CRL lost its scope", nth);
        assert_null(pki_crl_fault(crl));
        assert_int_equal(pki_crl_find(crl, leaf.x509, &entry, NULL), ERR_OK);
        assert_int_equal(entry.reason, 1);
        assert_int_equal(pki_crl_find(crl, his.x509, &entry, NULL), ERR_OK);
        if (!pki_crl_is_signed_by(crl, ca.x509))
            fail_msg("allocation %ld: the CRL lost its signature", nth);
        X509_CRL_free(crl);
    }
    print_message("%ld allocations, %ld are missed\n", total, unknown);
    assert_true(unknown > 0);
    buf_free(&der);
    testca_leaf_free(&leaf);
    testca_leaf_free(&his);
    testca_free(&ca);
    testca_free(&other);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_makes_no_other_certificate),
        cmocka_unit_test(no_memory_makes_no_other_crl),
    };

    /* Before the library allocates anything. */
    if (!CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
