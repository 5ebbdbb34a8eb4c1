#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/wipe.h"

WIPE_EVERY_FREE

static const char canary[] = "canary-of-plaintext-7f3a9c";
enum { NEEDLE = 18 }; /* octets of it that are looked for, from the fifth on */

/* What the compiler must not keep to itself: it knows malloc and may leave out what nobody sees. */
static void *volatile seen;

/* How often the canary stands in the writable memory of this process, as an attacker with a dump
 * would look for it. The needle is put together here so that it is not itself found twice. */
static unsigned
count_canaries(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    FILE *memory = fopen("/proc/self/mem", "r");
    static unsigned char page[1 << 16];
    unsigned count = 0;
    char line[512];

    assert_true(maps && memory);
    setvbuf(memory, NULL, _IONBF, 0);
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char rights[8];

        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w' ||
            !strstr(line, "[heap]"))
            continue;
        for (; from < to; from += sizeof page - (NEEDLE - 1)) {
            size_t n = to - from < sizeof page ? to - from : sizeof page;

            if (fseek(memory, (long)from, SEEK_SET) != 0 || fread(page, 1, n, memory) != n)
                break;
            for (unsigned char *p = page;
                 (p = memmem(p, n - (size_t)(p - page), canary + 4, NEEDLE)); p++)
                count++;
            if (n < sizeof page)
                break;
        }
    }
    fclose(maps);
    fclose(memory);
    return count;
}

static void
freed_memory_holds_no_plaintext(void **state)
{
    static const size_t sizes[] = { 32, 100, 1000, 5000, 40000 };
    char *blocks[64];

    (void)state;
    if (WIPE_IS_OFF)
        skip();
    for (size_t i = 0; i < 64; i++) {
        seen = blocks[i] = malloc(sizes[i % 5]);
        memset(blocks[i], 'x', sizes[i % 5]);
        memcpy(blocks[i] + sizes[i % 5] - sizeof canary, canary, sizeof canary);
    }
    /* The test sees what it looks for. */
    assert_true(count_canaries() >= 64);
    for (size_t i = 0; i < 64; i++)
        free(blocks[i]);
    assert_int_equal(count_canaries(), 0);
}

static void
memory_moved_by_realloc_holds_no_plaintext(void **state)
{
    char *block = NULL, *stops[20];

    (void)state;
    if (WIPE_IS_OFF)
        skip();
    for (size_t i = 0; i < 20; i++) {
        block = realloc(block, (i + 1) * 500);
        assert_non_null(block);
        if (i == 0)
            memcpy(block + 100, canary, sizeof canary);
        assert_memory_equal(block + 100, canary, sizeof canary);
        stops[i] = malloc(64); /* in the way, so that the block must move */
    }
    assert_int_equal(count_canaries(), 1);
    seen = block = realloc(block, 10);
    assert_int_equal(count_canaries(), 0);
    free(block);
    for (size_t i = 0; i < 20; i++)
        free(stops[i]);
}

/* The libraries are why free() is replaced at all: here stdio's buffer, allocated and freed by it.
 */
static void
memory_that_a_library_frees_holds_no_plaintext(void **state)
{
    FILE *out;

    (void)state;
    if (WIPE_IS_OFF)
        skip();
    out = fopen("/dev/null", "w");
    assert_non_null(out);
    assert_int_equal(fwrite(canary, 1, sizeof canary, out), sizeof canary);
    assert_int_equal(count_canaries(), 1);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(count_canaries(), 0);
}

static void
realloc_keeps_its_contract(void **state)
{
    volatile size_t huge = SIZE_MAX / 2;
    char *block;
    void *refused;

    (void)state;
    block = wipe_realloc(NULL, 10);
    assert_non_null(block);
    strcpy(block, "123456789");
    block = wipe_realloc(block, 10000);
    assert_string_equal(block, "123456789");
    assert_true(malloc_usable_size(block) >= 10000);
    block = wipe_realloc(block, 20);
    assert_string_equal(block, "123456789");
    assert_true(malloc_usable_size(block) < 5000);
    if (!WIPE_IS_OFF) {
        refused = wipe_realloc(block, huge);
        assert_null(refused);
        assert_string_equal(block, "123456789");
    }
    wipe_free(block);
    wipe_free(NULL);
    errno = 77;
    wipe_free(malloc(10));
    assert_int_equal(errno, 77);
}

static void
process_writes_no_core(void **state)
{
    pid_t child = fork();
    int status = 0;

    (void)state;
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit limit;

        if (wipe_init(NULL) != ERR_OK || prctl(PR_GET_DUMPABLE) != 0 ||
            getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max != 0)
            _exit(1);
        signal(SIGABRT, SIG_DFL);
        raise(SIGABRT);
        _exit(2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_false(WCOREDUMP(status));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freed_memory_holds_no_plaintext),
        cmocka_unit_test(memory_moved_by_realloc_holds_no_plaintext),
        cmocka_unit_test(memory_that_a_library_frees_holds_no_plaintext),
        cmocka_unit_test(realloc_keeps_its_contract),
        cmocka_unit_test(process_writes_no_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
