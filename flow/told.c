#include "flow/told.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "util/file.h"

/* A kind's letter and a fingerprint (SHA-256 in hexadecimal). */
enum { TOLD_KEY_SIZE = 1 + 64 + 1 };

static const char told_head[] = "smimed letters 1\n";

struct told_item {
    char key[TOLD_KEY_SIZE];
    int64_t at_s;
    bool broken;
    UT_hash_handle hh;
};

#undef HASH_NONFATAL_OOM
#define HASH_NONFATAL_OOM 1
#undef uthash_nonfatal_oom
#define uthash_nonfatal_oom(item) (item)->broken = true

struct flow_told {
    char *path;
    struct told_item *items;
    bool is_new, changed;
};

static enum err_code
no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "no memory for the letters that were written");
}

static void
key_format(enum flow_notice_kind kind, const char *fingerprint, char out[TOLD_KEY_SIZE])
{
    snprintf(out, TOLD_KEY_SIZE, "%c%.64s", kind == FLOW_NOTICE_EXPIRES ? 'e' : 'a', fingerprint);
}

static enum err_code
told_add(struct flow_told *told, const char *key, int64_t at_s, struct err *err)
{
    struct told_item *item;

    HASH_FIND_STR(told->items, key, item);
    if (!item) {
        item = calloc(1, sizeof *item);
        if (!item)
            return no_memory(err);
        snprintf(item->key, sizeof item->key, "%s", key);
        HASH_ADD_STR(told->items, key, item);
        if (item->broken) {
            free(item);
            return no_memory(err);
        }
    }
    item->at_s = at_s;
    return ERR_OK;
}

static bool
key_is_good(const char *key)
{
    return (key[0] == 'e' || key[0] == 'a') && strlen(key) > 1 &&
           strspn(key + 1, "0123456789abcdefABCDEF:") == strlen(key + 1);
}

static enum err_code
told_parse(struct flow_told *told, char *text, struct err *err)
{
    enum err_code code = ERR_OK;
    char *save = NULL;

    if (strncmp(text, told_head, strlen(told_head)) != 0)
        return err_set(err, ERR_PERM, "%.200s is not a file of ours", told->path);
    for (char *line = strtok_r(text + strlen(told_head), "\n", &save); code == ERR_OK && line;
         line = strtok_r(NULL, "\n", &save)) {
        char key[TOLD_KEY_SIZE];
        int64_t at_s;

        if (sscanf(line, "%65s %" SCNd64, key, &at_s) != 2 || !key_is_good(key))
            return err_set(err, ERR_PERM, "%.200s has a line that is not ours", told->path);
        code = told_add(told, key, at_s, err);
    }
    return code;
}

enum err_code
flow_told_load(const char *path, struct flow_told **out, struct err *err)
{
    const struct file_read_args args = { .limit_bytes = FLOW_TOLD_BYTES,
                                         .forbidden_mode = 0077,
                                         .check_owner = true };
    struct flow_told *told = calloc(1, sizeof *told);
    struct buf text = BUF_INIT(FLOW_TOLD_BYTES);
    enum err_code code = ERR_OK;

    *out = NULL;
    if (told)
        told->path = strdup(path);
    if (!told || !told->path)
        code = no_memory(err);
    if (code == ERR_OK)
        code = file_read(path, &args, &text, err);
    if (code == ERR_OK) {
        char *copy = strdup(buf_str(&text));

        code = copy ? told_parse(told, copy, err) : no_memory(err);
        free(copy);
    } else if (code == ERR_NOTFOUND) {
        err_reset(err);
        told->is_new = true;
        code = ERR_OK;
    }
    buf_free(&text);
    if (code == ERR_OK)
        *out = told;
    else
        flow_told_free(&told);
    return code;
}

void
flow_told_free(struct flow_told **told)
{
    struct flow_told *old = told ? *told : NULL;
    struct told_item *item, *next;

    if (!old)
        return;
    *told = NULL;
    HASH_ITER(hh, old->items, item, next)
    {
        HASH_DEL(old->items, item);
        free(item);
    }
    free(old->path);
    free(old);
}

bool
flow_told_is_new(const struct flow_told *told)
{
    return told->is_new;
}

time_t
flow_told_get(const struct flow_told *told, enum flow_notice_kind kind, const char *fingerprint)
{
    char key[TOLD_KEY_SIZE];
    struct told_item *item;

    key_format(kind, fingerprint, key);
    HASH_FIND_STR(told->items, key, item);
    return item ? (time_t)item->at_s : 0;
}

enum err_code
flow_told_set(struct flow_told *told, enum flow_notice_kind kind, const char *fingerprint,
              time_t at, struct err *err)
{
    char key[TOLD_KEY_SIZE];

    key_format(kind, fingerprint, key);
    told->changed = true;
    return told_add(told, key, at, err);
}

enum err_code
flow_told_write(struct flow_told *told, flow_told_is_there_fn *is_there, const void *context,
                struct err *err)
{
    struct buf text = BUF_INIT(FLOW_TOLD_BYTES);
    struct told_item *item, *next;
    enum err_code code;

    if (!told->changed && !told->is_new)
        return ERR_OK;
    code = buf_append_str(&text, told_head, err);
    HASH_ITER(hh, told->items, item, next)
    {
        if (!is_there(context, item->key + 1)) {
            HASH_DEL(told->items, item);
            free(item);
            continue;
        }
        if (code == ERR_OK)
            code = buf_appendf(&text, err, "%s %" PRId64 "\n", item->key, item->at_s);
    }
    if (code == ERR_OK)
        code = file_write(told->path, buf_span(&text), 0600, err);
    buf_free(&text);
    if (code == ERR_OK)
        told->changed = told->is_new = false;
    return code;
}
