#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "directory/remembered.h"
#include "util/clock.h"

/* A backend as a test wants it. Whoever begins with "no" is not there. */
struct fake {
    struct directory head;
    _Atomic int code;
    _Atomic size_t asked; /* questions */
    size_t members;
};

static struct fake *fake;

static struct directory_entry *
made_entry(const char *address)
{
    struct directory_entry *entry = calloc(1, sizeof *entry);
    assert_non_null(entry);
    entry->dn = strdup(address);
    entry->primary = strdup(address);
    entry->addresses = calloc(2, sizeof(char *));
    entry->addresses[0] = strdup(address);
    if (fake->members > 0)
        entry->member_dns = calloc(fake->members + 1, sizeof(char *));
    for (size_t i = 0; i < fake->members; i++)
        entry->member_dns[i] = strdup("cn=a member with a name of a hundred octets or so,o=corp");
    return entry;
}

static enum err_code
fake_find(struct directory *directory, const struct directory_questions *questions,
          struct directory_entries *out, struct err *err)
{
    (void)directory;
    fake->asked += questions->count;
    if (fake->code != ERR_OK)
        return err_set(err, (enum err_code)fake->code, "the test says no");
    for (size_t i = 0; i < questions->count; i++) {
        struct directory_entry *entry =
            strncmp(questions->list[i], "no", 2) == 0 ? NULL : made_entry(questions->list[i]);
        assert_int_equal(directory_entries_append(out, entry, err), ERR_OK);
    }
    return ERR_OK;
}

static enum err_code
fake_find_urls(struct directory *directory, const struct directory_questions *questions,
               size_t limit, struct directory_entries *out, struct err *err)
{
    (void)limit;
    return fake_find(directory, questions, out, err);
}

static enum err_code
fake_find_login(struct directory *directory, const char *login, int64_t deadline_ms,
                struct directory_entry **out, struct err *err)
{
    (void)directory;
    (void)deadline_ms;
    fake->asked++;
    if (fake->code != ERR_OK)
        return err_set(err, (enum err_code)fake->code, "the test says no");
    if (strncmp(login, "no", 2) == 0)
        return err_set(err, ERR_NOTFOUND, "nobody");
    *out = made_entry(login);
    return ERR_OK;
}

static enum err_code
fake_find_send_as(struct directory *directory, const struct directory_entry *person,
                  const char *address, int64_t deadline_ms, struct err *err)
{
    (void)directory;
    (void)person;
    (void)deadline_ms;
    fake->asked++;
    if (fake->code != ERR_OK)
        return err_set(err, (enum err_code)fake->code, "the test says no");
    return strncmp(address, "no", 2) == 0 ? err_set(err, ERR_NOTFOUND, "no") : ERR_OK;
}

static void
fake_free(struct directory *directory)
{
    free(directory->name);
    free(directory);
}

static const struct directory_ops fake_ops = { .name = "fake",
                                               .find_addresses = fake_find,
                                               .find_dns = fake_find,
                                               .find_urls = fake_find_urls,
                                               .find_login = fake_find_login,
                                               .find_send_as = fake_find_send_as,
                                               .free = fake_free };

static struct directory *
made(int64_t life_ms, int64_t negative_life_ms, int64_t stale_ms, size_t limit_bytes)
{
    struct directory *d = NULL;
    struct err err = ERR_INIT;
    fake = calloc(1, sizeof *fake);
    fake->head.ops = &fake_ops;
    fake->head.name = strdup("fake");
    assert_int_equal(
        directory_remembered_new(
            &fake->head,
            &(struct directory_remembered_args){ life_ms, negative_life_ms, stale_ms, limit_bytes },
            &d, &err),
        ERR_OK);
    return d;
}

static enum err_code
ask(struct directory *d, const char *address)
{
    struct err err = ERR_INIT;
    struct directory_entry *entry = NULL;
    enum err_code code = directory_find_address(d, address, INT64_MAX, &entry, &err);
    if (code == ERR_OK)
        assert_non_null(entry->primary);
    directory_entry_free(&entry);
    return code;
}

/* Until the answer has another number of questions behind it. */
static void
ask_until_asked(struct directory *d, const char *address, size_t wanted)
{
    int64_t until_ms = clock_monotonic_ms() + 5000;
    while (fake->asked < wanted && clock_monotonic_ms() < until_ms) {
        (void)!ask(d, address);
        nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
    }
    assert_int_equal(fake->asked, wanted);
}

enum { LONG = 3600000, MUCH = 1 << 20 };

static void
what_was_asked_is_not_asked_again(void **state)
{
    (void)state;
    struct directory *d = made(LONG, LONG, 0, MUCH);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(d, "a@x"), ERR_OK);
        assert_int_equal(ask(d, "A@X"), ERR_OK);
        assert_int_equal(ask(d, "no@x"), ERR_NOTFOUND);
    }
    assert_int_equal(fake->asked, 2);
    struct directory_counts counts;
    directory_get_counts(d, &counts);
    assert_int_equal(counts.hits, 7);
    assert_int_equal(counts.misses, 2);
    directory_free(&d);
}

static void
of_a_batch_only_what_is_not_kept_is_asked(void **state)
{
    (void)state;
    struct directory *d = made(LONG, LONG, 0, MUCH);
    const char *const list[] = { "a@x", "no@x", "b@x", "c@x" };
    struct directory_entries entries;
    struct err err = ERR_INIT;
    assert_int_equal(ask(d, "b@x"), ERR_OK);
    const struct directory_questions questions = { list, 4, INT64_MAX };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(directory_find_addresses(d, &questions, &entries, &err), ERR_OK);
        assert_string_equal(entries.list[0]->primary, "a@x");
        assert_null(entries.list[1]);
        assert_string_equal(entries.list[2]->primary, "b@x");
        assert_string_equal(entries.list[3]->primary, "c@x");
        directory_entries_free(&entries);
        assert_int_equal(fake->asked, 4);
    }
    directory_free(&d);
}

static void
names_in_other_spellings_are_one_name(void **state)
{
    (void)state;
    struct directory *d = made(LONG, LONG, 0, MUCH);
    const char *const list[] = { "CN=a, O=corp", "cn=A,o=corp" };
    struct directory_entries entries;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < 2; i++) {
        const struct directory_questions one = { &list[i], 1, INT64_MAX };
        assert_int_equal(directory_find_dns(d, &one, &entries, &err), ERR_OK);
        assert_non_null(entries.list[0]);
        directory_entries_free(&entries);
    }
    assert_int_equal(fake->asked, 1);
    /* An address of the same octets is another question. */
    assert_int_equal(ask(d, "cn=a,o=corp"), ERR_OK);
    assert_int_equal(fake->asked, 2);
    directory_free(&d);
}

static void
each_answer_has_its_life(void **state)
{
    (void)state;
    struct directory *d = made(LONG, 30, 0, MUCH);
    assert_int_equal(ask(d, "no@x"), ERR_NOTFOUND);
    assert_int_equal(ask(d, "a@x"), ERR_OK);
    ask_until_asked(d, "no@x", 3);
    assert_int_equal(ask(d, "a@x"), ERR_OK);
    assert_int_equal(fake->asked, 3);
    directory_free(&d);
    d = made(30, LONG, 0, MUCH);
    assert_int_equal(ask(d, "no@x"), ERR_NOTFOUND);
    assert_int_equal(ask(d, "a@x"), ERR_OK);
    ask_until_asked(d, "a@x", 3);
    assert_int_equal(ask(d, "no@x"), ERR_NOTFOUND);
    assert_int_equal(fake->asked, 3);
    directory_free(&d);
}

static void
could_not_ask_is_never_kept(void **state)
{
    (void)state;
    struct directory *d = made(LONG, LONG, LONG, MUCH);
    struct err err = ERR_INIT;
    struct directory_entry *entry = NULL;
    fake->code = ERR_TEMP;
    assert_int_equal(ask(d, "a@x"), ERR_TEMP);
    assert_int_equal(ask(d, "no@x"), ERR_TEMP);
    assert_int_equal(directory_find_login(d, "a", INT64_MAX, &entry, &err), ERR_TEMP);
    fake->code = ERR_PERM;
    err_reset(&err);
    assert_int_equal(directory_find_login(d, "twin", INT64_MAX, &entry, &err), ERR_PERM);
    fake->code = ERR_OK;
    assert_int_equal(ask(d, "a@x"), ERR_OK);
    assert_int_equal(ask(d, "no@x"), ERR_NOTFOUND);
    err_reset(&err);
    assert_int_equal(directory_find_login(d, "twin", INT64_MAX, &entry, &err), ERR_OK);
    directory_entry_free(&entry);
    directory_free(&d);
}

/* Waits until the kept answer is beyond its life: then the backend is asked, and cannot be. */
static enum err_code
ask_when_old(struct directory *d, const char *address)
{
    size_t before = fake->asked;
    enum err_code code = ERR_OK;
    int64_t until_ms = clock_monotonic_ms() + 5000;
    while (fake->asked == before && clock_monotonic_ms() < until_ms)
        code = ask(d, address);
    return code;
}

static void
old_answers_are_used_only_where_the_configuration_says_so(void **state)
{
    (void)state;
    struct directory *d = made(20, 20, LONG, MUCH);
    struct directory_counts counts;
    assert_int_equal(ask(d, "a@x"), ERR_OK);
    assert_int_equal(ask(d, "no@x"), ERR_NOTFOUND);
    fake->code = ERR_TEMP;
    assert_int_equal(ask_when_old(d, "a@x"), ERR_OK);
    assert_int_equal(ask_when_old(d, "no@x"), ERR_NOTFOUND);
    directory_get_counts(d, &counts);
    assert_true(counts.stale >= 2);
    /* One of a batch that is not kept: none is answered. */
    const char *const list[] = { "a@x", "new@y" };
    const struct directory_questions questions = { list, 2, INT64_MAX };
    struct directory_entries entries;
    struct err err = ERR_INIT;
    assert_int_equal(directory_find_addresses(d, &questions, &entries, &err), ERR_TEMP);
    assert_int_equal(entries.count, 0);
    directory_free(&d);
    d = made(20, 20, 0, MUCH);
    assert_int_equal(ask(d, "a@x"), ERR_OK);
    fake->code = ERR_TEMP;
    assert_int_equal(ask_when_old(d, "a@x"), ERR_TEMP);
    directory_free(&d);
    /* And not for ever. */
    d = made(20, 20, 30, MUCH);
    assert_int_equal(ask(d, "a@x"), ERR_OK);
    fake->code = ERR_TEMP;
    int64_t until_ms = clock_monotonic_ms() + 5000;
    while (ask(d, "a@x") == ERR_OK && clock_monotonic_ms() < until_ms)
        ;
    assert_int_equal(ask(d, "a@x"), ERR_TEMP);
    directory_free(&d);
}

static void
memory_has_a_bound_and_the_unused_goes_first(void **state)
{
    (void)state;
    struct directory *d = made(LONG, LONG, 0, 64 * 1024);
    fake->members = 10;
    for (int i = 0; i < 500; i++) {
        char address[32];
        snprintf(address, sizeof address, "m%d@x", i);
        assert_int_equal(ask(d, address), ERR_OK);
        assert_int_equal(ask(d, "m0@x"), ERR_OK); /* used all the time */
    }
    assert_int_equal(fake->asked, 500);
    assert_int_equal(ask(d, "m499@x"), ERR_OK);
    assert_int_equal(fake->asked, 500);
    assert_int_equal(ask(d, "m1@x"), ERR_OK);
    assert_int_equal(fake->asked, 501);
    /* What is larger than all of it is answered and not kept. */
    fake->members = 2000;
    assert_int_equal(ask(d, "large@x"), ERR_OK);
    assert_int_equal(ask(d, "large@x"), ERR_OK);
    assert_int_equal(fake->asked, 503);
    directory_free(&d);
}

static void
logins_searches_and_send_as_are_kept_too(void **state)
{
    (void)state;
    struct directory *d = made(LONG, LONG, 0, MUCH);
    struct err err = ERR_INIT;
    struct directory_entry *me = NULL, *nobody = NULL;
    const char *const urls[] = { "ldap:///a??sub", "ldap:///b??sub" };
    struct directory_entries entries;
    for (int i = 0; i < 3; i++) {
        directory_entry_free(&me);
        assert_int_equal(directory_find_login(d, "me", INT64_MAX, &me, &err), ERR_OK);
        assert_int_equal(directory_find_login(d, "nobody", INT64_MAX, &nobody, &err), ERR_NOTFOUND);
        err_reset(&err);
        assert_int_equal(directory_find_send_as(d, me, "boss@x", INT64_MAX, &err), ERR_OK);
        assert_int_equal(directory_find_send_as(d, me, "no@x", INT64_MAX, &err), ERR_NOTFOUND);
        err_reset(&err);
        const struct directory_questions questions = { urls, 2, INT64_MAX };
        assert_int_equal(directory_find_urls(d, &questions, 10, &entries, &err), ERR_OK);
        assert_int_equal(entries.count, 2);
        directory_entries_free(&entries);
    }
    assert_int_equal(fake->asked, 6);
    directory_entry_free(&me);
    directory_free(&d);
}

static void *
ask_all(void *context)
{
    for (int i = 0; i < 2000; i++) {
        char address[32];
        snprintf(address, sizeof address, "%s%d@x", i % 3 ? "m" : "no", i % 50);
        if (ask(context, address) != (i % 3 ? ERR_OK : ERR_NOTFOUND))
            return context;
    }
    return NULL;
}

static void
threads_may_ask_at_once(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct directory *d = made(1, 1, 0, 4096);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_all, d), 0);
    for (int i = 0; i < 4; i++) {
        void *bad = d;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    directory_free(&d);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_asked_is_not_asked_again),
        cmocka_unit_test(of_a_batch_only_what_is_not_kept_is_asked),
        cmocka_unit_test(names_in_other_spellings_are_one_name),
        cmocka_unit_test(each_answer_has_its_life),
        cmocka_unit_test(could_not_ask_is_never_kept),
        cmocka_unit_test(old_answers_are_used_only_where_the_configuration_says_so),
        cmocka_unit_test(memory_has_a_bound_and_the_unused_goes_first),
        cmocka_unit_test(logins_searches_and_send_as_are_kept_too),
        cmocka_unit_test(threads_may_ask_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
