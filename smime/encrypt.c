/*
 * EnvelopedData and AuthEnvelopedData are written by our own hand around EVP: building, encoding
 * and freeing the library's objects cost more than the encryption of a short message and of its key
 * together. The key of the message lives on the stack of smime_encrypt_new until every recipient
 * has it, and then in the cipher's context alone.
 *
 * What is not known before the content has passed has an indefinite length: the content itself, and
 * what is around it. The recipients are whole.
 */
#include "smime/encrypt.h"

#include <stddef.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "mime/base64.h"
#include "pki/crypto.h"
#include "smime/der.h"
#include "smime/recipient_info.h"
#include "util/wipe.h"

enum {
    /* Each piece of the content is an OCTET STRING of its own; small ones inflate the result. */
    PIECE_BYTES = 32 * 1024,
    BLOCK_BYTES = 16,
    TAG_BYTES = 16, /* the whole tag, as every reader takes it (RFC 5084 3.2) */
    /* A certificate has at most 64 KiB, and so has the name of its issuer. */
    RECIPIENT_MAX = 68 * 1024,
    HEAD_MAX = 1024
};

struct encrypt {
    struct stage stage;
    bool begun;
    bool aead;
    EVP_CIPHER_CTX *cipher;
    struct buf head; /* what stands before the content */
    unsigned char out[SMIME_BER_HEADER + PIECE_BYTES + BLOCK_BYTES];
};

#define LITERAL_SPAN(bytes) span_of((bytes), sizeof(bytes))

static const unsigned char oid_data[] = { SMIME_BER_OID, 9,    0x2a, 0x86, 0x48, 0x86,
                                          0xf7,          0x0d, 0x01, 0x07, 0x01 };
static const unsigned char oid_enveloped[] = { SMIME_BER_OID, 9,    0x2a, 0x86, 0x48, 0x86,
                                               0xf7,          0x0d, 0x01, 0x07, 0x03 };
static const unsigned char oid_auth_enveloped[] = { SMIME_BER_OID, 11,   0x2a, 0x86, 0x48,
                                                    0x86,          0xf7, 0x0d, 0x01, 0x09,
                                                    0x10,          0x01, 0x17 };

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

static enum err_code
add_recipient(struct encrypt *encrypt, const struct smime_encrypt_args *args,
              const struct pki_certificate *certificate, struct span key, struct err *err)
{
    enum err_code code = check_recipient(certificate, err);
    if (code != ERR_OK)
        return code;
    code = smime_recipient_info_format(certificate, args->transport, key, &encrypt->head, err);
    return code == ERR_OK ? ERR_OK : err_prefix(err, "%s", name_of(certificate));
}

static int
compare(const void *a, const void *b)
{
    const struct pki_certificate *const *left = a, *const *right = b;
    return strcmp(pki_certificate_get(*left)->fingerprint,
                  pki_certificate_get(*right)->fingerprint);
}

static size_t
count_elements(struct span list)
{
    struct smime_ber_element element;
    size_t count = 0;

    while (smime_ber_get(&list, &element, NULL) == ERR_OK)
        count++;
    return count;
}

/* The SET of them: one for each certificate that occurs; somebody may be recipient, sender and
 * escrow in one. Sorted, because ten thousand comparisons are cheaper than twelve million. *version
 * is that of EnvelopedData (RFC 5652 6.1). */
static enum err_code
add_recipients(struct encrypt *encrypt, const struct smime_encrypt_args *args, struct span key,
               unsigned char *version, struct err *err)
{
    const struct pki_certificate **sorted =
        calloc(args->count, sizeof(const struct pki_certificate *));
    size_t at = smime_der_begin(&encrypt->head), expected = 0;
    enum err_code code = ERR_OK;

    if (sorted == NULL)
        return err_set(err, ERR_NOMEM, "no memory for %zu recipients", args->count);
    for (size_t i = 0; i < args->count; i++)
        sorted[i] = args->recipients[i];
    qsort(sorted, args->count, sizeof(sorted[0]), compare);
    for (size_t i = 0; i < args->count && code == ERR_OK; i++) {
        if (i > 0 && compare(&sorted[i - 1], &sorted[i]) == 0)
            continue;
        expected++;
        code = add_recipient(encrypt, args, sorted[i], key, err);
        if (code == ERR_OK && smime_recipient_info_is_agreement(sorted[i]))
            *version = 2;
    }
    free(sorted);
    if (code != ERR_OK)
        return code;
    /* Nobody gets a message that he was promised and cannot read. */
    size_t made = count_elements(span_from(buf_span(&encrypt->head), at));
    if (made != expected)
        return err_set(err, ERR_BUG, "%zu RecipientInfos for %zu certificates", made, expected);
    return smime_der_end(&encrypt->head, at, SMIME_BER_SET, err);
}

/* Begins an element of indefinite length. */
static enum err_code
open_element(struct buf *out, unsigned char identifier, struct err *err)
{
    const unsigned char header[] = { identifier, 0x80 };

    return buf_append(out, LITERAL_SPAN(header), err);
}

/* contentEncryptionAlgorithm: the IV, or GCMParameters (RFC 5084 3.2). */
static enum err_code
append_algorithm(struct buf *out, enum smime_cipher cipher, struct span iv, struct err *err)
{
    static const unsigned char tag_bytes[] = { SMIME_BER_INTEGER, 1, TAG_BYTES };
    size_t whole = smime_der_begin(out), parameters;
    enum err_code code = buf_append(out, smime_cipher_der(cipher), err);

    parameters = smime_der_begin(out);
    if (code == ERR_OK)
        code = smime_der_append(out, SMIME_BER_OCTETS, iv, err);
    if (code == ERR_OK && smime_cipher_is_aead(cipher))
        code = buf_append(out, LITERAL_SPAN(tag_bytes), err);
    if (code == ERR_OK && smime_cipher_is_aead(cipher))
        code = smime_der_end(out, parameters, SMIME_BER_SEQUENCE, err);
    return code == ERR_OK ? smime_der_end(out, whole, SMIME_BER_SEQUENCE, err) : code;
}

/* Everything up to the content. */
static enum err_code
format_head(struct encrypt *encrypt, const struct smime_encrypt_args *args, struct span key,
            struct span iv, struct err *err)
{
    struct buf *out = &encrypt->head;
    unsigned char version[] = { SMIME_BER_INTEGER, 1, 0 };
    size_t version_at;
    enum err_code code = open_element(out, SMIME_BER_SEQUENCE, err);

    if (code == ERR_OK)
        code = buf_append(
            out, encrypt->aead ? LITERAL_SPAN(oid_auth_enveloped) : LITERAL_SPAN(oid_enveloped),
            err);
    if (code == ERR_OK)
        code = open_element(out, SMIME_BER_CONTEXT_CONSTRUCTED, err);
    if (code == ERR_OK)
        code = open_element(out, SMIME_BER_SEQUENCE, err);
    version_at = out->n;
    if (code == ERR_OK)
        code = buf_append(out, LITERAL_SPAN(version), err);
    if (code == ERR_OK)
        code = add_recipients(encrypt, args, key, &version[2], err);
    if (code != ERR_OK)
        return code;
    if (!encrypt->aead) /* AuthEnvelopedData is version 0 always (RFC 5083 2.1) */
        out->p[version_at + 2] = version[2];
    code = open_element(out, SMIME_BER_SEQUENCE, err);
    if (code == ERR_OK)
        code = buf_append(out, LITERAL_SPAN(oid_data), err);
    if (code == ERR_OK)
        code = append_algorithm(out, args->cipher, iv, err);
    return code == ERR_OK ? open_element(out, SMIME_BER_CONTEXT_CONSTRUCTED, err) : code;
}

/* ---- the stage ---- */

/* An octet string of the `n` octets of ciphertext that stand in `out` behind the room for its
 * header. */
static enum err_code
pass_on(struct encrypt *encrypt, int n, struct err *err)
{
    unsigned char header[SMIME_BER_HEADER];

    if (n == 0)
        return ERR_OK;
    size_t header_n = smime_ber_format(SMIME_BER_OCTETS, (size_t)n, header);
    unsigned char *begin = encrypt->out + SMIME_BER_HEADER - header_n;
    memcpy(begin, header, header_n);
    return stage_write(encrypt->stage.next, span_of(begin, header_n + (size_t)n), err);
}

static enum err_code
encrypt_write(struct stage *stage, struct span piece, struct err *err)
{
    struct encrypt *encrypt = (struct encrypt *)stage;
    enum err_code code = ERR_OK;

    pki_crypto_reset();
    if (!encrypt->begun && piece.n > 0) {
        encrypt->begun = true;
        code = stage_write(stage->next, buf_span(&encrypt->head), err);
    }
    while (code == ERR_OK && piece.n > 0) {
        size_t take = piece.n < PIECE_BYTES ? piece.n : PIECE_BYTES;
        int n = 0;

        if (!EVP_EncryptUpdate(encrypt->cipher, encrypt->out + SMIME_BER_HEADER, &n, piece.p,
                               (int)take))
            code = pki_crypto_fail(err, ERR_BUG, "the encryption failed");
        else
            code = pass_on(encrypt, n, err);
        piece = span_from(piece, take);
    }
    return code;
}

/* End-of-contents of encryptedContent and EncryptedContentInfo; the tag; then of AuthEnvelopedData
 * (or EnvelopedData), [0] and ContentInfo. */
static enum err_code
write_end(struct encrypt *encrypt, struct err *err)
{
    static const unsigned char ends[6] = { 0 };
    unsigned char tag[2 + TAG_BYTES] = { SMIME_BER_OCTETS, TAG_BYTES };
    struct stage *next = encrypt->stage.next;
    enum err_code code = stage_write(next, span_of(ends, 4), err);

    if (code == ERR_OK && encrypt->aead) {
        if (EVP_CIPHER_CTX_ctrl(encrypt->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag + 2) <= 0)
            return pki_crypto_fail(err, ERR_BUG, "there is no authentication tag");
        code = stage_write(next, LITERAL_SPAN(tag), err);
    }
    return code == ERR_OK ? stage_write(next, LITERAL_SPAN(ends), err) : code;
}

static enum err_code
encrypt_finish(struct stage *stage, struct err *err)
{
    struct encrypt *encrypt = (struct encrypt *)stage;
    enum err_code code;
    int n = 0;

    pki_crypto_reset();
    if (!encrypt->begun)
        return err_set(err, ERR_PERM, "there is nothing to encrypt: no entity is empty");
    if (!EVP_EncryptFinal_ex(encrypt->cipher, encrypt->out + SMIME_BER_HEADER, &n))
        code = pki_crypto_fail(err, ERR_BUG, "the encryption failed");
    else
        code = pass_on(encrypt, n, err);
    if (code == ERR_OK)
        code = write_end(encrypt, err);
    pki_crypto_reset();
    return code;
}

static void
encrypt_free(struct stage *stage)
{
    struct encrypt *encrypt = (struct encrypt *)stage;

    EVP_CIPHER_CTX_free(encrypt->cipher);
    buf_free(&encrypt->head);
    /* What stands in `out` has left, or was about to: it is no secret. */
    wipe_free_used(encrypt, offsetof(struct encrypt, out));
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

/* A key and an IV for this message alone, into the cipher and into the head. */
static enum err_code
start(struct encrypt *encrypt, const struct smime_encrypt_args *args, struct err *err)
{
    const EVP_CIPHER *cipher = smime_cipher_get(args->cipher);
    unsigned char key[EVP_MAX_KEY_LENGTH], iv[EVP_MAX_IV_LENGTH];
    size_t key_n = (size_t)EVP_CIPHER_get_key_length(cipher);
    size_t iv_n = (size_t)EVP_CIPHER_get_iv_length(cipher);
    enum err_code code = ERR_OK;

    encrypt->cipher = EVP_CIPHER_CTX_new();
    if (encrypt->cipher == NULL)
        return pki_crypto_fail(err, ERR_NOMEM, "no memory to encrypt");
    if (RAND_priv_bytes(key, (int)key_n) != 1 || RAND_bytes(iv, (int)iv_n) != 1)
        code = pki_crypto_fail(err, ERR_TEMP, "no random numbers for a key");
    else if (!EVP_EncryptInit_ex2(encrypt->cipher, cipher, key, iv, NULL))
        code = pki_crypto_fail(err, ERR_PERM, "the encryption could not be started");
    if (code == ERR_OK)
        code = format_head(encrypt, args, span_of(key, key_n), span_of(iv, iv_n), err);
    OPENSSL_cleanse(key, sizeof(key));
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
    struct encrypt *encrypt = malloc(sizeof(*encrypt));
    if (encrypt == NULL)
        return err_set(err, ERR_NOMEM, "no memory to encrypt");
    memset(encrypt, 0, offsetof(struct encrypt, out));
    stage_init(&encrypt->stage, &ops, NULL);
    encrypt->aead = smime_cipher_is_aead(args->cipher);
    buf_init(&encrypt->head, HEAD_MAX + args->count * RECIPIENT_MAX);
    enum err_code code = start(encrypt, args, err);
    if (code == ERR_OK)
        code = make_chain(encrypt, next, out, err);
    if (code == ERR_OK)
        smime_entity_set_cms(header, encrypt->aead ? "authEnveloped-data" : "enveloped-data",
                             "S/MIME Encrypted Message");
    else
        encrypt_free(&encrypt->stage);
    pki_crypto_reset();
    return code;
}
