#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "pki/fetch_gate.h"
#include "util/clock.h"

struct waiter {
    struct pki_fetch_gate *gate;
    unsigned patience_ms;
    enum pki_fetch_turn turn;
    char body[20];
    atomic_bool is_there;
};

static struct pki_fetch_gate *
gate_new(unsigned remembered)
{
    struct pki_fetch_gate *gate = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(pki_fetch_gate_new(&(struct pki_fetch_gate_args){ .remembered = remembered,
                                                                       .first_s = 30,
                                                                       .most_s = 3600 },
                                        &gate, &err),
                     ERR_OK);
    return gate;
}

static enum pki_fetch_turn
ask(struct pki_fetch_gate *gate, const char *url, unsigned patience_ms,
    struct pki_fetch_flight **out, struct err *err)
{
    struct pki_fetch_gate_key key = { .url = span_str(url) };

    err_reset(err);
    return pki_fetch_gate_get(gate, &key, clock_monotonic_ms() + patience_ms, out, err);
}

static void
land(struct pki_fetch_gate *gate, struct pki_fetch_flight **flight, enum err_code code, bool own)
{
    (*flight)->code = code;
    if (code != ERR_OK)
        (void)err_set_reason(&(*flight)->err, code, "fetch-status", "failed");
    pki_fetch_gate_finish(gate, *flight, own);
    pki_fetch_gate_reset(gate, flight);
}

static void *
wait_for(void *context)
{
    struct waiter *waiter = context;
    struct pki_fetch_flight *flight = NULL;
    struct err err = ERR_INIT;

    waiter->is_there = true;
    waiter->turn = ask(waiter->gate, "u", waiter->patience_ms, &flight, &err);
    if (waiter->turn == PKI_FETCH_TURN_SHARED)
        snprintf(waiter->body, sizeof waiter->body, "%s", buf_str(&flight->body));
    if (waiter->turn == PKI_FETCH_TURN_LEAD)
        land(waiter->gate, &flight, ERR_OK, false);
    pki_fetch_gate_reset(waiter->gate, &flight);
    return NULL;
}

/* A leader lands after the waiter has come; what became of the waiter. */
static void
wait_while_leading(struct waiter *waiter, bool own, bool land_first)
{
    struct pki_fetch_flight *flight = NULL;
    struct err err = ERR_INIT;
    pthread_t thread;

    assert_int_equal(ask(waiter->gate, "u", 1000, &flight, &err), PKI_FETCH_TURN_LEAD);
    buf_init(&flight->body, 100);
    assert_int_equal(buf_append_str(&flight->body, "body", &err), ERR_OK);
    assert_int_equal(pthread_create(&thread, NULL, wait_for, waiter), 0);
    while (!waiter->is_there)
        poll(NULL, 0, 1);
    poll(NULL, 0, 50); /* so that it waits: it is right without, but shows nothing */
    if (land_first)
        land(waiter->gate, &flight, own ? ERR_TEMP : ERR_OK, own);
    pthread_join(thread, NULL);
    if (!land_first)
        land(waiter->gate, &flight, ERR_OK, false);
}

static void
who_waits_shares_the_answer(void **state)
{
    struct waiter waiter = { .gate = gate_new(4), .patience_ms = 20000 };

    (void)state;
    wait_while_leading(&waiter, false, true);
    if (waiter.turn != PKI_FETCH_TURN_LEAD) { /* it came too late on a very loaded machine */
        assert_int_equal(waiter.turn, PKI_FETCH_TURN_SHARED);
        assert_string_equal(waiter.body, "body");
    }
    pki_fetch_gate_free(&waiter.gate);
}

static void
who_waits_goes_on_its_own_when_the_leader_learned_nothing(void **state)
{
    struct waiter waiter = { .gate = gate_new(4), .patience_ms = 20000 };

    (void)state;
    wait_while_leading(&waiter, true, true);
    assert_int_equal(waiter.turn, PKI_FETCH_TURN_LEAD);
    assert_int_equal(pki_fetch_gate_find(waiter.gate, span_str("u")), 0);
    pki_fetch_gate_free(&waiter.gate);
}

static void
who_waits_does_so_until_its_deadline(void **state)
{
    struct waiter waiter = { .gate = gate_new(4), .patience_ms = 100 };

    (void)state;
    wait_while_leading(&waiter, false, false);
    assert_int_equal(waiter.turn, PKI_FETCH_TURN_NONE);
    pki_fetch_gate_free(&waiter.gate);
}

static void
an_answer_ends_the_failure_and_a_clock_set_back_the_wait(void **state)
{
    struct pki_fetch_gate *gate = gate_new(4);
    struct pki_fetch_flight *flight = NULL;
    struct err err = ERR_INIT;

    (void)state;
    clock_set_s(1800000000);
    assert_int_equal(ask(gate, "u", 1000, &flight, &err), PKI_FETCH_TURN_LEAD);
    land(gate, &flight, ERR_NOTFOUND, false);
    assert_int_equal(ask(gate, "u", 1000, &flight, &err), PKI_FETCH_TURN_HELD);
    assert_int_equal(err.code, ERR_NOTFOUND);
    clock_set_s(1799990000);
    assert_int_equal(ask(gate, "u", 1000, &flight, &err), PKI_FETCH_TURN_LEAD);
    assert_int_equal(pki_fetch_gate_find(gate, span_str("u")), 1800000000);
    land(gate, &flight, ERR_OK, false);
    assert_int_equal(pki_fetch_gate_find(gate, span_str("u")), 0);
    assert_int_equal(ask(gate, "u", 1000, &flight, &err), PKI_FETCH_TURN_LEAD);
    land(gate, &flight, ERR_OK, false);
    clock_set_s(0);
    pki_fetch_gate_free(&gate);
}

static void
the_least_recently_used_failure_is_forgotten(void **state)
{
    static const char *const urls[] = { "a", "b", "c" };
    struct pki_fetch_gate *gate = gate_new(3);
    struct pki_fetch_flight *flight = NULL;
    struct err err = ERR_INIT;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(gate, urls[i], 1000, &flight, &err), PKI_FETCH_TURN_LEAD);
        land(gate, &flight, ERR_TEMP, false);
    }
    assert_int_equal(ask(gate, "a", 1000, &flight, &err), PKI_FETCH_TURN_HELD);
    assert_int_equal(ask(gate, "d", 1000, &flight, &err), PKI_FETCH_TURN_LEAD);
    land(gate, &flight, ERR_TEMP, false);
    assert_int_equal(ask(gate, "a", 1000, &flight, &err), PKI_FETCH_TURN_HELD);
    assert_int_equal(pki_fetch_gate_find(gate, span_str("b")), 0);
    assert_int_not_equal(pki_fetch_gate_find(gate, span_str("c")), 0);
    pki_fetch_gate_free(&gate);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_shares_the_answer),
        cmocka_unit_test(who_waits_goes_on_its_own_when_the_leader_learned_nothing),
        cmocka_unit_test(who_waits_does_so_until_its_deadline),
        cmocka_unit_test(an_answer_ends_the_failure_and_a_clock_set_back_the_wait),
        cmocka_unit_test(the_least_recently_used_failure_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
