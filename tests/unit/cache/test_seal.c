#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "cache/seal.h"
#include "util/clock.h"
#include "util/file.h"

static const char key_text[] = "0123456789abcdef0123456789abcdef";

static struct cache_seal *
made(const char *key)
{
    struct err err = ERR_INIT;
    struct cache_seal *seal = NULL;
    if (cache_seal_new(span_str(key), &seal, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return seal;
}

static void
write_one(struct cache_seal *seal, const char *name, struct span bytes, int64_t at, struct buf *out)
{
    const struct cache_seal_value value = { .name = span_str(name),
                                            .bytes = bytes,
                                            .fetched_s = at };
    assert_int_equal(cache_seal_write(seal, &value, out, NULL), ERR_OK);
}

/* In an exact-size heap copy. */
static enum err_code
check(struct cache_seal *seal, const char *name, struct span sealed, struct cache_seal_value *got)
{
    struct err err = ERR_INIT;
    unsigned char *copy = malloc(sealed.n ? sealed.n : 1);
    if (sealed.n)
        memcpy(copy, sealed.p, sealed.n);
    *got = (struct cache_seal_value){ .name = span_str(name) };
    enum err_code rc = cache_seal_check(seal, span_of(copy, sealed.n), got, &err);
    if (rc == ERR_OK) /* shown from the original, since the copy goes */
        got->bytes = span_from(sealed, CACHE_SEAL_HEADER_BYTES);
    else
        assert_string_equal(err.reason, "cache-forged");
    free(copy);
    assert_int_equal(ERR_peek_error(), 0);
    return rc;
}

static void
what_was_sealed_opens_under_its_name_with_its_time(void **state)
{
    (void)state;
    struct cache_seal *seal = made(key_text);
    struct buf sealed = BUF_INIT(4096);
    struct cache_seal_value got;
    write_one(seal, "smimed:v:crl", span_str("bytes"), 1234567890, &sealed);
    assert_int_equal(sealed.n, CACHE_SEAL_HEADER_BYTES + 5);
    assert_memory_equal(sealed.p, "smimed1\n00000000001234567890", 28);
    assert_int_equal(check(seal, "smimed:v:crl", buf_span(&sealed), &got), ERR_OK);
    assert_true(span_equal(got.bytes, span_str("bytes")));
    assert_int_equal(got.fetched_s, 1234567890);
    buf_reset(&sealed);
    write_one(seal, "n", span_of(NULL, 0), 0, &sealed);
    assert_int_equal(check(seal, "n", buf_span(&sealed), &got), ERR_OK);
    assert_int_equal(got.bytes.n, 0);
    buf_free(&sealed);
    cache_seal_free(&seal);
    assert_null(seal);
}

/* Against another implementation: so that nodes of another version read each other's values.
 * printf 'smimed1\n%020d%020dNAMEbytes' 5 4 | openssl dgst -sha256 -hmac KEY */
static void
the_seal_is_hmac_sha_256_over_head_name_and_bytes(void **state)
{
    (void)state;
    static const unsigned char wanted[32] = { 0xd9, 0x87, 0x53, 0xf0, 0xf8, 0xd4, 0x8c, 0x80,
                                              0x9a, 0xaf, 0xee, 0x35, 0x2d, 0x29, 0x6a, 0x96,
                                              0xc8, 0x98, 0xd8, 0x8b, 0xff, 0x57, 0xcf, 0x63,
                                              0x1d, 0x8f, 0x8e, 0x8c, 0x8e, 0x02, 0x9e, 0x05 };
    struct cache_seal *seal = made(key_text);
    struct buf sealed = BUF_INIT(4096);
    write_one(seal, "NAME", span_str("bytes"), 5, &sealed);
    assert_memory_equal(sealed.p + 28, wanted, 32);
    buf_free(&sealed);
    cache_seal_free(&seal);
}

static void
every_flipped_bit_is_a_miss(void **state)
{
    (void)state;
    struct cache_seal *seal = made(key_text);
    struct buf sealed = BUF_INIT(4096);
    struct cache_seal_value got;
    write_one(seal, "name", span_str("the bytes of a list"), 1700000000, &sealed);
    for (size_t i = 0; i < sealed.n * 8; i++) {
        sealed.p[i / 8] ^= (unsigned char)(1 << i % 8);
        if (check(seal, "name", buf_span(&sealed), &got) != ERR_NOTFOUND)
            fail_msg("bit %zu", i);
        sealed.p[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    assert_int_equal(check(seal, "name", buf_span(&sealed), &got), ERR_OK);
    buf_free(&sealed);
    cache_seal_free(&seal);
}

static void
every_other_length_is_a_miss(void **state)
{
    (void)state;
    struct cache_seal *seal = made(key_text);
    struct buf sealed = BUF_INIT(4096);
    struct cache_seal_value got;
    write_one(seal, "name", span_str("the bytes of a list"), 1700000000, &sealed);
    for (size_t n = 0; n < sealed.n; n++)
        assert_int_equal(check(seal, "name", span_of(sealed.p, n), &got), ERR_NOTFOUND);
    assert_int_equal(buf_append_byte(&sealed, 0, NULL), ERR_OK);
    assert_int_equal(check(seal, "name", buf_span(&sealed), &got), ERR_NOTFOUND);
    buf_free(&sealed);
    cache_seal_free(&seal);
}

static void
another_name_or_another_key_is_a_miss(void **state)
{
    (void)state;
    struct cache_seal *seal = made(key_text), *other = made("0123456789abcdef0123456789abcdeg");
    struct buf sealed = BUF_INIT(4096), moved = BUF_INIT(4096);
    struct cache_seal_value got;
    write_one(seal, "name", span_str("xbytes"), 1700000000, &sealed);
    assert_int_equal(check(seal, "nam", buf_span(&sealed), &got), ERR_NOTFOUND);
    assert_int_equal(check(seal, "namf", buf_span(&sealed), &got), ERR_NOTFOUND);
    assert_int_equal(check(other, "name", buf_span(&sealed), &got), ERR_NOTFOUND);
    /* An octet that moves from the bytes into the name. */
    assert_int_equal(buf_append(&moved, span_of(sealed.p, CACHE_SEAL_HEADER_BYTES), NULL), ERR_OK);
    assert_int_equal(buf_append_str(&moved, "bytes", NULL), ERR_OK);
    assert_int_equal(check(seal, "namex", buf_span(&moved), &got), ERR_NOTFOUND);
    buf_free(&sealed);
    buf_free(&moved);
    cache_seal_free(&seal);
    cache_seal_free(&other);
}

static void
a_value_from_the_future_is_a_miss(void **state)
{
    (void)state;
    struct cache_seal *seal = made(key_text);
    struct buf sealed = BUF_INIT(4096);
    struct cache_seal_value got;
    write_one(seal, "name", span_str("bytes"), 1700000000, &sealed);
    clock_set_s(1700000000 - CACHE_SEAL_SKEW_S);
    assert_int_equal(check(seal, "name", buf_span(&sealed), &got), ERR_OK);
    clock_set_s(1700000000 - CACHE_SEAL_SKEW_S - 1);
    assert_int_equal(check(seal, "name", buf_span(&sealed), &got), ERR_NOTFOUND);
    clock_set_s(0);
    buf_free(&sealed);
    cache_seal_free(&seal);
}

static void
a_key_file_must_be_long_random_and_private(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        mode_t mode;
        enum err_code rc;
    } cases[] = {
        { key_text, 32, 0600, ERR_OK },
        { key_text, 32, 0400, ERR_OK },
        { key_text, 31, 0600, ERR_PERM },
        { key_text, 0, 0600, ERR_PERM },
        { key_text, 32, 0640, ERR_PERM },
        { key_text, 32, 0604, ERR_PERM },
        { key_text, 32, 0620, ERR_PERM },
        { "00000000000000000000000000000000", 32, 0600, ERR_PERM },
    };
    char folder[] = "/tmp/smimed-seal-XXXXXX", path[64];
    struct err err = ERR_INIT;
    struct cache_seal *seal = NULL;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/key", folder);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        err_reset(&err);
        assert_int_equal(file_write(path, span_of(cases[i].text, cases[i].n), cases[i].mode, NULL),
                         ERR_OK);
        assert_int_equal(cache_seal_load(path, &seal, &err), cases[i].rc);
        assert_true(cases[i].rc == ERR_OK || strstr(err.text, path));
        assert_null(strstr(err.text, "0123456789"));
        cache_seal_free(&seal);
    }
    unsigned char *big = malloc(5000);
    for (size_t i = 0; i < 5000; i++)
        big[i] = (unsigned char)(i * 7);
    assert_int_equal(file_write(path, span_of(big, 5000), 0600, NULL), ERR_OK);
    assert_int_equal(cache_seal_load(path, &seal, NULL), ERR_LIMIT);
    unlink(path);
    assert_int_equal(cache_seal_load(path, &seal, NULL), ERR_NOTFOUND);
    assert_int_equal(cache_seal_load(folder, &seal, NULL), ERR_PERM);
    rmdir(folder);
    free(big);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_opens_under_its_name_with_its_time),
        cmocka_unit_test(the_seal_is_hmac_sha_256_over_head_name_and_bytes),
        cmocka_unit_test(every_flipped_bit_is_a_miss),
        cmocka_unit_test(every_other_length_is_a_miss),
        cmocka_unit_test(another_name_or_another_key_is_a_miss),
        cmocka_unit_test(a_value_from_the_future_is_a_miss),
        cmocka_unit_test(a_key_file_must_be_long_random_and_private),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
