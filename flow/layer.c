#include "flow/layer.h"

#include <stdlib.h>

struct flow_layer {
    struct flow_verification_args args;
    struct flow_inside *inside; /* of a signature's content; NULL: none came */
    struct flow_verification *verification;
    bool too_deep;
    struct flow_protected protected; /* of an entity that is no S/MIME */
    struct flow_inside *wrapper;     /* of one that is a whole message; NULL: it is none */
};

static enum err_code
layer_take_wrapped(void *context, const struct mime_header *header, struct err *err)
{
    struct flow_layer *layer = context;

    flow_protected_free(&layer->protected);
    return flow_protected_load(header, true, &layer->protected, err);
}

static enum err_code
layer_drop(void *context, struct span piece, struct err *err)
{
    (void)context;
    (void)piece;
    (void)err;
    return ERR_OK;
}

/* The innermost entity: did the sender protect his header? */
static enum err_code
layer_take_payload(struct flow_layer *layer, const struct mime_header *header, struct err *err)
{
    const struct flow_inside_args args = { .header = layer_take_wrapped,
                                           .body = layer_drop,
                                           .context = layer };
    bool is_wrapper = false;
    enum err_code code = flow_protected_is_wrapper(header, &is_wrapper, err);

    if (code != ERR_OK)
        return code;
    if (is_wrapper)
        return flow_inside_new(&args, &layer->wrapper, err);
    return flow_protected_load(header, false, &layer->protected, err);
}

static enum err_code
layer_take_header(void *context, const struct mime_header *header, struct err *err)
{
    struct flow_layer *layer = context;
    enum err_code code = flow_verification_new(&layer->args, header, &layer->verification, err);

    if (code != ERR_OK)
        return code;
    if (layer->args.depth > FLOW_VERIFICATION_LAYERS)
        layer->too_deep = flow_verification_is_claimed(layer->verification);
    if (layer->too_deep || !flow_verification_is_claimed(layer->verification))
        flow_verification_free(&layer->verification);
    return layer->verification || layer->too_deep ? ERR_OK : layer_take_payload(layer, header, err);
}

static enum err_code
layer_take_body(void *context, struct span piece, struct err *err)
{
    struct flow_layer *layer = context;

    if (layer->wrapper)
        return flow_inside_write(layer->wrapper, piece, err);
    return layer->verification ? flow_verification_write(layer->verification, piece, err) : ERR_OK;
}

enum err_code
flow_layer_new(const struct flow_verification_args *args, const struct flow_from *from,
               struct flow_layer **out, struct err *err)
{
    struct flow_layer *layer = calloc(1, sizeof(*layer));

    if (!layer)
        return err_set(err, ERR_NOMEM, "memory for a layer of a message");
    layer->args = *args;
    layer->args.from = from;
    layer->args.content = NULL;
    layer->args.depth = args->depth + 1;
    *out = layer;
    return ERR_OK;
}

void
flow_layer_free(struct flow_layer **layer)
{
    struct flow_layer *old = layer ? *layer : NULL;

    if (!old)
        return;
    *layer = NULL;
    flow_inside_free(&old->inside);
    flow_inside_free(&old->wrapper);
    flow_protected_free(&old->protected);
    flow_verification_free(&old->verification);
    free(old);
}

struct flow_inside_args
flow_layer_inside(struct flow_layer *layer)
{
    return (struct flow_inside_args){ .header = layer_take_header,
                                      .body = layer_take_body,
                                      .context = layer };
}

enum err_code
flow_layer_write(struct flow_layer *layer, struct span piece, struct err *err)
{
    enum err_code code = ERR_OK;

    if (!layer->inside) {
        const struct flow_inside_args args = flow_layer_inside(layer);

        code = flow_inside_new(&args, &layer->inside, err);
    }
    return code == ERR_OK ? flow_inside_write(layer->inside, piece, err) : code;
}

enum err_code
flow_layer_finish(struct flow_layer *layer, bool may_decrypt, struct err *err)
{
    enum err_code code = layer->inside ? flow_inside_finish(layer->inside, err) : ERR_OK;

    if (code == ERR_OK && layer->wrapper)
        code = flow_inside_finish(layer->wrapper, err);
    if (code != ERR_OK || !layer->verification)
        return code;
    if (!may_decrypt)
        flow_verification_set_sealed(layer->verification);
    return flow_verification_finish(layer->verification, err);
}

struct flow_verification *
flow_layer_get(const struct flow_layer *layer)
{
    return layer->verification;
}

const struct flow_protected *
flow_layer_protected(const struct flow_layer *layer)
{
    return &layer->protected;
}

bool
flow_layer_is_too_deep(const struct flow_layer *layer)
{
    return layer->too_deep;
}
