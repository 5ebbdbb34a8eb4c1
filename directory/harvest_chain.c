#include "directory/harvest_chain.h"

#include <string.h>

#include "pki/intern.h"

static const char *
fingerprint_get(const struct pki_certificate *certificate)
{
    return pki_certificate_get(certificate)->fingerprint;
}

/* A part of a path builds none: all of it is kept, or nothing. */
static bool
chain_fits(const struct pki_certificates *chain)
{
    size_t bytes = 0;

    for (size_t i = 0; i < chain->count; i++)
        bytes += pki_certificate_der(chain->list[i]).n;
    return chain->count > 0 && chain->count <= DIRECTORY_HARVEST_CHAIN &&
           bytes <= DIRECTORY_HARVEST_CHAIN_BYTES;
}

static void
leaf_bind(sqlite3_stmt *statement, const struct directory_harvest_news *news)
{
    database_bind_text(statement, 1, news->address);
    database_bind_text(statement, 2, fingerprint_get(news->certificate));
}

/* Is that what is known already? Most messages bring what the last one brought. */
static enum err_code
chain_compare(struct database *database, const struct directory_harvest_news *news, bool *same,
              struct err *err)
{
    sqlite3_stmt *statement = NULL;
    size_t count = 0;
    enum err_code code = database_prepare(
        database, "SELECT issuer FROM chain WHERE address = ?1 AND fingerprint = ?2 ORDER BY place",
        &statement, err);

    *same = true;
    if (code != ERR_OK)
        return code;
    leaf_bind(statement, news);
    while ((code = database_step(database, statement, err)) == ERR_OK) {
        const char *known = (const char *)sqlite3_column_text(statement, 0);

        *same = *same && known && count < news->chain->count &&
                strcmp(known, fingerprint_get(news->chain->list[count])) == 0;
        count++;
    }
    *same = *same && count == news->chain->count;
    return code == ERR_NOTFOUND ? ERR_OK : code;
}

/* Runs a statement that gives no row. */
static enum err_code
run(struct database *database, sqlite3_stmt *statement, struct err *err)
{
    enum err_code code = database_step(database, statement, err);

    return code == ERR_NOTFOUND ? ERR_OK : code;
}

static enum err_code
issuer_add(struct database *database, const struct directory_harvest_news *news, size_t place,
           struct err *err)
{
    const struct pki_certificate *issuer = news->chain->list[place];
    sqlite3_stmt *statement = NULL;
    enum err_code code = database_prepare(
        database, "INSERT OR IGNORE INTO issuer (fingerprint, der) VALUES (?1, ?2)", &statement,
        err);

    if (code != ERR_OK)
        return code;
    database_bind_text(statement, 1, fingerprint_get(issuer));
    database_bind_bytes(statement, 2, pki_certificate_der(issuer));
    code = run(database, statement, err);
    if (code == ERR_OK)
        code = database_prepare(
            database,
            "INSERT INTO chain (address, fingerprint, place, issuer) VALUES (?1, ?2, ?3, ?4)",
            &statement, err);
    if (code != ERR_OK)
        return code;
    leaf_bind(statement, news);
    database_bind_number(statement, 3, (int64_t)place);
    database_bind_text(statement, 4, fingerprint_get(issuer));
    return run(database, statement, err);
}

enum err_code
directory_harvest_chain_set(struct database *database, const struct directory_harvest_news *news,
                            struct err *err)
{
    sqlite3_stmt *statement = NULL;
    bool same = false;
    enum err_code code;

    if (!news->chain || !chain_fits(news->chain))
        return ERR_OK;
    code = chain_compare(database, news, &same, err);
    if (code != ERR_OK || same)
        return code;
    code = database_prepare(database, "DELETE FROM chain WHERE address = ?1 AND fingerprint = ?2",
                            &statement, err);
    if (code != ERR_OK)
        return code;
    leaf_bind(statement, news);
    code = run(database, statement, err);
    for (size_t i = 0; code == ERR_OK && i < news->chain->count; i++)
        code = issuer_add(database, news, i, err);
    return code;
}

enum err_code
directory_harvest_chain_find(struct database *database, const char *address,
                             const char *fingerprint, struct pki_certificates *out, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    enum err_code code = database_prepare(
        database,
        "SELECT DISTINCT issuer.der FROM chain JOIN issuer ON issuer.fingerprint = chain.issuer"
        " WHERE chain.address = ?1 AND (chain.fingerprint = ?2 OR (?2 IS NULL AND EXISTS ("
        " SELECT 1 FROM certificate WHERE address = chain.address AND state = 0"
        " AND fingerprint = chain.fingerprint)))"
        " ORDER BY chain.fingerprint, chain.place",
        &statement, err);

    if (code != ERR_OK)
        return code;
    database_bind_text(statement, 1, address);
    if (fingerprint)
        database_bind_text(statement, 2, fingerprint);
    while ((code = database_step(database, statement, err)) == ERR_OK) {
        struct span der =
            span_of(sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0));
        struct pki_certificate *certificate = NULL;
        struct err bad = ERR_INIT;

        code = pki_intern_get(der, &certificate, &bad);
        if (code == ERR_OK)
            code = pki_certificates_add1(out, certificate, &bad);
        pki_certificate_free(&certificate);
        if (code != ERR_OK)
            return err_set(err, code == ERR_NOMEM ? code : ERR_TEMP, "%s", bad.text);
    }
    return code == ERR_NOTFOUND ? ERR_OK : code;
}
