/*
 * For tests of the scanner and the canonical form: one entity through both, in pieces.
 */
#ifndef TESTS_UNIT_MIME_CANONICAL_H
#define TESTS_UNIT_MIME_CANONICAL_H

#include "pieces.h"

#include "mime/canonical.h"
#include "mime/scan.h"

/* Scans `in`; *out is to be freed whatever comes back. */
static inline enum err_code
scan_pieces(struct span in, size_t piece, struct mime_scan **out, struct err *err)
{
    enum err_code code = mime_scan_new(out, err);
    for (size_t i = 0; i < in.n && code == ERR_OK; i += piece) {
        struct span block = exact(span_of(in.p + i, in.n - i < piece ? in.n - i : piece));
        code = mime_scan_write(*out, block, err);
        exact_free(block);
    }
    return code == ERR_OK ? mime_scan_finish(*out, err) : code;
}

static inline enum err_code
canonical_pieces(const struct mime_scan *scan, enum mime_canonical_mode mode, struct span in,
                 size_t piece, struct buf *out, struct err *err)
{
    struct stage *sink = NULL, *stage = NULL;
    enum err_code code = stage_buf_new(out, &sink, err);
    assert_int_equal(code, ERR_OK);
    code = mime_canonical_new(scan, mode, sink, &stage, err);
    if (code != ERR_OK) {
        stage_free(&sink);
        return code;
    }
    code = feed(stage, in, piece);
    stage_free(&stage);
    return code;
}

#endif
