/*
 * The parser of structure: the bytes of its events are its input, and pieces of another size give
 * the same events. The first octet of the input chooses the size.
 */
#include <stdint.h>
#include <stdlib.h>

#include "mime/entity.h"
#include "util/buf.h"

enum { LIMIT = 1 << 22 };

struct trace {
    struct buf bytes;
    uint64_t digest; /* of kinds, parts and lengths */
    int kind;
    uint32_t index;
};

static void
mix(struct trace *trace, uint64_t value)
{
    trace->digest = (trace->digest ^ value) * 1099511628211u;
}

static enum err_code
note(void *context, const struct mime_entity_event *event, struct err *err)
{
    struct trace *trace = context;
    if (trace->kind != (int)event->kind || trace->index != event->part->index ||
        event->kind == MIME_ENTITY_DELIMITER) {
        mix(trace, event->kind);
        mix(trace, event->part->index);
        mix(trace, event->part->kind);
        mix(trace, trace->bytes.n);
    }
    trace->kind = (int)event->kind;
    trace->index = event->part->index;
    return buf_append(&trace->bytes, event->bytes, err);
}

static enum err_code
parse(struct span in, size_t piece, struct trace *trace, struct mime_entity_result *result)
{
    struct mime_entity *entity = NULL;
    struct err err = ERR_INIT;

    *trace = (struct trace){ .bytes = BUF_INIT(LIMIT), .kind = -1 };
    enum err_code code = mime_entity_new(note, trace, &entity, &err);
    for (size_t i = 0; i < in.n && code == ERR_OK; i += piece)
        code =
            mime_entity_write(entity, span_of(in.p + i, in.n - i < piece ? in.n - i : piece), &err);
    if (code == ERR_OK)
        code = mime_entity_finish(entity, &err);
    *result = *mime_entity_get(entity);
    mime_entity_free(&entity);
    return code;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mime_entity_result one, two;
    struct trace whole, pieces;

    if (size < 1 || size > LIMIT)
        return 0;
    struct span in = span_of(data + 1, size - 1);
    enum err_code code = parse(in, in.n + 1, &whole, &one);
    if (parse(in, (data[0] & 63) + 1u, &pieces, &two) != code)
        abort();
    if (code == ERR_OK) {
        if (!span_equal(buf_span(&whole.bytes), in) || !span_equal(buf_span(&pieces.bytes), in))
            abort();
        if (whole.digest != pieces.digest || one.doubt != two.doubt || one.fragile != two.fragile)
            abort();
    }
    buf_free(&whole.bytes);
    buf_free(&pieces.bytes);
    return 0;
}
