/* Requests, and their form as a URL. */
#include "pki/ocsp_request.h"
#include "tests/unit/pki/ocsp_fixture.h"

static void
request_get(struct span nonce, struct buf *out)
{
    struct pki_certificate *subject = testca_certificate(leaf.x509);
    struct pki_certificate *issuer = testca_certificate(ca.x509);
    struct err err = ERR_INIT;

    if (pki_ocsp_request_format(subject, issuer, nonce, out, &err) != ERR_OK)
        fail_msg("%s", err.text);
    pki_certificate_free(&subject);
    pki_certificate_free(&issuer);
}

static void
a_request_names_the_certificate_by_sha1_and_nothing_else(void **state)
{
    (void)state;
    struct buf der = BUF_INIT(1000);
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), leaf.x509, ca.x509);
    const unsigned char *p;
    OCSP_REQUEST *request;

    request_get(span_of(NULL, 0), &der);
    p = der.p;
    request = d2i_OCSP_REQUEST(NULL, &p, (long)der.n);
    assert_non_null(request);
    assert_ptr_equal(p, der.p + der.n);
    assert_int_equal(OCSP_request_onereq_count(request), 1);
    assert_int_equal(OCSP_id_cmp(id, OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, 0))), 0);
    assert_int_equal(OCSP_REQUEST_get_ext_count(request), 0);
    assert_false(OCSP_request_is_signed(request));
    OCSP_REQUEST_free(request);
    OCSP_CERTID_free(id);
    buf_free(&der);
}

static void
a_nonce_is_sent_as_it_was_given_and_bounded(void **state)
{
    (void)state;
    static const unsigned char nonce[PKI_OCSP_NONCE_MAX + 1] = { 7, 8, 9 };
    struct buf der = BUF_INIT(1000);
    struct pki_certificate *subject = testca_certificate(leaf.x509);
    const unsigned char *p;
    OCSP_REQUEST *request;
    const ASN1_OCTET_STRING *value;

    request_get(span_of(nonce, 32), &der);
    p = der.p;
    request = d2i_OCSP_REQUEST(NULL, &p, (long)der.n);
    assert_int_equal(OCSP_REQUEST_get_ext_count(request), 1);
    value = X509_EXTENSION_get_data(OCSP_REQUEST_get_ext(request, 0));
    assert_int_equal(ASN1_STRING_length(value), 34);
    assert_memory_equal(ASN1_STRING_get0_data(value) + 2, nonce, 32);
    OCSP_REQUEST_free(request);
    for (size_t n = 1; n <= sizeof nonce; n += n == 1 ? PKI_OCSP_NONCE_MIN - 2 : 1) {
        struct err err = ERR_INIT;
        bool fits = n >= PKI_OCSP_NONCE_MIN && n <= PKI_OCSP_NONCE_MAX;
        buf_reset(&der);
        assert_int_equal(pki_ocsp_request_format(subject, subject, span_of(nonce, n), &der, &err),
                         fits ? ERR_OK : ERR_PERM);
    }
    pki_certificate_free(&subject);
    buf_free(&der);
}

static void
the_path_of_a_get_is_encoded_and_short(void **state)
{
    (void)state;
    static const unsigned char octets[] = { 0xfb, 0xef, 0xbe, 0xff, 0xff, 0xff, 0x01 };
    struct buf url = BUF_INIT(1000), der = BUF_INIT(1000);
    struct err err = ERR_INIT;
    char longest[300];

    assert_int_equal(
        pki_ocsp_request_url(span_of(octets, sizeof octets), "http://o.example/a", &url, &err),
        ERR_OK);
    assert_string_equal(buf_str(&url), "http://o.example/a/%2B%2B%2B%2B%2F%2F%2F%2FAQ%3D%3D");
    buf_reset(&url);
    assert_int_equal(pki_ocsp_request_url(span_of("abc", 3), "http://o.example/", &url, &err),
                     ERR_OK);
    assert_string_equal(buf_str(&url), "http://o.example/YWJj");
    request_get(span_of(NULL, 0), &der);
    buf_reset(&url);
    assert_int_equal(pki_ocsp_request_url(buf_span(&der), "http://ocsp.example.org", &url, &err),
                     ERR_OK);
    assert_true(url.n <= PKI_OCSP_GET_MAX);
    /* 255 octets with the path are the most: "/" and "YWJj" take five. */
    memset(longest, 'a', sizeof longest);
    longest[250] = '\0';
    buf_reset(&url);
    assert_int_equal(pki_ocsp_request_url(span_of("abc", 3), longest, &url, &err), ERR_OK);
    assert_int_equal(url.n, PKI_OCSP_GET_MAX);
    longest[250] = 'a';
    longest[251] = '\0';
    buf_reset(&url);
    assert_int_equal(pki_ocsp_request_url(span_of("abc", 3), longest, &url, &err), ERR_LIMIT);
    assert_int_equal(url.n, 0);
    err_reset(&err);
    assert_int_equal(pki_ocsp_request_url(span_of("abc", 3), "http://o/?q=1", &url, &err),
                     ERR_LIMIT);
    err_reset(&err);
    assert_int_equal(pki_ocsp_request_url(span_of(longest, 200), "http://o/", &url, &err),
                     ERR_LIMIT);
    buf_free(&url);
    buf_free(&der);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_names_the_certificate_by_sha1_and_nothing_else),
        cmocka_unit_test(a_nonce_is_sent_as_it_was_given_and_bounded),
        cmocka_unit_test(the_path_of_a_get_is_encoded_and_short),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
