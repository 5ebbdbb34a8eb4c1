#include "fixture.h"

#include <openssl/cms.h>

static struct testca ca;
static struct user alice, bob, signer_only, agree, p384, x25519;
static char *folder;

static int
setup(void **state)
{
    (void)state;
    testca_init(&ca, "Encrypt Root");
    user_init(&alice, &ca, TESTCA_RSA2048, 0, "critical,keyEncipherment");
    user_init(&bob, &ca, TESTCA_RSA2048, 1, NULL);
    user_init(&signer_only, &ca, TESTCA_RSA2048, 2, "critical,digitalSignature");
    user_init(&agree, &ca, TESTCA_P256, 0, "critical,keyAgreement");
    user_init(&p384, &ca, TESTCA_P384, 0, "critical,keyAgreement");
    user_init(&x25519, &ca, TESTCA_X25519, 0, "critical,keyAgreement");
    folder = testca_folder();
    testca_pem(folder, "alice.pem", 0600, alice.leaf.key, alice.leaf.x509, NULL, NULL);
    testca_pem(folder, "bob.pem", 0600, bob.leaf.key, bob.leaf.x509, NULL, NULL);
    testca_pem(folder, "agree.pem", 0600, agree.leaf.key, agree.leaf.x509, NULL, NULL);
    testca_pem(folder, "p384.pem", 0600, p384.leaf.key, p384.leaf.x509, NULL, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    testca_folder_free(&folder);
    user_free(&alice);
    user_free(&bob);
    user_free(&signer_only);
    user_free(&agree);
    user_free(&p384);
    user_free(&x25519);
    testca_free(&ca);
    return 0;
}

static void
decrypt_with_openssl(const struct buf *message, const char *who)
{
    char command[256];
    struct buf plain = BUF_INIT(MAKE_LIMIT);
    fixture_save(folder, "message.eml", message);
    snprintf(command, sizeof(command),
             "cms -decrypt -in message.eml -inkey %s.pem -recip %s.pem -out plain.txt", who, who);
    if (!fixture_openssl(folder, command))
        fail_msg("%s cannot read it", who);
    fixture_load(folder, "plain.txt", &plain);
    assert_string_equal(buf_str(&plain), FIXTURE_ENTITY);
    buf_free(&plain);
}

static CMS_ContentInfo *
parse(const struct buf *message)
{
    struct buf der = BUF_INIT(MAKE_LIMIT);
    fixture_decode(message, &der);
    const unsigned char *p = der.p;
    CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)der.n);
    assert_non_null(cms);
    buf_free(&der);
    return cms;
}

static void
encrypt_is_read_by_every_recipient_with_every_cipher_and_transport(void **state)
{
    (void)state;
    struct pki_certificate *const to[] = { alice.key.certificate, bob.key.certificate,
                                           agree.key.certificate, p384.key.certificate };
    for (enum smime_cipher cipher = SMIME_CIPHER_AES128_CBC; cipher <= SMIME_CIPHER_AES256_GCM;
         cipher++) {
        for (int oaep = 0; oaep < 2; oaep++) {
            struct buf message = BUF_INIT(MAKE_LIMIT);
            const struct smime_encrypt_args args = { .recipients = to,
                                                     .count = 4,
                                                     .cipher = cipher,
                                                     .transport = oaep ? SMIME_TRANSPORT_OAEP
                                                                       : SMIME_TRANSPORT_PKCS1 };
            fixture_encrypt(&args, span_str(FIXTURE_ENTITY), 7, &message);
            assert_non_null(strstr(buf_str(&message),
                                   smime_cipher_is_aead(cipher)
                                       ? "smime-type=authEnveloped-data;\r\n name=\"smime.p7m\""
                                       : "smime-type=enveloped-data;\r\n name=\"smime.p7m\""));
            decrypt_with_openssl(&message, "alice");
            decrypt_with_openssl(&message, "bob");
            decrypt_with_openssl(&message, "agree");
            decrypt_with_openssl(&message, "p384");
            buf_free(&message);
        }
    }
}

static void
encrypt_to_ec_keys_uses_a_kdf_with_sha256(void **state)
{
    (void)state;
    struct pki_certificate *const to[] = { agree.key.certificate };
    const struct smime_encrypt_args args = { .recipients = to,
                                             .count = 1,
                                             .cipher = SMIME_CIPHER_AES256_CBC };
    struct buf message = BUF_INIT(MAKE_LIMIT);
    fixture_encrypt(&args, span_str(FIXTURE_ENTITY), 64, &message);
    CMS_ContentInfo *cms = parse(&message);
    X509_ALGOR *algorithm = NULL;
    const ASN1_OBJECT *oid = NULL;
    CMS_RecipientInfo *recipient = sk_CMS_RecipientInfo_value(CMS_get0_RecipientInfos(cms), 0);
    assert_int_equal(CMS_RecipientInfo_kari_get0_alg(recipient, &algorithm, NULL), 1);
    X509_ALGOR_get0(&oid, NULL, NULL, algorithm);
    assert_int_equal(OBJ_obj2nid(oid), NID_dhSinglePass_stdDH_sha256kdf_scheme);
    CMS_ContentInfo_free(cms);
    buf_free(&message);
}

static void
encrypt_with_oaep_uses_sha256_twice(void **state)
{
    (void)state;
    struct pki_certificate *const to[] = { alice.key.certificate };
    const struct smime_encrypt_args args = { .recipients = to,
                                             .count = 1,
                                             .cipher = SMIME_CIPHER_AES256_GCM,
                                             .transport = SMIME_TRANSPORT_OAEP };
    struct buf message = BUF_INIT(MAKE_LIMIT);
    fixture_encrypt(&args, span_str(FIXTURE_ENTITY), 64, &message);
    CMS_ContentInfo *cms = parse(&message);
    assert_int_equal(OBJ_obj2nid(CMS_get0_type(cms)), NID_id_smime_ct_authEnvelopedData);
    X509_ALGOR *algorithm = NULL;
    CMS_RecipientInfo *recipient = sk_CMS_RecipientInfo_value(CMS_get0_RecipientInfos(cms), 0);
    assert_int_equal(CMS_RecipientInfo_ktri_get0_algs(recipient, NULL, NULL, &algorithm), 1);
    RSA_OAEP_PARAMS *oaep =
        ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_OAEP_PARAMS), algorithm->parameter);
    assert_non_null(oaep);
    assert_int_equal(OBJ_obj2nid(oaep->hashFunc->algorithm), NID_sha256);
    X509_ALGOR *hash =
        ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(X509_ALGOR), oaep->maskGenFunc->parameter);
    assert_int_equal(OBJ_obj2nid(hash->algorithm), NID_sha256);
    X509_ALGOR_free(hash);
    RSA_OAEP_PARAMS_free(oaep);
    CMS_ContentInfo_free(cms);
    buf_free(&message);
}

static void
encrypt_merges_duplicates_and_counts(void **state)
{
    (void)state;
    struct pki_certificate *again =
        testca_certificate(alice.leaf.x509); /* same bytes, other object */
    struct pki_certificate *const to[] = { alice.key.certificate, bob.key.certificate, again,
                                           alice.key.certificate, bob.key.certificate };
    const struct smime_encrypt_args args = { .recipients = to,
                                             .count = 5,
                                             .cipher = SMIME_CIPHER_AES256_CBC };
    struct buf message = BUF_INIT(MAKE_LIMIT);
    fixture_encrypt(&args, span_str(FIXTURE_ENTITY), 64, &message);
    CMS_ContentInfo *cms = parse(&message);
    assert_int_equal(sk_CMS_RecipientInfo_num(CMS_get0_RecipientInfos(cms)), 2);
    CMS_ContentInfo_free(cms);
    pki_certificate_free(&again);
    buf_free(&message);
}

static enum err_code
try_encrypt(struct pki_certificate *const *to, size_t count, struct err *err)
{
    struct buf body = BUF_INIT(MAKE_LIMIT);
    struct stage *sink = NULL, *encrypt = NULL;
    struct smime_entity_header header;
    const struct smime_encrypt_args args = { .recipients = to,
                                             .count = count,
                                             .cipher = SMIME_CIPHER_AES256_CBC };
    err_reset(err);
    assert_int_equal(stage_buf_new(&body, &sink, err), ERR_OK);
    enum err_code code = smime_encrypt_new(&args, sink, &encrypt, &header, err);
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(body.n, 0);
    if (code == ERR_OK)
        stage_free(&encrypt);
    else
        stage_free(&sink);
    buf_free(&body);
    return code;
}

static void
encrypt_refuses_certificate_without_key_encipherment(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct pki_certificate *const to[] = { alice.key.certificate, signer_only.key.certificate };
    assert_int_equal(try_encrypt(to, 2, &err), ERR_PERM);
    assert_string_equal(err.reason, "cert-wrong-usage");
    assert_non_null(strstr(err.text, "user0.2@example.org"));
}

static void
encrypt_refuses_keys_that_cms_cannot_encrypt_to(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct pki_certificate *const to[] = { alice.key.certificate, x25519.key.certificate };
    assert_int_equal(try_encrypt(to, 2, &err), ERR_PERM);
    assert_string_equal(err.reason, "unsupported-algorithm");
}

static void
encrypt_refuses_nobody_and_too_many(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_int_equal(try_encrypt(NULL, 0, &err), ERR_PERM);
    struct pki_certificate **many = calloc(SMIME_ENCRYPT_RECIPIENTS + 1, sizeof(*many));
    assert_non_null(many);
    for (size_t i = 0; i <= SMIME_ENCRYPT_RECIPIENTS; i++)
        many[i] = bob.key.certificate;
    assert_int_equal(try_encrypt(many, SMIME_ENCRYPT_RECIPIENTS + 1, &err), ERR_LIMIT);
    assert_int_equal(try_encrypt(many, SMIME_ENCRYPT_RECIPIENTS, &err), ERR_OK);
    free(many);
}

static void
encrypt_of_a_large_entity_is_hardly_inflated(void **state)
{
    (void)state;
    struct make large = make_fill('x', 4 * 1024 * 1024);
    struct pki_certificate *const to[] = { alice.key.certificate };
    const struct smime_encrypt_args args = { .recipients = to,
                                             .count = 1,
                                             .cipher = SMIME_CIPHER_AES256_GCM };
    struct buf message = BUF_INIT(MAKE_LIMIT), cms = BUF_INIT(MAKE_LIMIT);
    fixture_encrypt(&args, span_of(large.p, large.n), 100, &message);
    fixture_decode(&message, &cms);
    assert_true(cms.n < large.n + 16 * 1024);
    free(large.p);
    buf_free(&message);
    buf_free(&cms);
}

struct failing {
    size_t left;
};

static enum err_code
fail_later(void *context, struct span piece, struct err *err)
{
    struct failing *failing = context;
    if (piece.n > failing->left)
        return err_set(err, ERR_TEMP, "the MTA went away");
    failing->left -= piece.n;
    return ERR_OK;
}

static void
encrypt_reports_what_the_next_stage_says(void **state)
{
    (void)state;
    struct make large = make_fill('x', 200000);
    struct pki_certificate *const to[] = { alice.key.certificate };
    for (size_t room = 0; room < 200000; room += 50000) {
        struct err err = ERR_INIT;
        struct failing failing = { .left = room };
        struct stage *sink = NULL, *encrypt = NULL;
        struct smime_entity_header header;
        const struct smime_encrypt_args args = { .recipients = to,
                                                 .count = 1,
                                                 .cipher = SMIME_CIPHER_AES256_CBC };
        FIXTURE_MUST(stage_sink_new(fail_later, &failing, &sink, &err));
        FIXTURE_MUST(smime_encrypt_new(&args, sink, &encrypt, &header, &err));
        assert_int_equal(fixture_feed(encrypt, span_of(large.p, large.n), 4096, &err), ERR_TEMP);
        assert_string_equal(err.text, "the MTA went away");
        assert_int_equal(ERR_peek_error(), 0);
        stage_free(&encrypt);
    }
    free(large.p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encrypt_is_read_by_every_recipient_with_every_cipher_and_transport),
        cmocka_unit_test(encrypt_to_ec_keys_uses_a_kdf_with_sha256),
        cmocka_unit_test(encrypt_with_oaep_uses_sha256_twice),
        cmocka_unit_test(encrypt_merges_duplicates_and_counts),
        cmocka_unit_test(encrypt_refuses_certificate_without_key_encipherment),
        cmocka_unit_test(encrypt_refuses_keys_that_cms_cannot_encrypt_to),
        cmocka_unit_test(encrypt_refuses_nobody_and_too_many),
        cmocka_unit_test(encrypt_of_a_large_entity_is_hardly_inflated),
        cmocka_unit_test(encrypt_reports_what_the_next_stage_says),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
