#include "flow/resubmission.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct under_way {
    struct flow_journal_key key;
    struct under_way *next;
};

struct flow_resubmission {
    char *parts; /* what it is made of */
    char *path;
    struct flow_mark *mark;
    pthread_mutex_t lock; /* around what follows */
    struct flow_journal *journal;
    struct under_way *under_way; /* as many as end-of-messages at a time: a few */
    int references;
};

static enum err_code
resubmission_make(const struct conf_global *global, const char *host,
                  struct flow_resubmission **out, struct err *err)
{
    struct flow_resubmission *made = calloc(1, sizeof *made);

    if (!made)
        return err_set(err, ERR_NOMEM, "memory for the copies");
    made->references = 1;
    pthread_mutex_init(&made->lock, NULL);
    *out = made;
    if (asprintf(&made->path, "%s/journal.db", global->state_folder) < 0) {
        made->path = NULL;
        return err_set(err, ERR_NOMEM, "memory for the copies");
    }
    return flow_mark_new(global->resubmit_key_file, host, &made->mark, err);
}

enum err_code
flow_resubmission_new(const struct conf_global *global, const char *host,
                      struct flow_resubmission *current, struct flow_resubmission **out,
                      struct err *err)
{
    struct flow_resubmission *made = NULL;
    char *parts = NULL;
    enum err_code code = ERR_OK;

    *out = NULL;
    if (asprintf(&parts, "%s\n%s\n%s", host, global->resubmit_key_file, global->state_folder) < 0)
        return err_set(err, ERR_NOMEM, "memory for the copies");
    if (current && strcmp(current->parts, parts) == 0) {
        __atomic_add_fetch(&current->references, 1, __ATOMIC_RELAXED);
        made = current;
        free(parts);
    } else {
        code = resubmission_make(global, host, &made, err);
        if (made)
            made->parts = parts;
        else
            free(parts);
    }
    if (code != ERR_OK)
        flow_resubmission_free(&made);
    *out = made;
    return code;
}

void
flow_resubmission_free(struct flow_resubmission **resubmission)
{
    struct flow_resubmission *old = resubmission ? *resubmission : NULL;

    if (resubmission)
        *resubmission = NULL;
    if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    flow_journal_close(&old->journal);
    flow_mark_free(&old->mark);
    pthread_mutex_destroy(&old->lock);
    free(old->parts);
    free(old->path);
    free(old);
}

struct flow_mark *
flow_resubmission_mark(const struct flow_resubmission *resubmission)
{
    return resubmission->mark;
}

enum err_code
flow_resubmission_journal(struct flow_resubmission *resubmission, struct flow_journal **out,
                          struct err *err)
{
    enum err_code code = ERR_OK;

    pthread_mutex_lock(&resubmission->lock);
    if (!resubmission->journal) {
        struct err why = ERR_INIT;

        code = flow_journal_open(resubmission->path, FLOW_JOURNAL_KEEP_S, &resubmission->journal,
                                 &why);
        if (code != ERR_OK)
            (void)err_set_reason(err, code, "copies-journal", "%.200s: %.250s", resubmission->path,
                                 why.text);
    }
    *out = resubmission->journal;
    pthread_mutex_unlock(&resubmission->lock);
    return code;
}

static struct under_way **
find_under_way(struct flow_resubmission *resubmission, const struct flow_journal_key *key)
{
    struct under_way **at = &resubmission->under_way;

    while (*at && memcmp((*at)->key.bytes, key->bytes, sizeof key->bytes) != 0)
        at = &(*at)->next;
    return at;
}

enum err_code
flow_resubmission_begin(struct flow_resubmission *resubmission, const struct flow_journal_key *key,
                        struct err *err)
{
    struct under_way *fresh = calloc(1, sizeof *fresh), **at;
    enum err_code code = ERR_OK;

    if (!fresh)
        return err_set(err, ERR_NOMEM, "memory for the copies");
    fresh->key = *key;
    pthread_mutex_lock(&resubmission->lock);
    at = find_under_way(resubmission, key);
    if (*at)
        code = err_set_reason(err, ERR_TEMP, "copies-busy",
                              "copies of the same message are on their way");
    else
        *at = fresh;
    pthread_mutex_unlock(&resubmission->lock);
    if (code != ERR_OK)
        free(fresh);
    return code;
}

void
flow_resubmission_end(struct flow_resubmission *resubmission, const struct flow_journal_key *key)
{
    struct under_way **at, *old;

    pthread_mutex_lock(&resubmission->lock);
    at = find_under_way(resubmission, key);
    old = *at;
    if (old)
        *at = old->next;
    pthread_mutex_unlock(&resubmission->lock);
    free(old);
}

enum err_code
flow_resubmission_expire(struct flow_resubmission *resubmission, struct err *err)
{
    struct flow_journal *journal;
    int64_t left;

    pthread_mutex_lock(&resubmission->lock);
    journal = resubmission->journal;
    pthread_mutex_unlock(&resubmission->lock);
    return journal ? flow_journal_expire(journal, &left, err) : ERR_OK;
}
