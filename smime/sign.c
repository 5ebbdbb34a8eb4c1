/*
 * The library hashes and signs; the shape of everything around is ours. Clear-signed, the bytes go
 * on by our own hand, so that what is hashed and what is sent are the same pieces. Opaque, the
 * content passes in octet strings of a constructed one, and SignedData ends when it has ended.
 */
#include "smime/sign.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "mime/base64.h"
#include "pki/crypto.h"
#include "smime/der.h"
#include "smime/signed_data.h"

enum {
    /* Each piece of opaque content is an OCTET STRING of its own; small ones inflate the result. */
    PIECE_BYTES = 32 * 1024,
    BOUNDARY_OCTETS = 16,
    BOUNDARY_MAX = 70, /* RFC 2046 5.1.1 */
    LIMIT_SIGNATURE = 1024 * 1024,
    SIGNATURE_PART = 1024 /* the signature's part without its base64, generously */
};

struct sign {
    struct stage stage;
    bool opaque;
    bool begun;
    struct smime_signed_data data;
    EVP_MD_CTX *hash;
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
load_data(struct sign *sign, const struct smime_sign_args *args, struct err *err)
{
    int kind = EVP_PKEY_get_base_id(args->key->pkey);
    enum smime_digest digest = smime_digest_find(args->key->pkey, args->digest);

    if (kind != EVP_PKEY_RSA && kind != EVP_PKEY_RSA_PSS && kind != EVP_PKEY_EC)
        return err_set_reason(err, ERR_PERM, "unsupported-algorithm",
                              "CMS cannot sign with a key of this kind: %s", args->key->file);
    /* The keyring compares what it loads; who made a pair by himself has not. A signature that
     * nobody could verify is not made. */
    if (args->key->contexts == NULL &&
        X509_check_private_key(pki_certificate_get0_x509(args->key->certificate),
                               args->key->pkey) != 1)
        return pki_crypto_fail(err, ERR_PERM, "key and certificate cannot sign: %s",
                               args->key->file);
    sign->data = (struct smime_signed_data){
        .key = args->key,
        .attributes = { .signer = args->key->certificate,
                        .encryption = args->encryption,
                        .digest = digest,
                        .signing_time = args->signing_time },
        .pss = is_pss(args->key->pkey, args->signature),
    };
    sign->hash = EVP_MD_CTX_new();
    if (sign->hash == NULL || !EVP_DigestInit_ex2(sign->hash, smime_digest_get(digest), NULL))
        return pki_crypto_fail(err, ERR_NOMEM, "the digest could not be started");
    return ERR_OK;
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
    static const char prefix[] = "=_smimed_", digits[] = "0123456789abcdef";
    unsigned char random[BOUNDARY_OCTETS];
    if (RAND_bytes(random, sizeof(random)) != 1)
        return pki_crypto_fail(err, ERR_TEMP, "no random numbers for a boundary");
    char *p = stpcpy(sign->boundary, prefix);
    for (size_t i = 0; i < sizeof(random); i++) {
        *p++ = digits[random[i] >> 4];
        *p++ = digits[random[i] & 15];
    }
    *p = '\0';
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
    enum err_code code = write_text(sign, "This is an S/MIME signed message\r\n\r\n--", err);
    if (code == ERR_OK)
        code = write_text(sign, sign->boundary, err);
    return code != ERR_OK ? code : write_text(sign, "\r\n", err);
}

/* The octets of SignedData before its content. */
static enum err_code
write_begin(struct sign *sign, struct err *err)
{
    struct buf head = BUF_INIT(1024);
    enum err_code code = smime_signed_data_format_begin(&sign->data, &head, err);
    if (code == ERR_OK)
        code = stage_write(sign->stage.next, buf_span(&head), err);
    buf_free(&head);
    return code;
}

static enum err_code
begin(struct sign *sign, struct err *err)
{
    if (sign->begun)
        return ERR_OK;
    sign->begun = true;
    return sign->opaque ? write_begin(sign, err) : write_preamble(sign, err);
}

static enum err_code
sign_write(struct stage *stage, struct span piece, struct err *err)
{
    struct sign *sign = (struct sign *)stage;
    unsigned char header[SMIME_BER_HEADER];
    if (sign->opaque && piece.n == 0)
        return ERR_OK;
    pki_crypto_reset();
    enum err_code code = begin(sign, err);
    if (code == ERR_OK && sign->opaque) {
        size_t n = smime_ber_format(SMIME_BER_OCTETS, piece.n, header);
        code = stage_write(stage->next, span_of(header, n), err);
    }
    if (code == ERR_OK && !EVP_DigestUpdate(sign->hash, piece.p, piece.n))
        code = pki_crypto_fail(err, ERR_BUG, "hashing failed");
    return code == ERR_OK ? stage_write(stage->next, piece, err) : code;
}

/* The digest of everything that was written. */
static enum err_code
take_digest(struct sign *sign, unsigned char digest[EVP_MAX_MD_SIZE], struct span *out,
            struct err *err)
{
    unsigned n = 0;
    if (!EVP_DigestFinal_ex(sign->hash, digest, &n))
        return pki_crypto_fail(err, ERR_BUG, "hashing failed");
    *out = span_of(digest, n);
    return ERR_OK;
}

static enum err_code
append_delimiter(const struct sign *sign, const char *end, struct buf *out, struct err *err)
{
    enum err_code code = buf_append_str(out, "\r\n--", err);
    if (code == ERR_OK)
        code = buf_append_str(out, sign->boundary, err);
    return code == ERR_OK ? buf_append_str(out, end, err) : code;
}

/* Part two of multipart/signed. */
static enum err_code
write_signature(struct sign *sign, struct span der, struct err *err)
{
    struct smime_entity_header header;
    struct buf text = BUF_INIT(2 * LIMIT_SIGNATURE);
    smime_entity_set_signature(&header);
    enum err_code code = buf_reserve(&text, SIGNATURE_PART + 2 * der.n, err);
    if (code == ERR_OK)
        code = append_delimiter(sign, "\r\n", &text, err);
    if (code == ERR_OK)
        code = smime_entity_header_format(&header, &text, err);
    if (code == ERR_OK)
        code = buf_append_str(&text, "\r\n", err);
    if (code == ERR_OK)
        code = mime_base64_format_lines(der, &text, err);
    if (code == ERR_OK)
        code = append_delimiter(sign, "--\r\n", &text, err);
    if (code == ERR_OK)
        code = stage_write(sign->stage.next, buf_span(&text), err);
    buf_free(&text);
    return code;
}

static enum err_code
finish_clear(struct sign *sign, struct err *err)
{
    unsigned char value[EVP_MAX_MD_SIZE];
    struct buf der = BUF_INIT(LIMIT_SIGNATURE);
    struct span digest;
    enum err_code code = begin(sign, err);
    if (code == ERR_OK)
        code = take_digest(sign, value, &digest, err);
    if (code == ERR_OK)
        code = smime_signed_data_format(&sign->data, digest, &der, err);
    if (code == ERR_OK)
        code = write_signature(sign, buf_span(&der), err);
    buf_free(&der);
    return code;
}

static enum err_code
finish_opaque(struct sign *sign, struct err *err)
{
    unsigned char value[EVP_MAX_MD_SIZE];
    struct buf der = BUF_INIT(LIMIT_SIGNATURE);
    struct span digest;
    if (!sign->begun)
        return err_set(err, ERR_PERM, "there is nothing to sign: no entity is empty");
    enum err_code code = take_digest(sign, value, &digest, err);
    if (code == ERR_OK)
        code = smime_signed_data_format_end(&sign->data, digest, &der, err);
    if (code == ERR_OK)
        code = stage_write(sign->stage.next, buf_span(&der), err);
    buf_free(&der);
    return code;
}

static enum err_code
sign_finish(struct stage *stage, struct err *err)
{
    struct sign *sign = (struct sign *)stage;
    pki_crypto_reset();
    enum err_code code = sign->opaque ? finish_opaque(sign, err) : finish_clear(sign, err);
    pki_crypto_reset();
    return code;
}

static void
sign_free(struct stage *stage)
{
    struct sign *sign = (struct sign *)stage;
    EVP_MD_CTX_free(sign->hash);
    free(sign);
}

static const struct stage_ops ops = {
    .name = "sign", .write = sign_write, .finish = sign_finish, .free = sign_free
};

/* gather -> sign -> base64 -> next. `next` is taken by the last step that can fail. */
static enum err_code
make_opaque(struct sign *sign, struct stage *next, struct stage **out, struct err *err)
{
    struct stage *base64 = NULL, *gather = NULL;
    enum err_code code = mime_base64_encode_new(next, &base64, err);
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
    enum err_code code = load_data(sign, args, err);
    if (code == ERR_OK)
        code = set_boundary(sign, args->boundary, err);
    if (code == ERR_OK && args->opaque) {
        code = make_opaque(sign, next, out, err);
        if (code == ERR_OK)
            smime_entity_set_cms(header, "signed-data", "S/MIME Signed Message");
    } else if (code == ERR_OK) {
        sign->stage.next = next;
        *out = &sign->stage;
        smime_entity_set_clear(header, sign->data.attributes.digest, sign->boundary);
    }
    if (code != ERR_OK)
        sign_free(&sign->stage);
    pki_crypto_reset();
    return code;
}
