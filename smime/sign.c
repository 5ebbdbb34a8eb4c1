/*
 * The library hashes and signs; the shape of multipart/signed is ours. Clear-signed, the digest
 * filter ends in a null BIO and the bytes go on by our own hand, so that what is hashed and what is
 * sent are the same pieces. Opaque, the library's push encoder writes SignedData as the content
 * passes.
 */
#include "smime/sign.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "mime/base64.h"
#include "pki/crypto.h"
#include "smime/attribute.h"
#include "smime/sink.h"

enum {
    /* The push encoder makes one OCTET STRING of each write; small ones inflate the result. */
    PIECE_BYTES = 32 * 1024,
    BOUNDARY_OCTETS = 16,
    BOUNDARY_MAX = 70, /* RFC 2046 5.1.1 */
    LIMIT_SIGNATURE = 1024 * 1024
};

struct sign {
    struct stage stage;
    bool opaque;
    bool begun;
    CMS_ContentInfo *cms;
    BIO *chain; /* clear: digest filter and null sink; opaque: the push encoder over `sink` */
    struct smime_sink sink;
    char boundary[BOUNDARY_MAX + 1];
};

/* A key of kind RSASSA-PSS signs with nothing else, whatever is configured. */
static bool
is_pss(EVP_PKEY *key, enum smime_signature signature)
{
    int kind = EVP_PKEY_get_base_id(key);
    return kind == EVP_PKEY_RSA_PSS || (kind == EVP_PKEY_RSA && signature == SMIME_SIGNATURE_PSS);
}

static enum err_code
set_pss(CMS_SignerInfo *signer, struct err *err)
{
    EVP_PKEY_CTX *context = CMS_SignerInfo_get0_pkey_ctx(signer);
    /* GnuPG 2.2 reads no other salt length than the digest's (RFC 4056 3 asks for it as well). */
    if (context == NULL || EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) <= 0)
        return pki_crypto_fail(err, ERR_PERM, "RSASSA-PSS cannot be used with this key");
    /* With parameters to come, the library names the algorithm when it signs. The push encoder
     * encodes the whole structure once before that, to find where the content goes, and an empty
     * OID stops it. */
    X509_ALGOR *algorithm = NULL;
    CMS_SignerInfo_get0_algs(signer, NULL, NULL, NULL, &algorithm);
    if (!X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_rsassaPss), V_ASN1_UNDEF, NULL))
        return pki_crypto_fail(err, ERR_NOMEM, "no memory for the signature algorithm");
    return ERR_OK;
}

static bool
is_self_issued(X509 *x509)
{
    return X509_NAME_cmp(X509_get_subject_name(x509), X509_get_issuer_name(x509)) == 0;
}

static enum err_code
add_certificate(CMS_ContentInfo *cms, X509 *x509, struct err *err)
{
    if (CMS_add1_cert(cms, x509))
        return ERR_OK;
    unsigned long error = ERR_peek_last_error();
    if (ERR_GET_LIB(error) == ERR_LIB_CMS &&
        ERR_GET_REASON(error) == CMS_R_CERTIFICATE_ALREADY_PRESENT) {
        pki_crypto_reset();
        return ERR_OK;
    }
    return pki_crypto_fail(err, ERR_NOMEM, "a certificate could not be added to the signature");
}

/* The chain without the root: whoever trusts the root has it, whoever does not gains nothing. */
static enum err_code
add_certificates(CMS_ContentInfo *cms, const struct smime_sign_args *args, struct err *err)
{
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < args->key->chain.count && code == ERR_OK; i++) {
        X509 *x509 = pki_certificate_get0_x509(args->key->chain.list[i]);
        if (!is_self_issued(x509))
            code = add_certificate(cms, x509, err);
    }
    if (code == ERR_OK && args->encryption != NULL)
        code = add_certificate(cms, pki_certificate_get0_x509(args->encryption), err);
    return code;
}

static enum err_code
make_cms(struct sign *sign, const struct smime_sign_args *args, enum smime_digest digest,
         struct err *err)
{
    X509 *x509 = pki_certificate_get0_x509(args->key->certificate);
    unsigned flags = CMS_PARTIAL | CMS_STREAM | CMS_BINARY | (args->opaque ? 0 : CMS_DETACHED);
    sign->cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
    if (sign->cms == NULL)
        return pki_crypto_fail(err, ERR_NOMEM, "a SignedData could not be made");
    int kind = EVP_PKEY_get_base_id(args->key->pkey);
    if (kind != EVP_PKEY_RSA && kind != EVP_PKEY_RSA_PSS && kind != EVP_PKEY_EC)
        return err_set_reason(err, ERR_PERM, "unsupported-algorithm",
                              "CMS cannot sign with a key of this kind: %s", args->key->file);
    /* CMS_CADES adds signingCertificateV2, which ties the signature to this certificate. */
    bool pss = is_pss(args->key->pkey, args->signature);
    CMS_SignerInfo *signer =
        CMS_add1_signer(sign->cms, x509, args->key->pkey, smime_digest_get(digest),
                        flags | CMS_NOSMIMECAP | CMS_CADES | (pss ? CMS_KEY_PARAM : 0));
    if (signer == NULL)
        return pki_crypto_fail(err, ERR_PERM, "key and certificate cannot sign: %s",
                               args->key->file);
    enum err_code code = pss ? set_pss(signer, err) : ERR_OK;
    if (code == ERR_OK)
        code = smime_attribute_set(signer, args->signing_time, args->encryption, err);
    if (code == ERR_OK)
        code = add_certificates(sign->cms, args, err);
    return code;
}

/* 128 random bits: the content need not be searched for it. "=_" cannot be in quoted-printable. */
static enum err_code
set_boundary(struct sign *sign, const char *wanted, struct err *err)
{
    static const char allowed[] =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'()+_,-./:=?";
    if (wanted != NULL) {
        size_t n = strlen(wanted);
        if (n == 0 || n > BOUNDARY_MAX || strspn(wanted, allowed) != n)
            return err_set(err, ERR_PERM, "a boundary has 1 to 70 characters of RFC 2046 5.1.1");
        memcpy(sign->boundary, wanted, n + 1);
        return ERR_OK;
    }
    unsigned char random[BOUNDARY_OCTETS];
    if (RAND_bytes(random, sizeof(random)) != 1)
        return pki_crypto_fail(err, ERR_TEMP, "no random numbers for a boundary");
    size_t n = (size_t)snprintf(sign->boundary, sizeof(sign->boundary), "=_smimed_");
    for (size_t i = 0; i < sizeof(random); i++)
        n += (size_t)snprintf(sign->boundary + n, sizeof(sign->boundary) - n, "%02x", random[i]);
    return ERR_OK;
}

static enum err_code
write_text(struct sign *sign, const char *text, struct err *err)
{
    return stage_write(sign->stage.next, span_str(text), err);
}

/* What stands before part one; in pieces that nothing can make too long. */
static enum err_code
write_preamble(struct sign *sign, struct err *err)
{
    sign->begun = true;
    enum err_code code = write_text(sign, "This is an S/MIME signed message\r\n\r\n--", err);
    if (code == ERR_OK)
        code = write_text(sign, sign->boundary, err);
    return code != ERR_OK ? code : write_text(sign, "\r\n", err);
}

static enum err_code
sign_write(struct stage *stage, struct span piece, struct err *err)
{
    struct sign *sign = (struct sign *)stage;
    pki_crypto_reset();
    if (sign->opaque) {
        sign->begun = sign->begun || piece.n > 0;
        return smime_sink_write(&sign->sink, sign->chain, piece, err);
    }
    enum err_code code = sign->begun ? ERR_OK : write_preamble(sign, err);
    if (code == ERR_OK)
        code = smime_sink_write(NULL, sign->chain, piece, err);
    if (code == ERR_OK)
        code = stage_write(stage->next, piece, err);
    return code;
}

/* The base64 of `der`, in lines, into the next stage. */
static enum err_code
write_base64(struct sign *sign, struct span der, struct err *err)
{
    struct stage *borrow = NULL, *encoder = NULL;
    enum err_code code = stage_borrow_new(sign->stage.next, &borrow, err);
    if (code == ERR_OK) {
        code = mime_base64_encode_new(borrow, &encoder, err);
        if (code != ERR_OK)
            stage_free(&borrow);
    }
    if (code == ERR_OK)
        code = stage_write(encoder, der, err);
    if (code == ERR_OK)
        code = stage_finish(encoder, err);
    stage_free(&encoder);
    return code;
}

static enum err_code
write_signature(struct sign *sign, struct span der, struct err *err)
{
    struct smime_entity_header header;
    struct buf text = BUF_INIT(2048);
    smime_entity_set_signature(&header);
    enum err_code code = buf_appendf(&text, err, "\r\n--%s\r\n", sign->boundary);
    if (code == ERR_OK)
        code = smime_entity_header_format(&header, &text, err);
    if (code == ERR_OK)
        code = buf_append_str(&text, "\r\n", err);
    if (code == ERR_OK)
        code = stage_write(sign->stage.next, buf_span(&text), err);
    if (code == ERR_OK)
        code = write_base64(sign, der, err);
    buf_reset(&text);
    if (code == ERR_OK)
        code = buf_appendf(&text, err, "\r\n--%s--\r\n", sign->boundary);
    if (code == ERR_OK)
        code = stage_write(sign->stage.next, buf_span(&text), err);
    buf_free(&text);
    return code;
}

static enum err_code
sign_finish(struct stage *stage, struct err *err)
{
    struct sign *sign = (struct sign *)stage;
    pki_crypto_reset();
    enum err_code code = ERR_OK;
    if (sign->opaque && !sign->begun)
        return err_set(err, ERR_PERM, "there is nothing to sign: no entity is empty");
    if (sign->opaque) {
        code = smime_sink_finish(&sign->sink, sign->chain, err);
        pki_crypto_reset();
        return code;
    }
    unsigned char *der = NULL;
    int n = 0;
    if (!sign->begun)
        code = write_preamble(sign, err);
    if (code == ERR_OK &&
        (!CMS_dataFinal(sign->cms, sign->chain) || (n = i2d_CMS_ContentInfo(sign->cms, &der)) <= 0))
        code = pki_crypto_fail(err, ERR_TEMP, "the signature could not be made");
    if (code == ERR_OK && n > LIMIT_SIGNATURE)
        code = err_set(err, ERR_LIMIT, "the signature exceeds %d octets", LIMIT_SIGNATURE);
    if (code == ERR_OK)
        code = write_signature(sign, span_of(der, (size_t)n), err);
    OPENSSL_free(der);
    pki_crypto_reset();
    return code;
}

static void
sign_free(struct stage *stage)
{
    struct sign *sign = (struct sign *)stage;
    if (sign->opaque)
        smime_sink_deinit(&sign->sink, sign->chain);
    else
        BIO_free_all(sign->chain);
    CMS_ContentInfo_free(sign->cms);
    free(sign);
}

static const struct stage_ops ops = {
    .name = "sign", .write = sign_write, .finish = sign_finish, .free = sign_free
};

static enum err_code
make_clear(struct sign *sign, struct err *err)
{
    BIO *null = BIO_new(BIO_s_null());
    if (null != NULL)
        sign->chain = CMS_dataInit(sign->cms, null);
    if (sign->chain == NULL) {
        BIO_free(null);
        return pki_crypto_fail(err, ERR_NOMEM, "the digest could not be started");
    }
    return ERR_OK;
}

/* gather -> sign -> base64 -> next. `next` is taken by the last step that can fail. */
static enum err_code
make_opaque(struct sign *sign, struct stage *next, struct stage **out, struct err *err)
{
    struct stage *base64 = NULL, *gather = NULL;
    enum err_code code = mime_base64_encode_new(next, &base64, err);
    if (code == ERR_OK)
        code = smime_sink_init(&sign->sink, base64, err);
    if (code == ERR_OK) {
        sign->chain = BIO_new_CMS(sign->sink.bio, sign->cms);
        if (sign->chain == NULL)
            code = pki_crypto_fail(err, ERR_NOMEM, "the CMS encoder could not be started");
    }
    if (code == ERR_OK)
        code = stage_gather_new(PIECE_BYTES, &sign->stage, &gather, err);
    if (code != ERR_OK && base64 != NULL) {
        base64->next = NULL; /* left alone */
        stage_free(&base64);
    }
    if (code == ERR_OK) {
        sign->stage.next = base64;
        *out = gather;
    }
    return code;
}

enum err_code
smime_sign_new(const struct smime_sign_args *args, struct stage *next, struct stage **out,
               struct smime_entity_header *header, struct err *err)
{
    pki_crypto_reset();
    struct sign *sign = calloc(1, sizeof(*sign));
    if (sign == NULL)
        return err_set(err, ERR_NOMEM, "no memory to sign");
    stage_init(&sign->stage, &ops, NULL);
    sign->opaque = args->opaque;
    enum smime_digest digest = smime_digest_find(args->key->pkey, args->digest);
    enum err_code code = make_cms(sign, args, digest, err);
    if (code == ERR_OK)
        code = set_boundary(sign, args->boundary, err);
    if (code == ERR_OK && args->opaque) {
        code = make_opaque(sign, next, out, err);
        if (code == ERR_OK)
            smime_entity_set_cms(header, "signed-data", "S/MIME Signed Message");
    } else if (code == ERR_OK) {
        code = make_clear(sign, err);
        if (code == ERR_OK) {
            sign->stage.next = next;
            *out = &sign->stage;
            smime_entity_set_clear(header, digest, sign->boundary);
        }
    }
    if (code != ERR_OK)
        sign_free(&sign->stage);
    pki_crypto_reset();
    return code;
}
