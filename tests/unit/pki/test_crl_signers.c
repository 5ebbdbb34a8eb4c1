/*
 * Rules about who signs a CRL, seen from the path: an authority that changes its key, and a CRL of
 * another signer.                                           RFC 5280 5.2.1, 5.2.5, 6.3.3
 */
#include "tests/unit/pki/crl_rules.h"

/* keyIdentifier of the authority, as its CRLs name it. */
static void
akid_put(const struct testca *by)
{
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(by->x509);
    struct buf inner = BUF_INIT(256), value = BUF_INIT(256);

    raw_put(&inner, 0x80, span_of(ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id)));
    raw_wrap(&value, 0x30, &inner);
    raw_extension(&extensions, RAW("\x55\x1d\x23"), false, buf_span(&value));
    buf_free(&inner);
    buf_free(&value);
}

/* During a roll-over an authority issues by both keys, under one name: each CRL speaks for those
 * whom its key certified, and neither hides the other. */
static void
a_roll_over_has_two_crls_of_one_name(void **state)
{
    (void)state;
    struct testca renewed;
    struct testca_leaf bob;
    struct pki_path_args plain = { .at = 0 };

    testca_init_below(&renewed, &root, "Path CA", NULL);
    renewed.serial = 500;
    testca_issue(&renewed, &(struct testca_args){ .cn = "Bob" }, &bob);
    testca_pem(folder, "intermediates.pem", 0644, NULL, ca.x509, renewed.x509, NULL);
    akid_put(&ca);
    raw_store("old.crl", (struct raw_crl){ .extensions = &extensions });
    buf_reset(&extensions);
    akid_put(&renewed);
    raw_entry(&entries, serial_of(bob.x509), NONE);
    raw_store("new.crl", (struct raw_crl){ .by = &renewed,
                                           .extensions = &extensions,
                                           .entries = &entries,
                                           .this_update = time(NULL) - 60 });
    rule("ok");
    expect(bob.x509, plain, "revoked", PKI_STATUS_INVALID);
    testca_leaf_free(&bob);
    testca_free(&renewed);
}

/* Old authorities write no key identifiers: what the key above did not sign is then told by the
 * signature alone. */
static void
a_roll_over_without_key_identifiers_is_told_by_the_signature(void **state)
{
    (void)state;
    struct testca renewed;
    struct testca_leaf bob;
    struct pki_path_args plain = { .at = 0 };

    testca_init_below(&renewed, &root, "Path CA", NULL);
    renewed.serial = 500;
    testca_issue(&renewed, &(struct testca_args){ .cn = "Bob" }, &bob);
    testca_pem(folder, "intermediates.pem", 0644, NULL, ca.x509, renewed.x509, NULL);
    raw_entry(&entries, serial_of(bob.x509), NONE);
    for (int newer = 0; newer < 2; newer++) {
        time_t at = time(NULL) - (newer ? 60 : 9000);
        raw_store("old.crl", (struct raw_crl){ .by = &ca });
        raw_store("new.crl",
                  (struct raw_crl){ .by = &renewed, .entries = &entries, .this_update = at });
        rule("ok");
        expect(bob.x509, plain, "revoked", PKI_STATUS_INVALID);
    }
    testca_leaf_free(&bob);
    testca_free(&renewed);
}

/* Who can write into the folder, or to a server, what nobody signed hides nothing by it. */
static void
a_newer_crl_that_nobody_signed_hides_no_older_one(void **state)
{
    (void)state;

    raw_store("ca.crl", (struct raw_crl){ .by = &ca });
    raw_store("forged.crl", (struct raw_crl){ .key = testca_key(TESTCA_P256, 3),
                                              .this_update = time(NULL) - 60 });
    rule("ok");
    raw_entry(&entries, serial_of(leaf.x509), NONE);
    raw_store("ca.crl", (struct raw_crl){ .by = &ca, .entries = &entries });
    rule("revoked");
}

/* ---- a CRL of another signer -------------------------------------------------------------------
 */

/* A distribution point for crlDistributionPoints: what CN=CRL Signer signs; in front of it, `more`.
 */
static void
point_format(struct span more, char *out, size_t size)
{
    struct buf name = BUF_INIT(512), point = BUF_INIT(512), points = BUF_INIT(512);
    struct err err = ERR_INIT;
    X509_NAME *subject = X509_NAME_new();
    unsigned char *der = NULL;
    int n;

    testca_subject(subject, "CRL Signer", NULL);
    n = i2d_X509_NAME(subject, &der);
    raw_put(&name, 0xa4, span_of(der, (size_t)n));
    raw_wrap(&point, 0xa2, &name); /* cRLIssuer */
    TESTCA_MUST(buf_append(&points, more, &err) == ERR_OK);
    raw_wrap(&points, 0x30, &point);
    raw_wrap(&point, 0x30, &points);
    TESTCA_MUST(4 + 2 * point.n < size);
    snprintf(out, size, "DER:");
    for (size_t i = 0; i < point.n; i++)
        snprintf(out + 4 + 2 * i, 3, "%02x", point.p[i]);
    OPENSSL_free(der);
    X509_NAME_free(subject);
    buf_free(&name);
    buf_free(&point);
    buf_free(&points);
}

/* The signer of an indirect CRL may be covered by it alone (PKITS 4.14.30). He cannot use that to
 * outlive his revocation. */
static void
a_signer_who_speaks_of_himself_does_not_clear_himself(void **state)
{
    (void)state;
    static const char elsewhere[] = "\x30\x10\xa0\x0e\xa0\x0c\x86\x0a"
                                    "http://a/x";
    struct testca_args his = { .key_usage = "critical,cRLSign", .basic = "CA:FALSE" };
    struct testca_args hers = { .cn = "Bob" };
    struct pki_path_args plain = { .at = 0 };
    struct buf issuer = BUF_INIT(512);
    struct testca signer;
    struct testca_leaf bob;
    char his_points[1100], her_points[1100];

    point_format(RAW(elsewhere), his_points, sizeof his_points);
    point_format(NONE, her_points, sizeof her_points);
    his.extra[0].name = hers.extra[0].name = "crlDistributionPoints";
    his.extra[0].value = his_points;
    hers.extra[0].value = her_points;
    testca_init_below(&signer, &ca, "CRL Signer", &his);
    testca_issue(&ca, &hers, &bob);
    testca_pem(folder, "intermediates.pem", 0644, NULL, ca.x509, signer.x509, NULL);
    raw_issuer_extension(&issuer, X509_get_subject_name(ca.x509));

    idp_put(RAW("\x84\x01\xff"));
    raw_entry(&entries, RAW("\x77"), buf_span(&issuer));
    raw_store("signer.crl",
              (struct raw_crl){ .by = &signer, .extensions = &extensions, .entries = &entries });
    expect(bob.x509, plain, "ok", PKI_STATUS_OK);
    /* He lists himself: nothing he says counts. */
    raw_entry(&entries, serial_of(signer.x509), NONE);
    raw_store("signer.crl",
              (struct raw_crl){ .by = &signer, .extensions = &extensions, .entries = &entries });
    expect(bob.x509, plain, "crl-invalid", PKI_STATUS_TEMP);
    /* His issuer lists him, in a CRL that does not cover Bob; he himself does not. */
    buf_reset(&entries);
    raw_store("signer.crl", (struct raw_crl){ .by = &signer, .extensions = &extensions });
    expect(bob.x509, plain, "ok", PKI_STATUS_OK);
    buf_reset(&extensions);
    idp_put(span_from(RAW(elsewhere), 2));
    raw_entry(&entries, serial_of(signer.x509), NONE);
    raw_store("ca.crl", (struct raw_crl){ .extensions = &extensions, .entries = &entries });
    expect(bob.x509, plain, "crl-invalid", PKI_STATUS_TEMP);
    buf_free(&issuer);
    testca_leaf_free(&bob);
    testca_free(&signer);
}

/* An authority whose status only its own subordinate tells: he would keep it alive. */
static void
a_signer_does_not_speak_of_the_authority_above_him(void **state)
{
    (void)state;
    struct testca_args its = { .cn = NULL };
    struct testca_args his = { .key_usage = "critical,cRLSign", .basic = "CA:FALSE" };
    struct pki_path_args plain = { .at = 0 };
    struct buf issuer = BUF_INIT(512);
    struct testca above, signer;
    struct testca_leaf bob;
    char points[1100];

    point_format(NONE, points, sizeof points);
    its.extra[0].name = his.extra[0].name = "crlDistributionPoints";
    its.extra[0].value = his.extra[0].value = points;
    testca_init_below(&above, &root, "Above", &its);
    testca_init_below(&signer, &above, "CRL Signer", &his);
    testca_issue(&above, &(struct testca_args){ .cn = "Bob" }, &bob);
    testca_pem(folder, "intermediates.pem", 0644, NULL, above.x509, signer.x509, NULL);
    crl_store("above.crl", &above, NULL);
    expect(bob.x509, plain, "ok", PKI_STATUS_OK); /* root.crl covers the authority */
    idp_put(RAW("\x84\x01\xff"));
    raw_issuer_extension(&issuer, X509_get_subject_name(root.x509));
    raw_entry(&entries, RAW("\x77"), buf_span(&issuer));
    raw_store("root.crl",
              (struct raw_crl){ .by = &signer, .extensions = &extensions, .entries = &entries });
    struct pki_path_result result;
    check(bob.x509, plain, &result);
    assert_int_equal(result.answer.status, PKI_STATUS_TEMP);
    pki_path_result_free(&result);
    buf_free(&issuer);
    testca_leaf_free(&bob);
    testca_free(&signer);
    testca_free(&above);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rules_setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_roll_over_has_two_crls_of_one_name),
        TEST(a_roll_over_without_key_identifiers_is_told_by_the_signature),
        TEST(a_newer_crl_that_nobody_signed_hides_no_older_one),
        TEST(a_signer_who_speaks_of_himself_does_not_clear_himself),
        TEST(a_signer_does_not_speak_of_the_authority_above_him),
    };
    return cmocka_run_group_tests(tests, NULL, group_teardown);
}
