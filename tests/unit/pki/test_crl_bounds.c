/* CRLs of hostile octets and of a million entries: time and memory have bounds. */
#include "tests/unit/pki/crl_look_up.h"

#include <malloc.h>

#include "util/wipe.h"

static void
no_piece_of_a_crl_is_a_crl_and_no_change_does_harm(void **state)
{
    (void)state;
    struct buf list = BUF_INIT(4096), der = BUF_INIT(RAW_LIMIT), extension = BUF_INIT(4096);
    struct err err = ERR_INIT;
    X509_CRL *crl = NULL;

    raw_issuer_extension(&extension, X509_get_subject_name(other.x509));
    raw_entry(&list, RAW("\x05"), buf_span(&extension));
    raw_entry(&list, RAW("\x00\xff"), RAW_REASON("\x01"));
    raw_format(&(struct raw_crl){ .by = &ca, .entries = &list }, &der);
    for (size_t n = 0; n < der.n; n++) {
        err_reset(&err);
        assert_int_not_equal(pki_crl_parse(span_of(der.p, n), &crl, &err), ERR_OK);
        assert_null(crl);
        assert_true(err.text[0] != '\0');
    }
    for (size_t i = 0; i < der.n; i++) {
        static const unsigned char with[] = { 0x00, 0x01, 0x30, 0x7f, 0x80, 0x82, 0xff };
        unsigned char was = der.p[i];
        for (size_t j = 0; j < sizeof with; j++) {
            der.p[i] = with[j];
            if (with[j] != was && pki_crl_parse(buf_span(&der), &crl, &err) == ERR_OK) {
                (void)look(crl, RAW("\x05"), X509_get_subject_name(other.x509));
                (void)look(crl, RAW("\x00\xff"), NULL);
                X509_CRL_free(crl);
            }
            assert_int_equal(ERR_peek_error(), 0);
        }
        der.p[i] = was;
    }
    buf_free(&list);
    buf_free(&der);
    buf_free(&extension);
}

static void
what_stands_beside_the_entries_has_a_bound(void **state)
{
    (void)state;
    struct buf extensions = BUF_INIT(RAW_LIMIT), der = BUF_INIT(RAW_LIMIT);
    size_t n = 300 * 1024;
    unsigned char *value = calloc(1, n);
    struct err err = ERR_INIT;
    X509_CRL *crl = NULL;

    raw_extension(&extensions, RAW("\x69\x01"), false, span_of(value, n));
    raw_format(&(struct raw_crl){ .by = &ca, .extensions = &extensions }, &der);
    assert_int_equal(pki_crl_parse(buf_span(&der), &crl, &err), ERR_LIMIT);
    free(value);
    buf_free(&extensions);
    buf_free(&der);
}

static void
a_million_repetitions_make_no_look_up_slow(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct buf list = BUF_INIT(RAW_LIMIT), one = BUF_INIT(64);
    struct err err = ERR_INIT;

    assert_int_equal(buf_reserve(&list, COUNT * 32, &err), ERR_OK);
    raw_entry(&one, RAW("\x42"), span_of(NULL, 0));
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(buf_append(&list, buf_span(&one), &err), ERR_OK);
    X509_CRL *crl = raw_parse(&(struct raw_crl){ .by = &ca, .entries = &list });
    size_t der = pki_crl_der(crl).n;
    assert_int_equal(pki_crl_entries(crl), COUNT);
    assert_true(pki_crl_bytes(crl) < der + 65536); /* one is left in the index */
    for (int i = 0; i < 100000; i++) {
        if (i == 0)
            assert_int_equal(look(crl, RAW("\x42"), X509_get_subject_name(ca.x509)), 1);
        struct pki_crl_entry entry;
        assert_int_equal(pki_crl_find(crl, other.x509, &entry, NULL), ERR_NOTFOUND);
    }
    X509_CRL_free(crl);
    buf_free(&list);
    buf_free(&one);
}

/* ---- memory
 * -------------------------------------------------------------------------------------- */

static void
a_million_entries_take_no_more_than_one_and_a_half_times_their_octets(void **state)
{
    (void)state;
    enum { COUNT = 1000000 };
    struct buf list = BUF_INIT(RAW_LIMIT), der = BUF_INIT(RAW_LIMIT), exact;
    unsigned char serial[16];
    struct err err = ERR_INIT;
    struct timespec from, to;
    X509_CRL *crl = NULL;

    for (uint32_t i = 0; i < COUNT; i++)
        raw_usual_entry(&list, i);
    raw_format(&(struct raw_crl){ .by = &ca, .entries = &list }, &der);
    buf_free(&list);
    malloc_trim(0);
    size_t before = raw_resident() - der.n, n = der.n;
    buf_init(&exact, RAW_LIMIT);
    assert_int_equal(buf_reserve(&exact, n, &err), ERR_OK);
    assert_int_equal(buf_append(&exact, buf_span(&der), &err), ERR_OK);
    buf_free(&der);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    assert_int_equal(pki_crl_parse_take(&exact, &crl, &err), ERR_OK);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    double parse_ms =
        (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
    assert_null(exact.p);
    malloc_trim(0);
    size_t after = raw_resident();
    size_t held = after - before;
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (uint32_t i = 0; i < COUNT; i += 10) {
        X509_REVOKED *revoked;
        raw_usual_serial(i + (i / 10 % 2 ? COUNT : 0), serial);
        assert_true(ASN1_STRING_set(number, serial, sizeof serial));
        assert_int_equal(X509_CRL_get0_by_serial(crl, &revoked, number), i / 10 % 2 ? 0 : 1);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    double look_us =
        ((double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3) /
        (COUNT / 10);
    print_message(
        "%zu octets, %zu resident (%.3f), told %zu; parsed in %.0f ms, looked up in %.2f us\n", n,
        held, (double)held / (double)n, pki_crl_bytes(crl), parse_ms, look_us);
    assert_true(pki_crl_bytes(crl) < n + n / 2);
    if (!WIPE_IS_OFF) /* else a sanitizer's memory is counted */
        assert_true(held < n + n / 2);
    assert_true(pki_crl_is_signed_by(crl, ca.x509));
    ASN1_INTEGER_free(number);
    X509_CRL_free(crl);
}

static void
a_buffer_is_taken_without_a_copy(void **state)
{
    (void)state;
    struct buf der = BUF_INIT(RAW_LIMIT), exact = BUF_INIT(RAW_LIMIT);
    struct err err = ERR_INIT;
    X509_CRL *crl = NULL;

    raw_format(&(struct raw_crl){ .by = &ca }, &der);
    assert_int_equal(buf_reserve(&exact, der.n, &err), ERR_OK);
    assert_int_equal(buf_append(&exact, buf_span(&der), &err), ERR_OK);
    const unsigned char *block = exact.p;
    assert_int_equal(pki_crl_parse_take(&exact, &crl, &err), ERR_OK);
#if !WIPE_IS_OFF /* a sanitizer moves what is cut */
    assert_ptr_equal(pki_crl_der(crl).p, block);
#endif
    assert_non_null(block);
    assert_true(span_equal(pki_crl_der(crl), buf_span(&der)));
    assert_null(exact.p);
    X509_CRL_free(crl);
    /* One that is refused stays where it was. */
    der.p[0] = 0x31;
    size_t n = der.n;
    assert_int_equal(pki_crl_parse_take(&der, &crl, &err), ERR_PERM);
    assert_int_equal(der.n, n);
    buf_free(&der);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_piece_of_a_crl_is_a_crl_and_no_change_does_harm),
        cmocka_unit_test(what_stands_beside_the_entries_has_a_bound),
        cmocka_unit_test(a_million_repetitions_make_no_look_up_slow),
        cmocka_unit_test(a_million_entries_take_no_more_than_one_and_a_half_times_their_octets),
        cmocka_unit_test(a_buffer_is_taken_without_a_copy),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
