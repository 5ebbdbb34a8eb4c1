/* The decision over the whole space of facts: what must hold of every row of it. */
#include "tests/unit/policy/outbound_row.h"

/* Sets recipient `i` to state `n` of its space: rule and facts together. */
enum { RECIPIENT_STATES = 2 * 2 * 3 * 3 * 2 };

static void
row_set_recipient(struct row *row, size_t i, int n)
{
    row->rules[i].smime = n % 2 == 0;
    n /= 2;
    row->rules[i].sign = n % 2;
    n /= 2;
    row->rules[i].encrypt = n % 3;
    n /= 3;
    row_set_certificate(&row->recipients[i], n % 3);
    n /= 3;
    row->recipients[i].in_header = n % 2 == 0;
}

static void
every_decision_about_encryption_keeps_the_rules(void **state)
{
    struct row row;
    unsigned long rows = 0;

    (void)state;
    row_init(&row, 2);
    for (int a = 0; a < RECIPIENT_STATES; a++) {
        row_set_recipient(&row, 0, a);
        for (int b = 0; b < RECIPIENT_STATES; b++) {
            row_set_recipient(&row, 1, b);
            for (int message = 0; message < 2 * 2 * 3 * 3 * 3; message++) {
                row.facts.already_signed = message % 2;
                row.facts.already_encrypted = message / 2 % 2;
                row.facts.pgp_encrypted = message / 4 % 3 > 0;
                row.rules[0].pgp_is_encrypted = message / 4 % 3 > 1;
                row.rules[1].pgp_is_encrypted = message / 4 % 3 > 1;
                row.facts.signing = (enum policy_known)(message / 12 % 3);
                row_set_escrow(&row, (enum policy_known)(message / 36 % 3), "archive@our.example");
                check_row(&row);
                rows++;
            }
        }
    }
    assert_int_equal(rows, 72ul * 72 * 108);
}

static void
every_decision_about_signing_keeps_the_rules(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 2);
    for (unsigned n = 0; n < 2 * 2 * 2 * 2 * 3 * 3 * 3 * 3 * 3 * 3 * 2 * 2 * 2; n++) {
        unsigned k = n;

#define TAKE(values)     \
    (int)(k % (values)); \
    k /= (values)
        for (size_t i = 0; i < 2; i++) {
            row.rules[i].smime = TAKE(2);
            row.rules[i].sign = TAKE(2);
            row.rules[i].no_signing_certificate = TAKE(3);
            row.rules[i].encrypt = TAKE(3);
        }
        row.facts.signing = (enum policy_known)TAKE(3);
        row_set_domain(&row, (enum policy_known)(k % 3));
        k /= 3;
        row.facts.only_opaque = TAKE(2);
        row.facts.already_signed = TAKE(2);
        row.rules[0].sign_format = TAKE(2);
#undef TAKE
        check_row(&row);
    }
}

static void
every_decision_about_three_recipients_keeps_the_rules(void **state)
{
    struct row row;

    (void)state;
    row_init(&row, 3);
    for (int a = 0; a < RECIPIENT_STATES; a++) {
        row_set_recipient(&row, 0, a);
        for (int b = 0; b < RECIPIENT_STATES; b++) {
            row_set_recipient(&row, 1, b);
            for (int c = 0; c < RECIPIENT_STATES; c++) {
                row_set_recipient(&row, 2, c);
                check_row(&row);
            }
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_decision_about_encryption_keeps_the_rules),
        cmocka_unit_test(every_decision_about_signing_keeps_the_rules),
        cmocka_unit_test(every_decision_about_three_recipients_keeps_the_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
