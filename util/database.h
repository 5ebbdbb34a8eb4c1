/*
 * A small SQLite database of ours: opened safely, with a schema that knows its version.
 *
 * The file is private (mode 0600) and stays whole whatever happens: write-ahead log, and a commit
 * is on the disk before it returns (synchronous = FULL). Its version is in user_version. Older ones
 * are brought forward step by step, in one transaction; one that is newer than we know is refused
 * with a text that says so, since an older program would lose what it does not understand.
 *
 * SQL is constant text; values are bound, never pasted. What SQLite says becomes an error here:
 * busy, full, read-only, corrupt are ERR_TEMP (a full disk ERR_NOMEM) and name the file.
 *
 * Threads: a database has one lock, taken by database_begin and released by database_end; the
 * statements between belong to that thread.
 */
#ifndef UTIL_DATABASE_H
#define UTIL_DATABASE_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "util/err.h"
#include "util/span.h"

struct database;

enum { DATABASE_WAIT_MS = 5000 /* for another process, smimectl say */ };

/* `steps[i]` brings version i to version i + 1; NULL-terminated. ERR_PERM: not a database, or a
 * newer one; ERR_TEMP. Strings are borrowed for as long as the database is open. */
ERR_CHECKED enum err_code database_open(const char *path, const char *const *steps,
                                        struct database **out, struct err *err);
void database_close(struct database **database);

/* One transaction at a time: begin takes the lock and begins (IMMEDIATE when `writes`); end commits
 * when `code` is ERR_OK, else rolls back; it releases the lock and returns `code`, or the failure
 * of the commit. A begin that failed needs no end. */
ERR_CHECKED enum err_code database_begin(struct database *database, bool writes, struct err *err);
ERR_CHECKED enum err_code database_end(struct database *database, enum err_code code,
                                       struct err *err);

/* Within a transaction. A prepared statement for the constant `sql` (kept by the database, up to
 * DATABASE_STATEMENTS of them), reset and without values. Borrowed until the end. */
enum { DATABASE_STATEMENTS = 32 };
ERR_CHECKED enum err_code database_prepare(struct database *database, const char *sql,
                                           sqlite3_stmt **out, struct err *err);

/* ERR_OK: there is a row. ERR_NOTFOUND: no more rows (done). */
ERR_CHECKED enum err_code database_step(struct database *database, sqlite3_stmt *statement,
                                        struct err *err);

/* Binding. A failure (memory) shows in the next step. */
void database_bind_text(sqlite3_stmt *statement, int at, const char *text);
void database_bind_bytes(sqlite3_stmt *statement, int at, struct span bytes);
void database_bind_number(sqlite3_stmt *statement, int at, int64_t number);

#endif
