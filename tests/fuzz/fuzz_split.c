/*
 * The split of a multipart/signed: pieces of another size give the same parts. The first octet of
 * the input chooses the size, the boundary is the line behind it.
 */
#include <stdint.h>
#include <stdlib.h>

#include "mime/split.h"

enum { LIMIT = 1 << 20 };

struct parts {
    struct buf content;
    struct buf signature;
    struct mime_split_result result;
};

static enum err_code
split(struct span boundary, struct span in, size_t piece, struct parts *parts)
{
    struct mime_split_args args = { .boundary = boundary, .signature_limit_bytes = 4096 };
    struct mime_split *object = NULL;
    struct err err = ERR_INIT;

    *parts = (struct parts){ .content = BUF_INIT(LIMIT), .signature = BUF_INIT(LIMIT) };
    enum err_code code = stage_buf_new(&parts->content, &args.content, &err);
    if (code == ERR_OK)
        code = mime_split_new(&args, &object, &err);
    for (size_t i = 0; i < in.n && code == ERR_OK; i += piece)
        code =
            mime_split_write(object, span_of(in.p + i, in.n - i < piece ? in.n - i : piece), &err);
    if (code == ERR_OK)
        code = mime_split_finish(object, &err);
    if (code == ERR_OK) {
        parts->result = *mime_split_get(object);
        if (buf_append(&parts->signature, parts->result.signature_header, &err) != ERR_OK ||
            buf_append(&parts->signature, parts->result.signature_body, &err) != ERR_OK)
            abort();
    }
    mime_split_free(&object);
    stage_free(&args.content);
    return code;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct parts one, two;

    if (size < 1 || size > LIMIT)
        return 0;
    struct span in = span_of(data + 1, size - 1);
    struct span boundary = span_of(in.p, span_find(in, '\n'));
    in = span_from(in, boundary.n + 1);
    enum err_code code = split(boundary, in, in.n + 1, &one);
    if (split(boundary, in, (data[0] & 63) + 1u, &two) != code)
        abort();
    if (code == ERR_OK) {
        if (!span_equal(buf_span(&one.content), buf_span(&two.content)) ||
            !span_equal(buf_span(&one.signature), buf_span(&two.signature)))
            abort();
        if (one.result.parts != two.result.parts || one.result.why != two.result.why ||
            one.result.bare_line_end != two.result.bare_line_end ||
            one.result.content_bytes != one.content.n)
            abort();
    }
    buf_free(&one.content);
    buf_free(&one.signature);
    buf_free(&two.content);
    buf_free(&two.signature);
    return 0;
}
