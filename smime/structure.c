/*
 * Two stacks run side by side: the walker's, which knows where elements end, and ours, which knows
 * what place in the grammar (smime/grammar) each of them fills.
 */
#include "smime/structure.h"

#include <assert.h>
#include <stdlib.h>

#include "util/buf.h"
#include "smime/grammar.h"

struct frame {
    unsigned char role;  /* of its children */
    unsigned char row;   /* next row of a sequence */
    unsigned char field; /* being cut out and ends here */
    bool content;        /* its data are content */
    bool joined;         /* a constructed octet string inside a cut: pieces become one */
    uint32_t count;
    size_t cut_at; /* where its contents begin in the cut */
};

struct smime_structure {
    struct smime_structure_args args;
    struct smime_ber *walker;
    struct smime_structure_result result;
    /* One frame for the outside, one per open element. frames[depth] holds the element's parent. */
    struct frame frames[SMIME_BER_DEPTH + 1];
    unsigned char type[SMIME_GRAMMAR_OID];
    size_t type_n;
    bool in_type;
    unsigned char body; /* enum smime_role: of the content of the ContentInfo */
    bool cutting;
    struct buf cut;
};

static enum err_code
refuse(struct smime_structure *structure, const char *why, struct err *err)
{
    structure->result.why = why;
    return err_set_reason(err, ERR_PERM, "malformed-cms", "CMS: %s", why);
}

static bool
row_matches(const struct smime_row *row, unsigned char identifier)
{
    return row->identifier == SMIME_GRAMMAR_ANY || row->identifier == identifier ||
           (row->or_else != 0 && row->or_else == identifier);
}

/* The row of `parent` that an element with this identifier fills; NULL when there is none. */
static const struct smime_row *
find_row(struct frame *parent, unsigned char identifier)
{
    const struct smime_grammar *grammar = smime_grammar_get(parent->role);
    if (grammar->choice) {
        for (size_t i = 0; i < SMIME_GRAMMAR_ROWS && grammar->rows[i].identifier != 0; i++)
            if (row_matches(&grammar->rows[i], identifier))
                return &grammar->rows[i];
        return NULL;
    }
    while (parent->row < SMIME_GRAMMAR_ROWS && grammar->rows[parent->row].identifier != 0) {
        const struct smime_row *row = &grammar->rows[parent->row++];
        if (row_matches(row, identifier))
            return row;
        if ((row->flags & SMIME_ROW_OPTIONAL) == 0)
            return NULL;
    }
    return NULL;
}

/* May the element that `frame` describes end here? */
static bool
is_full(const struct frame *frame)
{
    const struct smime_grammar *grammar = smime_grammar_get(frame->role);
    if (grammar->choice)
        return frame->count >= grammar->min;
    for (size_t i = frame->row; i < SMIME_GRAMMAR_ROWS && grammar->rows[i].identifier != 0; i++)
        if ((grammar->rows[i].flags & SMIME_ROW_OPTIONAL) == 0)
            return false;
    return true;
}

static enum err_code
count_item(struct smime_structure *structure, enum smime_role parent, struct err *err)
{
    struct smime_structure_result *result = &structure->result;
    uint32_t *counter = parent == SMIME_ROLE_RECIPIENTS     ? &result->recipients
                        : parent == SMIME_ROLE_SIGNERS      ? &result->signers
                        : parent == SMIME_ROLE_CERTIFICATES ? &result->certificates
                        : parent == SMIME_ROLE_CRLS         ? &result->crls
                                                            : NULL;
    if (counter == NULL)
        return ERR_OK;
    if (*counter == UINT32_MAX)
        return refuse(structure, "too many elements", err);
    ++*counter;
    return ERR_OK;
}

/*
 * Cutting a field out. Consumers get definite lengths and whole octet strings whatever the sender
 * wrote, so that none of them needs to know the other forms: the header of an element whose length
 * is not known yet is put in front when it ends.
 */
static enum err_code
cut_begin(struct smime_structure *structure, const struct smime_ber_item *item,
          const struct smime_row *row, struct err *err)
{
    struct frame *frame = &structure->frames[item->depth + 1];
    if (!structure->cutting) {
        if (row->field == 0 || (structure->args.wanted & 1u << row->field) == 0)
            return ERR_OK;
        structure->cutting = true;
        frame->field = row->field;
        buf_reset(&structure->cut);
    }
    const struct frame *parent = &structure->frames[item->depth];
    frame->joined = item->identifier == SMIME_BER_OCTETS_CONSTRUCTED;
    if (parent->joined) {
        if (item->identifier != SMIME_BER_OCTETS && !frame->joined)
            return refuse(structure, "an octet string made of something else", err);
        frame->cut_at = SIZE_MAX; /* no header of its own */
        return ERR_OK;
    }
    enum err_code code = ERR_OK;
    if (!item->indefinite && !frame->joined)
        code = buf_append(&structure->cut, item->header, err);
    frame->cut_at = structure->cut.n;
    return code;
}

/* Puts identifier and length before what lies in the cut since `from`. */
static enum err_code
cut_header(struct buf *cut, size_t from, unsigned char identifier, struct err *err)
{
    unsigned char header[SMIME_BER_HEADER];
    size_t n = smime_ber_format(identifier, cut->n - from, header);
    size_t contents = cut->n - from;
    enum err_code code = buf_append(cut, span_of(header, n), err); /* room */
    if (code != ERR_OK)
        return code;
    memmove(cut->p + from + n, cut->p + from, contents);
    memcpy(cut->p + from, header, n);
    return ERR_OK;
}

static enum err_code
cut_end(struct smime_structure *structure, const struct smime_ber_item *item, struct err *err)
{
    struct frame *frame = &structure->frames[item->depth + 1];
    enum err_code code = ERR_OK;
    if (frame->cut_at != SIZE_MAX && (item->indefinite || frame->joined))
        code = cut_header(&structure->cut, frame->cut_at,
                          frame->joined ? SMIME_BER_OCTETS : item->identifier, err);
    if (code != ERR_OK || frame->field == 0)
        return code;
    structure->cutting = false;
    code = structure->args.field(structure->args.context, (enum smime_field)frame->field,
                                 buf_span(&structure->cut), err);
    buf_reset(&structure->cut);
    return code;
}

static enum err_code
on_begin(void *context, struct smime_ber_item *item, struct err *err)
{
    struct smime_structure *structure = context;
    struct frame *parent = &structure->frames[item->depth];
    struct frame *frame = &structure->frames[item->depth + 1];
    const struct smime_grammar *grammar = smime_grammar_get(parent->role);
    const struct smime_row *row = find_row(parent, item->identifier);
    if (row == NULL)
        return refuse(structure, grammar->unexpected, err);
    if (!item->constructed &&
        (item->length < row->min || (row->max > 0 && item->length > row->max)))
        return refuse(structure, "an element is too short or too long", err);
    if (parent->count < UINT32_MAX)
        parent->count++;
    *frame = (struct frame){ .role = row->role, .content = (row->flags & SMIME_ROW_CONTENT) != 0 };
    if (parent->role == SMIME_ROLE_WRAPPER) {
        frame->role = structure->body;
        if (structure->body != SMIME_ROLE_ANY && item->identifier != SMIME_BER_SEQUENCE)
            return refuse(structure, "ContentInfo: the content is no SEQUENCE", err);
    }
    if (parent->role == SMIME_ROLE_ENCAPSULATED_WRAPPER && item->identifier != SMIME_BER_OCTETS &&
        item->identifier != SMIME_BER_OCTETS_CONSTRUCTED)
        *frame = (struct frame){ .role = SMIME_ROLE_ANY };
    if (frame->content)
        structure->result.has_content = true;
    item->whole = (row->flags & SMIME_ROW_WHOLE) != 0 && !item->indefinite;
    structure->in_type = row->field == SMIME_FIELD_TYPE;
    enum err_code code = count_item(structure, parent->role, err);
    return code != ERR_OK ? code : cut_begin(structure, item, row, err);
}

static enum err_code
on_data(void *context, const struct smime_ber_item *item, struct span piece, struct err *err)
{
    struct smime_structure *structure = context;
    if (structure->in_type && structure->type_n + piece.n <= sizeof(structure->type)) {
        memcpy(structure->type + structure->type_n, piece.p, piece.n);
        structure->type_n += piece.n;
    }
    if (structure->cutting) {
        enum err_code code = buf_append(&structure->cut, piece, err);
        if (code != ERR_OK)
            return code;
    }
    if (!structure->frames[item->depth + 1].content)
        return ERR_OK;
    structure->result.content_bytes += piece.n;
    if (structure->args.content == NULL)
        return ERR_OK;
    return structure->args.content(structure->args.context, piece, err);
}

/* The type of the ContentInfo decides by which rules its content is read. */
static void
set_type(struct smime_structure *structure)
{
    struct span oid = span_of(structure->type, structure->type_n);
    structure->body = (unsigned char)smime_grammar_find(oid, &structure->result.content);
    structure->in_type = false;
}

static enum err_code
on_end(void *context, const struct smime_ber_item *item, struct err *err)
{
    struct smime_structure *structure = context;
    const struct frame *frame = &structure->frames[item->depth + 1];
    if (structure->in_type)
        set_type(structure);
    if (item->constructed && !item->whole && !is_full(frame))
        return refuse(structure, smime_grammar_get(frame->role)->missing, err);
    return structure->cutting ? cut_end(structure, item, err) : ERR_OK;
}

static const struct smime_ber_events events = { .begin = on_begin, .data = on_data, .end = on_end };

enum err_code
smime_structure_new(const struct smime_structure_args *args, struct smime_structure **out,
                    struct err *err)
{
    struct smime_structure *structure = calloc(1, sizeof(*structure));
    if (structure == NULL)
        return err_set(err, ERR_NOMEM, "no memory to read a CMS object");
    structure->args = *args;
    buf_init(&structure->cut, args->field_limit_bytes);
    structure->frames[0].role = SMIME_ROLE_ROOT;
    enum err_code code = smime_ber_new(&events, structure, &structure->walker, err);
    if (code != ERR_OK) {
        smime_structure_free(&structure);
        return code;
    }
    *out = structure;
    return ERR_OK;
}

void
smime_structure_free(struct smime_structure **structure)
{
    if (structure == NULL || *structure == NULL)
        return;
    smime_ber_free(&(*structure)->walker);
    buf_free(&(*structure)->cut);
    free(*structure);
    *structure = NULL;
}

enum err_code
smime_structure_write(struct smime_structure *structure, struct span piece, struct err *err)
{
    enum err_code code = smime_ber_write(structure->walker, piece, err);
    if (code != ERR_OK && structure->result.why == NULL)
        structure->result.why = smime_ber_why(structure->walker);
    return code;
}

enum err_code
smime_structure_finish(struct smime_structure *structure, struct err *err)
{
    enum err_code code = smime_ber_finish(structure->walker, err);
    struct smime_structure_result *result = &structure->result;
    if (code != ERR_OK && result->why == NULL)
        result->why = smime_ber_why(structure->walker);
    if (code != ERR_OK)
        return code;
    if (result->content == SMIME_CONTENT_SIGNED && result->signers == 0)
        result->content = SMIME_CONTENT_CERTS_ONLY;
    result->complete = true;
    return ERR_OK;
}

const struct smime_structure_result *
smime_structure_get(const struct smime_structure *structure)
{
    return &structure->result;
}
