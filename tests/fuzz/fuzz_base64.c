/* Base64: pieces make no difference, and what is encoded comes back. The first byte is the piece
 * size. */
#include <stdint.h>
#include <stdlib.h>

#include "mime/base64.h"
#include "mime/base64_vector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool fact)
{
    if (!fact)
        abort();
}

static void
feed(struct stage *stage, struct span in, size_t piece)
{
    struct err err = ERR_INIT;
    for (size_t i = 0; i < in.n; i += piece) {
        size_t n = in.n - i < piece ? in.n - i : piece;
        require(stage_write(stage, span_of(in.p + i, n), &err) == ERR_OK);
    }
    require(stage_finish(stage, &err) == ERR_OK);
    stage_free(&stage);
}

static uint64_t
decode(struct span text, size_t piece, struct buf *out)
{
    struct err err = ERR_INIT;
    struct stage *sink = NULL, *stage = NULL;
    uint64_t irregular = 0;
    require(stage_buf_new(out, &sink, &err) == ERR_OK);
    require(mime_base64_decode_new(&irregular, sink, &stage, &err) == ERR_OK);
    feed(stage, text, piece);
    return irregular;
}

static void
encode(struct span octets, size_t piece, struct buf *out)
{
    struct err err = ERR_INIT;
    struct stage *sink = NULL, *stage = NULL;
    require(stage_buf_new(out, &sink, &err) == ERR_OK);
    require(mime_base64_encode_new(sink, &stage, &err) == ERR_OK);
    feed(stage, octets, piece);
}

static void
check(struct span in, size_t piece)
{
    struct err err = ERR_INIT;
    struct buf a = BUF_INIT(1 << 22), b = BUF_INIT(1 << 22);

    uint64_t irregular = decode(in, piece, &a);
    require(decode(in, in.n + 1, &b) == irregular);
    require(span_equal(buf_span(&a), buf_span(&b)));
    buf_reset(&b);
    require((mime_base64_parse(in, &b, &err) == ERR_OK) == (irregular == 0));
    buf_reset(&a);
    buf_reset(&b);

    encode(in, piece, &a);
    encode(in, in.n + 1, &b);
    require(span_equal(buf_span(&a), buf_span(&b)));
    buf_reset(&b);
    require(decode(buf_span(&a), piece, &b) == 0);
    require(span_equal(buf_span(&b), in));
    buf_free(&a);
    buf_free(&b);
}

/* The vector code and the plain code say the same of everything. */
static void
compare(struct span in, size_t piece, const char *name)
{
    struct buf plain = BUF_INIT(1 << 22), vector = BUF_INIT(1 << 22);

    require(mime_base64_vector_set("portable"));
    uint64_t irregular = decode(in, piece, &plain);
    require(mime_base64_vector_set(name));
    require(decode(in, piece, &vector) == irregular);
    require(span_equal(buf_span(&plain), buf_span(&vector)));
    buf_reset(&plain);
    buf_reset(&vector);
    encode(in, piece, &vector);
    require(mime_base64_vector_set("portable"));
    encode(in, piece, &plain);
    require(span_equal(buf_span(&plain), buf_span(&vector)));
    buf_free(&plain);
    buf_free(&vector);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "portable", "ssse3", "avx2" };
    if (size == 0)
        return 0;
    size_t piece = data[0] + 1u;
    struct span in = span_of(data + 1, size - 1);

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!mime_base64_vector_set(names[i]))
            continue;
        check(in, piece);
        compare(in, piece, names[i]);
    }
    return 0;
}
