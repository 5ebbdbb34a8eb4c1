/* Who may sign a response. */
#include "tests/unit/pki/ocsp_fixture.h"

static const struct pki_ocsp_args usual = { .at = 0, .skew_s = PKI_OCSP_SKEW_S };

/* A response by a delegate that `issuer` made with `args`. */
static void
delegate_expect(struct testca *issuer, struct testca_args args, const char *reason,
                struct pki_ocsp_result *out)
{
    struct testca_leaf delegate;
    struct said said = { .entries = { ENTRY(.status = V_OCSP_CERTSTATUS_GOOD) } };

    args.cn = args.cn ? args.cn : "Responder";
    args.key_type = args.key_type ? args.key_type : TESTCA_P384;
    testca_issue(issuer, &args, &delegate);
    said.signer = delegate.x509;
    said.key = delegate.key;
    expect(&said, usual, reason, out);
    said.by_name = true;
    expect(&said, usual, reason, NULL);
    testca_leaf_free(&delegate);
}

static void
the_issuer_may_sign_by_name_and_by_key(void **state)
{
    (void)state;
    struct said said = { .entries = { ENTRY(.status = V_OCSP_CERTSTATUS_GOOD) } };

    expect(&said, usual, "ok", NULL);
    said.by_name = true;
    expect(&said, usual, "ok", NULL);
    said.without_certs = true;
    expect(&said, usual, "ok", NULL);
}

static void
a_delegate_of_the_issuer_may_sign(void **state)
{
    (void)state;
    struct pki_ocsp_result result;

    delegate_expect(&ca, (struct testca_args){ .ext_key_usage = "OCSPSigning" }, "ok", &result);
    assert_non_null(result.responder);
    assert_true(result.responder_needs_crl);
    pki_ocsp_result_free(&result);
    assert_null(result.responder);
    delegate_expect(&ca,
                    (struct testca_args){ .ext_key_usage = "OCSPSigning",
                                          .key_usage = "critical,digitalSignature",
                                          .extra = { { "noCheck", "ignored" } } },
                    "ok", &result);
    assert_false(result.responder_needs_crl);
    pki_ocsp_result_free(&result);
    delegate_expect(&ca,
                    (struct testca_args){ .ext_key_usage = "OCSPSigning",
                                          .extra = { { "noCheck", "critical,ignored" } } },
                    "ok", NULL);
    delegate_expect(
        &ca, (struct testca_args){ .ext_key_usage = "OCSPSigning", .key_type = TESTCA_ED25519 },
        "ok", NULL);
}

static void
what_was_not_appointed_for_it_may_not_sign(void **state)
{
    (void)state;
    static const struct testca_args wrong[] = {
        { .cn = "No purpose" },
        { .ext_key_usage = "anyExtendedKeyUsage" },
        { .ext_key_usage = "emailProtection" },
        { .ext_key_usage = "OCSPSigning", .key_usage = "critical,keyEncipherment" },
        { .ext_key_usage = "OCSPSigning", .not_after = 1700000000, .not_before = 1600000000 },
        { .ext_key_usage = "OCSPSigning", .not_before = 4000000000, .not_after = 4100000000 },
        { .ext_key_usage = "OCSPSigning",
          .extra = { { "1.3.6.1.4.1.99999.7", "critical,DER:0500" } } },
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        delegate_expect(&ca, wrong[i], "ocsp-signer", NULL);
}

static void
a_delegate_of_somebody_else_may_not_sign(void **state)
{
    (void)state;
    const struct testca_args args = { .ext_key_usage = "OCSPSigning" };
    struct testca namesake, below;

    testca_init_below(&namesake, &root, "OCSP CA", NULL);
    testca_init_below(&below, &ca, "Below", NULL);
    delegate_expect(&namesake, args, "ocsp-signer", NULL); /* the same name, another key */
    delegate_expect(&root, args, "ocsp-signer", NULL);     /* from above */
    delegate_expect(&below, args, "ocsp-signer", NULL);    /* not directly */
    delegate_expect(NULL, args, "ocsp-signer", NULL);      /* self-signed */
    testca_free(&namesake);
    testca_free(&below);
}

static void
a_signer_that_calls_itself_the_issuer_is_refused(void **state)
{
    (void)state;
    struct testca namesake;
    struct said said = { .entries = { ENTRY(.status = V_OCSP_CERTSTATUS_GOOD) }, .by_name = true };

    testca_init_below(&namesake, &root, "OCSP CA", NULL);
    said.signer = namesake.x509;
    said.key = namesake.key;
    expect(&said, usual, "ocsp-signer", NULL);
    said.without_certs = true;
    expect(&said, usual, "ocsp-invalid", NULL);
    said.by_name = false;
    expect(&said, usual, "ocsp-signer", NULL);
    testca_free(&namesake);
}

static void
a_delegate_is_also_found_outside_of_the_response(void **state)
{
    (void)state;
    struct testca_leaf delegate;
    struct pki_certificates untrusted = { .list = NULL };
    struct said said = { .entries = { ENTRY(.status = V_OCSP_CERTSTATUS_GOOD) },
                         .without_certs = true };
    struct pki_ocsp_args args = usual;
    struct pki_certificate *shared;
    struct err err = ERR_INIT;

    testca_issue(&ca,
                 &(struct testca_args){
                     .cn = "Out", .ext_key_usage = "OCSPSigning", .key_type = TESTCA_P384 },
                 &delegate);
    said.signer = delegate.x509;
    said.key = delegate.key;
    expect(&said, args, "ocsp-signer", NULL);
    shared = testca_certificate(delegate.x509);
    assert_int_equal(pki_certificates_add1(&untrusted, shared, &err), ERR_OK);
    pki_certificate_free(&shared);
    args.untrusted = &untrusted;
    expect(&said, args, "ok", NULL);
    pki_certificates_free(&untrusted);
    testca_leaf_free(&delegate);
}

/* Each candidate costs public-key operations; a response may not buy any number of them. */
static void
the_search_for_the_signer_is_bounded(void **state)
{
    (void)state;
    struct testca_leaf good, decoy;
    struct said said = { .entries = { ENTRY(.status = 0) }, .by_name = true };
    const struct testca_args args = { .cn = "Same Name",
                                      .ext_key_usage = "OCSPSigning",
                                      .key_type = TESTCA_P384 };
    struct testca_args other = args;

    other.key_index = 1;
    testca_issue(&ca, &args, &good);
    testca_issue(&ca, &other, &decoy);
    said.signer = good.x509;
    said.key = good.key;
    said.without_certs = true;
    said.certs = sk_X509_new_null();
    for (int after = 1; after >= 0; after--) {
        size_t n;
        unsigned char *der;
        struct pki_ocsp_result result;
        const unsigned char *p;
        OCSP_RESPONSE *response;
        OCSP_BASICRESP *basic;
        unsigned char *again = NULL;
        int again_n;
        der = respond(&said, &n);
        p = der;
        response = d2i_OCSP_RESPONSE(NULL, &p, (long)n);
        basic = OCSP_response_get1_basic(response);
        for (int i = 0; i < (after ? 3 : 20); i++)
            TESTCA_MUST(OCSP_basic_add1_cert(basic, decoy.x509));
        TESTCA_MUST(OCSP_basic_add1_cert(basic, good.x509));
        OCSP_RESPONSE_free(response);
        response = OCSP_response_create(0, basic);
        again_n = i2d_OCSP_RESPONSE(response, &again);
        judge(span_of(again, (size_t)again_n), usual, &result);
        assert_string_equal(result.answer.reason, after ? "ok" : "ocsp-invalid");
        pki_ocsp_result_free(&result);
        OPENSSL_free(again);
        OPENSSL_free(der);
        OCSP_RESPONSE_free(response);
        OCSP_BASICRESP_free(basic);
    }
    sk_X509_free(said.certs);
    testca_leaf_free(&good);
    testca_leaf_free(&decoy);
}

static void
weak_algorithms_of_responder_and_response_are_refused(void **state)
{
    (void)state;
    struct said said = { .entries = { ENTRY(.status = 0) }, .digest = "SHA1" };
    struct pki_ocsp_args args = usual;

    expect(&said, usual, "ocsp-weak-algorithm", NULL);
    args.allow_weak = true;
    expect(&said, args, "ok", NULL);
    said.digest = "SHA384";
    expect(&said, usual, "ok", NULL);
    delegate_expect(
        &ca, (struct testca_args){ .ext_key_usage = "OCSPSigning", .key_type = TESTCA_RSA1024 },
        "ocsp-weak-algorithm", NULL);
    delegate_expect(&ca, (struct testca_args){ .ext_key_usage = "OCSPSigning", .digest = "SHA1" },
                    "ocsp-weak-algorithm", NULL);
    delegate_expect(
        &ca, (struct testca_args){ .ext_key_usage = "OCSPSigning", .key_type = TESTCA_RSAPSS },
        "ok", NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_issuer_may_sign_by_name_and_by_key),
        cmocka_unit_test(a_delegate_of_the_issuer_may_sign),
        cmocka_unit_test(what_was_not_appointed_for_it_may_not_sign),
        cmocka_unit_test(a_delegate_of_somebody_else_may_not_sign),
        cmocka_unit_test(a_signer_that_calls_itself_the_issuer_is_refused),
        cmocka_unit_test(a_delegate_is_also_found_outside_of_the_response),
        cmocka_unit_test(the_search_for_the_signer_is_bounded),
        cmocka_unit_test(weak_algorithms_of_responder_and_response_are_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
