#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flow/result.h"

static char field[FLOW_RESULT_LIMIT_BYTES + 1];

static const char *
format(const char *id, const struct flow_verification_result *result)
{
    struct buf out = BUF_INIT(FLOW_RESULT_LIMIT_BYTES);
    struct err err = ERR_INIT;

    assert_int_equal(flow_result_format(id, result, &out, &err), ERR_OK);
    snprintf(field, sizeof(field), "%s", buf_str(&out));
    buf_free(&out);
    return field;
}

static struct flow_verification_signer signer;
static struct flow_verification_result result;

static int
setup(void **state)
{
    (void)state;
    memset(&signer, 0, sizeof(signer));
    memset(&result, 0, sizeof(result));
    strcpy(signer.identifier, "alice@example.org");
    strcpy(signer.serial, "0AFE");
    strcpy(signer.issuer, "CN=Test CA,O=Example");
    result.signer = &signer;
    result.verdict = (struct policy_verdict){ .result = POLICY_RESULT_PASS, .reason = "ok" };
    return 0;
}

static void
a_pass_names_the_signer(void **state)
{
    (void)state;
    assert_string_equal(format("mx.example.org", &result),
                        "mx.example.org;\n\tsmime=pass (ok)"
                        "\n\tbody.smime-identifier=alice@example.org"
                        "\n\tbody.smime-serial=0AFE"
                        "\n\tbody.smime-issuer=\"CN=Test CA,O=Example\"");
}

static void
a_fail_names_nobody(void **state)
{
    (void)state;
    result.verdict =
        (struct policy_verdict){ .result = POLICY_RESULT_FAIL, .reason = "cert-expired" };
    strcpy(result.text, "the certificate expired (on 2026-11-01)");
    assert_string_equal(format("mx.example.org", &result),
                        "mx.example.org;\n\tsmime=fail (cert-expired: the certificate expired ?on "
                        "2026-11-01?)");
    strcat(result.text, " and more words than fit into one line");
    assert_string_equal(format("mx.example.org", &result),
                        "mx.example.org;\n\tsmime=fail (cert-expired: the certificate expired ?on "
                        "2026-11-01?\n\tand more words than fit into one line)");
}

static void
none_is_one_word(void **state)
{
    (void)state;
    result.verdict =
        (struct policy_verdict){ .result = POLICY_RESULT_NONE, .reason = "not-signed" };
    assert_string_equal(format("mx.example.org", &result), "mx.example.org;\n\tsmime=none");
}

static void
a_name_out_of_a_certificate_cannot_leave_its_quotes(void **state)
{
    (void)state;
    strcpy(signer.issuer, "CN=a\"; smime=pass \\\r\n X: y\x7f\xc3\xa4");
    assert_non_null(strstr(format("mx.example.org", &result),
                           "body.smime-issuer=\"CN=a\\\"; smime=pass \\\\\\\\0D\\\\0A X: "
                           "y\\\\7F\\\\C3\\\\A4\""));
    strcpy(signer.identifier, "a b(c)\"@example.org");
    assert_non_null(strstr(format("mx.example.org", &result),
                           "body.smime-identifier=\"a b(c)\\\"@example.org\"\n"));
}

static void
an_identifier_that_is_not_ascii_is_left_out(void **state)
{
    (void)state;
    strcpy(signer.identifier, "j\xc3\xb6rg@example.org");
    assert_null(strstr(format("mx.example.org", &result), "identifier"));
    strcpy(signer.identifier, "a\n@example.org");
    assert_null(strstr(format("mx.example.org", &result), "identifier"));
}

static void
an_issuer_is_never_cut_and_never_alone(void **state)
{
    (void)state;
    memset(signer.issuer, 'x', sizeof(signer.issuer) - 1);
    assert_null(strstr(format("mx.example.org", &result), "issuer"));
    assert_null(strstr(field, "serial"));
    strcpy(signer.issuer, "CN=x");
    signer.serial[0] = 0;
    assert_null(strstr(format("mx.example.org", &result), "issuer"));
}

static void
no_line_is_longer_than_it_may_be(void **state)
{
    const char *line, *end;

    (void)state;
    memset(signer.issuer, '"', 150);
    signer.issuer[150] = 0;
    memset(signer.identifier, 'a', 1000);
    strcpy(signer.identifier + 1000, "@example.org");
    memset(signer.serial, 'F', sizeof(signer.serial) - 1);
    format("mx.example.org", &result);
    for (line = field; *line; line = *end ? end + 1 : end) {
        end = strchr(line, '\n');
        end = end ? end : line + strlen(line);
        assert_true(end - line < 998 - 24);
    }
}

static void
an_id_that_is_no_token_is_quoted(void **state)
{
    (void)state;
    result.verdict.result = POLICY_RESULT_NONE;
    assert_string_equal(format("our \"gate\"; x", &result),
                        "\"our \\\"gate\\\"; x\";\n\tsmime=none");
}

static void
hostile_text_cannot_end_the_comment(void **state)
{
    (void)state;
    result.verdict =
        (struct policy_verdict){ .result = POLICY_RESULT_POLICY, .reason = "weak-algorithm" };
    strcpy(result.text, "x) ; smime=pass (\\");
    assert_string_equal(format("mx", &result),
                        "mx;\n\tsmime=policy (weak-algorithm: x? , smime:pass ?"
                        "?)");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_pass_names_the_signer, setup),
        cmocka_unit_test_setup(a_fail_names_nobody, setup),
        cmocka_unit_test_setup(none_is_one_word, setup),
        cmocka_unit_test_setup(a_name_out_of_a_certificate_cannot_leave_its_quotes, setup),
        cmocka_unit_test_setup(an_identifier_that_is_not_ascii_is_left_out, setup),
        cmocka_unit_test_setup(an_issuer_is_never_cut_and_never_alone, setup),
        cmocka_unit_test_setup(no_line_is_longer_than_it_may_be, setup),
        cmocka_unit_test_setup(an_id_that_is_no_token_is_quoted, setup),
        cmocka_unit_test_setup(hostile_text_cannot_end_the_comment, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
