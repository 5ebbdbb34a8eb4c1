#include "tests/unit/policy/outbound_row.h"

static void
pgp_mail_counts_as_encrypted_only_where_every_rule_in_question_says_so(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 2);
    row.facts.pgp_encrypted = true;
    row.rules[0].encrypt = row.rules[1].encrypt = CONF_ENCRYPT_ALWAYS;
    row.rules[0].pgp_is_encrypted = true;
    check_row(&row);
    assert_true(row.got.encrypt);
    assert_ptr_equal(row.out.rule, &row.rules[1]);

    row.rules[1].pgp_is_encrypted = true;
    check_row(&row);
    assert_int_equal(row.out.action, POLICY_PASS);
    assert_string_equal(row.out.reason, "already-encrypted");
}

static void
sender_identity_is_enforced_logged_or_left_alone(void **state)
{
    struct row row;

    (void)state;
    for (int n = 0; n < 3 * 3 * 2 * 3 * 3; n++) {
        enum policy_identity identity = (enum policy_identity)(n % 3);
        int mode = n / 3 % 3;

        row_init(&row, 1);
        row.rules[0].smime = n / 9 % 2 == 0;
        row.rules[0].encrypt = n / 18 % 3;
        row_set_certificate(&row.recipients[0], n / 54);
        row.facts.identity = identity;
        row.facts.identity_reason = "not-your-address";
        row.facts.identity_text = "boss@our.example is not your address; use your own";
        row.conf.global.sender_identity = mode;
        policy_outbound_needs(&row.facts, &row.needs);
        row_decide(&row);
        check_form(&row.out);
        assert_int_equal(row.needs.identity, row.rules[0].smime && mode != CONF_IDENTITY_OFF);
        if (!row.rules[0].smime) {
            assert_int_equal(row.out.action, POLICY_PASS);
        } else if (mode == CONF_IDENTITY_ENFORCE && identity == POLICY_IDENTITY_REFUSED) {
            assert_int_equal(row.out.action, POLICY_REFUSE);
            assert_string_equal(row.out.text, row.facts.identity_text);
        } else if (mode == CONF_IDENTITY_ENFORCE && identity == POLICY_IDENTITY_UNKNOWN) {
            assert_int_equal(row.out.action, POLICY_DEFER);
        } else {
            assert_string_not_equal(row.out.reason, "not-your-address");
        }
    }
}

static void
message_for_recipients_without_s_mime_passes_whatever_else_is_known(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 2);
    row.rules[0].smime = row.rules[1].smime = false;
    row.rules[0].encrypt = CONF_ENCRYPT_ALWAYS;
    row.rules[0].sign = CONF_SIGN_ALWAYS;
    row.facts.signing = POLICY_UNKNOWN;
    row.facts.identity = POLICY_IDENTITY_REFUSED;
    row_set_certificate(&row.recipients[0], POLICY_UNKNOWN);
    row_decide(&row);
    assert_int_equal(row.out.action, POLICY_PASS);
    assert_string_equal(row.out.reason, "smime-off");
}

static void
message_without_recipients_passes_with_the_built_in_rule(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 0);
    row_decide(&row);
    assert_int_equal(row.out.action, POLICY_PASS);
    assert_ptr_equal(row.out.rule, policy_rule_builtin());
}

static void
reply_about_one_missing_certificate_says_who_why_and_what_to_do(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 2);
    row.rules[0].encrypt = CONF_ENCRYPT_IF_POSSIBLE;
    row.rules[1].encrypt = CONF_ENCRYPT_ALWAYS;
    row_set_certificate(&row.recipients[1], POLICY_NO);
    row.recipients[1].text = "the certificate expired on 2026-11-01";
    check_row(&row);
    assert_string_equal(row.out.text,
                        "must be encrypted, and there is no valid certificate for "
                        "bert@other.example (the certificate expired on 2026-11-01); send without "
                        "them, or ask them or your administrator for a certificate");
    assert_string_equal(row.out.reason, "cert-expired");
}

static void
reply_about_copies_names_both_recipients(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 2);
    row.rules[0].encrypt = CONF_ENCRYPT_ALWAYS;
    row.rules[1].smime = false;
    check_row(&row);
    assert_string_equal(
        row.out.text, "recipients need different copies of this message: anna@partner.example "
                      "must get it encrypted and bert@other.example as it is; this gateway has no "
                      "listener for copies (resubmit_server): send it to them separately, or "
                      "ask your administrator");
}

/* Many recipients with addresses of that length, all without a certificate. */
static void
check_many(size_t count, size_t address_size, char filler, const char *text,
           struct policy_outbound_decision *out)
{
    struct conf conf = { 0 };
    struct conf_rule rule = *policy_rule_builtin();
    struct policy_recipient *list = calloc(count, sizeof *list);
    struct policy_outbound_facts facts = { .conf = &conf, .count = count, .recipients = list };
    char **names = calloc(count, sizeof *names);
    size_t *order;

    assert_non_null(list);
    assert_non_null(names);
    rule.encrypt = CONF_ENCRYPT_ALWAYS;
    for (size_t i = 0; i < count; i++) {
        char number[24];

        snprintf(number, sizeof number, "%03zu-", i);
        names[i] = malloc(address_size + 1);
        assert_non_null(names[i]);
        memset(names[i], filler, address_size);
        memcpy(names[i], number, strlen(number));
        names[i][address_size] = '\0';
        list[i] = (struct policy_recipient){ .address = names[i],
                                             .rule = &rule,
                                             .in_header = true,
                                             .certificate = POLICY_NO,
                                             .reason = "no-certificate",
                                             .text = text };
    }
    facts.envelope_sender = facts.from = "me@our.example";
    order = calloc(count, sizeof *order);
    assert_non_null(order);
    policy_outbound_decide(&facts, order, out);
    free(order);
    check_form(out);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
    free(list);
}

static void
reply_about_many_names_ten_and_counts_the_rest(void **state)
{
    static const size_t counts[] = { 1, 2, 9, 10, 11, 999, 5000 };
    static const size_t sizes[] = { 12, 40, 80, 254, 1000 };
    static const char *const texts[] = {
        NULL, "", "there is no certificate for the address",
        "a sentence of a certificate that goes on and on and on "
        "and on and on and on and on and on and on and on and on "
        "and on and on and on and on and on and on and on and on"
    };
    struct policy_outbound_decision out;

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
                char last[24], total[64];
                size_t named = counts[i] < 10 ? counts[i] : 10;

                check_many(counts[i], sizes[k], 'x', texts[t], &out);
                snprintf(last, sizeof last, "%03zu-", named - 1);
                assert_non_null(strstr(out.text, last));
                snprintf(last, sizeof last, "%03zu-", named);
                assert_null(strstr(out.text, last));
                snprintf(total, sizeof total, "; %zu of %zu recipients", counts[i], counts[i]);
                assert_int_equal(strstr(out.text, total) != NULL, counts[i] > 1);
                snprintf(total, sizeof total, " and %zu more", counts[i] - named);
                assert_int_equal(strstr(out.text, total) != NULL, counts[i] > 10);
                assert_non_null(strstr(out.text, "; send without them, or ask them or your "
                                                 "administrator for a certificate"));
            }
        }
    }
}

static void
reply_never_carries_a_line_break_that_came_with_a_fact(void **state)
{
    struct policy_outbound_decision out;

    (void)state;
    check_many(12, 30, '\n', "line one\r\n250 ok", &out);
    assert_null(strpbrk(out.text, "\r\n"));
}

static void
the_rule_that_insists_names_cipher_and_outcome(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 3);
    for (size_t i = 0; i < 3; i++)
        row.rules[i].encrypt = i == 1 ? CONF_ENCRYPT_ALWAYS : CONF_ENCRYPT_IF_POSSIBLE;
    row.rules[2].sign = CONF_SIGN_ALWAYS;
    check_row(&row);
    assert_ptr_equal(row.out.rule, &row.rules[1]);
    assert_ptr_equal(row.got.sign_rule, &row.rules[2]);
    /* if-possible, and it is not: what is left is the signature, and its rule speaks. */
    row.rules[1].encrypt = CONF_ENCRYPT_IF_POSSIBLE;
    row_set_certificate(&row.recipients[0], POLICY_NO);
    check_row(&row);
    assert_false(row.got.encrypt);
    assert_ptr_equal(row.out.rule, &row.rules[2]);
}

static void
of_equal_rules_the_first_recipients_one_is_named(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 2);
    row.rules[0].sign = row.rules[1].sign = CONF_SIGN_ALWAYS;
    check_row(&row);
    assert_ptr_equal(row.got.sign_rule, &row.rules[0]);
    row.rules[0].no_signing_certificate = CONF_NO_SIGNING_UNSIGNED;
    check_row(&row);
    assert_ptr_equal(row.got.sign_rule, &row.rules[1]);
    row.rules[0].encrypt = row.rules[1].encrypt = CONF_ENCRYPT_ALWAYS;
    check_row(&row);
    assert_ptr_equal(row.got.encrypt_rule, &row.rules[0]);
}

static void
hidden_recipient_alone_in_the_envelope_gets_it_encrypted(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 1);
    row.rules[0].encrypt = CONF_ENCRYPT_ALWAYS;
    row.recipients[0].in_header = false;
    check_row(&row);
    assert_int_equal(row.out.action, POLICY_PROTECT);
    assert_true(row.got.encrypt);
}

static void
message_that_passes_says_why(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 1);
    check_row(&row);
    assert_string_equal(row.out.reason, "ok");

    row.facts.already_signed = true;
    check_row(&row);
    assert_string_equal(row.out.reason, "already-signed");

    row.facts.already_encrypted = true;
    check_row(&row);
    assert_string_equal(row.out.reason, "already-encrypted");

    row_init(&row, 1);
    row.rules[0].sign = CONF_SIGN_ALWAYS;
    row.rules[0].no_signing_certificate = CONF_NO_SIGNING_UNSIGNED;
    row.facts.signing = POLICY_NO;
    check_row(&row);
    assert_int_equal(row.out.action, POLICY_PASS);
    assert_string_equal(row.out.reason, "unsigned");

    row_init(&row, 1);
    row.rules[0].encrypt = CONF_ENCRYPT_IF_POSSIBLE;
    row_set_certificate(&row.recipients[0], POLICY_NO);
    check_row(&row);
    assert_int_equal(row.out.action, POLICY_PASS);
    assert_string_equal(row.out.reason, "not-encrypted");

    row_init(&row, 2);
    row.rules[0].smime = false;
    check_row(&row);
    assert_string_equal(row.out.reason, "ok");
}

static void
refusal_for_want_of_a_signing_certificate_says_who_and_why(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 1);
    row.rules[0].sign = CONF_SIGN_ALWAYS;
    row.facts.signing = POLICY_NO;
    row.facts.signing_reason = "cert-expired";
    row.facts.signing_text = "the certificate expired on 2026-11-01";
    check_row(&row);
    assert_string_equal(row.out.reason, "cert-expired");
    assert_string_equal(row.out.text,
                        "must be signed, and there is no valid signing certificate for "
                        "me@our.example: the certificate expired on 2026-11-01; ask your "
                        "administrator for a certificate");
    row.rules[0].no_signing_certificate = CONF_NO_SIGNING_DOMAIN;
    row_set_domain(&row, POLICY_NO);
    check_row(&row);
    assert_non_null(strstr(row.out.text, "me@our.example nor for office@our.example: "));
    /* A fact without a text, a sender without an address: still a sentence. */
    row.facts.signing_text = row.facts.from = row.facts.signing_reason = NULL;
    row.rules[0].no_signing_certificate = CONF_NO_SIGNING_REFUSE;
    row_decide(&row);
    check_form(&row.out);
    assert_non_null(strstr(row.out.text, "for the sender: "));
    assert_string_equal(row.out.reason, "unknown");
}

static void
identity_without_a_text_still_makes_a_reply(void **state)
{
    static const char *const texts[] = { NULL, "" };
    struct row row;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        row_init(&row, 1);
        row.facts.identity = POLICY_IDENTITY_REFUSED;
        row.facts.identity_text = texts[i];
        row_decide(&row);
        check_form(&row.out);
        row.facts.identity = POLICY_IDENTITY_UNKNOWN;
        row_decide(&row);
        check_form(&row.out);
        assert_non_null(strstr(row.out.text, "try again later"));
    }
}

static void
escrow_that_is_missing_or_unknown_is_told_with_its_text(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 1);
    row.rules[0].encrypt = CONF_ENCRYPT_ALWAYS;
    row_set_escrow(&row, POLICY_NO, "archive@our.example: the certificate expired");
    check_row(&row);
    assert_non_null(strstr(row.out.text, row.recipients[0].escrow_text));
    row_set_escrow(&row, POLICY_UNKNOWN, row.recipients[0].escrow_text);
    check_row(&row);
    assert_int_equal(row.out.action, POLICY_DEFER);
    assert_non_null(strstr(row.out.text, row.recipients[0].escrow_text));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pgp_mail_counts_as_encrypted_only_where_every_rule_in_question_says_so),
        cmocka_unit_test(sender_identity_is_enforced_logged_or_left_alone),
        cmocka_unit_test(message_for_recipients_without_s_mime_passes_whatever_else_is_known),
        cmocka_unit_test(message_without_recipients_passes_with_the_built_in_rule),
        cmocka_unit_test(reply_about_one_missing_certificate_says_who_why_and_what_to_do),
        cmocka_unit_test(reply_about_copies_names_both_recipients),
        cmocka_unit_test(reply_about_many_names_ten_and_counts_the_rest),
        cmocka_unit_test(reply_never_carries_a_line_break_that_came_with_a_fact),
        cmocka_unit_test(the_rule_that_insists_names_cipher_and_outcome),
        cmocka_unit_test(of_equal_rules_the_first_recipients_one_is_named),
        cmocka_unit_test(hidden_recipient_alone_in_the_envelope_gets_it_encrypted),
        cmocka_unit_test(message_that_passes_says_why),
        cmocka_unit_test(refusal_for_want_of_a_signing_certificate_says_who_and_why),
        cmocka_unit_test(identity_without_a_text_still_makes_a_reply),
        cmocka_unit_test(escrow_that_is_missing_or_unknown_is_told_with_its_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
