#include "mime/word.h"

#include <string.h>
#include <strings.h>

#include "mime/base64.h"

/* How the octets of a character set hold ASCII. */
enum charset {
    CHARSET_PLAIN,     /* below 128 is ASCII and nothing else */
    CHARSET_DOUBLE,    /* an octet from 0x81 on takes the next one with it */
    CHARSET_ESCAPES,   /* ISO 2022: ESC $ ... ESC ( switches */
    CHARSET_UNREADABLE /* none of these, or not known */
};

static const struct {
    const char *name; /* with a '*' at the end: every name that begins so */
    enum charset kind;
} word_charsets[] = {
    { "utf-8", CHARSET_PLAIN },
    { "utf8", CHARSET_PLAIN },
    { "us-ascii", CHARSET_PLAIN },
    { "ascii", CHARSET_PLAIN },
    { "iso-8859-*", CHARSET_PLAIN },
    { "iso8859-*", CHARSET_PLAIN },
    { "windows-125*", CHARSET_PLAIN },
    { "cp125*", CHARSET_PLAIN },
    { "koi8-*", CHARSET_PLAIN },
    { "macintosh", CHARSET_PLAIN },
    { "tis-620", CHARSET_PLAIN },
    { "windows-874", CHARSET_PLAIN },
    { "latin1", CHARSET_PLAIN },
    { "gb2312", CHARSET_DOUBLE },
    { "gbk", CHARSET_DOUBLE },
    { "gb18030", CHARSET_DOUBLE },
    { "cp936", CHARSET_DOUBLE },
    { "big5*", CHARSET_DOUBLE },
    { "euc-*", CHARSET_DOUBLE },
    { "shift_jis", CHARSET_DOUBLE },
    { "shift-jis", CHARSET_DOUBLE },
    { "sjis", CHARSET_DOUBLE },
    { "windows-31j", CHARSET_DOUBLE },
    { "cp932", CHARSET_DOUBLE },
    { "ks_c_5601-1987", CHARSET_DOUBLE },
    { "iso-2022-*", CHARSET_ESCAPES },
};

enum { ESCAPE = 0x1B };

struct word {
    struct span charset; /* without a language (RFC 2231 5) */
    bool base64;
    struct span text;
    size_t n; /* of the whole word */
};

static enum charset
word_charset(struct span name)
{
    for (size_t i = 0; i < sizeof word_charsets / sizeof word_charsets[0]; i++) {
        const char *known = word_charsets[i].name;
        size_t n = strlen(known);
        bool prefix = known[n - 1] == '*';

        n -= prefix;
        if ((prefix ? name.n >= n : name.n == n) &&
            strncasecmp((const char *)name.p, known, n) == 0)
            return word_charsets[i].kind;
    }
    return CHARSET_UNREADABLE;
}

/* What no name of a character set has (RFC 2047 2): a line break in it would reach from one word
 * into another and hide it. */
static bool
word_is_name(struct span charset)
{
    for (size_t i = 0; i < charset.n; i++) {
        if (charset.p[i] <= ' ' || charset.p[i] >= 0x7f)
            return false;
    }
    return true;
}

/* "=?" charset "?" B|Q "?" text "?=" at the start of `text`. */
static bool
word_parse(struct span text, struct word *out)
{
    struct span rest = span_from(text, 2);
    size_t at;

    if (text.n < 2 || text.p[0] != '=' || text.p[1] != '?')
        return false;
    at = span_find(rest, '?');
    if (at == 0 || at + 2 >= rest.n || rest.p[at + 2] != '?' || !word_is_name(span_of(rest.p, at)))
        return false;
    out->charset = span_of(rest.p, at);
    out->charset.n = span_find(out->charset, '*');
    out->base64 = rest.p[at + 1] == 'B' || rest.p[at + 1] == 'b';
    if (!out->base64 && rest.p[at + 1] != 'Q' && rest.p[at + 1] != 'q')
        return false;
    rest = span_from(rest, at + 3);
    at = span_find(rest, '?');
    if (at + 1 >= rest.n || rest.p[at + 1] != '=')
        return false;
    out->text = span_of(rest.p, at);
    out->n = (size_t)(rest.p - text.p) + at + 2;
    return true;
}

static int
word_hex(unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)((at - digits) % 16) : -1;
}

static int
word_sextet(unsigned char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(alphabet, c) : NULL;

    return at != NULL ? (int)(at - alphabet) : -1;
}

/* Both decodings take what comes: readers differ about what is broken, and more is seen so. */
static enum err_code
word_decode_q(struct span text, struct buf *out, struct err *err)
{
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < text.n; i++) {
        unsigned char c = text.p[i];

        if (c == '=' && i + 2 < text.n && word_hex(text.p[i + 1]) >= 0 &&
            word_hex(text.p[i + 2]) >= 0) {
            c = (unsigned char)(word_hex(text.p[i + 1]) * 16 + word_hex(text.p[i + 2]));
            i += 2;
        } else if (c == '_') {
            c = ' ';
        }
        code = buf_append_byte(out, c, err);
    }
    return code;
}

static enum err_code
word_decode_b(struct span text, struct buf *out, struct err *err)
{
    enum err_code code = ERR_OK;
    unsigned bits = 0, have = 0;

    for (size_t i = 0; code == ERR_OK && i < text.n; i++) {
        int sextet = word_sextet(text.p[i]);

        if (sextet < 0)
            continue;
        bits = (bits << 6 | (unsigned)sextet) & 0xFFFFF;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        code = buf_append_byte(out, (unsigned char)(bits >> have), err);
    }
    return code;
}

/* Puts the octets from `from` on into the form of the header comment, in place. */
static void
word_reduce(struct buf *out, size_t from, enum charset charset)
{
    size_t to = from;
    bool shifted = false;

    for (size_t i = from; i < out->n; i++) {
        unsigned char c = out->p[i];

        if (charset == CHARSET_ESCAPES && c == ESCAPE && i + 1 < out->n) {
            shifted = out->p[i + 1] == '$';
            i += out->p[i + 1] == '$' && i + 2 < out->n && strchr("()", out->p[i + 2]) ? 3 : 2;
            c = ' ';
        } else if (shifted) {
            continue;
        } else if (charset == CHARSET_DOUBLE && c >= 0x81) {
            i++;
            c = ' ';
        }
        out->p[to++] = c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
    }
    out->n = to;
    if (out->p != NULL)
        out->p[to] = '\0';
}

static enum err_code
word_append(const struct word *word, enum charset charset, struct buf *out, struct err *err)
{
    size_t from = out->n;
    enum err_code code =
        word->base64 ? word_decode_b(word->text, out, err) : word_decode_q(word->text, out, err);

    if (code == ERR_OK)
        word_reduce(out, from, charset);
    return code;
}

/* Octets of white space at the start. */
static size_t
word_space(struct span text)
{
    size_t n = 0;

    while (n < text.n && strchr(" \t\r\n", text.p[n]) && text.p[n] != '\0')
        n++;
    return n;
}

enum err_code
mime_word_decode(struct span text, struct buf *out, unsigned *flags, struct err *err)
{
    enum err_code code = ERR_OK;
    struct word word;

    *flags = 0;
    for (size_t i = 0; code == ERR_OK && i < text.n;) {
        struct span rest = span_from(text, i);
        enum charset charset;

        if (!word_parse(rest, &word)) {
            if (text.p[i] != '\r' && text.p[i] != '\n')
                code = buf_append_byte(out, text.p[i] != '\0' ? text.p[i] : ' ', err);
            i++;
            continue;
        }
        charset = word_charset(word.charset);
        *flags |= MIME_WORD_ENCODED;
        if (charset == CHARSET_UNREADABLE) {
            *flags |= MIME_WORD_UNREADABLE;
            for (size_t k = 0; code == ERR_OK && k < word.n; k++) {
                if (rest.p[k] != '\r' && rest.p[k] != '\n')
                    code = buf_append_byte(out, rest.p[k] != '\0' ? rest.p[k] : ' ', err);
            }
        } else {
            code = word_append(&word, charset, out, err);
        }
        i += word.n;
        rest = span_from(text, i + word_space(span_from(text, i)));
        if (word_parse(rest, &word))
            i = (size_t)(rest.p - text.p);
    }
    return code;
}

/* ---- taking a word out -------------------------------------------------------------------------
 */

/* Does `bytes` begin with `word`? */
static bool
word_begins(struct span bytes, const char *word)
{
    size_t n = strlen(word);

    return bytes.n >= n && strncasecmp((const char *)bytes.p, word, n) == 0;
}

/* One octet of Q: how many octets of the text it takes. */
static size_t
word_q_token(struct span text)
{
    return text.p[0] == '=' && text.n > 2 && word_hex(text.p[1]) >= 0 && word_hex(text.p[2]) >= 0
               ? 3
               : 1;
}

/* `text` in Q, decoded to `bytes`, without `word`: tokens that stay are copied as they stand. */
static enum err_code
word_remove_q(struct span text, struct span bytes, const char *word, struct buf *out,
              struct err *err)
{
    enum err_code code = ERR_OK;
    size_t at = 0, skip = 0;

    for (size_t i = 0; code == ERR_OK && i < bytes.n; i++) {
        size_t n = word_q_token(span_from(text, at));

        if (skip == 0 && word_begins(span_from(bytes, i), word))
            for (skip = strlen(word); i + skip < bytes.n && bytes.p[i + skip] == ' '; skip++)
                continue;
        if (skip > 0)
            skip--;
        else
            code = buf_append(out, span_of(text.p + at, n), err);
        at += n;
    }
    return code;
}

static enum err_code
word_remove_b(struct span bytes, const char *word, struct buf *out, struct err *err)
{
    struct buf rest = BUF_INIT(bytes.n + 1);
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < bytes.n;) {
        if (!word_begins(span_from(bytes, i), word)) {
            code = buf_append_byte(&rest, bytes.p[i++], err);
            continue;
        }
        for (i += strlen(word); i < bytes.n && bytes.p[i] == ' '; i++)
            continue;
    }
    if (code == ERR_OK)
        code = mime_base64_format(buf_span(&rest), out, err);
    buf_free(&rest);
    return code;
}

/* An encoded word that may hold `word`. */
static enum err_code
word_remove_inside(struct span whole, const struct word *encoded, const char *word, struct buf *out,
                   bool *removed, struct err *err)
{
    size_t head = (size_t)(encoded->text.p - whole.p);
    struct buf bytes = BUF_INIT(encoded->n + 1);
    enum err_code code = encoded->base64 ? word_decode_b(encoded->text, &bytes, err)
                                         : word_decode_q(encoded->text, &bytes, err);
    bool there = false;

    for (size_t i = 0; i < bytes.n && !there; i++)
        there = word_begins(span_from(buf_span(&bytes), i), word);
    if (code == ERR_OK && (!there || word_charset(encoded->charset) != CHARSET_PLAIN)) {
        code = buf_append(out, span_of(whole.p, encoded->n), err);
    } else if (code == ERR_OK) {
        *removed = true;
        code = buf_append(out, span_of(whole.p, head), err);
        if (code == ERR_OK)
            code = encoded->base64 ? word_remove_b(buf_span(&bytes), word, out, err)
                                   : word_remove_q(encoded->text, buf_span(&bytes), word, out, err);
        if (code == ERR_OK)
            code = buf_append_str(out, "?=", err);
    }
    buf_free(&bytes);
    return code;
}

enum err_code
mime_word_remove(struct span text, const char *word, struct buf *out, bool *removed,
                 struct err *err)
{
    enum err_code code = ERR_OK;
    struct word encoded;

    *removed = false;
    for (size_t i = 0; code == ERR_OK && i < text.n;) {
        struct span rest = span_from(text, i);

        if (word_parse(rest, &encoded)) {
            code = word_remove_inside(rest, &encoded, word, out, removed, err);
            i += encoded.n;
        } else if (word_begins(rest, word)) {
            *removed = true;
            i += strlen(word);
            while (i < text.n && (text.p[i] == ' ' || text.p[i] == '\t'))
                i++;
        } else {
            code = buf_append_byte(out, text.p[i++], err);
        }
    }
    return code;
}
