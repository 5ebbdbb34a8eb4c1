/*
 * Certificates that are held here, by address: our own users' (keyring) and those of recipients
 * from the certificate folders.
 *
 * Built once when a snapshot is made, then only read. Every address of every certificate is a key
 * of one hash table, ASCII letters folded; the table only proposes, pki_certificate_check decides
 * with the caller's policy (case of local parts, addresses in subjects).
 *
 * Holds one reference per certificate. Threads: any, once built.
 */
#ifndef DIRECTORY_STORE_H
#define DIRECTORY_STORE_H

#include "pki/keyring.h"

struct directory_store;

struct directory_store_item {
    struct pki_certificate *certificate;
    const struct pki_key *key; /* the pair, where it is one of ours; borrowed from the keyring */
    const char *source;        /* "keys", "files:/path" */
};

/* `keyring` (may be NULL) must outlive the store; `folders` NULL-terminated or NULL. A file that
 * cannot be parsed is ERR_PERM, a folder that cannot be read ERR_TEMP. */
ERR_CHECKED enum err_code directory_store_new(const struct pki_keyring *keyring,
                                              const char *const *folders,
                                              struct directory_store **out, struct err *err);
void directory_store_free(struct directory_store **store);

/* All items with that address (formatted), keys before folders, folders in the order of the
 * configuration. Borrowed; *count is 0 when there is none. */
const struct directory_store_item *directory_store_find(const struct directory_store *store,
                                                        const char *address, size_t *count);

#endif
