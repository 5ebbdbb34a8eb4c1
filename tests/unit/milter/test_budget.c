#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "milter/budget.h"
#include "util/clock.h"

static int
begin(void **state)
{
    (void)state;
    milter_budget_reset();
    return 0;
}

static void
budget_takes_as_many_messages_as_allowed(void **state)
{
    struct milter_budget_facts facts;

    (void)state;
    assert_true(milter_budget_take_message(2, 1000));
    assert_true(milter_budget_take_message(2, 1000));
    assert_false(milter_budget_take_message(2, 1000));
    assert_true(milter_budget_take_message(3, 1000)); /* a reload raised it */
    milter_budget_release_message(MILTER_RESULT_DELIVERED);
    milter_budget_release_message(MILTER_RESULT_REFUSED);
    assert_true(milter_budget_take_message(2, 1000));
    milter_budget_get(&facts);
    assert_int_equal(facts.messages, 2);
    assert_int_equal(facts.messages_total, 4);
    assert_int_equal(facts.results[MILTER_RESULT_BUSY], 1);
    assert_int_equal(facts.results[MILTER_RESULT_DELIVERED], 1);
    assert_int_equal(facts.results[MILTER_RESULT_REFUSED], 1);
}

static void
budget_of_connections_counts_the_refused(void **state)
{
    struct milter_budget_facts facts;

    (void)state;
    assert_true(milter_budget_take_connection(1));
    assert_false(milter_budget_take_connection(1));
    milter_budget_release_connection();
    assert_true(milter_budget_take_connection(1));
    milter_budget_get(&facts);
    assert_int_equal(facts.connections, 1);
    assert_int_equal(facts.connections_total, 2);
    assert_int_equal(facts.connections_refused, 1);
}

static void
budget_of_octets_stops_the_message_that_asks_for_more(void **state)
{
    struct milter_budget_facts facts;
    uint64_t a = 0, b = 0;

    (void)state;
    assert_true(milter_budget_set_bytes(&a, 600, 1000));
    assert_true(milter_budget_set_bytes(&b, 400, 1000));
    assert_false(milter_budget_set_bytes(&b, 401, 1000));
    assert_false(milter_budget_set_bytes_to_end(&b, 402, 1000));
    assert_true(milter_budget_set_bytes(&a, 600, 1000)); /* asks for nothing */
    assert_false(milter_budget_take_message(10, 1000));
    assert_true(milter_budget_set_bytes(&b, 0, 1000));
    assert_true(milter_budget_take_message(10, 1000));
    assert_true(milter_budget_set_bytes_to_end(&a, 1200, 1000)); /* alone, it goes on */
    assert_true(milter_budget_set_bytes(&a, 0, 0));
    milter_budget_get(&facts);
    assert_int_equal(facts.bytes, 0);
    assert_int_equal(facts.bytes_peak, 1200);
}

static struct milter_budget_slot first, second, third;

static void *
release_soon(void *unused)
{
    struct milter_budget_facts facts;

    do
        milter_budget_get(&facts);
    while (facts.slots_waiting == 0);
    milter_budget_release_slot(&first);
    return unused;
}

static void
budget_slot_is_waited_for(void **state)
{
    pthread_t other;

    (void)state;
    first.patience_ms = second.patience_ms = 60000;
    assert_true(milter_budget_take_slot(&first, 1, 0));
    assert_int_equal(pthread_create(&other, NULL, release_soon, NULL), 0);
    assert_true(milter_budget_take_slot(&second, 1, clock_monotonic_ms() + 60000));
    pthread_join(other, NULL);
    milter_budget_release_slot(&second);
}

static char order[3];
static size_t order_n;

/* The slot's one holder writes down his letter. */
static void *
take_and_tell(void *letter)
{
    struct milter_budget_slot slot = { .patience_ms = 60000 };

    if (milter_budget_take_slot(&slot, 1, clock_monotonic_ms() + 60000)) {
        order[order_n++] = *(const char *)letter;
        milter_budget_release_slot(&slot);
    }
    return NULL;
}

static void
budget_slots_are_given_in_the_order_of_asking(void **state)
{
    static const char *const letters[] = { "a", "b", "c" };
    struct milter_budget_facts facts;
    pthread_t waiters[3];

    (void)state;
    first.patience_ms = 60000;
    assert_true(milter_budget_take_slot(&first, 1, 0));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&waiters[i], NULL, take_and_tell, (void *)letters[i]), 0);
        do
            milter_budget_get(&facts);
        while (facts.slots_waiting <= i);
    }
    milter_budget_release_slot(&first);
    for (size_t i = 0; i < 3; i++)
        pthread_join(waiters[i], NULL);
    assert_memory_equal(order, "abc", 3);
}

static void
budget_slot_that_does_not_come_free_ends_at_the_deadline(void **state)
{
    struct milter_budget_facts facts;

    (void)state;
    first.patience_ms = 60000;
    assert_true(milter_budget_take_slot(&first, 1, 0));
    assert_false(milter_budget_take_slot(&second, 1, clock_monotonic_ms() + 20));
    assert_false(milter_budget_take_slot(&second, 1, clock_monotonic_ms() - 1));
    milter_budget_get(&facts);
    assert_int_equal(facts.slots, 1);
    assert_int_equal(facts.slots_waiting, 0);
    milter_budget_release_slot(&first);
}

static void
budget_slot_of_a_holder_that_does_not_move_counts_no_longer(void **state)
{
    struct milter_budget_facts facts;

    (void)state;
    first.patience_ms = 0; /* stale at once */
    second.patience_ms = third.patience_ms = 60000;
    assert_true(milter_budget_take_slot(&first, 1, 0));
    assert_true(milter_budget_take_slot(&second, 1, 0));
    first.patience_ms = 60000;
    milter_budget_reset_slot(&first); /* it moves again */
    assert_false(milter_budget_take_slot(&third, 2, 0));
    milter_budget_release_slot(&first);
    assert_true(milter_budget_take_slot(&third, 2, 0));
    milter_budget_release_slot(&second);
    milter_budget_release_slot(&third);
    milter_budget_get(&facts);
    assert_int_equal(facts.slots, 0);
}

static void *
release_message(void *unused)
{
    milter_budget_release_message(MILTER_RESULT_DELIVERED);
    return unused;
}

static void
budget_that_stops_takes_nothing_and_waits_for_the_rest(void **state)
{
    pthread_t other;

    (void)state;
    assert_true(milter_budget_take_message(10, 1000));
    milter_budget_stop();
    assert_false(milter_budget_take_message(10, 1000));
    assert_false(milter_budget_wait_idle(clock_monotonic_ms() + 20));
    assert_int_equal(pthread_create(&other, NULL, release_message, NULL), 0);
    assert_true(milter_budget_wait_idle(clock_monotonic_ms() + 60000));
    pthread_join(other, NULL);
    assert_true(milter_budget_wait_slots(0));
}

static void
budget_results_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < MILTER_RESULT_COUNT; i++)
        assert_non_null(milter_result_name((enum milter_result)i));
    assert_string_equal(milter_result_name(MILTER_RESULT_COUNT), "unknown");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(budget_takes_as_many_messages_as_allowed, begin),
        cmocka_unit_test_setup(budget_of_connections_counts_the_refused, begin),
        cmocka_unit_test_setup(budget_of_octets_stops_the_message_that_asks_for_more, begin),
        cmocka_unit_test_setup(budget_slot_is_waited_for, begin),
        cmocka_unit_test_setup(budget_slots_are_given_in_the_order_of_asking, begin),
        cmocka_unit_test_setup(budget_slot_that_does_not_come_free_ends_at_the_deadline, begin),
        cmocka_unit_test_setup(budget_slot_of_a_holder_that_does_not_move_counts_no_longer, begin),
        cmocka_unit_test_setup(budget_that_stops_takes_nothing_and_waits_for_the_rest, begin),
        cmocka_unit_test(budget_results_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
