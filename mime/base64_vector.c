/*
 * How sixteen characters are made at once.
 *
 * Encoding: twelve octets are spread over four 32-bit lanes, three in each, in an order in which
 * two multiplications shift all four six-bit fields of a lane to their places. A field then becomes
 * its character by adding an offset that depends on its range alone (A-Z, a-z, 0-9, '+', '/'),
 * found by a sixteen-octet shuffle.
 *
 * Decoding: two shuffles by the high and the low four bits of each character give one bit per class
 * of characters; they meet where the character is outside the alphabet. The offset comes from a
 * third one, by the high bits ('/' is the one character that needs another than its neighbours).
 * Two multiply-and-add steps join four fields to three octets.
 *
 * A line has 57 octets: with 32-octet registers two steps and a half one, with 16-octet registers
 * five. The last step of a line reads seven octets and writes four characters beyond it, which the
 * next line overwrites: the last line of the input is left to the plain code. Decoding, the last
 * step of a line begins four characters earlier instead, and writes three octets a second time.
 */
#include "mime/base64_vector.h"

#include <stdatomic.h>
#include <string.h>

static size_t
encode_nothing(const unsigned char *in, size_t n, unsigned char *out)
{
    (void)in, (void)n, (void)out;
    return 0;
}

static size_t
decode_nothing(const unsigned char *in, size_t n, unsigned char *out, size_t room, size_t *out_n)
{
    (void)in, (void)n, (void)out, (void)room, (void)out_n;
    return 0;
}

static const struct mime_base64_vector portable = { "portable", encode_nothing, decode_nothing };

#if defined(__x86_64__)

#include <immintrin.h>

#define SSSE3 __attribute__((target("ssse3")))
#define AVX2 __attribute__((target("avx2")))

enum {
    LINE_OCTETS = MIME_BASE64_LINE_OCTETS,
    LINE_TEXT = MIME_BASE64_LINE_TEXT,
    LINE_CHARS = LINE_TEXT - 2,
    STEP_OCTETS = 12, /* of a 16-octet register */
    STEP_CHARS = 16,
    LINE_READ = 4 * STEP_OCTETS + STEP_CHARS, /* what encoding a line reads */
    /* Where the last step of decoding a line begins, and what the steps of a line may write. */
    LAST_CHARS = LINE_CHARS - STEP_CHARS,
    LAST_OCTETS = LINE_OCTETS - STEP_OCTETS,
    LINE_ROOM = 5 * STEP_CHARS
};

static inline bool
is_line_end(const unsigned char *line)
{
    return line[LINE_CHARS] == '\r' && line[LINE_CHARS + 1] == '\n';
}

/* ---- 16 octets ---- */

SSSE3 static inline __m128i
encode_128(__m128i in)
{
    const __m128i spread = _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
    /* By class: 0 for a-z, 1 to 10 for digits, 11 '+', 12 '/', 13 A-Z. */
    const __m128i offsets =
        _mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                      '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
    __m128i v = _mm_shuffle_epi8(in, spread);
    __m128i high =
        _mm_mulhi_epu16(_mm_and_si128(v, _mm_set1_epi32(0x0fc0fc00)), _mm_set1_epi32(0x04000040));
    __m128i low =
        _mm_mullo_epi16(_mm_and_si128(v, _mm_set1_epi32(0x003f03f0)), _mm_set1_epi32(0x01000010));
    __m128i fields = _mm_or_si128(high, low);
    __m128i class = _mm_subs_epu8(fields, _mm_set1_epi8(51));
    __m128i upper = _mm_cmplt_epi8(fields, _mm_set1_epi8(26));

    class = _mm_or_si128(class, _mm_and_si128(upper, _mm_set1_epi8(13)));
    return _mm_add_epi8(fields, _mm_shuffle_epi8(offsets, class));
}

SSSE3 static size_t
encode_lines_ssse3(const unsigned char *in, size_t n, unsigned char *out)
{
    size_t lines = 0;

    for (; n >= LINE_READ; n -= LINE_OCTETS, in += LINE_OCTETS, out += LINE_TEXT, lines++) {
        for (size_t i = 0; i < 5; i++) {
            __m128i v = _mm_loadu_si128((const __m128i *)(in + i * STEP_OCTETS));
            _mm_storeu_si128((__m128i *)(out + i * STEP_CHARS), encode_128(v));
        }
        memcpy(out + LINE_CHARS, "\r\n", 2);
    }
    return lines;
}

/* The sixteen fields of sixteen characters. False: one of them is none of the alphabet. */
SSSE3 static inline bool
decode_128(__m128i in, __m128i *fields)
{
    const __m128i by_low = _mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                                         0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
    const __m128i by_high = _mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10,
                                          0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
    const __m128i offsets = _mm_setr_epi8(0, 63 - '/', 62 - '+', 52 - '0', -'A', -'A', 26 - 'a',
                                          26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i four_bits = _mm_set1_epi8(0x0f);
    __m128i high = _mm_and_si128(_mm_srli_epi32(in, 4), four_bits);
    __m128i low = _mm_and_si128(in, four_bits);
    __m128i wrong = _mm_and_si128(_mm_shuffle_epi8(by_low, low), _mm_shuffle_epi8(by_high, high));
    __m128i slash = _mm_cmpeq_epi8(in, _mm_set1_epi8('/'));

    if (_mm_movemask_epi8(_mm_cmpeq_epi8(wrong, _mm_setzero_si128())) != 0xffff)
        return false;
    *fields = _mm_add_epi8(in, _mm_shuffle_epi8(offsets, _mm_add_epi8(slash, high)));
    return true;
}

/* Sixteen characters to twelve octets (sixteen are written). False: one is none of the alphabet. */
SSSE3 static inline bool
decode_step_128(const unsigned char *in, unsigned char *out)
{
    const __m128i gather = _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    __m128i v;

    if (!decode_128(_mm_loadu_si128((const __m128i *)in), &v))
        return false;
    v = _mm_maddubs_epi16(v, _mm_set1_epi32(0x01400140));
    v = _mm_madd_epi16(v, _mm_set1_epi32(0x00011000));
    _mm_storeu_si128((__m128i *)out, _mm_shuffle_epi8(v, gather));
    return true;
}

SSSE3 static inline bool
decode_line_ssse3(const unsigned char *in, unsigned char *out)
{
    for (size_t i = 0; i < 4; i++) {
        if (!decode_step_128(in + i * STEP_CHARS, out + i * STEP_OCTETS))
            return false;
    }
    return decode_step_128(in + LAST_CHARS, out + LAST_OCTETS);
}

SSSE3 static size_t
decode_ssse3(const unsigned char *in, size_t n, unsigned char *out, size_t room, size_t *out_n)
{
    size_t used = 0, done = 0;

    while (n - used >= LINE_TEXT && room - done >= LINE_ROOM && is_line_end(in + used) &&
           decode_line_ssse3(in + used, out + done)) {
        used += LINE_TEXT;
        done += LINE_OCTETS;
    }
    while (n - used >= STEP_CHARS && room - done >= STEP_CHARS &&
           decode_step_128(in + used, out + done)) {
        used += STEP_CHARS;
        done += STEP_OCTETS;
    }
    *out_n += done;
    return used;
}

/* ---- 32 octets ---- */

AVX2 static inline __m256i
twice(__m128i v)
{
    return _mm256_broadcastsi128_si256(v);
}

/* Twelve octets from `low` and twelve from `high`: one half of the register each. */
AVX2 static inline __m256i
encode_256(const unsigned char *in)
{
    const __m256i spread = twice(_mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10));
    const __m256i offsets =
        twice(_mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                            '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0));
    __m256i v =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)in)),
                                _mm_loadu_si128((const __m128i *)(in + STEP_OCTETS)), 1);

    v = _mm256_shuffle_epi8(v, spread);
    __m256i high = _mm256_mulhi_epu16(_mm256_and_si256(v, _mm256_set1_epi32(0x0fc0fc00)),
                                      _mm256_set1_epi32(0x04000040));
    __m256i low = _mm256_mullo_epi16(_mm256_and_si256(v, _mm256_set1_epi32(0x003f03f0)),
                                     _mm256_set1_epi32(0x01000010));
    __m256i fields = _mm256_or_si256(high, low);
    __m256i class = _mm256_subs_epu8(fields, _mm256_set1_epi8(51));
    __m256i upper = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), fields);

    class = _mm256_or_si256(class, _mm256_and_si256(upper, _mm256_set1_epi8(13)));
    return _mm256_add_epi8(fields, _mm256_shuffle_epi8(offsets, class));
}

AVX2 static size_t
encode_lines_avx2(const unsigned char *in, size_t n, unsigned char *out)
{
    size_t lines = 0;

    for (; n >= LINE_READ; n -= LINE_OCTETS, in += LINE_OCTETS, out += LINE_TEXT, lines++) {
        __m128i last = _mm_loadu_si128((const __m128i *)(in + 4 * STEP_OCTETS));

        _mm256_storeu_si256((__m256i *)out, encode_256(in));
        _mm256_storeu_si256((__m256i *)(out + 2 * STEP_CHARS), encode_256(in + 2 * STEP_OCTETS));
        _mm_storeu_si128((__m128i *)(out + 4 * STEP_CHARS), encode_128(last));
        memcpy(out + LINE_CHARS, "\r\n", 2);
    }
    return lines;
}

/* Thirty-two characters to twenty-four octets (thirty-two are written). */
AVX2 static inline bool
decode_step_256(const unsigned char *in, unsigned char *out)
{
    const __m256i by_low = twice(_mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                                               0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a));
    const __m256i by_high = twice(_mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08,
                                                0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10));
    const __m256i offsets = twice(_mm_setr_epi8(0, 63 - '/', 62 - '+', 52 - '0', -'A', -'A',
                                                26 - 'a', 26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0));
    const __m256i gather =
        twice(_mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1));
    const __m256i join = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7);
    const __m256i four_bits = _mm256_set1_epi8(0x0f);
    __m256i v = _mm256_loadu_si256((const __m256i *)in);
    __m256i high = _mm256_and_si256(_mm256_srli_epi32(v, 4), four_bits);
    __m256i low = _mm256_and_si256(v, four_bits);
    __m256i slash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('/'));

    if (!_mm256_testz_si256(_mm256_shuffle_epi8(by_low, low), _mm256_shuffle_epi8(by_high, high)))
        return false;
    v = _mm256_add_epi8(v, _mm256_shuffle_epi8(offsets, _mm256_add_epi8(slash, high)));
    v = _mm256_maddubs_epi16(v, _mm256_set1_epi32(0x01400140));
    v = _mm256_madd_epi16(v, _mm256_set1_epi32(0x00011000));
    v = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(v, gather), join);
    _mm256_storeu_si256((__m256i *)out, v);
    return true;
}

AVX2 static inline bool
decode_line_avx2(const unsigned char *in, unsigned char *out)
{
    return decode_step_256(in, out) &&
           decode_step_256(in + 2 * STEP_CHARS, out + 2 * STEP_OCTETS) &&
           decode_step_128(in + LAST_CHARS, out + LAST_OCTETS);
}

AVX2 static size_t
decode_avx2(const unsigned char *in, size_t n, unsigned char *out, size_t room, size_t *out_n)
{
    size_t used = 0, done = 0;

    while (n - used >= LINE_TEXT && room - done >= LINE_ROOM && is_line_end(in + used) &&
           decode_line_avx2(in + used, out + done)) {
        used += LINE_TEXT;
        done += LINE_OCTETS;
    }
    while (n - used >= 2 * STEP_CHARS && room - done >= 2 * STEP_CHARS &&
           decode_step_256(in + used, out + done)) {
        used += 2 * STEP_CHARS;
        done += 2 * STEP_OCTETS;
    }
    *out_n += done;
    return used;
}

static const struct mime_base64_vector ssse3 = { "ssse3", encode_lines_ssse3, decode_ssse3 };
static const struct mime_base64_vector avx2 = { "avx2", encode_lines_avx2, decode_avx2 };

/* The one of that name, or the best; NULL: not here. */
static const struct mime_base64_vector *
find(const char *name)
{
    if (__builtin_cpu_supports("avx2") && (!name || strcmp(name, avx2.name) == 0))
        return &avx2;
    if (__builtin_cpu_supports("ssse3") && (!name || strcmp(name, ssse3.name) == 0))
        return &ssse3;
    return !name || strcmp(name, portable.name) == 0 ? &portable : NULL;
}

#else

static const struct mime_base64_vector *
find(const char *name)
{
    return !name || strcmp(name, portable.name) == 0 ? &portable : NULL;
}

#endif

static _Atomic(const struct mime_base64_vector *) chosen;

const struct mime_base64_vector *
mime_base64_vector_get(void)
{
    const struct mime_base64_vector *vector = atomic_load_explicit(&chosen, memory_order_relaxed);

    if (!vector) {
        vector = find(NULL);
        atomic_store_explicit(&chosen, vector, memory_order_relaxed);
    }
    return vector;
}

bool
mime_base64_vector_set(const char *name)
{
    const struct mime_base64_vector *vector = find(name);

    if (vector)
        atomic_store_explicit(&chosen, vector, memory_order_relaxed);
    return vector != NULL;
}
