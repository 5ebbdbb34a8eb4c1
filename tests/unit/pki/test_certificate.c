#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/certificate.h"
#include "pki/crypto.h"
#include "tests/unit/testca.h"

static const struct pki_leaf_policy usual = { .fold_local = true, .rsa_bits_min = 2048 };

static struct testca ca;

static int
group_setup(void **state)
{
    (void)state;
    testca_init(&ca, "Unit Root");
    return 0;
}

static int
group_teardown(void **state)
{
    (void)state;
    testca_free(&ca);
    return 0;
}

static struct pki_certificate *
issue(struct testca_args args)
{
    struct testca_leaf leaf;
    struct pki_certificate *certificate;

    if (!args.cn)
        args.cn = "Alice";
    testca_issue(&ca, &args, &leaf);
    certificate = testca_certificate(leaf.x509);
    testca_leaf_free(&leaf);
    return certificate;
}

/* The reason word for a certificate that is used and dropped. */
static const char *
reason_of(struct testca_args args, enum pki_use use)
{
    struct pki_certificate *certificate = issue(args);
    struct pki_answer answer;

    pki_certificate_check(certificate, use, NULL, time(NULL), &usual, &answer);
    assert_true(answer.text[0] != '\0');
    assert_int_equal(ERR_peek_error(), 0);
    pki_certificate_free(&certificate);
    return answer.reason;
}

static enum err_code
parse_copy(const void *bytes, size_t n, struct pki_certificate **out)
{
    unsigned char *copy = malloc(n ? n : 1);
    struct err err = ERR_INIT;
    enum err_code code;

    memcpy(copy, bytes, n);
    code = pki_certificate_parse(span_of(copy, n), out, &err);
    assert_true(code == ERR_OK || err.text[0] != '\0');
    assert_int_equal(ERR_peek_error(), 0);
    free(copy);
    return code;
}

static void
facts_are_read(void **state)
{
    (void)state;
    struct pki_certificate *c =
        issue((struct testca_args){ .cn = "A,\"b\n\xc3\xa4", .san = "email:Alice@EXAMPLE.org" });
    const struct pki_certificate_facts *f = pki_certificate_get(c);

    assert_string_equal(f->issuer, "CN=Unit Root,O=Testca");
    assert_string_equal(f->subject, "CN=A\\,\\\"b\\0A\\C3\\A4,O=Testca");
    assert_string_equal(f->key_algorithm, "rsa");
    assert_int_equal(f->key_bits, 2048);
    assert_string_equal(f->addresses[0], "Alice@example.org");
    assert_null(f->addresses[1]);
    assert_null(f->subject_addresses[0]);
    assert_false(f->bad_address);
    assert_false(f->ca);
    assert_false(f->self_issued);
    assert_int_equal(strlen(f->fingerprint), 64);
    assert_true(f->not_after - f->not_before >= 365 * 86400L);
    pki_certificate_free(&c);
    assert_null(c);
}

static void
serial_is_upper_case_hex_without_leading_zeros(void **state)
{
    (void)state;
    ca.serial = 0x00abcdeeL;
    struct pki_certificate *c = issue((struct testca_args){ .san = "email:a@example.org" });
    assert_string_equal(pki_certificate_get(c)->serial, "ABCDEF");
    pki_certificate_free(&c);
}

static void
trailing_and_missing_octets_are_refused(void **state)
{
    (void)state;
    struct pki_certificate *c = issue((struct testca_args){ .san = "email:a@example.org" });
    struct pki_certificate *again = NULL;
    struct span der = pki_certificate_der(c);
    unsigned char *longer = malloc(der.n + 1);

    memcpy(longer, der.p, der.n);
    longer[der.n] = 0;
    assert_int_equal(parse_copy(longer, der.n, &again), ERR_OK);
    assert_true(pki_certificate_is(c, again));
    pki_certificate_free(&again);
    assert_int_equal(parse_copy(longer, der.n + 1, &again), ERR_PERM);
    for (size_t n = 0; n < der.n; n++)
        assert_int_equal(parse_copy(longer, n, &again), ERR_PERM);
    free(longer);
    pki_certificate_free(&c);
}

static void
ber_is_not_der(void **state)
{
    (void)state;
    struct pki_certificate *c = issue((struct testca_args){ .san = "email:a@example.org" });
    struct pki_certificate *again = NULL;
    struct span der = pki_certificate_der(c);
    unsigned char *ber = malloc(der.n + 2);

    /* 30 82 LL LL ...  becomes  30 80 ... 00 00, which d2i_X509 accepts */
    assert_int_equal(der.p[1], 0x82);
    ber[0] = 0x30;
    ber[1] = 0x80;
    memcpy(ber + 2, der.p + 4, der.n - 4);
    memset(ber + 2 + der.n - 4, 0, 2);
    const unsigned char *p = ber;
    X509 *x509 = d2i_X509(NULL, &p, (long)der.n);
    assert_non_null(x509);
    X509_free(x509);
    assert_int_equal(parse_copy(ber, der.n, &again), ERR_PERM);
    free(ber);
    pki_certificate_free(&c);
}

static void
a_certificate_above_the_limit_is_refused(void **state)
{
    (void)state;
    struct pki_certificate *c = NULL;
    unsigned char *big = calloc(1, 64 * 1024 + 1);
    assert_int_equal(parse_copy(big, 64 * 1024 + 1, &c), ERR_LIMIT);
    free(big);
}

/* A subjectAltName extension of our own making: one rfc822Name with any octets. */
static struct pki_certificate *
issue_raw_san(const char *octets, size_t n, bool utf8_mailbox)
{
    struct testca_leaf leaf;
    struct pki_certificate *c;
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *name = GENERAL_NAME_new();

    testca_issue(&ca, &(struct testca_args){ .cn = "raw" }, &leaf);
    if (utf8_mailbox) {
        ASN1_TYPE *value = ASN1_TYPE_new();
        ASN1_UTF8STRING *text = ASN1_UTF8STRING_new();
        assert_true(ASN1_STRING_set(text, octets, (int)n));
        ASN1_TYPE_set(value, V_ASN1_UTF8STRING, text);
        assert_true(
            GENERAL_NAME_set0_othername(name, OBJ_nid2obj(NID_id_on_SmtpUTF8Mailbox), value));
    } else {
        ASN1_IA5STRING *text = ASN1_IA5STRING_new();
        assert_true(ASN1_STRING_set(text, octets, (int)n));
        GENERAL_NAME_set0_value(name, GEN_EMAIL, text);
    }
    assert_true(sk_GENERAL_NAME_push(names, name));
    assert_int_equal(X509_add1_ext_i2d(leaf.x509, NID_subject_alt_name, names, 0, 0), 1);
    assert_true(X509_sign(leaf.x509, ca.key, EVP_sha256()));
    c = testca_certificate(leaf.x509);
    GENERAL_NAMES_free(names);
    testca_leaf_free(&leaf);
    return c;
}

static void
addresses_with_nul_control_or_white_space_are_refused_and_never_trimmed(void **state)
{
    (void)state;
#define RAW(s)           \
    {                    \
        s, sizeof(s) - 1 \
    }
    static const struct {
        const char *p;
        size_t n;
    } bad[] = {
        RAW("alice@example.org\0.evil.test"),
        RAW("alice@example.org\n"),
        RAW(" alice@example.org"),
        RAW("alice@example.org "),
        RAW("alice@exam ple.org"),
        RAW("al\tice@example.org"),
        RAW("<alice@example.org>"),
        RAW("alice"),
        RAW(""),
        RAW("alice@"),
        RAW("@example.org"),
        RAW("\"a b\"@example.org"),
        RAW("alice@example.org\x7f"),
        RAW("al\xc3\xa4@example.org"),
        RAW("alice@example.org\r\n"),
    };
#undef RAW
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pki_certificate *c = issue_raw_san(bad[i].p, bad[i].n, false);
        assert_null(pki_certificate_get(c)->addresses[0]);
        assert_true(pki_certificate_get(c)->bad_address);
        assert_false(pki_certificate_has_address(c, "alice@example.org", &usual));
        pki_certificate_free(&c);
    }
}

static void
smtp_utf8_mailbox_is_an_address(void **state)
{
    (void)state;
    static const char good[] = "j\xc3\xb6rg@xn--bcher-kva.example";
    struct pki_certificate *c = issue_raw_san(good, sizeof good - 1, true);

    assert_false(pki_certificate_get(c)->bad_address);
    assert_true(pki_certificate_has_address(c, good, &usual));
    /* The same with the domain as U-label. */
    assert_true(pki_certificate_has_address(c, "j\xc3\xb6rg@B\xc3\xbc\x63her.example", &usual));
    assert_false(pki_certificate_has_address(c, "jorg@xn--bcher-kva.example", &usual));
    pki_certificate_free(&c);
}

static void
smtp_utf8_mailbox_that_breaks_rfc_9598_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "alice@example.org",                   /* ASCII: would slip past rfc822Name constraints */
        "j\xc3\xb6rg@\xc3\xbc.example",        /* U-label */
        "j\xc3\xb6rg@EXAMPLE.org",             /* upper case */
        "\xef\xbb\xbfj\xc3\xb6rg@example.org", /* byte order mark */
        "j\xc3\xb6rg\xc2\xa0@example.org",     /* no-break space */
        "j\xc3\xb6rg\xe2\x80\x8b@example.org", /* zero width space */
        "j\xf6rg@example.org",                 /* not UTF-8 */
        "j\xc3\xb6rg",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pki_certificate *c = issue_raw_san(bad[i], strlen(bad[i]), true);
        assert_null(pki_certificate_get(c)->addresses[0]);
        assert_true(pki_certificate_get(c)->bad_address);
        pki_certificate_free(&c);
    }
}

static void
common_name_is_never_an_address_and_the_subject_only_by_policy(void **state)
{
    (void)state;
    struct pki_leaf_policy lenient = usual;
    struct pki_answer answer;
    struct pki_certificate *c = issue(
        (struct testca_args){ .cn = "cn@example.org", .subject_email = "subject@example.org" });

    lenient.subject_address = true;
    assert_false(pki_certificate_has_address(c, "cn@example.org", &lenient));
    assert_false(pki_certificate_has_address(c, "subject@example.org", &usual));
    assert_true(pki_certificate_has_address(c, "Subject@Example.org", &lenient));
    pki_certificate_check(c, PKI_USE_SIGN, "subject@example.org", time(NULL), &usual, &answer);
    assert_string_equal(answer.reason, "cert-wrong-address");
    assert_int_equal(answer.status, PKI_STATUS_INVALID);
    pki_certificate_free(&c);
}

static void
local_part_case_is_policy_domain_case_is_not(void **state)
{
    (void)state;
    struct pki_leaf_policy strict = usual;
    struct pki_certificate *c = issue((struct testca_args){ .san = "email:Alice@Example.ORG" });

    strict.fold_local = false;
    assert_true(pki_certificate_has_address(c, "alice@example.org", &usual));
    assert_false(pki_certificate_has_address(c, "alice@example.org", &strict));
    assert_true(pki_certificate_has_address(c, "Alice@EXAMPLE.org", &strict));
    pki_certificate_free(&c);
}

static void
every_address_of_a_certificate_counts(void **state)
{
    (void)state;
    struct pki_certificate *c = issue(
        (struct testca_args){ .san = "email:a@example.org,DNS:example.org,email:b@example.org" });
    assert_true(pki_certificate_has_address(c, "a@example.org", &usual));
    assert_true(pki_certificate_has_address(c, "b@example.org", &usual));
    assert_false(pki_certificate_has_address(c, "c@example.org", &usual));
    pki_certificate_free(&c);
}

static void
absent_usages_allow_signing_and_encryption(void **state)
{
    (void)state;
    assert_string_equal(reason_of((struct testca_args){ .cn = "x" }, PKI_USE_SIGN), "ok");
    assert_string_equal(reason_of((struct testca_args){ .cn = "x" }, PKI_USE_ENCRYPT), "ok");
}

static void
extended_key_usage_is_email_or_any(void **state)
{
    (void)state;
    struct testca_args args = { .ext_key_usage = "emailProtection" };
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "ok");
    args.ext_key_usage = "anyExtendedKeyUsage";
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "ok");
    assert_string_equal(reason_of(args, PKI_USE_ENCRYPT), "ok");
    args.ext_key_usage = "clientAuth,serverAuth";
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "cert-wrong-usage");
    args.ext_key_usage = "clientAuth,emailProtection";
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "ok");
    args.ext_key_usage = "1.3.6.1.4.1.311.20.2.2";
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "cert-wrong-usage");
}

static void
key_usage_separates_signing_from_encryption(void **state)
{
    (void)state;
    struct testca_args args = { .key_usage = "digitalSignature" };
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "ok");
    assert_string_equal(reason_of(args, PKI_USE_ENCRYPT), "cert-wrong-usage");
    args.key_usage = "nonRepudiation";
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "ok");
    args.key_usage = "keyEncipherment";
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "cert-wrong-usage");
    assert_string_equal(reason_of(args, PKI_USE_ENCRYPT), "ok");
    args.key_usage = "dataEncipherment";
    assert_string_equal(reason_of(args, PKI_USE_ENCRYPT), "cert-wrong-usage");
    args.key_usage = "keyAgreement"; /* means nothing for RSA */
    assert_string_equal(reason_of(args, PKI_USE_ENCRYPT), "cert-wrong-usage");
}

static void
ec_encrypts_by_key_agreement(void **state)
{
    (void)state;
    struct testca_args args = { .key_type = TESTCA_P256, .key_usage = "keyAgreement" };
    assert_string_equal(reason_of(args, PKI_USE_ENCRYPT), "ok");
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "cert-wrong-usage");
    args.key_usage = "keyEncipherment";
    assert_string_equal(reason_of(args, PKI_USE_ENCRYPT), "cert-wrong-usage");
    args = (struct testca_args){ .key_type = TESTCA_P384 };
    assert_string_equal(reason_of(args, PKI_USE_ENCRYPT), "ok");
    args = (struct testca_args){ .key_type = TESTCA_P521, .key_usage = "digitalSignature" };
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "ok");
}

static void
keys_are_judged_by_kind_and_size(void **state)
{
    (void)state;
    struct testca_args args = { .key_type = TESTCA_RSA1024 };
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "cert-weak-key");
    args.key_type = TESTCA_RSA3072;
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "ok");
    args.key_type = TESTCA_RSAPSS;
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "ok");
    assert_string_equal(reason_of(args, PKI_USE_ENCRYPT), "cert-wrong-usage");
    args.key_type = TESTCA_BRAINPOOL;
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "unsupported-algorithm");
    args.key_type = TESTCA_ED25519;
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "unsupported-algorithm");
    assert_string_equal(reason_of(args, PKI_USE_ENCRYPT), "cert-wrong-usage");
}

static void
x25519_is_recognised_and_unsupported(void **state)
{
    (void)state;
    struct testca_args args = { .key_type = TESTCA_X25519, .key_usage = "keyAgreement" };
    struct pki_certificate *c = issue(args);
    assert_string_equal(pki_certificate_get(c)->key_algorithm, "x25519");
    pki_certificate_free(&c);
    assert_string_equal(reason_of(args, PKI_USE_ENCRYPT), "unsupported-algorithm");
    args.key_usage = NULL;
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "cert-wrong-usage");
}

static void
authorities_are_no_leaves(void **state)
{
    (void)state;
    struct testca_args args = { .basic = "critical,CA:TRUE" };
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "cert-is-ca");
    args = (struct testca_args){ .key_usage = "digitalSignature,keyCertSign" };
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "cert-is-ca");
    args = (struct testca_args){ .basic = "CA:FALSE" };
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "ok");
    args = (struct testca_args){ .version1 = true, .self_signed = true };
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "cert-is-ca");
    args = (struct testca_args){ .version1 = true };
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "ok");
    args = (struct testca_args){ .self_signed = true, .basic = "CA:FALSE" };
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "ok");
}

static void
validity_is_named_and_goes_before_weakness(void **state)
{
    (void)state;
    time_t now = time(NULL);
    struct testca_args args = { .not_before = now - 200, .not_after = now - 100 };
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "cert-expired");
    args.key_type = TESTCA_RSA1024;
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "cert-expired");
    args = (struct testca_args){ .not_before = now + 1000, .not_after = now + 2000 };
    assert_string_equal(reason_of(args, PKI_USE_SIGN), "cert-not-yet-valid");
}

static void
both_ends_of_the_validity_belong_to_it(void **state)
{
    (void)state;
    struct pki_answer answer;
    struct pki_certificate *c =
        issue((struct testca_args){ .not_before = 1700000000, .not_after = 1700001000 });
    static const struct {
        time_t at;
        const char *reason;
    } cases[] = { { 1699999999, "cert-not-yet-valid" },
                  { 1700000000, "ok" },
                  { 1700001000, "ok" },
                  { 1700001001, "cert-expired" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pki_certificate_check(c, PKI_USE_SIGN, NULL, cases[i].at, &usual, &answer);
        assert_string_equal(answer.reason, cases[i].reason);
    }
    assert_string_equal(answer.text, "the certificate expired on 2023-11-14 22:30 UTC");
    pki_certificate_free(&c);
}

static void
a_doubled_san_gives_no_address(void **state)
{
    (void)state;
    struct testca_args args = { .san = "email:a@example.org" };
    args.extra[0].name = "subjectAltName";
    args.extra[0].value = "email:b@example.org";
    struct pki_certificate *c = issue(args);
    struct pki_answer answer;

    assert_null(pki_certificate_get(c)->addresses[0]);
    assert_true(pki_certificate_get(c)->bad_address);
    pki_certificate_check(c, PKI_USE_SIGN, NULL, time(NULL), &usual, &answer);
    assert_string_equal(answer.reason, "cert-malformed");
    pki_certificate_free(&c);
}

static void
a_certificate_is_shared_until_its_last_reference(void **state)
{
    (void)state;
    struct pki_certificate *c = issue((struct testca_args){ .san = "email:a@example.org" });
    struct pki_certificate *second = pki_certificate_add1(c);

    pki_certificate_free(&c);
    assert_string_equal(pki_certificate_get(second)->addresses[0], "a@example.org");
    pki_certificate_free(&second);
    pki_certificate_free(&second);
    assert_null(pki_certificate_add1(NULL));
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_are_read),
        cmocka_unit_test(serial_is_upper_case_hex_without_leading_zeros),
        cmocka_unit_test(trailing_and_missing_octets_are_refused),
        cmocka_unit_test(ber_is_not_der),
        cmocka_unit_test(a_certificate_above_the_limit_is_refused),
        cmocka_unit_test(addresses_with_nul_control_or_white_space_are_refused_and_never_trimmed),
        cmocka_unit_test(smtp_utf8_mailbox_is_an_address),
        cmocka_unit_test(smtp_utf8_mailbox_that_breaks_rfc_9598_is_refused),
        cmocka_unit_test(common_name_is_never_an_address_and_the_subject_only_by_policy),
        cmocka_unit_test(local_part_case_is_policy_domain_case_is_not),
        cmocka_unit_test(every_address_of_a_certificate_counts),
        cmocka_unit_test(absent_usages_allow_signing_and_encryption),
        cmocka_unit_test(extended_key_usage_is_email_or_any),
        cmocka_unit_test(key_usage_separates_signing_from_encryption),
        cmocka_unit_test(ec_encrypts_by_key_agreement),
        cmocka_unit_test(keys_are_judged_by_kind_and_size),
        cmocka_unit_test(x25519_is_recognised_and_unsupported),
        cmocka_unit_test(authorities_are_no_leaves),
        cmocka_unit_test(validity_is_named_and_goes_before_weakness),
        cmocka_unit_test(both_ends_of_the_validity_belong_to_it),
        cmocka_unit_test(a_doubled_san_gives_no_address),
        cmocka_unit_test(a_certificate_is_shared_until_its_last_reference),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
