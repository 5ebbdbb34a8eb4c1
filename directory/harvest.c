#include "directory/harvest.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "directory/harvest_chain.h"
#include "util/clock.h"
#include "util/database.h"

enum { FINGERPRINT_LEAST = 8, FINGERPRINT_DIGITS = 64, LIMIT_DEFAULT = 1000000 };

struct directory_harvest {
    atomic_uint references;
    pthread_mutex_t lock;      /* held while the file is opened */
    struct database *database; /* NULL: the file is not there yet */
    char *path;
    enum directory_harvest_change change;
    uint64_t limit;
    bool create;
};

/* `key` is the SubjectPublicKeyInfo: a new certificate of the same key is no change of keys.
 * Addresses are found without regard to ASCII case, as everywhere; whoever uses a certificate asks
 * pki_certificate_check whether it is for the address. */
static const char *const schema[] = {
    "CREATE TABLE certificate ("
    " address TEXT NOT NULL COLLATE NOCASE, fingerprint TEXT NOT NULL, key BLOB NOT NULL, der BLOB "
    "NOT NULL,"
    " state INTEGER NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,"
    " count INTEGER NOT NULL, PRIMARY KEY (address, fingerprint)) WITHOUT ROWID;"
    "CREATE INDEX certificate_seen ON certificate (last_seen);"
    "CREATE TABLE capability ("
    " address TEXT PRIMARY KEY COLLATE NOCASE, der BLOB NOT NULL, signed_at INTEGER NOT NULL) "
    "WITHOUT ROWID",
    /* 2: when somebody approved or removed it; 0: nobody did. */
    "ALTER TABLE certificate ADD COLUMN decided_at INTEGER NOT NULL DEFAULT 0",
    /* 3: the intermediates that came with it. */
    DIRECTORY_HARVEST_CHAIN_SCHEMA,
    NULL,
};

/* ERR_NOTFOUND: the file is not there, and is not ours to make. */
static enum err_code
database_load(struct directory_harvest *harvest, struct database **out, struct err *err)
{
    enum err_code code = ERR_OK;

    pthread_mutex_lock(&harvest->lock);
    if (!harvest->database) {
        if (!harvest->create && access(harvest->path, F_OK) != 0 && errno == ENOENT)
            code = err_set(err, ERR_NOTFOUND, "nothing was harvested yet");
        else
            code = database_open(harvest->path, schema, &harvest->database, err);
    }
    *out = harvest->database;
    pthread_mutex_unlock(&harvest->lock);
    return code;
}

enum err_code
directory_harvest_open(const struct directory_harvest_args *args, struct directory_harvest **out,
                       struct err *err)
{
    struct directory_harvest *harvest = calloc(1, sizeof *harvest);
    struct database *database = NULL;
    enum err_code code;

    *out = NULL;
    if (!harvest || !(harvest->path = strdup(args->path))) {
        free(harvest);
        return err_set(err, ERR_NOMEM, "no memory for the harvested certificates");
    }
    atomic_init(&harvest->references, 1);
    pthread_mutex_init(&harvest->lock, NULL);
    harvest->change = args->change;
    harvest->limit = args->limit ? args->limit : LIMIT_DEFAULT;
    harvest->create = args->create;
    code = database_load(harvest, &database, err);
    if (code == ERR_NOTFOUND) {
        err_reset(err);
        code = ERR_OK;
    }
    if (code != ERR_OK)
        directory_harvest_close(&harvest);
    *out = harvest;
    return code;
}

/* A transaction on the file, if it is there. */
static enum err_code
harvest_begin(struct directory_harvest *harvest, bool writes, struct err *err)
{
    struct database *database;
    enum err_code code = database_load(harvest, &database, err);

    return code == ERR_OK ? database_begin(database, writes, err) : code;
}

struct directory_harvest *
directory_harvest_add1(struct directory_harvest *harvest)
{
    atomic_fetch_add_explicit(&harvest->references, 1, memory_order_relaxed);
    return harvest;
}

void
directory_harvest_close(struct directory_harvest **harvest)
{
    struct directory_harvest *h = *harvest;

    *harvest = NULL;
    if (!h || atomic_fetch_sub_explicit(&h->references, 1, memory_order_acq_rel) != 1)
        return;
    database_close(&h->database);
    pthread_mutex_destroy(&h->lock);
    free(h->path);
    free(h);
}

/* ---- adding ------------------------------------------------------------------------------------
 */

/* SubjectPublicKeyInfo as it stands in the certificate. */
static enum err_code
key_get(const struct pki_certificate *certificate, unsigned char **out, int *n, struct err *err)
{
    *out = NULL;
    *n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(pki_certificate_get0_x509(certificate)), out);
    return *n > 0 ? ERR_OK : err_set(err, ERR_NOMEM, "no memory for a public key");
}

/* Runs a statement that gives no row. */
static enum err_code
run(struct database *database, sqlite3_stmt *statement, struct err *err)
{
    enum err_code code = database_step(database, statement, err);

    return code == ERR_NOTFOUND ? ERR_OK : code;
}

/* Known already: seen once more. ERR_NOTFOUND: it is new. */
static enum err_code
known_set(struct directory_harvest *harvest, const struct directory_harvest_news *news,
          enum directory_harvest_state *state, struct err *err)
{
    const char *fingerprint = pki_certificate_get(news->certificate)->fingerprint;
    sqlite3_stmt *statement = NULL;
    enum err_code code = database_prepare(
        harvest->database, "SELECT state FROM certificate WHERE address = ?1 AND fingerprint = ?2",
        &statement, err);

    if (code != ERR_OK)
        return code;
    database_bind_text(statement, 1, news->address);
    database_bind_text(statement, 2, fingerprint);
    code = database_step(harvest->database, statement, err);
    if (code != ERR_OK)
        return code;
    *state = (enum directory_harvest_state)sqlite3_column_int(statement, 0);
    code = database_prepare(harvest->database,
                            "UPDATE certificate SET last_seen = max(last_seen, ?3),"
                            " count = count + 1 WHERE address = ?1 AND fingerprint = ?2",
                            &statement, err);
    if (code != ERR_OK)
        return code;
    database_bind_text(statement, 1, news->address);
    database_bind_text(statement, 2, fingerprint);
    database_bind_number(statement, 3, news->now);
    return run(harvest->database, statement, err);
}

/* Is there an accepted certificate of another key, and none of this one? */
static enum err_code
change_find(struct directory_harvest *harvest, const char *address, struct span key, bool *changed,
            struct err *err)
{
    sqlite3_stmt *statement = NULL;
    enum err_code code =
        database_prepare(harvest->database,
                         "SELECT count(*), coalesce(sum(key = ?2), 0) FROM certificate"
                         " WHERE address = ?1 AND state = 0",
                         &statement, err);

    if (code != ERR_OK)
        return code;
    database_bind_text(statement, 1, address);
    database_bind_bytes(statement, 2, key);
    code = database_step(harvest->database, statement, err);
    if (code == ERR_OK)
        *changed =
            sqlite3_column_int64(statement, 0) > 0 && sqlite3_column_int64(statement, 1) == 0;
    return code;
}

/* Makes room. What somebody decided about (removed) is not pushed out by what strangers send. */
static enum err_code
room_set(struct directory_harvest *harvest, const char *address, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    enum err_code code =
        database_prepare(harvest->database,
                         "DELETE FROM certificate WHERE address = ?1 AND fingerprint IN ("
                         " SELECT fingerprint FROM certificate WHERE address = ?1"
                         " ORDER BY state = 2 DESC, state = 0 DESC, last_seen DESC"
                         " LIMIT -1 OFFSET ?2)",
                         &statement, err);

    if (code != ERR_OK)
        return code;
    database_bind_text(statement, 1, address);
    database_bind_number(statement, 2, DIRECTORY_HARVEST_PER_ADDRESS - 1);
    if ((code = run(harvest->database, statement, err)) != ERR_OK)
        return code;
    code = database_prepare(harvest->database, "SELECT count(*) FROM certificate", &statement, err);
    if (code == ERR_OK)
        code = database_step(harvest->database, statement, err);
    if (code != ERR_OK || (uint64_t)sqlite3_column_int64(statement, 0) < harvest->limit)
        return code;
    code = database_prepare(harvest->database,
                            "DELETE FROM certificate WHERE (address, fingerprint) IN ("
                            " SELECT address, fingerprint FROM certificate"
                            " ORDER BY state = 2, last_seen LIMIT 1 + ?1 / 100)",
                            &statement, err);
    if (code != ERR_OK)
        return code;
    database_bind_number(statement, 1, (int64_t)harvest->limit);
    return run(harvest->database, statement, err);
}

static enum err_code
certificate_add(struct directory_harvest *harvest, const struct directory_harvest_news *news,
                enum directory_harvest_state *state, struct err *err)
{
    unsigned char *key = NULL;
    int n = 0;
    bool changed = false;
    sqlite3_stmt *statement = NULL;
    enum err_code code = key_get(news->certificate, &key, &n, err);

    if (code == ERR_OK)
        code = change_find(harvest, news->address, span_of(key, (size_t)n), &changed, err);
    if (code == ERR_OK)
        code = room_set(harvest, news->address, err);
    if (code == ERR_OK)
        code = database_prepare(harvest->database,
                                "INSERT INTO certificate (address, fingerprint, key, der, state,"
                                " first_seen, last_seen, count)"
                                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1)",
                                &statement, err);
    if (code == ERR_OK) {
        *state = changed && harvest->change == DIRECTORY_HARVEST_HOLD ? DIRECTORY_HARVEST_HELD
                                                                      : DIRECTORY_HARVEST_ACCEPTED;
        database_bind_text(statement, 1, news->address);
        database_bind_text(statement, 2, pki_certificate_get(news->certificate)->fingerprint);
        database_bind_bytes(statement, 3, span_of(key, (size_t)n));
        database_bind_bytes(statement, 4, pki_certificate_der(news->certificate));
        database_bind_number(statement, 5, *state);
        database_bind_number(statement, 6, news->now);
        code = run(harvest->database, statement, err);
    }
    OPENSSL_free(key);
    return code;
}

/* A signing time in the future would keep later ones out for as long. */
static enum err_code
capabilities_set(struct directory_harvest *harvest, const struct directory_harvest_news *news,
                 struct err *err)
{
    sqlite3_stmt *statement = NULL;
    enum err_code code;

    if (news->signed_at <= 0 || news->signed_at > news->now || news->capabilities.n == 0 ||
        news->capabilities.n > DIRECTORY_HARVEST_CAPABILITIES)
        return ERR_OK;
    code = database_prepare(harvest->database,
                            "INSERT INTO capability (address, der, signed_at) VALUES (?1, ?2, ?3)"
                            " ON CONFLICT (address) DO UPDATE SET der = excluded.der,"
                            " signed_at = excluded.signed_at"
                            " WHERE excluded.signed_at > capability.signed_at",
                            &statement, err);
    if (code != ERR_OK)
        return code;
    database_bind_text(statement, 1, news->address);
    database_bind_bytes(statement, 2, news->capabilities);
    database_bind_number(statement, 3, news->signed_at);
    return run(harvest->database, statement, err);
}

static enum err_code
news_add(struct directory_harvest *harvest, const struct directory_harvest_news *news,
         enum directory_harvest_state *state, bool *is_new, struct err *err)
{
    enum err_code code = known_set(harvest, news, state, err);

    *is_new = code == ERR_NOTFOUND;
    if (code == ERR_NOTFOUND)
        code = certificate_add(harvest, news, state, err);
    if (code == ERR_OK && *state != DIRECTORY_HARVEST_REMOVED)
        code = directory_harvest_chain_set(harvest->database, news, err);
    /* What is held or removed speaks for nobody. */
    if (code == ERR_OK && *state == DIRECTORY_HARVEST_ACCEPTED)
        code = capabilities_set(harvest, news, err);
    return code;
}

enum err_code
directory_harvest_add(struct directory_harvest *harvest, const struct directory_harvest_news *news,
                      enum directory_harvest_state *state, bool *is_new, struct err *err)
{
    enum err_code code = harvest_begin(harvest, true, err);

    if (code != ERR_OK)
        return code;
    return database_end(harvest->database, news_add(harvest, news, state, is_new, err), err);
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static enum err_code
accepted_find(struct directory_harvest *harvest, const char *address, struct pki_certificates *out,
              struct err *err)
{
    sqlite3_stmt *statement = NULL;
    size_t found = 0;
    enum err_code code =
        database_prepare(harvest->database,
                         "SELECT der FROM certificate WHERE address = ?1 AND state = 0"
                         " ORDER BY last_seen DESC",
                         &statement, err);

    if (code != ERR_OK)
        return code;
    database_bind_text(statement, 1, address);
    while ((code = database_step(harvest->database, statement, err)) == ERR_OK) {
        struct span der =
            span_of(sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0));
        struct pki_certificate *certificate = NULL;
        struct err bad = ERR_INIT;

        /* It was one when it came in: what can no longer be read is damage, not an answer. */
        code = pki_certificate_parse(der, &certificate, &bad);
        if (code == ERR_OK)
            code = pki_certificates_add1(out, certificate, &bad);
        pki_certificate_free(&certificate);
        if (code != ERR_OK)
            return err_set(err, code == ERR_NOMEM ? code : ERR_TEMP, "%s", bad.text);
        found++;
    }
    if (code != ERR_NOTFOUND || found > 0)
        return code == ERR_NOTFOUND ? ERR_OK : code;
    return err_set(err, ERR_NOTFOUND, "nothing was harvested for %.200s", address);
}

enum err_code
directory_harvest_find(struct directory_harvest *harvest, const char *address,
                       struct pki_certificates *out, struct pki_certificates *chain,
                       struct err *err)
{
    enum err_code code = harvest_begin(harvest, false, err);

    if (code != ERR_OK)
        return code;
    code = accepted_find(harvest, address, out, err);
    if (code == ERR_OK && chain)
        code = directory_harvest_chain_find(harvest->database, address, NULL, chain, err);
    return database_end(harvest->database, code, err);
}

static enum err_code
capabilities_get(struct directory_harvest *harvest, const char *address, struct buf *out,
                 time_t *signed_at, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    enum err_code code = database_prepare(
        harvest->database, "SELECT der, signed_at FROM capability WHERE address = ?1", &statement,
        err);

    if (code != ERR_OK)
        return code;
    database_bind_text(statement, 1, address);
    code = database_step(harvest->database, statement, err);
    if (code == ERR_NOTFOUND)
        return err_set(err, ERR_NOTFOUND, "%.200s has told no capabilities", address);
    if (code != ERR_OK)
        return code;
    *signed_at = (time_t)sqlite3_column_int64(statement, 1);
    return buf_append(
        out, span_of(sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0)),
        err);
}

enum err_code
directory_harvest_get_capabilities(struct directory_harvest *harvest, const char *address,
                                   struct buf *out, time_t *signed_at, struct err *err)
{
    enum err_code code = harvest_begin(harvest, false, err);

    if (code != ERR_OK)
        return code;
    return database_end(harvest->database, capabilities_get(harvest, address, out, signed_at, err),
                        err);
}

/* ---- smimectl certs ----------------------------------------------------------------------------
 */

static const char *
text_get(sqlite3_stmt *statement, int at)
{
    const char *text = (const char *)sqlite3_column_text(statement, at);

    return text ? text : "";
}

static enum err_code
rows_each(struct directory_harvest *harvest, const char *address, directory_harvest_row_fn *each,
          void *context, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    enum err_code code =
        database_prepare(harvest->database,
                         "SELECT address, fingerprint, der, state, first_seen, last_seen, count,"
                         " decided_at FROM certificate"
                         " WHERE ?1 IS NULL OR address = ?1 ORDER BY address, last_seen DESC",
                         &statement, err);

    if (code != ERR_OK)
        return code;
    if (address)
        database_bind_text(statement, 1, address);
    while ((code = database_step(harvest->database, statement, err)) == ERR_OK) {
        struct pki_certificates chain = { .list = NULL };
        const struct directory_harvest_row row = {
            .address = text_get(statement, 0),
            .fingerprint = text_get(statement, 1),
            .der = span_of(sqlite3_column_blob(statement, 2),
                           (size_t)sqlite3_column_bytes(statement, 2)),
            .state = (enum directory_harvest_state)sqlite3_column_int(statement, 3),
            .first_seen = (time_t)sqlite3_column_int64(statement, 4),
            .last_seen = (time_t)sqlite3_column_int64(statement, 5),
            .count = (uint64_t)sqlite3_column_int64(statement, 6),
            .decided_at = (time_t)sqlite3_column_int64(statement, 7),
            .chain = &chain,
        };

        code = directory_harvest_chain_find(harvest->database, row.address, row.fingerprint, &chain,
                                            err);
        if (code == ERR_OK)
            code = each(context, &row, err);
        pki_certificates_free(&chain);
        if (code != ERR_OK)
            return code;
    }
    return code == ERR_NOTFOUND ? ERR_OK : code;
}

enum err_code
directory_harvest_each(struct directory_harvest *harvest, const char *address,
                       directory_harvest_row_fn *each, void *context, struct err *err)
{
    enum err_code code = harvest_begin(harvest, false, err);

    if (code == ERR_NOTFOUND) {
        err_reset(err);
        return ERR_OK;
    }
    if (code != ERR_OK)
        return code;
    return database_end(harvest->database, rows_each(harvest, address, each, context, err), err);
}

/* Lower case, and nothing that LIKE would take for more than a digit. */
static bool
fingerprint_fold(const char *fingerprint, char out[FINGERPRINT_DIGITS + 2])
{
    size_t n = strlen(fingerprint);

    if (n < FINGERPRINT_LEAST || n > FINGERPRINT_DIGITS)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = fingerprint[i];

        if (c >= 'A' && c <= 'F')
            c = (char)(c + 32);
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        out[i] = c;
    }
    out[n] = '%';
    out[n + 1] = '\0';
    return true;
}

static enum err_code
state_set(struct directory_harvest *harvest, const char *address, const char *pattern,
          enum directory_harvest_state state, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int64_t matches;
    enum err_code code = database_prepare(
        harvest->database,
        "SELECT count(*) FROM certificate WHERE address = ?1 AND fingerprint LIKE ?2", &statement,
        err);

    if (code != ERR_OK)
        return code;
    database_bind_text(statement, 1, address);
    database_bind_text(statement, 2, pattern);
    if ((code = database_step(harvest->database, statement, err)) != ERR_OK)
        return code;
    matches = sqlite3_column_int64(statement, 0);
    if (matches == 0)
        return err_set(err, ERR_NOTFOUND, "%.200s has no such certificate", address);
    if (matches > 1)
        return err_set(err, ERR_PERM, "%lld certificates of %.200s begin so: give more digits",
                       (long long)matches, address);
    code = database_prepare(harvest->database,
                            "UPDATE certificate SET state = ?3, decided_at = ?4"
                            " WHERE address = ?1 AND fingerprint LIKE ?2",
                            &statement, err);
    if (code != ERR_OK)
        return code;
    database_bind_text(statement, 1, address);
    database_bind_text(statement, 2, pattern);
    database_bind_number(statement, 3, state);
    database_bind_number(statement, 4, clock_now_s());
    return run(harvest->database, statement, err);
}

enum err_code
directory_harvest_set(struct directory_harvest *harvest, const char *address,
                      const char *fingerprint, enum directory_harvest_state state, struct err *err)
{
    char pattern[FINGERPRINT_DIGITS + 2];
    enum err_code code;

    if (!fingerprint_fold(fingerprint, pattern))
        return err_set(err, ERR_PERM, "a fingerprint has %d to %d hexadecimal digits",
                       FINGERPRINT_LEAST, FINGERPRINT_DIGITS);
    code = harvest_begin(harvest, true, err);
    if (code != ERR_OK)
        return code;
    return database_end(harvest->database, state_set(harvest, address, pattern, state, err), err);
}
