#include "flow/decryption.h"

#include <stdlib.h>
#include <string.h>

#include "flow/lift.h"
#include "flow/rate.h"
#include "flow/state.h"
#include "mime/base64.h"
#include "smime/decrypt.h"

struct flow_decryption {
    /* for whom */
    const struct flow_message *message; /* borrowed: it owns this */
    const struct pki_key **keys;        /* borrowed from the keyring of the message's snapshot */
    size_t *owners;
    size_t count, owner_count;
    bool mark_unsigned, octet_stream, in_signed;
    const char *refusal; /* why nothing is opened although it is tried; NULL: it may be */

    /* the attempt */
    enum flow_decryption_state state;
    struct smime_decrypt *smime;
    bool took; /* of the rate */
    bool good; /* tag or padding */
    struct flow_lift lift;
    struct flow_inside_args inside_args; /* the caller's */
    struct flow_inside_result inside;
    const char *reason;
};

/* ---- for whom ----------------------------------------------------------------------------------
 */

/* What all recipients' rules agree on. False: some rule does not want it. */
static bool
decryption_find_rules(const struct flow_message *message, struct flow_decryption *decryption)
{
    decryption->mark_unsigned = decryption->octet_stream = decryption->in_signed = true;
    for (size_t i = 0; i < message->count; i++) {
        const struct conf_rule *rule = message->recipients[i].rule;

        if (!rule->smime || !rule->decrypt)
            return false;
        decryption->mark_unsigned &= rule->decrypt_unsigned == CONF_DECRYPT_UNSIGNED_MARK;
        decryption->octet_stream &= rule->decrypt_octet_stream;
        decryption->in_signed &= rule->decrypt_in_signed;
    }
    return message->count > 0;
}

static enum err_code
decryption_add_keys(struct flow_decryption *decryption, const struct pki_key_list *list,
                    struct err *err)
{
    size_t count = decryption->count + list->count;
    const struct pki_key **keys = realloc(decryption->keys, count * sizeof(*keys));
    size_t *owners;

    if (!keys)
        return err_set(err, ERR_NOMEM, "memory for keys");
    decryption->keys = keys;
    owners = realloc(decryption->owners, count * sizeof(*owners));
    if (!owners)
        return err_set(err, ERR_NOMEM, "memory for keys");
    decryption->owners = owners;
    for (size_t i = 0; i < list->count; i++) {
        keys[decryption->count] = list->list[i];
        owners[decryption->count++] = decryption->owner_count;
    }
    decryption->owner_count++;
    return ERR_OK;
}

static enum err_code
decryption_find_keys(const struct flow_message *message, struct flow_decryption *decryption,
                     struct err *err)
{
    const struct flow_services *services = message->services;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < message->count; i++) {
        const struct flow_recipient *recipient = &message->recipients[i];
        struct pki_key_list list = { .count = 0 };

        if (recipient->valid)
            code = pki_keyring_find_history(services->keyring, recipient->address,
                                            &services->leaf_policy, &list, err);
        if (code != ERR_OK)
            break;
        if (list.count == 0)
            decryption->refusal = "recipient-without-key";
        else if (decryption->owner_count == SMIME_DECRYPT_LIMIT_OWNERS)
            decryption->refusal = "decrypt-recipients";
        else
            code = decryption_add_keys(decryption, &list, err);
    }
    return code;
}

enum err_code
flow_decryption_new(const struct flow_message *message, struct flow_decryption **out,
                    struct err *err)
{
    struct flow_decryption *decryption = calloc(1, sizeof(*decryption));
    enum err_code code = ERR_OK;

    *out = NULL;
    if (!decryption)
        return err_set(err, ERR_NOMEM, "memory for decryption");
    decryption->message = message;
    decryption->reason = "ok";
    if (decryption_find_rules(message, decryption))
        code = decryption_find_keys(message, decryption, err);
    if (code != ERR_OK || decryption->owner_count == 0)
        flow_decryption_free(&decryption);
    *out = decryption;
    return code;
}

void
flow_decryption_free(struct flow_decryption **decryption)
{
    struct flow_decryption *old = decryption ? *decryption : NULL;

    if (!old)
        return;
    *decryption = NULL;
    smime_decrypt_free(&old->smime);
    flow_lift_free(&old->lift);
    free(old->keys);
    free(old->owners);
    free(old);
}

/* ---- how often ---------------------------------------------------------------------------------
 */

/* The names whose attempts are counted: the client's address and every recipient. */
static struct flow_rate_args
decryption_rate_args(const struct flow_message *message,
                     const char *names[SMIME_DECRYPT_LIMIT_OWNERS + 1])
{
    const char *address = strchr(message->client, '[');
    struct flow_rate_args args = { .total = message->conf->global.decrypt_rate,
                                   .each = message->conf->global.decrypt_rate_each,
                                   .names = names };

    names[args.count++] = address ? address : message->client;
    for (size_t i = 0; i < message->count && args.count <= SMIME_DECRYPT_LIMIT_OWNERS; i++)
        names[args.count++] = message->recipients[i].address;
    return args;
}

static bool
decryption_take_rate(const struct flow_decryption *decryption)
{
    const char *names[SMIME_DECRYPT_LIMIT_OWNERS + 1];
    const struct flow_rate_args args = decryption_rate_args(decryption->message, names);

    return flow_rate_check(decryption->message->services->decrypt_rate, &args);
}

/* Always asked, so that it takes the same time. */
static void
decryption_give_rate(const struct flow_decryption *decryption, bool give)
{
    const char *names[SMIME_DECRYPT_LIMIT_OWNERS + 1];
    const struct flow_rate_args args = decryption_rate_args(decryption->message, names);

    flow_rate_reset(decryption->message->services->decrypt_rate, &args, give);
}

/* ---- the attempt -------------------------------------------------------------------------------
 */

static enum err_code
decryption_take_header(void *context, const struct mime_header *header, struct err *err)
{
    struct flow_decryption *decryption = context;
    enum err_code code = flow_lift_load(header, &decryption->lift, err);

    if (code != ERR_OK || !decryption->inside_args.header)
        return code;
    return decryption->inside_args.header(decryption->inside_args.context, header, err);
}

static enum err_code
decryption_take_body(void *context, struct span piece, struct err *err)
{
    struct flow_decryption *decryption = context;

    return decryption->inside_args.body(decryption->inside_args.context, piece, err);
}

static enum err_code
decryption_drop(void *context, struct span piece, struct err *err)
{
    (void)context;
    (void)piece;
    (void)err;
    return ERR_OK;
}

static enum err_code
decryption_push(void *context, struct span piece, struct err *err)
{
    return flow_inside_write(context, piece, err);
}

/* One way through the cipher into `sink`; *good: tag or padding fit. */
static enum err_code
decryption_run(struct flow_decryption *decryption, stage_sink_fn *sink, void *context, bool *good,
               struct err *err)
{
    struct stage *stage = NULL;
    struct err found = ERR_INIT;
    enum err_code code = stage_sink_new(sink, context, &stage, err);

    if (code != ERR_OK)
        return code;
    code = smime_decrypt_write(decryption->smime, stage, &found);
    stage_free(&stage);
    *good = code == ERR_OK;
    if (code == ERR_OK || code == ERR_PERM)
        return ERR_OK;
    return err_set_reason(err, code, found.reason, "%s", found.text);
}

static enum err_code
decryption_look_inside(struct flow_decryption *decryption, struct err *err)
{
    const struct flow_inside_args args = { .mend = true,
                                           .header = decryption_take_header,
                                           .body = decryption_take_body,
                                           .context = decryption };
    struct flow_inside *inside = NULL;
    bool ignored;
    enum err_code code = flow_inside_new(&args, &inside, err);

    if (code == ERR_OK)
        code = decryption_run(decryption, decryption_push, inside, &ignored, err);
    if (code == ERR_OK)
        code = flow_inside_finish(inside, err);
    if (code == ERR_OK)
        decryption->inside = *flow_inside_get(inside);
    flow_inside_free(&inside);
    return code;
}

enum err_code
flow_decryption_open(struct flow_decryption *decryption, const struct spool *spool,
                     const struct flow_inside_args *inside, struct err *err)
{
    struct smime_decrypt_args args = {
        .spool = spool,
        .keys = decryption->keys,
        .count = decryption->count,
        .owners = decryption->owners,
        .owner_count = decryption->owner_count,
        .quiet = true,
    };
    struct err found = ERR_INIT;
    enum err_code code;

    if (decryption->smime || decryption->state != FLOW_DECRYPTION_UNASKED)
        return err_set(err, ERR_BUG, "one message is decrypted once");
    decryption->inside_args = *inside;
    decryption->state = FLOW_DECRYPTION_CLOSED;
    if (!decryption->refusal) {
        decryption->took = decryption_take_rate(decryption);
        decryption->refusal = decryption->took ? NULL : "rate-limited";
    }
    args.refused = decryption->refusal != NULL;
    code = smime_decrypt_new(&args, &decryption->smime, &found);
    if (code == ERR_PERM || code == ERR_LIMIT) {
        decryption->reason = found.reason ? found.reason : "malformed-cms";
        return ERR_OK;
    }
    if (code != ERR_OK)
        return err_set_reason(err, code, found.reason, "%s", found.text);
    code = decryption_run(decryption, decryption_drop, NULL, &decryption->good, err);
    return code == ERR_OK ? decryption_look_inside(decryption, err) : code;
}

/* Why not? NULL: it may be opened. */
static const char *
decryption_find_obstacle(const struct flow_decryption *decryption, bool intact)
{
    bool authentic = smime_decrypt_get(decryption->smime)->authenticated;

    if (decryption->refusal)
        return decryption->refusal;
    if (!decryption->good)
        return strcmp(smime_decrypt_reason(decryption->smime), "ok") == 0
                   ? "decrypt-failed"
                   : smime_decrypt_reason(decryption->smime);
    if (decryption->inside.broken || decryption->lift.odd)
        return "not-an-entity";
    if (decryption->inside.unclean)
        return "not-transportable";
    if (authentic || intact)
        return NULL;
    if (!decryption->mark_unsigned)
        return "not-authentic";
    /* What another key made of the octets is hardly ever an entity with a type. */
    return decryption->lift.has_type ? NULL : "not-an-entity";
}

enum flow_decryption_state
flow_decryption_finish(struct flow_decryption *decryption, bool intact)
{
    const char *obstacle;

    if (!decryption->smime)
        return decryption->state;
    obstacle = decryption_find_obstacle(decryption, intact);
    decryption->reason = obstacle ? obstacle : "ok";
    decryption->state = obstacle ? FLOW_DECRYPTION_CLOSED : FLOW_DECRYPTION_OPENED;
    /* Neither who got authentic plaintext learnt anything, nor who named no key of ours. */
    decryption_give_rate(decryption,
                         decryption->took &&
                             ((!obstacle && (intact || flow_decryption_is_authentic(decryption))) ||
                              !smime_decrypt_get(decryption->smime)->key_used));
    decryption->took = false;
    return decryption->state;
}

void
flow_decryption_reset(struct flow_decryption *decryption, const char *reason)
{
    decryption->state = FLOW_DECRYPTION_CLOSED;
    decryption->reason = reason;
}

/* ---- what became of it -------------------------------------------------------------------------
 */

bool
flow_decryption_wants_octet_stream(const struct flow_decryption *decryption)
{
    return decryption->octet_stream;
}

bool
flow_decryption_wants_signed(const struct flow_decryption *decryption)
{
    return decryption->in_signed;
}

enum flow_decryption_state
flow_decryption_get(const struct flow_decryption *decryption)
{
    return decryption->state;
}

bool
flow_decryption_is_authentic(const struct flow_decryption *decryption)
{
    return decryption->smime && smime_decrypt_get(decryption->smime)->authenticated;
}

const char *
flow_decryption_reason(const struct flow_decryption *decryption)
{
    return decryption->reason;
}

const char *
flow_decryption_cipher(const struct flow_decryption *decryption)
{
    return decryption->smime ? smime_decrypt_get(decryption->smime)->cipher : "";
}

enum err_code
flow_decryption_edits(const struct flow_decryption *decryption, const struct mime_header *header,
                      struct flow_edits *edits, struct err *err)
{
    enum err_code code;

    if (decryption->state != FLOW_DECRYPTION_OPENED)
        return err_set(err, ERR_BUG, "edits for a message that was not opened");
    code = flow_lift_edits(&decryption->lift, header, decryption->inside.binary ? "base64" : NULL,
                           edits, err);
    if (code == ERR_OK)
        code = flow_edits_add(edits, FLOW_EDIT_REPLACE_BODY, NULL, NULL, 0, err);
    return code;
}

static enum err_code
decryption_write_out(void *context, struct span piece, struct err *err)
{
    return stage_write(context, piece, err);
}

enum err_code
flow_decryption_write_body(struct flow_decryption *decryption, struct stage *sink, struct err *err)
{
    struct stage *encoder = NULL;
    struct flow_inside *inside = NULL;
    bool good = false;
    enum err_code code = ERR_OK;

    if (decryption->state != FLOW_DECRYPTION_OPENED) {
        stage_free(&sink);
        return err_set(err, ERR_BUG, "a body for a message that was not opened");
    }
    if (decryption->inside.binary) {
        code = mime_base64_encode_new(sink, &encoder, err);
        sink = code == ERR_OK ? encoder : sink;
    }
    const struct flow_inside_args args = { .mend = true,
                                           .body = decryption_write_out,
                                           .context = sink };
    if (code == ERR_OK)
        code = flow_inside_new(&args, &inside, err);
    if (code == ERR_OK)
        code = decryption_run(decryption, decryption_push, inside, &good, err);
    if (code == ERR_OK && !good)
        code = err_set(err, ERR_BUG, "what was opened does not open again");
    if (code == ERR_OK)
        code = flow_inside_finish(inside, err);
    if (code == ERR_OK)
        code = stage_finish(sink, err);
    flow_inside_free(&inside);
    stage_free(&sink);
    return code;
}
