/*
 * No memory is never an answer about an address: were it taken for "not an address" or "does not
 * match", the rule that encrypts would not hold, and the next one might let the message leave
 * plain.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mime/address.h"
#include "util/wipe.h"

#if !WIPE_IS_OFF

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);

static bool is_counting;
static long calls, failing = -1;

/* The libraries' allocations fail too. */
static bool
fails(void)
{
    if (!is_counting || calls++ != failing)
        return false;
    errno = ENOMEM;
    return true;
}

void *
malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}

static enum err_code
format(const char *address, long nth)
{
    struct err err = ERR_INIT;
    char out[MIME_ADDRESS_SIZE];
    calls = 0;
    failing = nth;
    is_counting = true;
    enum err_code code = mime_address_format(span_str(address), out, &err);
    is_counting = false;
    return code;
}

static enum err_code
match(const char *pattern, const char *address, long nth)
{
    struct err err = ERR_INIT;
    calls = 0;
    failing = nth;
    is_counting = true;
    enum err_code code = mime_address_match(pattern, address, &err);
    is_counting = false;
    return code;
}

static void
what_is_ascii_and_every_local_part_need_no_memory(void **state)
{
    (void)state;
    assert_int_equal(format("a@Example.ORG", -1), ERR_OK);
    assert_int_equal(calls, 0);
    assert_int_equal(format("u\xcc\x88\xcc\xa3\xcc\xa4o\xcc\x88@example.org", -1), ERR_OK);
    assert_int_equal(calls, 0);
    assert_int_equal(match("*@*.example.org", "a@b.example.org", -1), ERR_OK);
    assert_int_equal(calls, 0);

    /* The longest that grows most: each of these is three characters of two octets in NFC. */
    char address[600];
    size_t n = 0;
    while (n + 3 <= 240) {
        memcpy(address + n, "\xef\xac\xac", 3);
        n += 3;
    }
    memcpy(address + n, "@b", 3);
    assert_int_equal(format(address, -1), ERR_OK);
    assert_int_equal(calls, 0);
}

static void
no_memory_for_a_domain_is_not_no_address(void **state)
{
    (void)state;
    static const char address[] = "a@b\xc3\xbc"
                                  "cher.example";
    assert_int_equal(format(address, -1), ERR_OK);
    long total = calls;
    assert_true(total > 0);
    long unknown = 0;
    for (long nth = 0; nth < total; nth++) {
        /* Some allocations only make a result smaller: the library does without. */
        enum err_code code = format(address, nth);
        assert_true(code == ERR_NOMEM || code == ERR_OK);
        unknown += code == ERR_NOMEM;
    }
    assert_true(unknown > 0);
}

static void
no_memory_for_a_pattern_is_not_no_match(void **state)
{
    (void)state;
    static const char pattern[] = "*@b\xc3\xbc"
                                  "cher.example";
    static const char address[] = "a@xn--bcher-kva.example";
    assert_int_equal(match(pattern, address, -1), ERR_OK);
    long total = calls;
    assert_true(total > 0);
    long unknown = 0;
    for (long nth = 0; nth < total; nth++) {
        enum err_code code = match(pattern, address, nth);
        assert_true(code == ERR_NOMEM || code == ERR_OK);
        unknown += code == ERR_NOMEM;
    }
    assert_true(unknown > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_ascii_and_every_local_part_need_no_memory),
        cmocka_unit_test(no_memory_for_a_domain_is_not_no_address),
        cmocka_unit_test(no_memory_for_a_pattern_is_not_no_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void
no_memory_is_no_answer(void **state)
{
    (void)state;
    print_message("skipped: the sanitizer brings its own malloc\n");
    skip();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_is_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
