#include "directory/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Running out of memory is an error like any other, not the end of the process. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(bucket) ((bucket)->broken = true)
#include <uthash.h>

#include "mime/address.h"

enum {
    STORE_LIMIT_CERTIFICATES = 1000000, /* in one folder of the configuration */
    STORE_LIMIT_ITEMS = 200             /* of one address: a history, not a flood */
};

struct bucket {
    struct directory_store_item *items;
    size_t count;
    bool broken; /* the table could not take it */
    UT_hash_handle hh;
    char address[]; /* folded; the key */
};

struct directory_store {
    struct bucket *table;
    char **sources; /* "files:/path", one per folder */
    size_t source_count;
};

static size_t
store_fold(const char *address, char *out)
{
    size_t n = 0;

    for (; address[n] && n < MIME_ADDRESS_SIZE - 1; n++)
        out[n] =
            address[n] >= 'A' && address[n] <= 'Z' ? (char)(address[n] - 'A' + 'a') : address[n];
    out[n] = '\0';
    return n;
}

static enum err_code
store_bucket(struct directory_store *store, const char *address, struct bucket **out,
             struct err *err)
{
    char key[MIME_ADDRESS_SIZE];
    size_t n = store_fold(address, key);
    struct bucket *bucket;

    HASH_FIND(hh, store->table, key, n, bucket);
    if (!bucket) {
        bucket = calloc(1, sizeof *bucket + n + 1);
        if (!bucket)
            return err_set(err, ERR_NOMEM, "no memory for the certificates of %.100s", address);
        memcpy(bucket->address, key, n + 1);
        HASH_ADD(hh, store->table, address, n, bucket);
        if (bucket->broken) {
            free(bucket);
            return err_set(err, ERR_NOMEM, "no memory for the certificates of %.100s", address);
        }
    }
    *out = bucket;
    return ERR_OK;
}

static bool
bucket_has(const struct bucket *bucket, const struct pki_certificate *certificate)
{
    for (size_t i = 0; i < bucket->count; i++) {
        if (pki_certificate_is(bucket->items[i].certificate, certificate))
            return true;
    }
    return false;
}

/* Adds one item under one address; what is there already (another folder, the keyring) stays. */
static enum err_code
store_add(struct directory_store *store, const char *address,
          const struct directory_store_item *item, struct err *err)
{
    struct bucket *bucket = NULL;
    struct directory_store_item *items;
    enum err_code code = store_bucket(store, address, &bucket, err);

    if (code != ERR_OK || bucket_has(bucket, item->certificate))
        return code;
    if (bucket->count == STORE_LIMIT_ITEMS)
        return err_set(err, ERR_LIMIT, "more than %d certificates for %.100s", STORE_LIMIT_ITEMS,
                       address);
    items = realloc(bucket->items, (bucket->count + 1) * sizeof *items);
    if (!items)
        return err_set(err, ERR_NOMEM, "no memory for the certificates of %.100s", address);
    bucket->items = items;
    items[bucket->count] = *item;
    items[bucket->count++].certificate = pki_certificate_add1(item->certificate);
    return ERR_OK;
}

static enum err_code
store_add_all(struct directory_store *store, const struct directory_store_item *item,
              struct err *err)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(item->certificate);
    const char *const *const lists[] = { facts->addresses, facts->subject_addresses };
    enum err_code code = ERR_OK;

    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++) {
        for (size_t i = 0; code == ERR_OK && lists[l] && lists[l][i]; i++)
            code = store_add(store, lists[l][i], item, err);
    }
    return code;
}

static enum err_code
store_load_keys(struct directory_store *store, const struct pki_keyring *keyring, struct err *err)
{
    size_t count = keyring ? pki_keyring_count(keyring) : 0;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        const struct pki_key *key = pki_keyring_get(keyring, i);

        code = store_add_all(store,
                             &(struct directory_store_item){
                                 .certificate = key->certificate, .key = key, .source = "keys" },
                             err);
    }
    return code;
}

static enum err_code
store_load_folder(struct directory_store *store, const char *folder, struct err *err)
{
    struct pki_certificates files = { .limit = STORE_LIMIT_CERTIFICATES };
    size_t n = sizeof "files:" + strlen(folder);
    char *source = malloc(n);
    enum err_code code;

    if (!source)
        return err_set(err, ERR_NOMEM, "no memory for %s", folder);
    snprintf(source, n, "files:%s", folder);
    store->sources[store->source_count++] = source;
    code = pki_certificates_load(&files, folder, err);
    for (size_t i = 0; code == ERR_OK && i < files.count; i++)
        code = store_add_all(
            store, &(struct directory_store_item){ .certificate = files.list[i], .source = source },
            err);
    /* Every certificate with an address is in the table now; the others nobody asks for. */
    pki_certificates_free(&files);
    return code;
}

enum err_code
directory_store_new(const struct pki_keyring *keyring, const char *const *folders,
                    struct directory_store **out, struct err *err)
{
    struct directory_store *store = calloc(1, sizeof *store);
    size_t count = 0;
    enum err_code code;

    *out = NULL;
    if (!store)
        return err_set(err, ERR_NOMEM, "no memory for the certificates");
    while (folders && folders[count])
        count++;
    store->sources = calloc(count + 1, sizeof *store->sources);
    if (!store->sources) {
        code = err_set(err, ERR_NOMEM, "no memory for the certificates");
        goto out;
    }
    code = store_load_keys(store, keyring, err);
    for (size_t i = 0; code == ERR_OK && i < count; i++)
        code = store_load_folder(store, folders[i], err);
    if (code == ERR_OK) {
        *out = store;
        store = NULL;
    }
out:
    directory_store_free(&store);
    return code;
}

void
directory_store_free(struct directory_store **store)
{
    struct directory_store *s;
    struct bucket *bucket, *next;

    if (!store || !*store)
        return;
    s = *store;
    HASH_ITER(hh, s->table, bucket, next)
    {
        HASH_DEL(s->table, bucket);
        for (size_t i = 0; i < bucket->count; i++)
            pki_certificate_free(&bucket->items[i].certificate);
        free(bucket->items);
        free(bucket);
    }
    for (size_t i = 0; i < s->source_count; i++)
        free(s->sources[i]);
    free(s->sources);
    free(s);
    *store = NULL;
}

const struct directory_store_item *
directory_store_find(const struct directory_store *store, const char *address, size_t *count)
{
    char key[MIME_ADDRESS_SIZE];
    size_t n = store_fold(address, key);
    struct bucket *bucket;

    HASH_FIND(hh, store->table, key, n, bucket);
    *count = bucket ? bucket->count : 0;
    return bucket ? bucket->items : NULL;
}
