/*
 * What is inside a layer of signature or encryption, verified as it comes out.    RFC 8551 3.6
 *
 * Each flow_verification that finds content feeds it into one of these; if the entity in there is
 * S/MIME itself, it has a flow_verification of its own, one level deeper. Deeper than
 * FLOW_VERIFICATION_LAYERS nothing is looked at. Private to flow/verification.
 */
#ifndef FLOW_LAYER_H
#define FLOW_LAYER_H

#include "flow/inside.h"
#include "flow/protected.h"
#include "flow/verification.h"

struct flow_layer;

/* `args` are those of the layer around; copied. `from`: of the message; borrowed until free. */
ERR_CHECKED enum err_code flow_layer_new(const struct flow_verification_args *args,
                                         const struct flow_from *from, struct flow_layer **out,
                                         struct err *err);
void flow_layer_free(struct flow_layer **layer);

/* For flow_decryption_open: the entity goes into the layer. */
struct flow_inside_args flow_layer_inside(struct flow_layer *layer);
/* Content of a signature, as it passes. */
ERR_CHECKED enum err_code flow_layer_write(struct flow_layer *layer, struct span piece,
                                           struct err *err);
/* The end of what went in by either way. `may_decrypt`: what is encrypted in there may be opened.
 */
ERR_CHECKED enum err_code flow_layer_finish(struct flow_layer *layer, bool may_decrypt,
                                            struct err *err);

/* NULL: no S/MIME in there, or too deep. Borrowed until free. */
struct flow_verification *flow_layer_get(const struct flow_layer *layer);
/* The header that the sender protected, where there is no S/MIME in there. Borrowed until free. */
const struct flow_protected *flow_layer_protected(const struct flow_layer *layer);
bool flow_layer_is_too_deep(const struct flow_layer *layer);

#endif
