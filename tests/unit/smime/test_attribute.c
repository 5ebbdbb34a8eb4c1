#include "fixture.h"

#include "smime/attribute.h"

#define OID_PKCS9(n) 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, (n)
#define OID_AA(n) 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, (n)

static struct make
make_attribute(struct make oid, struct make values)
{
    return make_tlv(0x30, make_join(2, oid, make_tlv(0x31, values)));
}

static struct make
content_type(void)
{
    return make_attribute(MAKE_OID(OID_PKCS9(3)), MAKE_OID(OID_DATA));
}

static struct make
message_digest(void)
{
    return make_attribute(MAKE_OID(OID_PKCS9(4)), make_tlv(0x04, make_fill(9, 32)));
}

static enum err_code
parse(struct make made, struct smime_attributes *out)
{
    struct err err = ERR_INIT;
    enum err_code code = smime_attribute_parse(span_of(made.p, made.n), out, &err);
    if (code != ERR_OK)
        assert_string_equal(err.reason, "malformed-attributes");
    assert_int_equal(ERR_peek_error(), 0);
    free(made.p);
    return code;
}

static void
attribute_parse_finds_what_it_knows(void **state)
{
    (void)state;
    struct smime_attributes found;
    struct make time =
        make_attribute(MAKE_OID(OID_PKCS9(5)), make_tlv(0x17, make_raw("260921131500Z", 13)));
    struct make all = make_join(4, content_type(), time, message_digest(),
                                make_attribute(MAKE_OID(0x2a, 3, 4), make_integer(1)));
    struct err err = ERR_INIT;
    assert_int_equal(smime_attribute_parse(span_of(all.p, all.n), &found, &err), ERR_OK);
    assert_int_equal(found.signing_time, 1789996500);
    assert_int_equal(found.message_digest.n, 32);
    assert_int_equal(found.content_type.n, 9);
    assert_null(found.certificate_v2.p);
    free(all.p);
}

static void
attribute_parse_takes_an_unreadable_time_for_none(void **state)
{
    (void)state;
    struct smime_attributes found;
    struct make time =
        make_attribute(MAKE_OID(OID_PKCS9(5)), make_tlv(0x17, make_raw("yesterday", 9)));
    assert_int_equal(parse(make_join(3, content_type(), time, message_digest()), &found), ERR_OK);
    assert_int_equal(found.signing_time, 0);
}

static void
attribute_parse_wants_each_once_with_one_value(void **state)
{
    (void)state;
    struct smime_attributes found;
    assert_int_equal(parse(content_type(), &found), ERR_PERM);
    assert_int_equal(parse(message_digest(), &found), ERR_PERM);
    assert_int_equal(parse(make_raw("", 0), &found), ERR_PERM);
    assert_int_equal(
        parse(make_join(3, content_type(), message_digest(), message_digest()), &found), ERR_PERM);
    struct make two =
        make_attribute(MAKE_OID(0x2a, 3, 4), make_join(2, make_integer(1), make_integer(2)));
    assert_int_equal(parse(make_join(3, content_type(), message_digest(), two), &found), ERR_PERM);
    struct make none = make_attribute(MAKE_OID(0x2a, 3, 4), make_raw("", 0));
    assert_int_equal(parse(make_join(3, content_type(), message_digest(), none), &found), ERR_PERM);
    struct make wrong = make_attribute(MAKE_OID(OID_PKCS9(4)), make_integer(1));
    assert_int_equal(parse(make_join(2, content_type(), wrong), &found), ERR_PERM);
    assert_int_equal(
        parse(make_join(3, content_type(), message_digest(), make_fill('x', 1)), &found), ERR_PERM);
}

static void
attribute_parse_bounds_their_number(void **state)
{
    (void)state;
    struct smime_attributes found;
    struct make all = make_join(2, content_type(), message_digest());
    for (unsigned i = 0; i < 70; i++)
        all =
            make_join(2, all, make_attribute(MAKE_OID(0x2a, 3, (unsigned char)i), make_integer(1)));
    assert_int_equal(parse(all, &found), ERR_PERM);
}

static void
attribute_check_compares_the_first_certificate(void **state)
{
    (void)state;
    struct testca ca;
    struct user alice, bob;
    testca_init(&ca, "Attribute Root");
    user_init(&alice, &ca, TESTCA_P256, 0, NULL);
    user_init(&bob, &ca, TESTCA_P256, 1, NULL);
    struct span der = pki_certificate_der(alice.key.certificate);
    for (int version = 1; version <= 2; version++) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned n = 0;
        assert_true(
            EVP_Digest(der.p, der.n, digest, &n, version == 1 ? EVP_sha1() : EVP_sha256(), NULL));
        struct make list = make_tlv(0x30, make_tlv(0x30, make_tlv(0x04, make_raw(digest, n))));
        struct smime_attributes attributes = { .signing_time = 0 };
        *(version == 1 ? &attributes.certificate_v1 : &attributes.certificate_v2) =
            span_of(list.p, list.n);
        assert_true(smime_attribute_check(&attributes, alice.key.certificate));
        assert_false(smime_attribute_check(&attributes, bob.key.certificate));
        for (size_t cut = 0; cut < list.n; cut++) {
            struct make part = make_raw(list.p, cut);
            *(version == 1 ? &attributes.certificate_v1 : &attributes.certificate_v2) =
                span_of(part.p, part.n);
            assert_false(smime_attribute_check(&attributes, alice.key.certificate));
            free(part.p);
        }
        free(list.p);
    }
    user_free(&alice);
    user_free(&bob);
    testca_free(&ca);
}

/* issuerAndSerialNumber [0], receipentKeyId [1], subjectAltKeyIdentifier [2]; anything else, and
 * what is malformed, names nobody. */
static void
attribute_prefers_the_certificate_that_it_names(void **state)
{
    (void)state;
    struct testca ca;
    struct user alice, bob;
    struct buf name = BUF_INIT(4096);
    struct err err = ERR_INIT;
    testca_init(&ca, "Test CA");
    user_init(&alice, &ca, TESTCA_RSA2048, 0, "digitalSignature,keyEncipherment");
    user_init(&bob, &ca, TESTCA_RSA2048, 1, "digitalSignature,keyEncipherment");
    FIXTURE_MUST(smime_attribute_format_issuer(alice.key.certificate, &name, &err));
    ASN1_OCTET_STRING *ski =
        X509_get_ext_d2i(alice.leaf.x509, NID_subject_key_identifier, NULL, NULL);
    struct make id = ski ? make_raw(ski->data, (size_t)ski->length) : make_raw("none", 4);
    struct make forms[] = {
        make_tlv(0xa0, make_raw(name.p, name.n)),
        make_tlv(0xa1, make_tlv(0x04, make_raw(id.p, id.n))),
        make_tlv(0x82, make_raw(id.p, id.n)),
        make_tlv(0xa3, make_raw(name.p, name.n)),
        make_tlv(0x30, make_raw(name.p, name.n)),
        make_tlv(0xa0, make_raw(name.p, name.n - 1)),
        make_tlv(0xa0, make_raw("", 0)),
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        struct smime_attributes attributes = { .preference = span_of(forms[i].p, forms[i].n) };
        bool names = i == 0 || (i < 3 && ski != NULL);
        assert_int_equal(smime_attribute_prefers(&attributes, alice.key.certificate), names);
        assert_false(smime_attribute_prefers(&attributes, bob.key.certificate));
        free(forms[i].p);
    }
    assert_false(smime_attribute_prefers(&(struct smime_attributes){ .signing_time = 0 },
                                         alice.key.certificate));
    assert_int_equal(ERR_peek_error(), 0);
    free(id.p);
    ASN1_OCTET_STRING_free(ski);
    buf_free(&name);
    user_free(&alice);
    user_free(&bob);
    testca_free(&ca);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attribute_parse_finds_what_it_knows),
        cmocka_unit_test(attribute_parse_takes_an_unreadable_time_for_none),
        cmocka_unit_test(attribute_parse_wants_each_once_with_one_value),
        cmocka_unit_test(attribute_parse_bounds_their_number),
        cmocka_unit_test(attribute_prefers_the_certificate_that_it_names),
        cmocka_unit_test(attribute_check_compares_the_first_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
