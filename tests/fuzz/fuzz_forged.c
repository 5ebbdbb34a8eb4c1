/* Authentication-Results: our own name, however it is framed, is found; nothing is read too far.
 * The input goes before and behind the name as comment and white space can. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "flow/forged.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_forged(struct span value)
{
    struct err err = ERR_INIT;
    bool forged = false;

    if (flow_forged_check(value, "mx.example.org", &forged, &err) != ERR_OK)
        abort();
    return forged;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char name[] = "mx.example.org";
    struct err err = ERR_INIT;
    struct buf framed = BUF_INIT(1 << 20);

    if (size > 1 << 16)
        return 0;
    (void)is_forged(span_of(data, size));
    /* Whatever comes behind the name and a semicolon, it is ours. */
    if (buf_append_str(&framed, name, &err) != ERR_OK || buf_append_byte(&framed, ';', &err) ||
        buf_append(&framed, span_of(data, size), &err) || !is_forged(buf_span(&framed)))
        abort();
    buf_free(&framed);
    return 0;
}
