/* The BER walker and the grammar of CMS: the answer does not depend on how the octets were cut, and
 * what is called complete is exactly one element. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "smime/ber.h"
#include "smime/detect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool fact)
{
    if (!fact)
        abort();
}

static struct smime_detect_result
detect(struct span octets, size_t piece)
{
    struct smime_detect *detector = NULL;
    struct err err = ERR_INIT;
    require(smime_detect_new(&detector, &err) == ERR_OK);
    for (size_t at = 0; at < octets.n; at += piece) {
        size_t n = octets.n - at < piece ? octets.n - at : piece;
        require(smime_detect_write(detector, span_of(octets.p + at, n), &err) == ERR_OK);
    }
    require(smime_detect_finish(detector, &err) == ERR_OK);
    struct smime_detect_result result = *smime_detect_get(detector);
    smime_detect_free(&detector);
    require(ERR_peek_error() == 0);
    return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smime_detect_result whole = detect(span_of(data, size), size > 0 ? size : 1);
    struct smime_detect_result cut = detect(span_of(data, size), 1);
    struct smime_detect_result third = detect(span_of(data, size), 3);
    require(whole.content == cut.content && whole.content == third.content);
    require(whole.complete == cut.complete && whole.complete == third.complete);
    require(whole.recipients == cut.recipients && whole.signers == cut.signers);
    require(strcmp(whole.cipher, cut.cipher) == 0);
    require(whole.complete == (whole.why == NULL));
    if (!whole.complete || size == 0)
        return 0;
    /* One octet less, or one more, is another object. */
    require(!detect(span_of(data, size - 1), size).complete);
    uint8_t *more = calloc(size + 1, 1);
    require(more != NULL);
    memcpy(more, data, size);
    require(!detect(span_of(more, size + 1), size + 1).complete);
    free(more);
    return 0;
}
