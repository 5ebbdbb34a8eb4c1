#include "directory/remembered.h"

#include <pthread.h>
#include <stdlib.h>

/* Running out of memory is an error like any other, not the end of the process. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(item) ((item)->is_broken = true)
#include <uthash.h>

#include "directory/dn.h"
#include "util/clock.h"
#include "util/log.h"

/* One answer. */
struct item {
    UT_hash_handle hh;
    int64_t asked_ms;
    struct directory_entries entries; /* none: not there */
    size_t bytes;
    bool is_broken; /* the table could not take it */
    size_t key_length;
    char key[];
};

struct remembered {
    struct directory head;
    struct directory *directory;
    struct directory_remembered_args args;
    pthread_mutex_t lock; /* of all below */
    struct item *table;   /* in order of use */
    size_t bytes;
    uint64_t hits, misses, stale;
};

static enum err_code
out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for answers of a directory");
}

/* ---- keys ------------------------------------------------------------------------------------ */

enum { KEY_LIMIT = 32 * 1024 };

/* A kind, and texts without regard to ASCII case, as directories compare them. */
static enum err_code
make_key(struct buf *key, char kind, const char *one, const char *two, struct err *err)
{
    buf_reset(key);
    enum err_code code = buf_append_byte(key, (unsigned char)kind, err);
    if (code == ERR_OK)
        code = buf_append_str(key, one, err);
    if (code == ERR_OK)
        code = buf_append_byte(key, '\0', err);
    if (code == ERR_OK && two)
        code = buf_append_str(key, two, err);
    for (size_t i = 1; kind != 'u' && i < key->n; i++) {
        if (key->p[i] >= 'A' && key->p[i] <= 'Z')
            key->p[i] = (unsigned char)(key->p[i] + ('a' - 'A'));
    }
    return code;
}

/* ---- the table (under the lock) -------------------------------------------------------------- */

static size_t
entry_bytes(const struct directory_entry *entry)
{
    enum { PER_CERTIFICATE = 4096 }; /* parsed, beside its octets */
    char **const lists[] = { entry->addresses, entry->member_dns, entry->member_addresses,
                             entry->member_urls };
    size_t bytes = sizeof *entry + strlen(entry->dn ? entry->dn : "");
    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++) {
        for (size_t i = 0; lists[l] && lists[l][i]; i++)
            bytes += strlen(lists[l][i]) + 32;
    }
    for (size_t i = 0; i < entry->certificates.count; i++)
        bytes += pki_certificate_der(entry->certificates.list[i]).n + PER_CERTIFICATE;
    return bytes;
}

static void
drop_item(struct remembered *remembered, struct item *item)
{
    HASH_DEL(remembered->table, item);
    remembered->bytes -= item->bytes;
    directory_entries_free(&item->entries);
    free(item);
}

/* Younger than its life, or (`late`) than its life and the time that it may be stale. */
static bool
is_good(const struct remembered *remembered, const struct item *item, bool late)
{
    int64_t life_ms =
        item->entries.count > 0 ? remembered->args.life_ms : remembered->args.negative_life_ms;
    return clock_monotonic_ms() - item->asked_ms < life_ms + (late ? remembered->args.stale_ms : 0);
}

/* NULL: not kept, or too old. What is found goes to the end of the list. */
static struct item *
find_item(struct remembered *remembered, const struct buf *key, bool late)
{
    struct item *item = NULL;
    HASH_FIND(hh, remembered->table, key->p, key->n, item);
    if (!item || !is_good(remembered, item, late))
        return NULL;
    HASH_DEL(remembered->table, item);
    HASH_ADD(hh, remembered->table, key, item->key_length, item);
    if (item->is_broken) {
        remembered->bytes -= item->bytes;
        directory_entries_free(&item->entries);
        free(item);
        return NULL;
    }
    return item;
}

/* Keeps the entries (references are added; NULLs are left out). Without memory nothing is kept. */
static void
keep(struct remembered *remembered, const struct buf *key, struct directory_entry *const *list,
     size_t count)
{
    struct item *item = NULL, *old = NULL;
    HASH_FIND(hh, remembered->table, key->p, key->n, old);
    if (old)
        drop_item(remembered, old);
    item = calloc(1, sizeof *item + key->n);
    if (!item)
        return;
    memcpy(item->key, key->p, key->n);
    item->key_length = key->n;
    item->asked_ms = clock_monotonic_ms();
    item->bytes = sizeof *item + key->n;
    for (size_t i = 0; i < count; i++) {
        struct directory_entry *entry = list[i] ? directory_entry_add1(list[i]) : NULL;
        if (!entry)
            continue;
        if (directory_entries_append(&item->entries, entry, NULL) != ERR_OK) {
            directory_entry_free(&entry);
            item->is_broken = true;
            break;
        }
        item->bytes += entry_bytes(entry);
    }
    if (!item->is_broken && item->bytes <= remembered->args.limit_bytes)
        HASH_ADD(hh, remembered->table, key, item->key_length, item);
    else
        item->is_broken = true;
    if (item->is_broken) {
        directory_entries_free(&item->entries);
        free(item);
        return;
    }
    remembered->bytes += item->bytes;
    while (remembered->bytes > remembered->args.limit_bytes)
        drop_item(remembered, remembered->table);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* Questions of one kind: what is kept, and what has to be asked. */
struct batch {
    struct remembered *remembered;
    char kind; /* 'a' addresses, 'd' distinguished names */
    const struct directory_questions *questions;
    struct directory_entry **answers;
    bool *is_known;
    const char **missing;
    size_t *missing_at;
    size_t missing_count;
    struct buf key;
};

static void
batch_deinit(struct batch *batch)
{
    for (size_t i = 0; batch->answers && i < batch->questions->count; i++)
        directory_entry_free(&batch->answers[i]);
    free(batch->answers);
    free(batch->is_known);
    free(batch->missing);
    free(batch->missing_at);
    buf_free(&batch->key);
}

static enum err_code
batch_init(struct batch *batch, struct remembered *remembered, char kind,
           const struct directory_questions *questions, struct err *err)
{
    size_t n = questions->count + 1;
    *batch = (struct batch){
        .remembered = remembered,
        .kind = kind,
        .questions = questions,
        .answers = calloc(n, sizeof(struct directory_entry *)),
        .is_known = calloc(n, sizeof(bool)),
        .missing = calloc(n, sizeof(char *)),
        .missing_at = calloc(n, sizeof(size_t)),
        .key = BUF_INIT(KEY_LIMIT),
    };
    if (!batch->answers || !batch->is_known || !batch->missing || !batch->missing_at)
        return out_of_memory(err);
    return ERR_OK;
}

/* Distinguished names are one in many spellings. */
static enum err_code
batch_key(struct batch *batch, size_t question, struct err *err)
{
    const char *text = batch->questions->list[question];
    if (batch->kind != 'd')
        return make_key(&batch->key, batch->kind, text, NULL, err);
    char *form = directory_dn_get(text);
    enum err_code code = make_key(&batch->key, batch->kind, form ? form : text, NULL, err);
    free(form);
    return code;
}

/* Takes the answers that are kept. */
static enum err_code
batch_find(struct batch *batch, bool late, struct err *err)
{
    struct remembered *remembered = batch->remembered;
    enum err_code code = ERR_OK;
    batch->missing_count = 0;
    for (size_t i = 0; code == ERR_OK && i < batch->questions->count; i++) {
        if (batch->is_known[i])
            continue;
        code = batch_key(batch, i, err);
        if (code != ERR_OK)
            break;
        pthread_mutex_lock(&remembered->lock);
        const struct item *item = find_item(remembered, &batch->key, late);
        if (item && item->entries.count > 0)
            batch->answers[i] = directory_entry_add1(item->entries.list[0]);
        batch->is_known[i] = item != NULL;
        remembered->hits += item && !late;
        remembered->misses += !item && !late;
        remembered->stale += item && late;
        pthread_mutex_unlock(&remembered->lock);
        if (!batch->is_known[i]) {
            batch->missing_at[batch->missing_count] = i;
            batch->missing[batch->missing_count++] = batch->questions->list[i];
        }
    }
    return code;
}

static enum err_code
batch_ask(struct batch *batch, struct err *err)
{
    struct remembered *remembered = batch->remembered;
    const struct directory_questions missing = {
        .list = batch->missing,
        .count = batch->missing_count,
        .deadline_ms = batch->questions->deadline_ms,
    };
    struct directory_entries entries = { .list = NULL };
    const struct directory_ops *ops = remembered->directory->ops;
    enum err_code code = batch->kind == 'a'
                             ? ops->find_addresses(remembered->directory, &missing, &entries, err)
                             : ops->find_dns(remembered->directory, &missing, &entries, err);
    if (code == ERR_OK && entries.count != missing.count)
        code = err_set(err, ERR_BUG, "the backend did not answer every question");
    for (size_t i = 0; code == ERR_OK && i < missing.count; i++) {
        code = batch_key(batch, batch->missing_at[i], err);
        if (code != ERR_OK)
            break;
        pthread_mutex_lock(&remembered->lock);
        keep(remembered, &batch->key, &entries.list[i], 1);
        pthread_mutex_unlock(&remembered->lock);
        batch->answers[batch->missing_at[i]] = entries.list[i];
        entries.list[i] = NULL;
    }
    directory_entries_free(&entries);
    return code;
}

static void
log_stale(const struct remembered *remembered, size_t count, const struct err *why)
{
    log_warn("directory-stale", NULL, "directory=%s answers=%zu stale, it cannot be asked: %s",
             remembered->head.name, count, why->text);
}

static enum err_code
find_batch(struct directory *directory, char kind, const struct directory_questions *questions,
           struct directory_entries *out, struct err *err)
{
    struct batch batch;
    struct err mine = ERR_INIT, unused = ERR_INIT;
    enum err_code code = batch_init(&batch, (struct remembered *)directory, kind, questions, &mine);
    if (code == ERR_OK)
        code = batch_find(&batch, false, &mine);
    if (code == ERR_OK && batch.missing_count > 0)
        code = batch_ask(&batch, &mine);
    if (code == ERR_TEMP && batch.remembered->args.stale_ms > 0) {
        size_t count = batch.missing_count;
        /* All of them, or none: half an answer is none. */
        if (batch_find(&batch, true, &unused) == ERR_OK && batch.missing_count == 0) {
            log_stale(batch.remembered, count, &mine);
            code = ERR_OK;
        }
    }
    for (size_t i = 0; code == ERR_OK && i < questions->count; i++) {
        code = directory_entries_append(out, batch.answers[i], &mine);
        if (code == ERR_OK)
            batch.answers[i] = NULL;
    }
    batch_deinit(&batch);
    return code == ERR_OK ? ERR_OK : err_set_reason(err, code, mine.reason, "%s", mine.text);
}

static enum err_code
remembered_find_addresses(struct directory *directory, const struct directory_questions *questions,
                          struct directory_entries *out, struct err *err)
{
    return find_batch(directory, 'a', questions, out, err);
}

static enum err_code
remembered_find_dns(struct directory *directory, const struct directory_questions *questions,
                    struct directory_entries *out, struct err *err)
{
    return find_batch(directory, 'd', questions, out, err);
}

/* ---- single questions ------------------------------------------------------------------------ */

/* The kept answer to `key`: references are added to `out`. False: there is none. */
static bool
find_kept(struct remembered *remembered, const struct buf *key, bool late,
          struct directory_entries *out)
{
    pthread_mutex_lock(&remembered->lock);
    const struct item *item = find_item(remembered, key, late);
    bool is_whole = item != NULL;
    for (size_t i = 0; is_whole && i < item->entries.count; i++) {
        struct directory_entry *entry = directory_entry_add1(item->entries.list[i]);
        is_whole = directory_entries_append(out, entry, NULL) == ERR_OK;
        if (!is_whole)
            directory_entry_free(&entry);
    }
    remembered->hits += is_whole && !late;
    remembered->misses += !is_whole && !late;
    remembered->stale += is_whole && late;
    pthread_mutex_unlock(&remembered->lock);
    if (!is_whole)
        directory_entries_free(out);
    return is_whole;
}

static void
keep_locked(struct remembered *remembered, const struct buf *key,
            struct directory_entry *const *list, size_t count)
{
    pthread_mutex_lock(&remembered->lock);
    keep(remembered, key, list, count);
    pthread_mutex_unlock(&remembered->lock);
}

/* The backend could not be asked: is there an answer that is not too old? */
static bool
find_stale(struct remembered *remembered, const struct buf *key, const struct err *why,
           struct directory_entries *out)
{
    if (remembered->args.stale_ms == 0 || !find_kept(remembered, key, true, out))
        return false;
    log_stale(remembered, 1, why);
    return true;
}

/* Each group's searches are kept for themselves, in the order in which they were asked. */
static enum err_code
remembered_find_urls(struct directory *directory, const struct directory_questions *questions,
                     size_t limit, struct directory_entries *out, struct err *err)
{
    struct remembered *remembered = (struct remembered *)directory;
    struct buf all = BUF_INIT(KEY_LIMIT), key = BUF_INIT(2 * KEY_LIMIT);
    struct err mine = ERR_INIT;
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < questions->count; i++)
        code = buf_appendf(&all, &mine, "%s\n", questions->list[i]);
    if (code == ERR_OK)
        code = make_key(&key, 'u', buf_str(&all), NULL, &mine);
    bool has_key = code == ERR_OK;
    if (!has_key || !find_kept(remembered, &key, false, out)) {
        err_reset(&mine);
        code = remembered->directory->ops->find_urls(remembered->directory, questions, limit, out,
                                                     &mine);
        if (code == ERR_OK && has_key)
            keep_locked(remembered, &key, out->list, out->count);
        if (code == ERR_TEMP && has_key) {
            directory_entries_free(out);
            if (find_stale(remembered, &key, &mine, out))
                code = ERR_OK;
        }
    }
    if (code == ERR_OK && out->count > limit)
        code = err_set(&mine, ERR_LIMIT, "searches of a group find more than %zu entries", limit);
    buf_free(&all);
    buf_free(&key);
    return code == ERR_OK ? ERR_OK : err_set_reason(err, code, mine.reason, "%s", mine.text);
}

static enum err_code
remembered_find_login(struct directory *directory, const char *login, int64_t deadline_ms,
                      struct directory_entry **out, struct err *err)
{
    struct remembered *remembered = (struct remembered *)directory;
    struct directory_entries kept = { .list = NULL };
    struct buf key = BUF_INIT(KEY_LIMIT);
    struct err mine = ERR_INIT;
    enum err_code code = make_key(&key, 'l', login, NULL, err);
    if (code != ERR_OK) {
        buf_free(&key);
        return code;
    }
    bool is_kept = find_kept(remembered, &key, false, &kept);
    if (!is_kept) {
        code = remembered->directory->ops->find_login(remembered->directory, login, deadline_ms,
                                                      out, &mine);
        if (code == ERR_OK || code == ERR_NOTFOUND)
            keep_locked(remembered, &key, out, *out ? 1 : 0);
        is_kept = code == ERR_TEMP && find_stale(remembered, &key, &mine, &kept);
    }
    buf_free(&key);
    if (is_kept && kept.count > 0) {
        *out = kept.list[0];
        kept.list[0] = NULL;
        code = ERR_OK;
    } else if (is_kept) {
        code = ERR_NOTFOUND;
        err_reset(&mine);
        err_set(&mine, code, "%.200s is not in the directory", login);
    }
    directory_entries_free(&kept);
    return code == ERR_OK ? ERR_OK : err_set_reason(err, code, mine.reason, "%s", mine.text);
}

/* "Yes" is kept as the person himself, "no" as nobody. */
static enum err_code
remembered_find_send_as(struct directory *directory, const struct directory_entry *person,
                        const char *address, int64_t deadline_ms, struct err *err)
{
    struct remembered *remembered = (struct remembered *)directory;
    struct directory_entries kept = { .list = NULL };
    struct directory_entry *answer = calloc(1, sizeof *answer);
    struct buf key = BUF_INIT(KEY_LIMIT);
    struct err mine = ERR_INIT;
    enum err_code code = make_key(&key, 's', person->dn, address, &mine);
    if (code == ERR_OK && !answer)
        code = out_of_memory(&mine);
    bool is_kept = code == ERR_OK && find_kept(remembered, &key, false, &kept);
    if (code == ERR_OK && !is_kept) {
        code = remembered->directory->ops->find_send_as(remembered->directory, person, address,
                                                        deadline_ms, &mine);
        if (code == ERR_OK || code == ERR_NOTFOUND)
            keep_locked(remembered, &key, &answer, code == ERR_OK ? 1 : 0);
        is_kept = code == ERR_TEMP && find_stale(remembered, &key, &mine, &kept);
    }
    if (is_kept) {
        code = kept.count > 0 ? ERR_OK : ERR_NOTFOUND;
        err_reset(&mine);
        if (code != ERR_OK)
            err_set(&mine, code, "nothing lets %.150s send as %.150s", person->dn, address);
    }
    directory_entries_free(&kept);
    directory_entry_free(&answer);
    buf_free(&key);
    return code == ERR_OK ? ERR_OK : err_set_reason(err, code, mine.reason, "%s", mine.text);
}

/* ---- the object ------------------------------------------------------------------------------ */

static enum err_code
remembered_get_url(struct directory *directory, struct span url, int64_t deadline_ms,
                   struct buf *out, struct err *err)
{
    struct directory *inner = ((struct remembered *)directory)->directory;
    if (!inner->ops->get_url)
        return err_set(err, ERR_NOTFOUND, "the directory has no server");
    return inner->ops->get_url(inner, url, deadline_ms, out, err);
}

static void
remembered_get_counts(struct directory *directory, struct directory_counts *out)
{
    struct remembered *remembered = (struct remembered *)directory;
    directory_get_counts(remembered->directory, out);
    pthread_mutex_lock(&remembered->lock);
    out->hits = remembered->hits;
    out->misses = remembered->misses;
    out->stale = remembered->stale;
    pthread_mutex_unlock(&remembered->lock);
}

static void
remembered_free(struct directory *directory)
{
    struct remembered *remembered = (struct remembered *)directory;
    struct item *item, *next;
    HASH_ITER(hh, remembered->table, item, next)
    {
        drop_item(remembered, item);
    }
    directory_free(&remembered->directory);
    pthread_mutex_destroy(&remembered->lock);
    free(remembered->head.name);
    free(remembered);
}

enum err_code
directory_remembered_new(struct directory *directory, const struct directory_remembered_args *args,
                         struct directory **out, struct err *err)
{
    static const struct directory_ops ops = {
        .name = "remembered",
        .find_addresses = remembered_find_addresses,
        .find_dns = remembered_find_dns,
        .find_urls = remembered_find_urls,
        .find_login = remembered_find_login,
        .find_send_as = remembered_find_send_as,
        .get_url = remembered_get_url,
        .get_counts = remembered_get_counts,
        .free = remembered_free,
    };
    struct remembered *remembered = calloc(1, sizeof *remembered);
    *out = NULL;
    if (!remembered)
        return out_of_memory(err);
    remembered->head.ops = &ops;
    remembered->head.name = strdup(directory->name);
    remembered->args = *args;
    pthread_mutex_init(&remembered->lock, NULL);
    if (!remembered->head.name) {
        remembered_free(&remembered->head);
        return out_of_memory(err);
    }
    remembered->directory = directory;
    *out = &remembered->head;
    return ERR_OK;
}
