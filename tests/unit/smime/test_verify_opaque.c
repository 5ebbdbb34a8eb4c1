#include "cook.h"

#include "smime/verify.h"

static const char content[] = FIXTURE_ENTITY;

static struct testca ca;
static struct user alice, p256;

static int
setup(void **state)
{
    (void)state;
    testca_init(&ca, "Opaque Root");
    user_init(&alice, &ca, TESTCA_RSA2048, 0, NULL);
    user_init(&p256, &ca, TESTCA_P256, 0, NULL);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    user_free(&alice);
    user_free(&p256);
    testca_free(&ca);
    return 0;
}

static enum err_code
open_opaque(struct span cms, size_t limit, struct buf *out, struct smime_verify_result *result)
{
    struct err err = ERR_INIT;
    struct stage *sink = NULL;
    struct spool *spool = fixture_spool(cms);
    FIXTURE_MUST(stage_buf_new(out, &sink, &err));
    const struct smime_verify_opaque_args args = { .spool = spool,
                                                   .limit_bytes = limit,
                                                   .content = sink };
    enum err_code code = smime_verify_opaque(&args, result, &err);
    assert_int_equal(ERR_peek_error(), 0);
    stage_free(&sink);
    spool_free(&spool);
    return code;
}

static void
expect_opaque(struct span cms, enum smime_signature_state state)
{
    struct buf out = BUF_INIT(MAKE_LIMIT);
    struct smime_verify_result result;
    assert_int_equal(open_opaque(cms, MAKE_LIMIT, &out, &result), ERR_OK);
    assert_string_equal(result.reason, "ok");
    assert_int_equal(result.count, 1);
    assert_int_equal(result.signers[0].state, state);
    assert_int_equal(out.n, strlen(content));
    assert_int_equal(memcmp(out.p, content, out.n) == 0, state == SMIME_SIGNATURE_OK);
    smime_verify_result_free(&result);
    buf_free(&out);
}

static void
verify_opaque_reads_what_we_write(void **state)
{
    (void)state;
    struct buf message = BUF_INIT(MAKE_LIMIT), cms = BUF_INIT(MAKE_LIMIT);
    const struct smime_sign_args args = { .key = &alice.key,
                                          .opaque = true,
                                          .signing_time = 1790000000 };
    fixture_sign(&args, span_str(content), 3, &message);
    fixture_decode(&message, &cms);
    expect_opaque(buf_span(&cms), SMIME_SIGNATURE_OK);
    unsigned char *text = memmem(cms.p, cms.n, "Good morning", 12);
    assert_non_null(text);
    text[0] = 'F';
    expect_opaque(buf_span(&cms), SMIME_SIGNATURE_BAD);
    buf_free(&message);
    buf_free(&cms);
}

static void
verify_opaque_reads_indefinite_length_and_octet_strings_in_pieces(void **state)
{
    (void)state;
    for (int attributes = 0; attributes < 2; attributes++) {
        const struct recipe recipe = { .user = &alice, .flags = attributes ? 0 : CMS_NOATTR };
        struct make der = cook(&recipe, span_str(content));
        expect_opaque(span_of(der.p, der.n), SMIME_SIGNATURE_OK);
        struct make ber = make_ber(span_of(der.p, der.n));
        assert_true(ber.n > der.n);
        expect_opaque(span_of(ber.p, ber.n), SMIME_SIGNATURE_OK);
        free(der.p);
        free(ber.p);
    }
}

static void
verify_opaque_refuses_the_wrong_shape_with_its_name(void **state)
{
    (void)state;
    const struct {
        struct recipe recipe;
        const char *reason;
    } cases[] = {
        { { .user = &alice, .flags = CMS_DETACHED }, "malformed-cms" },
        { { .user = &alice, .type = "1.2.840.113549.1.9.16.1.4" }, "wrong-content-type" },
    };
    for (size_t i = 0; i < 2; i++) {
        struct make made = cook(&cases[i].recipe, span_str(content));
        struct buf out = BUF_INIT(MAKE_LIMIT);
        struct smime_verify_result result;
        assert_int_equal(open_opaque(span_of(made.p, made.n), MAKE_LIMIT, &out, &result), ERR_OK);
        assert_string_equal(result.reason, cases[i].reason);
        assert_int_equal(out.n, 0);
        smime_verify_result_free(&result);
        assert_int_equal(open_opaque(span_of(made.p, made.n), made.n - 1, &out, &result),
                         ERR_LIMIT);
        assert_string_equal(result.reason, "too-large");
        smime_verify_result_free(&result);
        buf_free(&out);
        free(made.p);
    }
}

static void
verify_opaque_releases_nothing_of_a_cut_object(void **state)
{
    (void)state;
    const struct recipe recipe = { .flags = 0, .user = &p256 };
    struct make made = cook(&recipe, span_str(content));
    for (size_t n = 0; n < made.n; n += 7) {
        struct buf out = BUF_INIT(MAKE_LIMIT);
        struct smime_verify_result result;
        assert_int_equal(open_opaque(span_of(made.p, n), MAKE_LIMIT, &out, &result), ERR_OK);
        assert_false(result.parsed);
        assert_int_equal(out.n, 0);
        smime_verify_result_free(&result);
        buf_free(&out);
    }
    free(made.p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verify_opaque_reads_what_we_write),
        cmocka_unit_test(verify_opaque_reads_indefinite_length_and_octet_strings_in_pieces),
        cmocka_unit_test(verify_opaque_refuses_the_wrong_shape_with_its_name),
        cmocka_unit_test(verify_opaque_releases_nothing_of_a_cut_object),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
