/*
 * How one message gets its canonical form.
 *
 * Most mail passes untouched: it arrived with CRLF and the scanner found nothing that a hop could
 * change. Then this stage hands on the caller's own pieces and parses nothing.
 *
 * Otherwise the parser runs a second time and tells again what each byte is, and the scanner's
 * records say for each part, by its number, what to do. Header sections are written out as they
 * came but for one field, Content-Transfer-Encoding, which changes in its place, or is added at the
 * end where there was none. The body of a leaf that must be encoded goes through a short chain of
 * its own stages, made at its header and freed at its end. Everything else goes through
 * mime/newline.
 *
 * Why leaves are encoded at all and not the message as a whole: multipart/signed must be 7-bit (RFC
 * 8551 3.1.3), since Postfix and others convert "8bit" to quoted-printable for peers without
 * 8BITMIME without looking whether a signature covers it, split lines at 998, and write ">From "
 * into mailbox files. They do that by labels and by lines, and inside message/rfc822 as well. What
 * carries no such label and no such line is left alone by all of them. Two consequences that one
 * might not expect: a leaf that says "8bit" and holds plain ASCII becomes "7bit", for Postfix
 * converts it otherwise; and what would need a change but whose structure is in doubt is not
 * touched here: mime/scan calls it only_opaque.
 */
#include "mime/canonical.h"

#include <stdlib.h>

#include "mime/base64.h"
#include "mime/entity.h"
#include "mime/newline.h"
#include "mime/qp.h"
#include "mime/wrap.h"

struct canonical {
    struct stage stage;
    const struct mime_scan *scan;
    enum mime_canonical_mode mode;
    bool untouched;             /* nothing to do: pieces go through */
    struct mime_entity *entity; /* NULL when untouched */
    struct stage *lines;        /* in front of the next stage, which it borrows */
    struct stage *leaf;         /* of the leaf that is being encoded, else NULL */
};

/* ---- header sections ---------------------------------------------------------------------------
 */

static const char *
action_encoding(enum mime_scan_action action)
{
    switch (action) {
    case MIME_SCAN_LABEL:
        return "7bit";
    case MIME_SCAN_QP:
        return "quoted-printable";
    case MIME_SCAN_KEEP:
    case MIME_SCAN_BASE64:
    case MIME_SCAN_WRAP:
    case MIME_SCAN_RECODE:
        break;
    }
    return "base64";
}

static enum err_code
write_encoding_field(struct canonical *canonical, enum mime_scan_action action, struct err *err)
{
    enum err_code code =
        stage_write(canonical->lines, span_str("Content-Transfer-Encoding: "), err);

    if (code == ERR_OK)
        code = stage_write(canonical->lines, span_str(action_encoding(action)), err);
    return code == ERR_OK ? stage_write(canonical->lines, span_str("\r\n"), err) : code;
}

/* The first line at the front of `section`, with its line break. */
static struct span
first_line(struct span section)
{
    size_t n = span_find(section, '\n');

    return span_of(section.p, n < section.n ? n + 1 : n);
}

static bool
is_encoding_field(struct span line)
{
    return span_starts_nocase(line, "Content-Transfer-Encoding:");
}

/* Everything as it was but for the one field. */
static enum err_code
write_section(struct canonical *canonical, const struct mime_entity_event *event,
              enum mime_scan_action action, struct err *err)
{
    struct span rest = event->bytes;
    bool written = false, skip = false;
    enum err_code code = ERR_OK;

    while (rest.n > 0 && code == ERR_OK) {
        struct span line = first_line(rest);
        bool is_folded = line.p[0] == ' ' || line.p[0] == '\t';

        rest = span_from(rest, line.n);
        if (is_folded && skip)
            continue;
        skip = is_encoding_field(line);
        if (span_trim(line).n == 0 && !is_folded) {
            /* The empty line: what is new comes before it. A Content-* field in the header of a
             * message asks for MIME-Version (RFC 2045 4), which the root has outside of us. */
            bool add_version = event->part->is_message_root && !event->part->has_mime_version;

            if (!written && add_version)
                code = stage_write(canonical->lines, span_str("MIME-Version: 1.0\r\n"), err);
            if (!written && code == ERR_OK)
                code = write_encoding_field(canonical, action, err);
            written = true;
        }
        if (code == ERR_OK && skip)
            code = written ? ERR_OK : write_encoding_field(canonical, action, err);
        else if (code == ERR_OK)
            code = stage_write(canonical->lines, line, err);
        written |= skip;
    }
    return code;
}

/* ---- leaves ------------------------------------------------------------------------------------
 */

/* Puts one more stage in front of *first; on failure *first stays for the caller to free. */
typedef enum err_code stage_new_fn(struct stage *next, struct stage **out, struct err *err);

static enum err_code
new_text_encoder(struct stage *next, struct stage **out, struct err *err)
{
    return mime_qp_encode_new(MIME_QP_TEXT, next, out, err);
}

static enum err_code
new_decoder(struct stage *next, struct stage **out, struct err *err)
{
    return mime_qp_decode_new(NULL, next, out, err);
}

static enum err_code
begin_leaf(struct canonical *canonical, const struct mime_entity_part *part,
           enum mime_scan_action action, struct err *err)
{
    /* From the last stage to the first. Line ends become CRLF before they are encoded, but octets
     * of a binary leaf are no line ends. */
    stage_new_fn *base64[] = { mime_base64_encode_new,
                               part->encoding == MIME_ENTITY_BINARY ? NULL : mime_newline_new,
                               NULL };
    stage_new_fn *qp[] = { new_text_encoder, NULL };
    stage_new_fn *wrap[] = { mime_wrap_new, NULL };
    stage_new_fn *recode[] = { mime_base64_encode_new, new_decoder, mime_newline_new, NULL };
    stage_new_fn **chain = action == MIME_SCAN_QP       ? qp
                           : action == MIME_SCAN_WRAP   ? wrap
                           : action == MIME_SCAN_RECODE ? recode
                                                        : base64;
    enum err_code code = stage_borrow_new(canonical->stage.next, &canonical->leaf, err);

    while (code == ERR_OK && *chain) {
        struct stage *stage = NULL;

        code = (*chain++)(canonical->leaf, &stage, err);
        if (code == ERR_OK)
            canonical->leaf = stage;
    }
    return code;
}

/* ---- events ------------------------------------------------------------------------------------
 */

static enum err_code
canonical_begin(struct canonical *canonical, const struct mime_entity_event *event, struct err *err)
{
    enum mime_scan_action action = MIME_SCAN_KEEP;
    enum err_code code;

    if (canonical->mode == MIME_CANONICAL_TRANSPORT)
        action = mime_scan_find(canonical->scan, event->part->index);
    if (action == MIME_SCAN_KEEP)
        return stage_write(canonical->lines, event->bytes, err);
    code = write_section(canonical, event, action, err);
    if (code == ERR_OK && action != MIME_SCAN_LABEL)
        code = begin_leaf(canonical, event->part, action, err);
    return code;
}

static enum err_code
canonical_body(struct canonical *canonical, const struct mime_entity_event *event, struct err *err)
{
    if (canonical->leaf)
        return stage_write(canonical->leaf, event->bytes, err);
    if (event->part->encoding == MIME_ENTITY_BINARY)
        return stage_write(canonical->stage.next, event->bytes, err);
    return stage_write(canonical->lines, event->bytes, err);
}

static enum err_code
canonical_event(void *context, const struct mime_entity_event *event, struct err *err)
{
    struct canonical *canonical = context;
    enum err_code code = ERR_OK;

    switch (event->kind) {
    case MIME_ENTITY_HEADER:
        code = canonical_begin(canonical, event, err);
        break;
    case MIME_ENTITY_BODY:
        code = canonical_body(canonical, event, err);
        break;
    case MIME_ENTITY_PREAMBLE:
    case MIME_ENTITY_EPILOGUE:
    case MIME_ENTITY_DELIMITER:
        code = stage_write(canonical->lines, event->bytes, err);
        break;
    case MIME_ENTITY_END:
        if (canonical->leaf)
            code = stage_finish(canonical->leaf, err);
        stage_free(&canonical->leaf);
        break;
    }
    return code;
}

/* ---- the stage ---------------------------------------------------------------------------------
 */

static enum err_code
canonical_write(struct stage *stage, struct span piece, struct err *err)
{
    struct canonical *canonical = (struct canonical *)stage;

    return canonical->untouched ? stage_write(stage->next, piece, err)
                                : mime_entity_write(canonical->entity, piece, err);
}

static enum err_code
canonical_finish(struct stage *stage, struct err *err)
{
    struct canonical *canonical = (struct canonical *)stage;

    return canonical->untouched ? ERR_OK : mime_entity_finish(canonical->entity, err);
}

static void
canonical_free(struct stage *stage)
{
    struct canonical *canonical = (struct canonical *)stage;

    stage_free(&canonical->leaf);
    stage_free(&canonical->lines);
    mime_entity_free(&canonical->entity);
    free(canonical);
}

enum err_code
mime_canonical_new(const struct mime_scan *scan, enum mime_canonical_mode mode, struct stage *next,
                   struct stage **out, struct err *err)
{
    static const struct stage_ops ops = {
        .name = "canonical form",
        .write = canonical_write,
        .finish = canonical_finish,
        .free = canonical_free,
    };
    const struct mime_scan_facts *facts = mime_scan_get(scan);
    struct canonical *canonical;
    struct stage *tail = NULL;
    enum err_code code;

    if (mode == MIME_CANONICAL_TRANSPORT && facts->only_opaque)
        return err_set(err, ERR_PERM, "the message can only be signed opaque: %s", facts->why);
    canonical = calloc(1, sizeof(*canonical));
    if (!canonical)
        return err_set(err, ERR_NOMEM, "memory for the canonical form");
    stage_init(&canonical->stage, &ops, next);
    canonical->scan = scan;
    canonical->mode = mode;
    canonical->untouched = !facts->bare_lf && (mode == MIME_CANONICAL_OPAQUE ||
                                               (!facts->needs_encoding && !facts->needs_label));
    code = canonical->untouched
               ? ERR_OK
               : mime_entity_new(canonical_event, canonical, &canonical->entity, err);
    if (code == ERR_OK)
        code = stage_borrow_new(next, &tail, err);
    if (code == ERR_OK)
        code = mime_newline_new(tail, &canonical->lines, err);
    if (code != ERR_OK) {
        stage_free(&tail);
        canonical_free(&canonical->stage);
        return code;
    }
    *out = &canonical->stage;
    return ERR_OK;
}
