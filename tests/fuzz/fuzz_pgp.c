/* PGP/MIME by structure: the answer does not depend on what stands in the preamble's place, and
 * text there is never "encrypted". */
#include <stdint.h>
#include <stdlib.h>

#include "flow/pgp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_encrypted(const char *before, struct span body)
{
    struct spool_args args = { .folder = "/tmp", .memory_bytes = 1 << 20, .limit_bytes = 1 << 20 };
    struct spool *spool = NULL;
    struct err err = ERR_INIT;
    bool encrypted = false;

    if (spool_new(&args, &spool, &err) != ERR_OK ||
        spool_write(spool, span_str(before), &err) != ERR_OK ||
        spool_write(spool, body, &err) != ERR_OK || spool_finish(spool, &err) != ERR_OK ||
        flow_pgp_check(span_str("b"), spool, &encrypted, &err) != ERR_OK)
        abort();
    spool_free(&spool);
    return encrypted;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 16)
        return 0;
    if (is_encrypted("", span_of(data, size)) != is_encrypted("\r\n \r\n", span_of(data, size)))
        abort();
    if (is_encrypted("secret plans\r\n", span_of(data, size)))
        abort();
    return 0;
}
