#include "smime/encrypt.h"

#include <stdlib.h>

#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "mime/base64.h"
#include "pki/crypto.h"
#include "smime/sink.h"

/* The push encoder makes one OCTET STRING of each write; small ones inflate the result. */
enum { PIECE_BYTES = 32 * 1024 };

struct encrypt {
    struct stage stage;
    bool begun;
    CMS_ContentInfo *cms;
    BIO *chain;
    struct smime_sink sink;
};

static const char *
name_of(const struct pki_certificate *certificate)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(certificate);
    return facts->addresses != NULL && facts->addresses[0] != NULL ? facts->addresses[0]
                                                                   : facts->subject;
}

/* Usage, kind and size of the key, once more, by the rules of the house. Whether the certificate is
 * in time and for the right person was asked before; here it is asked at the start of its life and
 * for nobody. */
static enum err_code
check_recipient(const struct pki_certificate *certificate, struct err *err)
{
    const struct pki_leaf_policy policy = { .rsa_bits_min = SMIME_ALGORITHM_RSA_BITS };
    struct pki_answer answer;
    pki_certificate_check(certificate, PKI_USE_ENCRYPT, NULL,
                          pki_certificate_get(certificate)->not_before, &policy, &answer);
    if (answer.status == PKI_STATUS_OK)
        return ERR_OK;
    return err_set_reason(err, ERR_PERM, answer.reason, "%s: %s", name_of(certificate),
                          answer.text);
}

/* Defaults of the library are PKCS#1 v1.5 for RSA and a KDF with SHA-1 for ECDH. */
static enum err_code
set_parameters(CMS_RecipientInfo *recipient, const struct smime_encrypt_args *args, struct err *err)
{
    EVP_PKEY_CTX *context = CMS_RecipientInfo_get0_pkey_ctx(recipient);
    if (CMS_RecipientInfo_type(recipient) == CMS_RECIPINFO_AGREE) {
        if (context == NULL || EVP_PKEY_CTX_set_ecdh_kdf_md(context, EVP_sha256()) <= 0)
            return pki_crypto_fail(err, ERR_PERM, "ECDH with SHA-256 cannot be used");
        return ERR_OK;
    }
    if (args->transport != SMIME_TRANSPORT_OAEP)
        return ERR_OK;
    if (context == NULL || EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) <= 0 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) <= 0)
        return pki_crypto_fail(err, ERR_PERM, "RSAES-OAEP cannot be used");
    return ERR_OK;
}

static enum err_code
add_recipient(struct encrypt *encrypt, const struct smime_encrypt_args *args,
              const struct pki_certificate *certificate, struct err *err)
{
    enum err_code code = check_recipient(certificate, err);
    if (code != ERR_OK)
        return code;
    CMS_RecipientInfo *recipient = CMS_add1_recipient_cert(
        encrypt->cms, pki_certificate_get0_x509(certificate), CMS_KEY_PARAM);
    if (recipient == NULL)
        return pki_crypto_fail(err, ERR_PERM, "cannot encrypt to the certificate of %s",
                               name_of(certificate));
    code = set_parameters(recipient, args, err);
    return code == ERR_OK ? ERR_OK : err_prefix(err, "%s", name_of(certificate));
}

static int
compare(const void *a, const void *b)
{
    const struct pki_certificate *const *left = a, *const *right = b;
    return strcmp(pki_certificate_get(*left)->fingerprint,
                  pki_certificate_get(*right)->fingerprint);
}

/* One RecipientInfo for each certificate that occurs; somebody may be recipient, sender and escrow
 * in one. Sorted, because ten thousand comparisons are cheaper than twelve million. */
static enum err_code
add_recipients(struct encrypt *encrypt, const struct smime_encrypt_args *args, struct err *err)
{
    const struct pki_certificate **sorted =
        calloc(args->count, sizeof(const struct pki_certificate *));
    if (sorted == NULL)
        return err_set(err, ERR_NOMEM, "no memory for %zu recipients", args->count);
    for (size_t i = 0; i < args->count; i++)
        sorted[i] = args->recipients[i];
    qsort(sorted, args->count, sizeof(sorted[0]), compare);
    enum err_code code = ERR_OK;
    size_t expected = 0;
    for (size_t i = 0; i < args->count && code == ERR_OK; i++) {
        if (i > 0 && compare(&sorted[i - 1], &sorted[i]) == 0)
            continue;
        expected++;
        code = add_recipient(encrypt, args, sorted[i], err);
    }
    free(sorted);
    if (code != ERR_OK)
        return code;
    /* Nobody gets a message that he was promised and cannot read. */
    STACK_OF(CMS_RecipientInfo) *made = CMS_get0_RecipientInfos(encrypt->cms);
    if (made == NULL || (size_t)sk_CMS_RecipientInfo_num(made) != expected)
        return err_set(err, ERR_BUG, "%d RecipientInfos for %zu certificates",
                       made != NULL ? sk_CMS_RecipientInfo_num(made) : 0, expected);
    return ERR_OK;
}

static enum err_code
encrypt_write(struct stage *stage, struct span piece, struct err *err)
{
    struct encrypt *encrypt = (struct encrypt *)stage;
    pki_crypto_reset();
    encrypt->begun = encrypt->begun || piece.n > 0;
    return smime_sink_write(&encrypt->sink, encrypt->chain, piece, err);
}

static enum err_code
encrypt_finish(struct stage *stage, struct err *err)
{
    struct encrypt *encrypt = (struct encrypt *)stage;
    pki_crypto_reset();
    if (!encrypt->begun)
        return err_set(err, ERR_PERM, "there is nothing to encrypt: no entity is empty");
    enum err_code code = smime_sink_finish(&encrypt->sink, encrypt->chain, err);
    pki_crypto_reset();
    return code;
}

static void
encrypt_free(struct stage *stage)
{
    struct encrypt *encrypt = (struct encrypt *)stage;
    smime_sink_deinit(&encrypt->sink, encrypt->chain);
    CMS_ContentInfo_free(encrypt->cms);
    free(encrypt);
}

static const struct stage_ops ops = {
    .name = "encrypt", .write = encrypt_write, .finish = encrypt_finish, .free = encrypt_free
};

/* gather -> encrypt -> base64 -> next. `next` is taken by the last step that can fail. */
static enum err_code
make_chain(struct encrypt *encrypt, struct stage *next, struct stage **out, struct err *err)
{
    struct stage *base64 = NULL, *gather = NULL;
    enum err_code code = mime_base64_encode_new(next, &base64, err);
    if (code == ERR_OK)
        code = smime_sink_init(&encrypt->sink, base64, err);
    if (code == ERR_OK) {
        encrypt->chain = BIO_new_CMS(encrypt->sink.bio, encrypt->cms);
        if (encrypt->chain == NULL)
            code = pki_crypto_fail(err, ERR_PERM, "the encryption could not be started");
    }
    if (code == ERR_OK)
        code = stage_gather_new(PIECE_BYTES, &encrypt->stage, &gather, err);
    if (code != ERR_OK && base64 != NULL) {
        base64->next = NULL; /* left alone */
        stage_free(&base64);
    }
    if (code == ERR_OK) {
        encrypt->stage.next = base64;
        *out = gather;
    }
    return code;
}

enum err_code
smime_encrypt_new(const struct smime_encrypt_args *args, struct stage *next, struct stage **out,
                  struct smime_entity_header *header, struct err *err)
{
    pki_crypto_reset();
    if (args->count == 0)
        return err_set(err, ERR_PERM, "nobody to encrypt to");
    if (args->count > SMIME_ENCRYPT_RECIPIENTS)
        return err_set(err, ERR_LIMIT, "%zu recipients of one encrypted copy; the limit is %d",
                       args->count, SMIME_ENCRYPT_RECIPIENTS);
    struct encrypt *encrypt = calloc(1, sizeof(*encrypt));
    if (encrypt == NULL)
        return err_set(err, ERR_NOMEM, "no memory to encrypt");
    stage_init(&encrypt->stage, &ops, NULL);
    enum err_code code = ERR_OK;
    /* With an AEAD cipher the library makes AuthEnvelopedData of it (RFC 5083). */
    encrypt->cms = CMS_encrypt(NULL, NULL, smime_cipher_get(args->cipher),
                               CMS_PARTIAL | CMS_STREAM | CMS_BINARY);
    if (encrypt->cms == NULL)
        code = pki_crypto_fail(err, ERR_NOMEM, "an EnvelopedData could not be made");
    if (code == ERR_OK)
        code = add_recipients(encrypt, args, err);
    if (code == ERR_OK)
        code = make_chain(encrypt, next, out, err);
    if (code == ERR_OK)
        smime_entity_set_cms(
            header, smime_cipher_is_aead(args->cipher) ? "authEnveloped-data" : "enveloped-data",
            "S/MIME Encrypted Message");
    else
        encrypt_free(&encrypt->stage);
    pki_crypto_reset();
    return code;
}
