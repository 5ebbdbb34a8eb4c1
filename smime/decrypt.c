#include "smime/decrypt.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "pki/crypto.h"
#include "smime/content.h"
#include "smime/recipient.h"
#include "smime/structure.h"

enum {
    PIECE_BYTES = 64 * 1024,
    LIMIT_FIELD = 1024 * 1024, /* one RecipientInfo; key agreement with everybody in one is large */
    LIMIT_CANDIDATES = 8       /* RecipientInfos for keys of ours that are kept */
};

/* A field of the object, kept. */
struct kept {
    struct buf bytes;
    bool there;
};

struct candidate {
    struct buf bytes;
    const struct pki_key *key;
};

struct decrypt {
    const struct smime_decrypt_args *args;
    struct candidate candidates[LIMIT_CANDIDATES];
    size_t count;
    bool openable; /* some RecipientInfo is of a kind that certificates open */
    struct kept algorithm, attributes, mac;
    struct smime_content_stream *stream;
    struct err failed; /* what the cryptography said: told at the end */
};

static enum err_code
keep(struct kept *kept, struct span element, struct err *err)
{
    kept->there = true;
    return buf_append(&kept->bytes, element, err);
}

/* A RecipientInfo is for at most one of our keys; which of several RecipientInfos comes first is
 * the sender's choice. */
static enum err_code
on_recipient(struct decrypt *decrypt, struct span element, struct err *err)
{
    struct smime_recipient ignored;
    if (smime_recipient_is_known(element))
        decrypt->openable = true;
    if (decrypt->count == LIMIT_CANDIDATES)
        return ERR_OK;
    for (size_t i = 0; i < decrypt->args->count; i++) {
        const struct pki_key *key = decrypt->args->keys[i];
        if (!smime_recipient_find(element, key->certificate, &ignored))
            continue;
        struct candidate *candidate = &decrypt->candidates[decrypt->count++];
        candidate->key = key;
        buf_init(&candidate->bytes, LIMIT_FIELD);
        return buf_append(&candidate->bytes, element, err);
    }
    return ERR_OK;
}

static enum err_code
on_field(void *context, enum smime_field field, struct span element, struct err *err)
{
    struct decrypt *decrypt = context;
    switch (field) {
    case SMIME_FIELD_RECIPIENT:
        return on_recipient(decrypt, element, err);
    case SMIME_FIELD_CONTENT_ALGORITHM:
        return keep(&decrypt->algorithm, element, err);
    case SMIME_FIELD_AUTH_ATTRIBUTES:
        return keep(&decrypt->attributes, element, err);
    case SMIME_FIELD_MAC:
        return keep(&decrypt->mac, element, err);
    default:
        return err_set(err, ERR_BUG, "field %d was not asked for", (int)field);
    }
}

/* One reading of the spool through the grammar. */
static enum err_code
read_spool(const struct spool *spool, const struct smime_structure_args *args,
           struct smime_structure_result *found, struct err *err)
{
    struct smime_structure *structure = NULL;
    unsigned char *piece = malloc(PIECE_BYTES);
    uint64_t at = 0;
    size_t got = 1;
    enum err_code code = piece != NULL ? smime_structure_new(args, &structure, err)
                                       : err_set(err, ERR_NOMEM, "no memory to read a CMS object");
    while (code == ERR_OK && got > 0) {
        code = spool_read(spool, at, piece, PIECE_BYTES, &got, err);
        if (code == ERR_OK && got > 0)
            code = smime_structure_write(structure, span_of(piece, got), err);
        at += got;
    }
    if (code == ERR_OK)
        code = smime_structure_finish(structure, err);
    if (code == ERR_OK)
        *found = *smime_structure_get(structure);
    smime_structure_free(&structure);
    free(piece);
    return code;
}

static enum err_code
read_structure(struct decrypt *decrypt, struct smime_structure_result *found, struct err *err)
{
    const struct smime_structure_args args = {
        .wanted = 1u << SMIME_FIELD_RECIPIENT | 1u << SMIME_FIELD_CONTENT_ALGORITHM |
                  1u << SMIME_FIELD_AUTH_ATTRIBUTES | 1u << SMIME_FIELD_MAC,
        .field_limit_bytes = LIMIT_FIELD,
        .field = on_field,
        .context = decrypt,
    };
    enum err_code code = read_spool(decrypt->args->spool, &args, found, err);
    if (code == ERR_LIMIT)
        return ERR_LIMIT;
    if (code == ERR_OK && found->content != SMIME_CONTENT_ENVELOPED &&
        found->content != SMIME_CONTENT_AUTHENVELOPED)
        return err_set_reason(err, ERR_PERM, "malformed-cms", "CMS: not an enveloped object");
    return code;
}

/* The content key of the first candidate that can be opened. What the cryptography refuses is noted
 * and the work goes on with a random key, so that every failure ends in the same place. */
static enum err_code
get_key(struct decrypt *decrypt, size_t key_bytes, unsigned char *cek,
        struct smime_decrypt_result *result, struct err *err)
{
    struct err why = ERR_INIT;
    for (size_t i = 0; i < decrypt->count; i++) {
        const struct candidate *candidate = &decrypt->candidates[i];
        struct smime_recipient recipient;
        if (!smime_recipient_find(buf_span(&candidate->bytes), candidate->key->certificate,
                                  &recipient))
            return err_set(err, ERR_BUG, "a RecipientInfo changed");
        err_reset(&why);
        enum err_code code =
            smime_recipient_get(&recipient, candidate->key->pkey, cek, key_bytes, &why);
        if (code == ERR_PERM && strcmp(why.reason, "unsupported-algorithm") == 0)
            continue;
        if (code != ERR_OK && code != ERR_PERM)
            return err_set_reason(err, code, why.reason, "%s", why.text);
        if (code == ERR_PERM)
            decrypt->failed = why;
        result->key = candidate->key;
        return ERR_OK;
    }
    return err_set_reason(err, ERR_PERM, why.reason, "%s", why.text);
}

static enum err_code
on_content(void *context, struct span piece, struct err *err)
{
    struct decrypt *decrypt = context;
    return smime_content_write(decrypt->stream, piece, err);
}

static enum err_code
read_content(struct decrypt *decrypt, struct span cek, struct stage *plain, struct err *err)
{
    struct span attributes = buf_span(&decrypt->attributes.bytes);
    struct span element = buf_span(&decrypt->mac.bytes);
    struct smime_ber_element mac = { .identifier = 0 };
    struct smime_structure_result found;
    if (decrypt->mac.there && smime_ber_get(&element, &mac, err) != ERR_OK)
        return ERR_PERM;
    const struct smime_content_args args = {
        .algorithm = buf_span(&decrypt->algorithm.bytes),
        .key = cek,
        .auth_attributes = decrypt->attributes.there ? attributes : span_of(NULL, 0),
        .mac = mac.contents,
        .plain = plain,
    };
    const struct smime_structure_args reading = { .content = on_content, .context = decrypt };
    enum err_code code = smime_content_new(&args, &decrypt->stream, err);
    if (code == ERR_OK)
        code = read_spool(decrypt->args->spool, &reading, &found, err);
    if (code == ERR_OK)
        code = smime_content_finish(decrypt->stream, err);
    if (code == ERR_OK && decrypt->failed.code != ERR_OK)
        code = smime_content_fail(err);
    return code;
}

/* What is known before a key is used: is there one, and can we do the cipher? */
static enum err_code
check_object(const struct decrypt *decrypt, const struct smime_structure_result *found,
             struct smime_cipher_facts *cipher, struct err *err)
{
    if (!decrypt->openable)
        return err_set_reason(err, ERR_PERM, "unsupported-algorithm",
                              "the message is encrypted to no certificate");
    if (decrypt->count == 0)
        return err_set_reason(err, ERR_NOTFOUND, "no-key",
                              "the message is encrypted to %u recipients, none of them ours",
                              found->recipients);
    enum err_code code = smime_content_find(buf_span(&decrypt->algorithm.bytes), cipher, err);
    if (code != ERR_OK)
        return code;
    /* CBC under the name of AuthEnvelopedData would look authentic and not be. */
    if (!cipher->aead && found->content == SMIME_CONTENT_AUTHENVELOPED)
        return err_set_reason(err, ERR_PERM, "unsupported-algorithm",
                              "%s does not belong into this kind of CMS object", cipher->name);
    return ERR_OK;
}

static enum err_code
run(struct decrypt *decrypt, struct stage *plain, struct smime_decrypt_result *result,
    struct err *err)
{
    struct smime_structure_result found = { .recipients = 0 };
    struct smime_cipher_facts cipher;
    unsigned char cek[SMIME_CONTENT_KEY];
    enum err_code code = read_structure(decrypt, &found, err);
    result->recipients = found.recipients;
    if (code == ERR_OK)
        code = check_object(decrypt, &found, &cipher, err);
    if (code != ERR_OK)
        return code;
    snprintf(result->cipher, sizeof(result->cipher), "%s", cipher.name);
    result->authenticated = cipher.aead;
    result->weak_cipher = cipher.weak;
    result->misplaced_aead = cipher.aead && found.content == SMIME_CONTENT_ENVELOPED;
    code = get_key(decrypt, cipher.key_bytes, cek, result, err);
    if (code == ERR_OK)
        code = read_content(decrypt, span_of(cek, cipher.key_bytes), plain, err);
    OPENSSL_cleanse(cek, sizeof(cek));
    return code;
}

enum err_code
smime_decrypt(const struct smime_decrypt_args *args, struct stage *plain,
              struct smime_decrypt_result *result, struct err *err)
{
    struct decrypt decrypt = { .args = args };
    *result = (struct smime_decrypt_result){ .key = NULL };
    pki_crypto_reset();
    buf_init(&decrypt.algorithm.bytes, LIMIT_FIELD);
    buf_init(&decrypt.attributes.bytes, LIMIT_FIELD);
    buf_init(&decrypt.mac.bytes, LIMIT_FIELD);
    enum err_code code = run(&decrypt, plain, result, err);
    smime_content_free(&decrypt.stream);
    for (size_t i = 0; i < decrypt.count; i++)
        buf_free(&decrypt.candidates[i].bytes);
    buf_free(&decrypt.algorithm.bytes);
    buf_free(&decrypt.attributes.bytes);
    buf_free(&decrypt.mac.bytes);
    pki_crypto_reset();
    return code;
}
