/*
 * The raw primitives, with keys, contexts and algorithms made once: what no program on this library
 * can be faster than. tests/bench/run.py adds them up for the floor.
 */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "mime/base64.h"
#include "tests/bench/bench.h"
#include "tests/unit/testca.h"

enum { LARGE = 1 << 20, SMALL = 4096, DIGEST = 32 };

static unsigned char input[LARGE], output[2 * LARGE];

/* ---- signatures -------------------------------------------------------------------------------
 */

struct signing {
    EVP_PKEY_CTX *sign, *verify;
    unsigned char signature[512];
    size_t signature_n;
};

static EVP_PKEY_CTX *
new_context(EVP_PKEY *key, bool verify)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);

    BENCH_MUST(context);
    BENCH_MUST((verify ? EVP_PKEY_verify_init(context) : EVP_PKEY_sign_init(context)) > 0);
    BENCH_MUST(EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
               EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) > 0);
    BENCH_MUST(EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) > 0);
    return context;
}

static void
run_sign(void *context)
{
    struct signing *signing = context;

    signing->signature_n = sizeof signing->signature;
    BENCH_MUST(
        EVP_PKEY_sign(signing->sign, signing->signature, &signing->signature_n, input, DIGEST) > 0);
}

static void
run_verify(void *context)
{
    struct signing *signing = context;

    BENCH_MUST(EVP_PKEY_verify(signing->verify, signing->signature, signing->signature_n, input,
                               DIGEST) == 1);
}

static void
bench_signing(const char *kind, enum testca_key type)
{
    EVP_PKEY *key = testca_key(type, 0);
    struct signing signing = { .sign = new_context(key, false), .verify = new_context(key, true) };
    char name[64];

    snprintf(name, sizeof name, "sign %s", kind);
    bench_run(name, run_sign, &signing);
    snprintf(name, sizeof name, "verify %s", kind);
    bench_run(name, run_verify, &signing);
    EVP_PKEY_CTX_free(signing.sign);
    EVP_PKEY_CTX_free(signing.verify);
}

/* ---- key transport and agreement --------------------------------------------------------------
 */

struct transport {
    EVP_PKEY_CTX *encrypt, *decrypt;
    unsigned char wrapped[512];
    size_t wrapped_n;
};

static void
run_wrap(void *context)
{
    struct transport *transport = context;

    transport->wrapped_n = sizeof transport->wrapped;
    BENCH_MUST(EVP_PKEY_encrypt(transport->encrypt, transport->wrapped, &transport->wrapped_n,
                                input, DIGEST) > 0);
}

static void
run_unwrap(void *context)
{
    struct transport *transport = context;
    size_t n = sizeof output;

    BENCH_MUST(EVP_PKEY_decrypt(transport->decrypt, output, &n, transport->wrapped,
                                transport->wrapped_n) > 0);
}

static void
bench_transport(const char *kind, enum testca_key type)
{
    EVP_PKEY *key = testca_key(type, 0);
    struct transport transport = { .encrypt = EVP_PKEY_CTX_new(key, NULL),
                                   .decrypt = EVP_PKEY_CTX_new(key, NULL) };
    char name[64];

    BENCH_MUST(EVP_PKEY_encrypt_init(transport.encrypt) > 0);
    BENCH_MUST(EVP_PKEY_decrypt_init(transport.decrypt) > 0);
    snprintf(name, sizeof name, "wrap %s", kind);
    bench_run(name, run_wrap, &transport);
    snprintf(name, sizeof name, "unwrap %s", kind);
    bench_run(name, run_unwrap, &transport);
    EVP_PKEY_CTX_free(transport.encrypt);
    EVP_PKEY_CTX_free(transport.decrypt);
}

/* An ephemeral key and a shared secret: what one more recipient with P-256 costs. */
static void
run_agree(void *context)
{
    EVP_PKEY *ephemeral = EVP_EC_gen("P-256");
    EVP_PKEY_CTX *derive = ephemeral ? EVP_PKEY_CTX_new(ephemeral, NULL) : NULL;
    size_t n = sizeof output;

    BENCH_MUST(derive && EVP_PKEY_derive_init(derive) > 0);
    BENCH_MUST(EVP_PKEY_derive_set_peer(derive, context) > 0);
    BENCH_MUST(EVP_PKEY_derive(derive, output, &n) > 0);
    EVP_PKEY_CTX_free(derive);
    EVP_PKEY_free(ephemeral);
}

/* ---- bytes ------------------------------------------------------------------------------------
 */

struct bytes {
    EVP_MD_CTX *digest;
    EVP_CIPHER_CTX *cipher;
    const EVP_MD *md;
    const EVP_CIPHER *algorithm;
    size_t n;
};

static void
run_digest(void *context)
{
    struct bytes *bytes = context;
    unsigned n = 0;

    BENCH_MUST(EVP_DigestInit_ex2(bytes->digest, bytes->md, NULL));
    BENCH_MUST(EVP_DigestUpdate(bytes->digest, input, bytes->n));
    BENCH_MUST(EVP_DigestFinal_ex(bytes->digest, output, &n));
}

static void
run_cipher(void *context)
{
    static const unsigned char key[32], iv[16];
    struct bytes *bytes = context;
    int n = 0;

    BENCH_MUST(EVP_EncryptInit_ex2(bytes->cipher, bytes->algorithm, key, iv, NULL));
    BENCH_MUST(EVP_EncryptUpdate(bytes->cipher, output, &n, input, (int)bytes->n));
    BENCH_MUST(EVP_EncryptFinal_ex(bytes->cipher, output + n, &n));
}

/* The way back; padding is left alone, since what is opened was never sealed. */
static void
run_open(void *context)
{
    static const unsigned char key[32], iv[16];
    struct bytes *bytes = context;
    int n = 0;

    BENCH_MUST(EVP_DecryptInit_ex2(bytes->cipher, bytes->algorithm, key, iv, NULL));
    EVP_CIPHER_CTX_set_padding(bytes->cipher, 0);
    BENCH_MUST(EVP_DecryptUpdate(bytes->cipher, output, &n, input, (int)bytes->n));
}

static enum err_code
discard(void *context, struct span piece, struct err *err)
{
    (void)context, (void)piece, (void)err;
    return ERR_OK;
}

/* Our own stage: base64 in lines, as it stands in every message. */
static void
run_base64(void *context)
{
    struct bytes *bytes = context;
    struct stage *sink = NULL, *encoder = NULL;

    BENCH_MUST(stage_sink_new(discard, NULL, &sink, NULL) == ERR_OK);
    BENCH_MUST(mime_base64_encode_new(sink, &encoder, NULL) == ERR_OK);
    BENCH_MUST(stage_write(encoder, span_of(input, bytes->n), NULL) == ERR_OK);
    BENCH_MUST(stage_finish(encoder, NULL) == ERR_OK);
    stage_free(&encoder);
}

struct text {
    struct buf buf;
};

static void
run_unbase64(void *context)
{
    struct text *text = context;
    struct stage *sink = NULL, *decoder = NULL;

    BENCH_MUST(stage_sink_new(discard, NULL, &sink, NULL) == ERR_OK);
    BENCH_MUST(mime_base64_decode_new(NULL, sink, &decoder, NULL) == ERR_OK);
    BENCH_MUST(stage_write(decoder, buf_span(&text->buf), NULL) == ERR_OK);
    BENCH_MUST(stage_finish(decoder, NULL) == ERR_OK);
    stage_free(&decoder);
}

static void
bench_unbase64(size_t n, const char *name)
{
    struct text text = { .buf = BUF_INIT(2 * LARGE) };
    struct stage *sink = NULL, *encoder = NULL;

    BENCH_MUST(stage_buf_new(&text.buf, &sink, NULL) == ERR_OK);
    BENCH_MUST(mime_base64_encode_new(sink, &encoder, NULL) == ERR_OK);
    BENCH_MUST(stage_write(encoder, span_of(input, n), NULL) == ERR_OK);
    BENCH_MUST(stage_finish(encoder, NULL) == ERR_OK);
    stage_free(&encoder);
    bench_run(name, run_unbase64, &text);
    buf_free(&text.buf);
}

static void
bench_bytes(size_t n, const char *size)
{
    static const struct {
        const char *name, *fetch;
    } ciphers[] = { { "aes256-cbc", "AES-256-CBC" }, { "aes256-gcm", "AES-256-GCM" } };
    struct bytes bytes = { .digest = EVP_MD_CTX_new(), .cipher = EVP_CIPHER_CTX_new(), .n = n };
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
    char name[64];

    BENCH_MUST(bytes.digest && bytes.cipher && md);
    bytes.md = md;
    snprintf(name, sizeof name, "sha256 %s", size);
    bench_run(name, run_digest, &bytes);
    for (size_t i = 0; i < sizeof ciphers / sizeof ciphers[0]; i++) {
        EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, ciphers[i].fetch, NULL);

        BENCH_MUST(cipher);
        bytes.algorithm = cipher;
        snprintf(name, sizeof name, "%s %s", ciphers[i].name, size);
        bench_run(name, run_cipher, &bytes);
        if (i == 0) {
            snprintf(name, sizeof name, "%s-open %s", ciphers[i].name, size);
            bench_run(name, run_open, &bytes);
        }
        EVP_CIPHER_free(cipher);
    }
    snprintf(name, sizeof name, "base64 %s", size);
    bench_run(name, run_base64, &bytes);
    snprintf(name, sizeof name, "unbase64 %s", size);
    bench_unbase64(n, name);
    EVP_MD_free(md);
    EVP_MD_CTX_free(bytes.digest);
    EVP_CIPHER_CTX_free(bytes.cipher);
}

/* ---- certificates -----------------------------------------------------------------------------
 */

static void
run_parse(void *context)
{
    struct buf *der = context;
    const unsigned char *p = der->p;
    X509 *x509 = d2i_X509(NULL, &p, (long)der->n);

    BENCH_MUST(x509 && X509_get0_pubkey(x509));
    X509_free(x509);
}

static void
bench_certificate(const char *name, enum testca_key type)
{
    struct buf der = BUF_INIT(65536);
    struct testca_leaf leaf;
    struct testca ca;

    testca_init(&ca, "Root");
    testca_issue(&ca,
                 &(struct testca_args){ .cn = "A", .san = "email:a@example.org", .key_type = type },
                 &leaf);
    unsigned char *bytes = NULL;
    int n = i2d_X509(leaf.x509, &bytes);
    BENCH_MUST(n > 0 && buf_append(&der, span_of(bytes, (size_t)n), NULL) == ERR_OK);
    bench_run(name, run_parse, &der);
    OPENSSL_free(bytes);
    buf_free(&der);
    testca_leaf_free(&leaf);
    testca_free(&ca);
}

int
main(void)
{
    for (size_t i = 0; i < sizeof input; i++)
        input[i] = (unsigned char)(i * 7 + i / 251);
    bench_signing("rsa2048", TESTCA_RSA2048);
    bench_signing("rsa3072", TESTCA_RSA3072);
    bench_signing("p256", TESTCA_P256);
    bench_transport("rsa2048", TESTCA_RSA2048);
    bench_transport("rsa3072", TESTCA_RSA3072);
    bench_run("agree p256", run_agree, testca_key(TESTCA_P256, 1));
    bench_bytes(SMALL, "4k");
    bench_bytes(LARGE, "1m");
    bench_certificate("parse certificate rsa2048", TESTCA_RSA2048);
    bench_certificate("parse certificate p256", TESTCA_P256);
    return 0;
}
