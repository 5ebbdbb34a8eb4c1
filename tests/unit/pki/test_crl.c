/*
 * CRLs of any size: what is found in them, against the library's own reader; signatures; memory.
 */
#include "tests/unit/pki/crl_look_up.h"

#include <pthread.h>

/* A serial number that looks like many: lengths 1 to 20, both signs, often alike. */
static size_t
serial_make(unsigned n, unsigned char out[20])
{
    static const unsigned char edges[][4] = { { 1, 0x00 },
                                              { 1, 0x7f },
                                              { 1, 0x80 },
                                              { 1, 0xff },
                                              { 2, 0x00, 0x80 },
                                              { 2, 0xff, 0x7f },
                                              { 2, 0x01, 0x00 },
                                              { 2, 0x80, 0x00 },
                                              { 3, 0xff, 0x00, 0x00 },
                                              { 3, 0x00, 0xff, 0xff } };
    size_t count = sizeof edges / sizeof *edges, length;
    uint64_t x = (n + 1) * 0x9e3779b97f4a7c15ULL;

    if (n < count) {
        memcpy(out, edges[n] + 1, 3);
        return edges[n][0];
    }
    length = 1 + n % 20;
    for (size_t i = 0; i < length; i++)
        out[i] = (unsigned char)(i < 8 ? x >> (8 * (7 - i)) : i * 37 + n);
    if (length > 1 && ((out[0] == 0 && out[1] < 0x80) || (out[0] == 0xff && out[1] >= 0x80)))
        out[0] = 0x55;
    return length;
}

static void
every_serial_number_is_found_and_no_other(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    struct buf list = BUF_INIT(RAW_LIMIT), der = BUF_INIT(RAW_LIMIT);
    unsigned char serial[20];
    struct err err = ERR_INIT;
    X509_CRL *crl = NULL;

    for (unsigned i = 0; i < COUNT; i++) {
        unsigned n = i * 7 % COUNT;
        size_t length = serial_make(n, serial);
        if (n % 2 == 0)
            raw_entry(&list, span_of(serial, length),
                      n % 3 ? RAW_REASON("\x01") : span_of(NULL, 0));
    }
    raw_format(&(struct raw_crl){ .by = &ca, .entries = &list }, &der);
    X509_CRL *library = raw_library(buf_span(&der)), *foreign = raw_foreign(buf_span(&der));
    assert_int_equal(pki_crl_parse(buf_span(&der), &crl, &err), ERR_OK);
    assert_int_equal(pki_crl_entries(crl), COUNT / 2);
    assert_null(pki_crl_fault(crl));
    for (unsigned n = 0; n < COUNT; n++) {
        struct span s = span_of(serial, serial_make(n, serial));
        int ours = look(crl, s, NULL);
        if (ours != look(library, s, NULL) || ours != look(foreign, s, NULL))
            fail_msg("serial number %u: %d, the library says otherwise", n, ours);
        if (n % 2 == 0)
            assert_int_equal(ours, 1);
        assert_int_equal(look(crl, s, X509_get_subject_name(other.x509)), 0);
    }
    assert_int_equal(ERR_peek_error(), 0);
    X509_CRL_free(library);
    X509_CRL_free(foreign);
    X509_CRL_free(crl);
    buf_free(&list);
    buf_free(&der);
}

static void
a_long_serial_number_is_looked_for_without_a_bound_of_its_own(void **state)
{
    (void)state;
    unsigned char longest[256];
    struct buf list = BUF_INIT(RAW_LIMIT), der = BUF_INIT(RAW_LIMIT);
    struct err err = ERR_INIT;
    X509_CRL *crl = NULL;

    memset(longest, 0x42, sizeof longest);
    raw_entry(&list, span_of(longest, 255), span_of(NULL, 0));
    crl = raw_parse(&(struct raw_crl){ .by = &ca, .entries = &list });
    assert_int_equal(look(crl, span_of(longest, 255), NULL), 1);
    assert_int_equal(look(crl, span_of(longest, 254), NULL), 0);
    assert_int_equal(look(crl, span_of(longest, 256), NULL), 0);
    X509_CRL_free(crl);
    raw_entry(&list, span_of(longest, 256), span_of(NULL, 0));
    raw_format(&(struct raw_crl){ .by = &ca, .entries = &list }, &der);
    assert_int_equal(pki_crl_parse(buf_span(&der), &crl, &err), ERR_LIMIT);
    assert_null(crl);
    buf_free(&list);
    buf_free(&der);
}

static void
an_empty_list_and_none_at_all_revoke_nobody(void **state)
{
    (void)state;
    struct buf empty = BUF_INIT(16);

    for (int i = 0; i < 2; i++) {
        X509_CRL *crl = raw_parse(&(struct raw_crl){ .by = &ca, .entries = i ? &empty : NULL });
        assert_int_equal(pki_crl_entries(crl), 0);
        assert_null(pki_crl_fault(crl));
        assert_int_equal(look(crl, RAW("\x00"), NULL), 0); /* that of the entries that stand in */
        assert_int_equal(look(crl, RAW("\x01"), NULL), 0);
        assert_true(pki_crl_is_signed_by(crl, ca.x509));
        X509_CRL_free(crl);
    }
}

static void
revoked_goes_before_removed_where_a_number_stands_twice(void **state)
{
    (void)state;
    static const char *const orders[] = { "rx", "xr", "xx", "rr", "xrx" };
    struct buf list = BUF_INIT(4096), extensions = BUF_INIT(4096);

    raw_extension(&extensions, RAW("\x55\x1d\x14"), false, RAW("\x02\x01\x07")); /* number */
    raw_extension(&extensions, RAW("\x55\x1d\x1b"), true, RAW("\x02\x01\x05"));  /* delta of 5 */
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        buf_reset(&list);
        for (const char *p = orders[i]; *p; p++)
            raw_entry(&list, RAW("\x42"), *p == 'x' ? RAW_REASON("\x08") : RAW_REASON("\x01"));
        X509_CRL *crl =
            raw_parse(&(struct raw_crl){ .by = &ca, .entries = &list, .extensions = &extensions });
        assert_true(pki_crl_is_delta(crl));
        assert_int_equal(look(crl, RAW("\x42"), NULL), strchr(orders[i], 'r') ? 1 : 2);
        assert_int_equal(pki_crl_entries(crl), strlen(orders[i]));
        X509_CRL_free(crl);
    }
    buf_free(&list);
    buf_free(&extensions);
}

static void
a_complete_crl_removes_nobody(void **state)
{
    (void)state;
    struct buf list = BUF_INIT(4096);

    raw_entry(&list, RAW("\x42"), RAW_REASON("\x08"));
    X509_CRL *crl = raw_parse(&(struct raw_crl){ .by = &ca, .entries = &list });
    assert_int_equal(look(crl, RAW("\x42"), NULL), 1);
    X509_CRL_free(crl);
    buf_free(&list);
}

static void
the_issuer_named_last_rules_in_an_indirect_crl(void **state)
{
    (void)state;
    struct buf list = BUF_INIT(RAW_LIMIT), extension = BUF_INIT(4096), der = BUF_INIT(RAW_LIMIT);
    X509_NAME *own = X509_get_subject_name(ca.x509), *his = X509_get_subject_name(other.x509);
    struct err err = ERR_INIT;
    X509_CRL *crl = NULL, *library, *foreign;

    raw_entry(&list, RAW("\x09"), span_of(NULL, 0)); /* the CRL's own */
    raw_issuer_extension(&extension, his);
    raw_entry(&list, RAW("\x05"), buf_span(&extension));
    raw_entry(&list, RAW("\x09"), span_of(NULL, 0)); /* still his */
    raw_entry(&list, RAW("\x03"), RAW_REASON("\x01"));
    buf_reset(&extension);
    raw_issuer_extension(&extension, own);
    raw_entry(&list, RAW("\x04"), buf_span(&extension));
    raw_entry(&list, RAW("\x01"), span_of(NULL, 0));
    raw_entry(&list, RAW("\x05"), span_of(NULL, 0));
    raw_format(&(struct raw_crl){ .by = &ca, .entries = &list }, &der);
    library = raw_library(buf_span(&der));
    foreign = raw_foreign(buf_span(&der));
    assert_int_equal(pki_crl_parse(buf_span(&der), &crl, &err), ERR_OK);
    assert_null(pki_crl_fault(crl));
    static const struct {
        unsigned char serial;
        int own, his;
    } wanted[] = { { 1, 1, 0 }, { 3, 0, 1 }, { 4, 1, 0 }, { 5, 1, 1 }, { 9, 1, 1 }, { 2, 0, 0 } };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct span s = span_of(&wanted[i].serial, 1);
        assert_int_equal(look(crl, s, own), wanted[i].own);
        assert_int_equal(look(crl, s, his), wanted[i].his);
        assert_int_equal(look(foreign, s, own), wanted[i].own);
        assert_int_equal(look(foreign, s, his), wanted[i].his);
        assert_int_equal(look(library, s, own), wanted[i].own);
        assert_int_equal(look(library, s, his), wanted[i].his);
    }
    X509_CRL_free(library);
    X509_CRL_free(foreign);
    X509_CRL_free(crl);
    buf_free(&list);
    buf_free(&extension);
    buf_free(&der);
}

static void
a_foreign_crl_behaves_as_ever(void **state)
{
    (void)state;
    struct testca_leaf leaf;
    testca_issue(&ca, &(struct testca_args){ .cn = "Alice" }, &leaf);
    X509 *revoked[] = { leaf.x509, NULL };
    struct pki_crl_entry entry;
    struct err err = ERR_INIT;

    X509_CRL *made = testca_crl(
        &ca, &(struct testca_crl_args){ .revoked = revoked, .reason = CRL_REASON_SUPERSEDED });
    unsigned char *der = NULL;
    int n = i2d_X509_CRL(made, &der);
    X509_CRL *read = raw_foreign(span_of(der, (size_t)n));
    X509_CRL *list[] = { made, read };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pki_crl_find(list[i], leaf.x509, &entry, &err), ERR_OK);
        assert_int_equal(entry.reason, CRL_REASON_SUPERSEDED);
        assert_true(entry.revoked_at > 1700000000);
        assert_int_equal(look(list[i], RAW("\x7e"), NULL), 0);
        assert_true(pki_crl_is_signed_by(list[i], ca.x509));
        assert_false(pki_crl_is_signed_by(list[i], other.x509));
        assert_true(pki_crl_der(list[i]).p == NULL && pki_crl_bytes(list[i]) == 0);
        assert_true(pki_crl_this_update(list[i]) > 1700000000);
    }
    X509_CRL_free(made);
    X509_CRL_free(read);
    OPENSSL_free(der);
    testca_leaf_free(&leaf);
}

static void
the_entry_is_told_with_its_reason_and_date(void **state)
{
    (void)state;
    struct testca_leaf leaf, free_leaf;
    testca_issue(&ca, &(struct testca_args){ .cn = "Alice" }, &leaf);
    testca_issue(&ca, &(struct testca_args){ .cn = "Bob" }, &free_leaf);
    X509 *revoked[] = { leaf.x509, NULL };
    struct pki_crl_entry entry;
    struct err err = ERR_INIT;
    time_t next = time(NULL) + 86400;
    X509_CRL *made = testca_crl(
        &ca, &(struct testca_crl_args){
                 .revoked = revoked, .next_update = next, .reason = CRL_REASON_KEY_COMPROMISE });
    unsigned char *der = NULL;
    int n = i2d_X509_CRL(made, &der);
    X509_CRL *crl = NULL;

    assert_int_equal(pki_crl_parse(span_of(der, (size_t)n), &crl, &err), ERR_OK);
    assert_int_equal(pki_crl_find(crl, leaf.x509, &entry, &err), ERR_OK);
    assert_int_equal(entry.reason, CRL_REASON_KEY_COMPROMISE);
    assert_int_equal(entry.revoked_at, next); /* so the fixture dates it */
    assert_int_equal(pki_crl_next_update(crl), next);
    assert_int_equal(pki_crl_find(crl, free_leaf.x509, &entry, &err), ERR_NOTFOUND);
    assert_true(span_equal(pki_crl_der(crl), span_of(der, (size_t)n)));
    X509_CRL_free(crl);
    X509_CRL_free(made);
    OPENSSL_free(der);
    testca_leaf_free(&leaf);
    testca_leaf_free(&free_leaf);
}

/* ---- signatures
 * ---------------------------------------------------------------------------------- */

static void
every_kind_of_signature_is_checked_over_all_entries(void **state)
{
    (void)state;
    static const struct {
        enum testca_key kind;
        const char *digest;
        bool pss;
    } rows[] = {
        { TESTCA_RSA2048, "SHA256", false }, { TESTCA_RSA2048, "SHA512", false },
        { TESTCA_RSA2048, "SHA256", true },  { TESTCA_RSAPSS, "SHA384", true },
        { TESTCA_P256, "SHA256", false },    { TESTCA_P384, "SHA384", false },
        { TESTCA_ED25519, "", false },
    };
    struct buf list = BUF_INIT(4096), der = BUF_INIT(RAW_LIMIT);
    struct err err = ERR_INIT;

    raw_entry(&list, RAW("\x42"), span_of(NULL, 0));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct testca_leaf good, bad;
        struct testca_args args = { .cn = "Signer", .key_type = rows[i].kind };
        X509_CRL *crl = NULL;
        testca_issue(&ca, &args, &good);
        args.key_index = 1;
        testca_issue(&ca, &args, &bad);
        buf_reset(&der);
        raw_format(&(struct raw_crl){ .by = &ca,
                                      .key = good.key,
                                      .digest = rows[i].digest,
                                      .pss = rows[i].pss,
                                      .entries = &list },
                   &der);
        assert_int_equal(pki_crl_parse(buf_span(&der), &crl, &err), ERR_OK);
        for (int again = 0; again < 2; again++) {
            if (!pki_crl_is_signed_by(crl, good.x509))
                fail_msg("row %zu: a good signature is refused", i);
            assert_false(pki_crl_is_signed_by(crl, bad.x509));
            assert_false(pki_crl_is_signed_by(crl, ca.x509));
        }
        X509_CRL_free(crl);
        /* Another serial number: that is what the library never sees. */
        unsigned char *entry = memmem(der.p, der.n, "\x02\x01\x42", 3);
        assert_non_null(entry);
        entry[2] = 0x43;
        assert_int_equal(pki_crl_parse(buf_span(&der), &crl, &err), ERR_OK);
        assert_int_equal(look(crl, RAW("\x43"), NULL), 1);
        assert_false(pki_crl_is_signed_by(crl, good.x509));
        X509_CRL_free(crl);
        EVP_PKEY_up_ref(good.key), EVP_PKEY_up_ref(bad.key);
        testca_leaf_free(&good);
        testca_leaf_free(&bad);
    }
    assert_int_equal(ERR_peek_error(), 0);
    buf_free(&list);
    buf_free(&der);
}

static void
more_keys_than_are_remembered_are_judged_all_the_same(void **state)
{
    (void)state;
    X509_CRL *crl = raw_parse(&(struct raw_crl){ .by = &ca });
    struct testca copies[6];

    /* The same key in other objects is known by its numbers. */
    for (size_t i = 0; i < 6; i++)
        testca_init_below(&copies[i], NULL, "Copy",
                          &(struct testca_args){ .key = i % 2 ? other.key : ca.key });
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 6; i++)
            assert_int_equal(pki_crl_is_signed_by(crl, copies[i].x509), i % 2 == 0);
    }
    for (size_t i = 0; i < 6; i++)
        testca_free(&copies[i]);
    X509_CRL_free(crl);
}

static void
an_algorithm_inside_that_is_not_the_one_outside_is_no_signature(void **state)
{
    (void)state;
    /* ecdsa-with-SHA384 outside, and a NULL beside ecdsa-with-SHA256. */
    static const char sha384[] = "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";
    static const char null[] = "\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x05\x00";
    /* A bare kind of key names no digest: in CMS it may, here it may not. */
    static const char bare[] = "\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
    struct span rows[] = { RAW(sha384), RAW(null), RAW(bare) };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        X509_CRL *crl = raw_parse(&(struct raw_crl){ .by = &ca, .algorithm = rows[i] });
        assert_false(pki_crl_is_signed_by(crl, ca.x509));
        X509_CRL_free(crl);
    }
}

static void *
ask_often(void *context)
{
    X509_CRL *crl = context;

    for (int i = 0; i < 300; i++) {
        if (!pki_crl_is_signed_by(crl, ca.x509) || pki_crl_is_signed_by(crl, other.x509) ||
            look(crl, RAW("\x42"), NULL) != 1 || look(crl, RAW("\x41"), NULL) != 0)
            return crl;
    }
    return NULL;
}

static void
threads_share_one_crl(void **state)
{
    (void)state;
    struct buf list = BUF_INIT(4096);
    pthread_t threads[4];
    void *result;

    raw_entry(&list, RAW("\x42"), span_of(NULL, 0));
    X509_CRL *crl = raw_parse(&(struct raw_crl){ .by = &ca, .entries = &list });
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, crl), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    X509_CRL_free(crl);
    buf_free(&list);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_serial_number_is_found_and_no_other),
        cmocka_unit_test(a_long_serial_number_is_looked_for_without_a_bound_of_its_own),
        cmocka_unit_test(an_empty_list_and_none_at_all_revoke_nobody),
        cmocka_unit_test(revoked_goes_before_removed_where_a_number_stands_twice),
        cmocka_unit_test(a_complete_crl_removes_nobody),
        cmocka_unit_test(the_issuer_named_last_rules_in_an_indirect_crl),
        cmocka_unit_test(a_foreign_crl_behaves_as_ever),
        cmocka_unit_test(the_entry_is_told_with_its_reason_and_date),
        cmocka_unit_test(every_kind_of_signature_is_checked_over_all_entries),
        cmocka_unit_test(more_keys_than_are_remembered_are_judged_all_the_same),
        cmocka_unit_test(an_algorithm_inside_that_is_not_the_one_outside_is_no_signature),
        cmocka_unit_test(threads_share_one_crl),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
