/*
 * The stack holds, for each open element, where it must end. An element of indefinite length
 * inherits the bound of what encloses it, so that "does it fit into its parent" is one comparison
 * at every header, however the two forms are nested.
 */
#include "smime/ber.h"

#include <assert.h>
#include <stdlib.h>

enum state {
    STATE_IDENTIFIER,
    STATE_TAG,    /* further octets of a tag number above 30 */
    STATE_LENGTH, /* first length octet */
    STATE_LENGTH_MORE,
    STATE_EOC, /* second octet of end-of-contents */
    STATE_CONTENTS,
    STATE_DONE
};

enum {
    BIT_CONSTRUCTED = 0x20,
    MASK_TAG = 0x1f,
    LENGTH_INDEFINITE = 0x80,
    LIMIT_TAG_OCTETS = 4,
    LIMIT_LENGTH_OCTETS = 8
};

struct frame {
    struct smime_ber_item item;
    uint64_t bound; /* its own end, or for indefinite length the bound of its parent */
};

struct smime_ber {
    const struct smime_ber_events *events;
    void *context;
    enum state state;
    struct frame stack[SMIME_BER_DEPTH];
    unsigned depth;  /* open elements */
    uint64_t offset; /* octets consumed */
    unsigned char header[SMIME_BER_HEADER];
    size_t header_n;
    unsigned length_octets; /* still to come */
    uint64_t length;
    bool indefinite;
    const char *why;
    struct err failed;
};

static enum err_code
malformed(struct smime_ber *walker, const char *why, struct err *err)
{
    walker->why = why;
    return err_set_reason(err, ERR_PERM, "malformed-cms", "BER: %s (octet %llu)", why,
                          (unsigned long long)walker->offset);
}

enum err_code
smime_ber_new(const struct smime_ber_events *events, void *context, struct smime_ber **out,
              struct err *err)
{
    struct smime_ber *walker = calloc(1, sizeof(*walker));
    if (walker == NULL)
        return err_set(err, ERR_NOMEM, "no memory for a BER walker");
    walker->events = events;
    walker->context = context;
    *out = walker;
    return ERR_OK;
}

void
smime_ber_free(struct smime_ber **walker)
{
    if (walker == NULL || *walker == NULL)
        return;
    free(*walker);
    *walker = NULL;
}

const char *
smime_ber_why(const struct smime_ber *walker)
{
    return walker->why;
}

static uint64_t
bound_of(const struct smime_ber *walker)
{
    return walker->depth == 0 ? UINT64_MAX : walker->stack[walker->depth - 1].bound;
}

/* Contents come as data? */
static bool
is_leaf(const struct smime_ber_item *item)
{
    return !item->constructed || item->whole;
}

/* Ends the innermost element and every one around it that ends at the same octet. `eoc` says that
 * the innermost one is of indefinite length and its end-of-contents has just passed. */
static enum err_code
close_items(struct smime_ber *walker, bool eoc, struct err *err)
{
    while (walker->depth > 0) {
        struct frame *top = &walker->stack[walker->depth - 1];
        if (!eoc && (top->item.indefinite || walker->offset != top->bound))
            break;
        eoc = false;
        enum err_code code = walker->events->end(walker->context, &top->item, err);
        if (code != ERR_OK)
            return code;
        walker->depth--;
    }
    walker->state = walker->depth == 0                                ? STATE_DONE
                    : is_leaf(&walker->stack[walker->depth - 1].item) ? STATE_CONTENTS
                                                                      : STATE_IDENTIFIER;
    return ERR_OK;
}

/* The header is complete: puts the element on the stack and tells. */
static enum err_code
open_item(struct smime_ber *walker, struct err *err)
{
    bool constructed = (walker->header[0] & BIT_CONSTRUCTED) != 0;
    if (walker->indefinite && !constructed)
        return malformed(walker, "indefinite length of a primitive element", err);
    if (walker->depth == SMIME_BER_DEPTH)
        return malformed(walker, "nested too deeply", err);
    uint64_t bound = bound_of(walker);
    if (!walker->indefinite) {
        if (walker->length > bound - walker->offset)
            return malformed(walker, "an element is longer than what encloses it", err);
        bound = walker->offset + walker->length;
    }
    struct frame *top = &walker->stack[walker->depth];
    *top = (struct frame){
        .bound = bound,
        .item = { .identifier = walker->header[0],
                  .constructed = constructed,
                  .indefinite = walker->indefinite,
                  .length = walker->indefinite ? 0 : walker->length,
                  .depth = walker->depth,
                  .header = span_of(walker->header, walker->header_n) },
    };
    walker->depth++;
    enum err_code code = walker->events->begin(walker->context, &top->item, err);
    if (code != ERR_OK)
        return code;
    top->item.header = span_of(NULL, 0);
    assert(!top->item.whole || !top->item.indefinite);
    walker->header_n = 0;
    if (!walker->indefinite && walker->length == 0)
        return close_items(walker, false, err);
    walker->state = is_leaf(&top->item) ? STATE_CONTENTS : STATE_IDENTIFIER;
    return ERR_OK;
}

static enum err_code
read_identifier(struct smime_ber *walker, unsigned char byte, struct err *err)
{
    if (byte == 0) {
        if (walker->depth == 0 || !walker->stack[walker->depth - 1].item.indefinite)
            return malformed(walker, "end-of-contents where none is due", err);
        walker->state = STATE_EOC;
        return ERR_OK;
    }
    walker->header[0] = byte;
    walker->header_n = 1;
    walker->state = (byte & MASK_TAG) == MASK_TAG ? STATE_TAG : STATE_LENGTH;
    return ERR_OK;
}

static enum err_code
read_length(struct smime_ber *walker, unsigned char byte, struct err *err)
{
    walker->header[walker->header_n++] = byte;
    walker->indefinite = byte == LENGTH_INDEFINITE;
    walker->length = 0;
    if (byte <= 0x7f || walker->indefinite) {
        walker->length = walker->indefinite ? 0 : byte;
        return open_item(walker, err);
    }
    walker->length_octets = byte & 0x7f;
    if (walker->length_octets > LIMIT_LENGTH_OCTETS)
        return malformed(walker, "a length of more than eight octets", err);
    walker->state = STATE_LENGTH_MORE;
    return ERR_OK;
}

static enum err_code
read_byte(struct smime_ber *walker, unsigned char byte, struct err *err)
{
    if (walker->state == STATE_DONE)
        return malformed(walker, "octets behind the object", err);
    if (walker->offset == bound_of(walker))
        return malformed(walker, "an element is longer than what encloses it", err);
    walker->offset++;
    switch (walker->state) {
    case STATE_IDENTIFIER:
        return read_identifier(walker, byte, err);
    case STATE_TAG:
        if (walker->header_n > LIMIT_TAG_OCTETS)
            return malformed(walker, "a tag number beyond four octets", err);
        walker->header[walker->header_n++] = byte;
        if ((byte & 0x80) == 0)
            walker->state = STATE_LENGTH;
        return ERR_OK;
    case STATE_LENGTH:
        return read_length(walker, byte, err);
    case STATE_LENGTH_MORE:
        walker->header[walker->header_n++] = byte;
        walker->length = walker->length << 8 | byte;
        return --walker->length_octets == 0 ? open_item(walker, err) : ERR_OK;
    case STATE_EOC:
        if (byte != 0)
            return malformed(walker, "end-of-contents with a length", err);
        return close_items(walker, true, err);
    case STATE_CONTENTS:
    case STATE_DONE:
        break;
    }
    return err_set(err, ERR_BUG, "BER walker in state %d", (int)walker->state);
}

static enum err_code
read_contents(struct smime_ber *walker, struct span *piece, struct err *err)
{
    const struct frame *top = &walker->stack[walker->depth - 1];
    uint64_t left = top->bound - walker->offset;
    size_t n = left < piece->n ? (size_t)left : piece->n;
    enum err_code code =
        walker->events->data(walker->context, &top->item, span_of(piece->p, n), err);
    if (code != ERR_OK)
        return code;
    walker->offset += n;
    *piece = span_from(*piece, n);
    return close_items(walker, false, err);
}

enum err_code
smime_ber_write(struct smime_ber *walker, struct span piece, struct err *err)
{
    if (walker->failed.code != ERR_OK)
        return err_set_reason(err, walker->failed.code, walker->failed.reason, "%s",
                              walker->failed.text);
    enum err_code code = ERR_OK;
    while (piece.n > 0 && code == ERR_OK) {
        if (walker->state == STATE_CONTENTS) {
            code = read_contents(walker, &piece, &walker->failed);
        } else {
            code = read_byte(walker, piece.p[0], &walker->failed);
            piece = span_from(piece, 1);
        }
    }
    if (code != ERR_OK)
        return err_set_reason(err, code, walker->failed.reason, "%s", walker->failed.text);
    return ERR_OK;
}

enum err_code
smime_ber_finish(struct smime_ber *walker, struct err *err)
{
    if (walker->failed.code == ERR_OK && walker->state != STATE_DONE)
        (void)malformed(walker, "the object is cut off", &walker->failed);
    if (walker->failed.code != ERR_OK)
        return err_set_reason(err, walker->failed.code, walker->failed.reason, "%s",
                              walker->failed.text);
    return ERR_OK;
}

enum err_code
smime_ber_get(struct span *rest, struct smime_ber_element *out, struct err *err)
{
    const unsigned char *p = rest->p;
    size_t n = rest->n;
    if (n == 0)
        return ERR_NOTFOUND;
    size_t header = 2;
    uint64_t length = 0;
    if (n < 2 || (p[0] & MASK_TAG) == MASK_TAG || p[1] == LENGTH_INDEFINITE)
        goto malformed;
    if (p[1] <= 0x7f) {
        length = p[1];
    } else {
        size_t octets = p[1] & 0x7f;
        if (octets > sizeof(uint32_t) || n - 2 < octets)
            goto malformed;
        for (size_t i = 0; i < octets; i++)
            length = length << 8 | p[2 + i];
        header += octets;
    }
    if (length > n - header)
        goto malformed;
    *out = (struct smime_ber_element){
        .identifier = p[0],
        .contents = span_of(p + header, (size_t)length),
        .whole = span_of(p, header + (size_t)length),
    };
    *rest = span_from(*rest, out->whole.n);
    return ERR_OK;
malformed:
    return err_set_reason(err, ERR_PERM, "malformed-cms", "an element cannot be read");
}

size_t
smime_ber_format(unsigned char identifier, uint64_t length, unsigned char out[SMIME_BER_HEADER])
{
    size_t n = 0;
    out[n++] = identifier;
    if (length <= 0x7f) {
        out[n++] = (unsigned char)length;
        return n;
    }
    unsigned octets = 0;
    for (uint64_t left = length; left > 0; left >>= 8)
        octets++;
    out[n++] = (unsigned char)(0x80 | octets);
    while (octets-- > 0)
        out[n++] = (unsigned char)(length >> (8 * octets));
    return n;
}
