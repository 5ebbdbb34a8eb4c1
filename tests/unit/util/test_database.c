#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/database.h"

static char folder[] = "/tmp/smimed-database-XXXXXX";
static char path[128];

static const char *const one[] = { "CREATE TABLE t (a INTEGER)", NULL };
static const char *const three[] = { "CREATE TABLE t (a INTEGER)",
                                     "ALTER TABLE t ADD COLUMN b INTEGER NOT NULL DEFAULT 7",
                                     "UPDATE t SET b = b + a", NULL };
static const char *const broken[] = { "CREATE TABLE t (a INTEGER)",
                                      "UPDATE t SET a = a + 100; CREATE TABLE t (a INTEGER)",
                                      NULL };

static int
world_new(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x.db", folder);
    return 0;
}

static int
file_remove(void **state)
{
    static const char *const ends[] = { "", "-wal", "-shm" };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char name[160];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
    return 0;
}

static int
world_free(void **state)
{
    (void)file_remove(state);
    return rmdir(folder);
}

static struct database *
opened(const char *const *steps)
{
    struct database *database = NULL;
    struct err err = ERR_INIT;

    if (database_open(path, steps, &database, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return database;
}

/* The only number that a constant statement gives, -1: no row. */
static int64_t
number(struct database *database, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    struct err err = ERR_INIT;
    int64_t found = -1;
    enum err_code code;

    assert_int_equal(database_begin(database, true, &err), ERR_OK);
    assert_int_equal(database_prepare(database, sql, &statement, &err), ERR_OK);
    code = database_step(database, statement, &err);
    if (code == ERR_OK)
        found = sqlite3_column_int64(statement, 0);
    else
        assert_int_equal(code, ERR_NOTFOUND);
    assert_int_equal(database_end(database, ERR_OK, &err), ERR_OK);
    return found;
}

static void
old_schemas_are_brought_forward_with_what_they_hold(void **state)
{
    struct database *database = opened(one);

    (void)state;
    assert_int_equal(number(database, "INSERT INTO t VALUES (5)"), -1);
    database_close(&database);
    database = opened(three);
    assert_int_equal(number(database, "SELECT b FROM t WHERE a = 5"), 12);
    assert_int_equal(number(database, "PRAGMA user_version"), 3);
    database_close(&database);
    /* Again: nothing is done twice. */
    database = opened(three);
    assert_int_equal(number(database, "SELECT b FROM t WHERE a = 5"), 12);
    database_close(&database);
}

static void
a_newer_schema_is_refused_with_both_numbers_and_left_alone(void **state)
{
    struct database *database = opened(three);
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(number(database, "INSERT INTO t VALUES (1, 2)"), -1);
    database_close(&database);
    assert_int_equal(database_open(path, one, &database, &err), ERR_PERM);
    assert_null(database);
    assert_string_equal(err.reason, "database-newer");
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "newer smimed (schema 3, this one knows 1)"));
    database = opened(three);
    assert_int_equal(number(database, "SELECT b FROM t"), 2);
    database_close(&database);
}

static void
a_step_that_fails_leaves_the_old_schema(void **state)
{
    struct database *database = opened(one);
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(number(database, "INSERT INTO t VALUES (5)"), -1);
    database_close(&database);
    assert_int_not_equal(database_open(path, broken, &database, &err), ERR_OK);
    assert_null(database);
    database = opened(one);
    assert_int_equal(number(database, "SELECT a FROM t"), 5);
    assert_int_equal(number(database, "PRAGMA user_version"), 1);
    database_close(&database);
}

static void
what_is_no_database_or_not_private_is_refused(void **state)
{
    struct database *database = NULL;
    struct err err = ERR_INIT;
    FILE *file = fopen(path, "w");

    (void)state;
    assert_non_null(file);
    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", file);
    fclose(file);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(database_open(path, one, &database, &err), ERR_PERM);
    assert_non_null(strstr(err.text, "can be read by others"));
    err_reset(&err);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(database_open(path, one, &database, &err), ERR_PERM);
    err_reset(&err);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("elsewhere", path), 0);
    assert_int_not_equal(database_open(path, one, &database, &err), ERR_OK);
    assert_null(database);
}

static void
a_transaction_that_fails_leaves_nothing(void **state)
{
    struct database *database = opened(one);
    sqlite3_stmt *statement = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(database_begin(database, true, &err), ERR_OK);
    assert_int_equal(database_prepare(database, "INSERT INTO t VALUES (?1)", &statement, &err),
                     ERR_OK);
    database_bind_number(statement, 1, 3);
    assert_int_equal(database_step(database, statement, &err), ERR_NOTFOUND);
    err_set(&err, ERR_LIMIT, "the caller's own");
    assert_int_equal(database_end(database, ERR_LIMIT, &err), ERR_LIMIT);
    assert_string_equal(err.text, "the caller's own");
    assert_int_equal(number(database, "SELECT count(*) FROM t"), 0);
    database_close(&database);
}

/* How many rows a program of its own sees: locks belong to processes, and so does SQLite's memory
 * of them. */
static int
seen_by_another_program(void)
{
    int status = -1;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "again", "--count", path, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int
count_for_another(const char *file)
{
    struct database *database = NULL;
    struct err err = ERR_INIT;
    int64_t count;

    if (database_open(file, one, &database, &err) != ERR_OK)
        return 99;
    count = number(database, "SELECT count(*) FROM t");
    database_close(&database);
    return (int)count;
}

/* Another program that opens and closes the database must not think itself alone because we have
 * opened a second connection meanwhile, and take the log away that we write to. */
static void
a_second_connection_keeps_the_locks_of_the_first(void **state)
{
    struct database *first = opened(one), *second;

    (void)state;
    assert_int_equal(number(first, "INSERT INTO t VALUES (1)"), -1);
    second = opened(one);
    assert_int_equal(seen_by_another_program(), 1);
    assert_int_equal(number(first, "INSERT INTO t VALUES (2)"), -1);
    assert_int_equal(seen_by_another_program(), 2);
    assert_int_equal(number(second, "SELECT count(*) FROM t"), 2);
    database_close(&second);
    database_close(&first);
}

int
main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--count") == 0)
        return count_for_another(argv[2]);

    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(old_schemas_are_brought_forward_with_what_they_hold, file_remove),
        cmocka_unit_test_teardown(a_newer_schema_is_refused_with_both_numbers_and_left_alone,
                                  file_remove),
        cmocka_unit_test_teardown(a_step_that_fails_leaves_the_old_schema, file_remove),
        cmocka_unit_test_teardown(what_is_no_database_or_not_private_is_refused, file_remove),
        cmocka_unit_test_teardown(a_second_connection_keeps_the_locks_of_the_first, file_remove),
        cmocka_unit_test_teardown(a_transaction_that_fails_leaves_nothing, file_remove),
    };

    return cmocka_run_group_tests(tests, world_new, world_free);
}
