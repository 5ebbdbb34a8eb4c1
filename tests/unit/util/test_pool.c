#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "util/pool.h"

/* A gate that tasks wait at, so that a test decides how far they are. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned begun, ended, dropped;
    bool open;
    bool signals_blocked;
};

static void
gate_init(struct gate *gate)
{
    *gate = (struct gate){ .signals_blocked = true };
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->moved, NULL);
}

static void
gate_deinit(struct gate *gate)
{
    pthread_cond_destroy(&gate->moved);
    pthread_mutex_destroy(&gate->lock);
}

static void
gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->moved);
    pthread_mutex_unlock(&gate->lock);
}

static void
gate_wait(struct gate *gate, const unsigned *counter, unsigned count)
{
    pthread_mutex_lock(&gate->lock);
    while (*counter < count)
        pthread_cond_wait(&gate->moved, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static void
pass(void *context, bool run)
{
    struct gate *gate = context;
    sigset_t blocked;

    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    pthread_mutex_lock(&gate->lock);
    if (run) {
        gate->signals_blocked &= sigismember(&blocked, SIGTERM) == 1;
        gate->begun++;
        pthread_cond_broadcast(&gate->moved);
        while (!gate->open)
            pthread_cond_wait(&gate->moved, &gate->lock);
        gate->ended++;
    } else {
        gate->dropped++;
    }
    pthread_cond_broadcast(&gate->moved);
    pthread_mutex_unlock(&gate->lock);
}

static struct pool *
make(unsigned threads, size_t queue)
{
    struct pool *pool = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(
        pool_new(&(struct pool_args){ .threads = threads, .queue = queue }, &pool, &err), ERR_OK);
    return pool;
}

static void
work_runs_side_by_side_up_to_the_number_of_threads(void **state)
{
    struct pool *pool = make(3, 10);
    struct pool_facts facts;
    struct err err = ERR_INIT;
    struct gate gate;

    (void)state;
    gate_init(&gate);
    for (int i = 0; i < 5; i++)
        assert_int_equal(pool_submit(pool, pass, &gate, &err), ERR_OK);
    gate_wait(&gate, &gate.begun, 3);
    pool_get(pool, &facts);
    assert_int_equal(facts.threads, 3);
    assert_int_equal(facts.waiting, 2);
    gate_open(&gate);
    gate_wait(&gate, &gate.ended, 5);
    assert_true(gate.signals_blocked);
    pool_free(&pool);
    assert_null(pool);
    gate_deinit(&gate);
}

static void
what_does_not_fit_into_the_queue_is_refused(void **state)
{
    struct pool *pool = make(1, 2);
    struct pool_facts facts;
    struct err err = ERR_INIT;
    struct gate gate;

    (void)state;
    gate_init(&gate);
    assert_int_equal(pool_submit(pool, pass, &gate, &err), ERR_OK);
    gate_wait(&gate, &gate.begun, 1);
    assert_int_equal(pool_submit(pool, pass, &gate, &err), ERR_OK);
    assert_int_equal(pool_submit(pool, pass, &gate, &err), ERR_OK);
    assert_int_equal(pool_submit(pool, pass, &gate, &err), ERR_LIMIT);
    assert_string_equal(err.reason, "busy");
    pool_get(pool, &facts);
    assert_int_equal(facts.refused, 1);
    gate_open(&gate);
    gate_wait(&gate, &gate.ended, 3);
    pool_free(&pool);
    gate_deinit(&gate);
}

static void *
free_pool(void *context)
{
    struct pool *pool = context;

    pool_free(&pool);
    return NULL;
}

static void
the_end_waits_for_what_runs_and_drops_what_waits(void **state)
{
    struct pool *pool = make(1, 8);
    struct err err = ERR_INIT;
    struct gate gate;
    pthread_t thread;

    (void)state;
    gate_init(&gate);
    assert_int_equal(pool_submit(pool, pass, &gate, &err), ERR_OK);
    gate_wait(&gate, &gate.begun, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pool_submit(pool, pass, &gate, &err), ERR_OK);
    assert_int_equal(pthread_create(&thread, NULL, free_pool, pool), 0);
    /* Refused from the moment it ends: then the gate may open. */
    do
        err_reset(&err);
    while (pool_submit(pool, pass, &gate, &err) == ERR_OK || !strstr(err.text, "ending"));
    gate_open(&gate);
    pthread_join(thread, NULL);
    assert_int_equal(gate.ended, 1);
    assert_true(gate.dropped >= 3);
    gate_deinit(&gate);
}

static void
free_accepts_nothing_and_a_pool_without_work(void **state)
{
    struct pool *pool = NULL;

    (void)state;
    pool_free(NULL);
    pool_free(&pool);
    pool = make(0, 0);
    pool_free(&pool);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_runs_side_by_side_up_to_the_number_of_threads),
        cmocka_unit_test(what_does_not_fit_into_the_queue_is_refused),
        cmocka_unit_test(the_end_waits_for_what_runs_and_drops_what_waits),
        cmocka_unit_test(free_accepts_nothing_and_a_pool_without_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
