#include "make.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "smime/kdf.h"

static void
kdf_hkdf_gives_test_case_one_of_rfc_5869(void **state)
{
    (void)state;
    unsigned char secret[22], salt[13], info[10], out[42];
    memset(secret, 0x0b, sizeof(secret));
    for (unsigned i = 0; i < sizeof(salt); i++)
        salt[i] = (unsigned char)i;
    for (unsigned i = 0; i < sizeof(info); i++)
        info[i] = (unsigned char)(0xf0 + i);
    static const unsigned char expected[] = { 0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5,
                                              0x7a, 0x90, 0x43, 0x4f, 0x64, 0xd0, 0x36 };
    const struct smime_kdf_args args = { .hkdf = true,
                                         .digest = "SHA256",
                                         .secret = span_of(secret, sizeof(secret)),
                                         .salt = span_of(salt, sizeof(salt)),
                                         .info = span_of(info, sizeof(info)) };
    assert_true(smime_kdf_get(&args, out, sizeof(out)));
    assert_memory_equal(out, expected, sizeof(expected));
}

/* SHA-256 (Z || counter || SharedInfo), by hand for one block: SEC 1, 3.6.1. */
static void
kdf_x963_is_the_digest_of_secret_counter_and_info(void **state)
{
    (void)state;
    unsigned char out[32], expected[32];
    static const char block[] = "secret\0\0\0\1info";
    unsigned n = 0;
    const struct smime_kdf_args args = { .digest = "SHA256",
                                         .secret = span_str("secret"),
                                         .info = span_str("info") };
    assert_true(smime_kdf_get(&args, out, sizeof(out)));
    assert_true(EVP_Digest(block, sizeof(block) - 1, expected, &n, EVP_sha256(), NULL));
    assert_memory_equal(out, expected, sizeof(out));
}

static void
kdf_says_no_to_a_digest_that_is_not_there(void **state)
{
    (void)state;
    unsigned char out[16];
    const struct smime_kdf_args args = { .digest = "NONE",
                                         .secret = span_str("s"),
                                         .info = span_str("i") };
    assert_false(smime_kdf_get(&args, out, sizeof(out)));
    assert_int_equal(ERR_peek_error(), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kdf_hkdf_gives_test_case_one_of_rfc_5869),
        cmocka_unit_test(kdf_x963_is_the_digest_of_secret_counter_and_info),
        cmocka_unit_test(kdf_says_no_to_a_digest_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
