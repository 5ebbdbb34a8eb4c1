#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/poison.h"
#include "util/clock.h"

static char folder[] = "/tmp/smimed-poison-XXXXXX";
static char path[128];

static int
folder_new(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/marks", folder);
    return 0;
}

static int
file_remove(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static int
folder_remove(void **state)
{
    (void)file_remove(state);
    return rmdir(folder);
}

static struct flow_poison *
opened(unsigned expected)
{
    struct flow_poison *poison = NULL;
    struct err err = ERR_INIT;
    unsigned suspects = 99;

    if (flow_poison_open(path, &poison, &suspects, &err) != ERR_OK)
        fail_msg("%s", err.text);
    assert_int_equal(suspects, expected);
    return poison;
}

static const unsigned char *
name_of(unsigned number)
{
    static unsigned char name[FLOW_POISON_NAME_BYTES];

    memset(name, 0, sizeof name);
    memcpy(name, &number, sizeof number);
    name[31] = 1;
    return name;
}

/* A process of its own that is killed while it looks at message 1, and had done with message 2. */
static void
killed_in_the_middle(void)
{
    pid_t child = fork();

    if (child == 0) {
        struct err err = ERR_INIT;
        struct flow_poison *poison;
        unsigned suspects;
        int one, two;

        if (flow_poison_open(path, &poison, &suspects, &err) != ERR_OK)
            _exit(1);
        (void)flow_poison_set(poison, name_of(1), &one);
        (void)flow_poison_set(poison, name_of(2), &two);
        flow_poison_finish(poison, &two, FLOW_POISON_WELL);
        raise(SIGKILL);
    }
    waitpid(child, NULL, 0);
}

static void
a_message_that_was_in_flight_twice_is_not_tried_a_third_time(void **state)
{
    struct flow_poison *poison;
    int slot = -1;

    (void)state;
    killed_in_the_middle();
    poison = opened(1);
    assert_int_equal(flow_poison_set(poison, name_of(2), &slot), 0);
    flow_poison_finish(poison, &slot, FLOW_POISON_WELL);
    flow_poison_close(&poison);
    killed_in_the_middle();
    poison = opened(1);
    assert_int_equal(flow_poison_set(poison, name_of(1), &slot), 2);
    assert_int_equal(slot, -1);
    flow_poison_close(&poison);
    poison = opened(0);
    assert_int_equal(flow_poison_set(poison, name_of(1), &slot), 2);
    assert_int_equal(flow_poison_reset(poison, name_of(2)), 0);
    assert_int_equal(flow_poison_reset(poison, NULL), 1);
    assert_int_equal(flow_poison_set(poison, name_of(1), &slot), 0);
    flow_poison_finish(poison, &slot, FLOW_POISON_WELL);
    flow_poison_close(&poison);
}

static void
a_try_that_ends_well_clears_an_innocent(void **state)
{
    struct flow_poison *poison;
    int slot = -1;

    (void)state;
    killed_in_the_middle();
    poison = opened(1);
    assert_int_equal(flow_poison_set(poison, name_of(1), &slot), 1);
    flow_poison_finish(poison, &slot, FLOW_POISON_ABORTED);
    assert_int_equal(slot, -1);
    assert_int_equal(flow_poison_set(poison, name_of(1), &slot), 1);
    flow_poison_finish(poison, &slot, FLOW_POISON_WELL);
    assert_int_equal(flow_poison_set(poison, name_of(1), &slot), 0);
    flow_poison_finish(poison, &slot, FLOW_POISON_STALLED);
    assert_int_equal(flow_poison_set(poison, name_of(1), &slot), 1);
    flow_poison_finish(poison, &slot, FLOW_POISON_STALLED);
    assert_int_equal(flow_poison_set(poison, name_of(1), &slot), 2);
    flow_poison_finish(poison, &slot, FLOW_POISON_WELL);
    assert_int_equal(flow_poison_set(NULL, name_of(1), &slot), 0);
    flow_poison_finish(NULL, &slot, FLOW_POISON_WELL);
    flow_poison_close(&poison);
}

static void
marks_beyond_the_last_place_are_not_set_and_suspects_make_room(void **state)
{
    static int slots[FLOW_POISON_SLOTS + 10];
    struct flow_poison *poison = opened(0);

    (void)state;
    for (unsigned i = 0; i < FLOW_POISON_SLOTS + 10; i++) {
        assert_int_equal(flow_poison_set(poison, name_of(i), &slots[i]), 0);
        assert_int_equal(slots[i] < 0, i >= FLOW_POISON_SLOTS);
    }
    flow_poison_finish(poison, &slots[7], FLOW_POISON_STALLED);
    assert_int_equal(flow_poison_set(poison, name_of(90000), &slots[7]), 0);
    assert_true(slots[7] >= 0);
    for (unsigned i = 0; i < FLOW_POISON_SLOTS + 10; i++)
        flow_poison_finish(poison, &slots[i], FLOW_POISON_WELL);
    flow_poison_close(&poison);
    poison = opened(0);
    flow_poison_close(&poison);
}

static void
one_process_at_a_time_and_a_private_file(void **state)
{
    struct flow_poison *poison = opened(0), *second = NULL;
    struct err err = ERR_INIT;
    unsigned suspects;

    (void)state;
    assert_int_equal(flow_poison_open(path, &second, &suspects, &err), ERR_TEMP);
    assert_non_null(strstr(err.text, "in use"));
    flow_poison_close(&poison);
    err_reset(&err);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(flow_poison_open(path, &second, &suspects, &err), ERR_PERM);
    err_reset(&err);
    assert_int_equal(flow_poison_open("/nonexistent/marks", &second, &suspects, &err), ERR_TEMP);
    assert_null(second);
}

static void
garbage_is_no_mark(void **state)
{
    struct flow_poison *poison = opened(0);
    int fd, slot = -1;
    unsigned char garbage[4096];

    (void)state;
    flow_poison_close(&poison);
    memset(garbage, 0xa5, sizeof garbage);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, garbage, sizeof garbage, 64), sizeof garbage);
    poison = opened(0);
    assert_int_equal(flow_poison_set(poison, name_of(1), &slot), 0);
    flow_poison_finish(poison, &slot, FLOW_POISON_WELL);
    flow_poison_close(&poison);
    assert_int_equal(pwrite(fd, garbage, sizeof garbage, 0), sizeof garbage);
    assert_int_equal(ftruncate(fd, 100), 0);
    close(fd);
    poison = opened(0);
    flow_poison_close(&poison);
}

static void *
mark_many(void *context)
{
    for (unsigned i = 0; i < 2000; i++) {
        unsigned char name[FLOW_POISON_NAME_BYTES] = { 0 };
        unsigned number = i % 3;
        int slot;

        memcpy(name, &number, sizeof number);
        (void)flow_poison_set(context, name, &slot);
        flow_poison_finish(context, &slot, FLOW_POISON_WELL);
    }
    return NULL;
}

static void
threads_mark_side_by_side(void **state)
{
    struct flow_poison *poison = opened(0);
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, mark_many, poison), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    flow_poison_close(&poison);
    poison = opened(0);
    flow_poison_close(&poison);
}

/* A stop as it should be: who is in flight then is no suspect for it, and stays what he was. */
static void
an_ordinary_end_makes_no_suspects(void **state)
{
    struct flow_poison *poison;
    unsigned suspects, poisoned;
    int one = -1, two = -1, late = -1;

    (void)state;
    killed_in_the_middle();
    poison = opened(1);
    assert_int_equal(flow_poison_set(poison, name_of(1), &one), 1);
    assert_int_equal(flow_poison_set(poison, name_of(2), &two), 0);
    flow_poison_deinit(poison);
    assert_int_equal(flow_poison_set(poison, name_of(3), &late), 0);
    assert_int_equal(late, -1);
    flow_poison_finish(poison, &one, FLOW_POISON_ABORTED);
    flow_poison_finish(poison, &two, FLOW_POISON_WELL);
    flow_poison_get(poison, &suspects, &poisoned);
    assert_int_equal(suspects, 1);
    assert_int_equal(poisoned, 0);
    flow_poison_close(&poison);
    poison = opened(0);
    assert_int_equal(flow_poison_set(poison, name_of(1), &one), 1);
    flow_poison_finish(poison, &one, FLOW_POISON_WELL);
    flow_poison_get(NULL, &suspects, &poisoned);
    assert_int_equal(suspects, 0);
    flow_poison_close(&poison);
}

/* Threads that never come back count like crashes. */
static void
a_message_that_is_stuck_twice_is_not_tried_again(void **state)
{
    struct flow_poison *poison = opened(0);
    int slots[3] = { -1, -1, -1 };

    (void)state;
    clock_set_s(1800000000);
    assert_int_equal(flow_poison_set(poison, name_of(9), &slots[0]), 0);
    assert_int_equal(flow_poison_set(poison, name_of(9), &slots[1]), 0);
    clock_set_s(1800000000 + FLOW_POISON_STUCK_S + 1);
    assert_int_equal(flow_poison_set(poison, name_of(9), &slots[2]), 2);
    assert_int_equal(slots[2], -1);
    flow_poison_finish(poison, &slots[0], FLOW_POISON_WELL);
    assert_int_equal(flow_poison_set(poison, name_of(9), &slots[2]), 1);
    flow_poison_finish(poison, &slots[1], FLOW_POISON_WELL);
    flow_poison_finish(poison, &slots[2], FLOW_POISON_WELL);
    clock_set_s(0);
    flow_poison_close(&poison);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_ordinary_end_makes_no_suspects, file_remove),
        cmocka_unit_test_teardown(a_message_that_is_stuck_twice_is_not_tried_again, file_remove),
        cmocka_unit_test_teardown(a_message_that_was_in_flight_twice_is_not_tried_a_third_time,
                                  file_remove),
        cmocka_unit_test_teardown(a_try_that_ends_well_clears_an_innocent, file_remove),
        cmocka_unit_test_teardown(marks_beyond_the_last_place_are_not_set_and_suspects_make_room,
                                  file_remove),
        cmocka_unit_test_teardown(one_process_at_a_time_and_a_private_file, file_remove),
        cmocka_unit_test_teardown(garbage_is_no_mark, file_remove),
        cmocka_unit_test_teardown(threads_mark_side_by_side, file_remove),
    };

    return cmocka_run_group_tests(tests, folder_new, folder_remove);
}
