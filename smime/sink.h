/*
 * Where the library's streams meet ours: a BIO that writes into a stage, and writing to a BIO.
 *
 * An error of the stage travels around the library, not through it: it is kept beside the BIO and
 * wins over whatever the library makes of a failed write. Belongs to one chain, and so to one
 * thread.
 */
#ifndef SMIME_SINK_H
#define SMIME_SINK_H

#include <openssl/bio.h>

#include "util/stage.h"

struct smime_sink {
    BIO *bio; /* the bottom of the library's chain */
    BIO_METHOD *method;
    struct stage *target; /* borrowed */
    struct err failed;    /* what the stage said */
};

ERR_CHECKED enum err_code smime_sink_init(struct smime_sink *sink, struct stage *target,
                                          struct err *err);

/* Frees `chain` (NULL: none), which ends in the sink or is the sink itself, and the sink. */
void smime_sink_deinit(struct smime_sink *sink, BIO *chain);

/* Writes all of `piece` to `chain`. `sink` may be NULL (a chain that ends elsewhere). */
ERR_CHECKED enum err_code smime_sink_write(struct smime_sink *sink, BIO *chain, struct span piece,
                                           struct err *err);

/* BIO_flush, which ends a CMS structure. */
ERR_CHECKED enum err_code smime_sink_finish(struct smime_sink *sink, BIO *chain, struct err *err);

#endif
