/* Signed attributes of a SignerInfo: spans lie within what was read, and questions about a
 * certificate have an answer whatever they hold. */
#include <stdint.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "smime/attribute.h"
#include "tests/fuzz/decrypt_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool fact)
{
    if (!fact)
        abort();
}

static void
require_inside(struct span part, const uint8_t *data, size_t size)
{
    require(part.p == NULL || (part.p >= data && part.n <= size && part.p + part.n <= data + size));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pki_certificate *certificate;
    struct smime_attributes found;
    struct err err = ERR_INIT;
    enum err_code code;

    if (!certificate)
        require(pki_certificate_parse(span_of(rsa_certificate, sizeof rsa_certificate),
                                      &certificate, &err) == ERR_OK);
    code = smime_attribute_parse(span_of(data, size), &found, &err);
    require(code == ERR_OK || code == ERR_PERM);
    if (code == ERR_OK) {
        require_inside(found.content_type, data, size);
        require_inside(found.message_digest, data, size);
        require_inside(found.certificate_v1, data, size);
        require_inside(found.certificate_v2, data, size);
        require_inside(found.capabilities, data, size);
        require_inside(found.preference, data, size);
        (void)smime_attribute_check(&found, certificate);
        (void)smime_attribute_prefers(&found, certificate);
    }
    /* Whatever stands there may be a preference. */
    found = (struct smime_attributes){ .preference = span_of(data, size) };
    (void)smime_attribute_prefers(&found, certificate);
    require(ERR_peek_error() == 0);
    return 0;
}
