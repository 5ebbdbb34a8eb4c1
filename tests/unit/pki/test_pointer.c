#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pki/crypto.h"
#include "pki/pointer.h"
#include "tests/unit/testca.h"

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

/* A certificate whose extensions are the given ones: name and value alternate, then NULL. */
static struct pki_certificate *
issue(const char *const *extensions)
{
    struct testca_args args = { .cn = "Alice", .key_type = TESTCA_P256 };
    struct testca_leaf leaf;
    struct pki_certificate *certificate;

    for (size_t i = 0; extensions[2 * i]; i++) {
        args.extra[i].name = extensions[2 * i];
        args.extra[i].value = extensions[2 * i + 1];
    }
    testca_issue(&ca, &args, &leaf);
    certificate = testca_certificate(leaf.x509);
    testca_leaf_free(&leaf);
    assert_int_equal(ERR_peek_error(), 0);
    return certificate;
}

static void
expect_urls(const struct pki_pointer_urls *urls, const char *const *expected)
{
    size_t count = 0;

    for (; expected[count]; count++) {
        assert_true(count < urls->count);
        assert_true(span_equal(urls->list[count], span_str(expected[count])));
    }
    assert_int_equal(urls->count, count);
}
#define EXPECT_URLS(urls, ...) expect_urls(urls, (const char *const[]){ __VA_ARGS__, NULL })

/* The extension `oid` with these octets as its value, and what is read out of it. */
static const struct pki_pointers *
read_octets(const char *oid, const void *octets, size_t n, struct pki_certificate **certificate)
{
    char value[4096] = "DER:";

    pki_certificate_free(certificate);
    assert_true(2 * n + 5 < sizeof value);
    for (size_t i = 0; i < n; i++)
        snprintf(value + 4 + 2 * i, 3, "%02x", ((const unsigned char *)octets)[i]);
    *certificate = issue((const char *const[]){ oid, value, NULL });
    return pki_certificate_get0_pointers(*certificate);
}

#define POINTS_OID "2.5.29.31"
#define ACCESS_OID "1.3.6.1.5.5.7.1.1"

static void
a_certificate_without_pointers_names_nothing(void **state)
{
    (void)state;
    struct pki_certificate *certificate = issue((const char *const[]){ NULL });
    const struct pki_pointers *pointers = pki_certificate_get0_pointers(certificate);

    assert_non_null(pointers);
    assert_int_equal(pointers->point_count, 0);
    assert_int_equal(pointers->issuers.count, 0);
    assert_int_equal(pointers->ocsp.count, 0);
    assert_int_equal(pointers->freshest.count, 0);
    assert_false(pointers->nocheck);
    pki_certificate_free(&certificate);
}

static void
each_kind_of_pointer_is_read(void **state)
{
    (void)state;
    struct pki_certificate *certificate = issue((const char *const[]){
        "crlDistributionPoints", "URI:http://a.example/1.crl,URI:ldap:///cn=ca?crl", "freshestCRL",
        "URI:http://a.example/delta.crl", "authorityInfoAccess",
        "OCSP;URI:http://o.example/,caIssuers;URI:http://a.example/ca.cer,OCSP;URI:HTTPS://o2/",
        "noCheck", "ignored", NULL });
    const struct pki_pointers *pointers = pki_certificate_get0_pointers(certificate);

    assert_int_equal(pointers->point_count, 2);
    EXPECT_URLS(&pointers->points[0].urls, "http://a.example/1.crl");
    EXPECT_URLS(&pointers->points[1].urls, "ldap:///cn=ca?crl");
    assert_int_equal(pointers->points[0].reasons, 0);
    assert_false(pointers->points[0].indirect);
    EXPECT_URLS(&pointers->freshest, "http://a.example/delta.crl");
    EXPECT_URLS(&pointers->issuers, "http://a.example/ca.cer");
    EXPECT_URLS(&pointers->ocsp, "http://o.example/", "HTTPS://o2/");
    assert_true(pointers->nocheck);
    pki_certificate_free(&certificate);
}

static void
other_schemes_and_kinds_of_names_are_left_out(void **state)
{
    (void)state;
    struct pki_certificate *certificate = issue((const char *const[]){
        "crlDistributionPoints",
        "URI:file:///etc/passwd,URI:ftp://a/1.crl,email:a@example.org,DNS:a.example",
        "authorityInfoAccess",
        "caIssuers;URI:gopher://a/,caIssuers;email:a@example.org,1.2.3;URI:http://a.example/",
        NULL });
    const struct pki_pointers *pointers = pki_certificate_get0_pointers(certificate);

    assert_int_equal(pointers->point_count, 4);
    for (size_t i = 0; i < pointers->point_count; i++)
        assert_int_equal(pointers->points[i].urls.count, 0);
    assert_int_equal(pointers->issuers.count, 0);
    assert_int_equal(pointers->ocsp.count, 0);
    pki_certificate_free(&certificate);
}

static void
alternatives_reasons_and_indirect_issuers_are_told_apart(void **state)
{
    (void)state;
    /* Two points: one with two alternatives, keyCompromise and aACompromise, and a cRLIssuer; one
     * whose reasons are none at all. */
    static const unsigned char octets[] = {
        0x30, 0x3a, 0x30, 0x2a, 0xa0, 0x1c, 0xa0, 0x1a, 0x86, 0x0b, 'h',  't',  't',  'p', ':',
        '/',  '/',  'a',  '/',  '1',  '1',  0x86, 0x0b, 'h',  't',  't',  'p',  ':',  '/', '/',
        'a',  '/',  '2',  '2',  0x81, 0x03, 0x07, 0x40, 0x80, 0xa2, 0x05, 0x82, 0x03, 'a', 'b',
        'c',  0x30, 0x0c, 0x81, 0x01, 0x00, 0xa0, 0x07, 0xa0, 0x05, 0x86, 0x03, 'a',  'b', 'c',
    };
    struct pki_certificate *certificate = NULL;
    const struct pki_pointers *pointers =
        read_octets(POINTS_OID, octets, sizeof octets, &certificate);

    assert_int_equal(pointers->point_count, 1);
    EXPECT_URLS(&pointers->points[0].urls, "http://a/11", "http://a/22");
    assert_int_equal(pointers->points[0].reasons, 1U << 1 | 1U << 8);
    assert_true(pointers->points[0].indirect);
    pki_certificate_free(&certificate);
}

static void
what_is_beyond_the_bounds_is_left_out(void **state)
{
    (void)state;
    char many[4096] = "", one[80], huge[PKI_POINTER_URL_BYTES + 200];
    struct pki_certificate *certificate;
    const struct pki_pointers *pointers;

    for (int i = 0; i < 40; i++) {
        snprintf(one, sizeof one, "%sURI:http://a.example/%d.crl", i ? "," : "", i);
        strcat(many, one);
    }
    certificate =
        issue((const char *const[]){ "crlDistributionPoints", many, "freshestCRL", many, NULL });
    pointers = pki_certificate_get0_pointers(certificate);
    assert_int_equal(pointers->point_count, PKI_POINTER_POINTS);
    assert_int_equal(pointers->freshest.count, PKI_POINTER_URLS);
    pki_certificate_free(&certificate);

    memset(huge, 'x', sizeof huge);
    memcpy(huge, "URI:http://", 11);
    huge[sizeof huge - 1] = '\0';
    certificate = issue((const char *const[]){ "crlDistributionPoints", huge, NULL });
    assert_int_equal(pki_certificate_get0_pointers(certificate)->points[0].urls.count, 0);
    pki_certificate_free(&certificate);
}

static void
the_same_url_twice_is_one(void **state)
{
    (void)state;
    struct pki_certificate *certificate = issue((const char *const[]){
        "authorityInfoAccess", "OCSP;URI:http://o/,OCSP;URI:http://o/,OCSP;URI:http://p/", NULL });

    EXPECT_URLS(&pki_certificate_get0_pointers(certificate)->ocsp, "http://o/", "http://p/");
    pki_certificate_free(&certificate);
}

static void
malformed_extensions_name_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *oid;
        unsigned char octets[24];
        size_t n;
    } cases[] = {
        { POINTS_OID, { 0 }, 1 },
        { POINTS_OID, { 0x30 }, 1 },
        { POINTS_OID, { 0x30, 0x00 }, 2 },
        { POINTS_OID, { 0x30, 0x05, 0x30, 0x00 }, 4 },             /* cut off */
        { POINTS_OID, { 0x30, 0x80, 0x30, 0x00, 0x00, 0x00 }, 6 }, /* indefinite */
        { POINTS_OID, { 0x30, 0x84, 0xff, 0xff, 0xff, 0xff }, 6 }, /* length of 4 GiB */
        { POINTS_OID, { 0x30, 0x00, 0x05, 0x00 }, 4 },             /* something follows */
        { POINTS_OID, { 0x31, 0x00 }, 2 },                         /* a set */
        { POINTS_OID, { 0x30, 0x04, 0x30, 0x02, 0x81, 0x00 }, 6 }, /* reasons of 0 octets */
        { ACCESS_OID, { 0x30, 0x02, 0x30, 0x00 }, 4 },             /* no method */
        { ACCESS_OID, { 0x30, 0x04, 0x30, 0x02, 0x06, 0x00 }, 6 }, /* no location */
        { ACCESS_OID, { 0x30, 0x04, 0x30, 0x02, 0x86, 0x00 }, 6 }, /* no method, again */
        { ACCESS_OID, { 0x30, 0x02, 0x1f, 0x00 }, 4 },             /* a high tag number */
    };
    struct pki_certificate *certificate = NULL;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct pki_pointers *pointers =
            read_octets(cases[i].oid, cases[i].octets, cases[i].n, &certificate);
        assert_int_equal(pointers->point_count, 0);
        assert_int_equal(pointers->ocsp.count, 0);
        assert_int_equal(pointers->issuers.count, 0);
    }
    pki_certificate_free(&certificate);
}

static void
an_extension_that_is_there_twice_names_nothing(void **state)
{
    (void)state;
    struct pki_certificate *certificate =
        issue((const char *const[]){ "authorityInfoAccess", "OCSP;URI:http://o/",
                                     "authorityInfoAccess", "OCSP;URI:http://p/", NULL });

    assert_int_equal(pki_certificate_get0_pointers(certificate)->ocsp.count, 0);
    pki_certificate_free(&certificate);
}

static void
octets_of_a_url_are_kept_as_they_are(void **state)
{
    (void)state;
    static const unsigned char octets[] = { 0x30, 0x1a, 0x30, 0x18, 0x06, 0x08, 0x2b, 6,   1,   5,
                                            5,    7,    0x30, 1,    0x86, 0x0c, 'h',  't', 't', 'p',
                                            ':',  '/',  '/',  0,    '\n', 0xff, ' ',  '"' };
    struct pki_certificate *certificate = NULL;
    const struct pki_pointers *pointers =
        read_octets(ACCESS_OID, octets, sizeof octets, &certificate);

    assert_int_equal(pointers->ocsp.count, 1);
    assert_int_equal(pointers->ocsp.list[0].n, 12);
    assert_memory_equal(pointers->ocsp.list[0].p, octets + 16, 12);
    pki_certificate_free(&certificate);
}

static void
a_crl_points_to_its_deltas(void **state)
{
    (void)state;
    X509_CRL *crl = testca_crl(&ca, NULL);
    struct pki_pointers *pointers = NULL;
    struct err err = ERR_INIT;
    X509_EXTENSION *extension =
        X509V3_EXT_nconf(NULL, NULL, "freshestCRL", "URI:http://a.example/delta.crl");

    assert_int_equal(pki_pointers_parse_crl(crl, &pointers, &err), ERR_OK);
    assert_int_equal(pointers->freshest.count, 0);
    pki_pointers_free(&pointers);
    assert_null(pointers);
    assert_true(extension && X509_CRL_add_ext(crl, extension, -1));
    assert_int_equal(pki_pointers_parse_crl(crl, &pointers, &err), ERR_OK);
    X509_EXTENSION_free(extension);
    X509_CRL_free(crl);
    EXPECT_URLS(&pointers->freshest, "http://a.example/delta.crl");
    pki_pointers_free(&pointers);
}

static void
an_x509_knows_whose_it_is(void **state)
{
    (void)state;
    struct pki_certificate *certificate = issue((const char *const[]){ NULL });
    X509 *x509 = pki_certificate_get0_x509(certificate);
    X509 *copy = X509_dup(x509);

    assert_ptr_equal(pki_certificate_of(x509), certificate);
    assert_null(pki_certificate_of(copy));
    assert_null(pki_certificate_of(ca.x509));
    X509_free(copy);
    /* Who kept the X509 alone does not find what is gone. */
    assert_true(X509_up_ref(x509));
    pki_certificate_free(&certificate);
    assert_null(pki_certificate_of(x509));
    X509_free(x509);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_without_pointers_names_nothing),
        cmocka_unit_test(each_kind_of_pointer_is_read),
        cmocka_unit_test(other_schemes_and_kinds_of_names_are_left_out),
        cmocka_unit_test(alternatives_reasons_and_indirect_issuers_are_told_apart),
        cmocka_unit_test(what_is_beyond_the_bounds_is_left_out),
        cmocka_unit_test(the_same_url_twice_is_one),
        cmocka_unit_test(malformed_extensions_name_nothing),
        cmocka_unit_test(an_extension_that_is_there_twice_names_nothing),
        cmocka_unit_test(octets_of_a_url_are_kept_as_they_are),
        cmocka_unit_test(a_crl_points_to_its_deltas),
        cmocka_unit_test(an_x509_knows_whose_it_is),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
