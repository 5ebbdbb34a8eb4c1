/* What smime/decrypt does not do, or does and calls weak. */
#include "decrypt_fixture.h"

static void
decrypt_names_what_it_does_not_support(void **state)
{
    (void)state;
    struct make made = library_message(&alice, EVP_camellia_128_cbc(), 0);
    expect_failure(span_of(made.p, made.n), &alice.key, ERR_PERM, "unsupported-algorithm");
    free(made.p);
    /* only a shared key as recipient */
    unsigned char *kek = OPENSSL_zalloc(16), *id = OPENSSL_zalloc(4);
    BIO *bio = BIO_new_mem_buf(entity, -1);
    CMS_ContentInfo *cms = CMS_encrypt(NULL, bio, EVP_aes_128_cbc(), CMS_PARTIAL | CMS_BINARY);
    TESTCA_MUST(CMS_add0_recipient_key(cms, NID_undef, kek, 16, id, 4, NULL, NULL, NULL) != NULL);
    TESTCA_MUST(CMS_final(cms, bio, NULL, CMS_BINARY));
    unsigned char *der = NULL;
    int n = i2d_CMS_ContentInfo(cms, &der);
    expect_failure(span_of(der, (size_t)n), &alice.key, ERR_PERM, "unsupported-algorithm");
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    BIO_free(bio);
    /* SignedData is no enveloped object */
    bio = BIO_new_mem_buf(entity, -1);
    cms = CMS_sign(alice.leaf.x509, alice.leaf.key, NULL, bio, CMS_BINARY);
    der = NULL;
    n = i2d_CMS_ContentInfo(cms, &der);
    expect_failure(span_of(der, (size_t)n), &alice.key, ERR_PERM, "malformed-cms");
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    BIO_free(bio);
}

static void
decrypt_reads_3des_and_calls_it_weak(void **state)
{
    (void)state;
    struct make made = library_message(&alice, EVP_des_ede3_cbc(), 0);
    struct outcome outcome =
        decrypt(span_of(made.p, made.n), (const struct pki_key *const[]){ &alice.key }, 1);
    assert_int_equal(outcome.code, ERR_OK);
    assert_string_equal(buf_str(&outcome.plain), entity);
    assert_true(outcome.result.weak_cipher);
    buf_free(&outcome.plain);
    free(made.p);
}

static void
decrypt_never_takes_bad_oaep_for_pkcs1(void **state)
{
    (void)state;
    /* A block of PKCS#1 v1.5 under the name of OAEP with parameters that nobody can read. */
    struct make made = library_message(&alice, EVP_aes_128_cbc(), 0);
    static const unsigned char rsa[] = { OID_RSA };
    unsigned char *last = NULL;
    for (size_t i = 0; i + sizeof(rsa) <= made.n; i++)
        if (memcmp(made.p + i, rsa, sizeof(rsa)) == 0)
            last = made.p + i;
    assert_non_null(last);
    last[8] = 0x07; /* id-RSAES-OAEP with NULL parameters */
    expect_failure(span_of(made.p, made.n), &alice.key, ERR_PERM, "unsupported-algorithm");
    free(made.p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decrypt_names_what_it_does_not_support),
        cmocka_unit_test(decrypt_reads_3des_and_calls_it_weak),
        cmocka_unit_test(decrypt_never_takes_bad_oaep_for_pkcs1),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
