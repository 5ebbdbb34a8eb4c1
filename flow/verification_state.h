/*
 * What flow/verification and flow/verification_layers share. Private to them.
 */
#ifndef FLOW_VERIFICATION_STATE_H
#define FLOW_VERIFICATION_STATE_H

#include "flow/layer.h"
#include "flow/verification.h"
#include "mime/split.h"

struct flow_verification {
    struct flow_verification_args args;
    struct flow_verification_result result;
    bool claimed;
    bool broken; /* nothing more can be learnt from the body: structure_reason says why */
    bool finished;

    /* clear-signed */
    struct mime_split *split;
    struct smime_verify *verify;
    struct stage *content;

    /* CMS */
    struct smime_detect *detect;
    struct spool *spool;
    struct stage *decoder;
    uint64_t irregular;
    bool too_large;
    bool guessed; /* application/octet-stream with the name of a CMS object: only for decryption */

    struct smime_verify_result smime;

    /* what is inside */
    struct flow_layer *layer;
    bool opened;                                  /* an envelope that this layer is */
    const struct flow_verification_result *count; /* of the layer that counts */
};

/* It can be verified, but readers may see something else: neutral at best. The first reason counts.
 */
void flow_verification_doubt(struct flow_verification *verification, const char *reason);

/* The verdict of this layer; `envelope` as in policy/verdict.h. */
void flow_verification_judge(struct flow_verification *verification, const char *envelope);

/* An enveloped object that is whole: is it opened, and what is in it? *word for the verdict. */
ERR_CHECKED enum err_code flow_verification_open(struct flow_verification *verification,
                                                 const char **word, struct err *err);
/* What is inside a signature that was judged. */
ERR_CHECKED enum err_code flow_verification_finish_layer(struct flow_verification *verification,
                                                         struct err *err);

/* The message itself, at its end: does the protected header name another sender? */
void flow_verification_compare_from(struct flow_verification *verification);

#endif
