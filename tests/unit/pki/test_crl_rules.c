/*
 * Rules about CRLs, seen from the path: what the library does not check or gets wrong, and what it
 * does right with CRLs whose entries it does not see.               RFC 5280 5.1, 5.2, 5.3, 6.3.3
 */
#include "tests/unit/pki/crl_rules.h"

/* ---- version -----------------------------------------------------------------------------------
 */

static void
a_crl_of_version_1_is_good_without_extensions_only(void **state)
{
    (void)state;
    struct span version1 = span_of("", 0);

    raw_entry(&entries, RAW("\x77"), NONE);
    raw_store("ca.crl", (struct raw_crl){ .version = version1, .entries = &entries });
    rule("ok");
    raw_extension(&extensions, OID_NUMBER, false, RAW("\x02\x01\x01"));
    raw_store("ca.crl", (struct raw_crl){ .version = version1, .extensions = &extensions });
    rule("crl-invalid");
    raw_entry(&entries, RAW("\x78"), RAW_REASON("\x01"));
    raw_store("ca.crl", (struct raw_crl){ .version = version1, .entries = &entries });
    rule("crl-invalid");
    buf_reset(&entries);
    raw_entry(&entries, serial_of(leaf.x509), NONE);
    raw_store("ca.crl", (struct raw_crl){ .version = version1, .entries = &entries });
    rule("revoked");
}

static void
a_version_that_is_not_known_is_not_relied_on(void **state)
{
    (void)state;

    raw_store("ca.crl", (struct raw_crl){ .version = RAW("\x02") });
    rule("crl-invalid");
    raw_store("ca.crl", (struct raw_crl){ .version = RAW("\x00") });
    rule("crl-invalid"); /* version 1 is said by leaving it out */
    raw_store("ca.crl", (struct raw_crl){ .version = RAW("\x01") });
    rule("ok");
}

static void
an_empty_list_is_forbidden_and_harmless(void **state)
{
    (void)state;

    raw_store("ca.crl", (struct raw_crl){ .entries = &entries });
    rule("ok");
}

/* ---- scope -------------------------------------------------------------------------------------
 */

static void
a_scope_that_contradicts_itself_covers_nobody(void **state)
{
    (void)state;
    static const struct {
        struct span content;
        const char *reason;
    } rows[] = {
        { { (const unsigned char *)"\x81\x01\xff", 3 }, "ok" },                 /* users */
        { { (const unsigned char *)"\x82\x01\xff", 3 }, "revocation-unknown" }, /* authorities */
        { { (const unsigned char *)"\x85\x01\xff", 3 }, "revocation-unknown" }, /* attributes */
        { { (const unsigned char *)"\x81\x01\xff\x82\x01\xff", 6 }, "revocation-unknown" },
        { { (const unsigned char *)"\x81\x01\xff\x85\x01\xff", 6 }, "revocation-unknown" },
        { { (const unsigned char *)"", 0 }, "ok" }, /* says nothing */
        { { (const unsigned char *)"\x83\x02\x06\x40", 4 }, "revocation-unknown" }, /* one reason */
        { { (const unsigned char *)"\x84\x01\xff", 3 }, "ok" },          /* of others too */
        { { (const unsigned char *)"\x86\x01\xff", 3 }, "crl-invalid" }, /* a field of nobody's */
        { { (const unsigned char *)"\x81\x02\xff\xff", 4 }, "crl-invalid" }, /* no BOOLEAN */
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_reset(&extensions);
        idp_put(rows[i].content);
        raw_store("ca.crl", (struct raw_crl){ .extensions = &extensions });
        print_message("# row %zu\n", i);
        rule(rows[i].reason);
    }
}

/* The library takes a scope that it cannot read for none: then a CRL that somebody else's
 * certificates are the matter of would say "good" of this one. */
static void
a_scope_that_cannot_be_read_is_not_no_scope(void **state)
{
    (void)state;
    static const struct span values[] = {
        { (const unsigned char *)"", 0 },
        { (const unsigned char *)"\x30", 1 },
        { (const unsigned char *)"\x30\x03\x81\x01", 4 },
        { (const unsigned char *)"\x04\x00", 2 },
    };

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        buf_reset(&extensions);
        raw_extension(&extensions, OID_IDP, true, values[i]);
        raw_store("ca.crl", (struct raw_crl){ .extensions = &extensions });
        rule("crl-invalid");
    }
    buf_reset(&extensions);
    idp_put(RAW("\x81\x01\xff"));
    idp_put(RAW("\x82\x01\xff"));
    raw_store("ca.crl", (struct raw_crl){ .extensions = &extensions });
    rule("crl-invalid");
}

static void
the_name_of_the_distribution_point_has_to_match(void **state)
{
    (void)state;
    static const char here[] = "\xa0\x0e\xa0\x0c\x86\x0a"
                               "http://a/1";
    static const char there[] = "\xa0\x0e\xa0\x0c\x86\x0a"
                                "http://a/2";
    struct testca_leaf bob;
    struct testca_args args = { .cn = "Bob" };
    struct pki_path_args plain = { .at = 0 };

    args.extra[0].name = "crlDistributionPoints";
    args.extra[0].value = "URI:http://a/1";
    testca_issue(&ca, &args, &bob);
    idp_put(RAW(here));
    raw_store("ca.crl", (struct raw_crl){ .extensions = &extensions });
    expect(bob.x509, plain, "ok", PKI_STATUS_OK);
    /* A certificate that names no point is not covered by the CRL of one. */
    rule("revocation-unknown");
    buf_reset(&extensions);
    idp_put(RAW(there));
    raw_store("ca.crl", (struct raw_crl){ .extensions = &extensions });
    expect(bob.x509, plain, "revocation-unknown", PKI_STATUS_TEMP);
    /* Beside it, the one for everybody: both are candidates. */
    raw_store("all.crl", (struct raw_crl){ .by = &ca });
    expect(bob.x509, plain, "ok", PKI_STATUS_OK);
    rule("ok");
    testca_leaf_free(&bob);
}

/* ---- extensions --------------------------------------------------------------------------------
 */

static void
an_extension_that_is_critical_and_unknown_makes_the_crl_useless(void **state)
{
    (void)state;

    raw_extension(&extensions, OID_NOBODYS, false, RAW("\x05\x00"));
    raw_store("ca.crl", (struct raw_crl){ .extensions = &extensions });
    rule("ok");
    buf_reset(&extensions);
    raw_extension(&extensions, OID_NOBODYS, true, RAW("\x05\x00"));
    raw_store("ca.crl", (struct raw_crl){ .extensions = &extensions });
    rule("crl-invalid");
    buf_reset(&extensions);
    raw_extension(&extensions, OID_NOBODYS, false, RAW("\x05\x00"));
    raw_extension(&extensions, OID_NOBODYS, false, RAW("\x05\x00"));
    raw_store("ca.crl", (struct raw_crl){ .extensions = &extensions });
    rule("crl-invalid"); /* twice */
}

static void
a_malformed_number_or_key_identifier_makes_the_crl_useless(void **state)
{
    (void)state;

    raw_extension(&extensions, OID_NUMBER, false, RAW("\x04\x01\x01"));
    raw_store("ca.crl", (struct raw_crl){ .extensions = &extensions });
    rule("crl-invalid");
    buf_reset(&extensions);
    raw_extension(&extensions, RAW("\x55\x1d\x23"), false, RAW("\x02\x01\x01"));
    raw_store("ca.crl", (struct raw_crl){ .extensions = &extensions });
    rule("crl-invalid");
}

/* In any entry, also one about somebody else: it could be the one that changes what others mean. */
static void
an_entry_that_cannot_be_understood_makes_the_crl_useless(void **state)
{
    (void)state;
    struct buf extension = BUF_INIT(4096);
    static const struct {
        struct span oid;
        bool critical;
        struct span value;
        const char *reason;
    } rows[] = {
        { { (const unsigned char *)"\x69\x01", 2 },
          true,
          { (const unsigned char *)"\x05\x00", 2 },
          "crl-invalid" },
        { { (const unsigned char *)"\x69\x01", 2 },
          false,
          { (const unsigned char *)"\x05\x00", 2 },
          "ok" },
        { { (const unsigned char *)"\x55\x1d\x15", 3 },
          false,
          { (const unsigned char *)"\x0a\x01\x01", 3 },
          "ok" },
        { { (const unsigned char *)"\x55\x1d\x15", 3 },
          false,
          { (const unsigned char *)"\x02\x01\x01", 3 },
          "crl-invalid" },
        { { (const unsigned char *)"\x55\x1d\x15", 3 },
          false,
          { (const unsigned char *)"\x0a\x00", 2 },
          "crl-invalid" },
        { { (const unsigned char *)"\x55\x1d\x1d", 3 },
          true,
          { (const unsigned char *)"\x30\x02\x05\x00", 4 },
          "crl-invalid" },
        { { (const unsigned char *)"\x55\x1d\x1d", 3 },
          true,
          { (const unsigned char *)"\x05\x00", 2 },
          "crl-invalid" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_reset(&entries);
        buf_reset(&extension);
        raw_extension(&extension, rows[i].oid, rows[i].critical, rows[i].value);
        raw_entry(&entries, RAW("\x77"), buf_span(&extension));
        raw_store("ca.crl", (struct raw_crl){ .entries = &entries });
        rule(rows[i].reason);
        if (strcmp(rows[i].reason, "ok") != 0) {
            /* Whoever it revokes, it does not say so. */
            raw_entry(&entries, serial_of(leaf.x509), NONE);
            raw_store("ca.crl", (struct raw_crl){ .entries = &entries });
            rule("crl-invalid");
        }
    }
    buf_free(&extension);
}

static void
the_algorithm_inside_has_to_be_the_one_outside(void **state)
{
    (void)state;

    raw_store("ca.crl",
              (struct raw_crl){
                  .algorithm = RAW("\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x05\x00") });
    rule("crl-invalid");
}

/* ---- deltas ------------------------------------------------------------------------------------
 */

/* A delta of that base; `revoked`: what it says of the leaf. */
static void
delta_store(const char *name, unsigned char base, unsigned char number, struct span reason)
{
    unsigned char base_der[] = { 0x02, 0x01, base }, number_der[] = { 0x02, 0x01, number };

    buf_reset(&extensions);
    buf_reset(&entries);
    raw_extension(&extensions, OID_NUMBER, false, span_of(number_der, 3));
    raw_extension(&extensions, OID_DELTA, true, span_of(base_der, 3));
    raw_entry(&entries, serial_of(leaf.x509), reason);
    raw_store(name, (struct raw_crl){ .extensions = &extensions,
                                      .entries = &entries,
                                      .this_update = time(NULL) - 60 });
}

/* The complete one, with a place where deltas are; the leaf is on hold in it, or not. */
static void
base_store(unsigned char number, bool on_hold)
{
    unsigned char number_der[] = { 0x02, 0x01, number };

    buf_reset(&extensions);
    buf_reset(&entries);
    raw_extension(&extensions, OID_NUMBER, false, span_of(number_der, 3));
    raw_extension(&extensions, OID_FRESHEST, false,
                  RAW("\x30\x12\x30\x10\xa0\x0e\xa0\x0c\x86\x0a"
                      "http://a/d"));
    if (on_hold)
        raw_entry(&entries, serial_of(leaf.x509), RAW_REASON("\x06"));
    raw_store("base.crl", (struct raw_crl){ .extensions = &extensions, .entries = &entries });
}

static void
a_delta_without_its_base_says_nothing(void **state)
{
    (void)state;

    delta_store("delta.crl", 5, 6, NONE);
    rule("revocation-unknown");
    base_store(5, false);
    rule("revoked");
}

static void
a_delta_of_a_base_that_is_newer_than_ours_is_not_applied(void **state)
{
    (void)state;

    base_store(5, false);
    delta_store("delta.crl", 6, 7, NONE);
    rule("ok");
    delta_store("delta.crl", 5, 7, NONE);
    rule("revoked");
    /* One that is older than the complete CRL has nothing to add. */
    base_store(7, false);
    rule("ok");
}

static void
a_delta_takes_a_certificate_off_hold(void **state)
{
    (void)state;

    base_store(5, true);
    rule("revoked");
    delta_store("delta.crl", 5, 6, RAW_REASON("\x08"));
    rule("ok");
    delta_store("delta.crl", 5, 6, RAW_REASON("\x06"));
    rule("revoked");
    /* A delta that was forged takes nobody off. */
    delta_store("delta.crl", 5, 6, RAW_REASON("\x08"));
    struct buf der = BUF_INIT(RAW_LIMIT);
    raw_format(&(struct raw_crl){ .by = &ca,
                                  .key = testca_key(TESTCA_P256, 3),
                                  .extensions = &extensions,
                                  .entries = &entries,
                                  .this_update = time(NULL) - 60 },
               &der);
    testca_file(folder, "crls/delta.crl", 0644, der.p, der.n);
    struct pki_path_result result;
    check(leaf.x509, (struct pki_path_args){ .at = 0 }, &result);
    assert_int_not_equal(result.answer.status, PKI_STATUS_OK);
    pki_path_result_free(&result);
    buf_free(&der);
}

static void
a_complete_crl_that_takes_somebody_off_lists_him(void **state)
{
    (void)state;

    raw_entry(&entries, serial_of(leaf.x509), RAW_REASON("\x08"));
    raw_store("ca.crl", (struct raw_crl){ .entries = &entries });
    rule("revoked");
}

/* To the library a delta whose indicator it cannot read is complete: everybody would be good. */
static void
a_delta_that_cannot_be_read_is_not_complete(void **state)
{
    (void)state;

    raw_extension(&extensions, OID_NUMBER, false, RAW("\x02\x01\x06"));
    raw_extension(&extensions, OID_DELTA, true, RAW("\x05\x00"));
    raw_store("ca.crl", (struct raw_crl){ .extensions = &extensions });
    struct pki_path_result result;
    check(leaf.x509, (struct pki_path_args){ .at = 0 }, &result);
    assert_int_equal(result.answer.status, PKI_STATUS_TEMP);
    pki_path_result_free(&result);
    buf_reset(&extensions);
    raw_extension(&extensions, OID_DELTA, true, RAW("\x02\x01\x05"));
    raw_store("ca.crl", (struct raw_crl){ .extensions = &extensions });
    check(leaf.x509, (struct pki_path_args){ .at = 0 }, &result);
    assert_int_equal(result.answer.status, PKI_STATUS_TEMP);
    pki_path_result_free(&result);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rules_setup, teardown)
    static const struct CMUnitTest tests[] = {
        TEST(a_crl_of_version_1_is_good_without_extensions_only),
        TEST(a_version_that_is_not_known_is_not_relied_on),
        TEST(an_empty_list_is_forbidden_and_harmless),
        TEST(a_scope_that_contradicts_itself_covers_nobody),
        TEST(a_scope_that_cannot_be_read_is_not_no_scope),
        TEST(the_name_of_the_distribution_point_has_to_match),
        TEST(an_extension_that_is_critical_and_unknown_makes_the_crl_useless),
        TEST(a_malformed_number_or_key_identifier_makes_the_crl_useless),
        TEST(an_entry_that_cannot_be_understood_makes_the_crl_useless),
        TEST(the_algorithm_inside_has_to_be_the_one_outside),
        TEST(a_delta_without_its_base_says_nothing),
        TEST(a_delta_of_a_base_that_is_newer_than_ours_is_not_applied),
        TEST(a_delta_takes_a_certificate_off_hold),
        TEST(a_complete_crl_that_takes_somebody_off_lists_him),
        TEST(a_delta_that_cannot_be_read_is_not_complete),
    };
    return cmocka_run_group_tests(tests, NULL, group_teardown);
}
