#include "mime/base64.h"

#include <stddef.h>
#include <stdlib.h>

#include "mime/base64_vector.h"
#include "util/wipe.h"

enum {
    LINE_OCTETS = MIME_BASE64_LINE_OCTETS, /* 76 characters, RFC 2045 6.8 */
    LINE_TEXT = MIME_BASE64_LINE_TEXT,     /* with CRLF */
    BLOCK_LINES = 208,                     /* the text of one block is just below 16 KiB */
    BLOCK_TEXT = BLOCK_LINES * LINE_TEXT,
    DECODED_BLOCK = 12 * 1024,
};

/*
 * Whole lines and whole groups go through the vector code of this processor (mime/base64_vector),
 * everything irregular and what is left over through the code here.
 */

/* ---- encoding -------------------------------------------------------------------------------- */

/* The two characters of every twelve bits, so that three octets cost two look-ups. */
#define ROW(c)                                                                                  \
    c "A" c "B" c "C" c "D" c "E" c "F" c "G" c "H" c "I" c "J" c "K" c "L" c "M" c "N" c "O" c \
      "P" c "Q" c "R" c "S" c "T" c "U" c "V" c "W" c "X" c "Y" c "Z" c "a" c "b" c "c" c "d" c \
      "e" c "f" c "g" c "h" c "i" c "j" c "k" c "l" c "m" c "n" c "o" c "p" c "q" c "r" c "s" c \
      "t" c "u" c "v" c "w" c "x" c "y" c "z" c "0" c "1" c "2" c "3" c "4" c "5" c "6" c "7" c \
      "8" c "9" c "+" c "/"
#define ROWS(a, b, c, d, e, f, g, h) ROW(a) ROW(b) ROW(c) ROW(d) ROW(e) ROW(f) ROW(g) ROW(h)

static const char PAIRS[] = ROWS("A", "B", "C", "D", "E", "F", "G", "H")
    ROWS("I", "J", "K", "L", "M", "N", "O", "P") ROWS("Q", "R", "S", "T", "U", "V", "W", "X")
        ROWS("Y", "Z", "a", "b", "c", "d", "e", "f") ROWS("g", "h", "i", "j", "k", "l", "m", "n")
            ROWS("o", "p", "q", "r", "s", "t", "u", "v")
                ROWS("w", "x", "y", "z", "0", "1", "2", "3")
                    ROWS("4", "5", "6", "7", "8", "9", "+", "/");

/* Three octets at a time; `n` is a multiple of three. Returns the end of the text. */
static unsigned char *
encode_triples(const unsigned char *in, size_t n, unsigned char *out)
{
    for (size_t i = 0; i < n; i += 3, out += 4) {
        uint32_t v = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];
        memcpy(out, PAIRS + 2 * (v >> 12), 2);
        memcpy(out + 2, PAIRS + 2 * (v & 0xfff), 2);
    }
    return out;
}

/* Any number of octets, with padding. */
static unsigned char *
encode_all(const unsigned char *in, size_t n, unsigned char *out)
{
    size_t whole = n / 3 * 3;
    out = encode_triples(in, whole, out);
    if (n == whole)
        return out;
    unsigned char last[3] = { in[whole], n - whole == 2 ? in[whole + 1] : 0, 0 };
    encode_triples(last, 3, out);
    if (n - whole == 1)
        out[2] = '=';
    out[3] = '=';
    return out + 4;
}

struct encoder {
    struct stage stage;
    unsigned char held[LINE_OCTETS]; /* the line that is not full yet */
    size_t held_n;
    size_t text_n; /* the most that stood in `text` */
    unsigned char text[BLOCK_TEXT + MIME_BASE64_VECTOR_SLACK];
};

/* `out` has room for MIME_BASE64_VECTOR_SLACK more octets. */
static size_t
encode_lines(const unsigned char *in, size_t lines, unsigned char *out)
{
    size_t done = mime_base64_vector_get()->encode_lines(in, lines * LINE_OCTETS, out);

    in += done * LINE_OCTETS;
    out += done * LINE_TEXT;
    for (size_t i = done; i < lines; i++, in += LINE_OCTETS) {
        out = encode_triples(in, LINE_OCTETS, out);
        *out++ = '\r';
        *out++ = '\n';
    }
    return lines * LINE_TEXT;
}

static enum err_code
encoder_write(struct stage *stage, struct span piece, struct err *err)
{
    struct encoder *encoder = (struct encoder *)stage;
    while (piece.n > 0) {
        size_t text_n;
        if (encoder->held_n > 0 || piece.n < LINE_OCTETS) {
            size_t n = LINE_OCTETS - encoder->held_n;
            if (n > piece.n)
                n = piece.n;
            memcpy(encoder->held + encoder->held_n, piece.p, n);
            encoder->held_n += n;
            piece = span_from(piece, n);
            if (encoder->held_n < LINE_OCTETS)
                return ERR_OK;
            text_n = encode_lines(encoder->held, 1, encoder->text);
            encoder->held_n = 0;
        } else {
            size_t lines = piece.n / LINE_OCTETS;
            if (lines > BLOCK_LINES)
                lines = BLOCK_LINES;
            text_n = encode_lines(piece.p, lines, encoder->text);
            piece = span_from(piece, lines * LINE_OCTETS);
        }
        if (text_n > encoder->text_n)
            encoder->text_n = text_n;
        enum err_code code = stage_write(stage->next, span_of(encoder->text, text_n), err);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

static enum err_code
encoder_finish(struct stage *stage, struct err *err)
{
    struct encoder *encoder = (struct encoder *)stage;
    if (encoder->held_n == 0)
        return ERR_OK;
    unsigned char *end = encode_all(encoder->held, encoder->held_n, encoder->text);
    *end++ = '\r';
    *end++ = '\n';
    return stage_write(stage->next, span_of(encoder->text, (size_t)(end - encoder->text)), err);
}

static void
encoder_free(struct stage *stage)
{
    struct encoder *encoder = (struct encoder *)stage;

    size_t text_n = encoder->text_n + LINE_TEXT + MIME_BASE64_VECTOR_SLACK;

    /* The last lines may be there without being counted; they are the shorter ones. */
    if (text_n > sizeof encoder->text)
        text_n = sizeof encoder->text;
    wipe_free_used(encoder, offsetof(struct encoder, text) + text_n);
}

enum err_code
mime_base64_encode_new(struct stage *next, struct stage **out, struct err *err)
{
    static const struct stage_ops ops = {
        .name = "base64 encode",
        .write = encoder_write,
        .finish = encoder_finish,
        .free = encoder_free,
    };
    /* The text is not cleared: nothing of it is read before it is written. */
    struct encoder *encoder = malloc(sizeof *encoder);
    if (!encoder)
        return err_set(err, ERR_NOMEM, "base64: out of memory");
    encoder->held_n = encoder->text_n = 0;
    stage_init(&encoder->stage, &ops, next);
    *out = &encoder->stage;
    return ERR_OK;
}

enum err_code
mime_base64_format(struct span bytes, struct buf *out, struct err *err)
{
    enum err_code code = ERR_OK;
    unsigned char text[1024];
    while (bytes.n > 0 && code == ERR_OK) {
        size_t n = bytes.n < sizeof text / 4 * 3 ? bytes.n : sizeof text / 4 * 3;
        unsigned char *end = encode_all(bytes.p, n, text);
        bytes = span_from(bytes, n);
        code = buf_append(out, span_of(text, (size_t)(end - text)), err);
    }
    explicit_bzero(text, sizeof text);
    return code;
}

enum err_code
mime_base64_format_lines(struct span bytes, struct buf *out, struct err *err)
{
    size_t lines = bytes.n / LINE_OCTETS, rest = bytes.n - lines * LINE_OCTETS;
    enum err_code code = buf_reserve(out, (lines + 1) * LINE_TEXT + MIME_BASE64_VECTOR_SLACK, err);

    if (code != ERR_OK)
        return code;
    unsigned char *end = out->p + out->n;
    end += encode_lines(bytes.p, lines, end);
    if (rest > 0) {
        end = encode_all(bytes.p + lines * LINE_OCTETS, rest, end);
        *end++ = '\r';
        *end++ = '\n';
    }
    out->n = (size_t)(end - out->p);
    out->p[out->n] = '\0';
    return ERR_OK;
}

/* ---- decoding -------------------------------------------------------------------------------- */

enum { CLASS_WHITE = 0x40, CLASS_PAD = 0x41, CLASS_OTHER = 0x80 };

/* The six bits of a character, or its class. */
static const uint8_t DECODED[256] = {
#define X CLASS_OTHER
#define W CLASS_WHITE
    X,  X,  X,  X,  X,  X,  X,  X,  X,  W,  W,  X,  X,  W,         X,  X,  /* TAB LF CR */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,         X,  X,  /* */
    W,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  62, X,  X,         X,  63, /* space + / */
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, X,  X,  X,  CLASS_PAD, X,  X,
    X,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,        13, 14, /* A */
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, X,  X,  X,         X,  X,  /* P */
    X,  26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,        39, 40, /* a */
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, X,  X,  X,         X,  X,  /* p */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,         X,  X,  /* 0x80 */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,         X,  X,  /* */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,         X,  X,  /* */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,         X,  X,  /* */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,         X,  X,  /* */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,         X,  X,  /* */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,         X,  X,  /* */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,         X,  X,
#undef X
#undef W
};

/* Where the decoder stands in a group of four characters. */
struct decoding {
    uint32_t bits;  /* of the characters seen */
    unsigned chars; /* 0 to 3 */
    unsigned pads;  /* '=' seen in this group */
    bool ended;     /* by padding: whatever follows is irregular */
    uint64_t irregular;
};

/* Whole groups without anything else between them, the usual case. Returns the characters used. */
static size_t
decode_groups(const unsigned char *in, size_t n, unsigned char *out, size_t room, size_t *out_n)
{
    size_t o = *out_n, i = mime_base64_vector_get()->decode(in, n, out + o, room - o, &o);
    for (; i + 4 <= n && o + 3 <= room; i += 4, o += 3) {
        unsigned a = DECODED[in[i]], b = DECODED[in[i + 1]], c = DECODED[in[i + 2]],
                 d = DECODED[in[i + 3]];
        if ((a | b | c | d) & (CLASS_OTHER | CLASS_WHITE))
            break;
        uint32_t v = a << 18 | b << 12 | c << 6 | d;
        out[o] = (unsigned char)(v >> 16);
        out[o + 1] = (unsigned char)(v >> 8);
        out[o + 2] = (unsigned char)v;
    }
    *out_n = o;
    return i;
}

/* The octets of a group that padding or the end of data cut short; bits beyond them must be zero.
 */
static size_t
decode_short(struct decoding *decoding, unsigned char *out)
{
    size_t n = 0;
    unsigned spare = 0;
    if (decoding->chars == 2) {
        out[n++] = (unsigned char)(decoding->bits >> 4);
        spare = decoding->bits & 15;
    } else if (decoding->chars == 3) {
        out[n++] = (unsigned char)(decoding->bits >> 10);
        out[n++] = (unsigned char)(decoding->bits >> 2);
        spare = decoding->bits & 3;
    } else {
        decoding->irregular += decoding->chars;
    }
    decoding->irregular += spare != 0;
    decoding->chars = 0;
    decoding->bits = 0;
    return n;
}

/* One character; up to three octets into `out`. */
static size_t
decode_char(struct decoding *decoding, unsigned char c, unsigned char *out)
{
    uint8_t class = DECODED[c];
    if (class == CLASS_WHITE)
        return 0;
    if (class == CLASS_OTHER || decoding->ended) {
        decoding->irregular++;
        return 0;
    }
    if (class == CLASS_PAD) {
        if (decoding->chars < 2) {
            decoding->irregular++;
            return 0;
        }
        decoding->pads++;
        if (decoding->chars + decoding->pads < 4)
            return 0;
        decoding->ended = true;
        return decode_short(decoding, out);
    }
    if (decoding->pads > 0) {
        /* "AB=C": the padding did not belong there. */
        decoding->irregular += decoding->pads;
        decoding->pads = 0;
    }
    decoding->bits = decoding->bits << 6 | class;
    if (++decoding->chars < 4)
        return 0;
    out[0] = (unsigned char)(decoding->bits >> 16);
    out[1] = (unsigned char)(decoding->bits >> 8);
    out[2] = (unsigned char)decoding->bits;
    decoding->chars = 0;
    decoding->bits = 0;
    return 3;
}

/* Decodes as much of `in` as fits into `out` and returns the characters used. */
static size_t
decode_some(struct decoding *decoding, struct span in, unsigned char *out, size_t room,
            size_t *out_n)
{
    size_t i = 0;
    while (i < in.n && *out_n + 3 <= room) {
        if (decoding->chars == 0 && !decoding->ended)
            i += decode_groups(in.p + i, in.n - i, out, room, out_n);
        if (i < in.n && *out_n + 3 <= room)
            *out_n += decode_char(decoding, in.p[i++], out + *out_n);
    }
    return i;
}

/* At the end of the data. */
static size_t
decode_end(struct decoding *decoding, unsigned char *out)
{
    if (decoding->ended || decoding->chars == 0)
        return 0;
    decoding->irregular += decoding->chars > 1;
    return decode_short(decoding, out);
}

struct decoder {
    struct stage stage;
    struct decoding decoding;
    uint64_t *irregular;
    unsigned char octets[DECODED_BLOCK];
};

static enum err_code
decoder_pass(struct decoder *decoder, size_t n, struct err *err)
{
    if (decoder->irregular)
        *decoder->irregular = decoder->decoding.irregular;
    return n ? stage_write(decoder->stage.next, span_of(decoder->octets, n), err) : ERR_OK;
}

static enum err_code
decoder_write(struct stage *stage, struct span piece, struct err *err)
{
    struct decoder *decoder = (struct decoder *)stage;
    enum err_code code = ERR_OK;
    while (piece.n > 0 && code == ERR_OK) {
        size_t n = 0;
        size_t used =
            decode_some(&decoder->decoding, piece, decoder->octets, sizeof decoder->octets, &n);
        piece = span_from(piece, used);
        code = decoder_pass(decoder, n, err);
    }
    return code;
}

static enum err_code
decoder_finish(struct stage *stage, struct err *err)
{
    struct decoder *decoder = (struct decoder *)stage;
    return decoder_pass(decoder, decode_end(&decoder->decoding, decoder->octets), err);
}

static void
decoder_free(struct stage *stage)
{
    wipe_free_used(stage, sizeof(struct decoder));
}

enum err_code
mime_base64_decode_new(uint64_t *irregular, struct stage *next, struct stage **out, struct err *err)
{
    static const struct stage_ops ops = {
        .name = "base64 decode",
        .write = decoder_write,
        .finish = decoder_finish,
        .free = decoder_free,
    };
    struct decoder *decoder = malloc(sizeof *decoder);
    if (!decoder)
        return err_set(err, ERR_NOMEM, "base64: out of memory");
    decoder->decoding = (struct decoding){ 0 };
    decoder->irregular = irregular;
    if (irregular)
        *irregular = 0;
    stage_init(&decoder->stage, &ops, next);
    *out = &decoder->stage;
    return ERR_OK;
}

enum err_code
mime_base64_parse(struct span text, struct buf *out, struct err *err)
{
    struct decoding decoding = { 0 };
    enum err_code code = ERR_OK;
    unsigned char octets[1024];
    while (text.n > 0 && code == ERR_OK) {
        size_t n = 0;
        text = span_from(text, decode_some(&decoding, text, octets, sizeof octets, &n));
        code = buf_append(out, span_of(octets, n), err);
    }
    if (code == ERR_OK)
        code = buf_append(out, span_of(octets, decode_end(&decoding, octets)), err);
    if (code == ERR_OK && decoding.irregular > 0)
        code = err_set(err, ERR_PERM, "base64 text with %llu irregular characters",
                       (unsigned long long)decoding.irregular);
    explicit_bzero(octets, sizeof octets);
    return code;
}
