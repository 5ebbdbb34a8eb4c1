/*
 * Every allocation of the library fails once while a certificate is read: it is read as it is, or
 * there is no memory. Never is it another certificate: "unsupported-algorithm" for want of memory
 * would be the sender's fault for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/crypto.h>

#include "pki/certificate.h"
#include "pki/crypto.h"
#include "tests/unit/testca.h"

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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_makes_no_other_certificate),
    };

    /* Before the library allocates anything. */
    if (!CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
