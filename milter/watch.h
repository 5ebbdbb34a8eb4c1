/*
 * Have the files that a snapshot was made of changed? A number over the names, times and sizes of
 * keys, certificates, trust anchors, CRLs and directory files; a different number means: load
 * again.
 *
 * The contents are not read: an inode, its size and its two times in nanoseconds tell. A folder
 * is looked at to the depth that its reader goes (keys have one level of subfolders).
 *
 * Threads: any.
 */
#ifndef MILTER_WATCH_H
#define MILTER_WATCH_H

#include <stdint.h>

#include "conf/conf.h"

/* Files looked at in one round; what is beyond is not watched (`smimectl reload` always works). */
enum { MILTER_WATCH_LIMIT = 200000 };

uint64_t milter_watch_get(const struct conf *conf);

/* How many files are below the keys folder: a bound for the number of keys, for the size of the
 * secure heap. */
size_t milter_watch_count_keys(const char *folder);

#endif
