/*
 * The embedded default backend: an LDIF file, read whole when the configuration is loaded and
 * looked up by binary search. It is read again by a reload of the configuration, and at no other
 * time: a file that somebody is writing is never half seen.
 */
#include "directory/directory.h"

#include <pthread.h>
#include <stdlib.h>

#include "directory/person.h"
#include "directory/record.h"
#include "util/file.h"

/* One way to an entry: an address or a login. */
struct key {
    const char *text; /* borrowed from the person */
    uint32_t person;
};

struct keys {
    struct key *list;
    size_t count;
};

struct ldif {
    struct directory head;
    pthread_mutex_t lock; /* certificates of a person are parsed when first asked for */
    const struct conf_directory *conf; /* borrowed while the file is read */
    struct directory_person **people;
    size_t count;
    size_t cap;
    struct keys addresses;
    struct keys logins;
};

static enum err_code
out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for a directory file");
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum err_code
append_person(void *context, const struct directory_record *record, struct err *err)
{
    struct ldif *ldif = context;
    struct directory_person *person = NULL;
    enum err_code code = directory_person_new(ldif->conf, record, &person, err);
    if (code != ERR_OK || !person)
        return code;
    if (ldif->count == ldif->cap) {
        size_t cap = ldif->cap ? 2 * ldif->cap : 64;
        struct directory_person **people = realloc(ldif->people, cap * sizeof *people);
        if (!people) {
            directory_person_free(&person);
            return out_of_memory(err);
        }
        ldif->people = people;
        ldif->cap = cap;
    }
    ldif->people[ldif->count++] = person;
    return ERR_OK;
}

/* Without regard to ASCII case, as directories compare addresses and logins (RFC 4519,
 * caseIgnoreMatch): "Alice@corp.example" is not somebody else than the file's "alice@corp.example".
 */
static int
compare_texts(const char *a, const char *b)
{
    for (;; a++, b++) {
        unsigned char x = (unsigned char)*a, y = (unsigned char)*b;
        x = x >= 'A' && x <= 'Z' ? (unsigned char)(x + ('a' - 'A')) : x;
        y = y >= 'A' && y <= 'Z' ? (unsigned char)(y + ('a' - 'A')) : y;
        if (x != y || x == '\0')
            return (x > y) - (x < y);
    }
}

/* By text, then user before contact before group, then in file order. */
static int
compare_keys(const void *a, const void *b, void *context)
{
    const struct key *one = a, *two = b;
    const struct ldif *ldif = context;
    int order = compare_texts(one->text, two->text);
    if (order == 0)
        order = (int)ldif->people[one->person]->kind - (int)ldif->people[two->person]->kind;
    if (order == 0)
        order = (one->person > two->person) - (one->person < two->person);
    return order;
}

static enum err_code
make_keys(struct ldif *ldif, struct err *err)
{
    size_t addresses = 0, logins = 0;
    for (size_t i = 0; i < ldif->count; i++) {
        addresses += ldif->people[i]->address_count;
        logins += ldif->people[i]->login_count;
    }
    ldif->addresses.list = calloc(addresses + 1, sizeof(struct key));
    ldif->logins.list = calloc(logins + 1, sizeof(struct key));
    if (!ldif->addresses.list || !ldif->logins.list)
        return out_of_memory(err);
    for (size_t i = 0; i < ldif->count; i++) {
        const struct directory_person *person = ldif->people[i];
        for (size_t k = 0; k < person->address_count; k++)
            ldif->addresses.list[ldif->addresses.count++] =
                (struct key){ .text = person->addresses[k], .person = (uint32_t)i };
        for (size_t k = 0; k < person->login_count; k++)
            ldif->logins.list[ldif->logins.count++] =
                (struct key){ .text = person->logins[k], .person = (uint32_t)i };
    }
    qsort_r(ldif->addresses.list, addresses, sizeof(struct key), compare_keys, ldif);
    qsort_r(ldif->logins.list, logins, sizeof(struct key), compare_keys, ldif);
    return ERR_OK;
}

/* ---- looking up ------------------------------------------------------------------------------ */

/* The first key that is `text`, or keys->count. */
static size_t
find_key(const struct keys *keys, const char *text)
{
    size_t low = 0, high = keys->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_texts(keys->list[middle].text, text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < keys->count && compare_texts(keys->list[low].text, text) == 0 ? low : keys->count;
}

static enum err_code
get_person(struct ldif *ldif, uint32_t person, struct directory_entry **out, struct err *err)
{
    pthread_mutex_lock(&ldif->lock);
    enum err_code code = directory_person_get(ldif->people[person], out, err);
    pthread_mutex_unlock(&ldif->lock);
    return code;
}

static enum err_code
ldif_find_address(struct directory *directory, const char *address, struct directory_entry **out,
                  struct err *err)
{
    struct ldif *ldif = (struct ldif *)directory;
    size_t at = find_key(&ldif->addresses, address);
    if (at == ldif->addresses.count)
        return err_set(err, ERR_NOTFOUND, "%.200s is not in the directory", address);
    return get_person(ldif, ldif->addresses.list[at].person, out, err);
}

static enum err_code
ldif_find_login(struct directory *directory, const char *login, struct directory_entry **out,
                struct err *err)
{
    struct ldif *ldif = (struct ldif *)directory;
    size_t at = find_key(&ldif->logins, login);
    if (at == ldif->logins.count)
        return err_set(err, ERR_NOTFOUND, "%.200s is not in the directory", login);
    uint32_t person = ldif->logins.list[at].person;
    for (size_t i = at + 1; i < ldif->logins.count; i++) {
        const struct key *other = &ldif->logins.list[i];
        if (compare_texts(other->text, login) != 0)
            break;
        /* Who sends must be beyond doubt: nobody is chosen. */
        if (other->person != person)
            return err_set(err, ERR_PERM, "the login %.100s names both %.150s and %.150s", login,
                           ldif->people[person]->dn, ldif->people[other->person]->dn);
    }
    return get_person(ldif, person, out, err);
}

/* ---- the object ------------------------------------------------------------------------------ */

static void
ldif_free(struct directory *directory)
{
    struct ldif *ldif = (struct ldif *)directory;
    for (size_t i = 0; i < ldif->count; i++)
        directory_person_free(&ldif->people[i]);
    free(ldif->people);
    free(ldif->addresses.list);
    free(ldif->logins.list);
    pthread_mutex_destroy(&ldif->lock);
    free(ldif->head.name);
    free(ldif);
}

static enum err_code
load(struct ldif *ldif, const struct conf_directory *conf, struct err *err)
{
    /* Others must not write it: who changes it decides who gets to read whose mail. */
    const struct file_read_args args = {
        .limit_bytes = DIRECTORY_RECORD_LIMIT_FILE,
        .forbidden_mode = 0002,
    };
    struct buf text = BUF_INIT(DIRECTORY_RECORD_LIMIT_FILE);
    struct err mine = ERR_INIT;
    enum err_code code = file_read(conf->ldif, &args, &text, &mine);
    /* A missing file is no answer about anybody. */
    if (code == ERR_NOTFOUND)
        code = ERR_TEMP;
    if (code != ERR_OK) {
        buf_free(&text);
        return err_set(err, code, "%s", mine.text);
    }
    ldif->conf = conf;
    code = directory_record_parse(conf->ldif, buf_span(&text), append_person, ldif, err);
    ldif->conf = NULL;
    buf_free(&text);
    return code == ERR_OK ? make_keys(ldif, err) : code;
}

enum err_code
directory_ldif_new(const struct conf_directory *conf, struct directory **out, struct err *err)
{
    static const struct directory_ops ops = {
        .name = "ldif",
        .find_address = ldif_find_address,
        .find_login = ldif_find_login,
        .free = ldif_free,
    };
    struct ldif *ldif = calloc(1, sizeof *ldif);
    if (!ldif)
        return out_of_memory(err);
    ldif->head.ops = &ops;
    pthread_mutex_init(&ldif->lock, NULL);
    ldif->head.name = strdup(conf->name);
    enum err_code code = ldif->head.name ? load(ldif, conf, err) : out_of_memory(err);
    if (code != ERR_OK) {
        ldif_free(&ldif->head);
        return code;
    }
    *out = &ldif->head;
    return ERR_OK;
}
