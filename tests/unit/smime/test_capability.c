#include "fixture.h"

#include "smime/capability.h"

#define AES(last) MAKE_OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, last)
#define HASH MAKE_OID(0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01)
#define MGF1 MAKE_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08)
#define OAEP MAKE_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07)
#define TRIPLE_DES MAKE_OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x03, 0x07)

static struct make
capability(struct make oid)
{
    return make_tlv(0x30, oid);
}

static enum err_code
parse(struct make made, struct smime_capabilities *out)
{
    struct err err = ERR_INIT;
    enum err_code code = smime_capability_parse(span_of(made.p, made.n), out, &err);

    if (code != ERR_OK) {
        assert_string_equal(err.reason, "malformed-attributes");
        assert_false(out->ciphers_known);
        assert_int_equal(out->ciphers | out->transports, 0);
    }
    free(made.p);
    return code;
}

static void
a_list_is_read_as_sets_whatever_its_order_and_parameters(void **state)
{
    struct smime_capabilities found;
    struct make size = make_tlv(0x30, make_join(2, AES(0x06), make_integer(12)));

    (void)state;
    assert_int_equal(
        parse(make_tlv(0x30,
                       make_join(5, capability(AES(0x2a)), size, capability(TRIPLE_DES),
                                 capability(MAKE_OID(OID_RSA)), capability(MAKE_OID(0x2a, 3, 4)))),
              &found),
        ERR_OK);
    assert_true(found.ciphers_known);
    assert_int_equal(found.ciphers, 1 << SMIME_CIPHER_AES256_CBC | 1 << SMIME_CIPHER_AES128_GCM);
    assert_int_equal(found.transports, 1 << SMIME_TRANSPORT_PKCS1);
}

static void
a_list_without_content_encryption_says_nothing_about_it(void **state)
{
    struct smime_capabilities found;

    (void)state;
    assert_int_equal(parse(make_tlv(0x30, make_raw("", 0)), &found), ERR_OK);
    assert_false(found.ciphers_known);
    assert_int_equal(
        parse(make_tlv(0x30, make_join(2, capability(HASH), capability(MAKE_OID(OID_RSA)))),
              &found),
        ERR_OK);
    assert_false(found.ciphers_known);
    /* One that names only what we never write does say something. */
    assert_int_equal(parse(make_tlv(0x30, capability(TRIPLE_DES)), &found), ERR_OK);
    assert_true(found.ciphers_known);
    assert_int_equal(found.ciphers, 0);
}

static struct make
oaep(bool tagged, struct make hash, struct make mask_hash)
{
    struct make first = make_tlv(0x30, hash);
    struct make second = make_tlv(0x30, make_join(2, MGF1, make_tlv(0x30, mask_hash)));

    if (tagged) {
        first = make_tlv(0xa0, first);
        second = make_tlv(0xa1, second);
    }
    return make_tlv(
        0x30, make_tlv(0x30, make_join(2, OAEP, make_tlv(0x30, make_join(2, first, second)))));
}

static void
oaep_counts_with_sha256_alone(void **state)
{
    struct smime_capabilities found;

    (void)state;
    for (int tagged = 0; tagged < 2; tagged++) {
        assert_int_equal(parse(oaep(tagged, HASH, HASH), &found), ERR_OK);
        assert_int_equal(found.transports, 1 << SMIME_TRANSPORT_OAEP);
        assert_int_equal(parse(oaep(tagged, HASH, MGF1), &found), ERR_OK);
        assert_int_equal(found.transports, 0);
        assert_int_equal(parse(oaep(tagged, MGF1, HASH), &found), ERR_OK);
        assert_int_equal(found.transports, 0);
    }
    /* SHA-1 is the default. */
    assert_int_equal(
        parse(make_tlv(0x30, make_tlv(0x30, make_join(2, OAEP, make_tlv(0x30, make_raw("", 0))))),
              &found),
        ERR_OK);
    assert_int_equal(found.transports, 0);
    assert_int_equal(parse(make_tlv(0x30, capability(OAEP)), &found), ERR_OK);
    assert_int_equal(found.transports, 0);
    assert_false(found.ciphers_known);
}

static void
what_is_no_list_says_nothing(void **state)
{
    struct smime_capabilities found;

    (void)state;
    assert_int_equal(parse(make_raw("", 0), &found), ERR_PERM);
    assert_int_equal(parse(make_raw("\x30\x80\x00\x00", 4), &found), ERR_PERM);
    assert_int_equal(parse(make_raw("\x30\x05\x30\x0b\x06", 5), &found), ERR_PERM);
    assert_int_equal(parse(make_tlv(0x31, capability(AES(0x2a))), &found), ERR_PERM);
    assert_int_equal(parse(make_tlv(0x30, AES(0x2a)), &found), ERR_PERM);
    assert_int_equal(parse(make_tlv(0x30, make_tlv(0x30, make_integer(1))), &found), ERR_PERM);
    assert_int_equal(
        parse(make_join(2, make_tlv(0x30, capability(AES(0x2a))), make_integer(1)), &found),
        ERR_PERM);
    /* Known ones before what is broken do not count. */
    assert_int_equal(
        parse(make_tlv(0x30, make_join(2, capability(AES(0x2a)), make_integer(1))), &found),
        ERR_PERM);
}

static void
a_list_is_bounded(void **state)
{
    struct make list = make_raw("", 0);
    struct smime_capabilities found;

    (void)state;
    for (int i = 0; i < SMIME_CAPABILITY_LIMIT; i++)
        list = make_join(2, list, capability(AES(0x2a)));
    list = make_tlv(0x30, list);
    assert_int_equal(smime_capability_parse(span_of(list.p, list.n), &found, NULL), ERR_OK);
    free(list.p);
    list = make_raw("", 0);
    for (int i = 0; i <= SMIME_CAPABILITY_LIMIT; i++)
        list = make_join(2, list, capability(AES(0x2a)));
    assert_int_equal(parse(make_tlv(0x30, list), &found), ERR_PERM);
}

static void
our_own_list_is_understood(void **state)
{
    /* As in tests/unit/smime/test_sign: what smime/attribute writes. */
    struct smime_capabilities found;

    (void)state;
    assert_int_equal(
        parse(make_tlv(0x30, make_join(2, capability(AES(0x2a)), capability(AES(0x02)))), &found),
        ERR_OK);
    assert_int_equal(found.ciphers, 1 << SMIME_CIPHER_AES256_CBC | 1 << SMIME_CIPHER_AES128_CBC);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_read_as_sets_whatever_its_order_and_parameters),
        cmocka_unit_test(a_list_without_content_encryption_says_nothing_about_it),
        cmocka_unit_test(oaep_counts_with_sha256_alone),
        cmocka_unit_test(what_is_no_list_says_nothing),
        cmocka_unit_test(a_list_is_bounded),
        cmocka_unit_test(our_own_list_is_understood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
