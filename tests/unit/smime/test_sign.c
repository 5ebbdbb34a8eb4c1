#include "fixture.h"

#include <openssl/cms.h>

static struct testca root, ca;
static struct user alice, ed, p256, p384, p521, pss;
static struct testca_leaf alice_encryption;
static struct pki_certificate *encryption, *ca_certificate, *root_certificate;
static char *folder;

static int
setup(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    testca_init(&root, "Sign Root");
    testca_init_below(&ca, &root, "Sign CA", NULL);
    user_init(&alice, &ca, TESTCA_RSA2048, 0, "critical,digitalSignature");
    user_init(&ed, &ca, TESTCA_ED25519, 0, "critical,digitalSignature");
    user_init(&p256, &ca, TESTCA_P256, 0, "critical,digitalSignature");
    user_init(&p384, &ca, TESTCA_P384, 0, "critical,digitalSignature");
    user_init(&p521, &ca, TESTCA_P521, 0, "critical,digitalSignature");
    user_init(&pss, &ca, TESTCA_RSAPSS, 0, "critical,digitalSignature");
    testca_issue(&ca,
                 &(struct testca_args){ .cn = "Alice",
                                        .san = "email:alice@example.org",
                                        .key_index = 1,
                                        .key_usage = "keyEncipherment" },
                 &alice_encryption);
    encryption = testca_certificate(alice_encryption.x509);
    ca_certificate = testca_certificate(ca.x509);
    root_certificate = testca_certificate(root.x509);
    assert_int_equal(pki_certificates_add1(&alice.key.chain, ca_certificate, &err), ERR_OK);
    assert_int_equal(pki_certificates_add1(&alice.key.chain, root_certificate, &err), ERR_OK);
    folder = testca_folder();
    testca_pem(folder, "root.pem", 0600, NULL, root.x509, ca.x509, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    testca_folder_free(&folder);
    pki_certificate_free(&encryption);
    pki_certificate_free(&ca_certificate);
    pki_certificate_free(&root_certificate);
    testca_leaf_free(&alice_encryption);
    user_free(&alice);
    user_free(&ed);
    user_free(&p256);
    user_free(&p384);
    user_free(&p521);
    user_free(&pss);
    testca_free(&ca);
    testca_free(&root);
    return 0;
}

static struct smime_sign_args
usual(const struct user *user)
{
    return (struct smime_sign_args){ .key = &user->key,
                                     .encryption = encryption,
                                     .signing_time = 1790000000,
                                     .boundary = "b0undary" };
}

/* The octets of the signature inside a clear-signed message, appended to `der`. */
static void
load_signature(const struct buf *message, struct buf *der)
{
    struct err err = ERR_INIT;
    const char *part = strstr(buf_str(message), "Content-Description: S/MIME Cryptographic");
    assert_non_null(part);
    const char *begin = strstr(part, "\r\n\r\n") + 4;
    const char *end = strstr(begin, "\r\n--");
    struct stage *sink = NULL, *decode = NULL;
    FIXTURE_MUST(stage_buf_new(der, &sink, &err));
    FIXTURE_MUST(mime_base64_decode_new(NULL, sink, &decode, &err));
    FIXTURE_MUST(stage_write(decode, span_of(begin, (size_t)(end - begin)), &err));
    FIXTURE_MUST(stage_finish(decode, &err));
    stage_free(&decode);
}

/* The same, parsed; returned: CMS_ContentInfo_free. */
static CMS_ContentInfo *
clear_signature(const struct buf *message)
{
    struct buf der = BUF_INIT(MAKE_LIMIT);
    load_signature(message, &der);
    const unsigned char *p = der.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)der.n);
    assert_non_null(cms);
    buf_free(&der);
    return cms;
}

static void
verify_with_openssl(const struct buf *message, bool good)
{
    fixture_save(folder, "message.eml", message);
    bool verified = fixture_openssl(folder, "cms -verify -in message.eml -CAfile root.pem "
                                            "-purpose any -out content.txt");
    if (verified != good)
        fail_msg("openssl cms -verify: %d", verified);
    if (!good)
        return;
    struct buf content = BUF_INIT(MAKE_LIMIT);
    fixture_load(folder, "content.txt", &content);
    assert_string_equal(buf_str(&content), FIXTURE_ENTITY);
    buf_free(&content);
}

static void
sign_clear_is_verified_by_openssl_and_says_what_it_is(void **state)
{
    (void)state;
    struct buf message = BUF_INIT(MAKE_LIMIT);
    struct smime_sign_args args = usual(&alice);
    fixture_sign(&args, span_str(FIXTURE_ENTITY), 64, &message);
    assert_non_null(strstr(buf_str(&message),
                           "Content-Type: multipart/signed; "
                           "protocol=\"application/pkcs7-signature\";\r\n micalg=sha-256;\r\n "
                           "boundary=\"b0undary\"\r\n\r\nThis is an S/MIME signed message\r\n\r\n"
                           "--b0undary\r\n" FIXTURE_ENTITY "\r\n--b0undary\r\n"
                           "Content-Type: application/pkcs7-signature;\r\n"
                           " name=\"smime.p7s\"\r\n"
                           "Content-Transfer-Encoding: base64\r\n"
                           "Content-Disposition: attachment; filename=\"smime.p7s\"\r\n"));
    assert_non_null(strstr(buf_str(&message), "\r\n--b0undary--\r\n"));
    assert_null(strstr(buf_str(&message), "\n\n"));
    verify_with_openssl(&message, true);
    char *body = strstr((char *)message.p, "Good");
    body[0] = 'F';
    verify_with_openssl(&message, false);
    buf_free(&message);
}

static void
sign_clear_gives_the_same_bytes_for_every_piece_size(void **state)
{
    (void)state;
    struct buf first = BUF_INIT(MAKE_LIMIT);
    struct smime_sign_args args = usual(&alice);
    fixture_sign(&args, span_str(FIXTURE_ENTITY), 1, &first);
    for (size_t i = 1; i < MAKE_PIECES; i++) {
        struct buf other = BUF_INIT(MAKE_LIMIT);
        fixture_sign(&args, span_str(FIXTURE_ENTITY), make_pieces[i], &other);
        assert_string_equal(buf_str(&first), buf_str(&other)); /* PKCS#1 v1.5: no randomness */
        buf_free(&other);
    }
    buf_free(&first);
}

static void
sign_carries_the_attributes_and_certificates_that_it_promises(void **state)
{
    (void)state;
    struct buf message = BUF_INIT(MAKE_LIMIT);
    struct smime_sign_args args = usual(&alice);
    fixture_sign(&args, span_str(FIXTURE_ENTITY), 7, &message);
    CMS_ContentInfo *cms = clear_signature(&message);
    assert_int_equal(CMS_is_detached(cms), 1);
    CMS_SignerInfo *signer = sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0);
    static const int wanted[] = {
        NID_pkcs9_contentType, NID_pkcs9_messageDigest,       NID_pkcs9_signingTime,
        NID_SMIMECapabilities, NID_id_smime_aa_encrypKeyPref, NID_id_smime_aa_signingCertificateV2
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        int at = CMS_signed_get_attr_by_NID(signer, wanted[i], -1);
        if (at < 0)
            fail_msg("no %s", OBJ_nid2sn(wanted[i]));
        assert_true(CMS_signed_get_attr_by_NID(signer, wanted[i], at) < 0);
        assert_int_equal(X509_ATTRIBUTE_count(CMS_signed_get_attr(signer, at)), 1);
    }
    assert_int_equal(CMS_signed_get_attr_count(signer), 6);
    /* encryptionKeyPreference is [0] IssuerAndSerialNumber of the encryption certificate */
    X509_ATTRIBUTE *preference = CMS_signed_get_attr(
        signer, CMS_signed_get_attr_by_NID(signer, NID_id_smime_aa_encrypKeyPref, -1));
    unsigned char *der = NULL;
    int n = i2d_X509_ATTRIBUTE(preference, &der);
    assert_true(n > 20);
    const unsigned char choice[] = { 0x31, 0xa0 };
    assert_memory_equal(der + 2 + 13, choice, 1);
    assert_true(memchr(der + 15, 0xa0, 4) != NULL);
    OPENSSL_free(der);
    /* signer, intermediate and encryption certificate, but not the root */
    STACK_OF(X509) *certificates = CMS_get1_certs(cms);
    assert_int_equal(sk_X509_num(certificates), 3);
    for (int i = 0; i < 3; i++)
        assert_int_not_equal(X509_cmp(sk_X509_value(certificates, i), root.x509), 0);
    sk_X509_pop_free(certificates, X509_free);
    CMS_ContentInfo_free(cms);
    buf_free(&message);
}

/* The same detached signature by the library's own API. */
static CMS_ContentInfo *
library_signature(const struct user *user, const EVP_MD *md, time_t signing_time)
{
    static const int nids[] = { NID_aes_256_cbc, NID_aes_128_cbc };
    unsigned flags = CMS_PARTIAL | CMS_DETACHED | CMS_BINARY;
    STACK_OF(X509_ALGOR) *capabilities = NULL;
    BIO *content = BIO_new_mem_buf(FIXTURE_ENTITY, -1);
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
    CMS_SignerInfo *signer = CMS_add1_signer(cms, user->leaf.x509, user->leaf.key, md,
                                             flags | CMS_NOSMIMECAP | CMS_CADES);
    ASN1_TIME *at = ASN1_TIME_set(NULL, signing_time);
    assert_non_null(signer);
    assert_true(CMS_signed_add1_attr_by_NID(signer, NID_pkcs9_signingTime, at->type, at, -1));
    for (size_t i = 0; i < sizeof(nids) / sizeof(nids[0]); i++)
        assert_true(CMS_add_simple_smimecap(&capabilities, nids[i], -1));
    assert_true(CMS_add_smimecap(signer, capabilities));
    for (size_t i = 0; i < user->key.chain.count; i++) {
        X509 *x509 = pki_certificate_get0_x509(user->key.chain.list[i]);
        if (X509_NAME_cmp(X509_get_subject_name(x509), X509_get_issuer_name(x509)) != 0)
            assert_true(CMS_add1_cert(cms, x509));
    }
    assert_true(CMS_final(cms, content, NULL, flags));
    sk_X509_ALGOR_pop_free(capabilities, X509_ALGOR_free);
    ASN1_TIME_free(at);
    BIO_free(content);
    return cms;
}

/* PKCS#1 v1.5 signs the same octets the same way each time: everything must be equal. */
static void
sign_writes_octet_for_octet_what_the_library_would_write(void **state)
{
    static const struct {
        enum smime_digest digest;
        const EVP_MD *(*md)(void);
        time_t at;
    } cases[] = { { SMIME_DIGEST_SHA256, EVP_sha256, 1790000000 },
                  { SMIME_DIGEST_SHA384, EVP_sha384, 2600000000 },
                  { SMIME_DIGEST_SHA512, EVP_sha512, 1 } };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf message = BUF_INIT(MAKE_LIMIT);
        struct buf ours = BUF_INIT(MAKE_LIMIT);
        unsigned char *theirs = NULL;
        struct smime_sign_args args = usual(&alice);
        args.encryption = NULL;
        args.digest = cases[i].digest;
        args.signing_time = cases[i].at;
        fixture_sign(&args, span_str(FIXTURE_ENTITY), 64, &message);
        load_signature(&message, &ours);
        CMS_ContentInfo *library = library_signature(&alice, cases[i].md(), cases[i].at);
        int n = i2d_CMS_ContentInfo(library, &theirs);
        assert_int_equal(ours.n, n);
        assert_memory_equal(ours.p, theirs, ours.n);
        buf_free(&ours);
        OPENSSL_free(theirs);
        CMS_ContentInfo_free(library);
        buf_free(&message);
    }
}

static void
sign_adds_a_certificate_once_when_one_pair_does_both(void **state)
{
    (void)state;
    struct buf message = BUF_INIT(MAKE_LIMIT);
    struct smime_sign_args args = usual(&alice);
    args.encryption = alice.key.certificate;
    fixture_sign(&args, span_str(FIXTURE_ENTITY), 4096, &message);
    CMS_ContentInfo *cms = clear_signature(&message);
    STACK_OF(X509) *certificates = CMS_get1_certs(cms);
    assert_int_equal(sk_X509_num(certificates), 2);
    sk_X509_pop_free(certificates, X509_free);
    CMS_ContentInfo_free(cms);
    buf_free(&message);
}

static void
sign_takes_the_digest_that_an_ec_key_asks_for(void **state)
{
    (void)state;
    const struct {
        const struct user *user;
        const char *micalg;
    } cases[] = { { &p256, "micalg=sha-256;" },
                  { &p384, "micalg=sha-384;" },
                  { &p521, "micalg=sha-512;" } };
    for (size_t i = 0; i < 3; i++) {
        struct buf message = BUF_INIT(MAKE_LIMIT);
        struct smime_sign_args args = usual(cases[i].user);
        fixture_sign(&args, span_str(FIXTURE_ENTITY), 4096, &message);
        assert_non_null(strstr(buf_str(&message), cases[i].micalg));
        verify_with_openssl(&message, true);
        buf_free(&message);
    }
}

static void
sign_pss_has_a_salt_as_long_as_the_digest(void **state)
{
    (void)state;
    for (int only_pss = 0; only_pss < 2; only_pss++) {
        struct buf message = BUF_INIT(MAKE_LIMIT);
        struct smime_sign_args args = usual(only_pss ? &pss : &alice);
        args.signature = only_pss ? SMIME_SIGNATURE_PKCS1 : SMIME_SIGNATURE_PSS;
        args.digest = SMIME_DIGEST_SHA384;
        fixture_sign(&args, span_str(FIXTURE_ENTITY), 4096, &message);
        verify_with_openssl(&message, true);
        CMS_ContentInfo *cms = clear_signature(&message);
        X509_ALGOR *digest = NULL, *signature = NULL;
        CMS_SignerInfo_get0_algs(sk_CMS_SignerInfo_value(CMS_get0_SignerInfos(cms), 0), NULL, NULL,
                                 &digest, &signature);
        const ASN1_OBJECT *oid = NULL;
        const void *value = NULL;
        int type = 0;
        X509_ALGOR_get0(&oid, &type, &value, signature);
        assert_int_equal(OBJ_obj2nid(oid), NID_rsassaPss);
        RSA_PSS_PARAMS *parameters =
            ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), signature->parameter);
        assert_non_null(parameters);
        assert_int_equal(ASN1_INTEGER_get(parameters->saltLength), 48);
        RSA_PSS_PARAMS_free(parameters);
        CMS_ContentInfo_free(cms);
        buf_free(&message);
    }
}

static void
sign_opaque_is_verified_by_openssl_in_every_piece_size(void **state)
{
    (void)state;
    struct smime_sign_args args = usual(&alice);
    args.opaque = true;
    for (size_t i = 0; i < MAKE_PIECES; i++) {
        struct buf message = BUF_INIT(MAKE_LIMIT);
        fixture_sign(&args, span_str(FIXTURE_ENTITY), make_pieces[i], &message);
        assert_non_null(strstr(buf_str(&message),
                               "Content-Type: application/pkcs7-mime; smime-type=signed-data;\r\n"
                               " name=\"smime.p7m\"\r\nContent-Transfer-Encoding: base64\r\n"
                               "Content-Disposition: attachment; filename=\"smime.p7m\"\r\n"));
        verify_with_openssl(&message, true);
        buf_free(&message);
    }
}

static void
sign_opaque_of_four_megabytes_is_hardly_inflated(void **state)
{
    (void)state;
    struct make large = make_fill('x', 4 * 1024 * 1024);
    struct smime_sign_args args = usual(&alice);
    args.opaque = true;
    struct buf message = BUF_INIT(MAKE_LIMIT), cms = BUF_INIT(MAKE_LIMIT);
    fixture_sign(&args, span_of(large.p, large.n), 100, &message);
    fixture_decode(&message, &cms);
    assert_true(cms.n < large.n + 16 * 1024);
    free(large.p);
    buf_free(&message);
    buf_free(&cms);
}

static void
sign_of_nothing_is_a_message_when_clear_and_refused_when_opaque(void **state)
{
    (void)state;
    struct smime_sign_args args = usual(&alice);
    struct buf message = BUF_INIT(MAKE_LIMIT);
    fixture_sign(&args, span_str(""), 1, &message);
    assert_non_null(strstr(buf_str(&message), "--b0undary\r\n\r\n--b0undary\r\n"));
    buf_free(&message);
    args.opaque = true;
    struct err err = ERR_INIT;
    struct stage *sink = NULL, *sign = NULL;
    struct smime_entity_header header;
    FIXTURE_MUST(stage_buf_new(&message, &sink, &err));
    FIXTURE_MUST(smime_sign_new(&args, sink, &sign, &header, &err));
    assert_int_equal(stage_finish(sign, &err), ERR_PERM);
    stage_free(&sign);
    assert_int_equal(message.n, 0);
    buf_free(&message);
}

static void
sign_makes_a_new_boundary_each_time(void **state)
{
    (void)state;
    struct smime_sign_args args = usual(&p256);
    struct buf one = BUF_INIT(MAKE_LIMIT), two = BUF_INIT(MAKE_LIMIT);
    args.boundary = NULL;
    fixture_sign(&args, span_str(FIXTURE_ENTITY), 64, &one);
    fixture_sign(&args, span_str(FIXTURE_ENTITY), 64, &two);
    const char *a = strstr(buf_str(&one), "boundary=\""), *b = strstr(buf_str(&two), "boundary=\"");
    assert_int_not_equal(strncmp(a, b, 50), 0);
    assert_int_equal(strcspn(a + 10, "\""), 9 + 32);
    verify_with_openssl(&one, true);
    buf_free(&one);
    buf_free(&two);
}

/* `sink` must be left alone when the constructor fails. */
static enum err_code
try_sign(const struct smime_sign_args *args, struct err *err)
{
    struct buf body = BUF_INIT(MAKE_LIMIT);
    struct stage *sink = NULL, *sign = NULL;
    struct smime_entity_header header;
    assert_int_equal(stage_buf_new(&body, &sink, err), ERR_OK);
    enum err_code code = smime_sign_new(args, sink, &sign, &header, err);
    assert_int_equal(ERR_peek_error(), 0);
    if (code == ERR_OK)
        stage_free(&sign);
    else
        stage_free(&sink);
    buf_free(&body);
    return code;
}

static void
sign_refuses_what_it_cannot_do_and_leaves_next_alone(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct smime_sign_args args = usual(&ed);
    assert_int_equal(try_sign(&args, &err), ERR_PERM);
    assert_string_equal(err.reason, "unsupported-algorithm");
    struct pki_key wrong = alice.key; /* the key of another certificate */
    wrong.pkey = p256.key.pkey;
    args = usual(&alice);
    args.key = &wrong;
    err_reset(&err);
    assert_int_equal(try_sign(&args, &err), ERR_PERM);
    args = usual(&alice);
    args.boundary = "bad\r\nboundary";
    err_reset(&err);
    assert_int_equal(try_sign(&args, &err), ERR_PERM);
    args.boundary = "";
    err_reset(&err);
    assert_int_equal(try_sign(&args, &err), ERR_PERM);
    args = usual(&alice);
    err_reset(&err);
    assert_int_equal(try_sign(&args, &err), ERR_OK); /* abandoned before the first byte */
    args.opaque = true;
    assert_int_equal(try_sign(&args, &err), ERR_OK);
}

struct failing {
    size_t left;
};

static enum err_code
fail_later(void *context, struct span piece, struct err *err)
{
    struct failing *failing = context;
    if (piece.n > failing->left)
        return err_set(err, ERR_NOMEM, "the disk is full");
    failing->left -= piece.n;
    return ERR_OK;
}

static void
sign_reports_what_the_next_stage_says(void **state)
{
    (void)state;
    struct make large = make_fill('x', 200000);
    for (int opaque = 0; opaque < 2; opaque++) {
        for (size_t room = 0; room < 200000; room += 50000) {
            struct err err = ERR_INIT;
            struct failing failing = { .left = room };
            struct stage *sink = NULL, *sign = NULL;
            struct smime_entity_header header;
            struct smime_sign_args args = usual(&alice);
            args.opaque = opaque;
            FIXTURE_MUST(stage_sink_new(fail_later, &failing, &sink, &err));
            FIXTURE_MUST(smime_sign_new(&args, sink, &sign, &header, &err));
            assert_int_equal(fixture_feed(sign, span_of(large.p, large.n), 4096, &err), ERR_NOMEM);
            assert_string_equal(err.text, "the disk is full");
            assert_int_equal(ERR_peek_error(), 0);
            stage_free(&sign);
        }
    }
    free(large.p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sign_clear_is_verified_by_openssl_and_says_what_it_is),
        cmocka_unit_test(sign_clear_gives_the_same_bytes_for_every_piece_size),
        cmocka_unit_test(sign_carries_the_attributes_and_certificates_that_it_promises),
        cmocka_unit_test(sign_writes_octet_for_octet_what_the_library_would_write),
        cmocka_unit_test(sign_adds_a_certificate_once_when_one_pair_does_both),
        cmocka_unit_test(sign_takes_the_digest_that_an_ec_key_asks_for),
        cmocka_unit_test(sign_pss_has_a_salt_as_long_as_the_digest),
        cmocka_unit_test(sign_opaque_is_verified_by_openssl_in_every_piece_size),
        cmocka_unit_test(sign_opaque_of_four_megabytes_is_hardly_inflated),
        cmocka_unit_test(sign_of_nothing_is_a_message_when_clear_and_refused_when_opaque),
        cmocka_unit_test(sign_makes_a_new_boundary_each_time),
        cmocka_unit_test(sign_refuses_what_it_cannot_do_and_leaves_next_alone),
        cmocka_unit_test(sign_reports_what_the_next_stage_says),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
