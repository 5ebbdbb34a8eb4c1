#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/rate.h"

static const char *const one[] = { "[203.0.113.5]" };
static const char *const two[] = { "[203.0.113.5]", "alice@example.org" };

static size_t
take_all(struct flow_rate *rate, const struct flow_rate_args *args)
{
    size_t n = 0;

    while (n < 10000 && flow_rate_check(rate, args))
        n++;
    return n;
}

static void
rate_ends_at_the_bound_of_a_name_and_of_all(void **state)
{
    struct flow_rate *rate = NULL;
    struct err err = ERR_INIT;
    struct flow_rate_args args = { .total = 50, .each = 20, .names = one, .count = 1 };
    const char *const other[] = { "bob@example.org" };

    (void)state;
    assert_int_equal(flow_rate_new(&rate, &err), ERR_OK);
    assert_int_equal(take_all(rate, &args), 20);
    /* Another name beside one that is at its bound takes nothing. */
    args.names = two;
    args.count = 2;
    assert_int_equal(take_all(rate, &args), 0);
    args.names = other;
    args.count = 1;
    assert_int_equal(take_all(rate, &args), 20);
    args.names = two + 1;
    assert_int_equal(take_all(rate, &args), 10);
    flow_rate_free(&rate);
    flow_rate_free(&rate);
}

static void
rate_gives_back_what_was_taken_and_no_more(void **state)
{
    struct flow_rate *rate = NULL, *shared;
    struct err err = ERR_INIT;
    struct flow_rate_args args = { .total = 1000, .each = 5, .names = two, .count = 2 };

    (void)state;
    assert_int_equal(flow_rate_new(&rate, &err), ERR_OK);
    shared = flow_rate_add1(rate);
    for (int i = 0; i < 100; i++) {
        assert_true(flow_rate_check(shared, &args));
        flow_rate_reset(shared, &args, true);
    }
    flow_rate_reset(shared, &args, true);
    flow_rate_reset(shared, &args, false);
    flow_rate_free(&shared);
    assert_int_equal(take_all(rate, &args), 5);
    flow_rate_free(&rate);
}

static void
rate_does_not_forget_who_spent_when_a_million_others_come(void **state)
{
    struct flow_rate *rate = NULL;
    struct err err = ERR_INIT;
    struct flow_rate_args args = { .total = 100000000, .each = 5, .names = one, .count = 1 };
    char name[40];
    const char *const many[] = { name };

    (void)state;
    assert_int_equal(flow_rate_new(&rate, &err), ERR_OK);
    assert_int_equal(take_all(rate, &args), 5);
    for (int i = 0; i < 100000; i++) {
        struct flow_rate_args others = { .total = 100000000, .each = 5, .names = many, .count = 1 };

        snprintf(name, sizeof name, "%d@example.net", i);
        assert_true(flow_rate_check(rate, &others));
    }
    assert_int_equal(take_all(rate, &args), 0);
    flow_rate_free(&rate);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_ends_at_the_bound_of_a_name_and_of_all),
        cmocka_unit_test(rate_gives_back_what_was_taken_and_no_more),
        cmocka_unit_test(rate_does_not_forget_who_spent_when_a_million_others_come),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
