#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <sqlite3.h>

#include "directory/harvest.h"
#include "tests/unit/testca.h"

enum { NOW = 1800000000 };

static const char bob[] = "bob@partner.example";
static char folder[] = "/tmp/smimed-harvest-XXXXXX";
static char path[128];
static struct testca ca;

static int
world_new(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/harvest.db", folder);
    testca_init(&ca, "Test CA");
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
    EVP_PKEY_free(ca.key);
    X509_free(ca.x509);
    return rmdir(folder);
}

static struct directory_harvest *
opened(enum directory_harvest_change change, uint64_t limit)
{
    struct directory_harvest *harvest = NULL;
    struct err err = ERR_INIT;
    const struct directory_harvest_args args = {
        .path = path, .change = change, .limit = limit, .create = true
    };

    if (directory_harvest_open(&args, &harvest, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return harvest;
}

/* A new certificate of key number `key` for bob. */
static struct pki_certificate *
made(unsigned key)
{
    const struct testca_args args = {
        .cn = "Bob", .san = "email:bob@partner.example", .key_type = TESTCA_P256, .key_index = key
    };
    struct pki_certificate *certificate = NULL;
    struct testca_leaf leaf;
    struct err err = ERR_INIT;
    unsigned char *der = NULL;
    int n;

    testca_issue(&ca, &args, &leaf);
    n = i2d_X509(leaf.x509, &der);
    if (pki_certificate_parse(span_of(der, (size_t)n), &certificate, &err) != ERR_OK)
        fail_msg("%s", err.text);
    OPENSSL_free(der);
    testca_leaf_free(&leaf);
    return certificate;
}

static enum directory_harvest_state
added_for(struct directory_harvest *harvest, const char *address,
          struct pki_certificate *certificate, time_t now)
{
    enum directory_harvest_state state;
    bool is_new;
    struct err err = ERR_INIT;
    const struct directory_harvest_news news = { .address = address,
                                                 .certificate = certificate,
                                                 .now = now };

    if (directory_harvest_add(harvest, &news, &state, &is_new, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return state;
}

static enum directory_harvest_state
added(struct directory_harvest *harvest, struct pki_certificate *certificate, time_t now)
{
    return added_for(harvest, bob, certificate, now);
}

static size_t
found(struct directory_harvest *harvest, const char *address, struct pki_certificate *first)
{
    struct pki_certificates list = { .limit = 0 };
    struct err err = ERR_INIT;
    enum err_code code = directory_harvest_find(harvest, address, &list, NULL, &err);
    size_t count = list.count;

    assert_int_equal(code, count > 0 ? ERR_OK : ERR_NOTFOUND);
    if (count > 0 && first)
        assert_true(pki_certificate_is(list.list[0], first));
    pki_certificates_free(&list);
    return count;
}

static void
the_last_seen_certificate_comes_first_and_survives_reopening(void **state)
{
    struct directory_harvest *harvest = opened(DIRECTORY_HARVEST_ACCEPT, 0);
    struct pki_certificate *a = made(0), *b = made(1);

    (void)state;
    assert_int_equal(found(harvest, bob, NULL), 0);
    assert_int_equal(added(harvest, a, NOW), DIRECTORY_HARVEST_ACCEPTED);
    assert_int_equal(added(harvest, b, NOW + 10), DIRECTORY_HARVEST_ACCEPTED);
    assert_int_equal(found(harvest, bob, b), 2);
    assert_int_equal(added(harvest, a, NOW + 20), DIRECTORY_HARVEST_ACCEPTED);
    directory_harvest_close(&harvest);
    harvest = opened(DIRECTORY_HARVEST_ACCEPT, 0);
    assert_int_equal(found(harvest, "BOB@partner.example", a), 2);
    assert_int_equal(found(harvest, "bob@partner.example.org", NULL), 0);
    directory_harvest_close(&harvest);
    pki_certificate_free(&a);
    pki_certificate_free(&b);
}

static void
a_change_of_keys_waits_for_approval_where_it_is_asked_for(void **state)
{
    struct directory_harvest *harvest = opened(DIRECTORY_HARVEST_HOLD, 0);
    struct pki_certificate *a = made(0), *renewed = made(0), *b = made(1);
    struct err err = ERR_INIT;
    char shortened[13] = "";

    (void)state;
    memcpy(shortened, pki_certificate_get(b)->fingerprint, 12);
    assert_int_equal(added(harvest, a, NOW), DIRECTORY_HARVEST_ACCEPTED);
    assert_int_equal(added(harvest, renewed, NOW + 1), DIRECTORY_HARVEST_ACCEPTED);
    assert_int_equal(added(harvest, b, NOW + 2), DIRECTORY_HARVEST_HELD);
    assert_int_equal(added(harvest, b, NOW + 3), DIRECTORY_HARVEST_HELD);
    assert_int_equal(found(harvest, bob, renewed), 2);
    assert_int_equal(
        directory_harvest_set(harvest, bob, shortened, DIRECTORY_HARVEST_ACCEPTED, &err), ERR_OK);
    assert_int_equal(found(harvest, bob, b), 3);
    directory_harvest_close(&harvest);
    pki_certificate_free(&a);
    pki_certificate_free(&renewed);
    pki_certificate_free(&b);
}

static void
what_was_removed_stays_away(void **state)
{
    struct directory_harvest *harvest = opened(DIRECTORY_HARVEST_ACCEPT, 0);
    struct pki_certificate *a = made(0), *others[40];
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(added(harvest, a, NOW), DIRECTORY_HARVEST_ACCEPTED);
    assert_int_equal(directory_harvest_set(harvest, bob, pki_certificate_get(a)->fingerprint,
                                           DIRECTORY_HARVEST_REMOVED, &err),
                     ERR_OK);
    assert_int_equal(found(harvest, bob, NULL), 0);
    for (int i = 0; i < 40; i++) {
        others[i] = made(1);
        assert_int_equal(added(harvest, others[i], NOW + i), DIRECTORY_HARVEST_ACCEPTED);
    }
    assert_int_equal(added(harvest, a, NOW + 99), DIRECTORY_HARVEST_REMOVED);
    assert_int_equal(found(harvest, bob, others[39]), DIRECTORY_HARVEST_PER_ADDRESS - 1);
    for (int i = 0; i < 40; i++)
        pki_certificate_free(&others[i]);
    directory_harvest_close(&harvest);
    pki_certificate_free(&a);
}

static void
what_was_not_seen_for_longest_makes_room(void **state)
{
    struct directory_harvest *harvest = opened(DIRECTORY_HARVEST_ACCEPT, 50);
    struct pki_certificate *a = made(0);
    char address[64];
    size_t count = 0;

    (void)state;
    for (int i = 0; i < 200; i++) {
        snprintf(address, sizeof address, "p%d@partner.example", i);
        assert_int_equal(added_for(harvest, address, a, NOW + i), DIRECTORY_HARVEST_ACCEPTED);
    }
    assert_int_equal(found(harvest, "p0@partner.example", NULL), 0);
    assert_int_equal(found(harvest, "p199@partner.example", a), 1);
    for (int i = 0; i < 200; i++) {
        snprintf(address, sizeof address, "p%d@partner.example", i);
        count += found(harvest, address, NULL);
    }
    assert_in_range(count, 40, 50);
    directory_harvest_close(&harvest);
    pki_certificate_free(&a);
}

static void
tell(struct directory_harvest *harvest, struct pki_certificate *certificate, const char *what,
     time_t signed_at)
{
    enum directory_harvest_state state;
    bool is_new;
    struct err err = ERR_INIT;
    const struct directory_harvest_news news = { .address = bob,
                                                 .certificate = certificate,
                                                 .capabilities = span_str(what),
                                                 .signed_at = signed_at,
                                                 .now = NOW };

    assert_int_equal(directory_harvest_add(harvest, &news, &state, &is_new, &err), ERR_OK);
}

static void
assert_told(struct directory_harvest *harvest, const char *what)
{
    struct buf out = BUF_INIT(4096);
    struct err err = ERR_INIT;
    time_t at = 0;
    enum err_code code = directory_harvest_get_capabilities(harvest, bob, &out, &at, &err);

    assert_int_equal(code, what ? ERR_OK : ERR_NOTFOUND);
    assert_string_equal(buf_str(&out), what ? what : "");
    buf_free(&out);
}

static void
an_older_message_takes_no_capability_away(void **state)
{
    struct directory_harvest *harvest = opened(DIRECTORY_HARVEST_HOLD, 0);
    struct pki_certificate *a = made(0), *b = made(1);

    (void)state;
    assert_told(harvest, NULL);
    tell(harvest, a, "undated", 0);
    assert_told(harvest, NULL);
    tell(harvest, a, "from the future", NOW + 1);
    assert_told(harvest, NULL);
    tell(harvest, a, "gcm", NOW - 100);
    assert_told(harvest, "gcm");
    tell(harvest, a, "weak, sent again", NOW - 200);
    tell(harvest, a, "weak, same time", NOW - 100);
    assert_told(harvest, "gcm");
    tell(harvest, b, "of a key that nobody approved", NOW - 10);
    assert_told(harvest, "gcm");
    tell(harvest, a, "newer", NOW - 50);
    assert_told(harvest, "newer");
    directory_harvest_close(&harvest);
    pki_certificate_free(&a);
    pki_certificate_free(&b);
}

static enum err_code
count_row(void *context, const struct directory_harvest_row *row, struct err *err)
{
    (void)err;
    assert_string_equal(row->address, bob);
    assert_int_equal(strlen(row->fingerprint), 64);
    assert_true(row->der.n > 100);
    *(uint64_t *)context += row->count;
    return ERR_OK;
}

static void
rows_are_listed_and_a_fingerprint_is_only_hexadecimal(void **state)
{
    static const char *const bad[] = {
        "",         "1234567",  "%%%%%%%%",
        "________", "0123456g", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"
    };
    struct directory_harvest *harvest = opened(DIRECTORY_HARVEST_ACCEPT, 0);
    struct pki_certificate *a = made(0);
    uint64_t count = 0;
    struct err err = ERR_INIT;

    (void)state;
    (void)added(harvest, a, NOW);
    (void)added(harvest, a, NOW);
    assert_int_equal(directory_harvest_each(harvest, NULL, count_row, &count, &err), ERR_OK);
    assert_int_equal(directory_harvest_each(harvest, bob, count_row, &count, &err), ERR_OK);
    assert_int_equal(directory_harvest_each(harvest, "x@y.example", count_row, &count, &err),
                     ERR_OK);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err_reset(&err);
        assert_int_equal(directory_harvest_set(harvest, bob, bad[i], DIRECTORY_HARVEST_HELD, &err),
                         ERR_PERM);
    }
    err_reset(&err);
    assert_int_equal(
        directory_harvest_set(harvest, bob, "0000000000000000", DIRECTORY_HARVEST_HELD, &err),
        ERR_NOTFOUND);
    directory_harvest_close(&harvest);
    pki_certificate_free(&a);
}

/* Somebody who only asks makes no file, and sees it when it has come. */
static void
asking_makes_no_file(void **state)
{
    struct directory_harvest *reader = NULL, *writer;
    struct pki_certificate *a = made(0);
    struct pki_certificates list = { .list = NULL };
    struct err err = ERR_INIT;
    uint64_t count = 0;

    (void)state;
    assert_int_equal(
        directory_harvest_open(&(struct directory_harvest_args){ .path = path }, &reader, &err),
        ERR_OK);
    assert_int_equal(directory_harvest_find(reader, bob, &list, NULL, &err), ERR_NOTFOUND);
    assert_int_equal(directory_harvest_each(reader, NULL, count_row, &count, &err), ERR_OK);
    err_reset(&err);
    assert_int_equal(
        directory_harvest_set(reader, bob, "0000000000000000", DIRECTORY_HARVEST_HELD, &err),
        ERR_NOTFOUND);
    assert_int_not_equal(access(path, F_OK), 0);
    writer = opened(DIRECTORY_HARVEST_HOLD, 0);
    (void)added(writer, a, NOW);
    assert_int_equal(found(reader, bob, a), 1);
    directory_harvest_close(&writer);
    directory_harvest_close(&reader);
    pki_certificate_free(&a);
}

/* A flood of strangers' certificates does not bring back what somebody removed. */
static void
what_was_removed_is_the_last_to_make_room(void **state)
{
    struct directory_harvest *harvest = opened(DIRECTORY_HARVEST_ACCEPT, 10);
    struct pki_certificate *a = made(0), *b = made(1);
    struct err err = ERR_INIT;
    char address[64];

    (void)state;
    (void)added(harvest, a, NOW);
    assert_int_equal(directory_harvest_set(harvest, bob, pki_certificate_get(a)->fingerprint,
                                           DIRECTORY_HARVEST_REMOVED, &err),
                     ERR_OK);
    for (int i = 0; i < 50; i++) {
        snprintf(address, sizeof address, "s%d@x.example", i);
        (void)added_for(harvest, address, b, NOW + 1 + i);
    }
    assert_int_equal(added(harvest, a, NOW + 100), DIRECTORY_HARVEST_REMOVED);
    directory_harvest_close(&harvest);
    pki_certificate_free(&a);
    pki_certificate_free(&b);
}

static void
run_sql(const char *sql)
{
    sqlite3 *handle = NULL;
    char *text = NULL;

    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    if (sqlite3_exec(handle, sql, NULL, NULL, &text) != SQLITE_OK)
        fail_msg("%s", text);
    sqlite3_close(handle);
}

/* ---- intermediates -----------------------------------------------------------------------------
 */

static struct pki_certificate *
made_ca(const char *cn)
{
    struct testca sub;
    struct pki_certificate *certificate;

    testca_init_below(&sub, &ca, cn, NULL);
    certificate = testca_certificate(sub.x509);
    testca_free(&sub);
    return certificate;
}

static enum directory_harvest_state
added_with(struct directory_harvest *harvest, const char *address,
           struct pki_certificate *certificate, struct pki_certificate **chain, size_t count)
{
    const struct pki_certificates list = { .list = chain, .count = count };
    const struct directory_harvest_news news = {
        .address = address, .certificate = certificate, .chain = &list, .now = NOW
    };
    enum directory_harvest_state state;
    bool is_new;
    struct err err = ERR_INIT;

    if (directory_harvest_add(harvest, &news, &state, &is_new, &err) != ERR_OK)
        fail_msg("%s", err.text);
    return state;
}

/* The intermediates that come back for an address are those, in any order. */
static void
assert_chain(struct directory_harvest *harvest, const char *address, size_t count,
             struct pki_certificate *one)
{
    struct pki_certificates list = { .limit = 0 }, chain = { .limit = 0 };
    struct err err = ERR_INIT;
    bool there = !one;

    assert_int_equal(directory_harvest_find(harvest, address, &list, &chain, &err), ERR_OK);
    assert_int_equal(chain.count, count);
    for (size_t i = 0; i < chain.count; i++)
        there |= pki_certificate_is(chain.list[i], one);
    assert_true(there);
    pki_certificates_free(&list);
    pki_certificates_free(&chain);
}

static int64_t
counted(const char *sql)
{
    sqlite3 *handle = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t count;

    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    count = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(handle);
    return count;
}

static void
intermediates_are_kept_with_what_they_came_with(void **state)
{
    struct directory_harvest *harvest = opened(DIRECTORY_HARVEST_HOLD, 0);
    struct pki_certificate *a = made(0), *b = made(1);
    struct pki_certificate *subs[] = { made_ca("sub one"), made_ca("sub two") };
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(added_with(harvest, bob, a, subs, 1), DIRECTORY_HARVEST_ACCEPTED);
    assert_chain(harvest, bob, 1, subs[0]);
    /* A message that brings none takes none away; one that brings others has the newer word. */
    (void)added(harvest, a, NOW + 1);
    assert_chain(harvest, bob, 1, subs[0]);
    (void)added_with(harvest, bob, a, subs, 2);
    assert_chain(harvest, bob, 2, subs[1]);
    (void)added_with(harvest, bob, a, subs, 1);
    assert_chain(harvest, bob, 1, subs[0]);
    assert_int_equal(counted("SELECT count(*) FROM issuer"), 1);
    /* What is held gives nothing before it is approved. */
    assert_int_equal(added_with(harvest, bob, b, subs + 1, 1), DIRECTORY_HARVEST_HELD);
    assert_chain(harvest, bob, 1, subs[0]);
    assert_int_equal(directory_harvest_set(harvest, bob, pki_certificate_get(b)->fingerprint,
                                           DIRECTORY_HARVEST_ACCEPTED, &err),
                     ERR_OK);
    assert_chain(harvest, bob, 2, subs[1]);
    directory_harvest_close(&harvest);
    harvest = opened(DIRECTORY_HARVEST_HOLD, 0);
    assert_chain(harvest, bob, 2, subs[1]);
    directory_harvest_close(&harvest);
    for (size_t i = 0; i < 2; i++)
        pki_certificate_free(&subs[i]);
    pki_certificate_free(&a);
    pki_certificate_free(&b);
}

static void
more_intermediates_than_a_path_has_are_not_kept(void **state)
{
    struct directory_harvest *harvest = opened(DIRECTORY_HARVEST_HOLD, 0);
    struct pki_certificate *a = made(0), *sub = made_ca("sub"), *many[DIRECTORY_HARVEST_CHAIN + 1];

    (void)state;
    for (size_t i = 0; i < DIRECTORY_HARVEST_CHAIN + 1; i++)
        many[i] = sub;
    (void)added_with(harvest, bob, a, many, DIRECTORY_HARVEST_CHAIN + 1);
    assert_chain(harvest, bob, 0, NULL);
    directory_harvest_close(&harvest);
    pki_certificate_free(&sub);
    pki_certificate_free(&a);
}

/* An issuer is there once, however many leaves it has, and goes with the last of them. */
static void
intermediates_go_with_the_last_certificate_that_needs_them(void **state)
{
    struct directory_harvest *harvest = opened(DIRECTORY_HARVEST_ACCEPT, 10);
    struct pki_certificate *a = made(0);
    struct pki_certificate *subs[] = { made_ca("sub one"), made_ca("sub two") };
    char address[64];

    (void)state;
    for (int i = 0; i < 5; i++) {
        snprintf(address, sizeof address, "p%d@x.example", i);
        (void)added_with(harvest, address, a, subs, 1);
    }
    assert_int_equal(counted("SELECT count(*) FROM issuer"), 1);
    for (int i = 0; i < 50; i++) {
        snprintf(address, sizeof address, "q%d@x.example", i);
        (void)added_with(harvest, address, a, subs + 1, 1);
        assert_int_equal(counted("SELECT count(*) FROM chain"),
                         counted("SELECT count(*) FROM certificate"));
    }
    assert_int_equal(counted("SELECT count(*) FROM issuer"), 1);
    assert_chain(harvest, "q49@x.example", 1, subs[1]);
    directory_harvest_close(&harvest);
    for (size_t i = 0; i < 2; i++)
        pki_certificate_free(&subs[i]);
    pki_certificate_free(&a);
}

/* What the first version wrote is there in the next one; what the next one writes is refused by an
 * older one, here by raising the version beyond ours. */
static void
the_first_schema_is_brought_forward_and_a_newer_one_refused(void **state)
{
    struct directory_harvest *harvest;
    struct pki_certificate *a = made(0);
    struct err err = ERR_INIT;
    char sql[8192];
    struct span der = pki_certificate_der(a);
    size_t n;

    (void)state;
    n = (size_t)snprintf(
        sql, sizeof sql,
        "PRAGMA journal_mode = WAL;"
        "CREATE TABLE certificate (address TEXT NOT NULL COLLATE NOCASE, fingerprint TEXT NOT NULL,"
        " key BLOB NOT NULL, der BLOB NOT NULL, state INTEGER NOT NULL, first_seen INTEGER NOT "
        "NULL,"
        " last_seen INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (address, fingerprint))"
        " WITHOUT ROWID;"
        "CREATE INDEX certificate_seen ON certificate (last_seen);"
        "CREATE TABLE capability (address TEXT PRIMARY KEY COLLATE NOCASE, der BLOB NOT NULL,"
        " signed_at INTEGER NOT NULL) WITHOUT ROWID;"
        "PRAGMA user_version = 1;"
        "INSERT INTO certificate VALUES ('%s', '%s', x'00', x'",
        bob, pki_certificate_get(a)->fingerprint);
    for (size_t i = 0; i < der.n; i++)
        n += (size_t)snprintf(sql + n, sizeof sql - n, "%02x", der.p[i]);
    snprintf(sql + n, sizeof sql - n, "', 0, %d, %d, 7)", NOW, NOW);
    unlink(path);
    run_sql(sql);
    assert_int_equal(chmod(path, 0600), 0);

    harvest = opened(DIRECTORY_HARVEST_HOLD, 0);
    assert_int_equal(found(harvest, bob, a), 1);
    assert_chain(harvest, bob, 0, NULL);
    assert_int_equal(directory_harvest_set(harvest, bob, pki_certificate_get(a)->fingerprint,
                                           DIRECTORY_HARVEST_REMOVED, &err),
                     ERR_OK);
    directory_harvest_close(&harvest);

    run_sql("PRAGMA user_version = 4");
    assert_int_equal(
        directory_harvest_open(&(struct directory_harvest_args){ .path = path }, &harvest, &err),
        ERR_PERM);
    assert_string_equal(err.reason, "database-newer");
    assert_non_null(strstr(err.text, "newer smimed (schema 4, this one knows 3)"));
    assert_null(harvest);
    pki_certificate_free(&a);
}

/* Killed in the middle, again and again: the file stays whole, and what add returned for is there.
 */
static void
a_kill_leaves_the_database_whole(void **state)
{
    enum { ROUNDS = 200 };
    struct pki_certificate *a = made(0);
    char address[64];

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct directory_harvest *harvest;
        int pipes[2], told = -1;
        pid_t child;

        assert_int_equal(pipe(pipes), 0);
        child = fork();
        if (child == 0) {
            harvest = opened(DIRECTORY_HARVEST_ACCEPT, 0);
            for (int i = 0; i < 1000; i++) {
                snprintf(address, sizeof address, "r%d-%d@x.example", round, i);
                (void)added_for(harvest, address, a, NOW);
                if (write(pipes[1], &i, sizeof i) != sizeof i)
                    _exit(1);
            }
            _exit(0);
        }
        close(pipes[1]);
        for (int i = 0; i < 1 + round % 5; i++)
            assert_int_equal(read(pipes[0], &told, sizeof told), sizeof told);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(pipes[0], &told, sizeof told) == sizeof told)
            continue;
        close(pipes[0]);
        harvest = opened(DIRECTORY_HARVEST_ACCEPT, 0);
        snprintf(address, sizeof address, "r%d-%d@x.example", round, told);
        assert_int_equal(found(harvest, address, a), 1);
        directory_harvest_close(&harvest);
    }
    pki_certificate_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_last_seen_certificate_comes_first_and_survives_reopening,
                                  file_remove),
        cmocka_unit_test_teardown(a_change_of_keys_waits_for_approval_where_it_is_asked_for,
                                  file_remove),
        cmocka_unit_test_teardown(what_was_removed_stays_away, file_remove),
        cmocka_unit_test_teardown(what_was_not_seen_for_longest_makes_room, file_remove),
        cmocka_unit_test_teardown(an_older_message_takes_no_capability_away, file_remove),
        cmocka_unit_test_teardown(rows_are_listed_and_a_fingerprint_is_only_hexadecimal,
                                  file_remove),
        cmocka_unit_test_teardown(asking_makes_no_file, file_remove),
        cmocka_unit_test_teardown(what_was_removed_is_the_last_to_make_room, file_remove),
        cmocka_unit_test_teardown(intermediates_are_kept_with_what_they_came_with, file_remove),
        cmocka_unit_test_teardown(more_intermediates_than_a_path_has_are_not_kept, file_remove),
        cmocka_unit_test_teardown(intermediates_go_with_the_last_certificate_that_needs_them,
                                  file_remove),
        cmocka_unit_test_teardown(the_first_schema_is_brought_forward_and_a_newer_one_refused,
                                  file_remove),
        cmocka_unit_test_teardown(a_kill_leaves_the_database_whole, file_remove),
    };

    return cmocka_run_group_tests(tests, world_new, world_free);
}
