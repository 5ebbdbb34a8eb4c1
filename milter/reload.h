/*
 * One snapshot after another: built completely, then swapped in, or not at all.
 *
 * A reload reads the configuration file again and makes a new snapshot of it; a refresh makes one
 * of the configuration there is, because keys, certificates or CRLs have changed. When anything is
 * wrong the old snapshot stays, the log says why, and messages in flight keep theirs in any case.
 *
 * Sockets, user and folders of the process are what they were at start: a reload that would change
 * them says so.
 *
 * Threads: any; one reload at a time, behind a lock that no message ever waits for.
 */
#ifndef MILTER_RELOAD_H
#define MILTER_RELOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "conf/conf.h"
#include "util/err.h"

struct milter_reload_facts {
    uint64_t generation; /* 1: the first snapshot */
    time_t loaded_s;
    bool failed; /* the last attempt */
    char error[ERR_TEXT_SIZE];
    size_t keys, trusts;
};

/* The first snapshot; `conf` is the one that main loaded from `path` (borrowed until deinit). */
ERR_CHECKED enum err_code milter_reload_init(const char *path, struct conf *conf, struct err *err);
void milter_reload_deinit(void);

/* The configuration file and everything it names. */
ERR_CHECKED enum err_code milter_reload_load(struct err *err);

/* Only if the files have changed since they were last loaded. */
ERR_CHECKED enum err_code milter_reload_check(struct err *err);

void milter_reload_get(struct milter_reload_facts *out);

/* Where log lines go, as the configuration says. */
void milter_reload_set_log(const struct conf *conf);

/* Tells the log, or stderr before there is one, about an error in the configuration. */
void milter_reload_complain(void *context, const char *file, unsigned line, unsigned column,
                            const char *text);

#endif
