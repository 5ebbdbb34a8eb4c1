/* What a response says: statuses, times, extensions, contradictions, and hostile octets. */
#include "tests/unit/pki/ocsp_fixture.h"

static const char unknown_oid[] = "1.3.6.1.4.1.99999.7";
static const struct pki_ocsp_args usual = { .at = 0, .skew_s = PKI_OCSP_SKEW_S };

static void
good_revoked_and_unknown_are_told_apart(void **state)
{
    (void)state;
    struct pki_ocsp_result result;

    expect(&(struct said){ .entries = { ENTRY(.status = V_OCSP_CERTSTATUS_GOOD) } }, usual, "ok",
           &result);
    assert_int_equal(result.status, PKI_OCSP_GOOD);
    assert_int_equal(result.this_update, now - HOUR);
    assert_int_equal(result.next_update, now + HOUR);
    assert_int_equal(result.usable_until, now + HOUR);
    assert_int_equal(result.produced_at, now);
    assert_null(result.responder);
    assert_false(result.responder_needs_crl);
    pki_ocsp_result_free(&result);
    expect(&(struct said){ .entries = { ENTRY(.status = V_OCSP_CERTSTATUS_REVOKED,
                                              .reason = CRL_REASON_KEY_COMPROMISE) } },
           usual, "revoked", &result);
    assert_int_equal(result.revoked_at, now - 5 * HOUR);
    assert_int_equal(result.revocation_reason, CRL_REASON_KEY_COMPROMISE);
    assert_int_equal(result.answer.status, PKI_STATUS_INVALID);
    pki_ocsp_result_free(&result);
    expect(&(struct said){ .entries = { ENTRY(.status = V_OCSP_CERTSTATUS_UNKNOWN) } }, usual,
           "ocsp-unknown", &result);
    assert_int_equal(result.status, PKI_OCSP_UNKNOWN);
    assert_int_equal(result.answer.status, PKI_STATUS_TEMP);
    pki_ocsp_result_free(&result);
}

static void
answers_without_a_status_could_not_be_asked(void **state)
{
    (void)state;
    static const int statuses[] = { 1, 2, 3, 5, 6 };
    struct pki_ocsp_result result;
    /* OCSPResponse { tryLater }, alone */
    static const unsigned char bare[] = { 0x30, 3, 0x0a, 1, 3 };
    static const unsigned char odd[] = { 0x30, 3, 0x0a, 1, 77 };

    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        expect(&(struct said){ .entries = { ENTRY(.status = 0) }, .response_status = statuses[i] },
               usual, "ocsp-unavailable", NULL);
    judge(span_of(bare, sizeof bare), usual, &result);
    assert_string_equal(result.answer.reason, "ocsp-unavailable");
    assert_non_null(strstr(result.answer.text, "tryLater"));
    judge(span_of(odd, sizeof odd), usual, &result);
    assert_string_equal(result.answer.reason, "ocsp-invalid");
    /* "successful", and nothing in it */
    judge(span_of((const unsigned char[]){ 0x30, 3, 0x0a, 1, 0 }, 5), usual, &result);
    assert_string_equal(result.answer.reason, "ocsp-invalid");
}

static void
a_response_runs_out_at_next_update_and_at_the_maximum_age(void **state)
{
    (void)state;
    const struct said two_hours = { .entries = { TIMED(-2 * HOUR, HOUR, .status = 0) },
                                    .produced_at = -2 * HOUR };
    const struct said open = { .entries = { TIMED(-2 * HOUR, 0, .status = 0) },
                               .produced_at = -2 * HOUR };
    const struct said over = { .entries = { TIMED(-2 * HOUR, -200, .status = 0) },
                               .produced_at = -2 * HOUR };
    struct pki_ocsp_args args = usual;
    struct pki_ocsp_result result;

    expect(&over, usual, "ok", NULL); /* within the skew */
    expect(&over, (struct pki_ocsp_args){ .skew_s = 199 }, "ocsp-expired", &result);
    assert_int_equal(result.status, PKI_OCSP_NONE);
    assert_int_equal(result.answer.status, PKI_STATUS_TEMP);
    pki_ocsp_result_free(&result);
    args.max_age_s = 3 * HOUR;
    expect(&two_hours, args, "ok", NULL);
    args.max_age_s = HOUR;
    expect(&two_hours, args, "ocsp-expired", NULL);
    expect(&open, args, "ocsp-expired", NULL);
    args.max_age_s = 0;
    expect(&open, args, "ok", &result);
    assert_int_equal(result.next_update, 0);
    assert_int_equal(result.usable_until, now - 2 * HOUR + PKI_OCSP_OPEN_AGE_S);
    pki_ocsp_result_free(&result);
    args.open_max_age_s = HOUR;
    expect(&open, args, "ocsp-expired", NULL);
    expect(&two_hours, args, "ok", NULL); /* it says when it ends */
    args = usual;
    args.at = now + PKI_OCSP_OPEN_AGE_S;
    expect(&open, args, "ocsp-expired", NULL);
}

static void
the_future_and_impossible_orders_of_time_are_refused(void **state)
{
    (void)state;
    const struct said ahead = { .entries = { TIMED(200, HOUR, .status = 0) }, .produced_at = 200 };
    const struct said from_then = { .entries = { TIMED(600, HOUR, .status = 0) },
                                    .produced_at = 200 };
    const struct said produced = { .entries = { TIMED(0, HOUR, .status = 0) }, .produced_at = 600 };
    const struct said later = { .entries = { TIMED(-HOUR, HOUR, .status = 0) },
                                .produced_at = -2 * HOUR };
    const struct said backwards = { .entries = { TIMED(-HOUR, -HOUR - 1, .status = 0) } };

    expect(&ahead, usual, "ok", NULL);
    expect(&ahead, (struct pki_ocsp_args){ .skew_s = 100 }, "ocsp-not-yet-valid", NULL);
    expect(&produced, usual, "ocsp-not-yet-valid", NULL);
    expect(&from_then, usual, "ocsp-invalid", NULL); /* thisUpdate after producedAt */
    expect(&from_then, (struct pki_ocsp_args){ .skew_s = 450 }, "ocsp-not-yet-valid", NULL);
    expect(&later, usual, "ocsp-invalid", NULL);
    expect(&backwards, usual, "ocsp-invalid", NULL);
}

static void
revoked_stays_revoked_when_it_runs_out_but_on_hold_does_not(void **state)
{
    (void)state;
    struct pki_ocsp_args args = usual;
    struct said said = { .entries = { ENTRY(.status = V_OCSP_CERTSTATUS_REVOKED) } };
    struct pki_ocsp_result result;

    args.at = now + 100 * HOUR;
    expect(&said, args, "revoked", &result);
    assert_int_equal(result.revocation_reason, -1);
    pki_ocsp_result_free(&result);
    said.entries[0].reason = CRL_REASON_SUPERSEDED;
    expect(&said, args, "revoked", NULL);
    said.entries[0].reason = CRL_REASON_CERTIFICATE_HOLD;
    expect(&said, usual, "revoked", NULL);
    expect(&said, args, "ocsp-expired", NULL);
    /* From before it was said, nothing is known. */
    said.entries[0].reason = 0;
    args.at = now - 2 * HOUR;
    expect(&said, args, "ocsp-not-yet-valid", NULL);
}

static void
of_contradicting_answers_the_worst_counts(void **state)
{
    (void)state;
    static const int order[][2] = { { V_OCSP_CERTSTATUS_GOOD, V_OCSP_CERTSTATUS_REVOKED },
                                    { V_OCSP_CERTSTATUS_REVOKED, V_OCSP_CERTSTATUS_GOOD },
                                    { V_OCSP_CERTSTATUS_UNKNOWN, V_OCSP_CERTSTATUS_REVOKED } };
    struct pki_ocsp_result result;

    for (size_t i = 0; i < 3; i++)
        expect(&(struct said){ .entries = { ENTRY(.status = order[i][0]),
                                            ENTRY(.status = order[i][1]) } },
               usual, "revoked", NULL);
    expect(&(struct said){ .entries = { ENTRY(.status = V_OCSP_CERTSTATUS_GOOD),
                                        ENTRY(.status = V_OCSP_CERTSTATUS_UNKNOWN) } },
           usual, "ocsp-unknown", NULL);
    /* The same certificate under the name of another digest. */
    expect(&(struct said){ .entries = { ENTRY(.status = V_OCSP_CERTSTATUS_GOOD),
                                        ENTRY(.status = V_OCSP_CERTSTATUS_REVOKED,
                                              .digest = "SHA256") } },
           usual, "revoked", NULL);
    /* One that has run out says nothing beside one that has not. */
    expect(&(struct said){ .entries = { TIMED(-9 * HOUR, -8 * HOUR,
                                              .status = V_OCSP_CERTSTATUS_UNKNOWN),
                                        ENTRY(.status = V_OCSP_CERTSTATUS_GOOD) } },
           usual, "ok", &result);
    assert_int_equal(result.this_update, now - HOUR);
    pki_ocsp_result_free(&result);
}

static void
an_answer_about_another_certificate_is_none(void **state)
{
    (void)state;
    struct testca other;
    struct testca_leaf bob;
    struct said said = { .entries = { ENTRY(.status = 0) } };
    struct pki_certificate *stranger;
    struct pki_ocsp_args args = usual;

    testca_init_below(&other, &root, "OCSP CA", NULL); /* the same name, another key */
    testca_issue(&ca, &(struct testca_args){ .cn = "Bob", .key_type = TESTCA_P256 }, &bob);
    expect(&(struct said){ .without_certs = true }, usual, "ocsp-wrong-certificate", NULL);
    said.entries[0].of = bob.x509;
    expect(&said, usual, "ocsp-wrong-certificate", NULL);
    said.entries[0].of = NULL;
    said.entries[0].by = other.x509;
    expect(&said, usual, "ocsp-wrong-certificate", NULL);
    said.entries[0].by = NULL;
    said.entries[0].digest = "SHA224"; /* a digest that we do not look up */
    expect(&said, usual, "ocsp-wrong-certificate", NULL);
    said.entries[0].digest = "SHA512";
    expect(&said, usual, "ok", NULL);
    /* Among others it is found. */
    said.entries[1] = (struct entry)ENTRY(.of = bob.x509, .status = V_OCSP_CERTSTATUS_REVOKED);
    expect(&said, usual, "ok", NULL);
    stranger = testca_certificate(root.x509);
    args.issuer = stranger;
    expect(&said, args, "ocsp-wrong-certificate", NULL);
    pki_certificate_free(&stranger);
    testca_leaf_free(&bob);
    testca_free(&other);
}

static void
unknown_critical_extensions_are_refused(void **state)
{
    (void)state;
    struct said said = { .entries = { ENTRY(.status = 0) }, .other = unknown_oid };

    expect(&said, usual, "ok", NULL); /* not critical */
    said.critical = unknown_oid;
    expect(&said, usual, "ocsp-invalid", NULL);
    said.critical = NULL;
    said.entries[0].critical = unknown_oid;
    expect(&said, usual, "ocsp-invalid", NULL);
    said.entries[0].critical = "certificateIssuer";
    expect(&said, usual, "ocsp-invalid", NULL);
    said.entries[0].critical = "1.3.6.1.5.5.7.48.1.6"; /* archive cutoff */
    expect(&said, usual, "ok", NULL);
}

static void
a_foreign_nonce_is_refused_and_a_missing_one_is_not(void **state)
{
    (void)state;
    static const unsigned char mine[32] = { 1, 2, 3 }, theirs[32] = { 3, 2, 1 };
    struct said said = { .entries = { ENTRY(.status = 0) } };
    struct pki_ocsp_args args = usual;

    args.nonce = span_of(mine, sizeof mine);
    expect(&said, args, "ok", NULL);
    said.nonce = span_of(mine, sizeof mine);
    expect(&said, args, "ok", NULL);
    expect(&said, usual, "ok", NULL);
    said.nonce = span_of(theirs, sizeof theirs);
    expect(&said, args, "ocsp-invalid", NULL);
    said.nonce = span_of(mine, sizeof mine - 1);
    expect(&said, args, "ocsp-invalid", NULL);
}

static void
size_and_number_of_entries_are_bounded(void **state)
{
    (void)state;
    struct said said = { .entries = { ENTRY(.status = 0) }, .copies = PKI_OCSP_SINGLES };
    struct pki_ocsp_args args = usual;
    struct pki_ocsp_result result;
    size_t n;
    unsigned char *der = respond(&said, &n);

    assert_true(n < PKI_OCSP_BYTES);
    args.limit_bytes = n;
    judge(span_of(der, n), args, &result);
    assert_string_equal(result.answer.reason, "ok");
    args.limit_bytes = n - 1;
    judge(span_of(der, n), args, &result);
    assert_string_equal(result.answer.reason, "ocsp-invalid");
    said.copies++;
    expect(&said, usual, "ocsp-invalid", NULL);
    OPENSSL_free(der);
}

static void
trailing_octets_truncation_and_flipped_bits_never_give_a_status(void **state)
{
    (void)state;
    const struct said said = { .entries = { ENTRY(.status = V_OCSP_CERTSTATUS_GOOD) } };
    size_t n, refused = 0;
    unsigned char *der = respond(&said, &n), *more = malloc(n + 1);
    struct pki_ocsp_result result;

    memcpy(more, der, n);
    more[n] = 0;
    judge(span_of(more, n + 1), usual, &result);
    assert_string_equal(result.answer.reason, "ocsp-invalid");
    for (size_t i = 0; i < n; i++) {
        judge(span_of(der, i), usual, &result);
        assert_string_equal(result.answer.reason, "ocsp-invalid");
    }
    for (size_t i = 0; i < n; i++) {
        more[i] ^= 1U << (i % 8);
        judge(span_of(more, n), usual, &result);
        /* What is signed ends with the signature; the certificate behind it is a mere help. */
        refused += result.status == PKI_OCSP_NONE;
        assert_true(result.status == PKI_OCSP_NONE || result.status == PKI_OCSP_GOOD);
        pki_ocsp_result_free(&result);
        more[i] = der[i];
    }
    assert_true(refused > 250);
    free(more);
    OPENSSL_free(der);
}

/* Wraps an inner structure again, with `extra` octets of rubbish behind it. */
static unsigned char *
rewrap(const unsigned char *der, size_t n, size_t extra, size_t *out_n)
{
    const unsigned char *p = der;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &p, (long)n);
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    unsigned char *inner = NULL, *out = malloc(n + extra + 32), *w = out;
    int inner_n = i2d_OCSP_BASICRESP(basic, &inner);
    size_t octets = (size_t)inner_n + extra, bytes = 4 + octets + 11, all = bytes + 4 + 4 + 3;
    const unsigned char head[] = { 0x30,
                                   0x82,
                                   (unsigned char)(all >> 8),
                                   (unsigned char)all,
                                   0x0a,
                                   1,
                                   0,
                                   0xa0,
                                   0x82,
                                   (unsigned char)((bytes + 4) >> 8),
                                   (unsigned char)(bytes + 4),
                                   0x30,
                                   0x82,
                                   (unsigned char)(bytes >> 8),
                                   (unsigned char)bytes,
                                   6,
                                   9,
                                   0x2b,
                                   6,
                                   1,
                                   5,
                                   5,
                                   7,
                                   0x30,
                                   1,
                                   1,
                                   4,
                                   0x82,
                                   (unsigned char)(octets >> 8),
                                   (unsigned char)octets };

    assert_true(octets > 255);
    memcpy(w, head, sizeof head);
    memcpy(w + sizeof head, inner, (size_t)inner_n);
    memset(w + sizeof head + inner_n, 0, extra);
    *out_n = sizeof head + octets;
    OPENSSL_free(inner);
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    return out;
}

static void
octets_behind_the_inner_structure_are_refused(void **state)
{
    (void)state;
    const struct said said = { .entries = { ENTRY(.status = V_OCSP_CERTSTATUS_GOOD) } };
    size_t n, wrapped_n;
    unsigned char *der = respond(&said, &n), *wrapped;
    struct pki_ocsp_result result;

    wrapped = rewrap(der, n, 0, &wrapped_n);
    judge(span_of(wrapped, wrapped_n), usual, &result);
    assert_string_equal(result.answer.reason, "ok");
    free(wrapped);
    wrapped = rewrap(der, n, 2, &wrapped_n);
    judge(span_of(wrapped, wrapped_n), usual, &result);
    assert_string_equal(result.answer.reason, "ocsp-invalid");
    free(wrapped);
    OPENSSL_free(der);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_revoked_and_unknown_are_told_apart),
        cmocka_unit_test(answers_without_a_status_could_not_be_asked),
        cmocka_unit_test(a_response_runs_out_at_next_update_and_at_the_maximum_age),
        cmocka_unit_test(the_future_and_impossible_orders_of_time_are_refused),
        cmocka_unit_test(revoked_stays_revoked_when_it_runs_out_but_on_hold_does_not),
        cmocka_unit_test(of_contradicting_answers_the_worst_counts),
        cmocka_unit_test(an_answer_about_another_certificate_is_none),
        cmocka_unit_test(unknown_critical_extensions_are_refused),
        cmocka_unit_test(a_foreign_nonce_is_refused_and_a_missing_one_is_not),
        cmocka_unit_test(size_and_number_of_entries_are_bounded),
        cmocka_unit_test(trailing_octets_truncation_and_flipped_bits_never_give_a_status),
        cmocka_unit_test(octets_behind_the_inner_structure_are_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
