#include "tests/bench/bare_work.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "mime/base64.h"
#include "tests/bench/bench.h"

enum { PIECE = 32768, DIGEST = 32, LINES = 512 };

static const char *const names[] = { "sign",       "verify", "wrap",
                                     "unwrap",     "sha256", "aes256-cbc",
                                     "aes256-gcm", "base64", "aes256-cbc-open",
                                     "unbase64" };
enum { SIGN, VERIFY, WRAP, UNWRAP, HASH, CBC, GCM, BASE64, OPEN, UNBASE64, COUNT };

static unsigned long amounts[COUNT];
static EVP_PKEY *key, *rsa;
static EVP_MD *sha256;
static EVP_CIPHER *cbc, *gcm;

/* Of one thread. */
struct contexts {
    EVP_PKEY_CTX *sign, *verify, *wrap, *unwrap;
    EVP_MD_CTX *hash;
    EVP_CIPHER_CTX *cipher;
    unsigned char signature[512];
    unsigned char wrapped[512]; /* for rsa */
    size_t signature_n, wrapped_n;
    unsigned char in[PIECE], out[PIECE + 64];
    struct buf text; /* LINES lines of base64 */
};

static _Thread_local struct contexts *mine;

static EVP_PKEY *
load_key(const char *path)
{
    FILE *file = fopen(path, "r");
    EVP_PKEY *loaded = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;

    BENCH_MUST(loaded);
    fclose(file);
    return loaded;
}

bool
bare_work_parse(char *text)
{
    char *save = NULL;

    sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    cbc = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    BENCH_MUST(sha256 && cbc && gcm);
    for (char *item = strtok_r(text, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        char *value = strchr(item, '=');
        size_t i;

        if (!value)
            return false;
        *value++ = '\0';
        for (i = 0; i < COUNT && strcmp(names[i], item) != 0; i++)
            ;
        if (i < COUNT)
            amounts[i] = strtoul(value, NULL, 10);
        else if (strcmp(item, "key") == 0)
            key = load_key(value);
        else if (strcmp(item, "rsa") == 0)
            rsa = load_key(value);
        else
            return false;
    }
    return ((amounts[SIGN] == 0 && amounts[VERIFY] == 0) || key) &&
           ((amounts[WRAP] == 0 && amounts[UNWRAP] == 0) || rsa);
}

static EVP_PKEY_CTX *
new_context(bool verify)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);

    BENCH_MUST(context);
    BENCH_MUST((verify ? EVP_PKEY_verify_init(context) : EVP_PKEY_sign_init(context)) > 0);
    BENCH_MUST(EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
               EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) > 0);
    BENCH_MUST(EVP_PKEY_CTX_set_signature_md(context, sha256) > 0);
    return context;
}

static void
sign(struct contexts *contexts)
{
    contexts->signature_n = sizeof contexts->signature;
    BENCH_MUST(EVP_PKEY_sign(contexts->sign, contexts->signature, &contexts->signature_n,
                             contexts->in, DIGEST) > 0);
}

static void
wrap(struct contexts *contexts)
{
    contexts->wrapped_n = sizeof contexts->wrapped;
    BENCH_MUST(EVP_PKEY_encrypt(contexts->wrap, contexts->wrapped, &contexts->wrapped_n,
                                contexts->in, DIGEST) > 0);
}

/* Libmilter's threads end when they like: what they had is not given back. */
static struct contexts *
new_contexts(void)
{
    struct contexts *contexts = calloc(1, sizeof *contexts);
    struct err err = ERR_INIT;

    BENCH_MUST(contexts && (contexts->hash = EVP_MD_CTX_new()) &&
               (contexts->cipher = EVP_CIPHER_CTX_new()));
    contexts->text = (struct buf)BUF_INIT(2 * PIECE);
    BENCH_MUST(mime_base64_format_lines(span_of(contexts->in, LINES * 57), &contexts->text, &err) ==
               ERR_OK);
    if (key) {
        contexts->sign = new_context(false);
        contexts->verify = new_context(true);
        sign(contexts);
    }
    if (rsa) {
        contexts->wrap = EVP_PKEY_CTX_new(rsa, NULL);
        contexts->unwrap = EVP_PKEY_CTX_new(rsa, NULL);
        BENCH_MUST(contexts->wrap && EVP_PKEY_encrypt_init(contexts->wrap) > 0);
        BENCH_MUST(contexts->unwrap && EVP_PKEY_decrypt_init(contexts->unwrap) > 0);
        wrap(contexts);
    }
    return contexts;
}

static void
hash(struct contexts *contexts, unsigned long octets)
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    BENCH_MUST(EVP_DigestInit_ex2(contexts->hash, sha256, NULL));
    for (size_t n; octets > 0; octets -= n) {
        n = octets < PIECE ? octets : PIECE;
        BENCH_MUST(EVP_DigestUpdate(contexts->hash, contexts->in, n));
    }
    BENCH_MUST(EVP_DigestFinal_ex(contexts->hash, digest, NULL));
}

static void
cipher_run(struct contexts *contexts, const EVP_CIPHER *cipher, bool seal, unsigned long octets)
{
    unsigned char zero[EVP_MAX_KEY_LENGTH] = { 0 };
    int out = 0;

    BENCH_MUST(EVP_CipherInit_ex2(contexts->cipher, cipher, zero, zero, seal, NULL));
    /* What is opened here was never sealed: its padding is left alone. */
    EVP_CIPHER_CTX_set_padding(contexts->cipher, seal);
    for (size_t n; octets > 0; octets -= n) {
        n = octets < PIECE ? octets : PIECE;
        BENCH_MUST(EVP_CipherUpdate(contexts->cipher, contexts->out, &out, contexts->in, (int)n));
    }
    if (seal)
        BENCH_MUST(EVP_CipherFinal_ex(contexts->cipher, contexts->out, &out));
}

static void
encode(struct contexts *contexts, unsigned long octets)
{
    struct err err = ERR_INIT;

    for (size_t n; octets > 0; octets -= n) {
        struct buf text = BUF_INIT(2 * PIECE);

        n = octets < PIECE ? octets : PIECE;
        BENCH_MUST(buf_reserve(&text, n / 57 * 78 + 256, &err) == ERR_OK &&
                   mime_base64_format_lines(span_of(contexts->in, n), &text, &err) == ERR_OK);
        buf_free(&text);
    }
}

/* Whole lines, at least so many octets of what they say. */
static void
decode(struct contexts *contexts, unsigned long octets)
{
    struct err err = ERR_INIT;
    size_t lines = (octets + 56) / 57, n;

    for (; lines > 0; lines -= n) {
        struct buf out = BUF_INIT(2 * PIECE);

        n = lines < LINES ? lines : LINES;
        BENCH_MUST(buf_reserve(&out, n * 57, &err) == ERR_OK &&
                   mime_base64_parse(span_of(contexts->text.p, n * 78), &out, &err) == ERR_OK);
        buf_free(&out);
    }
}

void
bare_work_run(void)
{
    struct contexts *contexts = mine;
    size_t unwrapped_n;

    if (!sha256)
        return;
    if (!contexts)
        contexts = mine = new_contexts();
    if (amounts[HASH])
        hash(contexts, amounts[HASH]);
    for (unsigned long i = 0; i < amounts[SIGN]; i++)
        sign(contexts);
    for (unsigned long i = 0; i < amounts[VERIFY]; i++)
        BENCH_MUST(EVP_PKEY_verify(contexts->verify, contexts->signature, contexts->signature_n,
                                   contexts->in, DIGEST) == 1);
    for (unsigned long i = 0; i < amounts[WRAP]; i++)
        wrap(contexts);
    for (unsigned long i = 0; i < amounts[UNWRAP]; i++) {
        unwrapped_n = sizeof contexts->out;
        BENCH_MUST(EVP_PKEY_decrypt(contexts->unwrap, contexts->out, &unwrapped_n,
                                    contexts->wrapped, contexts->wrapped_n) > 0);
    }
    if (amounts[CBC])
        cipher_run(contexts, cbc, true, amounts[CBC]);
    if (amounts[GCM])
        cipher_run(contexts, gcm, true, amounts[GCM]);
    if (amounts[OPEN])
        cipher_run(contexts, cbc, false, amounts[OPEN] / 16 * 16);
    if (amounts[BASE64])
        encode(contexts, amounts[BASE64]);
    if (amounts[UNBASE64])
        decode(contexts, amounts[UNBASE64]);
}
