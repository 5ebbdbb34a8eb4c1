/*
 * Rules about CRLs, seen from the path: what the library does not check or gets wrong, and what it
 * does right with CRLs whose entries it does not see.               RFC 5280 5.1, 5.2, 5.3, 6.3.3
 */
#include "tests/unit/pki/path_fixture.h"

#include "tests/unit/pki/crl_fixture.h"

#define OID_IDP RAW("\x55\x1d\x1c")
#define OID_NUMBER RAW("\x55\x1d\x14")
#define OID_DELTA RAW("\x55\x1d\x1b")
#define OID_FRESHEST RAW("\x55\x1d\x2e")
#define OID_NOBODYS RAW("\x69\x01")
#define NONE span_of(NULL, 0)

static struct buf extensions = BUF_INIT(65536), entries = BUF_INIT(65536);

static int
rules_setup(void **state)
{
    buf_reset(&extensions);
    buf_reset(&entries);
    setup(state);
    crl_store("root.crl", &root, NULL);
    return 0;
}

/* Writes a CRL of the leaf's issuer into the folder of CRLs. */
static void
raw_store(const char *name, struct raw_crl args)
{
    struct buf der = BUF_INIT(RAW_LIMIT);
    char path[64];

    if (!args.by)
        args.by = &ca;
    raw_format(&args, &der);
    snprintf(path, sizeof path, "crls/%s", name);
    testca_file(folder, path, 0644, der.p, der.n);
    buf_free(&der);
}

static void
rule(const char *reason)
{
    enum pki_status status = strcmp(reason, "ok") == 0        ? PKI_STATUS_OK
                             : strcmp(reason, "revoked") == 0 ? PKI_STATUS_INVALID
                                                              : PKI_STATUS_TEMP;

    expect(leaf.x509, (struct pki_path_args){ .at = 0 }, reason, status);
}

static struct span
serial_of(const X509 *x509)
{
    const ASN1_INTEGER *number = X509_get0_serialNumber(x509);

    return span_of(ASN1_STRING_get0_data(number), (size_t)ASN1_STRING_length(number));
}

/* An issuingDistributionPoint with this content. */
static void
idp_put(struct span content)
{
    struct buf value = BUF_INIT(4096);

    raw_put(&value, 0x30, content);
    raw_extension(&extensions, OID_IDP, true, buf_span(&value));
    buf_free(&value);
}

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

/* ---- keys --------------------------------------------------------------------------------------
 */

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

static int
group_teardown(void **state)
{
    (void)state;
    buf_free(&extensions);
    buf_free(&entries);
    return 0;
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
        TEST(a_roll_over_has_two_crls_of_one_name),
        TEST(a_roll_over_without_key_identifiers_is_told_by_the_signature),
        TEST(a_newer_crl_that_nobody_signed_hides_no_older_one),
        TEST(a_signer_who_speaks_of_himself_does_not_clear_himself),
        TEST(a_signer_does_not_speak_of_the_authority_above_him),
    };
    return cmocka_run_group_tests(tests, NULL, group_teardown);
}
