/* Header sections: what is parsed, written and parsed again is the same, and nothing is lost. */
#include <stdint.h>
#include <stdlib.h>

#include "mime/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool fact)
{
    if (!fact)
        abort();
}

static bool
parse(struct span section, struct mime_header **out)
{
    struct err err = ERR_INIT;
    *out = NULL;
    require(mime_header_new(1 << 16, 500, out, &err) == ERR_OK);
    enum err_code code = mime_header_parse(*out, section, &err);
    require(code == ERR_OK || code == ERR_LIMIT);
    return code == ERR_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct buf first = BUF_INIT(1 << 20), second = BUF_INIT(1 << 20), plain = BUF_INIT(1 << 20);
    struct mime_header *one, *two = NULL;
    struct mime_header_field field;

    if (!parse(span_of(data, size), &one))
        goto out;
    size_t malformed = 0;
    for (size_t i = 0; i < mime_header_count(one); i++) {
        field = mime_header_get(one, i);
        malformed += field.name.n == 0;
        require(mime_header_unfold(field.value, &plain, &err) == ERR_OK);
        require(!memchr(buf_str(&plain), '\n', plain.n));
        buf_reset(&plain);
    }
    require(malformed == mime_header_malformed(one));
    mime_header_find(one, "content-type", 1, &field);
    require(mime_header_format(one, &first, &err) == ERR_OK);
    if (parse(buf_span(&first), &two)) {
        require(mime_header_format(two, &second, &err) == ERR_OK);
        require(malformed > 0 || span_equal(buf_span(&first), buf_span(&second)));
        require(mime_header_count(one) == mime_header_count(two));
    }
out:
    mime_header_free(&one);
    mime_header_free(&two);
    buf_free(&first);
    buf_free(&second);
    buf_free(&plain);
    return 0;
}
