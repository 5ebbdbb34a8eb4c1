#include "pki/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 16384 };

/* The folder that `path` stands in. */
static void
parent_get(const char *path, char *folder, size_t size)
{
    char *slash;

    snprintf(folder, size, "%s", path);
    slash = strrchr(folder, '/');
    if (!slash)
        snprintf(folder, size, ".");
    else
        slash[slash == folder] = '\0';
}

/* Root reads what pki_file_write gave away: a file that belongs to the owner of its folder. */
static bool
owner_is_ours(const char *path, uid_t owner)
{
    char parent[PATH_MAX];
    struct stat st;

    if (owner == 0 || owner == geteuid())
        return true;
    if (geteuid() != 0)
        return false;
    parent_get(path, parent, sizeof parent);
    return stat(parent, &st) == 0 && st.st_uid == owner;
}

static enum err_code
secret_check(const char *path, const struct stat *st, struct err *err)
{
    if (!owner_is_ours(path, st->st_uid))
        return err_set(err, ERR_PERM, "%s belongs to another user (uid %lu)", path,
                       (unsigned long)st->st_uid);
    if (st->st_mode & (S_IRWXG | S_IRWXO))
        return err_set(err, ERR_PERM, "%s has mode %04o; others must have no access: chmod 600",
                       path, (unsigned)(st->st_mode & 07777));
    return ERR_OK;
}

enum err_code
pki_file_find(const char *path, size_t limit_bytes, bool secret, int *fd, struct stat *st,
              struct err *err)
{
    enum err_code code = ERR_OK;

    *fd = -1;
    /* O_NONBLOCK: opening a pipe must not wait for its writer. */
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (opened < 0 && (errno == ENOENT || errno == ENOTDIR))
        return err_set(err, ERR_NOTFOUND, "%s: there is no such file", path);
    if (opened < 0)
        return err_set_errno(err, errno, "%s", path);
    if (fstat(opened, st) != 0)
        code = err_set_errno(err, errno, "%s", path);
    else if (!S_ISREG(st->st_mode))
        code = err_set(err, ERR_PERM, "%s is not a regular file", path);
    else if (secret)
        code = secret_check(path, st, err);
    if (code == ERR_OK && (unsigned long long)st->st_size > limit_bytes)
        code = err_set(err, ERR_LIMIT, "%s is larger than %zu octets", path, limit_bytes);
    if (code == ERR_OK)
        *fd = opened;
    else
        close(opened);
    return code;
}

enum err_code
pki_file_load(const char *path, struct buf *into, struct err *err)
{
    struct stat st;
    int fd;
    enum err_code code = pki_file_find(path, into->limit_bytes, false, &fd, &st, err);

    while (code == ERR_OK) {
        unsigned char piece[READ_BYTES];
        ssize_t n = read(fd, piece, sizeof piece);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        code = n < 0 ? err_set_errno(err, errno, "%s", path)
                     : buf_append(into, span_of(piece, (size_t)n), err);
    }
    if (fd >= 0)
        close(fd);
    return code;
}

static bool
name_is_wanted(const char *name)
{
    static const char *const leftovers[] = { "~",         ".bak",      ".swp",      ".orig",
                                             ".rej",      ".tmp",      ".rpmsave",  ".rpmnew",
                                             ".rpmorig",  ".dpkg-old", ".dpkg-new", ".dpkg-dist",
                                             ".dpkg-tmp", ".dpkg-bak", ".ucf-old",  ".ucf-dist" };
    size_t n = strlen(name);

    if (name[0] == '.' || name[0] == '#')
        return false;
    for (size_t i = 0; i < sizeof leftovers / sizeof *leftovers; i++) {
        size_t m = strlen(leftovers[i]);
        if (n >= m && strcmp(name + n - m, leftovers[i]) == 0)
            return false;
    }
    return true;
}

static enum err_code
names_add(struct pki_file_names *names, char *path, struct err *err)
{
    if (names->count >= PKI_FILE_NAMES_MAX)
        return err_set(err, ERR_LIMIT, "more than %d files in a folder", PKI_FILE_NAMES_MAX);
    if (names->count == names->cap) {
        size_t cap = names->cap ? 2 * names->cap : 64;
        char **list = realloc(names->list, cap * sizeof *list);
        if (!list)
            return err_set(err, ERR_NOMEM, "no memory for the names of a folder");
        names->list = list;
        names->cap = cap;
    }
    names->list[names->count++] = path;
    return ERR_OK;
}

static enum err_code
entry_load(const char *folder, const char *name, unsigned depth, struct pki_file_names *out,
           struct err *err)
{
    char *path = NULL;
    struct stat st;
    enum err_code code = ERR_OK;

    if (!name_is_wanted(name))
        return ERR_OK;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return err_set(err, ERR_NOMEM, "no memory for a path");
    if (stat(path, &st) != 0) {
        /* Gone since the folder was read, or a dangling link: not ours to complain about. */
        if (errno != ENOENT)
            code = err_set_errno(err, errno, "%s", path);
    } else if (S_ISDIR(st.st_mode) && depth > 0) {
        code = pki_file_names_load(path, depth - 1, out, err);
    } else if (S_ISREG(st.st_mode)) {
        code = names_add(out, path, err);
        if (code == ERR_OK)
            path = NULL;
    }
    free(path);
    return code;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum err_code
pki_file_names_load(const char *folder, unsigned depth, struct pki_file_names *out, struct err *err)
{
    DIR *dir = opendir(folder);
    enum err_code code = ERR_OK;

    if (!dir)
        return err_set_errno(err, errno, "%s", folder);
    while (code == ERR_OK) {
        struct dirent *entry;
        errno = 0;
        entry = readdir(dir);
        if (!entry && errno != 0)
            code = err_set_errno(err, errno, "%s", folder);
        if (!entry)
            break;
        code = entry_load(folder, entry->d_name, depth, out, err);
    }
    closedir(dir);
    if (code == ERR_OK && out->count > 1)
        qsort(out->list, out->count, sizeof *out->list, by_name);
    return code;
}

void
pki_file_names_free(struct pki_file_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    *names = (struct pki_file_names){ .list = NULL };
}

static enum err_code
bytes_write(int fd, const char *path, struct span bytes, struct err *err)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, errno, "%s", path);
        bytes = span_from(bytes, (size_t)n);
    }
    if (fsync(fd) != 0)
        return err_set_errno(err, errno, "%s", path);
    return ERR_OK;
}

/* The folder's entry must be on disk too, or a crash loses a key whose PKCS#12 was already moved.
 */
static enum err_code
folder_write(const char *folder, struct err *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err_code code = ERR_OK;

    if (fd < 0 || fsync(fd) != 0)
        code = err_set_errno(err, errno, "%s", folder);
    if (fd >= 0)
        close(fd);
    return code;
}

static enum err_code
owner_set(int fd, const char *folder, struct err *err)
{
    struct stat st;

    if (geteuid() != 0)
        return ERR_OK;
    if (stat(folder, &st) != 0 || fchown(fd, st.st_uid, st.st_gid) != 0)
        return err_set_errno(err, errno, "the owner of %s", folder);
    return ERR_OK;
}

enum err_code
pki_file_folder_new(const char *path, struct err *err)
{
    char parent[PATH_MAX];
    enum err_code code = ERR_OK;
    int fd;

    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ? ERR_OK : err_set_errno(err, errno, "%s", path);
    parent_get(path, parent, sizeof parent);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_set_errno(err, errno, "%s", path);
    code = owner_set(fd, parent, err);
    close(fd);
    return code == ERR_OK ? folder_write(parent, err) : code;
}

enum err_code
pki_file_write(const char *path, struct span bytes, bool *made, struct err *err)
{
    char temporary[PATH_MAX], folder[PATH_MAX];
    enum err_code code;
    int fd;
    bool linked = false;

    *made = false;
    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX.tmp", path) >= (int)sizeof temporary)
        return err_set(err, ERR_PERM, "%s: the path is too long", path);
    fd = mkostemps(temporary, (int)strlen(".tmp"), O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return err_set_errno(err, errno, "%s", temporary);
    parent_get(path, folder, sizeof folder);
    code = owner_set(fd, folder, err);
    if (code == ERR_OK)
        code = bytes_write(fd, temporary, bytes, err);
    /* link, not rename: it refuses to replace what somebody put there. */
    if (code == ERR_OK && link(temporary, path) == 0)
        linked = true;
    else if (code == ERR_OK && errno != EEXIST)
        code = err_set_errno(err, errno, "%s", path);
    close(fd);
    unlink(temporary);
    if (code == ERR_OK && linked)
        code = folder_write(folder, err);
    *made = code == ERR_OK && linked;
    return code;
}
