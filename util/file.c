#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_PIECE_BYTES = 16384 };

static enum err_code
file_check(int fd, const char *path, const struct file_read_args *args, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_set_errno(err, errno, "%.300s", path);
    if (!S_ISREG(st.st_mode))
        return err_set_reason(err, ERR_PERM, "not-a-file", "%.300s is not a plain file", path);
    if (st.st_mode & args->forbidden_mode)
        return err_set_reason(err, ERR_PERM, "unsafe-mode",
                              "%.300s has mode %04o, which is not safe; chmod %04o", path,
                              (unsigned)st.st_mode & 07777,
                              (unsigned)(st.st_mode & 07777 & ~args->forbidden_mode));
    if (args->check_owner && st.st_uid != 0 && st.st_uid != geteuid())
        return err_set_reason(err, ERR_PERM, "unsafe-owner",
                              "%.300s belongs to user %u, neither root nor us", path,
                              (unsigned)st.st_uid);
    if (st.st_size > 0 && (uintmax_t)st.st_size > args->limit_bytes)
        return err_set_reason(err, ERR_LIMIT, "too-large", "%.300s is longer than %zu octets", path,
                              args->limit_bytes);
    return ERR_OK;
}

/* The size of a file says little (/proc, one that grows): read to its end or to the bound. */
static enum err_code
file_read_all(int fd, const char *path, size_t limit, struct buf *out, struct err *err)
{
    unsigned char piece[FILE_PIECE_BYTES];
    enum err_code rc = ERR_OK;
    size_t total = 0;

    while (rc == ERR_OK) {
        ssize_t n = read(fd, piece, sizeof piece);

        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            break;
        if (n < 0)
            rc = err_set_errno(err, errno, "reading %.300s", path);
        else if ((size_t)n > limit - total)
            rc = err_set_reason(err, ERR_LIMIT, "too-large", "%.300s is longer than %zu octets",
                                path, limit);
        else
            rc = buf_append(out, span_of(piece, (size_t)n), err);
        total += n > 0 ? (size_t)n : 0;
    }
    explicit_bzero(piece, sizeof piece);
    return rc;
}

enum err_code
file_read(const char *path, const struct file_read_args *args, struct buf *out, struct err *err)
{
    /* O_NONBLOCK: a FIFO with nobody at its other end must not hold us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    enum err_code rc;

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return err_set(err, ERR_NOTFOUND, "%.300s is not there", path);
    if (fd < 0)
        return err_set_errno(err, errno, "%.300s", path);
    rc = file_check(fd, path, args, err);
    if (rc == ERR_OK)
        rc = file_read_all(fd, path, args->limit_bytes, out, err);
    close(fd);
    return rc;
}

static enum err_code
file_put(int fd, struct span bytes, mode_t mode, const char *path, struct err *err)
{
    /* Before the first byte: at no time may it be readable for more than it shall be. */
    if (fchmod(fd, mode) < 0)
        return err_set_errno(err, errno, "%.300s", path);
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set_errno(err, n ? errno : EIO, "writing %.300s", path);
        bytes = span_from(bytes, (size_t)n);
    }
    if (fsync(fd) < 0)
        return err_set_errno(err, errno, "writing %.300s", path);
    return ERR_OK;
}

/* The rename lasts only when the folder is on the disk too. */
static enum err_code
file_sync_folder(const char *path, struct err *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
    enum err_code rc = ERR_OK;
    int fd;

    if (n >= sizeof folder)
        return err_set(err, ERR_PERM, "name too long");
    memcpy(folder, n ? path : ".", n ? n : 1);
    folder[n ? n : 1] = '\0';
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "%.300s", folder);
    /* Some file systems cannot sync a folder and say EINVAL; there is nothing more to do then. */
    if (fsync(fd) < 0 && errno != EINVAL)
        rc = err_set_errno(err, errno, "%.300s", folder);
    close(fd);
    return rc;
}

enum err_code
file_write(const char *path, struct span bytes, mode_t mode, struct err *err)
{
    char temporary[PATH_MAX];
    enum err_code rc = ERR_OK;
    int fd = -1, n;

    n = snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return err_set(err, ERR_PERM, "name too long");
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, errno, "%.300s", path);
    rc = file_put(fd, bytes, mode, path, err);
    if (close(fd) < 0 && rc == ERR_OK)
        rc = err_set_errno(err, errno, "writing %.300s", path);
    if (rc == ERR_OK && rename(temporary, path) < 0)
        rc = err_set_errno(err, errno, "%.300s", path);
    if (rc != ERR_OK) {
        unlink(temporary);
        return rc;
    }
    return file_sync_folder(path, err);
}
