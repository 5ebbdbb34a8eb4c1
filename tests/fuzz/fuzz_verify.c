/* Signatures of strangers: clear-signed over a fixed content and opaque. Nothing that a fuzzer
 * makes verifies unless the seed did, states and reasons agree, and nothing is left behind. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "smime/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char content[] = "Content-Type: text/plain\r\n\r\nfuzz\r\n";

static void
require(bool fact)
{
    if (!fact)
        abort();
}

static void
check_result(const struct smime_verify_result *result)
{
    require(result->reason != NULL);
    require(result->count <= SMIME_VERIFY_LIMIT_SIGNERS);
    require(result->certificates.count <= SMIME_VERIFY_LIMIT_CERTIFICATES);
    if (strcmp(result->reason, "ok") != 0)
        require(result->count == 0);
    for (size_t i = 0; i < result->count; i++) {
        const struct smime_signer *signer = &result->signers[i];
        require(signer->reason != NULL && signer->algorithm.reason != NULL);
        require((signer->state == SMIME_SIGNATURE_OK) == (strcmp(signer->reason, "ok") == 0));
        require(signer->state != SMIME_SIGNATURE_OK || signer->certificate != NULL);
    }
    require(ERR_peek_error() == 0);
}

static void
verify_clear(struct span signature)
{
    struct smime_verify *verify = NULL;
    struct smime_verify_result result;
    struct err err = ERR_INIT;
    const struct smime_verify_args args = { .micalg = span_of(NULL, 0) };
    require(smime_verify_new(&args, &verify, &err) == ERR_OK);
    require(smime_verify_write(verify, span_str(content), &err) == ERR_OK);
    require(smime_verify_finish(verify, signature, &result, &err) == ERR_OK);
    check_result(&result);
    smime_verify_result_free(&result);
    smime_verify_free(&verify);
}

static void
verify_opaque(struct span cms)
{
    const struct spool_args spool_args = { .folder = "/tmp",
                                           .memory_bytes = 1 << 24,
                                           .limit_bytes = 1 << 24 };
    struct spool *spool = NULL;
    struct smime_verify_result result;
    struct err err = ERR_INIT;
    require(spool_new(&spool_args, &spool, &err) == ERR_OK);
    require(spool_write(spool, cms, &err) == ERR_OK && spool_finish(spool, &err) == ERR_OK);
    const struct smime_verify_opaque_args args = { .spool = spool, .limit_bytes = 1 << 24 };
    require(smime_verify_opaque(&args, &result, &err) == ERR_OK);
    check_result(&result);
    smime_verify_result_free(&result);
    spool_free(&spool);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    verify_clear(span_of(data, size));
    verify_opaque(span_of(data, size));
    return 0;
}
