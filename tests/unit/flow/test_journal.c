#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/journal.h"
#include "util/clock.h"

static char folder[] = "/tmp/smimed-journal-XXXXXX";
static char path[128];

static const unsigned char digest[32] = { 1, 2, 3 };
static const char *const people[] = { "bob@x.example", "carol@x.example", "dave@y.example" };

static int
folder_new(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/journal.db", folder);
    return 0;
}

static int
file_remove(void **state)
{
    char beside[160];

    (void)state;
    clock_set_s(0);
    unlink(path);
    snprintf(beside, sizeof beside, "%s-wal", path);
    unlink(beside);
    snprintf(beside, sizeof beside, "%s-shm", path);
    unlink(beside);
    return 0;
}

static int
folder_remove(void **state)
{
    (void)file_remove(state);
    return rmdir(folder);
}

static struct flow_journal *
opened(void)
{
    struct flow_journal *journal = NULL;
    struct err err = ERR_INIT;

    if (flow_journal_open(path, 0, &journal, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return journal;
}

static struct flow_journal_key
key_of(const char *sender, const char *const *recipients, size_t count, unsigned char first)
{
    unsigned char other[32] = { first, 2, 3 };
    struct flow_journal_key key;
    struct err err = ERR_INIT;
    const struct flow_journal_message message = { .sender = sender,
                                                  .recipients = recipients,
                                                  .count = count,
                                                  .digest = span_of(other, sizeof other) };

    assert_int_equal(flow_journal_key(&message, &key, &err), ERR_OK);
    return key;
}

static bool
has(struct flow_journal *journal, const struct flow_journal_key *key, const char *recipient)
{
    struct err err = ERR_INIT;
    bool done = false;

    if (flow_journal_find(journal, key, &recipient, 1, &done, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return done;
}

static void
the_same_message_is_recognised_whatever_the_order_of_recipients(void **state)
{
    static const char *const turned[] = { "dave@y.example", "bob@x.example", "carol@x.example",
                                          "bob@x.example" };
    struct flow_journal_key a = key_of("alice@c.example", people, 3, 1);
    struct flow_journal_key b = key_of("alice@c.example", turned, 4, 1);
    struct flow_journal_key others[] = {
        key_of("alice@c.example", people, 2, 1),
        key_of("", people, 3, 1),
        key_of("alice@c.example", people, 3, 2),
    };

    (void)state;
    assert_memory_equal(a.bytes, b.bytes, sizeof a.bytes);
    for (size_t i = 0; i < 3; i++)
        assert_memory_not_equal(a.bytes, others[i].bytes, sizeof a.bytes);
}

static void
what_was_noted_is_there_after_reopening_and_for_five_days(void **state)
{
    struct flow_journal_key key = key_of("alice@c.example", people, 3, 1);
    struct flow_journal_key other = key_of("alice@c.example", people, 3, 9);
    struct flow_journal *journal = opened();
    struct err err = ERR_INIT;
    struct stat st;
    int64_t left = -1;

    (void)state;
    clock_set_s(1000000);
    assert_int_equal(flow_journal_add(journal, &key, people, 2, &err), ERR_OK);
    assert_int_equal(flow_journal_add(journal, &key, people, 1, &err), ERR_OK);
    flow_journal_close(&journal);
    assert_null(journal);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    journal = opened();
    assert_true(has(journal, &key, people[0]));
    assert_true(has(journal, &key, people[1]));
    assert_false(has(journal, &key, people[2]));
    assert_false(has(journal, &other, people[0]));
    clock_set_s(1000000 + FLOW_JOURNAL_KEEP_S);
    assert_true(has(journal, &key, people[0]));
    assert_int_equal(flow_journal_expire(journal, &left, &err), ERR_OK);
    assert_int_equal(left, 2);
    clock_set_s(1000001 + FLOW_JOURNAL_KEEP_S);
    assert_false(has(journal, &key, people[0]));
    assert_int_equal(flow_journal_expire(journal, &left, &err), ERR_OK);
    assert_int_equal(left, 0);
    flow_journal_close(&journal);
}

static void
limit_files(rlim_t bytes)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* As on a full disk: the files may not grow. */
static void
what_could_not_be_noted_is_held_and_nothing_begins_before_it_is(void **state)
{
    struct flow_journal_key key = key_of("alice@c.example", people, 3, 1);
    struct flow_journal_key other = key_of("alice@c.example", people, 3, 9);
    struct flow_journal *journal = opened();
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(flow_journal_begin(journal, &key, &err), ERR_OK);
    limit_files(1);
    assert_int_not_equal(flow_journal_add(journal, &key, people, 2, &err), ERR_OK);
    for (int i = 0; i < 3; i++) {
        err_reset(&err);
        assert_int_not_equal(flow_journal_begin(journal, &other, &err), ERR_OK);
        assert_non_null(strstr(err.text, path));
    }
    limit_files(RLIM_INFINITY);
    err_reset(&err);
    assert_int_equal(flow_journal_begin(journal, &other, &err), ERR_OK);
    assert_true(has(journal, &key, people[0]));
    assert_true(has(journal, &key, people[1]));
    assert_false(has(journal, &key, people[2]));
    assert_false(has(journal, &other, people[0]));
    /* And when it ends before. */
    limit_files(1);
    assert_int_not_equal(flow_journal_add(journal, &key, people, 3, &err), ERR_OK);
    limit_files(RLIM_INFINITY);
    flow_journal_close(&journal);
    journal = opened();
    assert_true(has(journal, &key, people[2]));
    flow_journal_close(&journal);
}

static void
no_address_is_in_the_file(void **state)
{
    struct flow_journal_key key = key_of("alice@c.example", people, 3, 1);
    struct flow_journal *journal = opened();
    struct err err = ERR_INIT;
    char bytes[65536];
    FILE *file;
    size_t n;

    (void)state;
    assert_int_equal(flow_journal_add(journal, &key, people, 3, &err), ERR_OK);
    flow_journal_close(&journal);
    file = fopen(path, "rb");
    assert_non_null(file);
    n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(n > 4096);
    assert_null(memmem(bytes, n, "example", 7));
    assert_null(memmem(bytes, n, digest, 3));
}

static void
a_newer_schema_is_refused_and_left_alone(void **state)
{
    struct flow_journal *journal = opened();
    struct err err = ERR_INIT;
    sqlite3 *handle = NULL;

    (void)state;
    flow_journal_close(&journal);
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(handle);
    assert_int_equal(flow_journal_open(path, 0, &journal, &err), ERR_PERM);
    assert_string_equal(err.reason, "database-newer");
    assert_non_null(strstr(err.text, "newer smimed"));
    assert_null(journal);
}

static void
what_is_no_database_of_ours_is_refused(void **state)
{
    struct flow_journal *journal = NULL;
    struct err err = ERR_INIT;
    FILE *file = fopen(path, "w");

    (void)state;
    for (int i = 0; i < 1000; i++)
        fputs("not a database ", file);
    fclose(file);
    chmod(path, 0600);
    assert_int_equal(flow_journal_open(path, 0, &journal, &err), ERR_PERM);
    err_reset(&err);
    chmod(path, 0644);
    assert_int_equal(flow_journal_open(path, 0, &journal, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "chmod 0600"));
    err_reset(&err);
    assert_int_equal(flow_journal_open("/nonexistent/journal.db", 0, &journal, &err), ERR_TEMP);
}

struct run {
    struct flow_journal *journal;
    unsigned char first;
};

static void *
note_many(void *context)
{
    struct run *run = context;

    for (int i = 0; i < 20; i++) {
        struct flow_journal_key key = key_of("a@x.example", people, (size_t)i % 4, run->first);
        struct err err = ERR_INIT;
        bool done[3];

        if (flow_journal_add(run->journal, &key, people, 3, &err) != ERR_OK ||
            flow_journal_find(run->journal, &key, people, 3, done, &err) != ERR_OK || !done[0] ||
            !done[1] || !done[2])
            return context;
    }
    return NULL;
}

static void
threads_note_side_by_side(void **state)
{
    struct flow_journal *journal = opened();
    pthread_t threads[4];
    struct run runs[4];
    void *failed;

    (void)state;
    for (int i = 0; i < 4; i++) {
        runs[i] = (struct run){ .journal = journal, .first = (unsigned char)i };
        assert_int_equal(pthread_create(&threads[i], NULL, note_many, &runs[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    flow_journal_close(&journal);
}

/* A child notes and tells each note through a pipe; it is killed in the middle. */
static void
what_add_returned_for_survives_a_kill(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        int pipes[2], told = -1;
        pid_t child;
        struct flow_journal *journal;

        assert_int_equal(pipe(pipes), 0);
        child = fork();
        if (child == 0) {
            struct err err = ERR_INIT;
            journal = opened();
            for (int i = 0; i < 200; i++) {
                struct flow_journal_key key = key_of("a@x.example", people, 3, (unsigned char)i);
                if (flow_journal_add(journal, &key, people, 3, &err) != ERR_OK ||
                    write(pipes[1], &i, sizeof i) != sizeof i)
                    _exit(1);
            }
            _exit(0);
        }
        close(pipes[1]);
        for (int i = 0; i < 3 + round; i++)
            assert_int_equal(read(pipes[0], &told, sizeof told), sizeof told);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(pipes[0], &told, sizeof told) == sizeof told)
            continue;
        close(pipes[0]);
        journal = opened();
        for (int i = 0; i <= told; i++) {
            struct flow_journal_key key = key_of("a@x.example", people, 3, (unsigned char)i);
            for (int j = 0; j < 3; j++)
                assert_true(has(journal, &key, people[j]));
        }
        flow_journal_close(&journal);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_message_is_recognised_whatever_the_order_of_recipients),
        cmocka_unit_test_teardown(what_was_noted_is_there_after_reopening_and_for_five_days,
                                  file_remove),
        cmocka_unit_test_teardown(what_could_not_be_noted_is_held_and_nothing_begins_before_it_is,
                                  file_remove),
        cmocka_unit_test_teardown(no_address_is_in_the_file, file_remove),
        cmocka_unit_test_teardown(a_newer_schema_is_refused_and_left_alone, file_remove),
        cmocka_unit_test_teardown(what_is_no_database_of_ours_is_refused, file_remove),
        cmocka_unit_test_teardown(threads_note_side_by_side, file_remove),
        cmocka_unit_test_teardown(what_add_returned_for_survives_a_kill, file_remove),
    };

    return cmocka_run_group_tests(tests, folder_new, folder_remove);
}
