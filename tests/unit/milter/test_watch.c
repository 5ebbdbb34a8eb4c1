#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "milter/watch.h"

static char *no_paths[] = { NULL };

struct place {
    char folder[64];
    struct conf conf;
};

static int
begin(void **state)
{
    struct place *place = calloc(1, sizeof *place);

    snprintf(place->folder, sizeof place->folder, "/tmp/smimed-watch-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    place->conf.global.keys_folder = place->folder;
    place->conf.global.certificate_folders = no_paths;
    *state = place;
    return 0;
}

static int
end(void **state)
{
    struct place *place = *state;
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s", place->folder);
    assert_int_equal(system(command), 0);
    free(place);
    return 0;
}

static void
put(const struct place *place, const char *name, const char *text)
{
    char path[160];

    snprintf(path, sizeof path, "%s/%s", place->folder, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void
watch_sees_files_come_change_and_go(void **state)
{
    struct place *place = *state;
    char path[160], other[160];

    uint64_t empty = milter_watch_get(&place->conf);
    assert_int_equal(milter_watch_get(&place->conf), empty);
    put(place, "a.pem", "one");
    uint64_t one = milter_watch_get(&place->conf);
    assert_int_not_equal(one, empty);
    put(place, "a.pem", "three");
    uint64_t changed = milter_watch_get(&place->conf);
    assert_int_not_equal(changed, one);
    snprintf(path, sizeof path, "%s/a.pem", place->folder);
    snprintf(other, sizeof other, "%s/b.pem", place->folder);
    assert_int_equal(rename(path, other), 0);
    uint64_t renamed = milter_watch_get(&place->conf);
    assert_int_not_equal(renamed, changed);
    assert_int_equal(chmod(other, 0644), 0);
    assert_int_not_equal(milter_watch_get(&place->conf), renamed);
    assert_int_equal(milter_watch_get(&place->conf), milter_watch_get(&place->conf));
}

static void
watch_sees_a_key_in_a_subfolder(void **state)
{
    struct place *place = *state;
    char path[160];

    snprintf(path, sizeof path, "%s/a@example.com", place->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    uint64_t before = milter_watch_get(&place->conf);
    put(place, "a@example.com/1.pem", "key");
    assert_int_not_equal(milter_watch_get(&place->conf), before);
    assert_true(milter_watch_count_keys(place->folder) >= 1);
}

static void
watch_sees_a_folder_appear(void **state)
{
    struct place *place = *state;
    char path[160];

    snprintf(path, sizeof path, "%s/later", place->folder);
    char *paths[] = { path, NULL };
    place->conf.global.keys_folder = (char *)"/nonexistent/for/smimed";
    place->conf.global.certificate_folders = paths;
    uint64_t before = milter_watch_get(&place->conf);
    assert_int_equal(mkdir(path, 0700), 0);
    uint64_t after = milter_watch_get(&place->conf);
    assert_int_not_equal(after, before);
    place->conf.global.certificate_folders = no_paths;
}

static void
watch_leaves_dot_files_alone(void **state)
{
    struct place *place = *state;

    put(place, "a.pem", "one");
    put(place, ".a.pem.new", "x");
    struct stat st;
    assert_int_equal(stat(place->folder, &st), 0);
    uint64_t before = milter_watch_get(&place->conf);
    put(place, ".a.pem.new", "longer than it was"); /* its folder does not change */
    assert_int_equal(milter_watch_get(&place->conf), before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(watch_sees_files_come_change_and_go, begin, end),
        cmocka_unit_test_setup_teardown(watch_sees_a_key_in_a_subfolder, begin, end),
        cmocka_unit_test_setup_teardown(watch_sees_a_folder_appear, begin, end),
        cmocka_unit_test_setup_teardown(watch_leaves_dot_files_alone, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
