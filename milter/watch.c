#include "milter/watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct watch {
    uint64_t sum;
    size_t files;
};

/* FNV-1a, 64 bits: not a secret, only a difference. */
static uint64_t
hash(uint64_t h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static void
add_file(struct watch *watch, const char *path, const struct stat *st)
{
    uint64_t facts[] = {
        st->st_dev,
        st->st_ino,
        (uint64_t)st->st_size,
        st->st_mode,
        st->st_uid,
        (uint64_t)st->st_mtim.tv_sec,
        (uint64_t)st->st_mtim.tv_nsec,
        (uint64_t)st->st_ctim.tv_sec,
        (uint64_t)st->st_ctim.tv_nsec,
    };
    uint64_t h = hash(0xcbf29ce484222325u, path, strlen(path));

    /* A sum: readdir gives no order. */
    watch->sum += hash(h, facts, sizeof facts);
    watch->files++;
}

/* `path`, and below it to `depth` levels. */
static void
add_path(struct watch *watch, const char *path, int depth)
{
    struct stat st;

    if (!path || !path[0] || watch->files >= MILTER_WATCH_LIMIT)
        return;
    if (stat(path, &st)) {
        int why = errno;
        watch->sum += hash(hash(1, path, strlen(path)), &why, sizeof why);
        return;
    }
    add_file(watch, path, &st);
    if (!S_ISDIR(st.st_mode) || depth <= 0)
        return;
    DIR *folder = opendir(path);
    if (!folder)
        return;
    const struct dirent *entry;
    while ((entry = readdir(folder)) && watch->files < MILTER_WATCH_LIMIT) {
        char below[4096];
        if (entry->d_name[0] == '.')
            continue;
        int n = snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        if (n > 0 && (size_t)n < sizeof below)
            add_path(watch, below, depth - 1);
    }
    closedir(folder);
}

static void
add_paths(struct watch *watch, conf_list paths)
{
    for (size_t i = 0; paths && paths[i]; i++)
        add_path(watch, paths[i], 1);
}

uint64_t
milter_watch_get(const struct conf *conf)
{
    struct watch watch = { .sum = 0 };

    add_path(&watch, conf->global.keys_folder, 2);
    add_paths(&watch, conf->global.certificate_folders);
    for (size_t i = 0; i < conf->trust_count; i++) {
        add_paths(&watch, conf->trusts[i].anchors);
        add_paths(&watch, conf->trusts[i].intermediates);
        add_paths(&watch, conf->trusts[i].crls);
    }
    for (size_t i = 0; i < conf->directory_count; i++)
        add_path(&watch, conf->directories[i].ldif, 0);
    return watch.sum;
}

size_t
milter_watch_count_keys(const char *folder)
{
    struct watch watch = { .sum = 0 };

    add_path(&watch, folder, 2);
    return watch.files;
}
