/*
 * How a pair is found: every address of every certificate stands, folded to lower case, in one
 * sorted index, so a look-up among thousands of keys costs a binary search. The index only
 * proposes: pki_certificate_check decides with the caller's policy, and the reasons of the refused
 * say what is wrong.
 */
#include "pki/keyring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mime/address.h"
#include "pki/crypto.h"
#include "pki/file.h"
#include "pki/keyfile.h"
#include "pki/reason.h"

enum { SUBFOLDER_DEPTH = 1 };

struct place {
    char *address; /* formatted, ASCII letters folded */
    size_t key;
};

struct pki_keyring {
    atomic_uint references;
    struct pki_key *keys;
    size_t count, cap;
    struct place *places;
    size_t place_count, place_cap;
};

static char *
fold(char *text)
{
    for (char *p = text; *p; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    }
    return text;
}

static enum err_code
place_add(struct pki_keyring *keyring, const char *address, size_t key, struct err *err)
{
    char *copy;

    if (keyring->place_count == keyring->place_cap) {
        size_t cap = keyring->place_cap ? 2 * keyring->place_cap : 64;
        struct place *places = realloc(keyring->places, cap * sizeof *places);
        if (!places)
            return err_set(err, ERR_NOMEM, "no memory for the keyring");
        keyring->places = places;
        keyring->place_cap = cap;
    }
    copy = strdup(address);
    if (!copy)
        return err_set(err, ERR_NOMEM, "no memory for the keyring");
    keyring->places[keyring->place_count++] = (struct place){ .address = fold(copy), .key = key };
    return ERR_OK;
}

static enum err_code
key_add(struct pki_keyring *keyring, const char *file, EVP_PKEY *pkey,
        struct pki_certificate *certificate, const struct pki_certificates *pool, struct err *err)
{
    const struct pki_certificate_facts *facts = pki_certificate_get(certificate);
    struct pki_key *key;
    size_t index = keyring->count;
    enum err_code code;

    if (keyring->count == keyring->cap) {
        size_t cap = keyring->cap ? 2 * keyring->cap : 16;
        struct pki_key *keys = realloc(keyring->keys, cap * sizeof *keys);
        if (!keys)
            return err_set(err, ERR_NOMEM, "no memory for the keyring");
        keyring->keys = keys;
        keyring->cap = cap;
    }
    key = &keyring->keys[index];
    *key = (struct pki_key){ .file = strdup(file), .contexts = calloc(1, sizeof *key->contexts) };
    keyring->count++;
    if (!key->file || !key->contexts)
        return err_set(err, ERR_NOMEM, "no memory for the keyring");
    EVP_PKEY_up_ref(pkey);
    key->pkey = pkey;
    key->certificate = pki_certificate_add1(certificate);
    if ((code = pki_keyfile_find_chain(certificate, pool, &key->chain, err)) != ERR_OK)
        return code;
    for (const char *const *a = facts->addresses; code == ERR_OK && *a; a++)
        code = place_add(keyring, *a, index, err);
    for (const char *const *a = facts->subject_addresses; code == ERR_OK && *a; a++)
        code = place_add(keyring, *a, index, err);
    return code;
}

/* Every certificate that belongs to the key makes a pair: a renewed one may have kept the key. */
static enum err_code
pairs_add(struct pki_keyring *keyring, const char *file, EVP_PKEY *pkey,
          const struct pki_certificates *certificates, struct err *err)
{
    size_t before = keyring->count;
    enum err_code code = ERR_OK;

    for (size_t i = 0; code == ERR_OK && i < certificates->count; i++) {
        if (pki_keyfile_is_pair(pkey, certificates->list[i]))
            code = key_add(keyring, file, pkey, certificates->list[i], certificates, err);
    }
    if (code == ERR_OK && keyring->count == before)
        code = err_set(err, ERR_PERM, "%s: the private key belongs to no certificate %s", file,
                       certificates->count ? "that is given with it" : "(there is none)");
    return code;
}

static int
by_address(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int order = strcmp(x->address, y->address);

    return order ? order : (x->key > y->key) - (x->key < y->key);
}

static enum err_code
keyring_new(struct pki_keyring **out, struct err *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return err_set(err, ERR_NOMEM, "no memory for the keyring");
    atomic_init(&(*out)->references, 1);
    return ERR_OK;
}

static void
keyring_sort(struct pki_keyring *keyring)
{
    if (keyring->place_count > 1)
        qsort(keyring->places, keyring->place_count, sizeof *keyring->places, by_address);
}

/* Who can write into the folder can put a key of his own beside ours. Root, which is smimectl for
 * its administrator, reads what belongs to smimed's user: whose that may be the configuration has
 * judged. */
static enum err_code
folder_check(const char *folder, struct err *err)
{
    struct stat st;

    if (stat(folder, &st) != 0)
        return err_set_errno(err, errno, "%s", folder);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_PERM, "%s is not a folder", folder);
    bool ours = st.st_uid == 0 || st.st_uid == geteuid() || geteuid() == 0;

    if (st.st_mode & (S_IWGRP | S_IWOTH) || !ours)
        return err_set(err, ERR_PERM,
                       "%s must belong to the user smimed runs as, or to root, and nobody else may "
                       "write into it (mode %04o, uid %lu)",
                       folder, (unsigned)(st.st_mode & 07777), (unsigned long)st.st_uid);
    return ERR_OK;
}

static bool
is_pem_name(const char *path)
{
    size_t n = strlen(path);

    return n > strlen(".pem") && strcmp(path + n - strlen(".pem"), ".pem") == 0;
}

enum err_code
pki_keyring_load(const char *folder, pki_keyring_complaint_fn *complain, void *context,
                 struct pki_keyring **out, struct err *err)
{
    struct pki_file_names names = { .list = NULL };
    struct pki_keyring *keyring = NULL;
    enum err_code code;

    *out = NULL;
    if ((code = keyring_new(&keyring, err)) != ERR_OK)
        return code;
    if (folder && ((code = folder_check(folder, err)) ||
                   (code = pki_file_names_load(folder, SUBFOLDER_DEPTH, &names, err))))
        goto out;
    for (size_t i = 0; i < names.count; i++) {
        struct pki_keyfile file = { .pkey = NULL };
        struct err why = ERR_INIT;
        if (!is_pem_name(names.list[i]))
            continue;
        code = pki_keyfile_load(names.list[i], true, &file, &why);
        if (code == ERR_OK && file.pkey)
            code = pairs_add(keyring, names.list[i], file.pkey, &file.certificates, &why);
        else if (code == ERR_OK)
            code = err_set(&why, ERR_PERM, "%s: there is no private key in it", names.list[i]);
        pki_keyfile_free(&file);
        if (code == ERR_NOMEM) {
            code = err_set(err, code, "%s", why.text);
            goto out;
        }
        if (code != ERR_OK && complain)
            complain(context, names.list[i], why.text);
        code = ERR_OK;
    }
    keyring_sort(keyring);
    *out = keyring;
    keyring = NULL;
out:
    pki_file_names_free(&names);
    pki_keyring_free(&keyring);
    return code;
}

enum err_code
pki_keyring_load_pair(const char *key_file, const char *certificate_file, const char *chain_file,
                      struct pki_keyring **out, struct err *err)
{
    struct pki_keyfile file = { .pkey = NULL };
    struct pki_certificates certificates = { .list = NULL };
    struct pki_keyring *keyring = NULL;
    enum err_code code;

    *out = NULL;
    /* The mode is not looked at: this is a file that somebody named on a command line. */
    if ((code = pki_keyfile_load(key_file, false, &file, err)) ||
        (certificate_file && (code = pki_certificates_load(&certificates, certificate_file, err))))
        goto out;
    if (!file.pkey) {
        code = err_set(err, ERR_PERM, "%s: there is no private key in it", key_file);
        goto out;
    }
    for (size_t i = 0; code == ERR_OK && i < file.certificates.count; i++)
        code = pki_certificates_add1(&certificates, file.certificates.list[i], err);
    if (code != ERR_OK ||
        (chain_file && (code = pki_certificates_load(&certificates, chain_file, err))) ||
        (code = keyring_new(&keyring, err)) ||
        (code = pairs_add(keyring, key_file, file.pkey, &certificates, err)))
        goto out;
    keyring_sort(keyring);
    *out = keyring;
    keyring = NULL;
out:
    pki_keyring_free(&keyring);
    pki_certificates_free(&certificates);
    pki_keyfile_free(&file);
    return code;
}

struct pki_keyring *
pki_keyring_add1(struct pki_keyring *keyring)
{
    if (keyring)
        atomic_fetch_add_explicit(&keyring->references, 1, memory_order_relaxed);
    return keyring;
}

void
pki_keyring_free(struct pki_keyring **keyring)
{
    struct pki_keyring *k = *keyring;

    *keyring = NULL;
    if (!k || atomic_fetch_sub_explicit(&k->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < k->count; i++) {
        if (k->keys[i].contexts)
            pki_context_free(k->keys[i].contexts);
        free(k->keys[i].contexts);
        EVP_PKEY_free(k->keys[i].pkey);
        pki_certificate_free(&k->keys[i].certificate);
        pki_certificates_free(&k->keys[i].chain);
        free((char *)k->keys[i].file);
    }
    for (size_t i = 0; i < k->place_count; i++)
        free(k->places[i].address);
    free(k->keys);
    free(k->places);
    free(k);
}

size_t
pki_keyring_count(const struct pki_keyring *keyring)
{
    return keyring->count;
}

const struct pki_key *
pki_keyring_get(const struct pki_keyring *keyring, size_t index)
{
    return index < keyring->count ? &keyring->keys[index] : NULL;
}

/* The first place of an address, or place_count. */
static size_t
place_find(const struct pki_keyring *keyring, const char *address)
{
    size_t low = 0, high = keyring->place_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(keyring->places[middle].address, address) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Newest first; the rest makes the choice the same on every node. */
static bool
is_better(const struct pki_key *a, const struct pki_key *b)
{
    const struct pki_certificate_facts *x = pki_certificate_get(a->certificate);
    const struct pki_certificate_facts *y = pki_certificate_get(b->certificate);

    if (x->not_before != y->not_before)
        return x->not_before > y->not_before;
    if (x->not_after != y->not_after)
        return x->not_after > y->not_after;
    return strcmp(x->fingerprint, y->fingerprint) < 0;
}

enum err_code
pki_keyring_find(const struct pki_keyring *keyring, const struct pki_keyring_question *question,
                 const struct pki_key **out, struct pki_answer *why, struct err *err)
{
    char address[MIME_ADDRESS_SIZE];
    const struct pki_key *best = NULL, *nearest = NULL;
    struct pki_answer answer;
    enum err_code code = mime_address_format(span_str(question->address), address, err);

    *out = NULL;
    pki_reason_set(why, PKI_REASON_NO_CERTIFICATE,
                   "there is no certificate with a private key for it");
    if (code != ERR_OK)
        return code;
    fold(address);
    for (size_t i = place_find(keyring, address);
         i < keyring->place_count && strcmp(keyring->places[i].address, address) == 0; i++) {
        const struct pki_key *key = &keyring->keys[keyring->places[i].key];
        pki_certificate_check(key->certificate, question->use, question->address, question->now,
                              question->policy, &answer);
        if (answer.status == PKI_STATUS_OK) {
            if (!best || is_better(key, best))
                best = key;
        } else {
            enum pki_reason now = pki_reason_find(answer.reason),
                            then = pki_reason_find(why->reason);
            if (!nearest || now > then || (now == then && is_better(key, nearest))) {
                nearest = key;
                *why = answer;
            }
        }
    }
    if (!best)
        return err_set_reason(err, ERR_NOTFOUND, why->reason, "%s: %s", question->address,
                              why->text);
    pki_reason_set(why, PKI_REASON_OK, "the certificate is good");
    *out = best;
    return ERR_OK;
}

/* The newer pair before the older ones; the oldest one is left out where there is no room. */
static void
list_add(struct pki_key_list *list, const struct pki_key *key)
{
    size_t at = list->count;

    while (at > 0 && is_better(key, list->list[at - 1]))
        at--;
    if (at == PKI_KEY_LIST)
        return;
    if (list->count < PKI_KEY_LIST)
        list->count++;
    memmove(&list->list[at + 1], &list->list[at], (list->count - at - 1) * sizeof list->list[0]);
    list->list[at] = key;
}

enum err_code
pki_keyring_find_history(const struct pki_keyring *keyring, const char *address,
                         const struct pki_leaf_policy *policy, struct pki_key_list *out,
                         struct err *err)
{
    char formatted[MIME_ADDRESS_SIZE];
    struct pki_answer answer;
    enum err_code code = mime_address_format(span_str(address), formatted, err);

    out->count = 0;
    if (code != ERR_OK)
        return code;
    fold(formatted);
    for (size_t i = place_find(keyring, formatted);
         i < keyring->place_count && strcmp(keyring->places[i].address, formatted) == 0; i++) {
        const struct pki_key *key = &keyring->keys[keyring->places[i].key];
        time_t then = pki_certificate_get(key->certificate)->not_before;

        pki_certificate_check(key->certificate, PKI_USE_ENCRYPT, address, then, policy, &answer);
        enum pki_reason reason = pki_reason_find(answer.reason);
        if (reason != PKI_REASON_CERT_WRONG_USAGE && reason != PKI_REASON_CERT_WRONG_ADDRESS &&
            reason != PKI_REASON_CERT_IS_CA)
            list_add(out, key);
    }
    return ERR_OK;
}
