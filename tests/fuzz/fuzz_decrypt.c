/* Enveloped objects of strangers, opened with a key whose certificate stands beside the seeds' own:
 * an RSA and a P-256 key made from fixed numbers, so that the seeds reach the content. Every
 * failure says the same, and nothing is left behind. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "decrypt_keys.h"
#include "smime/decrypt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool fact)
{
    if (!fact)
        abort();
}

static enum err_code
discard(void *context, struct span piece, struct err *err)
{
    (void)context;
    (void)piece;
    (void)err;
    return ERR_OK;
}

/* Once per process; never freed, which leak checkers accept of what stays reachable. */
static void
load_key(const unsigned char *key, size_t key_n, const unsigned char *certificate,
         size_t certificate_n, struct pki_key *out)
{
    struct err err = ERR_INIT;
    out->pkey = d2i_AutoPrivateKey(NULL, &key, (long)key_n);
    require(out->pkey != NULL);
    require(pki_certificate_parse(span_of(certificate, certificate_n), &out->certificate, &err) ==
            ERR_OK);
    ERR_clear_error();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pki_key rsa, ec;
    if (rsa.pkey == NULL) {
        load_key(rsa_key, sizeof(rsa_key), rsa_certificate, sizeof(rsa_certificate), &rsa);
        load_key(ec_key, sizeof(ec_key), ec_certificate, sizeof(ec_certificate), &ec);
    }
    const struct pki_key *const keys[] = { &rsa, &ec };
    const struct spool_args spool_args = { .folder = "/tmp",
                                           .memory_bytes = 1 << 24,
                                           .limit_bytes = 1 << 24 };
    struct spool *spool = NULL;
    struct stage *sink = NULL;
    struct smime_decrypt_result result;
    struct err err = ERR_INIT;
    require(spool_new(&spool_args, &spool, &err) == ERR_OK);
    require(spool_write(spool, span_of(data, size), &err) == ERR_OK &&
            spool_finish(spool, &err) == ERR_OK);
    require(stage_sink_new(discard, NULL, &sink, &err) == ERR_OK);
    const struct smime_decrypt_args args = { .spool = spool, .keys = keys, .count = 2 };
    enum err_code code = smime_decrypt(&args, sink, &result, &err);
    require(code == ERR_OK || code == ERR_PERM || code == ERR_NOTFOUND || code == ERR_LIMIT);
    if (code == ERR_PERM && strcmp(err.reason, "decrypt-failed") == 0)
        require(strcmp(err.text, "the message cannot be decrypted") == 0);
    require(code != ERR_OK || result.key != NULL);
    require(ERR_peek_error() == 0);
    stage_free(&sink);
    spool_free(&spool);
    return 0;
}
