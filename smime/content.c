#include "smime/content.h"

#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "pki/crypto.h"
#include "smime/ber.h"
#include "smime/kdf.h"

enum {
    NONCE_AEAD = 12, /* RFC 5084 3.2, RFC 8103 2 */
    TAG_MIN = 12,
    TAG_MAX = 16,
    TAG_DEFAULT = 12,       /* aes-ICVlen DEFAULT 12, RFC 5084 3.2 */
    PIECE_BYTES = 16 * 1024 /* the processor's first cache; each stream makes and wipes one */
};

#define OID_AES(last)                                          \
    {                                                          \
        0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, (last) \
    }
#define OID_CHACHA20                                                     \
    {                                                                    \
        0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x03, 0x12 \
    }
#define OID_3DES                                       \
    {                                                  \
        0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x03, 0x07 \
    }

/* Contents octets of the OIDs: RFC 3565 4.1, RFC 5084 3.2, RFC 8103 3, RFC 3370 5.1. */
static const struct row {
    const char *name;
    unsigned char n, oid[11];
    unsigned char key_bytes, iv_bytes;
    bool aead;
    const EVP_CIPHER *(*get)(void);
} rows[] = {
    { "aes128-cbc", 9, OID_AES(0x02), 16, 16, false, EVP_aes_128_cbc },
    { "aes192-cbc", 9, OID_AES(0x16), 24, 16, false, EVP_aes_192_cbc },
    { "aes256-cbc", 9, OID_AES(0x2a), 32, 16, false, EVP_aes_256_cbc },
    { "aes128-gcm", 9, OID_AES(0x06), 16, NONCE_AEAD, true, EVP_aes_128_gcm },
    { "aes192-gcm", 9, OID_AES(0x1a), 24, NONCE_AEAD, true, EVP_aes_192_gcm },
    { "aes256-gcm", 9, OID_AES(0x2e), 32, NONCE_AEAD, true, EVP_aes_256_gcm },
    { "chacha20-poly1305", 11, OID_CHACHA20, 32, NONCE_AEAD, true, EVP_chacha20_poly1305 },
    { "des-ede3-cbc", 8, OID_3DES, 24, 8, false, EVP_des_ede3_cbc },
};

/* id-alg-cek-hkdf-sha256: its parameter is the AlgorithmIdentifier of the cipher. */
static const unsigned char oid_cek_hkdf[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
                                              0x01, 0x09, 0x10, 0x03, 0x1f };

struct cipher {
    const struct row *row;
    struct span iv;
    size_t tag_bytes;
    struct span derive_info; /* RFC 9709: the inner AlgorithmIdentifier; p NULL: the key as it is */
};

struct smime_content_stream {
    EVP_CIPHER_CTX *context;
    struct stage *plain;
    /* CBC: the last block is held back, since it holds the padding. Its size; 0: AEAD. */
    size_t block_bytes;
    unsigned char block[EVP_MAX_BLOCK_LENGTH];
    size_t block_n;
    size_t rest;      /* CBC: octets of an unfinished block */
    size_t tag_bytes; /* the last octets are the tag: held back; 0: it came with the mac */
    unsigned char tag[TAG_MAX];
    size_t tag_n;
    unsigned char out[PIECE_BYTES + EVP_MAX_BLOCK_LENGTH];
};

enum err_code
smime_content_fail(struct err *err)
{
    pki_crypto_reset();
    return err_set_reason(err, ERR_PERM, "decrypt-failed", "the message cannot be decrypted");
}

static enum err_code
unsupported(struct err *err)
{
    return err_set_reason(err, ERR_PERM, "unsupported-algorithm",
                          "the content is encrypted with an algorithm that is not supported");
}

/* GCMParameters: SEQUENCE { nonce OCTET STRING, aes-ICVlen INTEGER DEFAULT 12 }. */
static bool
parse_gcm(const struct smime_ber_element *parameters, struct cipher *out)
{
    struct smime_ber_element nonce, length;
    struct span inside = parameters->contents;
    if (parameters->identifier != SMIME_BER_SEQUENCE ||
        smime_ber_get(&inside, &nonce, NULL) != ERR_OK || nonce.identifier != SMIME_BER_OCTETS)
        return false;
    out->iv = nonce.contents;
    out->tag_bytes = TAG_DEFAULT;
    if (inside.n == 0)
        return true;
    if (smime_ber_get(&inside, &length, NULL) != ERR_OK || length.identifier != SMIME_BER_INTEGER ||
        length.contents.n != 1 || inside.n != 0)
        return false;
    out->tag_bytes = length.contents.p[0];
    return out->tag_bytes >= TAG_MIN && out->tag_bytes <= TAG_MAX;
}

static bool
parse_parameters(const struct smime_ber_element *parameters, struct cipher *out)
{
    if (out->row->aead && out->row->get != EVP_chacha20_poly1305) {
        if (!parse_gcm(parameters, out))
            return false;
    } else {
        if (parameters->identifier != SMIME_BER_OCTETS)
            return false;
        out->iv = parameters->contents;
        out->tag_bytes = TAG_MAX;
    }
    return out->iv.n == out->row->iv_bytes;
}

static bool
parse_algorithm(struct span algorithm, bool derived, struct cipher *out)
{
    struct smime_ber_element whole, oid, parameters;
    if (smime_ber_get(&algorithm, &whole, NULL) != ERR_OK || whole.identifier != SMIME_BER_SEQUENCE)
        return false;
    struct span inside = whole.contents;
    if (smime_ber_get(&inside, &oid, NULL) != ERR_OK || oid.identifier != SMIME_BER_OID ||
        smime_ber_get(&inside, &parameters, NULL) != ERR_OK || inside.n != 0)
        return false;
    if (!derived && span_equal(oid.contents, span_of(oid_cek_hkdf, sizeof(oid_cek_hkdf)))) {
        out->derive_info = parameters.whole;
        return parse_algorithm(parameters.whole, true, out);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (span_equal(oid.contents, span_of(rows[i].oid, rows[i].n))) {
            out->row = &rows[i];
            return parse_parameters(&parameters, out);
        }
    }
    return false;
}

enum err_code
smime_content_find(struct span algorithm, struct smime_cipher_facts *out, struct err *err)
{
    struct cipher cipher = { .row = NULL };
    if (!parse_algorithm(algorithm, false, &cipher))
        return unsupported(err);
    *out = (struct smime_cipher_facts){ .name = cipher.row->name,
                                        .key_bytes = cipher.row->key_bytes,
                                        .aead = cipher.row->aead,
                                        .weak = cipher.row->get == EVP_des_ede3_cbc };
    return ERR_OK;
}

/* RFC 9709 2: whoever strips the derivation from the message gets another key. */
static bool
derive_key(const struct cipher *cipher, struct span key, unsigned char *out)
{
    static const char salt[] = "The Cryptographic Message Syntax";
    if (cipher->derive_info.p == NULL) {
        memcpy(out, key.p, key.n);
        return true;
    }
    const struct smime_kdf_args args = { .hkdf = true,
                                         .digest = "SHA256",
                                         .secret = key,
                                         .salt = span_str(salt),
                                         .info = cipher->derive_info };
    return smime_kdf_get(&args, out, key.n);
}

/* RFC 5083 2.2: the additional data is the attributes with the tag of a SET instead of [1]. */
static bool
add_attributes(EVP_CIPHER_CTX *context, struct span attributes)
{
    struct smime_ber_element element;
    unsigned char header[SMIME_BER_HEADER];
    int n = 0;
    if (attributes.p == NULL)
        return true;
    if (smime_ber_get(&attributes, &element, NULL) != ERR_OK)
        return false;
    size_t header_n = smime_ber_format(SMIME_BER_SET, element.contents.n, header);
    return EVP_DecryptUpdate(context, NULL, &n, header, (int)header_n) > 0 &&
           (element.contents.n == 0 ||
            EVP_DecryptUpdate(context, NULL, &n, element.contents.p, (int)element.contents.n) > 0);
}

static bool
start(struct smime_content_stream *stream, const struct smime_content_args *args,
      const struct cipher *cipher, const unsigned char *key)
{
    EVP_CIPHER_CTX *context = stream->context = EVP_CIPHER_CTX_new();
    unsigned char tag[TAG_MAX];
    /* A nonce of 12 octets is what AEAD has by itself. */
    if (context == NULL ||
        EVP_DecryptInit_ex(context, cipher->row->get(), NULL, key, cipher->iv.p) <= 0)
        return false;
    if (!cipher->row->aead) {
        stream->block_bytes = cipher->row->iv_bytes;
        return EVP_CIPHER_CTX_set_padding(context, 0) > 0;
    }
    if (args->mac.p == NULL) {
        stream->tag_bytes = cipher->tag_bytes;
        return true;
    }
    if (args->mac.n != cipher->tag_bytes)
        return false;
    memcpy(tag, args->mac.p, args->mac.n);
    return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, (int)args->mac.n, tag) > 0 &&
           add_attributes(context, args->auth_attributes);
}

enum err_code
smime_content_new(const struct smime_content_args *args, struct smime_content_stream **out,
                  struct err *err)
{
    struct cipher cipher = { .row = NULL };
    unsigned char key[SMIME_CONTENT_KEY];
    if (!parse_algorithm(args->algorithm, false, &cipher))
        return unsupported(err);
    if (args->key.n != cipher.row->key_bytes)
        return err_set(err, ERR_BUG, "a content key of %zu octets for %s", args->key.n,
                       cipher.row->name);
    struct smime_content_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return err_set(err, ERR_NOMEM, "no memory to decrypt");
    stream->plain = args->plain;
    bool good = derive_key(&cipher, args->key, key) && start(stream, args, &cipher, key);
    OPENSSL_cleanse(key, sizeof(key));
    if (!good) {
        smime_content_free(&stream);
        return smime_content_fail(err);
    }
    *out = stream;
    return ERR_OK;
}

void
smime_content_free(struct smime_content_stream **stream)
{
    if (stream == NULL || *stream == NULL)
        return;
    EVP_CIPHER_CTX_free((*stream)->context);
    OPENSSL_cleanse(*stream, sizeof(**stream));
    free(*stream);
    *stream = NULL;
}

/* All but the last block of what was decrypted so far. */
static enum err_code
write_blocks(struct smime_content_stream *stream, struct span plain, struct err *err)
{
    size_t keep = stream->block_bytes;
    enum err_code code = ERR_OK;
    if (keep == 0)
        return stage_write(stream->plain, plain, err);
    if (stream->block_n > 0)
        code = stage_write(stream->plain, span_of(stream->block, stream->block_n), err);
    if (code == ERR_OK && plain.n > keep)
        code = stage_write(stream->plain, span_of(plain.p, plain.n - keep), err);
    memcpy(stream->block, plain.p + plain.n - keep, keep);
    stream->block_n = keep;
    return code;
}

static enum err_code
write_plain(struct smime_content_stream *stream, struct span piece, struct err *err)
{
    if (stream->block_bytes > 0)
        stream->rest = (stream->rest + piece.n) % stream->block_bytes;
    while (piece.n > 0) {
        int in = piece.n < PIECE_BYTES ? (int)piece.n : PIECE_BYTES;
        int n = 0;
        if (EVP_DecryptUpdate(stream->context, stream->out, &n, piece.p, in) <= 0)
            return smime_content_fail(err);
        if (n > 0) {
            enum err_code code = write_blocks(stream, span_of(stream->out, (size_t)n), err);
            if (code != ERR_OK)
                return code;
        }
        piece = span_from(piece, (size_t)in);
    }
    return ERR_OK;
}

enum err_code
smime_content_write(struct smime_content_stream *stream, struct span piece, struct err *err)
{
    /* Of what is held and what comes, the last tag_bytes may be the tag; all before them is
     * content. */
    size_t all = stream->tag_n + piece.n;
    size_t content = all > stream->tag_bytes ? all - stream->tag_bytes : 0;
    size_t old = content < stream->tag_n ? content : stream->tag_n;
    size_t fresh = content - old;
    enum err_code code = write_plain(stream, span_of(stream->tag, old), err);
    if (code == ERR_OK)
        code = write_plain(stream, span_of(piece.p, fresh), err);
    if (code != ERR_OK)
        return code;
    memmove(stream->tag, stream->tag + old, stream->tag_n - old);
    stream->tag_n -= old;
    if (piece.n > fresh)
        memcpy(stream->tag + stream->tag_n, piece.p + fresh, piece.n - fresh);
    stream->tag_n += piece.n - fresh;
    return ERR_OK;
}

/* How many octets of the last block are padding; 0: it is none. Time and memory accesses do not
 * depend on the block (RFC 5652 6.3). */
static size_t
get_padding(const struct smime_content_stream *stream)
{
    size_t size = stream->block_bytes;
    unsigned padding = stream->block[size - 1];
    unsigned bad = ((padding - 1u) | ((unsigned)size - padding)) >> 31;
    for (size_t i = 0; i < size; i++) {
        unsigned inside = ((unsigned)(size - 1 - i) - padding) >> 31; /* 1: of the padding */
        bad |= (0u - inside) & (stream->block[i] ^ padding);
    }
    unsigned good = ((bad | (0u - bad)) >> 31) ^ 1u;
    return padding & (0u - good);
}

static enum err_code
finish_blocks(struct smime_content_stream *stream, struct err *err)
{
    if (stream->block_n == 0 || stream->rest > 0)
        return smime_content_fail(err);
    size_t padding = get_padding(stream);
    enum err_code code =
        stage_write(stream->plain, span_of(stream->block, stream->block_bytes - padding), err);
    return code == ERR_OK && padding == 0 ? smime_content_fail(err) : code;
}

enum err_code
smime_content_finish(struct smime_content_stream *stream, struct err *err)
{
    int n = 0;
    if (stream->block_bytes > 0)
        return finish_blocks(stream, err);
    if (stream->tag_n != stream->tag_bytes ||
        (stream->tag_bytes > 0 && EVP_CIPHER_CTX_ctrl(stream->context, EVP_CTRL_AEAD_SET_TAG,
                                                      (int)stream->tag_n, stream->tag) <= 0) ||
        EVP_DecryptFinal_ex(stream->context, stream->out, &n) <= 0)
        return smime_content_fail(err);
    return n > 0 ? stage_write(stream->plain, span_of(stream->out, (size_t)n), err) : ERR_OK;
}
