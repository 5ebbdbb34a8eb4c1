#include "util/database.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct database_statement {
    const char *sql; /* constant text: compared by pointer first */
    sqlite3_stmt *statement;
};

struct database {
    sqlite3 *handle;
    char *path;
    pthread_mutex_t lock;
    struct database_statement statements[DATABASE_STATEMENTS];
    size_t count;
};

static enum err_code
database_fail(const struct database *database, int code, const char *what, struct err *err)
{
    enum err_code ours = ERR_TEMP;
    const char *text = database->handle ? sqlite3_errmsg(database->handle) : sqlite3_errstr(code);

    switch (code & 0xff) {
    case SQLITE_NOMEM:
    case SQLITE_FULL:
        ours = ERR_NOMEM;
        break;
    case SQLITE_NOTADB:
        ours = ERR_PERM;
        break;
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
        ours = ERR_BUG;
        break;
    default:
        break;
    }
    return err_set_reason(err, ours, "database", "%.200s: %s: %.200s", database->path, what, text);
}

static enum err_code
database_run(struct database *database, const char *sql, struct err *err)
{
    int code = sqlite3_exec(database->handle, sql, NULL, NULL, NULL);

    return code == SQLITE_OK ? ERR_OK : database_fail(database, code, "cannot be used", err);
}

/*
 * SQLite would make it by the umask; the files beside it (-wal, -shm) take the mode of this one.
 *
 * A file that is there is never opened here: to close it again would drop the locks that other
 * connections of this process hold on it (POSIX), and the next program that closes the database
 * would think itself alone and take its log away.
 */
static enum err_code
file_init(const char *path, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat st;

    if (fd >= 0) {
        close(fd);
        return ERR_OK;
    }
    if (errno != EEXIST)
        return err_set_errno(err, errno, "%.200s", path);
    if (lstat(path, &st) != 0)
        return err_set_errno(err, errno, "%.200s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_PERM, "%.200s is not a file", path);
    if (st.st_mode & 077)
        return err_set(err, ERR_PERM, "%.200s can be read by others; chmod 0600", path);
    return ERR_OK;
}

static enum err_code
version_get(struct database *database, int64_t *out, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(database->handle, "PRAGMA user_version", -1, &statement, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    *out = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
    sqlite3_finalize(statement);
    return code == SQLITE_ROW ? ERR_OK : database_fail(database, code, "cannot be read", err);
}

static enum err_code
schema_set(struct database *database, const char *const *steps, struct err *err)
{
    int64_t version, newest = 0;
    char sql[64];
    enum err_code code;

    while (steps[newest])
        newest++;
    /* The usual case waits for nobody who writes. */
    code = version_get(database, &version, err);
    if (code != ERR_OK || version == newest)
        return code;
    if ((code = database_begin(database, true, err)) != ERR_OK)
        return code;
    code = version_get(database, &version, err);
    if (code == ERR_OK && version > newest)
        code = err_set_reason(err, ERR_PERM, "database-newer",
                              "%.200s was written by a newer smimed (schema %lld, this one knows "
                              "%lld): install that one, or move the file away",
                              database->path, (long long)version, (long long)newest);
    for (; code == ERR_OK && version < newest; version++)
        code = database_run(database, steps[version], err);
    snprintf(sql, sizeof sql, "PRAGMA user_version = %lld", (long long)newest);
    if (code == ERR_OK)
        code = database_run(database, sql, err);
    return database_end(database, code, err);
}

enum err_code
database_open(const char *path, const char *const *steps, struct database **out, struct err *err)
{
    struct database *database = calloc(1, sizeof *database);
    enum err_code code;
    int opened;

    *out = NULL;
    if (!database || !(database->path = strdup(path))) {
        free(database);
        return err_set(err, ERR_NOMEM, "no memory for a database");
    }
    pthread_mutex_init(&database->lock, NULL);
    code = file_init(path, err);
    if (code == ERR_OK) {
        opened = sqlite3_open_v2(path, &database->handle,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
                                 NULL);
        if (opened != SQLITE_OK)
            code = database_fail(database, opened, "cannot be opened", err);
    }
    if (code == ERR_OK) {
        sqlite3_busy_timeout(database->handle, DATABASE_WAIT_MS);
        sqlite3_extended_result_codes(database->handle, 1);
        /* A file that somebody else wrote must not run anything in us. */
        sqlite3_db_config(database->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        code = database_run(database,
                            "PRAGMA trusted_schema = OFF; PRAGMA journal_mode = WAL; "
                            "PRAGMA synchronous = FULL",
                            err);
    }
    if (code == ERR_OK)
        code = schema_set(database, steps, err);
    if (code != ERR_OK)
        database_close(&database);
    *out = database;
    return code;
}

void
database_close(struct database **database)
{
    struct database *d = *database;

    *database = NULL;
    if (!d)
        return;
    for (size_t i = 0; i < d->count; i++)
        sqlite3_finalize(d->statements[i].statement);
    sqlite3_close(d->handle);
    pthread_mutex_destroy(&d->lock);
    free(d->path);
    free(d);
}

enum err_code
database_begin(struct database *database, bool writes, struct err *err)
{
    enum err_code code;

    pthread_mutex_lock(&database->lock);
    code = database_run(database, writes ? "BEGIN IMMEDIATE" : "BEGIN", err);
    if (code != ERR_OK)
        pthread_mutex_unlock(&database->lock);
    return code;
}

enum err_code
database_end(struct database *database, enum err_code code, struct err *err)
{
    /* A statement that still stands on a row would hold the transaction. */
    for (size_t i = 0; i < database->count; i++)
        sqlite3_reset(database->statements[i].statement);
    if (code == ERR_OK)
        code = database_run(database, "COMMIT", err);
    if (!sqlite3_get_autocommit(database->handle))
        (void)sqlite3_exec(database->handle, "ROLLBACK", NULL, NULL, NULL);
    pthread_mutex_unlock(&database->lock);
    return code;
}

enum err_code
database_prepare(struct database *database, const char *sql, sqlite3_stmt **out, struct err *err)
{
    struct database_statement *one;
    int code;

    *out = NULL;
    for (size_t i = 0; i < database->count; i++) {
        one = &database->statements[i];
        if (one->sql == sql || strcmp(one->sql, sql) == 0) {
            sqlite3_reset(one->statement);
            sqlite3_clear_bindings(one->statement);
            *out = one->statement;
            return ERR_OK;
        }
    }
    if (database->count == DATABASE_STATEMENTS)
        return err_set(err, ERR_BUG, "more than %d statements", DATABASE_STATEMENTS);
    one = &database->statements[database->count];
    code = sqlite3_prepare_v3(database->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &one->statement,
                              NULL);
    if (code != SQLITE_OK)
        return database_fail(database, code, "cannot be asked", err);
    one->sql = sql;
    database->count++;
    *out = one->statement;
    return ERR_OK;
}

enum err_code
database_step(struct database *database, sqlite3_stmt *statement, struct err *err)
{
    int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        return ERR_OK;
    if (code == SQLITE_DONE) {
        sqlite3_reset(statement);
        return ERR_NOTFOUND;
    }
    return database_fail(database, code, "cannot be asked", err);
}

void
database_bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    (void)sqlite3_bind_text(statement, at, text, -1, SQLITE_TRANSIENT);
}

void
database_bind_bytes(sqlite3_stmt *statement, int at, struct span bytes)
{
    (void)sqlite3_bind_blob64(statement, at, bytes.n ? (const void *)bytes.p : "", bytes.n,
                              SQLITE_TRANSIENT);
}

void
database_bind_number(sqlite3_stmt *statement, int at, int64_t number)
{
    (void)sqlite3_bind_int64(statement, at, number);
}
