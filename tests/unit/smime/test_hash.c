#include "make.h"

#include <string.h>

#include <openssl/objects.h>

#include "smime/hash.h"

static struct span
digest_of(struct smime_hash *hash, const char *text, size_t piece, int nid)
{
    struct err err = ERR_INIT;
    for (size_t at = 0; at < strlen(text); at += piece) {
        size_t n = strlen(text) - at < piece ? strlen(text) - at : piece;
        assert_int_equal(smime_hash_write(hash, span_of(text + at, n), &err), ERR_OK);
    }
    assert_int_equal(smime_hash_finish(hash, &err), ERR_OK);
    return smime_hash_get(hash, nid);
}

static void
hash_gives_known_digests_in_every_piece_size(void **state)
{
    (void)state;
    static const unsigned char abc[] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea };
    for (size_t i = 0; i < MAKE_PIECES; i++) {
        struct smime_hash hash;
        struct err err = ERR_INIT;
        smime_hash_init(&hash);
        assert_int_equal(smime_hash_new(&hash, NID_sha256, &err), ERR_OK);
        assert_int_equal(smime_hash_new(&hash, NID_sha1, &err), ERR_OK);
        assert_int_equal(smime_hash_new(&hash, NID_sha256, &err), ERR_OK);
        assert_int_equal(hash.count, 2);
        struct span digest = digest_of(&hash, "abc", make_pieces[i], NID_sha256);
        assert_int_equal(digest.n, 32);
        assert_memory_equal(digest.p, abc, sizeof(abc));
        assert_int_equal(smime_hash_get(&hash, NID_sha1).n, 20);
        assert_null(smime_hash_get(&hash, NID_sha512).p);
        assert_int_equal(hash.bytes, 3);
        assert_memory_equal(hash.head, "abc", 3);
        assert_int_equal(smime_hash_finish(&hash, &err), ERR_BUG);
        smime_hash_deinit(&hash);
    }
}

static void
hash_tells_what_the_library_does_not_have(void **state)
{
    (void)state;
    struct smime_hash hash;
    struct err err = ERR_INIT;
    smime_hash_init(&hash);
    assert_int_equal(smime_hash_new(&hash, NID_undef, &err), ERR_NOTFOUND);
    assert_int_equal(smime_hash_new(&hash, NID_rsaEncryption, &err), ERR_NOTFOUND);
    assert_int_equal(hash.count, 0);
    smime_hash_deinit(&hash);
}

static void
expect_parse(const char *micalg, bool announced, size_t count, int first)
{
    struct smime_hash hash;
    struct err err = ERR_INIT;
    bool found = !announced;
    struct make exact = make_raw(micalg != NULL ? micalg : "", micalg != NULL ? strlen(micalg) : 0);
    smime_hash_init(&hash);
    struct span span = micalg != NULL ? span_of(exact.p, exact.n) : span_of(NULL, 0);
    assert_int_equal(smime_hash_parse(&hash, span, &found, &err), ERR_OK);
    assert_int_equal(found, announced);
    assert_int_equal(hash.count, count);
    assert_int_equal(hash.list[0].nid, first);
    smime_hash_deinit(&hash);
    free(exact.p);
}

static void
hash_parse_reads_micalg_as_mail_programs_write_it(void **state)
{
    (void)state;
    expect_parse("sha-256", true, 1, NID_sha256);
    expect_parse("SHA256", true, 1, NID_sha256);
    expect_parse("rsa-sha512", true, 1, NID_sha512);
    expect_parse("sha1", true, 1, NID_sha1);
    expect_parse("SHA-1", true, 1, NID_sha1);
    expect_parse("md5", true, 1, NID_md5);
    expect_parse(" sha-384 , sha-256", true, 2, NID_sha384);
    expect_parse("sha-256,sha-256,sha256", true, 1, NID_sha256);
}

static void
hash_parse_runs_all_accepted_digests_where_micalg_says_nothing(void **state)
{
    (void)state;
    expect_parse(NULL, false, 3, NID_sha256);
    expect_parse("", false, 3, NID_sha256);
    expect_parse("whirlpool", false, 3, NID_sha256);
    expect_parse("a-very-long-name-of-no-digest-at-all", false, 3, NID_sha256);
    expect_parse("sha1,unknown", false, 4, NID_sha1);
    expect_parse(",,,,,,,,,,,,,,,,", false, 3, NID_sha256);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_gives_known_digests_in_every_piece_size),
        cmocka_unit_test(hash_tells_what_the_library_does_not_have),
        cmocka_unit_test(hash_parse_reads_micalg_as_mail_programs_write_it),
        cmocka_unit_test(hash_parse_runs_all_accepted_digests_where_micalg_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
