#include "flow/layers.h"

#include <stdio.h>

#include "flow/inbound.h"
#include "flow/state.h"

static bool
layers_is_ours(struct span name)
{
    return span_equal_nocase(name, FLOW_LAYERS_FIELD);
}

static bool
layers_are_wanted(const struct flow_message *message)
{
    for (size_t i = 0; i < message->count; i++) {
        if (message->recipients[i].rule->smime && message->recipients[i].rule->layers_header)
            return true;
    }
    return false;
}

static enum err_code
layers_add(struct flow_message *message, size_t number, const struct flow_verification_layer *layer,
           struct err *err)
{
    bool is_envelope = strcmp(layer->state, "sealed") == 0 || strcmp(layer->state, "opened") == 0;
    char value[200];

    if (is_envelope)
        snprintf(value, sizeof(value), "%zu; %s; %s", number, layer->kind, layer->state);
    else
        snprintf(value, sizeof(value), "%zu; %s; %s (%s)%s", number, layer->kind, layer->state,
                 layer->reason, layer->counts ? "; counts" : "");
    return flow_edits_add(&message->edits, FLOW_EDIT_INSERT_HEADER, FLOW_LAYERS_FIELD, value, 0,
                          err);
}

enum err_code
flow_layers_edits(struct flow_message *message, struct err *err)
{
    struct flow_verification_layer layers[FLOW_VERIFICATION_LAYERS];
    bool too_deep = false;
    size_t n;
    enum err_code code =
        flow_edits_add_deletions(&message->edits, message->header, layers_is_ours, err);

    if (code != ERR_OK || !message->inbound->verification || !layers_are_wanted(message))
        return code;
    n = flow_verification_layers(message->inbound->verification, layers, &too_deep);
    if (too_deep)
        code = flow_edits_add(&message->edits, FLOW_EDIT_INSERT_HEADER, FLOW_LAYERS_FIELD,
                              "more; not looked at", 0, err);
    /* Each is put on top of those before: the outermost ends up first. */
    for (; code == ERR_OK && n > 0; n--)
        code = layers_add(message, n, &layers[n - 1], err);
    return code;
}
