#include "smime/sink.h"

#include <limits.h>

#include "pki/crypto.h"

static int
sink_write(BIO *bio, const char *bytes, int n)
{
    struct smime_sink *sink = BIO_get_data(bio);
    if (n <= 0)
        return 0;
    if (stage_write(sink->target, span_of(bytes, (size_t)n), &sink->failed) != ERR_OK)
        return -1;
    return n;
}

static long
sink_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

enum err_code
smime_sink_init(struct smime_sink *sink, struct stage *target, struct err *err)
{
    *sink = (struct smime_sink){ .target = target };
    /* The plain type: numbers of one's own are a process-wide resource that runs out. */
    sink->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stage");
    if (sink->method == NULL || !BIO_meth_set_write(sink->method, sink_write) ||
        !BIO_meth_set_ctrl(sink->method, sink_ctrl) ||
        (sink->bio = BIO_new(sink->method)) == NULL) {
        enum err_code code = pki_crypto_fail(err, ERR_NOMEM, "a stream could not be made");
        smime_sink_deinit(sink, NULL);
        return code;
    }
    BIO_set_data(sink->bio, sink);
    BIO_set_init(sink->bio, 1);
    return ERR_OK;
}

void
smime_sink_deinit(struct smime_sink *sink, BIO *chain)
{
    BIO_free_all(chain != NULL ? chain : sink->bio);
    BIO_meth_free(sink->method);
    *sink = (struct smime_sink){ .bio = NULL };
}

static enum err_code
sink_fail(struct smime_sink *sink, const char *what, struct err *err)
{
    if (sink != NULL && sink->failed.code != ERR_OK) {
        pki_crypto_reset();
        return err_set_reason(err, sink->failed.code, sink->failed.reason, "%s", sink->failed.text);
    }
    return pki_crypto_fail(err, ERR_BUG, "%s", what);
}

enum err_code
smime_sink_write(struct smime_sink *sink, BIO *chain, struct span piece, struct err *err)
{
    while (piece.n > 0) {
        int n = piece.n < INT_MAX ? (int)piece.n : INT_MAX;
        int done = BIO_write(chain, piece.p, n);
        if (done <= 0 || (sink != NULL && sink->failed.code != ERR_OK))
            return sink_fail(sink, "writing to a CMS structure failed", err);
        piece = span_from(piece, (size_t)done);
    }
    return ERR_OK;
}

enum err_code
smime_sink_finish(struct smime_sink *sink, BIO *chain, struct err *err)
{
    if (BIO_flush(chain) <= 0 || (sink != NULL && sink->failed.code != ERR_OK))
        return sink_fail(sink, "a CMS structure could not be ended", err);
    return ERR_OK;
}
