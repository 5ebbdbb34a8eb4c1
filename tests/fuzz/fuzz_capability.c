/* SMIMECapabilities: whatever a signer writes is a set of ours or nothing, and the same each time.
 */
#include <stdint.h>
#include <stdlib.h>

#include "smime/capability.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool fact)
{
    if (!fact)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smime_capabilities told, again;
    struct err err = ERR_INIT;
    enum err_code code = smime_capability_parse(span_of(data, size), &told, &err);

    require(code == ERR_OK || code == ERR_PERM);
    require(told.ciphers < 16 && told.transports < 4);
    require(told.ciphers_known || told.ciphers == 0);
    require(code == ERR_OK || (!told.ciphers_known && told.transports == 0));
    require(smime_capability_parse(span_of(data, size), &again, NULL) == code);
    require(again.ciphers == told.ciphers && again.transports == told.transports);
    return 0;
}
