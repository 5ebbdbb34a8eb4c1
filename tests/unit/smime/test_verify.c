#include "cook.h"

#include "smime/verify.h"

static const char content[] = FIXTURE_ENTITY;

static struct testca ca;
static struct user alice, bob, p256, p384, p521, pss, rsa1024;
static struct testca_leaf twin; /* Alice's key, issuer and serial number, another certificate */
static struct pki_certificate *twin_certificate;

static int
setup(void **state)
{
    (void)state;
    testca_init(&ca, "Verify Root");
    user_init(&alice, &ca, TESTCA_RSA2048, 0, NULL);
    ca.serial--;
    testca_issue(&ca, &(struct testca_args){ .cn = "Twin", .key_type = TESTCA_RSA2048 }, &twin);
    twin_certificate = testca_certificate(twin.x509);
    user_init(&bob, &ca, TESTCA_RSA2048, 1, NULL);
    user_init(&p256, &ca, TESTCA_P256, 0, NULL);
    user_init(&p384, &ca, TESTCA_P384, 0, NULL);
    user_init(&p521, &ca, TESTCA_P521, 0, NULL);
    user_init(&pss, &ca, TESTCA_RSAPSS, 0, NULL);
    user_init(&rsa1024, &ca, TESTCA_RSA1024, 0, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    pki_certificate_free(&twin_certificate);
    testca_leaf_free(&twin);
    user_free(&alice);
    user_free(&bob);
    user_free(&p256);
    user_free(&p384);
    user_free(&p521);
    user_free(&pss);
    user_free(&rsa1024);
    testca_free(&ca);
    return 0;
}

/* ---- running ---- */

struct question {
    struct span micalg;
    struct pki_certificates *extra;
    size_t piece;
    const char *text; /* content; NULL: the usual */
};

static struct smime_verify_result
verify(struct span signature, const struct question *question)
{
    static const struct question usual = { .piece = 64 };
    question = question != NULL ? question : &usual;
    struct err err = ERR_INIT;
    struct smime_verify *verifier = NULL;
    struct stage *stage = NULL;
    struct smime_verify_result result;
    const struct smime_verify_args args = { .micalg = question->micalg, .extra = question->extra };
    struct make exact = make_raw(signature.p, signature.n);
    FIXTURE_MUST(smime_verify_new(&args, &verifier, &err));
    FIXTURE_MUST(smime_verify_stage_new(verifier, &stage, &err));
    FIXTURE_MUST(fixture_feed(stage, span_str(question->text != NULL ? question->text : content),
                              question->piece != 0 ? question->piece : 64, &err));
    FIXTURE_MUST(smime_verify_finish(verifier, span_of(exact.p, exact.n), &result, &err));
    stage_free(&stage);
    smime_verify_free(&verifier);
    smime_verify_free(&verifier);
    free(exact.p);
    return result;
}

/* Verifies `made` (consumed) over the content and expects one signer with this state and reason. */
static void
expect(struct make made, const struct question *question, enum smime_signature_state state,
       const char *reason)
{
    struct smime_verify_result result = verify(span_of(made.p, made.n), question);
    assert_true(result.parsed);
    assert_string_equal(result.reason, "ok");
    assert_int_equal(result.count, 1);
    assert_string_equal(result.signers[0].reason, reason);
    assert_int_equal(result.signers[0].state, state);
    smime_verify_result_free(&result);
    smime_verify_result_free(&result);
    free(made.p);
}

static void
expect_refused(struct make made, const char *reason)
{
    struct smime_verify_result result = verify(span_of(made.p, made.n), NULL);
    assert_string_equal(result.reason, reason);
    assert_int_equal(result.count, 0);
    smime_verify_result_free(&result);
    free(made.p);
}

/* The signature part of what smime_sign wrote. */
static void
our_signature(const struct smime_sign_args *args, struct buf *der)
{
    struct err err = ERR_INIT;
    struct buf message = BUF_INIT(MAKE_LIMIT);
    fixture_sign(args, span_str(content), 64, &message);
    const char *part = strstr(buf_str(&message), "Content-Description: S/MIME Cryptographic");
    const char *begin = strstr(part, "\r\n\r\n") + 4;
    const char *end = strstr(begin, "\r\n--");
    struct stage *sink = NULL, *decode = NULL;
    FIXTURE_MUST(stage_buf_new(der, &sink, &err));
    FIXTURE_MUST(mime_base64_decode_new(NULL, sink, &decode, &err));
    FIXTURE_MUST(stage_write(decode, span_of(begin, (size_t)(end - begin)), &err));
    FIXTURE_MUST(stage_finish(decode, &err));
    stage_free(&decode);
    buf_free(&message);
}

static void
verify_accepts_what_we_sign_with_every_key_in_every_piece_size(void **state)
{
    (void)state;
    const struct user *const users[] = { &alice, &p256, &p384, &p521, &pss, &alice };
    for (size_t u = 0; u < 6; u++) {
        const struct smime_sign_args args = { .key = &users[u]->key,
                                              .encryption = users[u]->key.certificate,
                                              .signing_time = 1790000000,
                                              .signature = u == 5 ? SMIME_SIGNATURE_PSS
                                                                  : SMIME_SIGNATURE_PKCS1 };
        struct buf der = BUF_INIT(MAKE_LIMIT);
        our_signature(&args, &der);
        for (size_t i = 0; i < MAKE_PIECES; i++) {
            const struct question question = { .piece = make_pieces[i] };
            struct smime_verify_result result = verify(buf_span(&der), &question);
            assert_string_equal(result.reason, "ok");
            assert_int_equal(result.count, 1);
            assert_string_equal(result.signers[0].reason, "ok");
            assert_int_equal(result.signers[0].state, SMIME_SIGNATURE_OK);
            assert_int_equal(result.signers[0].algorithm.status, PKI_STATUS_OK);
            assert_int_equal(result.signers[0].signing_time, 1790000000);
            assert_true(
                pki_certificate_is(result.signers[0].certificate, users[u]->key.certificate));
            assert_int_equal(result.certificates.count, 1);
            assert_false(result.micalg_mismatch);
            smime_verify_result_free(&result);
        }
        buf_free(&der);
    }
}

static void
verify_calls_altered_content_bad(void **state)
{
    (void)state;
    const struct recipe with = { .user = &alice, .flags = CMS_DETACHED };
    const struct recipe without = { .user = &alice, .flags = CMS_DETACHED | CMS_NOATTR };
    const struct question altered = { .text = "altered\r\n" };
    const struct question empty = { .text = "" };
    expect(cook(&with, span_str(content)), &altered, SMIME_SIGNATURE_BAD, "digest-mismatch");
    expect(cook(&with, span_str(content)), &empty, SMIME_SIGNATURE_BAD, "digest-mismatch");
    expect(cook(&without, span_str(content)), &altered, SMIME_SIGNATURE_BAD, "bad-signature");
    expect(cook(&without, span_str(content)), NULL, SMIME_SIGNATURE_OK, "ok");
}

static void
verify_never_accepts_a_flipped_or_cut_signature(void **state)
{
    (void)state;
    const struct recipe recipe = { .flags = CMS_DETACHED | CMS_NOCERTS, .user = &p256 };
    struct make made = cook(&recipe, span_str(content));
    struct pki_certificates extra = { .count = 0 };
    struct err err = ERR_INIT;
    FIXTURE_MUST(pki_certificates_add1(&extra, p256.key.certificate, &err));
    const struct question question = { .extra = &extra };
    struct smime_verify_result result = verify(span_of(made.p, made.n), &question);
    assert_int_equal(result.signers[0].state, SMIME_SIGNATURE_OK);
    smime_verify_result_free(&result);
    for (size_t n = 0; n < made.n; n++) {
        result = verify(span_of(made.p, n), &question);
        assert_false(result.parsed);
        smime_verify_result_free(&result);
    }
    /* The last octets are the signature value and the end of the signed attributes. */
    for (size_t i = made.n - 60; i < made.n; i++) {
        made.p[i] ^= 1;
        result = verify(span_of(made.p, made.n), &question);
        if (result.count > 0)
            assert_int_not_equal(result.signers[0].state, SMIME_SIGNATURE_OK);
        smime_verify_result_free(&result);
        made.p[i] ^= 1;
    }
    pki_certificates_free(&extra);
    free(made.p);
}

static void
verify_survives_every_flipped_octet(void **state)
{
    (void)state;
    const struct recipe recipe = { .flags = CMS_DETACHED, .user = &p256 };
    struct make made = cook(&recipe, span_str(content));
    for (size_t i = 0; i < made.n; i++) {
        made.p[i] ^= 0x41;
        struct smime_verify_result result = verify(span_of(made.p, made.n), NULL);
        smime_verify_result_free(&result);
        made.p[i] ^= 0x41;
    }
    free(made.p);
}

static void
verify_refuses_attributes_passed_off_as_content(void **state)
{
    (void)state;
    /* The signed attributes of a genuine signature, as DER: 31 LEN ... */
    struct make attributes = make_tlv(SMIME_BER_SET, make_tlv(0x30, make_fill(5, 60)));
    const struct recipe recipe = { .user = &alice, .flags = CMS_DETACHED | CMS_NOATTR };
    struct make made = cook(&recipe, span_of(attributes.p, attributes.n));
    struct err err = ERR_INIT;
    struct smime_verify *verifier = NULL;
    struct smime_verify_result result;
    FIXTURE_MUST(smime_verify_new(&(struct smime_verify_args){ .extra = NULL }, &verifier, &err));
    FIXTURE_MUST(smime_verify_write(verifier, span_of(attributes.p, 1), &err));
    FIXTURE_MUST(smime_verify_write(verifier, span_of(attributes.p + 1, attributes.n - 1), &err));
    FIXTURE_MUST(smime_verify_finish(verifier, span_of(made.p, made.n), &result, &err));
    assert_int_equal(result.signers[0].state, SMIME_SIGNATURE_BAD);
    assert_string_equal(result.signers[0].reason, "malformed-attributes");
    smime_verify_result_free(&result);
    smime_verify_free(&verifier);
    free(attributes.p);
    free(made.p);
}

static void
verify_wants_each_signed_attribute_once(void **state)
{
    (void)state;
    const struct recipe recipe = { .user = &alice,
                                   .flags = CMS_DETACHED,
                                   .add_twice = NID_pkcs9_unstructuredName };
    expect(cook(&recipe, span_str(content)), NULL, SMIME_SIGNATURE_BAD, "malformed-attributes");
}

static void
verify_refuses_the_wrong_shape_with_its_name(void **state)
{
    (void)state;
    const struct recipe opaque = { .user = &alice, .flags = 0 };
    expect_refused(cook(&opaque, span_str(content)), "not-detached");
    const struct recipe typed = { .user = &alice,
                                  .flags = CMS_DETACHED,
                                  .type = "1.2.840.113549.1.9.16.1.4" };
    expect_refused(cook(&typed, span_str(content)), "wrong-content-type");
    BIO *bio = BIO_new_mem_buf(content, -1);
    STACK_OF(X509) *certificates = sk_X509_new_null();
    sk_X509_push(certificates, alice.leaf.x509);
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, certificates, bio, CMS_DETACHED | CMS_PARTIAL);
    expect_refused(encode(cms), "no-signer");
    BIO_free(bio);
    bio = BIO_new_mem_buf(content, -1);
    cms = CMS_encrypt(certificates, bio, EVP_aes_128_cbc(), CMS_BINARY);
    expect_refused(encode(cms), "not-signed-data");
    BIO_free(bio);
    sk_X509_free(certificates);
    expect_refused(make_raw("", 0), "malformed-cms");
    expect_refused(make_fill('x', 3000), "malformed-cms");
    expect_refused(make_fill('x', SMIME_VERIFY_LIMIT_SIGNATURE + 1), "too-large");
}

static struct make
many_signers(size_t count)
{
    BIO *bio = BIO_new_mem_buf(content, -1);
    unsigned flags = CMS_DETACHED | CMS_PARTIAL | CMS_BINARY | CMS_REUSE_DIGEST;
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags & ~CMS_REUSE_DIGEST);
    for (size_t i = 0; i < count; i++)
        TESTCA_MUST(CMS_add1_signer(cms, p256.leaf.x509, p256.leaf.key, EVP_sha256(),
                                    (flags & ~CMS_REUSE_DIGEST) | (i > 0 ? CMS_NOCERTS : 0)));
    TESTCA_MUST(CMS_final(cms, bio, NULL, flags & ~CMS_REUSE_DIGEST));
    BIO_free(bio);
    return encode(cms);
}

static void
verify_counts_before_it_decodes(void **state)
{
    (void)state;
    struct make made = many_signers(SMIME_VERIFY_LIMIT_SIGNERS);
    struct smime_verify_result result = verify(span_of(made.p, made.n), NULL);
    assert_int_equal(result.count, SMIME_VERIFY_LIMIT_SIGNERS);
    for (size_t i = 0; i < result.count; i++)
        assert_int_equal(result.signers[i].state, SMIME_SIGNATURE_OK);
    smime_verify_result_free(&result);
    free(made.p);
    expect_refused(many_signers(SMIME_VERIFY_LIMIT_SIGNERS + 1), "too-many-signers");
    /* 101 certificates, none of which can be decoded */
    struct make certificates = make_raw("", 0);
    for (int i = 0; i <= SMIME_VERIFY_LIMIT_CERTIFICATES; i++)
        certificates = make_join(2, certificates, make_tlv(0x30, make_raw("", 0)));
    struct make body =
        make_tlv(0x30, make_join(5, make_integer(1), make_tlv(0x31, make_raw("", 0)),
                                 make_tlv(0x30, MAKE_OID(OID_DATA)), make_tlv(0xa0, certificates),
                                 make_tlv(0x31, make_raw("", 0))));
    expect_refused(make_tlv(0x30, make_join(2, MAKE_OID(OID_SIGNED), make_tlv(0xa0, body))),
                   "too-large");
}

static void
verify_takes_micalg_as_a_hint(void **state)
{
    (void)state;
    const struct recipe sha512 = { .user = &alice, .flags = CMS_DETACHED, .md = EVP_sha512() };
    const struct recipe sha1 = { .user = &alice, .flags = CMS_DETACHED, .md = EVP_sha1() };
    static const char *const good[] = {
        "sha-512", "SHA512", "rsa-sha512", "sha-256, sha-512", "sha-256,unknown", "wonderful", ""
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        const struct question question = { .micalg = span_str(good[i]) };
        expect(cook(&sha512, span_str(content)), &question, SMIME_SIGNATURE_OK, "ok");
    }
    const struct question wrong = { .micalg = span_str("sha-256") };
    struct make made = cook(&sha512, span_str(content));
    struct smime_verify_result result = verify(span_of(made.p, made.n), &wrong);
    assert_true(result.micalg_mismatch);
    assert_int_equal(result.signers[0].state, SMIME_SIGNATURE_UNSUPPORTED);
    assert_string_equal(result.signers[0].reason, "micalg-mismatch");
    smime_verify_result_free(&result);
    free(made.p);
    const struct question announced = { .micalg = span_str("sha1") };
    expect(cook(&sha1, span_str(content)), &announced, SMIME_SIGNATURE_OK, "ok");
    expect(cook(&sha1, span_str(content)), NULL, SMIME_SIGNATURE_UNSUPPORTED,
           "unsupported-algorithm");
}

static void
verify_calls_weak_algorithms_policy_and_not_bad(void **state)
{
    (void)state;
    const struct question announced = { .micalg = span_str("sha-1") };
    const struct recipe sha1 = { .user = &alice, .flags = CMS_DETACHED, .md = EVP_sha1() };
    struct make made = cook(&sha1, span_str(content));
    struct smime_verify_result result = verify(span_of(made.p, made.n), &announced);
    assert_int_equal(result.signers[0].state, SMIME_SIGNATURE_OK);
    assert_int_equal(result.signers[0].algorithm.status, PKI_STATUS_POLICY);
    assert_string_equal(result.signers[0].algorithm.reason, "weak-algorithm");
    smime_verify_result_free(&result);
    free(made.p);
}

static void
verify_finds_signers_by_key_identifier_and_among_extra_certificates(void **state)
{
    (void)state;
    const struct recipe by_key = { .user = &alice, .flags = CMS_DETACHED | CMS_USE_KEYID };
    const struct recipe bare = { .user = &alice, .flags = CMS_DETACHED | CMS_NOCERTS | CMS_NOATTR };
    const struct recipe bare_by_key = { .user = &alice,
                                        .flags = CMS_DETACHED | CMS_NOCERTS | CMS_USE_KEYID };
    struct pki_certificates extra = { .count = 0 };
    struct err err = ERR_INIT;
    FIXTURE_MUST(pki_certificates_add1(&extra, bob.key.certificate, &err));
    FIXTURE_MUST(pki_certificates_add1(&extra, alice.key.certificate, &err));
    const struct question with = { .extra = &extra };
    expect(cook(&by_key, span_str(content)), NULL, SMIME_SIGNATURE_OK, "ok");
    expect(cook(&bare, span_str(content)), NULL, SMIME_SIGNATURE_NO_SIGNER, "no-signer");
    expect(cook(&bare, span_str(content)), &with, SMIME_SIGNATURE_OK, "ok");
    expect(cook(&bare_by_key, span_str(content)), &with, SMIME_SIGNATURE_OK, "ok");
    pki_certificates_free(&extra);
}

static void
verify_binds_the_signature_to_its_certificate(void **state)
{
    (void)state;
    const struct recipe bare = { .user = &alice, .flags = CMS_DETACHED | CMS_NOCERTS | CMS_CADES };
    struct pki_certificates extra = { .count = 0 };
    struct err err = ERR_INIT;
    FIXTURE_MUST(pki_certificates_add1(&extra, twin_certificate, &err));
    const struct question question = { .extra = &extra };
    expect(cook(&bare, span_str(content)), &question, SMIME_SIGNATURE_BAD, "wrong-certificate");
    /* Behind a certificate that only looks like his, the signer is still found. */
    FIXTURE_MUST(pki_certificates_add1(&extra, alice.key.certificate, &err));
    expect(cook(&bare, span_str(content)), &question, SMIME_SIGNATURE_OK, "ok");
    pki_certificates_free(&extra);
}

static void
verify_refuses_two_digests_in_one_signer_info(void **state)
{
    (void)state;
    const struct recipe recipe = { .flags = CMS_DETACHED, .user = &p256 };
    struct make made = cook(&recipe, span_str(content));
    static const unsigned char ecdsa_sha256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
    unsigned char *last = NULL;
    for (size_t i = 0; i + sizeof(ecdsa_sha256) <= made.n; i++)
        if (memcmp(made.p + i, ecdsa_sha256, sizeof(ecdsa_sha256)) == 0)
            last = made.p + i;
    assert_non_null(last);
    last[7] = 0x03; /* ecdsa-with-SHA384 over a SHA-256 messageDigest */
    expect(made, NULL, SMIME_SIGNATURE_BAD, "digest-mismatch");
}

static void
verify_calls_unknown_algorithms_unsupported(void **state)
{
    (void)state;
    const struct recipe recipe = { .flags = CMS_DETACHED, .user = &p256 };
    struct make made = cook(&recipe, span_str(content));
    static const unsigned char ecdsa_sha256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
    unsigned char *last = NULL;
    for (size_t i = 0; i + sizeof(ecdsa_sha256) <= made.n; i++)
        if (memcmp(made.p + i, ecdsa_sha256, sizeof(ecdsa_sha256)) == 0)
            last = made.p + i;
    last[7] = 0x7e;
    expect(made, NULL, SMIME_SIGNATURE_UNSUPPORTED, "unsupported-algorithm");
}

static void
verify_hands_over_crls_without_believing_them(void **state)
{
    (void)state;
    X509 *revoked[] = { alice.leaf.x509, NULL };
    X509_CRL *crl = testca_crl(&ca, &(struct testca_crl_args){ .revoked = revoked, .number = 1 });
    BIO *bio = BIO_new_mem_buf(content, -1);
    CMS_ContentInfo *cms = CMS_sign(alice.leaf.x509, alice.leaf.key, NULL, bio,
                                    CMS_DETACHED | CMS_PARTIAL | CMS_BINARY);
    TESTCA_MUST(CMS_add1_crl(cms, crl) && CMS_final(cms, bio, NULL, CMS_BINARY));
    BIO_free(bio);
    X509_CRL_free(crl);
    struct make made = encode(cms);
    BIO *again = BIO_new_mem_buf(content, -1);
    BIO_free(again);
    struct smime_verify_result result = verify(span_of(made.p, made.n), NULL);
    assert_int_equal(result.count, 1);
    assert_int_equal(result.signers[0].state, SMIME_SIGNATURE_OK);
    assert_int_equal(sk_X509_CRL_num(result.crls), 1);
    smime_verify_result_free(&result);
    free(made.p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verify_accepts_what_we_sign_with_every_key_in_every_piece_size),
        cmocka_unit_test(verify_calls_altered_content_bad),
        cmocka_unit_test(verify_never_accepts_a_flipped_or_cut_signature),
        cmocka_unit_test(verify_survives_every_flipped_octet),
        cmocka_unit_test(verify_refuses_attributes_passed_off_as_content),
        cmocka_unit_test(verify_wants_each_signed_attribute_once),
        cmocka_unit_test(verify_refuses_the_wrong_shape_with_its_name),
        cmocka_unit_test(verify_counts_before_it_decodes),
        cmocka_unit_test(verify_takes_micalg_as_a_hint),
        cmocka_unit_test(verify_calls_weak_algorithms_policy_and_not_bad),
        cmocka_unit_test(verify_finds_signers_by_key_identifier_and_among_extra_certificates),
        cmocka_unit_test(verify_binds_the_signature_to_its_certificate),
        cmocka_unit_test(verify_refuses_two_digests_in_one_signer_info),
        cmocka_unit_test(verify_calls_unknown_algorithms_unsupported),
        cmocka_unit_test(verify_hands_over_crls_without_believing_them),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
