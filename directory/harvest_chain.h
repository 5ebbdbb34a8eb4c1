/*
 * The intermediates that came with a harvested certificate.                    RFC 8551 2.6
 *
 * Where no file has an issuer and no AIA names it, the sender's own mail is the one place it comes
 * from. Kept is what the path went over that held when the certificate was learnt; a candidate for
 * building the path again, as if it had come with a message, and never an anchor.
 *
 * Private to directory/harvest: runs in its transactions. One certificate that many leaves share is
 * stored once, and goes with the last of them (triggers of the schema).
 */
#ifndef DIRECTORY_HARVEST_CHAIN_H
#define DIRECTORY_HARVEST_CHAIN_H

#include "directory/harvest.h"
#include "util/database.h"

/* What the schema needs for it: the step to version 3. */
#define DIRECTORY_HARVEST_CHAIN_SCHEMA                                                          \
    "CREATE TABLE issuer (fingerprint TEXT PRIMARY KEY, der BLOB NOT NULL) WITHOUT ROWID;"      \
    "CREATE TABLE chain ("                                                                      \
    " address TEXT NOT NULL COLLATE NOCASE, fingerprint TEXT NOT NULL, place INTEGER NOT NULL," \
    " issuer TEXT NOT NULL, PRIMARY KEY (address, fingerprint, place)) WITHOUT ROWID;"          \
    "CREATE INDEX chain_issuer ON chain (issuer);"                                              \
    "CREATE TRIGGER certificate_gone AFTER DELETE ON certificate BEGIN"                         \
    " DELETE FROM chain WHERE address = OLD.address AND fingerprint = OLD.fingerprint; END;"    \
    "CREATE TRIGGER chain_gone AFTER DELETE ON chain"                                           \
    " WHEN NOT EXISTS (SELECT 1 FROM chain WHERE issuer = OLD.issuer) BEGIN"                    \
    " DELETE FROM issuer WHERE fingerprint = OLD.issuer; END"

/* Of the certificate of `news`, which is in the database. What is known is replaced where the news
 * has others; none, or more than is kept, changes nothing. */
ERR_CHECKED enum err_code directory_harvest_chain_set(struct database *database,
                                                      const struct directory_harvest_news *news,
                                                      struct err *err);

/* Appends those of all accepted certificates of an address, or (fingerprint not NULL) of one. What
 * cannot be read any more is ERR_TEMP. */
ERR_CHECKED enum err_code directory_harvest_chain_find(struct database *database,
                                                       const char *address, const char *fingerprint,
                                                       struct pki_certificates *out,
                                                       struct err *err);

#endif
