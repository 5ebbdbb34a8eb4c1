/* Who decrypts what in the tests of smime/decrypt: users with keys of each kind, and one question.
 */
#ifndef TESTS_UNIT_SMIME_DECRYPT_FIXTURE_H
#define TESTS_UNIT_SMIME_DECRYPT_FIXTURE_H

#include "fixture.h"

#include <openssl/cms.h>

#include "smime/decrypt.h"

static const char entity[] = FIXTURE_ENTITY;

static struct testca ca;
static struct user alice, bob, p256, p384, p521, stranger;
static struct testca_leaf twin; /* Alice's issuer and serial number, another key */
static struct pki_key twin_key;

static inline int
setup(void **state)
{
    (void)state;
    testca_init(&ca, "Decrypt Root");
    user_init(&alice, &ca, TESTCA_RSA2048, 0, NULL);
    ca.serial--;
    testca_issue(&ca, &(struct testca_args){ .cn = "Twin", .key_index = 3 }, &twin);
    twin_key = (struct pki_key){ .pkey = twin.key,
                                 .certificate = testca_certificate(twin.x509),
                                 .file = "twin.pem" };
    user_init(&bob, &ca, TESTCA_RSA2048, 1, NULL);
    user_init(&p256, &ca, TESTCA_P256, 0, NULL);
    user_init(&p384, &ca, TESTCA_P384, 0, NULL);
    user_init(&p521, &ca, TESTCA_P521, 0, NULL);
    user_init(&stranger, &ca, TESTCA_RSA2048, 2, NULL);
    return 0;
}

static inline int
teardown(void **state)
{
    (void)state;
    pki_certificate_free(&twin_key.certificate);
    testca_leaf_free(&twin);
    user_free(&alice);
    user_free(&bob);
    user_free(&p256);
    user_free(&p384);
    user_free(&p521);
    user_free(&stranger);
    testca_free(&ca);
    return 0;
}

/* ---- running ---- */

struct outcome {
    enum err_code code;
    struct err err;
    struct smime_decrypt_result result;
    struct buf plain;
};

static inline struct outcome
decrypt(struct span cms, const struct pki_key *const *keys, size_t count)
{
    struct outcome outcome = { .plain = BUF_INIT(MAKE_LIMIT) };
    struct spool *spool = fixture_spool(cms);
    struct stage *sink = NULL;
    const struct smime_decrypt_args args = { .spool = spool, .keys = keys, .count = count };
    assert_int_equal(stage_buf_new(&outcome.plain, &sink, &outcome.err), ERR_OK);
    outcome.code = smime_decrypt(&args, sink, &outcome.result, &outcome.err);
    assert_int_equal(ERR_peek_error(), 0);
    stage_free(&sink);
    spool_free(&spool);
    return outcome;
}

static inline void
expect_plain(struct span cms, const struct pki_key *key, const char *cipher)
{
    struct outcome outcome = decrypt(cms, &key, 1);
    if (outcome.code != ERR_OK)
        fail_msg("%s", outcome.err.text);
    assert_string_equal(buf_str(&outcome.plain), entity);
    assert_ptr_equal(outcome.result.key, key);
    if (cipher != NULL)
        assert_string_equal(outcome.result.cipher, cipher);
    buf_free(&outcome.plain);
}

static inline void
expect_failure(struct span cms, const struct pki_key *key, enum err_code code, const char *reason)
{
    struct outcome outcome = decrypt(cms, &key, 1);
    assert_int_equal(outcome.code, code);
    assert_string_equal(outcome.err.reason, reason);
    buf_free(&outcome.plain);
}

static inline void
our_message(struct pki_certificate *const *to, size_t count, enum smime_cipher cipher,
            enum smime_transport transport, struct buf *cms)
{
    struct buf message = BUF_INIT(MAKE_LIMIT);
    const struct smime_encrypt_args args = {
        .recipients = to, .count = count, .cipher = cipher, .transport = transport
    };
    fixture_encrypt(&args, span_str(entity), 64, &message);
    fixture_decode(&message, cms);
    buf_free(&message);
}

static inline struct make
library_message(const struct user *user, const EVP_CIPHER *cipher, unsigned flags)
{
    BIO *bio = BIO_new_mem_buf(entity, -1);
    CMS_ContentInfo *cms = CMS_encrypt(NULL, bio, cipher, CMS_PARTIAL | CMS_BINARY);
    TESTCA_MUST(cms != NULL);
    TESTCA_MUST(CMS_add1_recipient_cert(cms, user->leaf.x509, flags) != NULL);
    TESTCA_MUST(CMS_final(cms, bio, NULL, CMS_BINARY));
    BIO_free(bio);
    unsigned char *der = NULL;
    int n = i2d_CMS_ContentInfo(cms, &der);
    struct make made = make_raw(der, (size_t)n);
    OPENSSL_free(der);
    CMS_ContentInfo_free(cms);
    return made;
}

#endif
