/*
 * Scanner and canonical form. Whatever the message: what goes out is safe on every hop, needs
 * nothing more when it is scanned again, does not depend on the pieces, and has the same parts with
 * the same decoded octets. The first octet of the input chooses the size of the pieces.
 */
#include <stdint.h>
#include <stdlib.h>

#include "mime/base64.h"
#include "mime/canonical.h"
#include "mime/entity.h"
#include "mime/line.h"
#include "mime/newline.h"
#include "mime/qp.h"

enum { LIMIT = 1 << 20, LIMIT_OUT = 1 << 24 };

static void
must(bool fact)
{
    if (!fact)
        abort();
}

/* ---- parts and their decoded octets ------------------------------------------------------------
 */

struct content {
    struct buf text;
    struct stage *leaf;
};

static enum err_code
begin_leaf(struct content *content, const struct mime_entity_part *part, struct err *err)
{
    struct stage *stage = NULL;
    enum err_code code = stage_buf_new(&content->text, &content->leaf, err);
    if (code == ERR_OK && part->encoding == MIME_ENTITY_BASE64)
        code = mime_base64_decode_new(NULL, content->leaf, &stage, err);
    else if (code == ERR_OK && part->encoding == MIME_ENTITY_QP)
        code = mime_qp_decode_new(NULL, content->leaf, &stage, err);
    if (stage)
        content->leaf = stage;
    if (code == ERR_OK && part->encoding != MIME_ENTITY_BINARY &&
        part->encoding != MIME_ENTITY_BASE64) {
        code = mime_newline_new(content->leaf, &stage, err);
        content->leaf = stage;
    }
    return code;
}

static enum err_code
note(void *context, const struct mime_entity_event *event, struct err *err)
{
    struct content *content = context;
    enum err_code code = ERR_OK;
    if (event->kind == MIME_ENTITY_HEADER) {
        code = buf_appendf(&content->text, err, "\n[%u %u %d]", event->part->index,
                           event->part->depth, event->part->kind);
        if (code == ERR_OK && event->part->kind == MIME_ENTITY_LEAF)
            code = begin_leaf(content, event->part, err);
    } else if (event->kind == MIME_ENTITY_BODY) {
        code = stage_write(content->leaf, event->bytes, err);
    } else if (event->kind == MIME_ENTITY_END && content->leaf) {
        code = stage_finish(content->leaf, err);
        stage_free(&content->leaf);
    }
    return code;
}

static void
load_content(struct span in, struct content *content)
{
    struct mime_entity *entity = NULL;
    struct err err = ERR_INIT;
    *content = (struct content){ .text = BUF_INIT(LIMIT_OUT) };
    must(mime_entity_new(note, content, &entity, &err) == ERR_OK);
    must(mime_entity_write(entity, in, &err) == ERR_OK);
    must(mime_entity_finish(entity, &err) == ERR_OK);
    mime_entity_free(&entity);
}

/* ---- the two passes ----------------------------------------------------------------------------
 */

static enum err_code
scan(struct span in, size_t piece, struct mime_scan **out)
{
    struct err err = ERR_INIT;
    enum err_code code = mime_scan_new(out, &err);
    for (size_t i = 0; i < in.n && code == ERR_OK; i += piece)
        code = mime_scan_write(*out, span_of(in.p + i, in.n - i < piece ? in.n - i : piece), &err);
    return code == ERR_OK ? mime_scan_finish(*out, &err) : code;
}

static void
canonical(const struct mime_scan *scanned, enum mime_canonical_mode mode, struct span in,
          size_t piece, struct buf *out)
{
    struct stage *sink = NULL, *stage = NULL;
    struct err err = ERR_INIT;
    must(stage_buf_new(out, &sink, &err) == ERR_OK);
    must(mime_canonical_new(scanned, mode, sink, &stage, &err) == ERR_OK);
    for (size_t i = 0; i < in.n; i += piece)
        must(stage_write(stage, span_of(in.p + i, in.n - i < piece ? in.n - i : piece), &err) ==
             ERR_OK);
    must(stage_finish(stage, &err) == ERR_OK);
    stage_free(&stage);
}

static void
check_safe(struct span out)
{
    struct mime_line line = { 0 };
    mime_line_write(&line, out);
    mime_line_finish(&line);
    must(line.eightbit == 0 && line.nul == 0 && !line.long_line && !line.from && !line.dot);
    must(!mime_line_has_bare_cr(&line) && !mime_line_has_bare_lf(&line));
}

static void
check_transport(struct mime_scan *scanned, struct span in, size_t piece)
{
    struct buf one = BUF_INIT(LIMIT_OUT), two = BUF_INIT(LIMIT_OUT);
    struct content before, after;
    struct mime_scan *again = NULL;

    canonical(scanned, MIME_CANONICAL_TRANSPORT, in, in.n + 1, &one);
    canonical(scanned, MIME_CANONICAL_TRANSPORT, in, piece, &two);
    must(span_equal(buf_span(&one), buf_span(&two)));
    check_safe(buf_span(&one));
    must(scan(buf_span(&one), piece, &again) == ERR_OK);
    must(!mime_scan_get(again)->only_opaque && !mime_scan_get(again)->needs_encoding &&
         !mime_scan_get(again)->needs_label);
    load_content(in, &before);
    load_content(buf_span(&one), &after);
    must(span_equal(buf_span(&before.text), buf_span(&after.text)));
    buf_free(&before.text);
    buf_free(&after.text);
    mime_scan_free(&again);
    buf_free(&one);
    buf_free(&two);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mime_scan *one = NULL, *two = NULL;
    struct buf opaque = BUF_INIT(LIMIT_OUT);

    if (size < 1 || size > LIMIT)
        return 0;
    struct span in = span_of(data + 1, size - 1);
    size_t piece = (data[0] & 63) + 1u;
    enum err_code code = scan(in, in.n + 1, &one);
    must(scan(in, piece, &two) == code);
    if (code == ERR_OK) {
        must(mime_scan_get(one)->why == mime_scan_get(two)->why);
        canonical(two, MIME_CANONICAL_OPAQUE, in, piece, &opaque);
        must(opaque.n >= in.n);
        if (!mime_scan_get(one)->only_opaque)
            check_transport(one, in, piece);
    }
    mime_scan_free(&one);
    mime_scan_free(&two);
    buf_free(&opaque);
    return 0;
}
