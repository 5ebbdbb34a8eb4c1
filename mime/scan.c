/*
 * How the decision is made.
 *
 * The parser tells what each byte is. Bytes of a leaf go into one set of counters, those of header
 * sections, preambles, epilogues and delimiters into another. When a leaf ends its counters say
 * whether it would arrive as it left; if not, its encoding says what can be done: identity is
 * encoded, base64 gets new line breaks (no octet changes, whatever stray characters it holds),
 * regular quoted-printable is decoded and encoded as base64 (it may hold line breaks that are data,
 * which a second quoted-printable would have to spell out anyway). One octet per part holds the
 * answer.
 *
 * What cannot be done without changing what the message says is not done: the message is then
 * signed opaque, where base64 keeps every byte. Those cases are
 *   - bytes outside of leaves: 8-bit, NUL, bare CR, long lines in header sections, preambles,
 *     epilogues and delimiters; "From " and lone dots there;
 *   - leaves whose encoding is unknown, irregular, or read differently by different readers;
 *   - message/partial and its kin, which must not be encoded (RFC 2046 5.2);
 *   - anything to be changed at all where the structure is in doubt: a part that another reader
 * sees elsewhere must not be re-encoded on our understanding of it;
 *   - structure that Postfix itself would rewrite (mime/entity says which).
 *
 * Text without any MIME field and with 8-bit octets gets a Content-Transfer-Encoding and nothing
 * else: a body part without Content-Type is text/plain (RFC 2045 5.2), its charset was unknown
 * before and stays unknown; naming one would be an invention that we sign.
 */
#include "mime/scan.h"

#include <stdlib.h>

#include "mime/entity.h"
#include "mime/line.h"

_Static_assert((int)MIME_SCAN_LIMIT_PARTS == (int)MIME_ENTITY_LIMIT_PARTS, "one bound");
_Static_assert((int)MIME_SCAN_LIMIT_DEPTH == (int)MIME_ENTITY_LIMIT_DEPTH, "one bound");
_Static_assert((int)MIME_SCAN_LIMIT_HEADER == (int)MIME_ENTITY_LIMIT_HEADER, "one bound");

/* A text of which more than one octet in six needs three characters is shorter in base64. */
enum { SCAN_QP_SHARE = 6, SCAN_BLOCK = 1024 };

enum escape { ESCAPE_NONE, ESCAPE_EQUALS, ESCAPE_HEX, ESCAPE_CR };

struct mime_scan {
    struct mime_entity *entity;
    struct mime_line leaf;
    struct mime_line frame;
    enum escape escape; /* in a leaf that is quoted-printable already */
    bool escape_irregular;
    /* In a leaf that is base64 already: characters of the alphabet, padding, and whether there was
     * anything else, or something behind the padding. */
    uint64_t base64_n;
    uint64_t base64_padding;
    bool base64_irregular;
    const char *opaque_why; /* whatever else there is */
    const char *change_why; /* only if something must be changed */
    struct mime_scan_facts facts;
    unsigned char actions[MIME_SCAN_LIMIT_PARTS];
};

static void
scan_opaque(struct mime_scan *scan, const char *why)
{
    if (!scan->opaque_why)
        scan->opaque_why = why;
}

/* ---- leaves ------------------------------------------------------------------------------------
 */

static bool
is_hex(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/* '=' that begins nothing is kept by one decoder and dropped by another. */
static void
scan_check_escapes(struct mime_scan *scan, struct span piece)
{
    size_t i = 0;

    while (i < piece.n) {
        unsigned char c = piece.p[i++];
        enum escape before = scan->escape;

        if (before == ESCAPE_NONE) {
            if (c != '=') {
                i += span_find(span_from(piece, i), '=');
                continue;
            }
            scan->escape = ESCAPE_EQUALS;
            continue;
        }
        scan->escape = ESCAPE_NONE;
        if (before == ESCAPE_EQUALS && is_hex(c))
            scan->escape = ESCAPE_HEX;
        else if (before == ESCAPE_EQUALS && c == '\r')
            scan->escape = ESCAPE_CR;
        else if (before == ESCAPE_HEX ? !is_hex(c) : c != '\n')
            scan->escape_irregular = true;
    }
}

/* A block that holds nothing but the alphabet and white space? Attachments are most of what passes,
 * and octet by octet this would cost more than everything else here: sixteen at once, in the form
 * that gcc and clang both know. A comparison gives all ones where it is true, which is -1. */
static bool
scan_is_base64_block(const unsigned char *p, unsigned *in_alphabet)
{
    typedef unsigned char octets __attribute__((vector_size(16)));
    octets good = { 0 }, white = { 0 };
    unsigned good_n = 0, white_n = 0;
    size_t i;

    for (i = 0; i < SCAN_BLOCK; i += sizeof(octets)) {
        octets in, letter, digit;

        memcpy(&in, p + i, sizeof(in));
        letter = (in | 0x20) - 'a';
        digit = in - '0';
        good -= (octets)(letter < 26) | (octets)(digit < 10) | (octets)(in == '+') |
                (octets)(in == '/');
        white -= (octets)(in == ' ') | (octets)(in == '\t') | (octets)(in == '\r') |
                 (octets)(in == '\n');
    }
    for (i = 0; i < sizeof(octets); i++) {
        good_n += good[i];
        white_n += white[i];
    }
    *in_alphabet = good_n;
    return good_n + white_n == SCAN_BLOCK;
}

static void
scan_check_base64_octet(struct mime_scan *scan, unsigned char c)
{
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
        return;
    if (c == '=') {
        scan->base64_padding++;
        return;
    }
    scan->base64_n++;
    scan->base64_irregular |=
        scan->base64_padding > 0 || !((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                                      (c >= '0' && c <= '9') || c == '+' || c == '/');
}

/* Only regular base64 gets new line breaks: characters beside it could come to stand where they
 * make a delimiter or a lone dot, and text that is no base64 at all is shown as it is by some
 * readers. */
static void
scan_check_base64(struct mime_scan *scan, struct span piece)
{
    size_t i = 0, j;

    while (i < piece.n && !scan->base64_irregular) {
        size_t n = piece.n - i < SCAN_BLOCK ? piece.n - i : SCAN_BLOCK;
        unsigned in_alphabet;

        if (n == SCAN_BLOCK && scan->base64_padding == 0 &&
            scan_is_base64_block(piece.p + i, &in_alphabet)) {
            scan->base64_n += in_alphabet;
        } else {
            for (j = 0; j < n; j++)
                scan_check_base64_octet(scan, piece.p[i + j]);
        }
        i += n;
    }
}

static bool
scan_is_unsafe(const struct mime_line *line)
{
    return line->eightbit > 0 || line->nul > 0 || mime_line_has_bare_cr(line) || line->long_line ||
           line->trailing || line->from || line->dot;
}

static enum mime_scan_action
scan_encode_identity(struct mime_scan *scan, const struct mime_entity_part *part)
{
    const struct mime_line *line = &scan->leaf;
    bool is_binary = part->encoding == MIME_ENTITY_BINARY && mime_line_has_bare_lf(line);

    if (!scan_is_unsafe(line) && !is_binary)
        return part->encoding_8bit ? MIME_SCAN_LABEL : MIME_SCAN_KEEP;
    if (part->is_composite)
        scan_opaque(scan, "unsafe octets in a message/* or multipart/* that cannot be encoded");
    if (!part->is_text || is_binary || line->eightbit + line->nul > line->size / SCAN_QP_SHARE)
        return MIME_SCAN_BASE64;
    return MIME_SCAN_QP;
}

static enum mime_scan_action
scan_judge_leaf(struct mime_scan *scan, const struct mime_entity_part *part)
{
    const struct mime_line *line = &scan->leaf;
    bool is_unsafe = scan_is_unsafe(line);

    if (part->encoding_odd && (is_unsafe || part->encoding_8bit))
        scan_opaque(scan, "a Content-Transfer-Encoding that readers differ about");
    if (part->encoding <= MIME_ENTITY_BINARY)
        return scan_encode_identity(scan, part);
    if (!is_unsafe)
        return MIME_SCAN_KEEP;
    if (part->is_composite) {
        scan_opaque(scan, "unsafe octets in an encoded message/* or multipart/*");
        return MIME_SCAN_KEEP;
    }
    if (part->encoding == MIME_ENTITY_BASE64) {
        if (scan->base64_irregular || scan->base64_n % 4 == 1 || scan->base64_padding > 2 ||
            mime_line_has_bare_cr(line))
            scan_opaque(scan, "irregular and unsafe base64");
        return MIME_SCAN_WRAP;
    }
    if (part->encoding == MIME_ENTITY_QP) {
        if (scan->escape_irregular || scan->escape != ESCAPE_NONE || line->trailing)
            scan_opaque(scan, "irregular and unsafe quoted-printable");
        return MIME_SCAN_RECODE;
    }
    scan_opaque(scan, "unsafe octets in an unknown transfer encoding");
    return MIME_SCAN_KEEP;
}

static void
scan_add_facts(struct mime_scan *scan, const struct mime_line *line)
{
    struct mime_scan_facts *facts = &scan->facts;

    facts->nul |= line->nul > 0;
    facts->bare_cr |= mime_line_has_bare_cr(line);
    facts->bare_lf |= mime_line_has_bare_lf(line);
    facts->long_line |= line->long_line;
    if (line->cr_dashes && !scan->change_why)
        scan->change_why = "a bare CR before dashes";
}

static void
scan_end_leaf(struct mime_scan *scan, const struct mime_entity_part *part)
{
    enum mime_scan_action action;

    mime_line_finish(&scan->leaf);
    action = scan_judge_leaf(scan, part);
    scan->actions[part->index] = (unsigned char)action;
    scan->facts.eightbit |= scan->leaf.eightbit > 0;
    scan->facts.needs_encoding |= action > MIME_SCAN_LABEL;
    scan->facts.needs_label |= action == MIME_SCAN_LABEL;
    scan_add_facts(scan, &scan->leaf);
}

/* ---- what lies between them --------------------------------------------------------------------
 */

/* Judges the bytes that no encoding can protect, up to here. Trailing white space is let be: fields
 * and preambles often have it, and no hop that still runs takes it away there. */
static void
scan_end_frame(struct mime_scan *scan, bool is_header)
{
    const struct mime_line *line = &scan->frame;

    mime_line_finish(&scan->frame);
    if (line->eightbit > 0)
        scan_opaque(scan, is_header ? "8-bit octets in the header of a part"
                                    : "8-bit octets between the parts");
    if (line->nul > 0 || mime_line_has_bare_cr(line))
        scan_opaque(scan, "a NUL or bare CR outside of a part's body");
    if (line->long_line)
        scan_opaque(scan, "a line above 998 octets outside of a part's body");
    if (line->from || line->dot)
        scan_opaque(scan, "a line with \"From \" or one dot outside of a part's body");
    if (is_header)
        scan->facts.eightbit_header |= line->eightbit > 0;
    else
        scan->facts.eightbit |= line->eightbit > 0;
    scan_add_facts(scan, line);
    scan->frame = (struct mime_line){ .size = 0 };
}

static void
scan_begin_part(struct mime_scan *scan, const struct mime_entity_event *event)
{
    const struct mime_entity_part *part = event->part;
    const char *type = part->type ? mime_parameter_value(part->type) : "";

    scan_end_frame(scan, false);
    mime_line_write(&scan->frame, event->bytes);
    scan_end_frame(scan, true);

    scan->leaf = (struct mime_line){ .size = 0 };
    scan->escape = ESCAPE_NONE;
    scan->escape_irregular = scan->base64_irregular = false;
    scan->base64_n = scan->base64_padding = 0;
    scan->facts.calendar |=
        strcmp(type, "text/calendar") == 0 && mime_parameter_find(part->type, "method").n > 0;
    scan->facts.tnef |= strcmp(type, "application/ms-tnef") == 0 ||
                        strcmp(type, "application/vnd.ms-tnef") == 0 ||
                        (part->type && mime_parameter_is(part->type, "name", "winmail.dat"));
    scan->facts.report |= part->index == 0 && strcmp(type, "multipart/report") == 0;
    if (part->kind != MIME_ENTITY_LEAF && part->encoding_8bit) {
        if (part->encoding_odd)
            scan_opaque(scan, "a Content-Transfer-Encoding that readers differ about");
        scan->actions[part->index] = MIME_SCAN_LABEL;
        scan->facts.needs_label = true;
    }
}

static enum err_code
scan_event(void *context, const struct mime_entity_event *event, struct err *err)
{
    struct mime_scan *scan = context;

    (void)err;
    switch (event->kind) {
    case MIME_ENTITY_HEADER:
        scan_begin_part(scan, event);
        break;
    case MIME_ENTITY_BODY:
        mime_line_write(&scan->leaf, event->bytes);
        if (event->part->encoding == MIME_ENTITY_QP)
            scan_check_escapes(scan, event->bytes);
        else if (event->part->encoding == MIME_ENTITY_BASE64)
            scan_check_base64(scan, event->bytes);
        break;
    case MIME_ENTITY_END:
        if (event->part->kind == MIME_ENTITY_LEAF)
            scan_end_leaf(scan, event->part);
        break;
    case MIME_ENTITY_PREAMBLE:
    case MIME_ENTITY_EPILOGUE:
    case MIME_ENTITY_DELIMITER:
        mime_line_write(&scan->frame, event->bytes);
        break;
    }
    return ERR_OK;
}

/* ---- the object --------------------------------------------------------------------------------
 */

enum err_code
mime_scan_new(struct mime_scan **out, struct err *err)
{
    struct mime_scan *scan = calloc(1, sizeof(*scan));
    enum err_code code;

    if (!scan)
        return err_set(err, ERR_NOMEM, "memory for the scanner");
    code = mime_entity_new(scan_event, scan, &scan->entity, err);
    if (code != ERR_OK)
        mime_scan_free(&scan);
    *out = scan;
    return code;
}

void
mime_scan_free(struct mime_scan **scan)
{
    if (!scan || !*scan)
        return;
    mime_entity_free(&(*scan)->entity);
    free(*scan);
    *scan = NULL;
}

enum err_code
mime_scan_write(struct mime_scan *scan, struct span piece, struct err *err)
{
    scan->facts.size += piece.n;
    return mime_entity_write(scan->entity, piece, err);
}

enum err_code
mime_scan_finish(struct mime_scan *scan, struct err *err)
{
    enum err_code code = mime_entity_finish(scan->entity, err);
    const struct mime_entity_result *result = mime_entity_get(scan->entity);
    struct mime_scan_facts *facts = &scan->facts;
    bool changes;

    if (code != ERR_OK)
        return code;
    scan_end_frame(scan, false);
    facts->parts = result->parts;
    facts->depth = result->depth;
    facts->malformed = result->doubt || result->fragile;
    if (result->fragile)
        scan_opaque(scan, result->fragile);
    if (result->doubt)
        scan->change_why = result->doubt;
    changes = facts->needs_encoding || facts->needs_label;
    if (changes && scan->change_why)
        scan_opaque(scan, scan->change_why);
    facts->only_opaque = scan->opaque_why != NULL;
    facts->why = scan->opaque_why;
    return ERR_OK;
}

const struct mime_scan_facts *
mime_scan_get(const struct mime_scan *scan)
{
    return &scan->facts;
}

enum mime_scan_action
mime_scan_find(const struct mime_scan *scan, uint32_t index)
{
    return index < MIME_SCAN_LIMIT_PARTS ? (enum mime_scan_action)scan->actions[index]
                                         : MIME_SCAN_KEEP;
}
