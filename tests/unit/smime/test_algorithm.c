#include "fixture.h"

#include <openssl/objects.h>

#include "smime/algorithm.h"

static struct testca ca;
static struct user rsa, rsa1024, p256;

static int
setup(void **state)
{
    (void)state;
    testca_init(&ca, "Algorithm Root");
    user_init(&rsa, &ca, TESTCA_RSA2048, 0, NULL);
    user_init(&rsa1024, &ca, TESTCA_RSA1024, 0, NULL);
    user_init(&p256, &ca, TESTCA_P256, 0, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    user_free(&rsa);
    user_free(&rsa1024);
    user_free(&p256);
    testca_free(&ca);
    return 0;
}

static void
expect(int digest, int signature, const struct user *user, enum pki_status status,
       const char *reason)
{
    struct pki_answer answer;
    smime_algorithm_check(digest, signature, user != NULL ? user->key.certificate : NULL, &answer);
    assert_string_equal(answer.reason, reason);
    assert_int_equal(answer.status, status);
}

static void
algorithm_check_accepts_what_the_list_names(void **state)
{
    (void)state;
    expect(NID_sha256, NID_rsaEncryption, &rsa, PKI_STATUS_OK, "ok");
    expect(NID_sha384, NID_rsassaPss, &rsa, PKI_STATUS_OK, "ok");
    expect(NID_sha512, NID_sha512WithRSAEncryption, NULL, PKI_STATUS_OK, "ok");
    expect(NID_sha256, NID_ecdsa_with_SHA256, &p256, PKI_STATUS_OK, "ok");
    expect(NID_sha512, NID_ED25519, NULL, PKI_STATUS_OK, "ok");
}

static void
algorithm_check_calls_weak_what_is_broken_or_short(void **state)
{
    (void)state;
    expect(NID_sha1, NID_rsaEncryption, &rsa, PKI_STATUS_POLICY, "weak-algorithm");
    expect(NID_md5, NID_rsaEncryption, &rsa, PKI_STATUS_POLICY, "weak-algorithm");
    expect(NID_sha256, NID_sha1WithRSAEncryption, &rsa, PKI_STATUS_POLICY, "weak-algorithm");
    expect(NID_sha256, NID_dsa_with_SHA256, NULL, PKI_STATUS_POLICY, "weak-algorithm");
    /* 1024 bits are what rsa_bits_min may allow at least */
    expect(NID_sha256, NID_rsaEncryption, &rsa1024, PKI_STATUS_OK, "ok");
}

static void
algorithm_check_calls_unsupported_what_it_does_not_know(void **state)
{
    (void)state;
    expect(NID_undef, NID_rsaEncryption, &rsa, PKI_STATUS_POLICY, "unsupported-algorithm");
    expect(NID_sha256, NID_undef, &rsa, PKI_STATUS_POLICY, "unsupported-algorithm");
    expect(NID_sha1, NID_undef, &rsa, PKI_STATUS_POLICY, "unsupported-algorithm");
    expect(NID_sha3_256, NID_rsaEncryption, &rsa, PKI_STATUS_POLICY, "unsupported-algorithm");
}

static void
algorithm_names_are_those_of_the_configuration(void **state)
{
    (void)state;
    assert_string_equal(smime_digest_name(SMIME_DIGEST_SHA384), "sha384");
    assert_string_equal(smime_micalg(SMIME_DIGEST_SHA512), "sha-512");
    assert_string_equal(smime_cipher_name(SMIME_CIPHER_AES128_GCM), "aes128-gcm");
    assert_true(smime_cipher_is_aead(SMIME_CIPHER_AES256_GCM));
    assert_false(smime_cipher_is_aead(SMIME_CIPHER_AES256_CBC));
    assert_int_equal(EVP_CIPHER_get_key_length(smime_cipher_get(SMIME_CIPHER_AES256_CBC)), 32);
    assert_int_equal(EVP_MD_get_size(smime_digest_get(SMIME_DIGEST_SHA384)), 48);
}

static void
algorithm_digest_is_never_shorter_than_an_ec_key_asks_for(void **state)
{
    (void)state;
    EVP_PKEY *p384 = testca_key(TESTCA_P384, 0), *p521 = testca_key(TESTCA_P521, 0);
    assert_int_equal(smime_digest_find(rsa.key.pkey, SMIME_DIGEST_SHA256), SMIME_DIGEST_SHA256);
    assert_int_equal(smime_digest_find(p256.key.pkey, SMIME_DIGEST_SHA256), SMIME_DIGEST_SHA256);
    assert_int_equal(smime_digest_find(p256.key.pkey, SMIME_DIGEST_SHA512), SMIME_DIGEST_SHA512);
    assert_int_equal(smime_digest_find(p384, SMIME_DIGEST_SHA256), SMIME_DIGEST_SHA384);
    assert_int_equal(smime_digest_find(p521, SMIME_DIGEST_SHA256), SMIME_DIGEST_SHA512);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(algorithm_check_accepts_what_the_list_names),
        cmocka_unit_test(algorithm_check_calls_weak_what_is_broken_or_short),
        cmocka_unit_test(algorithm_check_calls_unsupported_what_it_does_not_know),
        cmocka_unit_test(algorithm_names_are_those_of_the_configuration),
        cmocka_unit_test(algorithm_digest_is_never_shorter_than_an_ec_key_asks_for),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
