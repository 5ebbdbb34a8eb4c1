#include "smime/decrypt.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "pki/crypto.h"
#include "smime/content.h"
#include "smime/recipient.h"
#include "smime/structure.h"

enum {
    PIECE_BYTES = 64 * 1024,
    LIMIT_FIELD = 1024 * 1024, /* one RecipientInfo; key agreement with everybody in one is large */
    LIMIT_RECIPIENTS = 4 * 1024 * 1024 /* all that are kept */
};

/* A field of the object, kept. */
struct kept {
    struct buf bytes;
    bool there;
};

/* The RecipientInfo for one of an owner's keys. */
struct candidate {
    struct buf bytes;
    const struct pki_key *key; /* NULL: none was found */
    const struct pki_key *any; /* some key of the owner, where work is done for nothing */
};

struct smime_decrypt {
    struct smime_decrypt_args args;
    struct candidate candidates[SMIME_DECRYPT_LIMIT_OWNERS];
    size_t count;  /* owners */
    size_t held;   /* octets of candidates */
    bool openable; /* some RecipientInfo is of a kind that certificates open */
    struct kept algorithm, attributes, mac;
    struct smime_cipher_facts cipher;
    unsigned char cek[SMIME_CONTENT_KEY];
    struct smime_content_stream *stream;
    struct smime_content_stream
        *shadow; /* quiet: the cipher of the other kind, for its time alone */
    struct smime_decrypt_result result;
    bool failed; /* told at the end of the content */
    const char *reason;
};

/* AES-256-CBC with an IV of zeros, in the place of an algorithm that we cannot do. */
static const unsigned char stand_in[] = { 0x30, 0x1d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                          0x65, 0x03, 0x04, 0x01, 0x2a, 0x04, 0x10, 0,
                                          0,    0,    0,    0,    0,    0,    0,    0,
                                          0,    0,    0,    0,    0,    0,    0 };

/* AES-256-GCM with a nonce of zeros and a tag of 16 octets, beside a cipher without a tag. */
static const unsigned char shadow_gcm[] = { 0x30, 0x1e, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                            0x65, 0x03, 0x04, 0x01, 0x2e, 0x30, 0x11, 0x04,
                                            0x0c, 0,    0,    0,    0,    0,    0,    0,
                                            0,    0,    0,    0,    0,    0x02, 0x01, 0x10 };
static const unsigned char shadow_key[SMIME_CONTENT_KEY];

static enum err_code
keep(struct kept *kept, struct span element, struct err *err)
{
    kept->there = true;
    return buf_append(&kept->bytes, element, err);
}

/* A RecipientInfo is for at most one of an owner's keys; which of several RecipientInfos comes
 * first is the sender's choice. */
static enum err_code
on_recipient(struct smime_decrypt *decrypt, struct span element, struct err *err)
{
    const struct smime_decrypt_args *args = &decrypt->args;
    struct smime_recipient ignored;
    enum err_code code = ERR_OK;
    if (!smime_recipient_is_known(element))
        return ERR_OK;
    decrypt->openable = true;
    for (size_t i = 0; code == ERR_OK && i < args->count; i++) {
        struct candidate *candidate = &decrypt->candidates[args->owners ? args->owners[i] : 0];
        if (candidate->key != NULL ||
            !smime_recipient_find(element, args->keys[i]->certificate, &ignored))
            continue;
        if (decrypt->held + element.n > LIMIT_RECIPIENTS)
            return err_set_reason(err, ERR_LIMIT, "too-large",
                                  "CMS: RecipientInfos of more than "
                                  "%d octets",
                                  LIMIT_RECIPIENTS);
        candidate->key = args->keys[i];
        decrypt->held += element.n;
        code = buf_append(&candidate->bytes, element, err);
    }
    return code;
}

static enum err_code
on_field(void *context, enum smime_field field, struct span element, struct err *err)
{
    struct smime_decrypt *decrypt = context;
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
read_structure(struct smime_decrypt *decrypt, struct smime_structure_result *found, struct err *err)
{
    const struct smime_structure_args args = {
        .wanted = 1u << SMIME_FIELD_RECIPIENT | 1u << SMIME_FIELD_CONTENT_ALGORITHM |
                  1u << SMIME_FIELD_AUTH_ATTRIBUTES | 1u << SMIME_FIELD_MAC,
        .field_limit_bytes = LIMIT_FIELD,
        .field = on_field,
        .context = decrypt,
    };
    enum err_code code = read_spool(decrypt->args.spool, &args, found, err);
    if (code == ERR_LIMIT)
        return ERR_LIMIT;
    if (code == ERR_OK && found->content != SMIME_CONTENT_ENVELOPED &&
        found->content != SMIME_CONTENT_AUTHENVELOPED)
        return err_set_reason(err, ERR_PERM, "malformed-cms", "CMS: not an enveloped object");
    return code;
}

/* One reason, the first; what is wrong is told at the end of the content. */
static void
fail(struct smime_decrypt *decrypt, const char *reason)
{
    if (!decrypt->failed)
        decrypt->reason = reason;
    decrypt->failed = true;
}

/* The content key for one owner. What the cryptography refuses is noted and the work goes on with a
 * random key, so that every failure ends in the same place. */
static enum err_code
get_one(struct smime_decrypt *decrypt, const struct candidate *candidate, unsigned char *cek,
        struct err *err)
{
    size_t key_bytes = decrypt->cipher.key_bytes;
    struct smime_recipient recipient;
    struct err why = ERR_INIT;
    enum err_code code;
    bool absent = candidate->key == NULL || decrypt->args.refused;
    EVP_PKEY *pkey = (absent ? candidate->any : candidate->key)->pkey;
    if (absent && !smime_recipient_get_stand_in(pkey, &recipient))
        return smime_recipient_get_random(pkey, cek, key_bytes, err);
    if (!absent &&
        !smime_recipient_find(buf_span(&candidate->bytes), candidate->key->certificate, &recipient))
        return err_set(err, ERR_BUG, "a RecipientInfo changed");
    code = smime_recipient_get(&recipient, pkey, cek, key_bytes, &why);
    if (code != ERR_OK && code != ERR_PERM)
        return err_set_reason(err, code, why.reason, "%s", why.text);
    if (absent)
        return RAND_priv_bytes(cek, (int)key_bytes) == 1
                   ? ERR_OK
                   : pki_crypto_fail(err, ERR_TEMP, "no random numbers");
    if (code == ERR_OK || strcmp(why.reason, "unsupported-algorithm") != 0)
        decrypt->result.key_used = true;
    if (code == ERR_OK)
        return ERR_OK;
    fail(decrypt, why.reason);
    if (decrypt->result.key_used)
        return ERR_OK;
    if (!decrypt->args.quiet)
        return err_set_reason(err, ERR_PERM, why.reason, "%s", why.text);
    return smime_recipient_get_random(candidate->any->pkey, cek, key_bytes, err);
}

/* Every owner's RecipientInfo has to hold the same key. */
static enum err_code
get_key(struct smime_decrypt *decrypt, struct err *err)
{
    unsigned char cek[SMIME_CONTENT_KEY];
    size_t key_bytes = decrypt->cipher.key_bytes;
    bool differ = false;
    enum err_code code = get_one(decrypt, &decrypt->candidates[0], decrypt->cek, err);
    decrypt->result.key = decrypt->candidates[0].key;
    for (size_t i = 1; code == ERR_OK && i < decrypt->count; i++) {
        code = get_one(decrypt, &decrypt->candidates[i], cek, err);
        if (code == ERR_OK)
            differ |= CRYPTO_memcmp(cek, decrypt->cek, key_bytes) != 0;
    }
    OPENSSL_cleanse(cek, sizeof(cek));
    if (code == ERR_OK && differ) {
        fail(decrypt, "decrypt-failed");
        if (RAND_priv_bytes(decrypt->cek, (int)sizeof(decrypt->cek)) != 1)
            return pki_crypto_fail(err, ERR_TEMP, "no random numbers");
    }
    return code;
}

static enum err_code
on_content(void *context, struct span piece, struct err *err)
{
    struct smime_decrypt *decrypt = context;
    struct err ignored = ERR_INIT;
    if (decrypt->shadow != NULL)
        (void)!smime_content_write(decrypt->shadow, piece, &ignored);
    return smime_content_write(decrypt->stream, piece, err);
}

static enum err_code
drop(void *context, struct span piece, struct err *err)
{
    (void)context;
    (void)piece;
    (void)err;
    return ERR_OK;
}

/* With quiet, each content goes through a cipher with a tag and one without, so that the time does
 * not tell a wrong tag from a wrong padding. What the second makes of it is dropped. */
static enum err_code
start_shadow(struct smime_decrypt *decrypt, struct stage **sink, struct err *err)
{
    bool aead = decrypt->cipher.aead;
    enum err_code code = stage_sink_new(drop, NULL, sink, err);
    const struct smime_content_args args = {
        .algorithm =
            aead ? span_of(stand_in, sizeof(stand_in)) : span_of(shadow_gcm, sizeof(shadow_gcm)),
        .key = span_of(shadow_key, sizeof(shadow_key)),
        .mac = span_of(shadow_key, aead ? 0 : 16),
        .plain = *sink,
    };
    return code == ERR_OK ? smime_content_new(&args, &decrypt->shadow, err) : code;
}

static void
finish_shadow(struct smime_decrypt *decrypt, struct stage **sink)
{
    struct err ignored = ERR_INIT;
    if (decrypt->shadow != NULL)
        (void)!smime_content_finish(decrypt->shadow, &ignored);
    smime_content_free(&decrypt->shadow);
    stage_free(sink);
}

enum err_code
smime_decrypt_write(struct smime_decrypt *decrypt, struct stage *plain, struct err *err)
{
    struct span attributes = buf_span(&decrypt->attributes.bytes);
    struct span element = buf_span(&decrypt->mac.bytes);
    struct smime_ber_element mac = { .identifier = 0 };
    struct smime_structure_result found;
    if (decrypt->mac.there && smime_ber_get(&element, &mac, err) != ERR_OK)
        return ERR_PERM;
    const struct smime_content_args args = {
        .algorithm = buf_span(&decrypt->algorithm.bytes),
        .key = span_of(decrypt->cek, decrypt->cipher.key_bytes),
        .auth_attributes = decrypt->attributes.there ? attributes : span_of(NULL, 0),
        .mac = mac.contents,
        .plain = plain,
    };
    const struct smime_structure_args reading = { .content = on_content, .context = decrypt };
    struct stage *sink = NULL;
    pki_crypto_reset();
    enum err_code code = smime_content_new(&args, &decrypt->stream, err);
    if (code == ERR_OK && decrypt->args.quiet)
        code = start_shadow(decrypt, &sink, err);
    if (code == ERR_OK)
        code = read_spool(decrypt->args.spool, &reading, &found, err);
    if (code == ERR_OK)
        code = smime_content_finish(decrypt->stream, err);
    if (code == ERR_OK && decrypt->failed)
        code = smime_content_fail(err);
    finish_shadow(decrypt, &sink);
    smime_content_free(&decrypt->stream);
    pki_crypto_reset();
    return code;
}

/* The work of decryption goes on with another algorithm, and fails at its end. */
static enum err_code
use_stand_in(struct smime_decrypt *decrypt, struct err *err)
{
    fail(decrypt, "unsupported-algorithm");
    buf_reset(&decrypt->algorithm.bytes);
    decrypt->attributes.there = decrypt->mac.there = false;
    enum err_code code =
        buf_append(&decrypt->algorithm.bytes, span_of(stand_in, sizeof(stand_in)), err);
    return code != ERR_OK
               ? code
               : smime_content_find(buf_span(&decrypt->algorithm.bytes), &decrypt->cipher, err);
}

static enum err_code
check_cipher(struct smime_decrypt *decrypt, const struct smime_structure_result *found,
             struct err *err)
{
    struct err why = ERR_INIT;
    enum err_code code =
        smime_content_find(buf_span(&decrypt->algorithm.bytes), &decrypt->cipher, &why);
    /* CBC under the name of AuthEnvelopedData would look authentic and not be. */
    if (code == ERR_OK && !decrypt->cipher.aead && found->content == SMIME_CONTENT_AUTHENVELOPED)
        code =
            err_set_reason(&why, ERR_PERM, "unsupported-algorithm",
                           "%s does not belong into this kind of CMS object", decrypt->cipher.name);
    if (code == ERR_PERM && decrypt->args.quiet)
        return use_stand_in(decrypt, err);
    return code == ERR_OK ? ERR_OK : err_set_reason(err, code, why.reason, "%s", why.text);
}

/* What is known before a key is used: is there one, and can we do the cipher? */
static enum err_code
check_object(struct smime_decrypt *decrypt, const struct smime_structure_result *found,
             struct err *err)
{
    bool missing = false;
    for (size_t i = 0; i < decrypt->count; i++)
        missing |= decrypt->candidates[i].key == NULL;
    if (!decrypt->args.quiet && !decrypt->openable)
        return err_set_reason(err, ERR_PERM, "unsupported-algorithm",
                              "the message is encrypted to no certificate");
    if (!decrypt->args.quiet && missing)
        return err_set_reason(err, ERR_NOTFOUND, "no-key",
                              "the message is encrypted to %u recipients, none of them ours",
                              found->recipients);
    if (decrypt->args.refused)
        fail(decrypt, "rate-limited");
    if (missing)
        fail(decrypt, decrypt->openable ? "no-key" : "unsupported-algorithm");
    return check_cipher(decrypt, found, err);
}

static void
set_result(struct smime_decrypt *decrypt, const struct smime_structure_result *found)
{
    struct smime_decrypt_result *result = &decrypt->result;
    result->recipients = found->recipients;
    snprintf(result->cipher, sizeof(result->cipher), "%s", decrypt->cipher.name);
    result->authenticated = decrypt->cipher.aead;
    result->weak_cipher = decrypt->cipher.weak;
    result->misplaced_aead = decrypt->cipher.aead && found->content == SMIME_CONTENT_ENVELOPED;
}

static enum err_code
check_args(struct smime_decrypt *decrypt, struct err *err)
{
    const struct smime_decrypt_args *args = &decrypt->args;
    decrypt->count = args->owners ? args->owner_count : 1;
    if (decrypt->count == 0 || decrypt->count > SMIME_DECRYPT_LIMIT_OWNERS)
        return err_set(err, ERR_BUG, "a message for %zu owners of keys", decrypt->count);
    for (size_t i = 0; i < decrypt->count; i++)
        buf_init(&decrypt->candidates[i].bytes, LIMIT_FIELD);
    for (size_t i = 0; i < args->count; i++) {
        size_t owner = args->owners ? args->owners[i] : 0;
        if (owner >= decrypt->count)
            return err_set(err, ERR_BUG, "a key of owner %zu", owner);
        if (decrypt->candidates[owner].any == NULL)
            decrypt->candidates[owner].any = args->keys[i];
    }
    for (size_t i = 0; args->quiet && i < decrypt->count; i++)
        if (decrypt->candidates[i].any == NULL)
            return err_set(err, ERR_BUG, "an owner without a key");
    return ERR_OK;
}

enum err_code
smime_decrypt_new(const struct smime_decrypt_args *args, struct smime_decrypt **out,
                  struct err *err)
{
    struct smime_structure_result found = { .recipients = 0 };
    struct smime_decrypt *decrypt = calloc(1, sizeof(*decrypt));
    if (decrypt == NULL)
        return err_set(err, ERR_NOMEM, "no memory to decrypt");
    decrypt->args = *args;
    decrypt->reason = "ok";
    pki_crypto_reset();
    buf_init(&decrypt->algorithm.bytes, LIMIT_FIELD);
    buf_init(&decrypt->attributes.bytes, LIMIT_FIELD);
    buf_init(&decrypt->mac.bytes, LIMIT_FIELD);
    enum err_code code = check_args(decrypt, err);
    if (code == ERR_OK)
        code = read_structure(decrypt, &found, err);
    if (code == ERR_OK)
        code = check_object(decrypt, &found, err);
    if (code == ERR_OK) {
        set_result(decrypt, &found);
        code = get_key(decrypt, err);
    }
    pki_crypto_reset();
    if (code != ERR_OK) {
        smime_decrypt_free(&decrypt);
        return code;
    }
    *out = decrypt;
    return ERR_OK;
}

const struct smime_decrypt_result *
smime_decrypt_get(const struct smime_decrypt *decrypt)
{
    return &decrypt->result;
}

const char *
smime_decrypt_reason(const struct smime_decrypt *decrypt)
{
    return decrypt->reason;
}

void
smime_decrypt_free(struct smime_decrypt **decrypt)
{
    struct smime_decrypt *old = decrypt != NULL ? *decrypt : NULL;
    if (old == NULL)
        return;
    *decrypt = NULL;
    smime_content_free(&old->stream);
    for (size_t i = 0; i < old->count && i < SMIME_DECRYPT_LIMIT_OWNERS; i++)
        buf_free(&old->candidates[i].bytes);
    buf_free(&old->algorithm.bytes);
    buf_free(&old->attributes.bytes);
    buf_free(&old->mac.bytes);
    OPENSSL_cleanse(old, sizeof(*old));
    free(old);
}

enum err_code
smime_decrypt(const struct smime_decrypt_args *args, struct stage *plain,
              struct smime_decrypt_result *result, struct err *err)
{
    struct smime_decrypt *decrypt = NULL;
    *result = (struct smime_decrypt_result){ .key = NULL };
    enum err_code code = smime_decrypt_new(args, &decrypt, err);
    if (code != ERR_OK)
        return code;
    *result = decrypt->result;
    code = smime_decrypt_write(decrypt, plain, err);
    smime_decrypt_free(&decrypt);
    return code;
}
