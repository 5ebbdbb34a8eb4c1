#include "flow/protect.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "flow/names.h"

/* A new field stands behind every one that is there: insheader at 0 to 2 would land above Received
 * (docs/architecture.md). Far enough for what other filters add before us. */
enum { PROTECT_AT_END = 1000, PROTECT_LIMIT_HEADER = 4096 };

/* The last stage of the chain: where the bytes go is known only when the milter asks for them. */
struct outlet {
    struct stage stage;
    struct stage *target; /* owned */
    uint64_t written;
};

struct flow_protect {
    struct stage *chain;   /* owned; first stage */
    struct stage *encrypt; /* borrowed out of the chain; gets the header of what was signed */
    struct outlet *outlet; /* borrowed out of the chain */
    struct buf
        inner_header; /* sign and encrypt: header of the signed entity, with the empty line */
    struct smime_entity_header header;
    const struct spool *spool;
    struct span entity_header;
    bool used;
};

static enum err_code
outlet_write(struct stage *stage, struct span piece, struct err *err)
{
    struct outlet *outlet = (struct outlet *)stage;

    if (!outlet->target)
        return err_set(err, ERR_BUG, "protected bytes before anybody asked for them");
    outlet->written += piece.n;
    return stage_write(outlet->target, piece, err);
}

static enum err_code
outlet_finish(struct stage *stage, struct err *err)
{
    struct outlet *outlet = (struct outlet *)stage;

    if (!outlet->target)
        return err_set(err, ERR_BUG, "the end of the bytes before anybody asked for them");
    return stage_finish(outlet->target, err);
}

static void
outlet_free(struct stage *stage)
{
    struct outlet *outlet = (struct outlet *)stage;

    stage_free(&outlet->target);
    free(outlet);
}

static const struct stage_ops outlet_ops = {
    .name = "outlet",
    .write = outlet_write,
    .finish = outlet_finish,
    .free = outlet_free,
};

static enum err_code
protect_add_sign(struct flow_protect *protect, const struct flow_protect_args *args,
                 struct stage **first, struct err *err)
{
    const struct policy_copy *copy = args->copy;
    struct smime_entity_header header = { 0 };
    struct stage *stage = NULL;
    enum err_code code;
    struct smime_sign_args sign = {
        .key = args->key,
        .encryption = args->own,
        .opaque = copy->opaque,
        .digest = flow_names_digest(copy->algorithms.digest),
        .signature = flow_names_signature(copy->algorithms.rsa_signature),
        .signing_time = args->signing_time,
    };

    code = smime_sign_new(&sign, *first, &stage, &header, err);
    if (code != ERR_OK)
        return code;
    *first = stage;
    if (!protect->encrypt) {
        protect->header = header;
        return ERR_OK;
    }
    code = smime_entity_header_format(&header, &protect->inner_header, err);
    return code == ERR_OK ? buf_append_str(&protect->inner_header, "\r\n", err) : code;
}

static enum err_code
protect_build(struct flow_protect *protect, const struct flow_protect_args *args,
              struct stage **first, struct err *err)
{
    const struct policy_copy *copy = args->copy;
    bool clear = copy->sign && !copy->opaque;
    struct stage *stage = NULL;
    enum err_code code = ERR_OK;

    if (copy->encrypt) {
        struct smime_encrypt_args encrypt = {
            .recipients = args->recipients,
            .count = args->count,
            .cipher = flow_names_cipher(copy->algorithms.cipher),
            .transport = flow_names_transport(copy->algorithms.key_transport),
        };

        code = smime_encrypt_new(&encrypt, *first, &stage, &protect->header, err);
        if (code != ERR_OK)
            return code;
        *first = protect->encrypt = stage;
    }
    if (copy->sign)
        code = protect_add_sign(protect, args, first, err);
    if (code == ERR_OK)
        code =
            mime_canonical_new(args->scan, clear ? MIME_CANONICAL_TRANSPORT : MIME_CANONICAL_OPAQUE,
                               *first, &stage, err);
    if (code == ERR_OK)
        *first = stage;
    return code;
}

enum err_code
flow_protect_new(const struct flow_protect_args *args, struct flow_protect **out, struct err *err)
{
    struct flow_protect *protect = calloc(1, sizeof(*protect));
    struct outlet *outlet = calloc(1, sizeof(*outlet));
    enum err_code code;

    if (!protect || !outlet) {
        free(protect);
        free(outlet);
        return err_set(err, ERR_NOMEM, "memory for protecting a message");
    }
    stage_init(&outlet->stage, &outlet_ops, NULL);
    protect->outlet = outlet;
    protect->chain = &outlet->stage;
    protect->spool = args->spool;
    protect->entity_header = args->entity_header;
    buf_init(&protect->inner_header, PROTECT_LIMIT_HEADER);
    if ((args->copy->sign && !args->key) || (args->copy->encrypt && args->count == 0) ||
        (!args->copy->sign && !args->copy->encrypt))
        code = err_set(err, ERR_BUG, "protection without key or recipients");
    else
        code = protect_build(protect, args, &protect->chain, err);
    if (code != ERR_OK) {
        flow_protect_free(&protect);
        return code;
    }
    *out = protect;
    return ERR_OK;
}

void
flow_protect_free(struct flow_protect **protect)
{
    struct flow_protect *old = protect ? *protect : NULL;

    if (!old)
        return;
    *protect = NULL;
    stage_free(&old->chain);
    buf_free(&old->inner_header);
    free(old);
}

/* ---- header fields -----------------------------------------------------------------------------
 */

struct protect_field {
    const char *name, *value; /* value "": there is to be none */
    bool is_default;          /* the value says what no field says: none is made for it */
};

static bool
protect_replaces(struct span name)
{
    return span_starts_nocase(name, "Content-") || span_equal_nocase(name, "MIME-Version");
}

/* Which of the fields of its name is field `index`? 1-based, as the MTA counts. */
static unsigned
protect_count_before(const struct mime_header *header, size_t index, const char *name)
{
    unsigned nth = 1;
    size_t i;

    for (i = 0; i < index; i++) {
        if (span_equal_nocase(mime_header_get(header, i).name, name))
            nth++;
    }
    return nth;
}

static bool
protect_stays(struct span name, const struct protect_field *fields, size_t count,
              const struct mime_header *header, size_t index)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (span_equal_nocase(name, fields[i].name))
            return fields[i].value[0] && protect_count_before(header, index, fields[i].name) == 1;
    }
    return false;
}

/* All but the first of each name that is to be there. */
static enum err_code
protect_delete_fields(const struct mime_header *header, const struct protect_field *fields,
                      size_t count, struct flow_edits *edits, struct err *err)
{
    enum err_code code = ERR_OK;
    size_t i;

    /* From the last to the first: each deletion shifts only what is behind it. */
    for (i = mime_header_count(header); code == ERR_OK && i > 0; i--) {
        struct mime_header_field field = mime_header_get(header, i - 1);
        char *name;

        if (!protect_replaces(field.name) ||
            protect_stays(field.name, fields, count, header, i - 1))
            continue;
        name = span_dup(field.name);
        if (!name)
            return err_set(err, ERR_NOMEM, "memory for header edits");
        code = flow_edits_add(edits, FLOW_EDIT_DELETE_HEADER, name, NULL,
                              protect_count_before(header, i - 1, name), err);
        free(name);
    }
    return code;
}

/* A new value with LF for its folding: the CR of the wire would be doubled by the MTA. The one that
 * is changed in its place brings its own space behind the colon. */
static enum err_code
protect_set_field(const struct mime_header *header, const struct protect_field *wanted,
                  struct flow_edits *edits, struct err *err)
{
    unsigned end = (unsigned)mime_header_count(header) + PROTECT_AT_END;
    char folded[1 + sizeof(struct smime_entity_header)] = " ";
    struct mime_header_field there;
    const char *p;
    size_t used = 1;

    for (p = wanted->value; *p && used + 1 < sizeof(folded); p++) {
        if (*p != '\r')
            folded[used++] = *p;
    }
    folded[used] = 0;
    if (used == 1)
        return ERR_OK;
    if (!mime_header_find(header, wanted->name, 0, &there))
        return wanted->is_default ? ERR_OK
                                  : flow_edits_add(edits, FLOW_EDIT_INSERT_HEADER, wanted->name,
                                                   folded + 1, end, err);
    if (span_equal(span_trim(there.value), span_str(folded + 1)))
        return ERR_OK;
    return flow_edits_add(edits, FLOW_EDIT_CHANGE_HEADER, wanted->name, folded, 1, err);
}

enum err_code
flow_protect_edits(const struct flow_protect *protect, const struct mime_header *header,
                   struct flow_edits *edits, struct err *err)
{
    const struct smime_entity_header *made = &protect->header;
    bool is_7bit = made->transfer_encoding[0] == '\0'; /* RFC 2045 6.1 */
    const struct protect_field fields[] = {
        { "MIME-Version", "1.0", false },
        { "Content-Type", made->content_type, false },
        { "Content-Transfer-Encoding", is_7bit ? "7bit" : made->transfer_encoding, is_7bit },
        { "Content-Disposition", made->disposition, false },
        { "Content-Description", made->description, false },
    };
    enum { COUNT = sizeof(fields) / sizeof(fields[0]) };
    enum err_code code = protect_delete_fields(header, fields, COUNT, edits, err);
    size_t i;

    for (i = 0; code == ERR_OK && i < COUNT; i++)
        code = protect_set_field(header, &fields[i], edits, err);
    if (code == ERR_OK)
        code = flow_edits_add(edits, FLOW_EDIT_REPLACE_BODY, NULL, NULL, 0, err);
    return code;
}

/* ---- the body ----------------------------------------------------------------------------------
 */

enum err_code
flow_protect_write(struct flow_protect *protect, struct stage *sink, struct err *err)
{
    enum err_code code = ERR_OK;

    if (protect->used) {
        stage_free(&sink);
        return err_set(err, ERR_BUG, "a protected body is written once");
    }
    protect->used = true;
    protect->outlet->target = sink;
    if (protect->encrypt && protect->inner_header.n > 0)
        code = stage_write(protect->encrypt, buf_span(&protect->inner_header), err);
    if (code == ERR_OK)
        code = stage_write(protect->chain, protect->entity_header, err);
    if (code == ERR_OK)
        code = spool_copy(protect->spool, protect->chain, err);
    if (code == ERR_OK)
        code = stage_finish(protect->chain, err);
    return code;
}

uint64_t
flow_protect_size(const struct flow_protect *protect)
{
    return protect->outlet->written;
}
