/* Quoted-printable: pieces make no difference, what is encoded is safe on any hop and comes back.
 * The first byte is the piece size. */
#include <stdint.h>
#include <stdlib.h>

#include "mime/qp.h"

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
    require(mime_qp_decode_new(&irregular, sink, &stage, &err) == ERR_OK);
    feed(stage, text, piece);
    return irregular;
}

static void
encode(enum mime_qp_mode mode, struct span octets, size_t piece, struct buf *out)
{
    struct err err = ERR_INIT;
    struct stage *sink = NULL, *stage = NULL;
    require(stage_buf_new(out, &sink, &err) == ERR_OK);
    require(mime_qp_encode_new(mode, sink, &stage, &err) == ERR_OK);
    feed(stage, octets, piece);
}

static void
check_lines(struct span text)
{
    while (text.n > 0) {
        size_t n = span_find(text, '\n');
        struct span line = span_of(text.p, n);
        if (n < text.n) {
            require(n > 0 && text.p[n - 1] == '\r');
            line.n--;
        }
        text = span_from(text, n + 1);
        require(line.n <= 76 && !span_equal(line, span_str(".")));
        require(line.n < 5 || memcmp(line.p, "From ", 5) != 0);
        require(line.n == 0 || (line.p[line.n - 1] != ' ' && line.p[line.n - 1] != '\t'));
        for (size_t i = 0; i < line.n; i++)
            require(line.p[i] == '\t' || (line.p[i] >= ' ' && line.p[i] <= '~'));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf a = BUF_INIT(1 << 22), b = BUF_INIT(1 << 22);
    if (size == 0)
        return 0;
    size_t piece = data[0] + 1u;
    struct span in = span_of(data + 1, size - 1);

    uint64_t irregular = decode(in, piece, &a);
    require(decode(in, in.n + 1, &b) == irregular);
    require(span_equal(buf_span(&a), buf_span(&b)));
    require(a.n <= in.n);

    for (int mode = MIME_QP_TEXT; mode <= MIME_QP_BINARY; mode++) {
        buf_reset(&a);
        buf_reset(&b);
        encode(mode, in, piece, &a);
        encode(mode, in, in.n + 1, &b);
        require(span_equal(buf_span(&a), buf_span(&b)));
        check_lines(buf_span(&a));
        buf_reset(&b);
        require(decode(buf_span(&a), piece, &b) == 0);
        require(mode == MIME_QP_TEXT || span_equal(buf_span(&b), in));
    }
    buf_free(&a);
    buf_free(&b);
    return 0;
}
