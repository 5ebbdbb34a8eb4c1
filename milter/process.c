#include "milter/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/wipe.h"

enum err_code
milter_process_init(struct err *err)
{
    int fd;

    /* A file opened as descriptor 2 would get what we print. */
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= 2);
    if (fd < 0)
        return err_set_errno(err, errno, "cannot open /dev/null");
    close(fd);
    umask(077);
    return wipe_init(err);
}

enum err_code
milter_process_find_user(const char *user, struct milter_process_user *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    if (!user[0]) {
        if (geteuid() == 0)
            return err_set(err, ERR_PERM,
                           "smimed does not run as root; name a user of its own (user = smimed)");
        return ERR_OK;
    }
    const struct passwd *entry = getpwnam(user);
    if (!entry)
        return err_set(err, ERR_PERM, "there is no user %s (user)", user);
    out->uid = entry->pw_uid;
    out->gid = entry->pw_gid;
    snprintf(out->name, sizeof out->name, "%s", user);
    if (geteuid() == entry->pw_uid)
        return ERR_OK;
    if (geteuid() != 0)
        return err_set(err, ERR_PERM, "only root can become user %s; start as root or as %s", user,
                       user);
    out->change = true;
    return ERR_OK;
}

enum err_code
milter_process_set_user(const struct milter_process_user *user, struct err *err)
{
    if (!user->change)
        return ERR_OK;
    if (initgroups(user->name, user->gid) || setresgid(user->gid, user->gid, user->gid) ||
        setresuid(user->uid, user->uid, user->uid))
        return err_set_errno(err, errno, "cannot become user %s", user->name);
    if (user->uid != 0 && (setuid(0) == 0 || geteuid() != user->uid))
        return err_set(err, ERR_BUG, "root's rights came back after they were given up");
    return wipe_init(err); /* the change of user resets a part of it */
}

enum err_code
milter_process_detach(int *ready_fd, struct err *err)
{
    int ends[2];
    char answer;

    if (pipe2(ends, O_CLOEXEC))
        return err_set_errno(err, errno, "cannot make a pipe");
    pid_t pid = fork();
    if (pid < 0)
        return err_set_errno(err, errno, "cannot go into the background");
    if (pid > 0) {
        close(ends[1]);
        /* End of file: the child ended, and has said why on stderr. */
        ssize_t n = read(ends[0], &answer, 1);
        _exit(n == 1 ? 0 : 1);
    }
    close(ends[0]);
    *ready_fd = ends[1];
    if (setsid() < 0 || chdir("/"))
        return err_set_errno(err, errno, "cannot leave the terminal");
    return ERR_OK;
}

void
milter_process_ready(int *ready_fd)
{
    if (*ready_fd < 0)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        (void)dup2(null, STDIN_FILENO);
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        close(null);
    }
    if (write(*ready_fd, "1", 1) != 1)
        return;
    close(*ready_fd);
    *ready_fd = -1;
}

enum err_code
milter_process_write_pid(const char *path, struct err *err)
{
    if (!path || !path[0])
        return ERR_OK;
    /* Made anew, so that a link in its place is not followed. */
    if (unlink(path) && errno != ENOENT)
        return err_set_errno(err, errno, "cannot remove the old pid file %s", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_set_errno(err, errno, "cannot write the pid file %s", path);
    int written = fchmod(fd, 0644) == 0 ? dprintf(fd, "%ld\n", (long)getpid()) : -1;
    int why = errno;
    if (close(fd) || written < 0)
        return err_set_errno(err, written < 0 ? why : errno, "cannot write the pid file %s", path);
    return ERR_OK;
}
