#include "mime/qp.h"

#include <stdlib.h>

#include "util/wipe.h"

enum {
    LINE_CHARS = 76, /* RFC 2045 6.7 (5), with the '=' of a soft line break */
    LINE_ROOM = LINE_CHARS - 1,
    OUT_BYTES = 16 * 1024,
    OUT_SPARE = LINE_CHARS + 8, /* what one more character can need */
    BLANKS_LIMIT = 998,         /* RFC 5322 2.1.1: no line of a mail can hold more */
};

static const char HEX[] = "0123456789ABCDEF";

/* Characters that stand for themselves wherever they are, but at the beginning of a line. */
static bool
is_plain(unsigned char c)
{
    return c > ' ' && c <= '~' && c != '=';
}

/* Length of the run of such characters, at most `limit`, with the single blanks between them: the
 * usual case, which need not go through the machine octet by octet. */
static size_t
plain_run(struct span in, size_t limit)
{
    size_t n = 0;
    while (n + 1 < in.n && n < limit &&
           (is_plain(in.p[n]) || (in.p[n] == ' ' && is_plain(in.p[n + 1]))))
        n++;
    return n;
}

/* ---- encoding -------------------------------------------------------------------------------- */

struct encoder {
    struct stage stage;
    enum mime_qp_mode mode;
    bool cr;             /* a CR whose next octet is not known yet (text) */
    unsigned char blank; /* a space or tab that may be the last one of its line, or 0 */
    size_t line;         /* where the present line begins in `out` */
    size_t n;
    unsigned char out[OUT_BYTES];
};

/* Hands on what is finished; the present line stays, since "From " is recognised in it. */
static enum err_code
encoder_pass(struct encoder *encoder, struct err *err)
{
    if (encoder->n + OUT_SPARE <= OUT_BYTES)
        return ERR_OK;
    enum err_code code =
        stage_write(encoder->stage.next, span_of(encoder->out, encoder->line), err);
    size_t rest = encoder->n - encoder->line;
    memmove(encoder->out, encoder->out + encoder->line, rest);
    encoder->line = 0;
    encoder->n = rest;
    return code;
}

static void
put_break(struct encoder *encoder)
{
    encoder->out[encoder->n++] = '\r';
    encoder->out[encoder->n++] = '\n';
    encoder->line = encoder->n;
}

/* Room for `width` characters on the present line, else a soft line break. */
static void
make_room(struct encoder *encoder, size_t width)
{
    if (encoder->n - encoder->line + width <= LINE_ROOM)
        return;
    encoder->out[encoder->n++] = '=';
    put_break(encoder);
}

static void
put_encoded(struct encoder *encoder, unsigned char c)
{
    make_room(encoder, 3);
    encoder->out[encoder->n++] = '=';
    encoder->out[encoder->n++] = (unsigned char)HEX[c >> 4];
    encoder->out[encoder->n++] = (unsigned char)HEX[c & 15];
}

/* A character that stands for itself, unless it makes the beginning of a line into something that a
 * hop touches ("From ", a dot) or, behind a soft line break, into a boundary that was none. */
static void
put_literal(struct encoder *encoder, unsigned char c)
{
    static const char *const beginnings[] = { ".", "--", "From " };
    make_room(encoder, 1);
    encoder->out[encoder->n++] = c;
    size_t n = encoder->n - encoder->line;
    if (n > strlen("From "))
        return;
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++) {
        const char *text = beginnings[i];
        if (strlen(text) != n || memcmp(encoder->out + encoder->line, text, n) != 0)
            continue;
        encoder->n = encoder->line;
        put_encoded(encoder, (unsigned char)text[0]);
        memcpy(encoder->out + encoder->n, text + 1, n - 1);
        encoder->n += n - 1;
        return;
    }
}

/* The blank that was held turns out to be followed by something, or by nothing. */
static void
put_blank(struct encoder *encoder, bool is_last)
{
    if (encoder->blank && is_last)
        put_encoded(encoder, encoder->blank);
    else if (encoder->blank)
        put_literal(encoder, encoder->blank);
    encoder->blank = 0;
}

static void
encode_octet(struct encoder *encoder, unsigned char c)
{
    bool is_text = encoder->mode == MIME_QP_TEXT;
    if (is_text && c == '\n') {
        put_blank(encoder, true);
        put_break(encoder);
        encoder->cr = false;
        return;
    }
    if (encoder->cr) {
        put_blank(encoder, false);
        put_encoded(encoder, '\r');
        encoder->cr = false;
    }
    if (is_text && c == '\r') {
        encoder->cr = true;
        return;
    }
    put_blank(encoder, false);
    if (c == ' ' || c == '\t')
        encoder->blank = c;
    else if (c < ' ' || c > '~' || c == '=')
        put_encoded(encoder, c);
    else
        put_literal(encoder, c);
}

/* Copies what needs no care: behind the first characters of a line, with nothing held back. */
static size_t
encode_run(struct encoder *encoder, struct span in)
{
    size_t column = encoder->n - encoder->line;
    if (encoder->cr || encoder->blank || column < strlen("From ") || column >= LINE_ROOM)
        return 0;
    size_t n = plain_run(in, LINE_ROOM - column);
    memcpy(encoder->out + encoder->n, in.p, n);
    encoder->n += n;
    return n;
}

static enum err_code
encoder_write(struct stage *stage, struct span piece, struct err *err)
{
    struct encoder *encoder = (struct encoder *)stage;
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < piece.n && code == ERR_OK;) {
        i += encode_run(encoder, span_from(piece, i));
        if (i < piece.n)
            encode_octet(encoder, piece.p[i++]);
        code = encoder_pass(encoder, err);
    }
    return code;
}

static enum err_code
encoder_finish(struct stage *stage, struct err *err)
{
    struct encoder *encoder = (struct encoder *)stage;
    put_blank(encoder, !encoder->cr);
    if (encoder->cr)
        put_encoded(encoder, '\r');
    return stage_write(stage->next, span_of(encoder->out, encoder->n), err);
}

static void
encoder_free(struct stage *stage)
{
    wipe_free_used(stage, sizeof(struct encoder));
}

enum err_code
mime_qp_encode_new(enum mime_qp_mode mode, struct stage *next, struct stage **out, struct err *err)
{
    static const struct stage_ops ops = {
        .name = "quoted-printable encode",
        .write = encoder_write,
        .finish = encoder_finish,
        .free = encoder_free,
    };
    struct encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return err_set(err, ERR_NOMEM, "quoted-printable: out of memory");
    encoder->mode = mode;
    stage_init(&encoder->stage, &ops, next);
    *out = &encoder->stage;
    return ERR_OK;
}

/* ---- decoding -------------------------------------------------------------------------------- */

enum state {
    STATE_TEXT,
    STATE_BLANKS,  /* white space that belongs to the text only if more text follows */
    STATE_CR,      /* behind a CR of the text */
    STATE_EQUALS,  /* behind '=' */
    STATE_HEX,     /* behind '=' and one digit */
    STATE_SOFT,    /* behind '=' and white space */
    STATE_SOFT_CR, /* behind '=' (white space) and CR */
};

struct decoder {
    struct stage stage;
    enum state state;
    uint64_t *irregular;
    uint64_t own_irregular; /* where the caller does not want to know */
    unsigned char digit;
    size_t blanks_n;
    unsigned char blanks[BLANKS_LIMIT];
    size_t n;
    unsigned char out[OUT_BYTES];
};

static int
hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void
put_octet(struct decoder *decoder, unsigned char c)
{
    decoder->out[decoder->n++] = c;
}

static void
put_blanks(struct decoder *decoder)
{
    memcpy(decoder->out + decoder->n, decoder->blanks, decoder->blanks_n);
    decoder->n += decoder->blanks_n;
    decoder->blanks_n = 0;
}

/* White space that is held, and the one more that does not fit: no line of a mail is that long, so
 * it is taken for text. */
static void
hold_blank(struct decoder *decoder, unsigned char c)
{
    if (decoder->blanks_n == BLANKS_LIMIT) {
        ++*decoder->irregular;
        put_blanks(decoder);
    }
    decoder->blanks[decoder->blanks_n++] = c;
}

static void
decode_text(struct decoder *decoder, unsigned char c)
{
    decoder->state = STATE_TEXT;
    if (c == '=') {
        decoder->state = STATE_EQUALS;
    } else if (c == ' ' || c == '\t') {
        decoder->state = STATE_BLANKS;
        hold_blank(decoder, c);
    } else if (c == '\r') {
        decoder->state = STATE_CR;
    } else {
        *decoder->irregular += (c < ' ' && c != '\n') || c > '~';
        put_octet(decoder, c);
    }
}

/* Only white space followed: RFC 2045 6.7 (3), a hop added it. */
static void
drop_blanks(struct decoder *decoder)
{
    *decoder->irregular += decoder->blanks_n > 0;
    decoder->blanks_n = 0;
}

/* '=' that begins nothing is kept, with what followed it. */
static void
put_equals(struct decoder *decoder)
{
    ++*decoder->irregular;
    put_octet(decoder, '=');
    if (decoder->state == STATE_HEX)
        put_octet(decoder, decoder->digit);
    put_blanks(decoder);
}

static void
decode_escape(struct decoder *decoder, unsigned char c)
{
    int value = hex_value(c);
    if (decoder->state == STATE_EQUALS && value >= 0) {
        decoder->digit = c;
        decoder->state = STATE_HEX;
    } else if (decoder->state == STATE_HEX && value >= 0) {
        /* Lower case is not allowed (RFC 2045 6.7 (1)), and read by everybody. */
        *decoder->irregular += (c >= 'a') || (decoder->digit >= 'a');
        put_octet(decoder, (unsigned char)(hex_value(decoder->digit) << 4 | value));
        decoder->state = STATE_TEXT;
    } else if (decoder->state == STATE_HEX) {
        put_equals(decoder);
        decode_text(decoder, c);
    } else if (c == '\n') {
        decoder->blanks_n = 0;
        decoder->state = STATE_TEXT;
    } else if (c == '\r') {
        decoder->state = STATE_SOFT_CR;
    } else if ((c == ' ' || c == '\t') && decoder->blanks_n < BLANKS_LIMIT) {
        decoder->state = STATE_SOFT;
        hold_blank(decoder, c);
    } else {
        put_equals(decoder);
        decode_text(decoder, c);
    }
}

static void
decode_octet(struct decoder *decoder, unsigned char c)
{
    switch (decoder->state) {
    case STATE_TEXT:
        decode_text(decoder, c);
        break;
    case STATE_BLANKS:
        if (c == '\n')
            drop_blanks(decoder);
        else if (c != ' ' && c != '\t' && c != '\r')
            put_blanks(decoder);
        decode_text(decoder, c);
        break;
    case STATE_CR:
        if (c == '\n') {
            drop_blanks(decoder);
        } else {
            ++*decoder->irregular;
            put_blanks(decoder);
        }
        put_octet(decoder, '\r');
        decode_text(decoder, c);
        break;
    case STATE_EQUALS:
    case STATE_HEX:
    case STATE_SOFT:
        decode_escape(decoder, c);
        break;
    case STATE_SOFT_CR:
        if (c == '\n') {
            decoder->blanks_n = 0;
            decoder->state = STATE_TEXT;
        } else {
            put_equals(decoder);
            put_octet(decoder, '\r');
            decode_text(decoder, c);
        }
        break;
    }
}

static enum err_code
decoder_pass(struct decoder *decoder, struct err *err)
{
    size_t n = decoder->n;
    decoder->n = 0;
    return n ? stage_write(decoder->stage.next, span_of(decoder->out, n), err) : ERR_OK;
}

static enum err_code
decoder_write(struct stage *stage, struct span piece, struct err *err)
{
    struct decoder *decoder = (struct decoder *)stage;
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < piece.n && code == ERR_OK;) {
        if (decoder->state == STATE_TEXT) {
            size_t n = plain_run(span_from(piece, i), BLANKS_LIMIT);
            memcpy(decoder->out + decoder->n, piece.p + i, n);
            decoder->n += n;
            i += n;
        }
        if (decoder->n + BLANKS_LIMIT + OUT_SPARE > OUT_BYTES)
            code = decoder_pass(decoder, err);
        if (code == ERR_OK && i < piece.n)
            decode_octet(decoder, piece.p[i++]);
        if (code == ERR_OK && decoder->n + BLANKS_LIMIT + OUT_SPARE > OUT_BYTES)
            code = decoder_pass(decoder, err);
    }
    return code == ERR_OK ? decoder_pass(decoder, err) : code;
}

static enum err_code
decoder_finish(struct stage *stage, struct err *err)
{
    struct decoder *decoder = (struct decoder *)stage;
    switch (decoder->state) {
    case STATE_TEXT:
        break;
    case STATE_BLANKS:
        drop_blanks(decoder);
        break;
    case STATE_CR:
        ++*decoder->irregular;
        put_blanks(decoder);
        put_octet(decoder, '\r');
        break;
    case STATE_HEX:
        put_equals(decoder);
        break;
    case STATE_EQUALS:
    case STATE_SOFT:
    case STATE_SOFT_CR:
        /* A soft line break with nothing behind it. */
        ++*decoder->irregular;
        break;
    }
    return decoder_pass(decoder, err);
}

static void
decoder_free(struct stage *stage)
{
    wipe_free_used(stage, sizeof(struct decoder));
}

enum err_code
mime_qp_decode_new(uint64_t *irregular, struct stage *next, struct stage **out, struct err *err)
{
    static const struct stage_ops ops = {
        .name = "quoted-printable decode",
        .write = decoder_write,
        .finish = decoder_finish,
        .free = decoder_free,
    };
    struct decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder)
        return err_set(err, ERR_NOMEM, "quoted-printable: out of memory");
    decoder->irregular = irregular ? irregular : &decoder->own_irregular;
    *decoder->irregular = 0;
    stage_init(&decoder->stage, &ops, next);
    *out = &decoder->stage;
    return ERR_OK;
}
