#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/spool.h"

static const size_t sizes[] = { 1, 2, 3, 7, 64, 4096, 65535 };
enum { SIZES = sizeof sizes / sizeof sizes[0], BYTES = 300007 };

static char folder[64];

/* In the place of the C library's: a file system without O_TMPFILE, when a test wants one. */
static bool no_tmpfile;

int open(const char *path, int flags, ...);
int
open(const char *path, int flags, ...)
{
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = va_arg(args, mode_t);
    va_end(args);
    if (no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return openat(AT_FDCWD, path, flags, mode);
}

static int
make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test-spool-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* fails, and so does the test, when a file was left behind */
}

static unsigned char *
pattern(size_t n)
{
    unsigned char *bytes = malloc(n);
    uint32_t x = 99;

    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(x >> 24);
    }
    return bytes;
}

static struct spool *
make(size_t memory, uint64_t limit)
{
    struct spool_args args = { .folder = folder, .memory_bytes = memory, .limit_bytes = limit };
    struct spool *spool = NULL;
    struct err err = ERR_INIT;

    assert_int_equal(spool_new(&args, &spool, &err), ERR_OK);
    return spool;
}

static void
fill(struct spool *spool, const unsigned char *bytes, size_t n, size_t piece)
{
    struct err err = ERR_INIT;

    for (size_t at = 0; at < n; at += piece) {
        size_t take = n - at < piece ? n - at : piece;
        unsigned char *copy = malloc(take);

        memcpy(copy, bytes + at, take);
        assert_int_equal(spool_write(spool, span_of(copy, take), &err), ERR_OK);
        free(copy);
    }
    assert_int_equal(spool_finish(spool, &err), ERR_OK);
}

static void
check_content(const struct spool *spool, const unsigned char *bytes, size_t n)
{
    struct buf out = BUF_INIT(n + 1);
    struct stage *sink = NULL;
    struct err err = ERR_INIT;
    unsigned char *middle = malloc(1000);
    size_t got = 7;

    assert_int_equal(spool_size(spool), n);
    assert_int_equal(stage_buf_new(&out, &sink, &err), ERR_OK);
    assert_int_equal(spool_copy(spool, sink, &err), ERR_OK);
    /* spool_copy did not finish the stage. */
    assert_int_equal(stage_finish(sink, &err), ERR_OK);
    assert_int_equal(out.n, n);
    assert_memory_equal(out.p ? out.p : bytes, bytes, n);
    assert_int_equal(spool_read(spool, n / 2, middle, 1000, &got, &err), ERR_OK);
    assert_int_equal(got, n - n / 2 < 1000 ? n - n / 2 : 1000);
    assert_memory_equal(middle, bytes + n / 2, got);
    assert_int_equal(spool_read(spool, n, middle, 1000, &got, &err), ERR_OK);
    assert_int_equal(got, 0);
    assert_int_equal(spool_read(spool, UINT64_MAX, middle, 1000, &got, &err), ERR_OK);
    assert_int_equal(got, 0);
    free(middle);
    stage_free(&sink);
    buf_free(&out);
}

static void
spool_gives_back_what_was_written_whatever_the_pieces(void **state)
{
    static const size_t memories[] = { 0, 1, 4096, 65536, 100000, 1 << 20 };
    static const size_t lengths[] = { 0, 1, 4096, 4097, 65535, 65536, 65537, BYTES };
    unsigned char *bytes = pattern(BYTES);

    (void)state;
    for (size_t m = 0; m < sizeof memories / sizeof memories[0]; m++)
        for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++)
            for (size_t i = lengths[l] > 70000 ? 3 : 0; i < SIZES; i++) {
                struct spool *spool = make(memories[m], BYTES);

                fill(spool, bytes, lengths[l], sizes[i]);
                check_content(spool, bytes, lengths[l]);
                /* Beyond the bound nothing stays in memory. */
                if (lengths[l] > memories[m])
                    assert_int_equal(spool_memory(spool), 0);
                spool_free(&spool);
            }
    free(bytes);
}

static void
spool_memory_stays_below_its_bound(void **state)
{
    unsigned char *bytes = pattern(BYTES);
    struct spool *spool = make(8192, UINT64_MAX);
    size_t most = 0;

    (void)state;
    for (size_t at = 0; at + 100 <= BYTES; at += 100) {
        assert_int_equal(spool_write(spool, span_of(bytes + at, 100), NULL), ERR_OK);
        if (at < 8000)
            assert_true(spool_memory(spool) <= 2 * 8192);
        if (spool_memory(spool) > most)
            most = spool_memory(spool);
    }
    assert_true(most <= 65536 + 1);
    spool_free(&spool);
    free(bytes);
}

static unsigned
count_files(void)
{
    DIR *dir = opendir(folder);
    unsigned count = 0;

    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void
spool_leaves_no_name_in_its_folder(void **state)
{
    unsigned char *bytes = pattern(BYTES);
    struct spool *spool = make(16, BYTES);

    (void)state;
    assert_int_equal(spool_write(spool, span_of(bytes, BYTES), NULL), ERR_OK);
    assert_int_equal(count_files(), 0);
    spool_free(&spool);
    assert_null(spool);
    spool_free(&spool);
    free(bytes);
}

/* The file of a spool, found among our descriptors by its device: it has no name. */
static void
spool_file_is_for_us_alone(void **state)
{
    struct stat st, where;
    unsigned found = 0;
    mode_t mask = umask(0);
    struct spool *spool = make(0, 100);

    (void)state;
    assert_int_equal(stat(folder, &where), 0);
    assert_int_equal(spool_write(spool, span_str("x"), NULL), ERR_OK);
    for (int fd = 3; fd < 64; fd++)
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0 &&
            st.st_dev == where.st_dev) {
            assert_int_equal(st.st_mode & 07777, 0600);
            assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
            found++;
        }
    assert_int_equal(found, 1);
    umask(mask);
    spool_free(&spool);
}

static void
spool_beyond_its_limit_is_broken(void **state)
{
    struct spool *spool = make(4, 10);
    struct err err = ERR_INIT, later = ERR_INIT;

    (void)state;
    assert_int_equal(spool_write(spool, span_str("0123456789"), &err), ERR_OK);
    assert_int_equal(spool_write(spool, span_of(NULL, 0), &err), ERR_OK);
    assert_int_equal(spool_write(spool, span_str("x"), &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "10"));
    assert_int_equal(spool_write(spool, span_of(NULL, 0), &later), ERR_LIMIT);
    assert_string_equal(later.text, err.text);
    assert_int_equal(spool_finish(spool, NULL), ERR_LIMIT);
    spool_free(&spool);
}

static void
spool_keeps_to_its_order_of_calls(void **state)
{
    struct spool *spool = make(100, 100);
    struct err early = ERR_INIT, err = ERR_INIT;
    char byte;
    size_t got;

    (void)state;
    assert_int_equal(spool_read(spool, 0, &byte, 1, &got, &early), ERR_BUG);
    assert_int_equal(spool_write(spool, span_str("x"), &err), ERR_OK);
    assert_int_equal(spool_finish(spool, &err), ERR_OK);
    assert_int_equal(spool_read(spool, 0, &byte, 1, &got, &err), ERR_OK);
    assert_int_equal(byte, 'x');
    assert_int_equal(spool_finish(spool, &err), ERR_BUG);
    err_reset(&err);
    assert_int_equal(spool_write(spool, span_str("y"), &err), ERR_BUG);
    spool_free(&spool);
}

static void
spool_without_its_folder_is_temporary(void **state)
{
    struct spool_args args = { .folder = "/nonexistent/spool", .limit_bytes = 100 };
    struct spool *spool = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(spool_new(&args, &spool, &err), ERR_OK);
    assert_int_equal(spool_write(spool, span_str("x"), &err), ERR_TEMP);
    assert_non_null(strstr(err.text, "/nonexistent/spool"));
    spool_free(&spool);
}

/* A tiny file system of our own that fills up. */
static void
spool_on_a_full_disk_is_nomem(void **state)
{
    struct spool_args args = { .folder = folder, .limit_bytes = BYTES };
    unsigned char *bytes = pattern(BYTES);
    struct spool *spool = NULL;
    struct err err = ERR_INIT;

    (void)state;
    if (mount("none", folder, "tmpfs", 0, "size=64k") != 0) {
        free(bytes);
        print_message("needs the right to mount a file system\n");
        skip();
    }
    assert_int_equal(spool_new(&args, &spool, &err), ERR_OK);
    assert_int_equal(spool_write(spool, span_of(bytes, BYTES), &err), ERR_NOMEM);
    assert_non_null(strstr(err.text, "No space left"));
    spool_free(&spool);
    assert_int_equal(umount(folder), 0);
    free(bytes);
}

static void
spool_stage_fills_and_finishes_the_spool(void **state)
{
    struct spool *spool = make(4, 100);
    struct stage *stage = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(spool_stage_new(spool, &stage, &err), ERR_OK);
    assert_int_equal(stage_write(stage, span_str("hello "), &err), ERR_OK);
    assert_int_equal(stage_write(stage, span_str("world"), &err), ERR_OK);
    assert_int_equal(stage_finish(stage, &err), ERR_OK);
    stage_free(&stage);
    check_content(spool, (const unsigned char *)"hello world", 11);
    spool_free(&spool);
}

static void
spool_works_where_there_is_no_tmpfile(void **state)
{
    no_tmpfile = true;
    spool_leaves_no_name_in_its_folder(state);
    spool_file_is_for_us_alone(state);
    spool_without_its_folder_is_temporary(state);
    spool_stage_fills_and_finishes_the_spool(state);
    no_tmpfile = false;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spool_gives_back_what_was_written_whatever_the_pieces),
        cmocka_unit_test(spool_memory_stays_below_its_bound),
        cmocka_unit_test(spool_leaves_no_name_in_its_folder),
        cmocka_unit_test(spool_file_is_for_us_alone),
        cmocka_unit_test(spool_beyond_its_limit_is_broken),
        cmocka_unit_test(spool_keeps_to_its_order_of_calls),
        cmocka_unit_test(spool_without_its_folder_is_temporary),
        cmocka_unit_test(spool_on_a_full_disk_is_nomem),
        cmocka_unit_test(spool_stage_fills_and_finishes_the_spool),
        cmocka_unit_test(spool_works_where_there_is_no_tmpfile),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
