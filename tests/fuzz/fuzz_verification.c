/* Whole messages into the verification that the mail flow uses. Without an anchor nothing may pass;
 * the verdict does not depend on how the body was cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "flow/raw.h"
#include "flow/verification.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct flow_verification *verification;
    size_t piece;
};

static enum err_code
on_header(void *context, const struct mime_header *header, struct err *err)
{
    struct run *run = context;
    struct flow_verification_args args;

    flow_verification_args_init(&args, "/tmp");
    args.revocation.mode = PKI_REVOCATION_OFF;
    args.limit_opaque_bytes = 1 << 18;
    return flow_verification_new(&args, header, &run->verification, err);
}

static enum err_code
on_body(void *context, struct span piece, struct err *err)
{
    struct run *run = context;
    enum err_code code = ERR_OK;
    size_t at;

    for (at = 0; code == ERR_OK && at < piece.n; at += run->piece)
        code = flow_verification_write(
            run->verification,
            span_of(piece.p + at, piece.n - at < run->piece ? piece.n - at : run->piece), err);
    return code;
}

static bool
verdict_of(struct span message, size_t piece, struct policy_verdict *out)
{
    struct run run = { .piece = piece };
    struct flow_raw_args args = {
        .limit_header_bytes = 1 << 16, .header = on_header, .body = on_body, .context = &run
    };
    struct flow_raw *raw = NULL;
    struct err err = ERR_INIT;
    enum err_code code;

    if (flow_raw_new(&args, &raw, &err) != ERR_OK)
        abort();
    code = flow_raw_write(raw, message, &err);
    if (code == ERR_OK)
        code = flow_raw_finish(raw, &err);
    if (code == ERR_OK)
        code = flow_verification_finish(run.verification, &err);
    if (code == ERR_OK)
        *out = flow_verification_get(run.verification)->verdict;
    else if (code != ERR_LIMIT)
        abort();
    flow_verification_free(&run.verification);
    flow_raw_free(&raw);
    return code == ERR_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy_verdict whole, cut;

    if (size > 1 << 16 || !verdict_of(span_of(data, size), 65536, &whole))
        return 0;
    if (whole.result == POLICY_RESULT_PASS)
        abort();
    if (!verdict_of(span_of(data, size), 3, &cut) || cut.result != whole.result ||
        strcmp(cut.reason, whole.reason) != 0)
        abort();
    return 0;
}
