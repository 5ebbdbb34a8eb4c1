/*
 * Every allocation of a load fails once: the answer is "no memory", never a crash, a leak or half a
 * configuration.
 */
#include "tests/unit/conf/complaints.h"

#include <errno.h>
#include <unistd.h>

#include "util/spool.h"
#include "util/stage.h"
#include "util/wipe.h"

#if !WIPE_IS_OFF

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void __libc_free(void *block);

static long calls_left = -1; /* until one fails; negative: none does */
static bool once;            /* only that one, not those after it */
static bool spent;           /* it did */
static long live;

static bool
fails(void)
{
    if (calls_left < 0)
        return false;
    if (calls_left > 1) {
        calls_left--;
        return false;
    }
    if (once && spent)
        return false;
    spent = true;
    errno = ENOMEM;
    return true;
}

static void
fail_at(long n)
{
    calls_left = n;
    spent = false;
}

void *
malloc(size_t size)
{
    void *block = fails() ? NULL : __libc_malloc(size);

    live += block != NULL;
    return block;
}

void *
calloc(size_t count, size_t size)
{
    void *block = fails() ? NULL : __libc_calloc(count, size);

    live += block != NULL;
    return block;
}

void *
realloc(void *old, size_t size)
{
    void *block = fails() ? NULL : __libc_realloc(old, size);

    live += block != NULL && old == NULL;
    return block;
}

void
free(void *block)
{
    live -= block != NULL;
    __libc_free(block);
}

/* In the place of the one that frees past the function above. */
void
wipe_free_used(void *block, size_t used)
{
    if (block)
        explicit_bzero(block, used);
    free(block);
}

static const char good[] =
    "hostname = mail.example.com\ninternal_networks = 10.0.0.0/8\nlocal_domains = a.example, "
    "b.example\n" TRUST
    "rule \"a\" {\n sender = *@a.example\n encrypt = always\n}\nrule b { sign_as = a@b.example }\n"
    "directory d { ldif = /ldif }\n";
static const char bad[] =
    "hostname = a b\nnonsense = 1\nrule x { trust = y }\ntrust z { }\nrule w {\n";

static void
torture(const char *text, enum err_code expected)
{
    for (long n = 1;; n++) {
        struct conf *conf = NULL;
        struct err err = ERR_INIT;
        long before = live;
        enum err_code rc;

        fail_at(n);
        rc = conf_parse("f", text, NULL, NULL, &conf, &err);
        calls_left = -1;
        assert_int_equal(rc, spent ? ERR_NOMEM : expected);
        assert_int_equal(err.code, rc);
        assert_int_equal(conf != NULL, rc == ERR_OK);
        conf_free(&conf);
        assert_int_equal(live, before);
        if (!spent) {
            assert_true(n > 100);
            return;
        }
    }
}

static void
load_without_memory_gives_no_configuration(void **state)
{
    (void)state;
    torture(good, ERR_OK);
    once = true;
    torture(good, ERR_OK);
    once = false;
}

static void
complaints_without_memory_are_no_memory(void **state)
{
    (void)state;
    torture(bad, ERR_PERM);
    once = true;
    torture(bad, ERR_PERM);
    once = false;
}

static enum err_code
use_stages(struct err *err)
{
    struct spool_args args = { .folder = "/tmp", .memory_bytes = 10, .limit_bytes = 1000 };
    struct buf out = BUF_INIT(1000);
    struct spool *spool = NULL;
    struct stage *fill = NULL, *gather = NULL, *sink = NULL, *borrow = NULL;
    enum err_code rc = spool_new(&args, &spool, err);

    if (rc == ERR_OK)
        rc = spool_stage_new(spool, &fill, err);
    if (rc == ERR_OK)
        rc = stage_gather_new(7, fill, &gather, err);
    if (rc == ERR_OK) {
        fill = NULL;
        rc = stage_write(gather, span_str("more than ten octets of it"), err);
    }
    if (rc == ERR_OK)
        rc = stage_finish(gather, err);
    if (rc == ERR_OK)
        rc = stage_buf_new(&out, &sink, err);
    if (rc == ERR_OK)
        rc = stage_borrow_new(sink, &borrow, err);
    if (rc == ERR_OK)
        rc = spool_copy(spool, borrow, err);
    if (rc == ERR_OK)
        assert_string_equal(buf_str(&out), "more than ten octets of it");
    stage_free(&borrow);
    stage_free(&sink);
    stage_free(&gather);
    stage_free(&fill);
    spool_free(&spool);
    buf_free(&out);
    return rc;
}

static void
stages_and_spool_without_memory_leave_nothing_behind(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        struct err err = ERR_INIT;
        long before = live;
        enum err_code rc;

        fail_at(n);
        rc = use_stages(&err);
        calls_left = -1;
        assert_int_equal(rc, spent ? ERR_NOMEM : ERR_OK);
        assert_int_equal(live, before);
        if (!spent) {
            assert_true(n > 6);
            return;
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_without_memory_gives_no_configuration),
        cmocka_unit_test(complaints_without_memory_are_no_memory),
        cmocka_unit_test(stages_and_spool_without_memory_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void
allocator_of_the_sanitizer_is_left_alone(void **state)
{
    (void)state;
    skip();
}

int
main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(
        allocator_of_the_sanitizer_is_left_alone) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
