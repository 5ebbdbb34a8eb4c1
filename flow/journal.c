#include "flow/journal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "flow/digest.h"
#include "util/clock.h"
#include "util/database.h"
#include "util/log.h"

struct note {
    struct flow_journal_key name;
    time_t at;
};

struct flow_journal {
    struct database *database;
    unsigned keep_s;
    pthread_mutex_t lock; /* of what follows; taken before the database's */
    struct note *unwritten;
    size_t count, cap;
};

/* A note about nobody: that the message was begun. */
static const char nobody[] = "";

static const char *const schema[] = {
    "CREATE TABLE note (name BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX note_at ON note (at)",
    NULL,
};

enum err_code
flow_journal_key(const struct flow_journal_message *message, struct flow_journal_key *out,
                 struct err *err)
{
    const char **sorted = calloc(message->count + 1, sizeof *sorted);
    struct span *parts = calloc(message->count + 2, sizeof *parts);
    size_t count = message->count;
    enum err_code code;

    if (!sorted || !parts) {
        code = err_set(err, ERR_NOMEM, "no memory for the journal");
        goto out;
    }
    if (count > 0)
        memcpy(sorted, message->recipients, count * sizeof *sorted);
    count = flow_digest_sort(sorted, count);
    parts[0] = message->digest;
    parts[1] = span_str(message->sender);
    for (size_t i = 0; i < count; i++)
        parts[i + 2] = span_str(sorted[i]);
    code = flow_digest_get(parts, count + 2, out->bytes, err);
out:
    free(parts);
    free(sorted);
    return code;
}

/* The name of the note about one recipient of one message. */
static enum err_code
note_name(const struct flow_journal_key *key, const char *recipient, struct flow_journal_key *out,
          struct err *err)
{
    const struct span parts[] = { span_of(key->bytes, sizeof key->bytes), span_str(recipient) };

    return flow_digest_get(parts, 2, out->bytes, err);
}

enum err_code
flow_journal_open(const char *path, unsigned keep_s, struct flow_journal **out, struct err *err)
{
    struct flow_journal *journal = calloc(1, sizeof *journal);
    enum err_code code;

    *out = NULL;
    if (!journal)
        return err_set(err, ERR_NOMEM, "no memory for the journal");
    pthread_mutex_init(&journal->lock, NULL);
    journal->keep_s = keep_s ? keep_s : FLOW_JOURNAL_KEEP_S;
    code = database_open(path, schema, &journal->database, err);
    if (code != ERR_OK)
        flow_journal_close(&journal);
    *out = journal;
    return code;
}

static enum err_code
notes_find(struct flow_journal *journal, const struct flow_journal_key *key,
           const char *const *recipients, size_t count, bool *done, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        struct flow_journal_key name;

        code = note_name(key, recipients[i], &name, err);
        if (code == ERR_OK)
            code = database_prepare(journal->database,
                                    "SELECT 1 FROM note WHERE name = ?1 AND at >= ?2", &statement,
                                    err);
        if (code != ERR_OK)
            return code;
        database_bind_bytes(statement, 1, span_of(name.bytes, sizeof name.bytes));
        database_bind_number(statement, 2, clock_now_s() - (time_t)journal->keep_s);
        code = database_step(journal->database, statement, err);
        done[i] = code == ERR_OK;
        if (code == ERR_NOTFOUND)
            code = ERR_OK;
    }
    return code;
}

enum err_code
flow_journal_find(struct flow_journal *journal, const struct flow_journal_key *key,
                  const char *const *recipients, size_t count, bool *done, struct err *err)
{
    enum err_code code = database_begin(journal->database, false, err);

    if (code != ERR_OK)
        return code;
    return database_end(journal->database, notes_find(journal, key, recipients, count, done, err),
                        err);
}

static enum err_code
note_write(struct flow_journal *journal, const struct note *note, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    enum err_code code = database_prepare(journal->database,
                                          "INSERT INTO note (name, at) VALUES (?1, ?2) "
                                          "ON CONFLICT (name) DO UPDATE SET at = excluded.at",
                                          &statement, err);

    if (code != ERR_OK)
        return code;
    database_bind_bytes(statement, 1, span_of(note->name.bytes, sizeof note->name.bytes));
    database_bind_number(statement, 2, note->at);
    code = database_step(journal->database, statement, err);
    return code == ERR_NOTFOUND ? ERR_OK : code;
}

/* These, and what could not be written before; all of it or nothing. */
static enum err_code
notes_write(struct flow_journal *journal, const struct note *notes, size_t count, struct err *err)
{
    enum err_code code = database_begin(journal->database, true, err);

    if (code != ERR_OK)
        return code;
    for (size_t i = 0; code == ERR_OK && i < journal->count; i++)
        code = note_write(journal, &journal->unwritten[i], err);
    for (size_t i = 0; code == ERR_OK && i < count; i++)
        code = note_write(journal, &notes[i], err);
    code = database_end(journal->database, code, err);
    if (code == ERR_OK)
        journal->count = 0;
    return code;
}

/* What was handed over and could not be noted. */
static void
notes_hold(struct flow_journal *journal, const struct note *notes, size_t count)
{
    size_t need = journal->count + count, cap = journal->cap;

    if (need > cap && need <= FLOW_JOURNAL_UNWRITTEN) {
        cap = need < 1024 ? 1024 : 2 * need;
        struct note *grown = realloc(journal->unwritten, cap * sizeof *grown);

        journal->unwritten = grown ? grown : journal->unwritten;
        journal->cap = grown ? cap : journal->cap;
    }
    if (need > journal->cap || need > FLOW_JOURNAL_UNWRITTEN) {
        log_warn("copies-journal", NULL,
                 "%zu notes about copies that have left cannot be held: those may be sent again",
                 count);
        return;
    }
    memcpy(journal->unwritten + journal->count, notes, count * sizeof *notes);
    journal->count = need;
}

static enum err_code
notes_make(const struct flow_journal_key *key, const char *const *recipients, size_t count,
           struct note **out, struct err *err)
{
    struct note *notes = calloc(count + 1, sizeof *notes);
    enum err_code code = ERR_OK;

    *out = notes;
    if (!notes)
        return err_set(err, ERR_NOMEM, "no memory for the journal");
    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        notes[i].at = clock_now_s();
        code = note_name(key, recipients[i], &notes[i].name, err);
    }
    return code;
}

enum err_code
flow_journal_begin(struct flow_journal *journal, const struct flow_journal_key *key,
                   struct err *err)
{
    struct note note = { .at = clock_now_s() };
    enum err_code code = note_name(key, nobody, &note.name, err);

    if (code != ERR_OK)
        return code;
    pthread_mutex_lock(&journal->lock);
    code = notes_write(journal, &note, 1, err);
    pthread_mutex_unlock(&journal->lock);
    return code;
}

enum err_code
flow_journal_add(struct flow_journal *journal, const struct flow_journal_key *key,
                 const char *const *recipients, size_t count, struct err *err)
{
    struct note *notes = NULL;
    enum err_code code = notes_make(key, recipients, count, &notes, err);

    if (code == ERR_OK) {
        pthread_mutex_lock(&journal->lock);
        code = notes_write(journal, notes, count, err);
        if (code != ERR_OK)
            notes_hold(journal, notes, count);
        pthread_mutex_unlock(&journal->lock);
    }
    free(notes);
    return code;
}

void
flow_journal_close(struct flow_journal **journal)
{
    struct flow_journal *old = *journal;
    struct err err = ERR_INIT;

    *journal = NULL;
    if (!old)
        return;
    if (old->count > 0 && notes_write(old, NULL, 0, &err) != ERR_OK)
        log_warn("copies-journal", NULL,
                 "%zu notes about copies that have left are lost, and those may be sent again: %s",
                 old->count, err.text);
    database_close(&old->database);
    pthread_mutex_destroy(&old->lock);
    free(old->unwritten);
    free(old);
}

static enum err_code
notes_remove(struct flow_journal *journal, const struct flow_journal_key *key,
             const char *const *recipients, size_t count, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        struct flow_journal_key name;

        code = note_name(key, recipients[i], &name, err);
        if (code == ERR_OK)
            code = database_prepare(journal->database, "DELETE FROM note WHERE name = ?1",
                                    &statement, err);
        if (code != ERR_OK)
            return code;
        database_bind_bytes(statement, 1, span_of(name.bytes, sizeof name.bytes));
        code = database_step(journal->database, statement, err);
        if (code == ERR_NOTFOUND)
            code = ERR_OK;
    }
    return code;
}

enum err_code
flow_journal_remove(struct flow_journal *journal, const struct flow_journal_key *key,
                    const char *const *recipients, size_t count, struct err *err)
{
    enum err_code code = database_begin(journal->database, true, err);

    if (code != ERR_OK)
        return code;
    code = notes_remove(journal, key, recipients, count, err);
    if (code == ERR_OK)
        code = notes_remove(journal, key, (const char *const[]){ nobody }, 1, err);
    return database_end(journal->database, code, err);
}

static enum err_code
notes_expire(struct flow_journal *journal, int64_t *left, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    enum err_code code =
        database_prepare(journal->database, "DELETE FROM note WHERE at < ?1", &statement, err);

    if (code != ERR_OK)
        return code;
    database_bind_number(statement, 1, clock_now_s() - (time_t)journal->keep_s);
    code = database_step(journal->database, statement, err);
    if (code == ERR_NOTFOUND)
        code = database_prepare(journal->database, "SELECT count(*) FROM note", &statement, err);
    if (code == ERR_OK)
        code = database_step(journal->database, statement, err);
    if (code == ERR_OK)
        *left = sqlite3_column_int64(statement, 0);
    return code;
}

enum err_code
flow_journal_expire(struct flow_journal *journal, int64_t *left, struct err *err)
{
    enum err_code code = database_begin(journal->database, true, err);

    if (code != ERR_OK)
        return code;
    return database_end(journal->database, notes_expire(journal, left, err), err);
}
