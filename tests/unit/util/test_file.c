#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/file.h"
#include "util/random.h"

static char folder[64];

static int
make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test-file-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static const char *
in_folder(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void
file_is_written_and_read_whole(void **state)
{
    const struct file_read_args args = { .limit_bytes = 100000 };
    struct buf out = BUF_INIT(100000);
    struct err err = ERR_INIT;
    unsigned char *bytes = malloc(100000);
    struct stat st;

    (void)state;
    for (size_t i = 0; i < 100000; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 251);
    assert_int_equal(file_write(in_folder("a"), span_of(bytes, 100000), 0640, &err), ERR_OK);
    assert_int_equal(stat(in_folder("a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(file_read(in_folder("a"), &args, &out, &err), ERR_OK);
    assert_int_equal(out.n, 100000);
    assert_memory_equal(out.p, bytes, 100000);
    /* Over an existing file, and shorter. */
    buf_reset(&out);
    assert_int_equal(file_write(in_folder("a"), span_str("new"), 0600, &err), ERR_OK);
    assert_int_equal(stat(in_folder("a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(file_read(in_folder("a"), &args, &out, &err), ERR_OK);
    assert_string_equal(buf_str(&out), "new");
    unlink(in_folder("a"));
    buf_free(&out);
    free(bytes);
}

static void
file_mode_is_given_whatever_the_umask(void **state)
{
    struct stat st;
    mode_t mask = umask(0777);

    (void)state;
    assert_int_equal(file_write(in_folder("a"), span_str("x"), 0644, NULL), ERR_OK);
    umask(mask);
    assert_int_equal(stat(in_folder("a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    unlink(in_folder("a"));
}

static void
file_that_cannot_be_replaced_leaves_no_other(void **state)
{
    struct err err = ERR_INIT;
    unsigned count = 0;
    DIR *dir;

    (void)state;
    /* A folder stands where the file should go: the rename fails. */
    assert_int_equal(mkdir(in_folder("a"), 0700), 0);
    assert_int_equal(file_write(in_folder("a"), span_str("x"), 0600, &err), ERR_TEMP);
    dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    assert_int_equal(count, 1);
    rmdir(in_folder("a"));
    err_reset(&err);
    assert_int_equal(file_write("/nonexistent/x", span_str("x"), 0600, &err), ERR_TEMP);
}

static void
file_longer_than_its_bound_is_refused(void **state)
{
    struct file_read_args args = { .limit_bytes = 4 };
    struct buf out = BUF_INIT(100);
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(file_write(in_folder("a"), span_str("12345"), 0600, &err), ERR_OK);
    assert_int_equal(file_read(in_folder("a"), &args, &out, &err), ERR_LIMIT);
    err_reset(&err);
    args.limit_bytes = 5;
    assert_int_equal(file_read(in_folder("a"), &args, &out, &err), ERR_OK);
    /* The size of a file in /proc is 0 and says nothing. */
    assert_int_equal(file_read("/proc/self/maps", &args, &out, &err), ERR_LIMIT);
    unlink(in_folder("a"));
    buf_free(&out);
}

static void
file_that_is_not_safe_is_refused_and_says_how_to_mend_it(void **state)
{
    struct file_read_args args = { .limit_bytes = 100, .forbidden_mode = 0077 };
    struct buf out = BUF_INIT(100);
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(file_write(in_folder("a"), span_str("key"), 0644, &err), ERR_OK);
    assert_int_equal(file_read(in_folder("a"), &args, &out, &err), ERR_PERM);
    assert_string_equal(err.reason, "unsafe-mode");
    assert_non_null(strstr(err.text, "0644"));
    assert_non_null(strstr(err.text, "chmod 0600"));
    assert_int_equal(out.n, 0);
    err_reset(&err);
    chmod(in_folder("a"), 0600);
    assert_int_equal(file_read(in_folder("a"), &args, &out, &err), ERR_OK);
    if (geteuid() == 0) {
        assert_int_equal(chown(in_folder("a"), 12345, 12345), 0);
        args.check_owner = true;
        assert_int_equal(file_read(in_folder("a"), &args, &out, &err), ERR_PERM);
        assert_string_equal(err.reason, "unsafe-owner");
    }
    unlink(in_folder("a"));
    buf_free(&out);
}

static void
file_that_is_none_is_told_apart(void **state)
{
    const struct file_read_args args = { .limit_bytes = 100 };
    struct buf out = BUF_INIT(100);
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(file_read(in_folder("nope"), &args, &out, &err), ERR_NOTFOUND);
    err_reset(&err);
    assert_int_equal(file_read(folder, &args, &out, &err), ERR_PERM);
    assert_string_equal(err.reason, "not-a-file");
    err_reset(&err);
    /* Nobody writes into this pipe: it must not hold us. */
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    assert_int_equal(file_read(in_folder("pipe"), &args, &out, &err), ERR_PERM);
    unlink(in_folder("pipe"));
    err_reset(&err);
    assert_int_equal(file_read("/dev/zero", &args, &out, &err), ERR_PERM);
    buf_free(&out);
}

static void
random_octets_and_digits_differ_each_time(void **state)
{
    char a[33], *b = malloc(33);
    struct err err = ERR_INIT;
    unsigned char octets[300] = { 0 };
    unsigned zero = 0;

    (void)state;
    assert_int_equal(random_get_hex(a, 16, &err), ERR_OK);
    assert_int_equal(random_get_hex(b, 16, &err), ERR_OK);
    assert_int_equal(strlen(a), 32);
    assert_int_equal(strspn(a, "0123456789abcdef"), 32);
    assert_string_not_equal(a, b);
    assert_int_equal(random_get(octets, sizeof octets, &err), ERR_OK);
    for (size_t i = 0; i < sizeof octets; i++)
        zero += octets[i] == 0;
    assert_true(zero < 20);
    assert_int_equal(random_get_hex(b, 0, &err), ERR_OK);
    assert_string_equal(b, "");
    free(b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_is_written_and_read_whole),
        cmocka_unit_test(file_mode_is_given_whatever_the_umask),
        cmocka_unit_test(file_that_cannot_be_replaced_leaves_no_other),
        cmocka_unit_test(file_longer_than_its_bound_is_refused),
        cmocka_unit_test(file_that_is_not_safe_is_refused_and_says_how_to_mend_it),
        cmocka_unit_test(file_that_is_none_is_told_apart),
        cmocka_unit_test(random_octets_and_digits_differ_each_time),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
