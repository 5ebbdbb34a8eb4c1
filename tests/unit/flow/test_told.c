#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/bypass.h"
#include "flow/told.h"
#include "util/clock.h"
#include "util/file.h"

static char folder[] = "/tmp/told-XXXXXX";
static char path[64];

static int
make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/told-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/letters", folder);
    return 0;
}

static int
remove_folder(void **state)
{
    char other[64];

    (void)state;
    snprintf(other, sizeof other, "%s/bypass", folder);
    (void)unlink(path);
    (void)unlink(other);
    return rmdir(folder);
}

static bool
all_but_gone(const void *context, const char *fingerprint)
{
    (void)context;
    return strcmp(fingerprint, "90be") != 0;
}

static void
what_was_written_is_known_after_a_restart_and_what_is_gone_is_forgotten(void **state)
{
    struct flow_told *told = NULL;
    struct err err = ERR_INIT;
    struct stat st;

    (void)state;
    assert_int_equal(flow_told_load(path, &told, &err), ERR_OK);
    assert_true(flow_told_is_new(told));
    assert_int_equal(flow_told_get(told, FLOW_NOTICE_EXPIRES, "aa"), 0);
    assert_int_equal(flow_told_set(told, FLOW_NOTICE_EXPIRES, "aa", 5, &err), ERR_OK);
    assert_int_equal(flow_told_set(told, FLOW_NOTICE_EXPIRES, "aa", 7, &err), ERR_OK);
    assert_int_equal(flow_told_set(told, FLOW_NOTICE_ARRIVED, "90be", 9, &err), ERR_OK);
    assert_int_equal(flow_told_write(told, all_but_gone, NULL, &err), ERR_OK);
    assert_false(flow_told_is_new(told));
    flow_told_free(&told);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    assert_int_equal(flow_told_load(path, &told, &err), ERR_OK);
    assert_false(flow_told_is_new(told));
    assert_int_equal(flow_told_get(told, FLOW_NOTICE_EXPIRES, "aa"), 7);
    assert_int_equal(flow_told_get(told, FLOW_NOTICE_ARRIVED, "aa"), 0);
    assert_int_equal(flow_told_get(told, FLOW_NOTICE_ARRIVED, "90be"), 0);
    flow_told_free(&told);
}

static void
what_is_not_ours_or_not_safe_is_no_empty_list(void **state)
{
    static const char *const wrong[] = { "",
                                         "smimed letters 2\n",
                                         "smimed letters 1\nx 1\n",
                                         "smimed letters 1\neaa\n",
                                         "smimed letters 1\nezz 5\n",
                                         "smimed letters 1\naaa five\n" };
    struct flow_told *told = NULL;
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        err_reset(&err);
        assert_int_equal(file_write(path, span_str(wrong[i]), 0600, &err), ERR_OK);
        assert_int_equal(flow_told_load(path, &told, &err), ERR_PERM);
        assert_null(told);
    }
    err_reset(&err);
    assert_int_equal(file_write(path, span_str("smimed letters 1\n"), 0644, &err), ERR_OK);
    assert_int_equal(flow_told_load(path, &told, &err), ERR_PERM);
}

/* ---- bypass ------------------------------------------------------------------------------------
 */

static void
bypass_ends_by_itself_is_bounded_and_survives(void **state)
{
    struct conf_global global = { .state_folder = folder, .bypass_max = 4 * 3600 * 1000 };
    struct err err = ERR_INIT;
    time_t now = 1800000000;
    char file[64];

    (void)state;
    clock_set_s(now);
    assert_int_equal(flow_bypass_load(&global, &err), ERR_OK);
    assert_int_equal(flow_bypass_get(), 0);
    assert_int_equal(flow_bypass_set(&global, 4 * 3600 * 1000 + 1000, &err), ERR_LIMIT);
    assert_int_equal(flow_bypass_get(), 0);
    err_reset(&err);
    assert_int_equal(flow_bypass_set(&global, 2 * 3600 * 1000, &err), ERR_OK);
    assert_int_equal(flow_bypass_get(), now + 7200);
    assert_int_equal(flow_bypass_load(&global, &err), ERR_OK);
    assert_int_equal(flow_bypass_get(), now + 7200);
    clock_set_s(now + 7199);
    assert_int_equal(flow_bypass_get(), now + 7200);
    clock_set_s(now + 7200);
    assert_int_equal(flow_bypass_get(), 0);
    /* A clock that was put back does not make a day of two hours. */
    clock_set_s(now - 3 * 3600);
    assert_int_equal(flow_bypass_get(), 0);
    clock_set_s(now);
    assert_int_equal(flow_bypass_set(&global, 0, &err), ERR_OK);
    assert_int_equal(flow_bypass_get(), 0);
    /* What cannot be read is off, and told. */
    snprintf(file, sizeof file, "%s/bypass", folder);
    assert_int_equal(file_write(file, span_str("smimed bypass until 1800000600"), 0666, &err),
                     ERR_OK);
    assert_int_equal(flow_bypass_load(&global, &err), ERR_PERM);
    assert_int_equal(flow_bypass_get(), 0);
    err_reset(&err);
    assert_int_equal(file_write(file, span_str("something else"), 0600, &err), ERR_OK);
    assert_int_equal(flow_bypass_load(&global, &err), ERR_PERM);
    assert_int_equal(flow_bypass_get(), 0);
    /* Nowhere to write it: nothing has changed. */
    err_reset(&err);
    global.state_folder = (char *)"/nonexistent";
    assert_int_not_equal(flow_bypass_set(&global, 3600 * 1000, &err), ERR_OK);
    assert_int_equal(flow_bypass_get(), 0);
    clock_set_s(0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_was_written_is_known_after_a_restart_and_what_is_gone_is_forgotten, make_folder,
            remove_folder),
        cmocka_unit_test_setup_teardown(what_is_not_ours_or_not_safe_is_no_empty_list, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(bypass_ends_by_itself_is_bounded_and_survives, make_folder,
                                        remove_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
